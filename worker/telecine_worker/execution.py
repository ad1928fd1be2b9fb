"""The steps of a plan, carried out."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from telecine_worker.failure import AttemptFailed, permanent
from telecine_worker.ffmpeg import failure_kinds
from telecine_worker.ffmpeg.findings import Findings, Wanted
from telecine_worker.ffmpeg.process import Usage
from telecine_worker.ffmpeg.progress import Block
from telecine_worker.ffmpeg.run import Ran, Surroundings, run_ffmpeg
from telecine_worker.inputs import Inputs
from telecine_worker.tasks.plan import Step


class Execution:
    """Runs steps, one after the other, and remembers what they found.

    *on_block* hears how far a step is, *on_usage* what each process cost. *cwd* is where the steps write.
    """

    def __init__(
        self,
        around: Surroundings,
        inputs: Inputs,
        wanted: Wanted,
        *,
        cwd: str,
        on_block: Callable[[Block], None],
        on_usage: Callable[[Usage], None],
    ) -> None:
        self._around = around
        self._inputs = inputs
        self._cwd = cwd
        self._on_block = on_block
        self._on_usage = on_usage
        self.findings = Findings(wanted)
        # By the last step that made some.
        self.encoded_frames: int | None = None

    async def run(self, step: Step) -> None:
        """Raises AttemptFailed, Stopped."""
        try:
            ran = await self._run_ffmpeg(step)
            if (ran.last.frame_count or 0) < step.least_frames:
                raise permanent(
                    "OUTPUT_EMPTY", f"only {ran.last.frame_count} of {step.least_frames} pictures were made"
                )
        except AttemptFailed as error:
            if step.otherwise is not None and error.failure.reason == failure_kinds.OUTPUT_EMPTY.reason:
                await self.run(step.otherwise)
                return
            if not step.measures_damage or error.failure.reason not in failure_kinds.DAMAGE:
                raise
            await self._inputs.raise_if_unreadable()
        else:
            await self._judge(step, ran)

    @property
    def measurements(self) -> Mapping[str, float]:
        """What the steps measured so far."""
        return self.findings.measurements

    async def _run_ffmpeg(self, step: Step) -> Ran:
        return await run_ffmpeg(
            self._around,
            step.filled(self._inputs.urls, self.measurements),
            doing=step.phase.value,
            on_block=self._on_block,
            on_usage=self._on_usage,
            on_line=self.findings.line,
            cwd=self._cwd,
        )

    async def _judge(self, step: Step, ran: Ran) -> None:
        """FFmpeg ended with code 0, and may have said more."""
        self.encoded_frames = ran.last.frame_count
        cut = failure_kinds.cut_short(ran.log_lines) if step.needs_whole_input else ""
        if cut:
            raise permanent("INPUT_TRUNCATED", f"the input is shorter than it says; FFmpeg says: {cut}")
        if failure_kinds.sounds_damaged(ran.log_lines):
            await self._inputs.raise_if_unreadable()
