"""The gRPC server: options, services, health, reflection."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from telecine.v1 import lease_service_pb2, lease_service_pb2_grpc, scheduler_service_pb2, scheduler_service_pb2_grpc
from telecine_scheduler.rpc.interceptor import CallInterceptor
from telecine_scheduler.rpc.lease_servicer import LeaseServicer
from telecine_scheduler.rpc.scheduler_servicer import SchedulerServicer

SERVICES = (
    scheduler_service_pb2.DESCRIPTOR.services_by_name["SchedulerService"].full_name,
    lease_service_pb2.DESCRIPTOR.services_by_name["LeaseService"].full_name,
)
MAX_MESSAGE_BYTES = 8 * 1024 * 1024

# Pings find a dead peer in 15 s; a client may ping every 5 s without being told off; two servers never share a port.
OPTIONS: Sequence[tuple[str, int]] = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # Or the transport's own limit for an answer to a ping, a minute, is the one that counts.
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # Callers may stand behind proxies that add headers of their own.
    ("grpc.max_metadata_size", 32 * 1024),
    ("grpc.absolute_max_metadata_size", 64 * 1024),
    ("grpc.max_concurrent_streams", 10_000),
    ("grpc.so_reuseport", 0),
)


class Health:
    """grpc.health.v1 for the process ("") and for each service."""

    def __init__(self) -> None:
        self.servicer = health.aio.HealthServicer()
        self._serving: bool | None = None

    async def set(self, *, serving: bool) -> None:
        """Say whether calls are worth making."""
        if serving == self._serving:
            return
        self._serving = serving
        word = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for service in ("", *SERVICES):
            await self.servicer.set(service, word)


def build_server(
    scheduler: SchedulerServicer,
    leases: LeaseServicer,
    health_state: Health,
    interceptor: CallInterceptor,
    *,
    reflect: bool,
) -> grpc.aio.Server:
    """A server with everything registered; the caller binds and starts it."""
    server = grpc.aio.server(interceptors=[interceptor], options=OPTIONS)
    scheduler_service_pb2_grpc.add_SchedulerServiceServicer_to_server(scheduler, server)
    lease_service_pb2_grpc.add_LeaseServiceServicer_to_server(leases, server)
    health_pb2_grpc.add_HealthServicer_to_server(health_state.servicer, server)
    if reflect:
        names = (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)
    return server
