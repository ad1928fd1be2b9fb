"""Whether what an attempt made is what was planned, file by file."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from telecine_worker.execution import Execution
from telecine_worker.failure import AttemptFailed
from telecine_worker.ffmpeg.expected import Expected
from telecine_worker.ffmpeg.expected_package import ExpectedPackage
from telecine_worker.ffmpeg.media_info import MediaInfo
from telecine_worker.ffmpeg.mismatch import FAILED
from telecine_worker.ffmpeg.process import Usage
from telecine_worker.ffmpeg.run import Surroundings
from telecine_worker.ffmpeg.stop_order import Stopped
from telecine_worker.ffmpeg.verify import verify
from telecine_worker.ffmpeg.verify_pictures import check_picture, decode_pictures, runs
from telecine_worker.package_verification import PackageVerification
from telecine_worker.storage.staging import Staging
from telecine_worker.storage.threads import Threads
from telecine_worker.tasks.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One staged file that is as it should be. *info* is what it turned out to be, None for what is not media."""

    expected: Expected
    info: MediaInfo | None


class Verification:
    """Of the staged files of one attempt, made by *execution*. *whole*: all of each file is decoded, however long. *on_usage*
    hears what each process cost.
    """

    def __init__(
        self,
        around: Surroundings,
        staging: Staging,
        threads: Threads,
        execution: Execution,
        *,
        whole: bool,
        on_usage: Callable[[Usage], None],
    ) -> None:
        self._around = around
        self._staging = staging
        self._threads = threads
        self._execution = execution
        self._whole = whole
        self._on_usage = on_usage

    async def check(self, plan: Plan) -> list[Checked]:
        """Every file that is to be published, in that order. Raises AttemptFailed, Stopped."""
        adjusted = self._execution.adjusted(plan)
        if adjusted.package is not None:
            return await self._check_package(adjusted.package, self._execution.encoded_frames)
        try:
            return await self._check_files(adjusted)
        except AttemptFailed as error:
            # What was copied has the faults of its source, which nobody decoded so far.
            if error.failure.reason != FAILED or not plan.examination:
                raise
            is_damaged = await self._execution.examine(plan.examination)
        return await self._check_files(self._execution.adjusted(plan), decodes=not is_damaged, begins_between=True)

    async def _check_files(self, plan: Plan, *, decodes: bool = True, begins_between: bool = False) -> list[Checked]:
        """What was copied of a sound source may begin between its key frames."""
        checked = await self._check_pictures(plan) if plan.sequence else []
        for each in plan.artifacts[len(checked) :]:
            copied = not each.encoded
            checked.append(
                await self._check_file(each, decodes=decodes or not copied, begins_between=begins_between and copied)
            )
        return checked

    async def _check_file(self, expected: Expected, *, decodes: bool, begins_between: bool) -> Checked:
        encoded_frames = self._execution.encoded_frames
        fd = await self._threads.run(self._staging.open_file, expected.file_name, expected.path)
        with os.fdopen(fd):
            verified = await verify(
                self._around,
                fd,
                expected,
                encoded_frames=encoded_frames if expected.exact_streams else None,
                on_block=lambda _: None,
                on_usage=self._on_usage,
                whole=self._whole,
                decodes=decodes,
                begins_between=begins_between,
            )
        return Checked(expected=expected, info=verified.info)

    async def _check_package(self, package: ExpectedPackage, encoded_frames: int | None) -> list[Checked]:
        verification = PackageVerification(
            package, self._around, self._staging, self._threads, whole=self._whole, on_usage=self._on_usage
        )
        files = await verification.check(encoded_frames=encoded_frames)
        return [Checked(expected=expected, info=info) for expected, info in files]

    async def _check_pictures(self, plan: Plan) -> list[Checked]:
        checked = []
        # What is no picture, such as an index, comes after them.
        pictures = [each for each in plan.artifacts if each.decodable]
        for expected in pictures:
            info = await self._threads.run(self._check_picture, expected)
            checked.append(Checked(expected=expected, info=info))
            if self._around.stop.given:
                raise Stopped
        for number, run in runs(pictures, plan.sequence):
            await decode_pictures(
                self._around,
                run,
                plan.sequence,
                first_number=number,
                cwd=self._staging.cwd,
                on_block=lambda _: None,
                on_usage=self._on_usage,
            )
        return checked

    def _check_picture(self, expected: Expected) -> MediaInfo:
        with self._staging.reading(expected.file_name, expected.path) as fd:
            return check_picture(fd, expected)
