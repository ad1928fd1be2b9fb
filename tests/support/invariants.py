"""What must be true of the keyspace between any two scripts. Reads a small one whole, and lists what is wrong."""

from __future__ import annotations

from collections import Counter

import redis

from telecine_scheduler.store.keys import prefix

P = prefix().encode()
HOME = {"W": "due", "Q": "ready", "L": "lease", "R": "lease", "C": "lease", "S": "ret", "F": "ret", "X": "ret"}


class Keyspace:
    """A partition, read whole."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def keys(self, kind: str) -> dict[bytes, bytes]:
        """What follows "<prefix><kind>:" in every such key, and the key."""
        start = P + kind.encode() + b":"
        return {key.removeprefix(start): key for key in self._client.scan_iter(start + b"*", count=1000)}

    def scores(self, key: bytes) -> dict[bytes, float]:
        return dict(self._client.zrange(key, 0, -1, withscores=True))

    def violations(self) -> list[str]:
        """Empty when all is well. The letters are those of the design's list."""
        jobs = {name: self._client.hgetall(key) for name, key in self.keys("j").items()}
        return [
            *self._homes(jobs), *self._ready_sets(jobs), *self._tenants(jobs), *self._counts(jobs), *self._workers(jobs),
            *self._records(jobs),
        ]  # fmt: skip

    def _homes(self, jobs: dict[bytes, dict[bytes, bytes]]) -> list[str]:
        """I4, I10: every job is in exactly the one home of its state."""
        homes: dict[bytes, list[str]] = {name: [] for name in jobs}
        for timer in ("due", "lease", "ret"):
            for name in self.scores(P + timer.encode()):
                homes.setdefault(name, []).append(timer)
        for suffix, key in self.keys("rdy").items():
            tenant = suffix.split(b":", 1)[1]
            for job_id in self.scores(key):
                homes.setdefault(tenant + b":" + job_id, []).append("ready")
        wrong = []
        for name, found in homes.items():
            expected = [HOME[jobs[name][b"st"].decode()]] if name in jobs else []
            if found != expected:
                wrong.append(f"I4: {name!r} in {jobs.get(name, {}).get(b'st')} is in {found}, not in {expected}")
        return wrong

    def _ready_sets(self, jobs: dict[bytes, dict[bytes, bytes]]) -> list[str]:
        """Scores are sequence plus penalty, and the ages know the same jobs."""
        wrong = []
        ages: dict[bytes, set[bytes]] = {}
        for suffix, key in self.keys("rdy").items():
            klass, tenant = suffix.split(b":", 1)
            for job_id, score in self.scores(key).items():
                name = tenant + b":" + job_id
                ages.setdefault(klass, set()).add(name)
                record = jobs.get(name, {})
                if score != int(record.get(b"sq", 0)) + int(record.get(b"pn", 0)):
                    wrong.append(f"score of {name!r} is {score}")
        for klass, key in self.keys("age").items():
            if set(self.scores(key)) != ages.pop(klass, set()):
                wrong.append(f"ages of class {klass!r} differ from its ready sets")
        return wrong + [f"class {klass!r} has ready jobs and no ages" for klass in ages]

    def _tenants(self, jobs: dict[bytes, dict[bytes, bytes]]) -> list[str]:
        """I5: a tenant is in the fair index of exactly the classes where it has ready jobs."""
        ready = {tuple(suffix.split(b":", 1)) for suffix in self.keys("rdy")}
        fair = {(k, tenant) for k, key in self.keys("fair").items() for tenant in self.scores(key)}
        noted = {(k, tenant) for tenant, key in self.keys("tc").items() for k in self._client.smembers(key)}
        wrong = [f"I5: {pair} ready and fair differ" for pair in ready ^ fair]
        return wrong + [f"I5: {pair} ready and noted classes differ" for pair in ready ^ noted]

    def _counts(self, jobs: dict[bytes, dict[bytes, bytes]]) -> list[str]:
        """Counters say what is there."""
        states = Counter(record[b"st"] for record in jobs.values())
        unfinished = {name: record for name, record in jobs.items() if record[b"st"] not in (b"S", b"F", b"X")}
        classes = Counter(record[b"cl"] for record in unfinished.values())
        by_tenant = Counter((name.split(b":")[0], record[b"cl"]) for name, record in unfinished.items())
        queued = Counter(name.split(b":")[0] for name, record in jobs.items() if record[b"st"] in (b"W", b"Q", b"L"))
        found = {
            "states": self._numbers(P + b"states"),
            "classes": self._numbers(P + b"cjobs"),
            "tenant classes": {
                (tenant, klass): count
                for tenant, key in self.keys("tcl").items()
                for klass, count in self._numbers(key).items()
            },
            "queued": {
                tenant: int(self._client.hget(key, "q") or 0)
                for tenant, key in self.keys("t").items()
                if int(self._client.hget(key, "q") or 0)
            },
        }
        expected = {"states": states, "classes": classes, "tenant classes": by_tenant, "queued": queued}
        return [
            f"{what}: counted {found[what]}, are {dict(expected[what])}"
            for what in found
            if found[what] != expected[what]
        ]

    def _numbers(self, key: bytes) -> dict[bytes, int]:
        return {field: int(value) for field, value in self._client.hgetall(key).items() if int(value)}

    def _workers(self, jobs: dict[bytes, dict[bytes, bytes]]) -> list[str]:
        """A worker's set holds exactly the jobs leased to it."""
        leased = {(record[b"wk"], name) for name, record in jobs.items() if record[b"st"] in (b"L", b"R", b"C")}
        held = {(worker, name) for worker, key in self.keys("wl").items() for name in self._client.smembers(key)}
        return [f"lease sets: {pair}" for pair in leased ^ held]

    def _records(self, jobs: dict[bytes, dict[bytes, bytes]]) -> list[str]:
        """Records stay small, nothing outlives its record, and no revision is ahead of the clock."""
        wrong = []
        for kind in ("s", "x", "h", "a"):
            wrong += [f"{kind}:{name!r} has no record" for name in self.keys(kind).keys() - jobs.keys()]
        wrong += [f"{name!r} has no spec" for name in jobs.keys() - self.keys("s").keys()]
        clock = int(self._client.hget(P + b"meta", "clock") or 0)
        classes = self._client.hgetall(P + b"classes")
        if {text: class_id for class_id, text in classes.items()} != self._client.hgetall(P + b"class_ids"):
            wrong.append("classes and their ids differ")
        for name, record in jobs.items():
            if int(record[b"rv"]) > clock:
                wrong.append(f"I7: {name!r} has a revision ahead of the clock")
            if record[b"st"] not in (b"S", b"F", b"X") and record[b"cl"] not in classes:
                wrong.append(f"{name!r} is of a class that is not there")
            if b"pb" in record and record[b"st"] != b"R":
                wrong.append(f"{name!r} publishes and does not run")
            if b"wr" in record and record[b"st"] not in (b"W", b"X"):
                wrong.append(f"{name!r} says why it waits, and does not")
            wrong += [f"{name!r} {field!r} is long" for field, value in record.items() if len(value) > 64]
        return wrong
