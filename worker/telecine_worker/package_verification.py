"""Whether the package that an attempt made is what was planned; its playlists and its manifest are written on the way.

The muxer's files get their own names first: FFmpeg's dash muxer knows renditions by numbers. Then the times of all segments are
read, the listings are written from them, and every track is decoded through its playlist.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from telecine_worker.ffmpeg import whitelists
from telecine_worker.ffmpeg.boxes import BoxError
from telecine_worker.ffmpeg.decode_check import EDGE_SECONDS, decode, is_short
from telecine_worker.ffmpeg.expected import Expected
from telecine_worker.ffmpeg.expected_package import MANIFEST, MASTER, MUXER_MANIFEST, ExpectedPackage, ExpectedTrack
from telecine_worker.ffmpeg.manifest import manifest
from telecine_worker.ffmpeg.media_info import MediaInfo
from telecine_worker.ffmpeg.mismatch import check_streams, not_as_planned
from telecine_worker.ffmpeg.package_tracks import Track
from telecine_worker.ffmpeg.playlists import master_playlist, media_playlist, target_duration
from telecine_worker.ffmpeg.probe import probe
from telecine_worker.ffmpeg.process import Usage
from telecine_worker.ffmpeg.run import Surroundings
from telecine_worker.ffmpeg.segments import Init, Segment, read_init, read_segment
from telecine_worker.ffmpeg.stop_order import Stopped
from telecine_worker.ffmpeg.verify_package import check_tracks
from telecine_worker.storage.staging import Staging
from telecine_worker.storage.threads import Threads

# For the probe of a track: its init segment and the first segment, as one file.
_PROBED = "_probed.mp4"
# The end of a long track, to be decoded.
_LAST = "_last.m3u8"
_COPIED_BYTES = 1024 * 1024
_MUXED = re.compile(r"_(?:init_(?P<init>\d+)\.mp4|(?P<track>\d+)_(?P<number>\d{5,})\.m4s)", re.ASCII)
# Before a playlist of our own, which names files of ours beside it.
_BEFORE_PLAYLIST = (
    *(
        "-protocol_whitelist",
        ",".join(whitelists.PROTOCOLS),
        "-format_whitelist",
        ",".join(("hls", *whitelists.FORMATS)),
    ),
    *("-codec_whitelist", ",".join(whitelists.DECODERS)),
)


class PackageVerification:
    """Of one package in the staging folder. *whole*: all of it is decoded, however long. *on_usage* hears what each process
    cost.
    """

    def __init__(
        self,
        package: ExpectedPackage,
        around: Surroundings,
        staging: Staging,
        threads: Threads,
        *,
        whole: bool,
        on_usage: Callable[[Usage], None],
    ) -> None:
        self._package = package
        self._around = around
        self._staging = staging
        self._threads = threads
        self._whole = whole
        self._on_usage = on_usage

    async def check(self, *, encoded_frames: int | None) -> list[tuple[Expected, MediaInfo | None]]:
        """All files in the order of publication, with what each listing stands for. *encoded_frames* is what the encoder of the
        first rendition says it made.

        Raises AttemptFailed VERIFICATION_FAILED and others, Stopped.
        """
        counts = await self._threads.run(self._rename)
        tracks = [
            await self._threads.run(self._read_track, planned, counts[planned.name]) for planned in self._package.tracks
        ]
        check_tracks(self._package, tracks, encoded_frames=encoded_frames)
        await self._threads.run(self._write_listings, tracks)
        infos = {}
        for track in tracks:
            infos[track.planned.playlist] = await self._probe(track)
            await self._decode(track)
        return await self._threads.run(self._files, tracks, infos)

    def _rename(self) -> Counter[str]:
        """Give the muxer's files their names; how many segments each track has. What else lies in the folder stays there, and
        is not published. Raises AttemptFailed where one is missing between others.
        """
        found: Counter[str] = Counter()
        last: Counter[str] = Counter()
        for file_name in self._staging.names():
            match = _MUXED.fullmatch(file_name)
            number = int(match["init"] or match["track"] or 0) if match else -1
            if match is None or number >= len(self._package.tracks):
                continue
            planned = self._package.tracks[number]
            if match["number"]:
                found[planned.name] += 1
                last[planned.name] = max(last[planned.name], int(match["number"]))
            self._staging.rename(file_name, planned.segment(int(match["number"])) if match["number"] else planned.init)
            self._raise_if_stopped()
        self._staging.remove(MUXER_MANIFEST)
        for planned in self._package.tracks:
            if found[planned.name] != last[planned.name]:
                said = f"it has {found[planned.name]} segments, of which the last has number {last[planned.name]}"
                raise not_as_planned(planned.stream, said)
        return found

    def _read_track(self, planned: ExpectedTrack, count: int) -> Track:
        """Raises AttemptFailed where a segment is missing or damaged."""
        if not count:
            raise not_as_planned(planned.stream, "it has no segments")
        init = self._read_init(planned)
        segments = []
        for number in range(1, count + 1):
            segments.append(self._read_segment(planned, number, init))
            self._raise_if_stopped()
        return Track(planned=planned, init=init, segments=tuple(segments))

    def _read_init(self, planned: ExpectedTrack) -> Init:
        with self._staging.reading(planned.init, planned.init) as fd:
            try:
                return read_init(fd)
            except BoxError as error:
                raise not_as_planned(planned.stream, f"{planned.init} is damaged: {error}") from None

    def _read_segment(self, planned: ExpectedTrack, number: int, init: Init) -> Segment:
        name = planned.segment(number)
        with self._staging.reading(name, name) as fd:
            try:
                return read_segment(fd, init)
            except BoxError as error:
                raise not_as_planned(planned.stream, f"{name} is damaged: {error}") from None

    def _write_listings(self, tracks: list[Track]) -> None:
        """Of HLS in any case: it is what is decoded through."""
        target = target_duration(tracks)
        pictures = [track for track in tracks if track.init.is_picture]
        sound = next((track for track in tracks if not track.init.is_picture), None)
        for track in tracks:
            self._staging.write_file(track.planned.playlist, media_playlist(track, target).encode())
        if self._package.with_hls:
            self._staging.write_file(MASTER, master_playlist(pictures, sound, target).encode())
        if self._package.with_dash:
            self._staging.write_file(MANIFEST, manifest(pictures, sound, target).encode())

    async def _probe(self, track: Track) -> MediaInfo:
        """Codecs, sizes and pixel formats, which the boxes do not all say. Raises AttemptFailed."""
        stream = track.planned.stream
        await self._threads.run(self._join_first, track.planned)
        with self._staging.reading(_PROBED, stream.path) as fd:
            probed = await probe(self._around, fd, name=stream.path)
        self._on_usage(probed.usage)
        await self._threads.run(self._staging.remove, _PROBED)
        check_streams(probed.info, stream)
        return _measured(probed.info, track)

    def _join_first(self, planned: ExpectedTrack) -> None:
        self._staging.write_file(_PROBED, b"")
        flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(_PROBED, flags, dir_fd=self._staging.folder_fd), "wb") as whole:
            for name in (planned.init, planned.segment(1)):
                with self._staging.reading(name, name) as fd:
                    while chunk := os.read(fd, _COPIED_BYTES):
                        whole.write(chunk)

    async def _decode(self, track: Track) -> None:
        if self._whole or is_short(timedelta(seconds=float(track.end))):
            await self._decode_playlist(track, track.planned.playlist)
            return
        await self._decode_playlist(track, track.planned.playlist, "-t", str(EDGE_SECONDS))
        # FFmpeg 5 cannot seek in playlists of fragmented MP4: the end has one of its own.
        last = media_playlist(track, target_duration([track]), first=track.last_segments(EDGE_SECONDS))
        await self._threads.run(self._staging.write_file, _LAST, last.encode())
        await self._decode_playlist(track, _LAST)
        await self._threads.run(self._staging.remove, _LAST)

    async def _decode_playlist(self, track: Track, name: str, *part: str) -> None:
        await decode(
            replace(self._around, pass_fds=()),
            (*part, *_BEFORE_PLAYLIST, "-i", f"file:{name}"),
            track.planned.stream,
            on_block=lambda _: None,
            on_usage=self._on_usage,
            cwd=self._staging.cwd,
        )

    def _files(self, tracks: list[Track], infos: dict[str, MediaInfo]) -> list[tuple[Expected, MediaInfo | None]]:
        files: list[tuple[Expected, MediaInfo | None]] = []
        for track in tracks:
            names = [track.planned.init, *(track.planned.segment(number + 1) for number in range(len(track.segments)))]
            files += [(self._package.media_file(name), None) for name in names]
        whole = _together(tracks, list(infos.values()))
        for listing in self._package.listings():
            info = replace(
                infos.get(listing.file_name, whole), format="dash" if listing.file_name == MANIFEST else "hls"
            )
            files.append((listing, info))
        return files

    def _raise_if_stopped(self) -> None:
        if self._around.stop.given:
            raise Stopped


def _measured(info: MediaInfo, track: Track) -> MediaInfo:
    """Of the whole track, of which *info* has seen the beginning."""
    lasts = timedelta(seconds=float(track.end))
    return replace(
        info,
        size_bytes=sum(segment.size_bytes for segment in track.segments),
        duration=lasts,
        bitrate_bps=track.average_bps(),
        video=tuple(
            replace(
                video,
                duration=lasts,
                frame_count=track.frame_count,
                frame_rate=track.planned.frame_rate,
                variable_frame_rate=False,
            )
            for video in info.video
        ),
        audio=tuple(replace(audio, duration=lasts) for audio in info.audio),
    )


def _together(tracks: list[Track], infos: list[MediaInfo]) -> MediaInfo:
    """What a master playlist or a manifest stands for: streams are numbered as it lists them."""
    videos = [video for info in infos for video in info.video]
    audios = [audio for info in infos for audio in info.audio]
    return MediaInfo(
        format="hls",
        size_bytes=sum(info.size_bytes for info in infos),
        duration=timedelta(seconds=float(max(track.end for track in tracks))),
        bitrate_bps=sum(info.bitrate_bps for info in infos),
        video=tuple(replace(video, index=number) for number, video in enumerate(videos)),
        audio=tuple(replace(audio, index=number) for number, audio in enumerate(audios, len(videos))),
    )
