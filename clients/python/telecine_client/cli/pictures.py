"""The options of `telecine thumbnails` as a spec."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from telecine.v1 import media_pb2
from telecine_client.cli.exits import UsageError
from telecine_client.cli.locations import split_pattern, to_uri
from telecine_client.spec import thumbnails


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """Which pictures the caller wants; exactly one of the first four."""

    count: int | None = None
    every: timedelta | None = None
    offsets: Sequence[timedelta] = ()
    best: int | None = None
    width_px: int | None = None


def thumbnails_spec(source: str, pattern: str, chosen: Pictures) -> media_pb2.JobSpec:
    """The spec for one local path or URI. Raises UsageError for what no scheduler could make sense of."""
    ways = (chosen.count is not None, chosen.every is not None, bool(chosen.offsets), chosen.best is not None)
    if sum(ways) != 1:
        raise UsageError("say which pictures by one of --count, --every, --at and --best")
    output_uri, path = split_pattern(pattern)
    return thumbnails(
        to_uri(source),
        output_uri,
        path,
        count=chosen.count,
        interval=chosen.every,
        offsets=chosen.offsets or None,
        best=chosen.best,
        width_px=chosen.width_px or 0,
    )
