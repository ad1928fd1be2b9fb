"""The work of one attempt up to where everything is verified and staged, and nothing is visible."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

from telecine.v1 import media_pb2
from telecine_worker.execution import Execution
from telecine_worker.failure import AttemptFailed
from telecine_worker.ffmpeg import failure_kinds
from telecine_worker.ffmpeg.expected import Expected
from telecine_worker.ffmpeg.findings import Findings, Wanted
from telecine_worker.ffmpeg.media_info import MediaInfo
from telecine_worker.ffmpeg.probe import probe
from telecine_worker.ffmpeg.process import Usage
from telecine_worker.ffmpeg.progress import Block, Meter, Phase, Snapshot, Stage
from telecine_worker.ffmpeg.run import Surroundings
from telecine_worker.ffmpeg.stop_order import Stopped
from telecine_worker.inputs import Inputs
from telecine_worker.storage.locations import FileRoots, check_relative
from telecine_worker.storage.publishing import Publisher
from telecine_worker.storage.sources import Intake, sha256
from telecine_worker.storage.staging import Staging, discard_older, open_staging
from telecine_worker.storage.threads import Threads
from telecine_worker.tasks import kinds
from telecine_worker.tasks.plan import Plan, Step, filled
from telecine_worker.verification import Checked, Verification

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
        self._execution = Execution(
            around, self._opened, Wanted(), cwd="/", on_block=self._on_block, on_usage=self._add_usage
        )
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
    def findings(self) -> Findings:
        """What the steps found."""
        return self._execution.findings

    @property
    def input_files(self) -> dict[tuple[int, int], str]:
        """The names of the inputs by device and inode."""
        return self._opened.files

    async def run(self, plan: Plan) -> None:
        """Run every step."""
        self._execution = Execution(
            self._around, self._opened, plan.wanted or Wanted(), cwd=self._staging.cwd if self.staging else "/",
            on_block=self._on_block, on_usage=self._add_usage,
        )  # fmt: skip
        stages = [_stage(step, plan) for step in plan.steps]
        self._meter.plan([*stages, *(_AFTER_ENCODING if plan.artifacts else ())])
        await self._threads.run(self._write_scripts, plan)
        for step, stage in zip(plan.steps, stages, strict=True):
            self._begin(stage)
            async with self._disk_suspected():
                await self._execution.run(step)

    async def verify(self, plan: Plan) -> list[Checked]:
        """Check every file that is to be published, in that order."""
        self._begin(_VERIFYING)
        verification = Verification(self._around, self._staging, self._threads, on_usage=self._add_usage)
        async with self._disk_suspected():
            return await verification.check(plan, encoded_frames=self._execution.encoded_frames)

    async def prepare(self, checked: list[Checked], publisher: Publisher) -> list[Prepared]:
        """Bring every file to disk, and take its checksum."""
        self._begin(_UPLOADING)
        prepared = []
        for each in checked:
            prepared.append(await self._threads.run(self._prepare, each, publisher))
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
        for script in plan.scripts:
            lines = ["".join(filled(each, self._opened.urls, {}) for each in line) for line in script.lines]
            self._staging.write_file(script.file_name, "\n".join([*lines, ""]).encode())

    def _prepare(self, checked: Checked, publisher: Publisher) -> Prepared:
        expected = checked.expected
        publisher.prepare(expected.file_name, expected.path)
        with self._staging.reading(expected.file_name, expected.path) as fd:
            digest = sha256(fd, lambda: self._around.stop.given)
            size = os.fstat(fd).st_size
        if digest is None:
            raise Stopped
        return Prepared(expected=expected, info=checked.info, size_bytes=size, sha256=digest)


_VERIFYING = Stage(phase=Phase.VERIFYING, weight=VERIFYING_SHARE)
_UPLOADING = Stage(phase=Phase.UPLOADING, weight=UPLOADING_SHARE)
_PUBLISHING = Stage(phase=Phase.PUBLISHING, weight=PUBLISHING_SHARE)
# What becomes of a file that ends early, or has a hole.
_SUSPICIOUS = failure_kinds.DAMAGE | {failure_kinds.UNKNOWN.reason, "VERIFICATION_FAILED"}
_AFTER_ENCODING = (_VERIFYING, _UPLOADING, _PUBLISHING)


def _stage(step: Step, plan: Plan) -> Stage:
    total = sum(each.weight for each in plan.steps)
    return Stage(phase=step.phase, weight=step.weight / total, duration=step.duration, frame_count=step.frame_count)
