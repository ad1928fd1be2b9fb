"""ConcatTask: several inputs one after the other, copied where they match, else encoded."""

from __future__ import annotations

from collections.abc import Mapping, Set

from telecine.v1 import media_pb2
from telecine_worker.failure import permanent
from telecine_worker.ffmpeg.media_info import MediaInfo
from telecine_worker.tasks import concat_copy, concat_encoding
from telecine_worker.tasks.clips import clips_of
from telecine_worker.tasks.plan import Plan

COPY = "copy"


def input_names(task: media_pb2.ConcatTask) -> frozenset[str]:
    """The inputs that *task* uses."""
    return frozenset(clip.input for clip in task.clips)


def plan(task: media_pb2.ConcatTask, inputs: Mapping[str, MediaInfo], encoders: Set[str]) -> Plan:
    """What to run for *task*. Raises AttemptFailed naming the field and what would be right."""
    if COPY in (task.video.codec, task.audio.codec):
        raise permanent(
            "OPTION_INVALID", "codec copy: to copy the clips as they are, leave out video and audio; else encode both"
        )
    clips = clips_of(task, inputs)
    if task.HasField("video") or task.HasField("audio"):
        return concat_encoding.plan(task, clips, encoders)
    return concat_copy.plan(task, clips)
