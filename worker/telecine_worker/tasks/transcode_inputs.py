"""What one run of a transcode opens."""

from __future__ import annotations

from collections.abc import Sequence

from telecine_worker.ffmpeg import whitelists
from telecine_worker.ffmpeg.media_info import AudioStream, MediaInfo, VideoStream
from telecine_worker.tasks.picture_graph import PictureGraph
from telecine_worker.tasks.plan import Argument, InputPlace
from telecine_worker.tasks.seeking import Cut, cut_of
from telecine_worker.tasks.trim import Part


class TranscodeInputs:
    """The input *name*, of which *part* is used, and what *graph* needs besides. *encoded* and *copied* are the streams of the
    input that the run uses. Packets are copied from where a seek lands, and no filter cuts them: the input is opened once more
    for them where something else is cut.
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
        self._cut = cut_of(part, info, encoded if self._twice else [*encoded, *copied])

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
        ends = self._open([*self._part.seek(), *self._part.limit()])
        if self._only_copied:
            return ends
        return [*self._open(self._cut.options()), *self._marks, *(ends if self._twice else [])]

    def _open(self, before: Sequence[str]) -> list[Argument]:
        return [*before, *whitelists.BEFORE_INPUT, "-i", InputPlace(self._name)]
