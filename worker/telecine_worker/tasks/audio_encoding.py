"""How audio is encoded: from the Audio message and the source to FFmpeg's options and what must come out."""

from __future__ import annotations

from dataclasses import dataclass

from telecine.v1 import media_pb2
from telecine_worker.failure import permanent
from telecine_worker.ffmpeg.media_info import AudioStream
from telecine_worker.tasks.filter_text import chain, filter_text
from telecine_worker.tasks.loudness import applying
from telecine_worker.tasks.plan import Argument

DEFAULT_BPS_PER_CHANNEL = 64_000
DEFAULT_RATE_HZ = 48_000
MAX_CHANNELS = 8
# FFmpeg's names. From three channels on the layout is said: what an encoder makes of a bare number differs by version.
LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}

FILTERS = frozenset({"aformat", "aresample"})
"""Of which FFmpeg uses the last by itself."""

_MPEG_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioCodec:
    """A codec of the contract. No *rates*: any. *bps_per_channel* and *bps* are the most it takes; 0: lossless."""

    codec: str
    encoder: str
    rates: tuple[int, ...] = ()
    max_channels: int = MAX_CHANNELS
    bps_per_channel: int = 0
    bps: int = 0


CODECS: dict[str, AudioCodec] = {
    "aac": AudioCodec(
        codec="aac",
        encoder="aac",
        rates=(*_MPEG_RATES, 64000, 88200, 96000),
        bps_per_channel=256_000,
        bps=2_000_000,
    ),
    "opus": AudioCodec(
        codec="opus",
        encoder="libopus",
        rates=(8000, 12000, 16000, 24000, 48000),
        bps_per_channel=256_000,
        bps=2_000_000,
    ),
    "mp3": AudioCodec(
        codec="mp3", encoder="libmp3lame", rates=_MPEG_RATES, max_channels=2, bps_per_channel=320_000, bps=320_000
    ),
    "flac": AudioCodec(codec="flac", encoder="flac"),
    "ac3": AudioCodec(
        codec="ac3",
        encoder="ac3",
        rates=(32000, 44100, 48000),
        max_channels=6,
        bps_per_channel=640_000,
        bps=640_000,
    ),
    "pcm_s16le": AudioCodec(codec="pcm_s16le", encoder="pcm_s16le"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioTarget:
    """What the encoded audio will be."""

    codec: AudioCodec
    rate_hz: int
    channels: int
    bitrate_bps: int
    sixteen_bits: bool = False

    @property
    def mixing(self) -> str:
        """The filter that makes the channels."""
        return filter_text("aformat", channel_layouts=LAYOUTS[self.channels])

    def options(self, *before: str) -> list[str]:
        """FFmpeg's arguments for the output. The filters *before* come first."""
        filters = [*before, *([self.mixing] if self.channels > 2 else [])]
        return [*self._encoding(), *(["-af", chain(filters)] if filters else [])]

    def normalized_options(self, loudness: media_pb2.Loudness, *before: str) -> list[Argument]:
        """The same, with the second pass of *loudness*."""
        return [*self._encoding(), "-af", applying(loudness, [*before, self.mixing])]

    def _encoding(self) -> list[str]:
        options = ["-c:a", self.codec.encoder, "-ar", str(self.rate_hz), "-ac", str(self.channels)]
        if self.bitrate_bps:
            options += ["-b:a", str(self.bitrate_bps)]
        if self.channels > 2 and self.codec.codec == "opus":
            options += ["-mapping_family", "1"]
        if self.sixteen_bits:
            options += ["-sample_fmt", "s16"]
        return options


def target(audio: media_pb2.Audio, source: AudioStream) -> AudioTarget:
    """What *audio* asks for, completed from the *source*. Raises AttemptFailed OPTION_INVALID."""
    if audio.codec not in CODECS:
        raise permanent(
            "OPTION_INVALID", f"audio.codec {audio.codec!r}; one of {', '.join(CODECS)}, copy would be right"
        )
    codec = CODECS[audio.codec]
    channels = _channels(audio, codec, source)
    return AudioTarget(
        codec=codec,
        rate_hz=_rate(audio, codec, source),
        channels=channels,
        bitrate_bps=_bitrate(audio, codec, channels),
        # What a lossy codec decodes to has no bits worth keeping beyond these; a lossless source keeps all it has.
        sixteen_bits=codec.codec == "flac" and not _is_lossless(source.codec),
    )


def _is_lossless(codec: str) -> bool:
    return codec.startswith("pcm_") or codec in ("flac", "alac", "truehd", "wavpack")


def _rate(audio: media_pb2.Audio, codec: AudioCodec, source: AudioStream) -> int:
    wanted = audio.sample_rate_hz
    if wanted and codec.rates and wanted not in codec.rates:
        rates = ", ".join(map(str, codec.rates))
        raise permanent("OPTION_INVALID", f"audio.sample_rate_hz {wanted} with {audio.codec}; one of {rates} is right")
    if wanted:
        return wanted
    return source.sample_rate_hz if not codec.rates or source.sample_rate_hz in codec.rates else DEFAULT_RATE_HZ


def _channels(audio: media_pb2.Audio, codec: AudioCodec, source: AudioStream) -> int:
    if audio.channel_count > codec.max_channels:
        raise permanent(
            "OPTION_INVALID",
            f"audio.channel_count {audio.channel_count} with {audio.codec}; at most {codec.max_channels} is right",
        )
    return audio.channel_count or max(1, min(source.channel_count, codec.max_channels))


def _bitrate(audio: media_pb2.Audio, codec: AudioCodec, channels: int) -> int:
    most = min(codec.bps, codec.bps_per_channel * channels)
    if audio.bitrate_bps and not most:
        raise permanent("OPTION_INVALID", f"audio.bitrate_bps with {audio.codec}, which is lossless; leave it out")
    if audio.bitrate_bps > most:
        raise permanent(
            "OPTION_INVALID", f"audio.bitrate_bps {audio.bitrate_bps} with {channels} channels; at most {most} is right"
        )
    return audio.bitrate_bps or min(DEFAULT_BPS_PER_CHANNEL * channels, most)
