"""Around every call: its metrics, and its errors.

Errors of the domain become the status the protos promise; anything else becomes INTERNAL with an id that is in the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from prometheus_client import CollectorRegistry, Counter, Histogram

from telecine_scheduler.domain.errors import StoreUnavailable, TelecineError
from telecine_scheduler.rpc.defects import logged
from telecine_scheduler.rpc.errors import STATUS, masked, to_status

Context = grpc.aio.ServicerContext[Any, Any]
_LABELS = ["grpc_type", "grpc_service", "grpc_method"]
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

# No caller waits for five seconds; what is no stream is answered by then.
CALL_SECONDS = 4.5


class RpcMetrics:
    """The names of go-grpc-middleware, which dashboards know. Codes are in title case, as there: OK, InvalidArgument."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.started = Counter("grpc_server_started", "Calls begun.", _LABELS, registry=registry)
        self.handled = Counter(
            "grpc_server_handled", "Calls ended, by code.", [*_LABELS, "grpc_code"], registry=registry
        )
        self.seconds = Histogram(
            "grpc_server_handling_seconds", "From the beginning of a call to its end.", _LABELS, registry=registry,
            buckets=_SECONDS,
        )  # fmt: skip


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps the calls of our own services; health and reflection pass. *gate* raises while nothing may be called yet."""

    def __init__(self, metrics: RpcMetrics, gate: Callable[[], None]) -> None:
        self._metrics = metrics
        self._gate = gate

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """The handler, wrapped."""
        handler = await continuation(handler_call_details)
        _, service, method = str(handler_call_details.method).split("/", 2)
        if handler is None or not service.startswith("telecine."):
            return handler
        kind, behavior, wrap = _shape(handler)
        streams = self._streaming if handler.response_streaming else self._unary
        return wrap(
            streams(behavior, (kind, service, method)),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _unary(self, behavior: Callable[..., Any], labels: tuple[str, ...]) -> Callable[..., Any]:
        async def call(request: Any, context: Context) -> Any:
            async with self._observed(context, labels), _in_time():
                return await behavior(request, context)

        return call

    def _streaming(self, behavior: Callable[..., Any], labels: tuple[str, ...]) -> Callable[..., Any]:
        async def call(request: Any, context: Context) -> AsyncIterator[Any]:
            async with self._observed(context, labels):
                responses = behavior(request, context)
                if not hasattr(responses, "__aiter__"):
                    await responses
                    return
                async with contextlib.aclosing(responses):
                    async for response in responses:
                        yield response

        return call

    @contextlib.asynccontextmanager
    async def _observed(self, context: Context, labels: tuple[str, ...]) -> AsyncIterator[None]:
        self._metrics.started.labels(*labels).inc()
        began = time.monotonic()
        code = "Canceled"
        try:
            self._gate()
            yield
            code = "OK"
        except TelecineError as error:
            code = _title(STATUS[type(error)])
            await context.abort_with_status(to_status(error))
        except grpc.aio.AbortError:
            code = "Aborted"
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is becomes INTERNAL, and is logged
            code = "Internal"
            await context.abort_with_status(masked(logged(error, labels[-1])))
        finally:
            self._metrics.handled.labels(*labels, code).inc()
            self._metrics.seconds.labels(*labels).observe(time.monotonic() - began)


@contextlib.asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    """End a call that asks the store several times, each within the deadline of its own."""
    try:
        async with asyncio.timeout(CALL_SECONDS) as deadline:
            yield
    except TimeoutError as error:
        if not deadline.expired():
            raise
        raise StoreUnavailable(
            f"the job store (Redis) did not answer within {CALL_SECONDS} s; the outcome is not known, repeat the call with the "
            "same job_id"
        ) from error


def _shape(handler: Any) -> tuple[str, Callable[..., Any], Callable[..., Any]]:
    """A handler's kind of call, its function, and what makes a handler of that kind."""
    if handler.request_streaming and handler.response_streaming:
        return "bidi_stream", handler.stream_stream, grpc.stream_stream_rpc_method_handler
    if handler.response_streaming:
        return "server_stream", handler.unary_stream, grpc.unary_stream_rpc_method_handler
    return "unary", handler.unary_unary, grpc.unary_unary_rpc_method_handler


def _title(code: grpc.StatusCode) -> str:
    return "".join(part.title() for part in code.name.split("_"))
