"""Hardware encoders that failed in the middle of an attempt."""

from __future__ import annotations

from telecine_worker.failure import AttemptFailed, Failure, FailureKind
from telecine_worker.ffmpeg import failure_kinds
from telecine_worker.ffmpeg.warning import MediaWarning, WarningReason
from telecine_worker.tasks.plan import Step

# Drivers fail in any way. What is said of inputs, disks and memory is not about them.
_REASONS = frozenset(
    verdict.reason
    for verdict in (
        failure_kinds.HARDWARE_FAILED,
        failure_kinds.ENCODER_MISSING,
        failure_kinds.OPTION_INVALID,
        failure_kinds.CRASHED,
        failure_kinds.UNKNOWN,
    )
) | {"STALLED"}


class HardwareFailures:
    """Those of one attempt."""

    def __init__(self) -> None:
        self._warnings: list[MediaWarning] = []

    @property
    def warnings(self) -> tuple[MediaWarning, ...]:
        """One for each encoder that failed."""
        return tuple(self._warnings)

    def is_one(self, failure: Failure) -> bool:
        """Whether *failure*, of a step with a hardware encoder, may be the encoder's."""
        return failure.reason in _REASONS and not failure_kinds.is_interruption(failure)

    def note(self, step: Step, failure: Failure) -> None:
        """Another encoder is used."""
        message = f"the hardware encoder {step.hardware} failed, and another one was used: {failure.message}"
        self._warnings.append(MediaWarning(reason=WarningReason.HARDWARE_FAILED, message=message))

    def failure(self, step: Step, failure: Failure) -> AttemptFailed:
        """Where no other one may be used: another worker may be able to."""
        return AttemptFailed(
            FailureKind.RETRYABLE,
            failure_kinds.HARDWARE_FAILED.reason,
            f"the hardware encoder {step.hardware}, which the spec requires, failed: {failure.message}",
            log_tail=failure.log_tail,
            exit_code=failure.exit_code,
        )
