"""What must be true of the keyspace between any two scripts. Reads a small one whole, and lists what is wrong."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping

from support.job_rules import LEASED, JobRules
from support.moments import FINAL, Record, public
from telecine_scheduler.store.keys import prefix

P = prefix().encode()
HOME = {"W": "due", "Q": "ready", "L": "lease", "R": "lease", "C": "lease", "S": "ret", "F": "ret", "X": "ret"}


class Keyspace(JobRules):
    """A partition, read whole."""

    def violations(self, slots: Mapping[str, int] | None = None) -> list[str]:
        """Empty when all is well. The letters are those of the design's list.

        *slots* says of workers how many units each may hold leases of: the limit that I8 is about.
        """
        moment = self.moment()
        jobs = moment.jobs
        return [
            *self._results(moment), *self._attempts(jobs), *self._homes(jobs), *self._ready_sets(jobs), *self._tenants(jobs),
            *self._counts(jobs), *self._workers(jobs), *self._records(jobs), *self._changes(jobs), *self._indexes(jobs),
            *self._limits(jobs), *self._tombstones(jobs), *self._listed_workers(), *self._turns(), *self._registries(jobs),
            *self._held(jobs, slots or {}), *self._charged(jobs), *self._crashes(jobs),
            *self._far(jobs),
        ]  # fmt: skip

    def _registries(self, jobs: dict[bytes, Record]) -> Iterator[str]:
        """The auditor finds every tenant with jobs and every worker with leases."""
        tenants, holders = (self.scores(self._prefix + key).keys() for key in (b"tenants", b"holders"))
        for tenant in {name.split(b":", 1)[0] for name in jobs} - tenants:
            yield f"registry: tenant {tenant!r} has jobs and is not known"
        for worker in self.keys("wl").keys() - holders:
            yield f"registry: worker {worker!r} has a set of leases and is not known"

    def _homes(self, jobs: dict[bytes, Record]) -> list[str]:
        """I4, I10: every job is in exactly the one home of its state."""
        homes: dict[bytes, list[str]] = {name: [] for name in jobs}
        for timer in ("due", "lease", "ret"):
            for name in self.scores(self._prefix + timer.encode()):
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
                    wrong.append(f"I4: score of {name!r} is {score}")
        for klass, key in self.keys("age").items():
            if set(self.scores(key)) != ages.pop(klass, set()):
                wrong.append(f"I4: ages of class {klass!r} differ from its ready sets")
        return wrong + [f"I4: class {klass!r} has ready jobs and no ages" for klass in ages]

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
            "states": self._numbers(self._prefix + b"states"),
            "classes": self._numbers(self._prefix + b"cjobs"),
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
            f"counters of {what} say {found[what]}, there are {dict(expected[what])}"
            for what in found
            if found[what] != expected[what]
        ]

    def _numbers(self, key: bytes) -> dict[bytes, int]:
        return {field: int(value) for field, value in self._client.hgetall(key).items() if int(value)}

    def _workers(self, jobs: dict[bytes, Record]) -> list[str]:
        """A worker's set holds exactly the jobs leased to it."""
        leased = {(record[b"wk"], name) for name, record in jobs.items() if record[b"st"] in LEASED}
        held = {(worker, name) for worker, key in self.keys("wl").items() for name in self._client.smembers(key)}
        return [f"I4: lease sets: {pair}" for pair in leased ^ held]

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
        text = self._client.hget(self._prefix + b"x:" + name, "l")
        for key, value in (json.loads(text) if text else {}).items():
            yield f"{key}={value}".encode()

    def _limits(self, jobs: dict[bytes, Record]) -> list[str]:
        """I10: an unfinished job with a limit that can still end it has a timer for it, and no other has."""
        timers = self.scores(self._prefix + b"dl").keys()
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
        classes = set(self._client.hkeys(self._prefix + b"classes"))
        known = {
            "floors": set(self._client.hkeys(self._prefix + b"vt")),
            **{kind: set(self.keys(kind)) for kind in ("v", "idle", "fair", "age")},
            "ready sets": {suffix.split(b":", 1)[0] for suffix in self.keys("rdy")},
        }
        wrong = [
            f"I5: {what} of classes that are gone: {ids - classes}" for what, ids in known.items() if ids - classes
        ]
        wrong += [f"I5: class {klass!r} remembers debts, and nobody waits" for klass in known["v"] - known["fair"]]
        return wrong

    def _tombstones(self, jobs: dict[bytes, Record]) -> list[str]:
        """An id is taken by a job or by the tombstone of one, not by both."""
        now = self._meta("clock")
        tombstones = {name for name, until in self.scores(self._prefix + b"tomb").items() if until > now}
        return [f"I1: {name!r} is deleted and there" for name in tombstones & jobs.keys()]

    def _listed_workers(self) -> list[str]:
        """What a worker offers is kept exactly while it is listed, and only workers with a stream are."""
        listed, offers = set(self.scores(self._prefix + b"workers")), self.keys("wo").keys()
        wrong = [f"workers: {name!r} is listed without an offer, or has one and is not" for name in listed ^ offers]
        gone = {name for name in listed if self._client.hget(self._prefix + b"w:" + name, "up") != b"1"}
        return wrong + [f"workers: {name!r} is listed and has no stream" for name in gone]
