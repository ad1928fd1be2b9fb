"""What FFmpeg's -progress says, and how far the whole attempt is.

FFmpeg writes ``key=value`` lines; a block ends with ``progress=continue`` or ``progress=end`` (which also comes after
SIGTERM: it says nothing about success). Traps, seen in builds 5.1 to 9.0: ``out_time_ms`` is microseconds; ``N/A``,
huge negative numbers and 0 come first; ``out_time`` lags ``frame`` by the encoder's delay; ``speed=   0x`` and
``1.8e+03x`` occur; with several outputs ``out_time`` may be that of the shortest.
"""

from __future__ import annotations

import enum
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

T = TypeVar("T", int, timedelta)

LONGEST_LINE_BYTES = 4096
BELOW_ONE = 0.999
REMAINING_WINDOW_SECONDS = 30.0
REMAINING_AFTER_SECONDS = 2.0
REMAINING_AFTER_FRACTION = 0.01
LONGEST_REMAINING = timedelta(days=30)


class Phase(enum.StrEnum):
    """What an attempt is doing; the words of telecine.v1.Progress.Phase, in this order."""

    FETCHING = "fetching"
    PROBING = "probing"
    ANALYZING = "analyzing"
    ENCODING = "encoding"
    VERIFYING = "verifying"
    UPLOADING = "uploading"
    PUBLISHING = "publishing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One report of FFmpeg; None where it said nothing usable."""

    position: timedelta | None = None
    frame_count: int | None = None
    frames_per_second: float | None = None
    speed: float | None = None
    output_size_bytes: int | None = None
    last: bool = False


class ProgressParser:
    """Calls *on_block* for every whole block in what it is fed."""

    def __init__(self, on_block: Callable[[Block], None]) -> None:
        self._on_block = on_block
        self._partial = b""
        self._values: dict[str, str] = {}

    def feed(self, chunk: bytes) -> None:
        """Take bytes as they come; a line may be spread over any number of calls. Lines that are no key=value are
        ignored.
        """
        *lines, partial = (self._partial + chunk).split(b"\n")
        self._partial = partial[-LONGEST_LINE_BYTES:]
        for line in lines:
            key, separator, value = line.decode("ascii", errors="replace").partition("=")
            if not separator:
                continue
            self._values[key.strip()] = value.strip()
            if key.strip() == "progress":
                self._on_block(_block(self._values))
                self._values = {}


def _block(values: dict[str, str]) -> Block:
    microseconds = _number(values.get("out_time_us", values.get("out_time_ms")))
    frames = _number(values.get("frame"))
    size = _number(values.get("total_size"))
    return Block(
        position=None if microseconds is None else timedelta(microseconds=min(microseconds, 10**17)),
        frame_count=None if frames is None else int(frames),
        frames_per_second=_number(values.get("fps")),
        speed=_number(values.get("speed", "").removesuffix("x")),
        output_size_bytes=None if size is None else int(size),
        last=values.get("progress") == "end",
    )


def _number(text: str | None) -> float | None:
    """None for what is absent, not a number, not finite, or negative."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A part of the attempt. *weight* is its share of the work, in any unit that all stages have in common.

    A stage with neither *duration* nor *frame_count* cannot say how far it is.
    """

    phase: Phase
    weight: float
    duration: timedelta | None = None
    frame_count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """How far an attempt is; the fields of telecine.v1.Progress. None is unknown; speeds and sizes are 0 while unknown."""

    phase: Phase
    fraction: float | None = None
    media_position: timedelta | None = None
    media_duration: timedelta | None = None
    speed: float = 0.0
    frames_per_second: float = 0.0
    frame_count: int = 0
    output_size_bytes: int = 0
    remaining: timedelta | None = None


