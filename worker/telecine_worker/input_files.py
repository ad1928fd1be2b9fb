"""What is known of the inputs of an attempt before anything of them is decoded."""

from __future__ import annotations

from dataclasses import dataclass, field

from telecine.v1 import media_pb2
from telecine_worker.ffmpeg import chained_ogg
from telecine_worker.ffmpeg.media_info import MediaInfo
from telecine_worker.ffmpeg.recording_start import begins_between
from telecine_worker.ffmpeg.stated_size import shortfall, torn_packet
from telecine_worker.ffmpeg.unknown_length import without_length
from telecine_worker.source_damage import SourceDamage


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFiles:
    """By name: what probing says, what is missing of those that were cut off, what is wrong with the last packets of others;
    and which recordings begin between key frames.
    """

    infos: dict[str, MediaInfo] = field(default_factory=dict)
    cut: dict[str, str] = field(default_factory=dict)
    torn: dict[str, str] = field(default_factory=dict)
    between: set[str] = field(default_factory=set)

    def look(self, name: str, fd: int, info: MediaInfo) -> None:
        """At the open file *fd*, of which probing says *info*. Blocks."""
        is_chained = info.format == chained_ogg.FORMAT and chained_ogg.is_chained(fd)
        self.infos[name] = without_length(info) if is_chained else info
        if begins_between(fd, info):
            self.between.add(name)
        for look, found in ((shortfall, self.cut), (torn_packet, self.torn)):
            said = look(fd)
            if said:
                found[name] = said

    def source_damage(self, spec: media_pb2.JobSpec) -> SourceDamage:
        """What judges them."""
        return SourceDamage(
            spec.damage_policy,
            inputs=sorted(spec.inputs),
            cut_files=self.cut,
            torn_files=self.torn,
            begin_between=self.between,
        )
