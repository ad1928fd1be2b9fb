"""telecine-worker: reads its settings and runs."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from telecine_process.addresses import Address, parse_address
from telecine_process.durations import parse_duration
from telecine_process.logs import LEVELS, configure_logs
from telecine_process.options import setting, usage_error
from telecine_worker.config import Config, default_work_dir, split
from telecine_worker.ffmpeg.command import environment
from telecine_worker.ffmpeg.toolchain import Toolchain, ToolchainError, find
from telecine_worker.sandbox.confinement import NONE, Confinement, Limits
from telecine_worker.sandbox.selection import SandboxRefused, Wish, choose
from telecine_worker.storage.address_guard import IpNetwork, parse_network
from telecine_worker.storage.store_places import StorePlace, parse_store_root
from telecine_worker.tasks.capabilities import capabilities as found_capabilities

# gRPC's fork handlers can hang children.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")


def serve(
    schedulers: Annotated[str, setting("SCHEDULERS", "Schedulers, as HOST:PORT,...")] = "127.0.0.1:50051",
    worker_id: Annotated[str, setting("WORKER_ID", "Stable name; empty: generated once, kept in the work dir.")] = "",
    slots: Annotated[int, setting("SLOTS", "Units of work at once.")] = 1,
    queues: Annotated[str, setting("QUEUES", "Queues to serve, comma-separated.")] = "default",
    capabilities: Annotated[str, setting("CAPABILITIES", "What to offer besides what is found, comma-separated.")] = "",
    file_roots: Annotated[
        str, setting("FILE_ROOTS", "Directories for file:// inputs and outputs, colon-separated; empty: none.")
    ] = "",
    store_roots: Annotated[
        str,
        setting(
            "STORE_ROOTS", "Prefixes of object stores for inputs and outputs, as s3://bucket/prefix,...; empty: none."
        ),
    ] = "",
    http_allow: Annotated[
        str,
        setting(
            "HTTP_ALLOW", "Networks that http(s) inputs may come from besides public ones, as 10.0.0.0/8,fd00::/8."
        ),
    ] = "",
    input_max_bytes: Annotated[
        int, setting("INPUT_MAX_BYTES", "In bytes: the largest input, read in place or fetched.")
    ] = 100 << 30,
    output_max_bytes: Annotated[
        int, setting("OUTPUT_MAX_BYTES", "In bytes: the largest file that FFmpeg may write.")
    ] = 100 << 30,
    sandbox: Annotated[
        Wish, setting("SANDBOX", "What confines FFmpeg; auto: the strongest that holds here, else the worker refuses.")
    ] = Wish.AUTO,
    memory_max_bytes: Annotated[
        int, setting("MEMORY_MAX_BYTES", "In bytes: the memory of each run of FFmpeg; 0: no limit.")
    ] = 0,
    cgroups: Annotated[
        str,
        setting("CGROUPS", "Control groups of ours for the limits of FFmpeg, colon-separated; empty: rlimits only."),
    ] = "",
    cache_bytes: Annotated[
        int,
        setting("CACHE_BYTES", "In bytes: what to keep of fetched inputs, for the next job of a tenant; 0: nothing."),
    ] = 2 << 30,
    scratch_reserve_bytes: Annotated[
        int, setting("SCRATCH_RESERVE_BYTES", "In bytes: room in the work dir without which no further job is begun.")
    ] = 128 << 20,
    work_dir: Annotated[Path | None, setting("WORK_DIR", "State of this worker.  [default: see README]")] = None,
    metrics_listen: Annotated[
        Address, setting("METRICS_LISTEN", "Where /metrics, /healthz and /readyz are served.", parse_address)
    ] = "127.0.0.1:9465",  # type: ignore[assignment]
    ffmpeg: Annotated[Path | None, setting("FFMPEG", "The ffmpeg to use; default: searched.")] = None,
    ffprobe: Annotated[Path | None, setting("FFPROBE", "The ffprobe to use; default: searched.")] = None,
    drain: Annotated[
        timedelta,
        setting("DRAIN", "How long attempts may go on after SIGTERM before they are given back.", parse_duration),
    ] = "20s",  # type: ignore[assignment]
    log_level: Annotated[str, setting("LOG_LEVEL", f"One of {', '.join(LEVELS)}.")] = "info",
    check: Annotated[
        bool, typer.Option("--check", help="Print which ffmpeg, ffprobe and sandbox are used, and exit.")
    ] = False,
) -> None:
    """Lease jobs from a scheduler and run FFmpeg."""
    if log_level not in LEVELS:
        raise usage_error(f"TELECINE_LOG_LEVEL is {log_level!r}; it must be one of {', '.join(LEVELS)}")
    try:
        config = Config(
            schedulers=tuple(map(parse_address, split(schedulers))), worker_id=worker_id, slots=slots,
            queues=split(queues), capabilities=split(capabilities),
            file_roots=tuple(map(Path, split(file_roots, ":"))), store_roots=_store_roots(store_roots),
            http_allow=_networks(http_allow),
            input_max_bytes=input_max_bytes, cache_bytes=cache_bytes,
            scratch_reserve_bytes=scratch_reserve_bytes, output_max_bytes=output_max_bytes, sandbox=sandbox,
            memory_max_bytes=memory_max_bytes, cgroups=tuple(map(Path, split(cgroups, ":"))),
            work_dir=work_dir or default_work_dir(),
            metrics_listen=metrics_listen, ffmpeg=ffmpeg, ffprobe=ffprobe, drain=drain,
        )  # fmt: skip
    except ValueError as error:
        raise usage_error(str(error)) from error
    sandbox_choice = _SandboxChoice(config, must_hold=not check)
    try:
        toolchain = find(ffmpeg=config.ffmpeg, ffprobe=config.ffprobe, confine=sandbox_choice.confinement)
    except (ToolchainError, SandboxRefused) as error:
        print(f"telecine-worker: {error}", file=sys.stderr)  # noqa: T201 - the reason not to start
        raise SystemExit(2) from error
    if check:
        print(json.dumps(_found(toolchain, sandbox_choice.refusal)))  # noqa: T201 - what was asked for
        return
    configure_logs(log_level)
    # Imported late, so that --help and a wrong setting are answered at once.
    from telecine_worker.app import run  # noqa: PLC0415

    with asyncio.Runner() as runner:
        raise SystemExit(runner.run(run(config, toolchain)))


def _store_roots(text: str) -> tuple[StorePlace, ...]:
    try:
        return tuple(map(parse_store_root, split(text)))
    except ValueError as error:
        raise usage_error(f"TELECINE_STORE_ROOTS: {error}") from error


def _networks(text: str) -> tuple[IpNetwork, ...]:
    try:
        return tuple(map(parse_network, split(text)))
    except ValueError as error:
        raise usage_error(f"TELECINE_HTTP_ALLOW: {error}") from error


class _SandboxChoice:
    """Made when the programs are known, before their encoders are tried. Where none holds and none *must_hold*, *refusal* is
    why.
    """

    def __init__(self, config: Config, *, must_hold: bool) -> None:
        self._config = config
        self._must_hold = must_hold
        self.refusal: str | None = None

    def confinement(self, programs: Sequence[Path]) -> Confinement:
        """Raises SandboxRefused."""
        limits = Limits(
            most_file_bytes=self._config.output_max_bytes,
            most_memory_bytes=self._config.memory_max_bytes or None,
            cgroups=tuple(map(str, self._config.cgroups)),
        )
        try:
            return choose(self._config.sandbox, programs=programs, environment=environment("self-test"), limits=limits)
        except SandboxRefused as error:
            if self._must_hold:
                raise
            self.refusal = str(error)
            return NONE


def _found(toolchain: Toolchain, refusal: str | None) -> dict[str, object]:
    return {
        "ffmpeg": str(toolchain.ffmpeg),
        "ffprobe": str(toolchain.ffprobe),
        "ffmpeg_version": toolchain.ffmpeg_version.text,
        "capabilities": list(found_capabilities(toolchain)),
        "sandbox": None if refusal else toolchain.confinement.mode,
        "sandbox_refusal": refusal,
    }


def main() -> None:
    """The entry point."""
    # Without typer's own tracebacks and boxes: the log is lines, and boxes cut the names of settings.
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False, rich_markup_mode=None)
    app.command()(serve)
    app()


if __name__ == "__main__":
    main()
