"""A partition as it is kept in Redis, and what must be true of each job by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta

import redis

from support.moments import FINAL, Moment, Record, number, public
from telecine_scheduler.domain.lease import Times
from telecine_scheduler.store.keys import prefix

# What a worker's answer to a cancel may take besides its grace.
STOP = timedelta(seconds=2)
LEASED = (b"L", b"R", b"C")
DEFAULT_POLICY = b"3|10000000|600000000|86400|604800|86400"


class JobRules:
    """A partition, read whole, and the rules of single jobs."""

    def __init__(self, client: redis.Redis, partition: int = 0) -> None:
        self._client = client
        self._prefix = prefix(partition).encode()

    def keys(self, kind: str) -> dict[bytes, bytes]:
        """What follows "<prefix><kind>:" in every such key, and the key."""
        start = self._prefix + kind.encode() + b":"
        return {key.removeprefix(start): key for key in self._client.scan_iter(start + b"*", count=1000)}

    def scores(self, key: bytes) -> dict[bytes, float]:
        return dict(self._client.zrange(key, 0, -1, withscores=True))

    def moment(self) -> Moment:
        """What is to be compared with a later one."""
        jobs = {name: self._client.hgetall(key) for name, key in self.keys("j").items()}
        large = {name: self._client.hmget(self._prefix + b"x:" + name, "r", "p") for name in jobs}
        return Moment(
            jobs=jobs, results={name: values[0] for name, values in large.items()},
            progress={name: values[1] for name, values in large.items()}, retention=self.scores(self._prefix + b"ret"),
            tombstones=self.scores(self._prefix + b"tomb"), swept=self._meta("beat"),
        )  # fmt: skip

    def _meta(self, field: str) -> int:
        return int(self._client.hget(self._prefix + b"meta", field) or 0)

    def _results(self, moment: Moment) -> Iterator[str]:
        """I2: exactly the succeeded jobs have a result, which came under their last token."""
        for name, record in moment.jobs.items():
            if (moment.results[name] is not None) != (record[b"st"] == b"S"):
                yield f"I2: {name!r} in {record[b'st']!r} has a result, or has none and should"
            if record[b"st"] != b"S":
                continue
            rows = self._attempts_of(name)
            if not rows or (rows[-1][2], rows[-1][5]) != (record[b"tk"], b"SUCCEEDED"):
                yield f"I2: the result of {name!r} is not of the attempt under its token"

    def _attempts_of(self, name: bytes) -> list[list[bytes]]:
        return [row.split(b"|", 8) for row in self._client.lrange(self._prefix + b"a:" + name, 0, -1)]

    def _attempts(self, jobs: dict[bytes, Record]) -> Iterator[str]:
        """I3: tokens and numbers of attempts rise; none is ahead of the job's, nor of the clock. The last ten are kept."""
        clock = self._meta("clock")
        for name, record in jobs.items():
            rows = self._attempts_of(name)
            tokens = [*(int(row[2]) for row in rows)]
            if sorted(set(tokens)) != tokens or (tokens and tokens[-1] > number(record, b"tk")):
                yield f"I3: tokens of {name!r} do not rise: {tokens}, {record.get(b'tk')!r}"
            if number(record, b"tk") > clock:
                yield f"I3: the token of {name!r} is ahead of the clock"
            numbers = [int(row[0]) for row in rows]
            if sorted(set(numbers)) != numbers or (numbers and numbers[-1] > number(record, b"at")) or len(rows) > 10:
                yield f"I3: attempts of {name!r} are not in order: {numbers}, {record.get(b'at')!r}"

    def _changes(self, jobs: dict[bytes, Record]) -> Iterator[str]:
        """I7: the revisions of changes rise, up to the job's; a final state's is the last. The last twenty are kept."""
        for name, record in jobs.items():
            rows = [row.split(b"|") for row in self._client.lrange(self._prefix + b"h:" + name, 0, -1)]
            revisions = [int(row[0]) for row in rows] or [int(record[b"ct"])]
            if sorted(set(revisions)) != revisions or revisions[-1] > int(record[b"rv"]) or len(rows) > 20:
                yield f"I7: changes of {name!r} are not in order: {rows}, {record[b'rv']!r}"
            if rows and rows[-1][1] != public(record):
                yield f"I7: the last change of {name!r} in {record[b'st']!r} is {rows[-1]}"
            if record[b"st"] in FINAL and revisions[-1] != int(record[b"rv"]):
                yield f"I7: {name!r} changed after its end"

    def _held(self, jobs: dict[bytes, Record], slots: Mapping[str, int]) -> Iterator[str]:
        """I8: a worker holds no more than it has slots."""
        held: Counter[str] = Counter()
        for record in jobs.values():
            if record[b"st"] in LEASED:
                held[record[b"wk"].decode()] += number(record, b"un", 1)
        for worker, units in held.items():
            if units > slots.get(worker, units):
                yield f"I8: worker {worker!r} holds {units} units and has {slots[worker]} slots"

    def _crashes(self, jobs: dict[bytes, Record]) -> Iterator[str]:
        """I8: what is remembered of crashes was charged, under tokens that were given; the last sixteen are kept."""
        for name, record in jobs.items():
            lines = (self._client.hget(self._prefix + b"x:" + name, "c") or b"").split()
            tokens = [int(line.split(b"|")[1]) for line in lines]
            if len(lines) > min(16, number(record, b"cr")) or number(record, b"cr") > number(record, b"lo"):
                yield f"I8: {name!r} crashed {record.get(b'cr')!r} of {record.get(b'lo')!r} times, and remembers {lines}"
            if sorted(set(tokens)) != tokens or (tokens and tokens[-1] > number(record, b"tk")):
                yield f"I3: tokens of crashes of {name!r} do not rise: {tokens}, {record.get(b'tk')!r}"

    def now(self) -> int:
        """The store's time, as base.lua has it."""
        seconds, microseconds = self._client.time()
        time = (seconds - 1_704_067_200) * 1_000_000 + microseconds + self._meta("test_shift_us")
        return max(time, self._meta("beat"), min(time + self._meta("ahead"), self._meta("beat") + 2_000_000))

    def _far(self, jobs: dict[bytes, Record]) -> Iterator[str]:
        """I10: no lease, and nothing that keeps leases, lasts longer than a TTL, a publish window or a cancel grace."""
        times = Times()
        graces = [int(record[b"lm"].split(b"|")[3] or 0) for record in jobs.values() if b"lm" in record]
        own = timedelta(microseconds=max(graces, default=0))
        longest = max(times.ttl, times.publish_window, max(times.cancel_grace, own) + STOP)
        latest = self.now() + longest // timedelta(microseconds=1)
        ends = {name.decode(errors="replace"): end for name, end in self.scores(self._prefix + b"lease").items()}
        for what, end in (ends | {what: self._meta(what) for what in ("frozen_until", "brake")}).items():
            if end > latest:
                yield f"I10: {what} lasts {(end - latest) / 1e6} s longer than anything should"

    def _charged(self, jobs: dict[bytes, Record]) -> Iterator[str]:
        """I8: a job that is not final has attempts left."""
        for name, record in jobs.items():
            charged = number(record, b"fa") + number(record, b"cr")
            most = int(record.get(b"po", DEFAULT_POLICY).split(b"|")[0])
            if record[b"st"] not in FINAL and charged >= most:
                yield f"I8: {name!r} in {record[b'st']!r} was charged {charged} of {most} attempts"

    def _records(self, jobs: dict[bytes, Record]) -> list[str]:
        """Records stay small, nothing outlives its record, and no revision is ahead of the clock."""
        wrong = []
        for kind in ("s", "x", "h", "a"):
            wrong += [f"record: {kind}:{name!r} has no record" for name in self.keys(kind).keys() - jobs.keys()]
        wrong += [f"I1: {name!r} has no spec" for name in jobs.keys() - self.keys("s").keys()]
        clock = self._meta("clock")
        classes = self._client.hgetall(self._prefix + b"classes")
        if {text: class_id for class_id, text in classes.items()} != self._client.hgetall(self._prefix + b"class_ids"):
            wrong.append("record: classes and their ids differ")
        for name, record in jobs.items():
            if int(record[b"rv"]) > clock:
                wrong.append(f"I7: {name!r} has a revision ahead of the clock")
            if record[b"st"] not in FINAL and record[b"cl"] not in classes:
                wrong.append(f"record: {name!r} is of a class that is not there")
            if b"pb" in record and record[b"st"] != b"R":
                wrong.append(f"record: {name!r} publishes and does not run")
            if (b"wr" in record) != (record[b"st"] == b"W"):
                wrong.append(f"record: {name!r} in {record[b'st']!r} waits, and says not why, or the other way round")
            if (b"et" in record) != (record[b"st"] in FINAL):
                wrong.append(
                    f"record: {name!r} in {record[b'st']!r} has ended, and says not when, or the other way round"
                )
            if (b"av" in record) != (b"au" in record):
                wrong.append(f"record: {name!r} avoids a worker, and says not until when, or the other way round")
            wrong += [f"record: {name!r} {field!r} is long" for field, value in record.items() if len(value) > 64]
        return wrong
