"""The steps of a plan, carried out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from telecine_worker.failure import AttemptFailed, permanent
from telecine_worker.ffmpeg import failure_kinds, loudnorm
from telecine_worker.ffmpeg.damage import Damage
from telecine_worker.ffmpeg.findings import Findings, Wanted
from telecine_worker.ffmpeg.process import Usage
from telecine_worker.ffmpeg.progress import Block
from telecine_worker.ffmpeg.run import Ran, Surroundings, run_ffmpeg
from telecine_worker.ffmpeg.warning import MediaWarning
from telecine_worker.hardware_failure import HardwareFailures
from telecine_worker.inputs import Inputs
from telecine_worker.source_damage import SourceDamage
from telecine_worker.tasks.arrivals import nothing_of
from telecine_worker.tasks.plan import Plan, Step


class Execution:
    """Runs steps, one after the other, and remembers what they found.

    *on_block* hears how far a step is, *on_usage* what each process cost. *cwd* is where the steps write.
    *source_damage* judges what is wrong with the inputs.
    """

    def __init__(
        self,
        around: Surroundings,
        inputs: Inputs,
        wanted: Wanted,
        *,
        cwd: str,
        source_damage: SourceDamage,
        on_block: Callable[[Block], None],
        on_usage: Callable[[Usage], None],
    ) -> None:
        self._around = around
        self._inputs = inputs
        self._cwd = cwd
        self._source_damage = source_damage
        self._hardware_failures = HardwareFailures()
        self._on_block = on_block
        self._on_usage = on_usage
        self.findings = Findings(wanted)
        # By the last step that made some.
        self.encoded_frames: int | None = None

    async def run(self, step: Step, examination: Sequence[Step] = ()) -> None:
        """Where damage ends it, *examination* tells of which input. Raises AttemptFailed, Stopped."""
        damage = self._source_damage.heard(step)
        try:
            ran = await self._run_ffmpeg(step, damage)
            if (ran.last.frame_count or 0) < step.least_frames:
                raise permanent(
                    "OUTPUT_EMPTY", f"only {ran.last.frame_count} of {step.least_frames} pictures were made"
                )
            nothing = nothing_of(step.arrivals, damage.marks)
            if nothing:
                raise permanent("OUTPUT_EMPTY", f"{nothing} has no picture up to the end of its part")
        except AttemptFailed as error:
            if step.intact and error.failure.reason in failure_kinds.DAMAGE:
                await self.examine(examination)
            await self._recover(step, error, damage)
        else:
            await self._judge(step, ran, damage)

    async def examine(self, steps: Sequence[Step]) -> bool:
        """Whether what *steps* decode is damaged, and may be. Raises AttemptFailed where it may not; Stopped."""
        found = False
        for step in steps:
            damage = self._source_damage.heard(step)
            ran = await self._run_ffmpeg(step, damage)
            if damage.count:
                await self._inputs.raise_if_unreadable()
            self._source_damage.judge(step, ran.last, damage)
            found = found or bool(damage.count)
        return found

    @property
    def is_cut_short(self) -> bool:
        """Whether a source ends early, and what there is of it is to be used."""
        return self._source_damage.is_cut_short

    @property
    def measurements(self) -> Mapping[str, float]:
        """What the steps measured so far."""
        return self.findings.measurements

    @property
    def warnings(self) -> tuple[MediaWarning, ...]:
        """What was not as it should be, and did not end a step."""
        return (
            *self._source_damage.warnings,
            *self._hardware_failures.warnings,
            *loudnorm.warnings(self.measurements),
        )

    def adjusted(self, plan: Plan) -> Plan:
        """*plan* with what can be expected of sources that turned out to be damaged."""
        return self._source_damage.adjusted(plan)

    async def _run_ffmpeg(self, step: Step, damage: Damage) -> Ran:
        def on_line(line: str) -> None:
            self.findings.line(line)
            damage.line(line)

        return await run_ffmpeg(
            self._around,
            [*self._source_damage.options, *step.filled(self._inputs.urls, self.findings.values)],
            doing=step.phase.value,
            on_block=self._on_block,
            on_usage=self._on_usage,
            on_line=on_line,
            cwd=self._cwd,
        )

    async def _recover(self, step: Step, error: AttemptFailed, damage: Damage) -> None:
        """Do the same in another way, where there is one."""
        if step.hardware and self._hardware_failures.is_one(error.failure):
            self._hardware_failures.note(step, error.failure)
            if step.otherwise is None:
                raise self._hardware_failures.failure(step, error.failure) from error
            await self.run(step.otherwise)
        elif step.otherwise is not None and _wrote_nothing(step, error):
            await self.run(step.otherwise)
        elif step.measures_damage and error.failure.reason in failure_kinds.DAMAGE:
            await self._inputs.raise_if_unreadable()
        elif not (step.partial and self._is_cut_short(step, error, damage)):
            raise error

    def _is_cut_short(self, step: Step, error: AttemptFailed, damage: Damage) -> bool:
        """Whether that is why nothing was written."""
        if not _wrote_nothing(step, error):
            return False
        self._source_damage.note_cut(step, Block(), damage)
        return self.is_cut_short

    async def _judge(self, step: Step, ran: Ran, damage: Damage) -> None:
        """FFmpeg ended with code 0, and may have said more."""
        self.encoded_frames = ran.last.frame_count
        self.findings.ended(ran.last.frame_count)
        if damage.count or failure_kinds.sounds_damaged(ran.log_lines):
            await self._inputs.raise_if_unreadable()
        # What is complained about is counted there.
        judge = self._source_damage.note_cut if step.measures_damage else self._source_damage.judge
        judge(step, ran.last, damage)


def _wrote_nothing(step: Step, error: AttemptFailed) -> bool:
    """Also where FFmpeg says that this is because of a damaged source: what comes before the damage may be shown on."""
    reasons = {failure_kinds.OUTPUT_EMPTY.reason, *(failure_kinds.DAMAGE if step.arrivals or step.partial else ())}
    return error.failure.reason in reasons
