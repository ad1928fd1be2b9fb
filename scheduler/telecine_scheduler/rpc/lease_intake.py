"""What comes in on a lease stream, checked message by message before anything of it is carried out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from telecine.v1 import lease_service_pb2 as pb
from telecine_scheduler.domain.errors import UnsupportedProtocol, Violation
from telecine_scheduler.rpc.lease_messages import broken_outcome
from telecine_scheduler.rpc.refusals import Refusals, Refused, violation
from telecine_scheduler.rpc.validation import Validation

PROTOCOL_VERSION = 1
HELLO_SECONDS = 10
# As many as a worker may have slots.
MOST_HELD = 4096
# Of all kinds in one message; a worker that has more to say says it in several.
MOST_ENTRIES = 5000
# gRPC itself takes twice as much.
MOST_BYTES = 4 * 1024 * 1024


class LeaseIntake:
    """Of one stream. Whatever it refuses ends the stream with ProtocolViolation."""

    def __init__(
        self, requests: AsyncIterator[pb.StreamLeasesRequest], validation: Validation, refusals: Refusals
    ) -> None:
        self._requests = requests
        self._validation = validation
        self._refusals = refusals

    async def hello(self) -> pb.Hello:
        """The first message. Raises UnsupportedProtocol, too."""
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                first = await anext(self._requests)
        except (StopAsyncIteration, TimeoutError):
            raise violation(Refused.HELLO, f"no hello came within {HELLO_SECONDS} s") from None
        if [field.name for field, _ in first.ListFields()] != ["hello"]:
            raise violation(Refused.HELLO, "the first message of a stream must hold hello, and nothing else")
        self._check(first)
        hello = first.hello
        self._refusals.name(hello.worker_id, hello.session_id)
        if not hello.min_protocol_version <= PROTOCOL_VERSION <= hello.max_protocol_version:
            raise UnsupportedProtocol(
                f"this scheduler speaks version {PROTOCOL_VERSION} of the lease protocol, the worker "
                f"{hello.min_protocol_version} to {hello.max_protocol_version}",
                metadata={"min": str(PROTOCOL_VERSION), "max": str(PROTOCOL_VERSION)},
            )
        return hello

    async def rest(self) -> AsyncGenerator[pb.StreamLeasesRequest, None]:
        """The messages after the hello."""
        async for request in self._requests:
            if request.HasField("hello"):
                raise violation(Refused.HELLO, "hello may only be the first message of a stream")
            self._check(request)
            yield request

    def _check(self, request: pb.StreamLeasesRequest) -> None:
        # First, because all that follows takes the longer the more there is.
        self._check_size(request)
        self._mend(request)
        violations = self._validation.violations(request)
        if violations:
            raise violation(Refused.RULE, f"the message breaks a rule: {_listed(violations)}")

    def _check_size(self, request: pb.StreamLeasesRequest) -> None:
        size = request.ByteSize()
        # An entry takes more than a byte: most messages are too small to have too many.
        if size <= MOST_HELD:
            return
        hello = request.hello
        held = len(hello.held_leases)
        count = entries(request) + held + len(hello.unconfirmed_outcomes)
        if held > MOST_HELD:
            raise violation(Refused.SIZE, f"the hello names {held} held leases; at most {MOST_HELD} are allowed")
        if count > MOST_ENTRIES:
            raise violation(
                Refused.SIZE,
                f"the message has {count} entries; at most {MOST_ENTRIES} are allowed, send several messages",
            )
        if size > MOST_BYTES:
            raise violation(
                Refused.SIZE, f"the message has {size} bytes; at most {MOST_BYTES} are allowed, send several messages"
            )

    def _mend(self, request: pb.StreamLeasesRequest) -> None:
        """A payload that breaks a rule ends its own attempt, or is left out, where it is a cost or progress; it never ends the
        stream: the worker would send it again for ever.
        """
        for outcome in (*request.outcomes, *request.hello.unconfirmed_outcomes):
            violations = self._validation.violations(outcome)
            if not violations or self._validation.violations(outcome.lease):
                continue
            self._refusals.payload(Refused.OUTCOME, outcome.lease.job_id, _listed(violations))
            # What an attempt cost is not worth what it made.
            _clear_cost(outcome)
            violations = self._validation.violations(outcome)
            if violations:
                failed = broken_outcome(_listed(violations))
                outcome.CopyFrom(pb.Outcome(lease=outcome.lease, failed=failed))
        for renewal in (*request.renewals, *request.hello.held_leases):
            if not renewal.HasField("progress"):
                continue
            violations = self._validation.violations(renewal.progress)
            if violations:
                self._refusals.payload(Refused.PROGRESS, renewal.lease.job_id, _listed(violations))
                renewal.ClearField("progress")


def entries(request: pb.StreamLeasesRequest) -> int:
    """How many answers a message asks for that is no hello."""
    return len(request.accepts) + len(request.renewals) + len(request.publish_requests) + len(request.outcomes)


def _clear_cost(outcome: pb.Outcome) -> None:
    outcome.ClearField("cpu_duration")
    outcome.ClearField("peak_memory_bytes")
    outcome.ClearField("input_size_bytes")
    outcome.ClearField("output_size_bytes")
    outcome.ClearField("phase_durations")


def _listed(violations: list[Violation]) -> str:
    return "; ".join(f"{each.field}: {each.description}" for each in violations)
