"""What is wrong with the sources of a run, read from FFmpeg's log line by line as it comes.

Demuxers and decoders say an error in a line at level error, and of a picture that they patched at level warning that it is
corrupt; FFmpeg goes on and ends with code 0. A file that has such lines written into its tags only speaks against itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from telecine_worker.ffmpeg.failure_kinds import CUT_SHORT, words

ERROR_LINE = re.compile(r"^(?:\[[^\]]*\] )*\[(?:error|fatal|panic)\] ")
_CORRUPT = re.compile(r"^(?:\[[^\]]*\] )*\[warning\] .*(?:corrupt (?:input packet|decoded frame)|Packet corrupt)")
_REPEATED = re.compile(r"^\s*Last message repeated (\d+) times$")
# Of what is written, not read: encoders, muxers, filters and FFmpeg's own parts around them.
_OF_OUTPUT = re.compile(
    r"^\[(?:libx26[45]|libvpx\S*|libsvtav1|libmp3lame|mp4|mov|matroska|webm|ipod|image2|null|Parsed_\S+|auto_\S+"
    r"|(?:out|vost|aost|sost|enc|vf|af|fc)#?\S*)(?: @[^\]]*)?\]"
)
OF_SEEKING = re.compile(
    r"mmco: unref short failure|[Mm]issing reference picture|reference picture missing|co located POCs unavailable"
    r"|Could not find ref with POC|Error constructing the frame RPS|reference frames .* exceeds max"
)
"""What decoders say where they begin in the middle, of pictures that look at others before it."""
# What tasks/sound_gaps.py has said of a sound that jumps: the time at which it goes on.
_JUMP = re.compile(r"^(?:\[Eval @[^\]]*\] )?\[error\] (\d+\.\d+)$")
# What tasks/arrivals.py has said of a picture or a sound that came.
_MARK = re.compile(r"^(?:\[Eval @[^\]]*\] )?\[warning\] (\d{1,6})\.0+$")
# Pictures that are not repeated any more to fill a gap, and lost: said by the side that writes, about what was read.
_GAP = re.compile(r"frame duplication too large")
# Of demuxers whose headers state the size, which stated_size.py compares: whoever writes a stream states one that is none, and
# then the last packet is short. FFmpeg 5 says it a second time, without the demuxer.
_SIZED = re.compile(r"^\[(?:in#\d+/)?(?:wav|w64|caf|aiff|au) @[^\]]*\] ")
# What decoders say of what comes before the first picture that can be shown, of a stream that begins between key frames.
_BEGINNING = re.compile(
    r"non-existing [SP]PS|[SP]PS id out of range|VPS \d+ does not exist|Invalid frame dimensions 0x0"
)
_OF_BEGINNING = re.compile(
    r"decode_slice_header error|no frame!|Error parsing NAL unit|Skipping invalid undecodable NALU"
)
# The number of an input, and of a stream in it. Of a packet the file is named, which is shown as its input.
_PLACE = re.compile(r"(?:\[(?:in|[vasd]ist)#|[Ss]tream #)(\d+)(?::(\d+))?")
_NAMED = re.compile(r"^(?:\[[^\]]*\] )*(\S+): corrupt ")
MOST_WORDS = 200


@dataclass(slots=True, kw_only=True)
class Complaints:
    """About one input: how often, and what came first."""

    count: int = 0
    first: str = ""


@dataclass(slots=True, kw_only=True)
class Damage:
    """Of one run, which *seeks* or not, and reads *inputs*, in their order; files of our own among them have empty names.

    *of_inputs* has what FFmpeg complained about by the input, *cut_short* what it said of one that ends before its own length,
    which is *cut_input*; a name is empty where it was not told. *marks* are the numbers of what came. With *begins_between*
    the streams may begin with what only what is missing before it would explain: that is no damage.
    """

    seeks: bool = False
    begins_between: bool = False
    inputs: Sequence[str] = ()
    of_inputs: dict[str, Complaints] = field(default_factory=dict)
    cut_short: str = ""
    cut_input: str = ""
    marks: set[int] = field(default_factory=set)
    _last: Complaints | None = None
    _short_packets: int = 0
    _is_beginning: bool = False

    def line(self, text: str) -> None:
        """Take the next line of the log."""
        repeated = _REPEATED.search(text)
        if repeated:
            # Of the line before.
            if self._last is not None:
                self._last.count += int(repeated[1])
            return
        self._last = None
        jump, mark = _JUMP.search(text), _MARK.search(text)
        if jump:
            self._cut(f"its sound goes on at {jump[1]} s, after a gap that is too long to be filled", self._only)
        elif mark:
            self.marks.add(int(mark[1]))
        elif self._is_damage(text):
            self._complain(text)

    @property
    def count(self) -> int:
        """How often FFmpeg complained."""
        return sum(each.count for each in self.of_inputs.values())

    @property
    def _only(self) -> str:
        """The input, where the run has one."""
        return self.inputs[0] if len(set(self.inputs)) == 1 else ""

    def _complain(self, text: str) -> None:
        name, stream = self._place(text)
        said = words(text)
        said = f"stream {stream}: {said}"[:MOST_WORDS] if stream and "stream" not in said else said[:MOST_WORDS]
        self._last = self.of_inputs.setdefault(name, Complaints(first=said))
        self._last.count += 1
        if CUT_SHORT.search(text):
            self._cut(said, name)

    def _cut(self, said: str, name: str) -> None:
        if not self.cut_short:
            self.cut_short, self.cut_input = said, name

    def _place(self, text: str) -> tuple[str, str]:
        """The input and the stream that *text* is about, empty where it does not say so."""
        place, named = _PLACE.search(text), _NAMED.search(text)
        stream = (place[2] or "") if place else ""
        if place and int(place[1]) < len(self.inputs):
            return self.inputs[int(place[1])], stream
        return (named[1] if named and named[1] in self.inputs else self._only), stream

    def _is_damage(self, text: str) -> bool:
        if _GAP.search(text):
            return True
        if not (ERROR_LINE.search(text) or _CORRUPT.search(text)) or _OF_OUTPUT.search(text):
            return False
        if _CORRUPT.search(text) and self._is_of_stated_size(text):
            return False
        return not (self.seeks and OF_SEEKING.search(text)) and not self._is_of_beginning(text)

    def _is_of_stated_size(self, text: str) -> bool:
        if _SIZED.search(text):
            self._short_packets += 1
            return True
        said_again = bool(self._short_packets and _NAMED.search(text))
        self._short_packets -= said_again
        return said_again

    def _is_of_beginning(self, text: str) -> bool:
        """Whatever else was complained about, it is over."""
        if not self.begins_between or self.of_inputs:
            return False
        self._is_beginning = self._is_beginning or bool(_BEGINNING.search(text))
        return self._is_beginning and any(each.search(text) for each in (_BEGINNING, _OF_BEGINNING, OF_SEEKING))
