"""What may change between two looks at the keyspace with one call in between, and what must not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

# A record by its fields.
Record = dict[bytes, bytes]
FINAL = (b"S", b"F", b"X")


class Moment(NamedTuple):
    """The records of all jobs and what goes with them, between two scripts."""

    jobs: dict[bytes, Record]
    results: dict[bytes, bytes | None]
    progress: dict[bytes, bytes | None]
    # When final jobs are deleted, which ids were deleted by a caller, and the time of the last sweep.
    retention: dict[bytes, float]
    tombstones: dict[bytes, float]
    swept: int

    def broken_by(self, later: Moment) -> list[str]:
        """What is wrong with *later* after this one, with one call in between; empty when all is well."""
        wrong = []
        for name, old in self.jobs.items():
            new = later.jobs.get(name)
            if new is None or new[b"ct"] != old[b"ct"]:
                if not self._may_go(name, later):
                    wrong.append(f"I1: {name!r} is gone in {old[b'st']!r}")
                continue
            wrong += [f"{rule}: {name!r} from {old} to {new}" for rule in _breaks(old, new)]
            if self.results[name] is not None and self.results[name] != later.results[name] and not _again(old, new):
                wrong.append(f"I2: the result of {name!r} changed")
            if self._goes_back(name, later):
                wrong.append(
                    f"I9: the progress of {name!r} in its attempt {new.get(b'at')!r} went back or was overwritten"
                )
        return wrong

    def _may_go(self, name: bytes, later: Moment) -> bool:
        """A final job may, when its time is over or somebody deleted it."""
        deleted = later.tombstones.get(name, 0) > self.tombstones.get(name, 0)
        return self.jobs[name][b"st"] in FINAL and (deleted or self.retention.get(name, 0) <= later.swept)

    def _goes_back(self, name: bytes, later: Moment) -> bool:
        old, new = self.jobs[name], later.jobs[name]
        if b"sa" not in old or old[b"sa"] != new.get(b"sa"):
            return False
        before, after = number(old, b"ps", -1), number(new, b"ps", -1)
        return after < before or (after == before and self.progress[name] != later.progress[name])


def _again(old: Record, new: Record) -> int:
    return number(new, b"gn", 1) - number(old, b"gn", 1)


def _breaks(old: Record, new: Record) -> Iterator[str]:
    again = _again(old, new)
    if number(new, b"tk") < number(old, b"tk"):
        yield "I3"
    if number(new, b"at") < number(old, b"at"):
        yield "I3: attempts are counted back"
    if again not in (0, 1) or (again and old[b"st"] not in (b"F", b"X")):
        yield "I6: another generation began before this one had failed or been cancelled (T16)"
    if not again and old[b"st"] in FINAL and (new[b"st"], new[b"rv"]) != (old[b"st"], old[b"rv"]):
        yield "I6"
    if number(new, b"rv") < number(old, b"rv") + bool(public(new) != public(old) or again):
        yield "I7"


def number(record: Record, field: bytes, default: int = 0) -> int:
    """A number of a record."""
    return int(record.get(field, default))


def public(record: Record) -> bytes:
    """The state as callers see it."""
    return b"Q" if record[b"st"] == b"L" else record[b"st"]