class Meter:
    """Adds stages up to one fraction that never goes back, and stays below 1 until :meth:`published`.

    *now* counts seconds from anywhere and never goes back. Until :meth:`plan` the fraction is unknown; it stays unknown
    when a planned stage that takes most of the time cannot say how far it is.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._begun = now()
        self._stages: Sequence[Stage] = ()
        self._done_weight = 0.0
        self._stage = Stage(phase=Phase.FETCHING, weight=0.0)
        self._block = Block()
        self._fraction: float | None = None
        self._samples: deque[tuple[float, float]] = deque()
        self._spent: dict[Phase, float] = {}
        self._entered = self._begun

    def plan(self, stages: Sequence[Stage]) -> None:
        """The stages to come, in order. Each is entered by :meth:`begin`."""
        self._stages = stages
        if all(_is_measurable(stage) for stage in stages):
            self._fraction = 0.0

    def enter(self, phase: Phase) -> None:
        """Begin a phase that has no part in the fraction."""
        self.begin(Stage(phase=phase, weight=0.0))

    def begin(self, stage: Stage) -> None:
        """The stage before is done; *stage* starts at 0."""
        self._done_weight += self._stage.weight
        self._count_time()
        self._stage = stage
        self._block = Block()
        self._advance(0.0)

    def update(self, block: Block) -> None:
        """FFmpeg reported."""
        before = self._block
        self._block = Block(
            position=_larger(before.position, block.position),
            frame_count=_larger(before.frame_count, block.frame_count),
            output_size_bytes=_larger(before.output_size_bytes, block.output_size_bytes),
            frames_per_second=block.frames_per_second,
            speed=block.speed,
        )
        self._advance(self._stage_fraction())

    @property
    def phases(self) -> dict[Phase, timedelta]:
        """Wall time in each phase that was entered, the present one included up to now."""
        self._count_time()
        return {phase: timedelta(seconds=spent) for phase, spent in self._spent.items()}

    def _count_time(self) -> None:
        now, phase = self._now(), self._stage.phase
        self._spent[phase] = self._spent.get(phase, 0.0) + now - self._entered
        self._entered = now

    def published(self) -> None:
        """Everything is visible: the fraction is 1, known before or not."""
        self._fraction = 1.0

    def snapshot(self) -> Snapshot:
        """How far it is now."""
        block = self._block
        return Snapshot(
            phase=self._stage.phase,
            fraction=self._fraction,
            media_position=block.position,
            media_duration=self._stage.duration,
            speed=block.speed or 0.0,
            frames_per_second=block.frames_per_second or 0.0,
            frame_count=block.frame_count or 0,
            output_size_bytes=block.output_size_bytes or 0,
            remaining=self._remaining(),
        )

    def _stage_fraction(self) -> float:
        by_frames = _ratio(self._block.frame_count, self._stage.frame_count)
        position, duration = self._block.position, self._stage.duration
        by_time = position / duration if position is not None and duration else 0.0
        return min(1.0, max(by_frames, by_time))

    def _advance(self, stage_fraction: float) -> None:
        if self._fraction is None:
            return
        total = sum(stage.weight for stage in self._stages) or 1.0
        reached = (self._done_weight + self._stage.weight * stage_fraction) / total
        self._fraction = max(self._fraction, min(BELOW_ONE, reached))
        now = self._now()
        self._samples.append((now, self._fraction))
        while len(self._samples) > 2 and self._samples[1][0] <= now - REMAINING_WINDOW_SECONDS:
            self._samples.popleft()

    def _remaining(self) -> timedelta | None:
        """At the pace of the last half minute; none in the first two seconds or before the first hundredth."""
        fraction, now = self._fraction, self._now()
        if fraction is None or fraction < REMAINING_AFTER_FRACTION or now - self._begun < REMAINING_AFTER_SECONDS:
            return None
        if fraction >= 1.0:
            return timedelta(0)
        then, before = self._samples[0]
        pace = (fraction - before) / (now - then) if now > then else 0.0
        if pace <= 0.0:
            return None
        return min(
            LONGEST_REMAINING, timedelta(seconds=min((1.0 - fraction) / pace, LONGEST_REMAINING.total_seconds()))
        )


def _is_measurable(stage: Stage) -> bool:
    working = stage.phase in (Phase.ANALYZING, Phase.ENCODING)
    return not working or stage.duration is not None or stage.frame_count is not None


def _larger(before: T | None, after: T | None) -> T | None:
    if before is None or after is None:
        return after if before is None else before
    return max(before, after)


def _ratio(done: int | None, total: int | None) -> float:
    return done / total if done is not None and total else 0.0
