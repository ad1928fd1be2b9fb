"""What becomes of an attempt whose sources are damaged: a failure or a warning, by the spec's damage policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from telecine.v1 import media_pb2
from telecine_worker.failure import permanent
from telecine_worker.ffmpeg.damage import Damage
from telecine_worker.ffmpeg.expected import Expected
from telecine_worker.ffmpeg.progress import Block
from telecine_worker.ffmpeg.warning import MediaWarning, WarningReason
from telecine_worker.tasks.plan import Plan, Step

# How far the end of a result may lie from the last time FFmpeg told, beyond what was planned: that may be the time of decoding,
# which is a few pictures earlier.
TOLERANCE = timedelta(milliseconds=500)
# The last packet of a sound that was cut, which FFmpeg tells the beginning of.
LAST_SOUND = timedelta(milliseconds=250)


class SourceDamage:
    """Of all steps of one attempt. *input_name* is that of its only input, empty where it has several."""

    def __init__(self, policy: media_pb2.DamagePolicy.ValueType, *, input_name: str) -> None:
        self._policy = policy
        self._input_name = input_name
        self._count = 0
        self._first = ""
        self._cut_short = ""
        self._cut_off = ""
        self._reached: timedelta | None = None

    @property
    def options(self) -> Sequence[str]:
        """Of every run: by itself FFmpeg gives up when two of three packets cannot be decoded."""
        return ("-max_error_rate", "1") if self._policy == media_pb2.DAMAGE_POLICY_WARN else ()

    def judge(self, step: Step, last: Block, damage: Damage) -> None:
        """After a run that ended well, with its *last* report. Raises AttemptFailed INPUT_DAMAGED, INPUT_TRUNCATED."""
        cut_short = damage.cut_short or _ends_early(step, last)
        if cut_short and self._policy != media_pb2.DAMAGE_POLICY_WARN:
            raise permanent("INPUT_TRUNCATED", f"{self._name} ends before its own length: {cut_short}")
        if damage.count and self._policy == media_pb2.DAMAGE_POLICY_FAIL:
            raise permanent("INPUT_DAMAGED", f"{self._name} {_complaints(damage.count, damage.first)}")
        cut_off = _goes_on(step, last)
        if cut_off and self._policy != media_pb2.DAMAGE_POLICY_WARN:
            raise permanent("INPUT_INVALID", f"{self._name} is longer than was planned: {cut_off}")
        # Every pass reads the same source: the worst one counts.
        if damage.count > self._count:
            self._count, self._first = damage.count, damage.first
        self._cut_short = self._cut_short or cut_short
        self._cut_off = self._cut_off or cut_off
        self._reached = last.position

    @property
    def warnings(self) -> tuple[MediaWarning, ...]:
        """What was found, and let pass."""
        found = []
        if self._count:
            message = f"{self._name} {_complaints(self._count, self._first)}"
            found.append(self._warning(WarningReason.INPUT_DAMAGED, message, self._count))
        if self._cut_short:
            message = f"{self._name} ends before its own length: {self._cut_short}"
            found.append(self._warning(WarningReason.INPUT_TRUNCATED, message, 1))
        if self._cut_off:
            message = f"{self._name} is longer than was planned, and was cut: {self._cut_off}"
            found.append(self._warning(WarningReason.INPUT_DAMAGED, message, 1))
        return tuple(found)

    def adjusted(self, plan: Plan) -> Plan:
        """What can be expected where something is missing: as long as FFmpeg told, with however many pictures. That all that
        was encoded is in the file is checked all the same.
        """
        if not self._count and not self._cut_short and not self._cut_off:
            return plan
        return replace(
            plan,
            artifacts=tuple(self._adjusted(each) for each in plan.artifacts),
            package=None if plan.package is None else plan.package.adjusted(self._adjusted),
        )

    def _adjusted(self, expected: Expected) -> Expected:
        video = None if expected.video is None else replace(expected.video, frame_count=None)
        duration = None if expected.duration is None else self._reached
        return replace(expected, video=video, duration=duration, tolerance=4 * expected.tolerance + TOLERANCE)

    @property
    def _name(self) -> str:
        return f"input {self._input_name}" if self._input_name else "an input"

    def _warning(self, reason: WarningReason, message: str, count: int) -> MediaWarning:
        return MediaWarning(reason=reason, message=message, count=count, input_name=self._input_name)


def _ends_early(step: Step, last: Block) -> str:
    """Containers that are read from front to back just end: only that there is less than they say tells it."""
    if step.least_duration is not None and last.position is not None and last.position < step.least_duration:
        return f"nothing comes after {last.position.total_seconds():.2f} s"
    if last.frame_count is not None and last.frame_count < step.least_pictures:
        return f"it has {last.frame_count} pictures, at least {step.least_pictures} were to come"
    return ""


def _goes_on(step: Step, last: Block) -> str:
    """What is cut was not to reach the place of the cut."""
    if step.most_duration is None:
        return ""
    reached = last.position is not None and last.position >= step.most_duration - LAST_SOUND
    if not reached and (last.frame_count or 0) < step.most_pictures:
        return ""
    said = "nothing of its length" if step.duration is None else f"that it lasts {step.duration.total_seconds():.2f} s"
    return f"it goes on at {step.most_duration.total_seconds():.2f} s, and says {said}"


def _complaints(count: int, first: str) -> str:
    times = "once" if count == 1 else f"{count} times"
    return f"is damaged: FFmpeg complained {times} about it, first: {first}"
