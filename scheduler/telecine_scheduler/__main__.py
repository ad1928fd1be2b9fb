"""telecine-scheduler: reads its settings and runs."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta
from typing import Annotated

import typer
import uvloop

from telecine_process.addresses import Address, parse_address
from telecine_process.durations import parse_duration
from telecine_process.logs import LEVELS, configure_logs
from telecine_process.options import setting, usage_error
from telecine_scheduler.config import Config, ranking
from telecine_scheduler.domain.admission import Admission
from telecine_scheduler.domain.lease import Times
from telecine_scheduler.domain.submission import Retention
from telecine_scheduler.store.checks import Durability

# gRPC's fork handlers cost time and may hang children; this process forks nothing.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")


def _durability(text: str) -> Durability:
    if text not in set(Durability):
        raise ValueError(f"TELECINE_DURABILITY is {text!r}; it must be one of {', '.join(Durability)}")
    return Durability(text)


def serve(
    redis_url: Annotated[
        str,
        setting(
            "REDIS_URL",
            "Where the jobs are: redis://, rediss://, unix://, redis+sentinel://HOST:PORT,.../SERVICE or "
            "redis+cluster://HOST:PORT,....",
        ),
    ] = "redis://127.0.0.1:6379/0",
    listen: Annotated[Address, setting("LISTEN", "Where gRPC is served.", parse_address)] = "127.0.0.1:50051",  # type: ignore[assignment]
    metrics_listen: Annotated[
        Address, setting("METRICS_LISTEN", "Where /metrics, /healthz and /readyz are served.", parse_address)
    ] = "127.0.0.1:9464",  # type: ignore[assignment]
    durability: Annotated[
        str, setting("DURABILITY", "What an acknowledgement survives: memory, everysec, fsync or quorum.")
    ] = "fsync",
    quorum_replicas: Annotated[
        int, setting("QUORUM_REPLICAS", "How many replicas have to confirm a write where the durability is quorum.")
    ] = 1,
    durability_assume: Annotated[
        bool, setting("DURABILITY_ASSUME", "The store syncs every write though its settings cannot be read.")
    ] = False,
    partitions: Annotated[
        int, setting("PARTITIONS", "Into how many parts the tenants are spread; fixed once there are jobs.")
    ] = 1,
    lease_ttl: Annotated[
        timedelta, setting("LEASE_TTL", "How long a silent worker keeps a job.", parse_duration)
    ] = "30s",  # type: ignore[assignment]
    accept_window: Annotated[
        timedelta, setting("ACCEPT_WINDOW", "How long a worker may take to accept a grant.", parse_duration)
    ] = "5s",  # type: ignore[assignment]
    reconnect_grace: Annotated[
        timedelta, setting("RECONNECT_GRACE", "How long a worker may be gone after its stream broke.", parse_duration)
    ] = "3s",  # type: ignore[assignment]
    publish_window: Annotated[
        timedelta, setting("PUBLISH_WINDOW", "How long a worker may publish without asking again.", parse_duration)
    ] = "60s",  # type: ignore[assignment]
    cancel_grace: Annotated[
        timedelta, setting("CANCEL_GRACE", "From the request to stop FFmpeg to its kill.", parse_duration)
    ] = "10s",  # type: ignore[assignment]
    max_queued: Annotated[
        int, setting("MAX_QUEUED", "Most queued jobs in all, of each partition; 0: no limit.")
    ] = 1_000_000,
    max_queued_per_tenant: Annotated[
        int, setting("MAX_QUEUED_PER_TENANT", "Most queued jobs of one tenant; 0: no limit of its own.")
    ] = 0,
    retry_rate: Annotated[
        float, setting("RETRY_RATE", "How many jobs of a tenant are tried again in a second; 0: no limit.")
    ] = 10.0,
    retry_burst: Annotated[int, setting("RETRY_BURST", "How many of these may be at once.")] = 100,
    priority_aging: Annotated[
        str, setting("PRIORITY_AGING", "Waiting that one level of priority is worth; or 'strict'.")
    ] = "10m",
    retention_succeeded: Annotated[
        timedelta, setting("RETENTION_SUCCEEDED", "How long the record of a succeeded job is kept.", parse_duration)
    ] = "24h",  # type: ignore[assignment]
    retention_failed: Annotated[
        timedelta, setting("RETENTION_FAILED", "How long the record of a failed job is kept.", parse_duration)
    ] = "7d",  # type: ignore[assignment]
    retention_cancelled: Annotated[
        timedelta, setting("RETENTION_CANCELLED", "How long the record of a cancelled job is kept.", parse_duration)
    ] = "24h",  # type: ignore[assignment]
    drain: Annotated[
        timedelta, setting("DRAIN", "How long workers may take to move when this scheduler stops.", parse_duration)
    ] = "10s",  # type: ignore[assignment]
    reflection: Annotated[bool, setting("REFLECTION", "Serve gRPC reflection.")] = False,
    log_level: Annotated[str, setting("LOG_LEVEL", f"One of {', '.join(LEVELS)}.")] = "info",
) -> None:
    """Take jobs over gRPC, keep them in Redis, and lease them to workers."""
    if log_level not in LEVELS:
        raise usage_error(f"TELECINE_LOG_LEVEL is {log_level!r}; it must be one of {', '.join(LEVELS)}")
    try:
        times = Times(
            ttl=lease_ttl, accept_window=accept_window, reconnect_grace=reconnect_grace,
            publish_window=publish_window, cancel_grace=cancel_grace,
        )  # fmt: skip
        aging = None if priority_aging == "strict" else parse_duration(priority_aging)
        admission = Admission(
            max_queued=max_queued,
            max_queued_per_tenant=max_queued_per_tenant,
            ranking=ranking(aging),
            retry_rate=retry_rate,
            retry_burst=retry_burst,
        )
        retention = Retention(succeeded=retention_succeeded, failed=retention_failed, cancelled=retention_cancelled)
        config = Config(
            redis_url=redis_url, listen=listen, metrics_listen=metrics_listen, durability=_durability(durability),
            assume_durable=durability_assume, times=times, admission=admission, retention=retention,
            reflection=reflection, drain=drain, partitions=partitions, quorum_replicas=quorum_replicas,
        )  # fmt: skip
    except ValueError as error:
        raise usage_error(str(error)) from error
    configure_logs(log_level)
    # Imported late, so that --help and a wrong setting are answered at once.
    from telecine_scheduler.app import run  # noqa: PLC0415

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        raise SystemExit(runner.run(run(config)))


def main() -> None:
    """The entry point."""
    # Without typer's own tracebacks and boxes: the log is lines, and boxes cut the names of settings.
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False, rich_markup_mode=None)
    app.command()(serve)
    app()


if __name__ == "__main__":
    main()
