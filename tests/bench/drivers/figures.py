"""Figures as a driver gathers them: name and value, or the reason why there is none."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc

from bench.drivers.request import Missing
from telecine.v1 import scheduler_service_pb2 as pb

ASK_SECONDS = 10


@dataclass(slots=True)
class Figures:
    """A name ends in its unit: _ms, _s, _us, _per_s, _bytes, _cores; _by_NAME is a ratio, anything else a count."""

    values: dict[str, float] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    async def add(self, name: str, measuring: Awaitable[Mapping[str, float]]) -> None:
        """What *measuring* finds; where this revision cannot do it, why *name* is missing."""
        try:
            self.values |= await measuring
        except Missing as missing:
            self.missing[name] = str(missing)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                raise
            self.missing[name] = f"UNIMPLEMENTED: {error.details()}"

    def ratio(self, name: str, over: str, under: str) -> None:
        """One value by another, where both are there."""
        if over in self.values and under in self.values:
            self.values[name] = self.values[over] / self.values[under]


def require(call: str) -> None:
    """Raises Missing where the contract of this revision lacks *call*."""
    if call not in pb.DESCRIPTOR.services_by_name["SchedulerService"].methods_by_name:
        raise Missing(f"the contract has no {call}")


async def require_stream(stub: Any, call: str) -> None:
    """Raises Missing where this revision lacks *call*, a stream of requests.

    Asked with no request at all: grpc.aio shows a write that meets the end of its stream as INTERNAL, whatever ended it.
    """
    require(call)
    asking = getattr(stub, call)(timeout=ASK_SECONDS)
    await asking.done_writing()
    if await asking.code() is grpc.StatusCode.UNIMPLEMENTED:
        raise Missing(f"UNIMPLEMENTED: {await asking.details()}")


def percentiles(name: str, seconds: Sequence[float]) -> dict[str, float]:
    """NAME_p50_ms and NAME_p99_ms."""
    ordered = sorted(seconds)
    worst = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    return {f"{name}_p50_ms": statistics.median(ordered) * 1000, f"{name}_p99_ms": worst * 1000}
