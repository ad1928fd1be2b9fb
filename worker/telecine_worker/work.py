"""The work of one attempt up to where everything is verified and staged, and nothing is visible."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

from telecine.v1 import media_pb2
from telecine_worker.failure import AttemptFailed, permanent
from telecine_worker.ffmpeg import failure_kinds
from telecine_worker.ffmpeg.expected import Expected
from telecine_worker.ffmpeg.findings import Findings, Wanted
from telecine_worker.ffmpeg.media_info import MediaInfo
from telecine_worker.ffmpeg.probe import probe
from telecine_worker.ffmpeg.process import Usage
from telecine_worker.ffmpeg.progress import Block, Meter, Phase, Snapshot, Stage
from telecine_worker.ffmpeg.run import Ran, Surroundings, run_ffmpeg
from telecine_worker.ffmpeg.stop_order import Stopped
from telecine_worker.ffmpeg.verify import verify
from telecine_worker.ffmpeg.verify_pictures import check_picture, decode_pictures
from telecine_worker.inputs import Inputs
from telecine_worker.storage.locations import FileRoots, check_relative
from telecine_worker.storage.publishing import Publisher
from telecine_worker.storage.sources import Intake, sha256
from telecine_worker.storage.staging import Staging, discard_older, open_staging
from telecine_worker.storage.threads import Threads
from telecine_worker.tasks import kinds
from telecine_worker.tasks.plan import Plan, Step

# Shares of what follows encoding, whose steps together are 1.
VERIFYING_SHARE = 0.05
UPLOADING_SHARE = 0.03
PUBLISHING_SHARE = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """One verified file, ready to be published."""

    expected: Expected
    info: MediaInfo | None
    size_bytes: int
    sha256: str


class Work:
    """One after the other: fetch, probe, plan, run, verify, prepare. :meth:`close` gives back what is open.

    *staging_name* also marks the child processes. Each method raises AttemptFailed, or Stopped once the order was
    given.
    """

    def __init__(
        self,
        spec: media_pb2.JobSpec,
        *,
        roots: FileRoots,
        intake: Intake,
        threads: Threads,
        around: Surroundings,
        meter: Meter,
        on_progress: Callable[[Snapshot], None],
        on_input: Callable[[str, int], None],
    ) -> None:
        self._spec = spec
        self._roots = roots
        self._threads = threads
        self._around = around
        self._meter = meter
        self._on_progress = on_progress
        self._opened = Inputs(intake, threads, stopped=lambda: around.stop.given, on_input=on_input)
        self._encoded_frames: int | None = None
        self.findings = Findings(Wanted())
        self.staging: Staging | None = None
        self.inputs: dict[str, MediaInfo] = {}
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
            self.inputs[name] = probed.info

    async def plan(self) -> Plan:
        """What to do; the staging folder is there, where something will be written."""
        plan = kinds.plan(self._spec.task, self.inputs, self._around.toolchain.encoders)
        for expected in plan.artifacts:
            check_relative(expected.path)
        if plan.artifacts:
            await self._threads.run(self._open_staging)
        return plan

    @property
    def input_files(self) -> dict[tuple[int, int], str]:
        """The names of the inputs by device and inode."""
        return self._opened.files

    async def run(self, plan: Plan) -> None:
        """Run every step."""
        self.findings = Findings(plan.wanted or Wanted())
        stages = [_stage(step, plan) for step in plan.steps]
        self._meter.plan([*stages, *(_AFTER_ENCODING if plan.artifacts else ())])
        for step, stage in zip(plan.steps, stages, strict=True):
            self._begin(stage)
            async with self._disk_suspected():
                await self._run_step(step)

    async def verify(self, plan: Plan) -> list[MediaInfo | None]:
        """Check every artifact, in the order of the plan."""
        self._begin(_VERIFYING)
        async with self._disk_suspected():
            return [*await self._verify_pictures(plan)] if plan.sequence else await self._verify_files(plan)

    async def _verify_files(self, plan: Plan) -> list[MediaInfo | None]:
        infos: list[MediaInfo | None] = []
        for expected in plan.artifacts:
            fd = await self._threads.run(self._staging.open_file, expected.file_name, expected.path)
            with os.fdopen(fd):
                verified = await verify(
                    self._around,
                    fd,
                    expected,
                    encoded_frames=self._encoded_frames if expected.exact_streams else None,
                    on_block=lambda _: None,
                    on_usage=self._add_usage,
                )
            infos.append(verified.info)
        return infos

    async def _verify_pictures(self, plan: Plan) -> list[MediaInfo]:
        infos = []
        for expected in plan.artifacts:
            infos.append(await self._threads.run(self._check_picture, expected))
            self.raise_if_stopped()
        await decode_pictures(
            self._around,
            plan.artifacts,
            plan.sequence,
            cwd=self._staging.cwd,
            on_block=lambda _: None,
            on_usage=self._add_usage,
        )
        return infos

    def _check_picture(self, expected: Expected) -> MediaInfo:
        with self._staging.reading(expected.file_name, expected.path) as fd:
            return check_picture(fd, expected)

    async def prepare(self, plan: Plan, infos: list[MediaInfo | None], publisher: Publisher) -> list[Prepared]:
        """Bring every artifact to disk, and take its checksum."""
        self._begin(_UPLOADING)
        prepared = []
        for expected, info in zip(plan.artifacts, infos, strict=True):
            prepared.append(await self._threads.run(self._prepare, expected, info, publisher))
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

    def close(self) -> None:
        """Close the inputs; remove what is staged, and what older attempts left. Blocks: for a thread. Safe to repeat.

        Raises OSError where something cannot be removed.
        """
        try:
            self._opened.close()
        finally:
            self._discard()

    def _discard(self) -> None:
        if self.staging is not None:
            self.staging.discard()
        elif self._spec.HasField("output"):
            # Not a place where anything could have been staged: nothing to remove.
            with suppress(AttemptFailed):
                discard_older(self._roots, uri=self._spec.output.uri, name=self._around.marker)

    @property
    def _staging(self) -> Staging:
        assert self.staging is not None  # noqa: S101 - run() comes first
        return self.staging

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

    def _open_staging(self) -> None:
        self.staging = open_staging(self._roots, uri=self._spec.output.uri, name=self._around.marker)

    async def _run_step(self, step: Step) -> None:
        try:
            ran = await self._run_ffmpeg(step)
            if (ran.last.frame_count or 0) < step.least_frames:
                raise permanent(
                    "OUTPUT_EMPTY", f"only {ran.last.frame_count} of {step.least_frames} pictures were made"
                )
        except AttemptFailed as error:
            if step.otherwise is not None and error.failure.reason == failure_kinds.OUTPUT_EMPTY.reason:
                await self._run_step(step.otherwise)
                return
            if not step.measures_damage or error.failure.reason not in failure_kinds.DAMAGE:
                raise
            await self._opened.raise_if_unreadable()
        else:
            await self._judge(step, ran)

    async def _run_ffmpeg(self, step: Step) -> Ran:
        return await run_ffmpeg(
            self._around,
            step.filled(self._opened.urls),
            doing=step.phase.value,
            on_block=self._on_block,
            on_usage=self._add_usage,
            on_line=self.findings.line,
            cwd="/" if self.staging is None else self.staging.cwd,
        )

    async def _judge(self, step: Step, ran: Ran) -> None:
        """FFmpeg ended with code 0, and may have said more."""
        self._encoded_frames = ran.last.frame_count
        cut = failure_kinds.cut_short(ran.log_lines) if step.needs_whole_input else ""
        if cut:
            raise permanent("INPUT_TRUNCATED", f"the input is shorter than it says; FFmpeg says: {cut}")
        if failure_kinds.sounds_damaged(ran.log_lines):
            await self._opened.raise_if_unreadable()

    @asynccontextmanager
    async def _disk_suspected(self) -> AsyncIterator[None]:
        """Of what may fail because a disk did: then the failure is one to be tried again."""
        try:
            yield
        except AttemptFailed as error:
            if error.failure.reason in _SUSPICIOUS:
                await self._opened.raise_if_unreadable()
            raise

    def _prepare(self, expected: Expected, info: MediaInfo | None, publisher: Publisher) -> Prepared:
        publisher.prepare(expected.file_name, expected.path)
        with self._staging.reading(expected.file_name, expected.path) as fd:
            digest = sha256(fd, lambda: self._around.stop.given)
            size = os.fstat(fd).st_size
        if digest is None:
            raise Stopped
        return Prepared(expected=expected, info=info, size_bytes=size, sha256=digest)


_VERIFYING = Stage(phase=Phase.VERIFYING, weight=VERIFYING_SHARE)
_UPLOADING = Stage(phase=Phase.UPLOADING, weight=UPLOADING_SHARE)
_PUBLISHING = Stage(phase=Phase.PUBLISHING, weight=PUBLISHING_SHARE)
# What becomes of a file that ends early, or has a hole.
_SUSPICIOUS = failure_kinds.DAMAGE | {failure_kinds.UNKNOWN.reason, "VERIFICATION_FAILED"}
_AFTER_ENCODING = (_VERIFYING, _UPLOADING, _PUBLISHING)


def _stage(step: Step, plan: Plan) -> Stage:
    total = sum(each.weight for each in plan.steps)
    return Stage(phase=step.phase, weight=step.weight / total, duration=step.duration, frame_count=step.frame_count)
