"""How much one round measures. Every size bounds a figure in count or in time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """One round; the defaults are what figures are quoted with."""

    # Each loop of calls runs so long, after a fifth of it that does not count.
    seconds: float = 1.0
    # Jobs one by one on an idle system, and the mean pause between any two calls.
    samples: int = 150
    pause_seconds: float = 0.01
    # Callers, or jobs on a stream, at once.
    in_flight: int = 64
    # Jobs a BatchSubmitJobs has.
    batch: int = 100
    # Jobs that are queued before a worker starts to drain them.
    drained: int = 4000
    # Jobs whose memory is measured.
    queued: int = 2000
    # Bytes of a spec: of the jobs that are timed (what the peers are measured with), and of those whose memory is.
    spec_bytes: int = 500
    stored_spec_bytes: int = 400
    # Running jobs that change all the time, and watchers of each.
    watched: int = 10
    watchers: int = 10
    # The clip to encode; one second of it takes about three quarters of one on two cores. Encoded so often within a round,
    # in turns with the bare command.
    clip_seconds: float = 20.0
    clip_size: str = "1920x1080"
    pairs: int = 1


DEFAULT = Sizes()
# Enough to see that every figure can be measured; the figures say nothing.
TINY = Sizes(
    seconds=0.2, samples=3, pause_seconds=0.0, in_flight=8, batch=10, drained=50, queued=50, watched=2, watchers=2,
    clip_seconds=0.5, clip_size="160x90",
)  # fmt: skip
LONG_CLIP_SECONDS = 60.0
