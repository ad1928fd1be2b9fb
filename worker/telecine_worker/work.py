"""The work of one attempt up to where everything is verified and staged, and nothing is visible."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Concatenate, ParamSpec, TypeVar

from telecine.v1 import media_pb2
from telecine_worker.execution import Execution
from telecine_worker.failure import AttemptFailed
from telecine_worker.ffmpeg import failure_kinds, mismatch
from telecine_worker.ffmpeg.findings import Findings, Wanted
from telecine_worker.ffmpeg.media_info import MediaInfo
from telecine_worker.ffmpeg.probe import probe
from telecine_worker.ffmpeg.process import Usage
from telecine_worker.ffmpeg.progress import Block, Meter, Phase, Snapshot, Stage
from telecine_worker.ffmpeg.run import Surroundings
from telecine_worker.ffmpeg.stop_order import Stopped
from telecine_worker.ffmpeg.warning import MediaWarning
from telecine_worker.input_files import InputFiles
from telecine_worker.inputs import Inputs
from telecine_worker.outcome import Ended, Succeeded
from telecine_worker.preparation import Prepared, prepare_all
from telecine_worker.scripts import shortened, write_scripts
from telecine_worker.storage.destination import Destination
from telecine_worker.storage.destinations import Destinations, InputPlaces
from telecine_worker.storage.fetch_errors import FetchStopped
from telecine_worker.storage.locations import check_relative
from telecine_worker.storage.sources import Intake
from telecine_worker.storage.staging import Staging
from telecine_worker.storage.threads import Threads
from telecine_worker.tasks import kinds
from telecine_worker.tasks.plan import Plan, Step
from telecine_worker.verification import Checked, Verification

P = ParamSpec("P")
T = TypeVar("T")

# Shares of what follows encoding, whose steps together are 1.
VERIFYING_SHARE = 0.05
UPLOADING_SHARE = 0.03
PUBLISHING_SHARE = 0.02


class Work:
    """One after the other: fetch, probe, plan, run, verify, prepare. :meth:`close` gives back what is open.

    *may_publish* is asked in a thread before every step that can be seen. *on_full* hears that it has to end because it
    fills the disk. Each method raises AttemptFailed, or Stopped once the order was given.
    """

    def __init__(
        self,
        spec: media_pb2.JobSpec,
        *,
        tenant: str,
        destinations: Destinations,
        may_publish: Callable[[], bool],
        on_full: Callable[[], None],
        intake: Intake,
        threads: Threads,
        around: Surroundings,
        meter: Meter,
        on_progress: Callable[[Snapshot], None],
        on_input: Callable[[str, int], None],
    ) -> None:
        self._spec = spec
        self._destinations = destinations
        self._may_publish = may_publish
        self._on_full = on_full
        self._threads = threads
        self._around = around
        self._meter = meter
        self._on_progress = on_progress
        self._files = InputFiles()
        self._opened = Inputs(intake, threads, tenant=tenant, stopped=lambda: around.stop.given, on_input=on_input)
        self._execution = Execution(
            around, self._opened, Wanted(), cwd="/", source_damage=self._files.source_damage(spec),
            on_block=self._on_block, on_usage=self._add_usage,
        )  # fmt: skip
        self._destination: Destination | None = None
        self.usage = Usage()

    async def fetch(self) -> None:
        """Open the inputs, which fetches what lies elsewhere, and compare their checksums."""
        self.enter(Phase.FETCHING)
        kinds.check_inputs(self._spec)
        kinds.check_output(self._spec)
        await self._opened.open(self._spec.inputs)
        names = {url: name for name, url in self._opened.urls.items()}
        self._around = replace(self._around, pass_fds=list(self._opened.fds.values()), names=names)

    async def probe(self) -> None:
        """Look at the inputs."""
        self.enter(Phase.PROBING)
        for name, fd in self._opened.fds.items():
            async with self._disk_suspected():
                probed = await probe(self._around, fd, name=f"input {name}")
            self._add_usage(probed.usage)
            await self._threads.run(self._files.look, name, fd, probed.info)

    async def plan(self) -> Plan:
        """What to do; the staging folder is there, where something will be written."""
        plan = kinds.plan(self._spec.task, self.inputs, self._around.toolchain.encoders)
        plan.check_filters(self._around.toolchain.filters)
        for expected in plan.artifacts:
            check_relative(expected.path)
        if plan.artifacts:
            self._destination = await self._threads.run(self._open_destination)
        return plan

    @property
    def inputs(self) -> Mapping[str, MediaInfo]:
        """What they are, as far as they were looked at."""
        return self._files.infos

    @property
    def findings(self) -> Findings:
        """What the steps found."""
        return self._execution.findings

    @property
    def warnings(self) -> tuple[MediaWarning, ...]:
        """What was not as it should be, and did not end the steps."""
        return self._execution.warnings

    def accounted(self, ended: Ended) -> Ended:
        """The end of this work, with the bytes that came in and went out, and where the time went."""
        made = ended.artifacts if isinstance(ended, Succeeded) else ()
        return replace(
            ended,
            input_size_bytes=self._opened.size_bytes,
            output_size_bytes=sum(artifact.size_bytes for artifact in made),
            phases=self._meter.phases,
        )

    @property
    def destination(self) -> Destination:
        """Where the files go; there once the plan has some."""
        assert self._destination is not None  # noqa: S101 - plan() comes first
        return self._destination

    async def stoppable(
        self, call: Callable[Concatenate[Callable[[], bool], P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """*call* in a thread, which is given first what says whether to give up. Raises Stopped, too."""
        try:
            return await self._threads.run_stoppable(lambda: self._around.stop.given, call, *args, **kwargs)
        except FetchStopped:
            raise Stopped from None

    async def run(self, plan: Plan) -> None:
        """Run every step."""
        source_damage = self._files.source_damage(self._spec)
        async with self._disk_suspected():
            source_damage.judge_files(plan.steps)
        self._execution = Execution(
            self._around, self._opened, plan.wanted or Wanted(), cwd=self._staging.cwd if self._destination else "/",
            source_damage=source_damage, on_block=self._on_block, on_usage=self._add_usage,
        )  # fmt: skip
        examined = plan.examination if self._spec.damage_policy == media_pb2.DAMAGE_POLICY_FAIL else ()
        steps = (*examined, *plan.steps)
        stages = [_stage(step, steps) for step in steps]
        self._meter.plan([*stages, *(_AFTER_ENCODING if plan.artifacts else ())])
        await self._threads.run(self._write_scripts, plan)
        for step, stage in zip(steps, stages, strict=True):
            self._begin(stage)
            async with self._disk_suspected():
                await (
                    self._execution.examine((step,))
                    if step in examined
                    else self._execution.run(step, plan.examination)
                )

    async def verify(self, plan: Plan) -> list[Checked]:
        """Check every file that is to be published, in that order."""
        self._begin(_VERIFYING)
        whole = self._spec.verification == media_pb2.VERIFICATION_WHOLE
        if plan.sequence and self._execution.is_cut_short:
            counted = self._execution.encoded_frames or 0
            plan = await self._threads.run(shortened, plan, self._staging, self._opened.urls, counted)
        verification = Verification(
            self._around, self._staging, self._threads, self._execution, whole=whole, on_usage=self._add_usage
        )
        async with self._disk_suspected():
            return await verification.check(plan)

    async def prepare(self, checked: list[Checked]) -> list[Prepared]:
        """Take the checksum of every file, and bring it to where one step makes it visible."""
        self._begin(_UPLOADING)
        prepared = await self.stoppable(prepare_all, self.destination, checked)
        self.raise_if_stopped()
        return prepared

    def begin_publishing(self) -> None:
        """From here on things become visible."""
        self._begin(_PUBLISHING)

    def finish(self) -> None:
        """Everything is visible, or there was nothing to show."""
        self._meter.published()
        self._report()

    def enter(self, phase: Phase) -> None:
        """Begin a phase that is not part of the plan."""
        self.raise_if_stopped()
        self._meter.enter(phase)
        self._report()

    def raise_if_stopped(self) -> None:
        """Between two steps."""
        if self._around.stop.given:
            raise Stopped

    def close(self, tidied: Callable[[], bool]) -> None:
        """Close the inputs; remove what is staged, and what older attempts left, in a store until *tidied* says that it is
        enough. Blocks: for a thread. Safe to repeat.

        Raises OSError where something cannot be removed.
        """
        try:
            self._opened.close()
        finally:
            self._discard(tidied)

    def _discard(self, tidied: Callable[[], bool]) -> None:
        if self._destination is not None:
            self._destinations.close(self._destination, tidied)
        elif self._spec.HasField("output"):
            self._destinations.discard_older(self._spec.output.uri, self._around.marker, tidied)

    @property
    def _staging(self) -> Staging:
        return self.destination.staging

    def _begin(self, stage: Stage) -> None:
        self.raise_if_stopped()
        self._meter.begin(stage)
        self._report()

    def _report(self) -> None:
        self._on_progress(self._meter.snapshot())

    def _add_usage(self, usage: Usage) -> None:
        self.usage = self.usage + usage

    def _on_block(self, block: Block) -> None:
        self._meter.update(block)
        self._report()

    def _open_destination(self) -> Destination:
        output = self._spec.output
        return self._destinations.open(
            output.uri,
            self._around.marker,
            replace=output.if_exists != media_pb2.Output.IF_EXISTS_FAIL,
            per_attempt=output.layout == media_pb2.Output.LAYOUT_PER_ATTEMPT,
            allowed=self._may_publish,
            end=self._on_full,
            inputs=InputPlaces(files=self._opened.files, objects=self._opened.objects),
        )

    @asynccontextmanager
    async def _disk_suspected(self) -> AsyncIterator[None]:
        """Of what may fail because a disk did: then the failure is one to be tried again."""
        try:
            yield
        except AttemptFailed as error:
            if error.failure.reason in _SUSPICIOUS:
                await self._opened.raise_if_unreadable()
            raise

    def _write_scripts(self, plan: Plan) -> None:
        if plan.scripts:
            write_scripts(plan, self._staging, self._opened.urls)


_VERIFYING = Stage(phase=Phase.VERIFYING, weight=VERIFYING_SHARE)
_UPLOADING = Stage(phase=Phase.UPLOADING, weight=UPLOADING_SHARE)
_PUBLISHING = Stage(phase=Phase.PUBLISHING, weight=PUBLISHING_SHARE)
# What becomes of a file that ends early, or has a hole.
_SUSPICIOUS = failure_kinds.DAMAGE | {failure_kinds.UNKNOWN.reason, mismatch.FAILED}
_AFTER_ENCODING = (_VERIFYING, _UPLOADING, _PUBLISHING)


def _stage(step: Step, steps: Sequence[Step]) -> Stage:
    total = sum(each.weight for each in steps)
    return Stage(phase=step.phase, weight=step.weight / total, duration=step.duration, frame_count=step.frame_count)
