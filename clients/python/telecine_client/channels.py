"""How a connection to a scheduler is set up."""

from __future__ import annotations

import grpc
import grpc.aio

from telecine_client.addresses import is_loopback

OPTIONS = (
    # A peer that is gone without a word is noticed within 15 s.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # Or the transport's own limit for an answer to a ping, a minute, is the one that counts.
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # Calls are repeated here, not by the transport, which does not know RetryInfo and stops after five attempts.
    ("grpc.enable_retries", 0),
    # How long one attempt to connect may take (the name misleads), and how often it is tried.
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.max_receive_message_length", 8 * 1024 * 1024),
    ("grpc.max_send_message_length", 8 * 1024 * 1024),
    # An error carries its violations in its trailers, and what is beyond 8 KiB would be lost with the error itself.
    ("grpc.max_metadata_size", 64 * 1024),
    ("grpc.absolute_max_metadata_size", 64 * 1024),
)


def aio_channel(address: str, credentials: grpc.ChannelCredentials | None) -> grpc.aio.Channel:
    """For the running event loop. Connects when first used."""
    if credentials is None:
        return grpc.aio.insecure_channel(address, options=_options(address))
    return grpc.aio.secure_channel(address, credentials, options=_options(address))


def blocking_channel(address: str, credentials: grpc.ChannelCredentials | None) -> grpc.Channel:
    """For any thread. Connects when first used."""
    if credentials is None:
        return grpc.insecure_channel(address, options=_options(address))
    return grpc.secure_channel(address, credentials, options=_options(address))


def _options(address: str) -> tuple[tuple[str, int], ...]:
    """A proxy of the environment must not come between a client and its own machine."""
    return (*OPTIONS, ("grpc.enable_http_proxy", 0)) if is_loopback(address) else OPTIONS
