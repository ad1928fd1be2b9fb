"""One lease, one attempt: from a spec to published files, and nothing left behind."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from structlog.typing import FilteringBoundLogger

from telecine.v1 import media_pb2
from telecine_worker.artifacts import artifacts
from telecine_worker.failure import AttemptFailed, Failure, FailureKind, internal_error, retryable
from telecine_worker.ffmpeg.limits import DEFAULT_STALL_TIMEOUT
from telecine_worker.ffmpeg.progress import Meter, Snapshot
from telecine_worker.ffmpeg.run import Surroundings
from telecine_worker.ffmpeg.stop_order import StopOrder, Stopped
from telecine_worker.ffmpeg.time_limits import Alarm, Deadline, boot_seconds
from telecine_worker.ffmpeg.toolchain import Toolchain
from telecine_worker.outcome import Abandoned, Artifact, Cancelled, Ended, Failed, Returned, StopReason, Succeeded
from telecine_worker.storage.destination import StagedFile
from telecine_worker.storage.destinations import Destinations
from telecine_worker.storage.publishing import WindowOver
from telecine_worker.storage.sources import Intake
from telecine_worker.storage.threads import Threads
from telecine_worker.storage.tidying import Tidying
from telecine_worker.tasks.plan import Plan
from telecine_worker.work import Work

DEFAULT_CANCEL_GRACE = timedelta(seconds=10)
DEFAULT_HARD_RUN_TIMEOUT = timedelta(hours=24)

_FULL = retryable("NO_SPACE", "the disk of the worker is nearly full, and of its attempts this one grew fastest")
_RANK = {StopReason.DRAINED: 0, StopReason.NO_SPACE: 1, StopReason.CANCELLED: 2, StopReason.LEASE_LOST: 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What a lease says. *staging_name* is tenant~job~generation~token.

    *total_deadline*, in seconds of CLOCK_BOOTTIME, is when the job has used up its time over all attempts; None: never.
    *cancel_grace* is from a request to stop to the kill, where who stops it says nothing else.
    """

    tenant: str
    job_id: str
    token: int
    attempt: int
    generation: int
    spec: media_pb2.JobSpec
    staging_name: str
    total_deadline: float | None = None
    cancel_grace: timedelta = DEFAULT_CANCEL_GRACE


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """The answer to the question whether files may be made visible.

    *deadline* is in seconds of CLOCK_BOOTTIME, which also runs while the machine sleeps. *refusal* says why not.
    """

    allowed: bool
    deadline: float = 0.0
    refusal: StopReason | None = None


def hard_run_timeout(limits: media_pb2.Limits) -> timedelta:
    """After this an attempt is killed, unless its files are becoming visible just then."""
    return limits.hard_run_timeout.ToTimedelta() if limits.HasField("hard_run_timeout") else DEFAULT_HARD_RUN_TIMEOUT


