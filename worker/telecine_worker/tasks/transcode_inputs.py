"""What one run of a transcode opens."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from telecine_worker.ffmpeg import whitelists
from telecine_worker.ffmpeg.media_info import AudioStream, MediaInfo, VideoStream
from telecine_worker.tasks.filter_text import filter_text
from telecine_worker.tasks.picture_graph import PictureGraph
from telecine_worker.tasks.plan import Argument, InputPlace
from telecine_worker.tasks.seeking import REBASED, Cut, cut_of, sought_late, with_standing
from telecine_worker.tasks.trim import Part, seconds


class TranscodeInputs:
    """The input *name*, of which *part* is used, and what *graph* needs besides. *encoded* and *copied* are the streams of the
    input that the run uses. Packets are copied from where a seek lands, and no filter cuts them: the input is opened once more
    for them where something else is cut. Where a seek lands anywhere, they are read from the start, and copied from the first
    key frame of the part on.
    """

    def __init__(
        self,
        name: str,
        info: MediaInfo,
        part: Part,
        graph: PictureGraph | None,
        *,
        encoded: Sequence[VideoStream | AudioStream],
        copied: Sequence[VideoStream | AudioStream] = (),
    ) -> None:
        self._name = name
        self._part = part
        self._marks = [] if graph is None else graph.inputs()
        self._twice = bool(encoded and copied and not part.is_whole)
        self._only_copied = not encoded
        begin = cut_of(part, info, copied).start if info.format in REBASED and copied else timedelta(0)
        # Of the part, in the time of what is read from the start; None: it is sought.
        self._begin = begin if begin > timedelta(0) else None
        opened = encoded if self._twice else [*encoded, *copied]
        cut = sought_late(cut_of(part, info, opened), part, info, opened)
        pictures = [stream for stream in encoded if isinstance(stream, VideoStream)]
        self._cut = with_standing(cut, pictures[0], info) if pictures else cut

    @property
    def cut(self) -> Cut:
        """For the filters of what is encoded, which is in input 0."""
        return self._cut

    @property
    def place_of_copied(self) -> int:
        """The number of the input from which streams are copied."""
        return self._marks.count("-i") + 1 if self._twice else 0

    def options(self) -> list[Argument]:
        """All of them, in order."""
        ends = self._open(self._ends())
        if self._only_copied:
            return ends
        return [*self._open(self._cut.options()), *self._marks, *(ends if self._twice else [])]

    def cutting(self) -> list[str]:
        """The options of the output that cut what is copied where it is read from the start. There may be no key frame."""
        if self._begin is None:
            return []
        return ["-ss", seconds(self._begin), "-abort_on", "empty_output_stream"]

    def uncut(self, setpts: str) -> list[str]:
        """The last filter of what is encoded beside it, which was cut before."""
        return [] if self._begin is None else [filter_text(setpts, f"PTS+round({seconds(self._begin)}/TB)")]

    def _ends(self) -> list[str]:
        """Of what is copied, before -i."""
        if self._begin is None:
            return [*self._part.seek(), *self._part.limit()]
        # Not an option of the output: what is encoded may begin the last picture a little later.
        return [] if self._part.length is None else ["-t", seconds(self._begin + self._part.length)]

    def _open(self, before: Sequence[str]) -> list[Argument]:
        return [*before, *whitelists.BEFORE_INPUT, "-i", InputPlace(self._name)]
