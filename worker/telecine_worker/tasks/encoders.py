"""Whether FFmpeg on this worker has what a plan is about to use."""

from __future__ import annotations

from collections.abc import Set

from telecine_worker.failure import permanent


def check_encoder(encoder: str, there: Set[str]) -> None:
    """Raise AttemptFailed ENCODER_MISSING where *encoder* is not *there*."""
    if encoder not in there:
        raise permanent("ENCODER_MISSING", f"FFmpeg on this worker has no encoder {encoder}")