class Attempt:
    """Runs once. *ask_to_publish* is asked when all is staged, and again when its deadline passes before the end.

    *on_progress* is called on the event loop, up to about twice a second; it must not block. *on_input* hears the scheme and
    the size of each input that was opened, in a thread. *check_success* raises AttemptFailed where nobody would take what is
    to be reported: it is asked before anything is visible.
    """

    def __init__(
        self,
        assignment: Assignment,
        *,
        toolchain: Toolchain,
        destinations: Destinations,
        intake: Intake,
        threads: Threads,
        ask_to_publish: Callable[[], Awaitable[Permission]],
        on_progress: Callable[[Snapshot], None],
        on_input: Callable[[str, int], None],
        check_success: Callable[[Succeeded], None],
        log: FilteringBoundLogger,
    ) -> None:
        self._assignment = assignment
        self._threads = threads
        self._ask_to_publish = ask_to_publish
        self._check_success = check_success
        self._log = log
        self._order = StopOrder()
        self._stopped = asyncio.Event()
        self._reason: StopReason | None = None
        self._passed: Deadline | None = None
        self._is_publishing = False
        self._publish_deadline = 0.0
        self._tidying = Tidying()
        limits = assignment.spec.limits
        stall = limits.stall_timeout.ToTimedelta() if limits.HasField("stall_timeout") else DEFAULT_STALL_TIMEOUT
        self._work = Work(
            assignment.spec,
            tenant=assignment.tenant,
            destinations=destinations,
            may_publish=self._may_publish,
            on_full=lambda: self.stop(StopReason.NO_SPACE, timedelta(0)),
            intake=intake,
            threads=threads,
            around=Surroundings(
                toolchain=toolchain,
                marker=assignment.staging_name,
                stop=self._order,
                stall_timeout=stall,
                cpu_limit=hard_run_timeout(limits) * (os.cpu_count() or 1),
            ),
            meter=Meter(time.monotonic),
            on_progress=on_progress,
            on_input=on_input,
        )

    def stop(self, reason: StopReason, grace: timedelta) -> None:
        """End it: FFmpeg gets SIGTERM now and SIGKILL after *grace*. May be repeated; the weightier reason counts.

        What is being published is finished, unless the lease is lost.
        """
        self._tidying.draining |= reason is StopReason.DRAINED
        if self._is_publishing and reason is not StopReason.LEASE_LOST:
            return
        if self._reason is None or _RANK[reason] > _RANK[self._reason]:
            self._reason = reason
        self._order.give(grace)
        self._stopped.set()

    async def run(self) -> Ended:
        """Until it has ended. Whatever happens, no process is left, and of staged files only the published ones.

        Raises nothing but CancelledError.
        """
        alarm = Alarm(self._deadlines(), self._pass)
        try:
            ended = self._work.accounted(await self._ended())
            self._tidying.succeeded = isinstance(ended, Succeeded)
            return ended
        finally:
            alarm.cancel()
            await self._clean_up()

    async def _ended(self) -> Ended:
        try:
            return await self._run()
        except Stopped:
            return self._stopped_end()
        except AttemptFailed as error:
            # What fails while it is being stopped fails because of that.
            return self._stopped_end() if self._order.given else self._failed(error.failure)
        except Exception as error:  # noqa: BLE001 - the supervisor: a defect of ours must not end the worker
            self._log.exception("attempt met a defect")
            return self._failed(internal_error(error))

    async def _run(self) -> Succeeded:
        work = self._work
        await work.fetch()
        await work.probe()
        plan = await work.plan()
        if plan.artifacts:
            return await self._bring_out(plan)
        await work.run(plan)
        work.raise_if_stopped()
        succeeded = self._success(())
        work.finish()
        return succeeded

    def _success(self, artifacts: tuple[Artifact, ...]) -> Succeeded:
        """What is going to be reported. Raises AttemptFailed where it cannot be: nothing is visible yet."""
        work = self._work
        succeeded = Succeeded(
            usage=work.usage, artifacts=artifacts, inputs=dict(work.inputs),
            measurements=work.findings.measurements, detections=work.findings.detections,
            warnings=work.warnings,
        )  # fmt: skip
        self._check_success(succeeded)
        return succeeded

    async def _bring_out(self, plan: Plan) -> Succeeded:
        work = self._work
        await self._threads.run(work.destination.check_inputs, [each.path for each in plan.artifacts])
        await work.run(plan)
        prepared = await work.prepare(await work.verify(plan))
        succeeded = self._success(artifacts(prepared, work.destination))
        await self._publish([each.staged for each in prepared])
        return succeeded

    async def _publish(self, files: list[StagedFile]) -> None:
        work, paths = self._work, [each.path for each in files]
        await self._ask()
        work.begin_publishing()
        self._is_publishing = True
        await work.stoppable(work.destination.remove_older)
        await self._threads.run(work.destination.check_inputs, paths)
        await work.stoppable(work.destination.check_free, paths)
        await self._show(files)
        work.finish()

    async def _show(self, files: list[StagedFile]) -> None:
        while True:
            try:
                await self._work.stoppable(self._work.destination.publish, files)
            except WindowOver:
                if self._passed is not None:
                    # The limit passed in the window, which was promised; there is no other one.
                    self._order.give(self._passed.grace)
                self._work.raise_if_stopped()
                await self._ask()
            else:
                return

    async def _ask(self) -> None:
        """Returns with the permission; an order to stop ends the waiting. Raises Stopped."""
        asking = asyncio.ensure_future(self._ask_to_publish())
        stopping = asyncio.ensure_future(self._stopped.wait())
        try:
            await asyncio.wait({asking, stopping}, return_when=asyncio.FIRST_COMPLETED)
            self._work.raise_if_stopped()
            permission = asking.result()
        finally:
            for waiting in (asking, stopping):
                waiting.cancel()
            await asyncio.gather(asking, stopping, return_exceptions=True)
        if not permission.allowed:
            self._is_publishing = False
            self.stop(permission.refusal or StopReason.LEASE_LOST, timedelta(0))
            raise Stopped
        self._publish_deadline = permission.deadline

    def _may_publish(self) -> bool:
        """Asked in a thread before every visible step."""
        return not self._order.given and boot_seconds() < self._publish_deadline

    def _deadlines(self) -> list[Deadline]:
        limits, now = self._assignment.spec.limits, boot_seconds()
        hard = hard_run_timeout(limits)
        found = [_run_deadline("hard_run_timeout", hard, now, timedelta(0))]
        if limits.HasField("soft_run_timeout"):
            soft = limits.soft_run_timeout.ToTimedelta()
            found.append(_run_deadline("soft_run_timeout", soft, now, self._assignment.cancel_grace))
        if self._assignment.total_deadline is not None:
            words = "was still running when the job's limits.total_timeout was over"
            at = self._assignment.total_deadline
            found.append(Deadline(at=at, grace=timedelta(0), reason="TOTAL_TIMEOUT", words=words))
        return found

    def _pass(self, deadline: Deadline) -> None:
        self._passed = self._passed or deadline
        if self._is_publishing and boot_seconds() < self._publish_deadline:
            return
        self._order.give(deadline.grace)
        self._stopped.set()

    def _stopped_end(self) -> Ended:
        usage = self._work.usage
        match self._reason:
            case StopReason.LEASE_LOST:
                return Abandoned(usage=usage)
            case StopReason.CANCELLED:
                return Cancelled(usage=usage)
            case StopReason.NO_SPACE:
                return self._failed(_FULL.failure)
            case StopReason.DRAINED if self._passed is None:
                return Returned(usage=usage, reason="DRAINING")
            case _:
                assert self._passed is not None  # noqa: S101 - nobody else gives the order to stop
                text = f"the attempt {self._passed.words}"
                return self._failed(Failure(kind=FailureKind.DEADLINE, reason=self._passed.reason, message=text))

    def _failed(self, failure: Failure) -> Failed:
        return Failed(usage=self._work.usage, failure=failure)

    async def _clean_up(self) -> None:
        try:
            await self._threads.run(self._work.close, self._tidying.begin())
        except OSError as error:
            self._log.warning("staging was not removed", staging=self._assignment.staging_name, errno=error.errno)
        except Exception:  # noqa: BLE001 - the supervisor: how the attempt ended stays as it is
            self._log.exception("clean-up met a defect", staging=self._assignment.staging_name)


def _run_deadline(field: str, timeout: timedelta, now: float, grace: timedelta) -> Deadline:
    words = f"took longer than limits.{field} ({timeout})"
    return Deadline(at=now + timeout.total_seconds(), grace=grace, reason="RUN_TIMEOUT", words=words)
