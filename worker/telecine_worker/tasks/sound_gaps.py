"""Gaps in the timestamps of a sound, filled with silence where nothing else would keep what follows in its place."""

from __future__ import annotations

from telecine_worker.tasks.filter_text import filter_text

FILTERS = frozenset({"aresample", "aselect"})
# A gap is filled in memory, all of it at once: 23 MB a minute, of two channels at 48 kHz.
MOST_SILENCE_SECONDS = 300
# What comes after a longer one is left out, and the time at which that begins is said: see ffmpeg/damage.py. ld(0) is the time
# of the last samples that were let through, ld(1) whether it was said.
_NOT_TOO_LATE = f"if(gt(t-ld(0),{MOST_SILENCE_SECONDS}),if(ld(1),0,print(t,16)*0+st(1,1)*0),st(0,t)*0+1)"


def filling() -> list[str]:
    """The filters for it, which come first. A sound that begins late gets silence, too."""
    return [filter_text("aselect", _NOT_TOO_LATE), filter_text("aresample", **{"async": 1, "first_pts": 0})]
