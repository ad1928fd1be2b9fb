"""What must be true of the keyspace between any two scripts. Reads a small one whole, and lists what is wrong."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import redis

from telecine_scheduler.store.keys import prefix

P = prefix().encode()
# A record by its fields, and all of them by name.
Record = dict[bytes, bytes]
FINAL = (b"S", b"F", b"X")
HOME = {"W": "due", "Q": "ready", "L": "lease", "R": "lease", "C": "lease", "S": "ret", "F": "ret", "X": "ret"}


class Moment(NamedTuple):
    """The records of all jobs, and their results, between two scripts."""

    jobs: dict[bytes, Record]
    results: dict[bytes, bytes | None]

    def broken_by(self, later: Moment) -> list[str]:
        """What is wrong with *later* after this one, with one call in between; empty when all is well."""
        wrong = []
        for name, old in self.jobs.items():
            new = later.jobs.get(name)
            if new is None or new[b"ct"] != old[b"ct"]:
                if old[b"st"] not in FINAL:
                    wrong.append(f"I1: {name!r} is gone in {old[b'st']!r}")
                continue
            wrong += [f"{rule}: {name!r} from {old} to {new}" for rule in _breaks(old, new)]
            if self.results[name] is not None and self.results[name] != later.results[name]:
                wrong.append(f"I2: the result of {name!r} changed")
        return wrong


def _breaks(old: Record, new: Record) -> Iterator[str]:
    def number(record: Record, field: bytes, default: int = 0) -> int:
        return int(record.get(field, default))

    again = number(new, b"gn", 1) - number(old, b"gn", 1)
    if number(new, b"tk") < number(old, b"tk"):
        yield "I3"
    if number(new, b"at") < number(old, b"at"):
        yield "attempts are counted back"
    if again not in (0, 1) or (again and old[b"st"] not in (b"F", b"X")):
        yield "T16"
    if not again and old[b"st"] in FINAL and (new[b"st"], new[b"rv"]) != (old[b"st"], old[b"rv"]):
        yield "I6"
    moved = public(new) != public(old) or again
    if number(new, b"rv") < number(old, b"rv") + bool(moved):
        yield "I7"


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

    def moment(self) -> Moment:
        """What is to be compared with a later one."""
        jobs = {name: self._client.hgetall(key) for name, key in self.keys("j").items()}
        return Moment(jobs, {name: self._client.hget(P + b"x:" + name, "r") for name in jobs})

    def violations(self) -> list[str]:
        """Empty when all is well. The letters are those of the design's list."""
        jobs = self.moment().jobs
        return [
            *self._homes(jobs), *self._ready_sets(jobs), *self._tenants(jobs), *self._counts(jobs), *self._workers(jobs),
            *self._records(jobs), *self._indexes(jobs), *self._limits(jobs), *self._tombstones(jobs), *self._listed_workers(),
            *self._turns(), *self._lists(),
        ]  # fmt: skip

    def _homes(self, jobs: dict[bytes, Record]) -> list[str]:
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

    def _ready_sets(self, jobs: dict[bytes, Record]) -> list[str]:
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

    def _tenants(self, jobs: dict[bytes, Record]) -> list[str]:
        """I5: a tenant is in the fair index of exactly the classes where it has ready jobs."""
        ready = {tuple(suffix.split(b":", 1)) for suffix in self.keys("rdy")}
        fair = {(k, tenant) for k, key in self.keys("fair").items() for tenant in self.scores(key)}
        noted = {(k, tenant) for tenant, key in self.keys("tc").items() for k in self._client.smembers(key)}
        wrong = [f"I5: {pair} ready and fair differ" for pair in ready ^ fair]
        return wrong + [f"I5: {pair} ready and noted classes differ" for pair in ready ^ noted]

    def _counts(self, jobs: dict[bytes, Record]) -> list[str]:
        """Counters say what is there."""
        states = Counter(record[b"st"] for record in jobs.values())
        unfinished = {name: record for name, record in jobs.items() if record[b"st"] not in FINAL}
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
            "tenants": {tenant: self._client.hgetall(key) for tenant, key in self.keys("n").items()},
        }
        by_state: dict[bytes, Counter[bytes]] = {tenant: Counter({b"q": number}) for tenant, number in queued.items()}
        for name, record in jobs.items():
            field = record.get(b"qu", b"default") + b"|" + public(record)
            by_state.setdefault(name.split(b":")[0], Counter())[field] += 1
        # Compared as they are kept: a counter that is 0 is not.
        tenants = {
            tenant: {field: str(number).encode() for field, number in fields.items()}
            for tenant, fields in by_state.items()
        }
        expected = {"states": states, "classes": classes, "tenant classes": by_tenant, "tenants": tenants}
        return [
            f"{what}: counted {found[what]}, are {dict(expected[what])}"
            for what in found
            if found[what] != expected[what]
        ]

    def _numbers(self, key: bytes) -> dict[bytes, int]:
        return {field: int(value) for field, value in self._client.hgetall(key).items() if int(value)}

    def _workers(self, jobs: dict[bytes, Record]) -> list[str]:
        """A worker's set holds exactly the jobs leased to it."""
        leased = {(record[b"wk"], name) for name, record in jobs.items() if record[b"st"] in (b"L", b"R", b"C")}
        held = {(worker, name) for worker, key in self.keys("wl").items() for name in self._client.smembers(key)}
        return [f"lease sets: {pair}" for pair in leased ^ held]

    def _records(self, jobs: dict[bytes, Record]) -> list[str]:
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
            if record[b"st"] not in FINAL and record[b"cl"] not in classes:
                wrong.append(f"{name!r} is of a class that is not there")
            if b"pb" in record and record[b"st"] != b"R":
                wrong.append(f"{name!r} publishes and does not run")
            if (b"wr" in record) != (record[b"st"] == b"W"):
                wrong.append(f"{name!r} in {record[b'st']!r} waits, and says not why, or the other way round")
            if (b"et" in record) != (record[b"st"] in FINAL):
                wrong.append(f"{name!r} in {record[b'st']!r} has ended, and says not when, or the other way round")
            if (b"av" in record) != (b"au" in record):
                wrong.append(f"{name!r} avoids a worker, and says not until when, or the other way round")
            wrong += [f"{name!r} {field!r} is long" for field, value in record.items() if len(value) > 64]
        return wrong

    def _lists(self) -> list[str]:
        """The last 20 changes and the last 10 attempts are kept."""
        lists = [(key, most) for kind, most in (("h", 20), ("a", 10)) for key in self.keys(kind).values()]
        return [f"{key!r} is long" for key, most in lists if self._client.llen(key) > most]

    def _indexes(self, jobs: dict[bytes, Record]) -> list[str]:
        """I4: every job is listed under the state that callers see and under its labels, and nowhere else."""
        states = {
            (suffix, job_id): score
            for suffix, key in self.keys("ix").items()
            for job_id, score in self.scores(key).items()
        }
        labels = {
            (suffix, job_id): score
            for suffix, key in self.keys("il").items()
            for job_id, score in self.scores(key).items()
        }
        expected_states, expected_labels = {}, {}
        for name, record in jobs.items():
            tenant, job_id = name.split(b":", 1)
            created = float(record[b"ct"])
            expected_states[(tenant + b":" + public(record), job_id)] = created
            for label in self._labels(name):
                expected_labels[(tenant + b":" + label, job_id)] = created
        wrong = [f"I4: index of states: {entry}" for entry in states.items() ^ expected_states.items()]
        return wrong + [f"I4: index of labels: {entry}" for entry in labels.items() ^ expected_labels.items()]

    def _labels(self, name: bytes) -> Iterator[bytes]:
        text = self._client.hget(P + b"x:" + name, "l")
        for key, value in (json.loads(text) if text else {}).items():
            yield f"{key}={value}".encode()

    def _limits(self, jobs: dict[bytes, Record]) -> list[str]:
        """I10: an unfinished job with a limit that can still end it has a timer for it, and no other has."""
        timers = self.scores(P + b"dl").keys()
        wrong = [f"I4: {name!r} has a timer of limits and no record" for name in timers - jobs.keys()]
        for name, record in jobs.items():
            queue, total, *_ = record.get(b"lm", b"|||").split(b"|")
            started = int(record.get(b"sa") or record.get(b"sp") or 0)
            begun = started >= int(record.get(b"gs") or record[b"ct"])
            waits_for_start = bool(queue) and not begun and record[b"st"] in (b"W", b"Q", b"L")
            timed = record[b"st"] in (b"W", b"Q", b"L", b"R") and (bool(total) or waits_for_start)
            if timed != (name in timers):
                wrong.append(
                    f"I10: {name!r} in {record[b'st']!r} with limits {record.get(b'lm')!r}: timer {name in timers}"
                )
        return wrong

    def _turns(self) -> list[str]:
        """What fairness remembers is of classes that are there, and debts of those where somebody waits."""
        classes = set(self._client.hkeys(P + b"classes"))
        known = {
            "floors": set(self._client.hkeys(P + b"vt")),
            **{kind: set(self.keys(kind)) for kind in ("v", "idle", "fair", "age")},
            "ready sets": {suffix.split(b":", 1)[0] for suffix in self.keys("rdy")},
        }
        wrong = [f"{what} of classes that are gone: {ids - classes}" for what, ids in known.items() if ids - classes]
        wrong += [f"class {klass!r} remembers debts, and nobody waits" for klass in known["v"] - known["fair"]]
        return wrong

    def _tombstones(self, jobs: dict[bytes, Record]) -> list[str]:
        """An id is taken by a job or by the tombstone of one, not by both."""
        now = int(self._client.hget(P + b"meta", "clock") or 0)
        tombstones = {name for name, until in self.scores(P + b"tomb").items() if until > now}
        return [f"{name!r} is deleted and there" for name in tombstones & jobs.keys()]

    def _listed_workers(self) -> list[str]:
        """What a worker offers is kept exactly while it is listed, and only workers with a stream are."""
        listed, offers = set(self.scores(P + b"workers")), self.keys("wo").keys()
        wrong = [f"worker {name!r} is listed without an offer, or has one and is not" for name in listed ^ offers]
        gone = {name for name in listed if self._client.hget(P + b"w:" + name, "up") != b"1"}
        return wrong + [f"worker {name!r} is listed and has no stream" for name in gone]


def public(record: Record) -> bytes:
    """The state as callers see it."""
    return b"Q" if record[b"st"] == b"L" else record[b"st"]
