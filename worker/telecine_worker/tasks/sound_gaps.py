"""Gaps in the timestamps of a sound, filled with silence where nothing else would keep what follows in its place."""

from __future__ import annotations

from telecine_worker.tasks.filter_text import filter_text

FILTERS = frozenset({"aresample", "aselect"})
# A gap is filled in memory, all of it at once: 23 MB a minute, of two channels at 48 kHz.
MOST_SILENCE_SECONDS = 300
# Before sound that is early is noticed, from 45 ms on (ITU-R BT.1359); FFmpeg by itself would leave a tenth of a second. Much
# less would cut up sound whose clock only trembles: at 20 ms one by 15 ms to both sides gets four silences a second.
_LEAST_GAP_SECONDS = 0.04
# What comes after a longer one is left out, and the time at which that begins is said: see ffmpeg/damage.py. ld(0) is the time
# of the last samples that were let through, ld(1) whether it was said.
_NOT_TOO_LATE = f"if(gt(t-ld(0),{MOST_SILENCE_SECONDS}),if(ld(1),0,print(t,16)*0+st(1,1)*0),st(0,t)*0+1)"


def filling() -> list[str]:
    """The filters for it, which come first. A sound that begins late gets silence, too."""
    filled = {"async": 1, "first_pts": 0, "min_hard_comp": _LEAST_GAP_SECONDS}
    return [filter_text("aselect", _NOT_TOO_LATE), filter_text("aresample", **filled)]
