"""What FFmpeg may open and decode, and how closely it looks: the options that stand before every -i.

A staged file is not safe yet: an .mp4 may hold an HLS playlist or an ffconcat script that names other files or hosts.
Only containers that hold their own data are listed: no hls, dash, concat, sdp, rtsp, lavfi, image2 (glob and pattern
reads), tty, and no codec of the long tail.
"""

from __future__ import annotations

PROTOCOLS = ("file", "pipe")

FORMATS = (
    *(
        "mov",
        "matroska",
        "webm",
        "mpegts",
        "mpeg",
        "mpegvideo",
        "avi",
        "flv",
        "asf",
        "mxf",
        "ogg",
        "wav",
        "w64",
        "mp3",
        "aac",
    ),
    *("flac", "ac3", "eac3", "aiff", "caf", "amr", "au", "gif", "apng", "ivf", "h264", "hevc", "obu", "av1", "m4v"),
    *(
        "yuv4mpegpipe",
        "png_pipe",
        "jpeg_pipe",
        "webp_pipe",
        "webp_anim",
        "bmp_pipe",
        "tiff_pipe",
        "srt",
        "webvtt",
        "ass",
    ),
    "nut",
)

EVERYWHERE = frozenset(FORMATS) - {"webp_anim"}
"""Those that every full build since FFmpeg 5.1 has."""

# Names of decoders, which is what FFmpeg compares; builds differ in which of two decoders of a codec comes first.
DECODERS = (
    *("h264", "hevc", "vp8", "libvpx", "vp9", "libvpx-vp9", "av1", "libdav1d", "libaom-av1", "mpeg4", "mpeg2video"),
    *(
        "mpeg1video",
        "h263",
        "flv",
        "msmpeg4v2",
        "msmpeg4",
        "wmv1",
        "wmv2",
        "wmv3",
        "vc1",
        "vp6",
        "vp6f",
        "theora",
        "dvvideo",
    ),
    *("prores", "dnxhd", "ffv1", "huffyuv", "ffvhuff", "rawvideo", "v210", "mjpeg", "png", "apng", "gif", "webp"),
    *("webp_anim", "bmp", "tiff"),
    *(
        "aac",
        "aac_latm",
        "mp3",
        "mp3float",
        "mp2",
        "mp2float",
        "opus",
        "libopus",
        "vorbis",
        "libvorbis",
        "flac",
        "alac",
    ),
    *("ac3", "eac3", "amrnb", "amrwb", "wmav1", "wmav2", "wmapro", "adpcm_ms", "adpcm_ima_wav", "adpcm_ima_qt"),
    *("pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be", "pcm_f32le", "pcm_f32be"),
    *("pcm_f64le", "pcm_f64be", "pcm_u8", "pcm_s8", "pcm_alaw", "pcm_mulaw", "pcm_bluray", "pcm_dvd"),
    # What discs and broadcasts have beside the pictures: one codec that is not listed makes ffprobe refuse the whole file.
    *("dca", "truehd", "mlp", "mp1", "mp1float", "s302m", "speex", "libspeex"),
    *("srt", "subrip", "ass", "ssa", "webvtt", "mov_text", "text", "pgssub", "dvdsub", "dvbsub", "xsub", "cc_dec"),
    # Teletext: opened and never run, for it makes pictures, and of subtitles callers may only encode text.
    "libzvbi_teletextdec",
)

MAX_STREAMS = 64
MAX_PIXELS = 8192 * 8192
PROBE_BYTES = 5_000_000
ANALYZE_MICROSECONDS = 10_000_000


def _options(most_streams: int) -> tuple[str, ...]:
    named = {
        "-protocol_whitelist": ",".join(PROTOCOLS),
        "-format_whitelist": ",".join(FORMATS),
        "-codec_whitelist": ",".join(DECODERS),
        "-max_streams": str(most_streams),
        "-probesize": str(PROBE_BYTES),
        "-analyzeduration": str(ANALYZE_MICROSECONDS),
    }
    return tuple(token for pair in named.items() for token in pair)


BEFORE_PROBED_INPUT: tuple[str, ...] = _options(MAX_STREAMS + 1)
"""For ffprobe: with one more than allowed, for some builds leave out what is beyond without failing."""

# By themselves decoders pass over the checksums of FLAC, AC-3 and others: without this a hurt sound is heard as it is, and
# nothing is said.
CHECKED = ("-err_detect", "crccheck")
BEFORE_INPUT: tuple[str, ...] = (*_options(MAX_STREAMS), "-max_pixels", str(MAX_PIXELS), *CHECKED)
"""For ffmpeg. The options hold for one input only: they are repeated before each -i."""
