"""What becomes of an attempt whose sources are damaged: a failure or a warning, by the spec's damage policy."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType

from telecine.v1 import media_pb2
from telecine_worker.failure import AttemptFailed, permanent
from telecine_worker.ffmpeg.damage import Complaints, Damage
from telecine_worker.ffmpeg.expected import Expected
from telecine_worker.ffmpeg.progress import Block
from telecine_worker.ffmpeg.warning import MediaWarning, WarningReason
from telecine_worker.tasks.arrivals import missing
from telecine_worker.tasks.concat_copy import ENCODE_INSTEAD
from telecine_worker.tasks.plan import Plan, Step

# How far the end of a result may lie from the last time FFmpeg told, beyond what was planned: that may be the time of decoding,
# which is a few pictures earlier.
TOLERANCE = timedelta(milliseconds=500)
# The last packet of a sound that was cut, which FFmpeg tells the beginning of.
LAST_SOUND = timedelta(milliseconds=250)
_EARLY = "ends before its own length"
_WHOLE = "an input that is whole would be right"


class SourceDamage:
    """Of all steps of one attempt with *inputs*. *cut_files* has what is missing of those that are smaller than they say,
    *torn_files* what is wrong with the ends of those that say nothing; those in *begin_between* begin between key frames.
    """

    def __init__(
        self,
        policy: media_pb2.DamagePolicy.ValueType,
        *,
        inputs: Sequence[str],
        cut_files: Mapping[str, str] = MappingProxyType({}),
        torn_files: Mapping[str, str] = MappingProxyType({}),
        begin_between: Collection[str] = (),
    ) -> None:
        self._policy = policy
        self._inputs = tuple(inputs)
        self._complaints: dict[str, Complaints] = {}
        self._cut_files = cut_files
        self._torn_files = torn_files
        self._begin_between = begin_between
        self._torn: dict[str, str] = {}
        self._cut_short: dict[str, str] = {}
        self._cut_off = ""
        self._reached: dict[str, timedelta | None] = {}
        self._last_reached: timedelta | None = None

    @property
    def options(self) -> Sequence[str]:
        """Of every run: by itself FFmpeg gives up when two of three packets cannot be decoded."""
        return ("-max_error_rate", "1") if self._policy == media_pb2.DAMAGE_POLICY_WARN else ()

    def heard(self, step: Step) -> Damage:
        """What hears the log of *step*."""
        named = [name for name in step.inputs if name]
        begins_between = bool(named) and all(name in self._begin_between for name in named)
        return Damage(seeks="-ss" in step.argv, inputs=step.inputs, begins_between=begins_between)

    def judge_files(self, steps: Sequence[Step]) -> None:
        """Before *steps* are run: what is known to be cut short needs no decoding. Raises AttemptFailed INPUT_TRUNCATED,
        INPUT_DAMAGED.
        """
        tells = all(step.tells_damage for step in steps)
        intact = any(step.intact for step in steps)
        for name, missing_part in self._cut_files.items():
            self._cut(name, missing_part, intact=intact, tells=tells)
        for name, said in self._torn_files.items():
            if self._policy == media_pb2.DAMAGE_POLICY_FAIL and not tells:
                raise self._damaged(name, f"is damaged: {said}")
            self._torn[name] = said

    def judge(self, step: Step, last: Block, damage: Damage) -> None:
        """After a run that ended well, with its *last* report. Raises AttemptFailed INPUT_DAMAGED, INPUT_TRUNCATED."""
        self.note_cut(step, last, damage)
        for name, found in self._placed(damage).items():
            if step.intact or self._policy == media_pb2.DAMAGE_POLICY_FAIL:
                instead = f"; {ENCODE_INSTEAD}" if step.intact else ", or another damage_policy"
                raise permanent("INPUT_DAMAGED", f"{self._named(name)} {_said(found)}; {_WHOLE}{instead}")
            # Every pass reads the same source: the worst one counts.
            if found.count > self._complaints.get(name, Complaints()).count:
                self._complaints[name] = found
        cut_off = _goes_on(step, last)
        if cut_off and self._policy != media_pb2.DAMAGE_POLICY_WARN:
            raise permanent("INPUT_INVALID", f"{self._named(self._only)} is longer than was planned: {cut_off}")
        self._cut_off = self._cut_off or cut_off
        for file_name in step.written:
            self._reached[file_name] = self._last_reached = last.position

    def note_cut(self, step: Step, last: Block, damage: Damage) -> None:
        """Of a run that ended in any way. Raises AttemptFailed INPUT_TRUNCATED."""
        missed = missing(step.arrivals, damage.marks)
        for name, ends in missed.items():
            words = damage.cut_short if damage.cut_input == name else ""
            self._cut(name, "; ".join(filter(None, (ends, words))), intact=step.intact, tells=step.tells_damage)
        said = damage.cut_short or ("" if missed else _ends_early(step, last))
        # That something ends early follows from what is known of one of them.
        if said and not (self._cut_short and not damage.cut_input):
            self._cut(damage.cut_input or self._only, said, intact=step.intact, tells=step.tells_damage)

    def _damaged(self, name: str, said: str, *, intact: bool = False) -> AttemptFailed:
        instead = "" if intact else ", or another damage_policy"
        return permanent("INPUT_DAMAGED", f"{self._named(name)} {said}; {_WHOLE}{instead}")

    def _cut(self, name: str, said: str, *, intact: bool, tells: bool) -> None:
        if intact or not (tells or self._policy == media_pb2.DAMAGE_POLICY_WARN):
            instead = f"; {ENCODE_INSTEAD}" if intact else ", or damage_policy WARN, which uses what is there"
            raise permanent("INPUT_TRUNCATED", f"{self._named(name)} {_EARLY}: {said}; {_WHOLE}{instead}")
        self._cut_short.setdefault(name, said)

    @property
    def is_cut_short(self) -> bool:
        """Whether an input ends early, and what there is of it is to be used."""
        return bool(self._cut_short)

    @property
    def warnings(self) -> tuple[MediaWarning, ...]:
        """What was found, and let pass."""
        found = [
            self._warning(WarningReason.INPUT_DAMAGED, name, _said(complaints), complaints.count)
            for name, complaints in self._complaints.items()
        ]
        for name, said in self._cut_short.items():
            found.append(self._warning(WarningReason.INPUT_TRUNCATED, name, f"{_EARLY}: {said}", 1))
        for name, said in self._torn.items():
            found.append(self._warning(WarningReason.INPUT_DAMAGED, name, f"is damaged: {said}", 1))
        if self._cut_off:
            message = f"is longer than was planned, and was cut: {self._cut_off}"
            found.append(self._warning(WarningReason.INPUT_DAMAGED, self._only, message, 1))
        return tuple(found)

    def adjusted(self, plan: Plan) -> Plan:
        """What can be expected where something is missing: as long as FFmpeg told, with however many pictures. That all that
        was encoded is in the file is checked all the same.
        """
        is_as_planned = not self._complaints and not self._cut_short and not self._cut_off
        # What is held and filled is whole, whatever came.
        if is_as_planned or any(arrival.filled for step in plan.steps for arrival in step.arrivals):
            return plan
        return replace(
            plan,
            artifacts=tuple(self._adjusted(each) for each in plan.artifacts),
            package=None if plan.package is None else plan.package.adjusted(self._adjusted),
        )

    def _adjusted(self, expected: Expected) -> Expected:
        video = None if expected.video is None else replace(expected.video, frame_count=None, end=None)
        audio = None if expected.audio is None else replace(expected.audio, end=None)
        # The files of a package are named by its muxer; which of them is short, where one is, nobody says.
        reached = self._reached.get(expected.file_name, None if self._cut_short else self._last_reached)
        duration = None if expected.duration is None else reached
        return replace(
            expected, video=video, audio=audio, duration=duration, tolerance=4 * expected.tolerance + TOLERANCE
        )

    @property
    def _only(self) -> str:
        """The input, where there is one."""
        return self._inputs[0] if len(self._inputs) == 1 else ""

    def _placed(self, damage: Damage) -> Mapping[str, Complaints]:
        """By input. What names none is about the one that is known to be hurt, or the only one that there is."""
        found = dict(damage.of_inputs)
        hurt = sorted({*found, *self._cut_short} - {""})
        own = hurt[0] if len(hurt) == 1 else self._only
        if "" in found and own:
            unnamed, there = found.pop(""), found.get(own)
            # What a decoder says comes before what is said of its input, and says more.
            found[own] = Complaints(count=unnamed.count + (there.count if there else 0), first=unnamed.first)
        return found

    def _named(self, name: str) -> str:
        if name:
            return f"input {name}"
        return f"one of the inputs {', '.join(self._inputs)}" if self._inputs else "an input"

    def _warning(self, reason: WarningReason, name: str, said: str, count: int) -> MediaWarning:
        return MediaWarning(reason=reason, message=f"{self._named(name)} {said}", count=count, input_name=name)


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
    if not reached and not 0 < step.most_pictures <= (last.frame_count or 0):
        return ""
    said = "nothing of its length" if step.duration is None else f"that it lasts {step.duration.total_seconds():.2f} s"
    return f"it goes on at {step.most_duration.total_seconds():.2f} s, and says {said}"


def _said(complaints: Complaints) -> str:
    times = "once" if complaints.count == 1 else f"{complaints.count} times"
    return f"is damaged: FFmpeg complained {times} about it, first: {complaints.first}"
