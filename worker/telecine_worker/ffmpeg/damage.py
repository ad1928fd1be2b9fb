"""What is wrong with the sources of a run, read from FFmpeg's log line by line as it comes.

Demuxers and decoders say an error in a line at level error, and of a picture that they patched at level warning that it is
corrupt; FFmpeg goes on and ends with code 0. A file that has such lines written into its tags only speaks against itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from telecine_worker.ffmpeg.failure_kinds import CUT_SHORT, words

ERROR_LINE = re.compile(r"^(?:\[[^\]]*\] )*\[(?:error|fatal|panic)\] ")
_CORRUPT = re.compile(r"^(?:\[[^\]]*\] )*\[warning\] .*(?:corrupt (?:input packet|decoded frame)|Packet corrupt)")
_REPEATED = re.compile(r"^\s*Last message repeated (\d+) times$")
# Of what is written, not read: encoders, muxers, filters and FFmpeg's own parts around them.
_OF_OUTPUT = re.compile(
    r"^\[(?:libx26[45]|libvpx\S*|libsvtav1|libmp3lame|mp4|mov|matroska|webm|ipod|image2|null|Parsed_\S+|auto_\S+"
    r"|(?:out|vost|aost|sost|enc|vf|af|fc)#?\S*)(?: @[^\]]*)?\]"
)
# What decoders say where they begin in the middle, of pictures that look at others before it.
_OF_SEEKING = re.compile(
    r"mmco: unref short failure|[Mm]issing reference picture|reference picture missing|co located POCs unavailable"
    r"|Could not find ref with POC|reference frames .* exceeds max"
)
# What tasks/package_sound.py has said of a sound that jumps: the time at which it goes on.
_JUMP = re.compile(r"^(?:\[Eval @[^\]]*\] )?\[error\] (\d+\.\d+)$")
MOST_WORDS = 200


@dataclass(slots=True, kw_only=True)
class Damage:
    """Of one run, which *seeks* or not. *count* says how often FFmpeg complained, *first* what it said first, *cut_short* what
    of an input that ends before its own length; both are empty where it did not.
    """

    seeks: bool = False
    count: int = 0
    first: str = ""
    cut_short: str = ""
    _repeats: bool = False

    def line(self, text: str) -> None:
        """Take the next line of the log."""
        repeated = _REPEATED.search(text)
        if repeated:
            # Of the line before.
            self.count += int(repeated[1]) if self._repeats else 0
            return
        jump = _JUMP.search(text)
        if jump:
            self.cut_short = (
                self.cut_short or f"its sound goes on at {jump[1]} s, after a gap that is too long to be filled"
            )
            self._repeats = False
            return
        self._repeats = self._is_damage(text)
        if not self._repeats:
            return
        self.count += 1
        self.first = self.first or words(text)[:MOST_WORDS]
        if not self.cut_short and CUT_SHORT.search(text):
            self.cut_short = words(text)[:MOST_WORDS]

    def _is_damage(self, text: str) -> bool:
        if not (ERROR_LINE.search(text) or _CORRUPT.search(text)) or _OF_OUTPUT.search(text):
            return False
        return not (self.seeks and _OF_SEEKING.search(text))
