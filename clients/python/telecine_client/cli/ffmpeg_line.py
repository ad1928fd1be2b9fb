"""An FFmpeg command line read as a job: its inputs, its outputs, and the arguments with their names in place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from telecine_client.cli.exits import UsageError
from telecine_client.cli.locations import shown, split_outputs, to_uri

# Options after which no value stands, by FFmpeg's documentation.
_FLAG_NAMES = """
    an vn sn dn shortest copyts start_at_zero re accurate_seek noaccurate_seek autorotate noautorotate
    ignore_unknown copy_unknown copyinkf bitexact xerror
"""
# About the terminal and about files that exist: they have no meaning for a job, or are said in its spec.
_DROPPED_FLAGS = frozenset(["y", "n", "hide_banner", "nostdin", "stdin", "nostats", "stats"])
# Options after which a value stands.
_VALUED_NAMES = """
    c codec vcodec acodec scodec b ab vb maxrate minrate bufsize crf qp q qscale preset tune profile level
    pix_fmt g keyint_min sc_threshold bf refs r fps_mode vsync ac ar movflags cpu-used row-mt deadline vf af
    filter filter_complex lavfi t to ss sseof itsoffset frames vframes aframes map map_metadata map_chapters f
    aspect s loglevel v threads x264-params x265-params svtav1-params aom-params metadata disposition timecode
    tag bsf max_muxing_queue_size pass passlogfile stream_loop framerate color_primaries color_trc colorspace
    color_range sample_fmt channel_layout ch_layout compression_level application vbr aq-mode lag-in-frames
    auto-alt-ref tile-columns quality speed force_key_frames x264opts rc-lookahead protocol_whitelist
    probesize analyzeduration
"""
_FLAGS = frozenset(_FLAG_NAMES.split())
_VALUED = frozenset(_VALUED_NAMES.split())
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._-]")
_LONGEST_NAME = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class FfmpegLine:
    """What a FfmpegTask needs; nothing was checked against the scheduler's allow-list."""

    args: tuple[str, ...]
    inputs: Mapping[str, str]
    """URI by name."""
    output_uri: str
    outputs: tuple[str, ...]
    """Relative to output_uri."""
    overwrite: bool
    """False where -n was written."""


def parse_ffmpeg_line(
    args: Sequence[str], *, inputs: Mapping[str, str] | None = None, outputs: Sequence[str] = ()
) -> FfmpegLine:
    """Read the arguments that would stand after `ffmpeg`.

    *inputs* are paths or URIs by name, for lines that say {in:NAME}, or -i NAME. *outputs* are the tokens that are
    files it writes; without them every token is one that is neither an option nor its value. Raises UsageError.
    """
    names = _Inputs({name: to_uri(where) for name, where in (inputs or {}).items()})
    tokens = tuple(_kinds(args, frozenset(outputs)))
    output_uri, placed = _place([text for text, kind in tokens if kind is _Kind.OUTPUT], outputs)
    line = (
        placed[text] if kind is _Kind.OUTPUT else names.name(text) if kind is _Kind.INPUT else text
        for text, kind in tokens
        if kind in {_Kind.PLAIN, _Kind.INPUT, _Kind.OUTPUT}
    )
    return FfmpegLine(
        args=tuple(line),
        inputs=names.uris,
        output_uri=output_uri,
        outputs=tuple(placed.values()),
        overwrite=all(kind is not _Kind.OVERWRITE_NEVER for _, kind in tokens),
    )


def _place(written: Sequence[str], declared: Sequence[str]) -> tuple[str, dict[str, str]]:
    """The directory that the files share, and the path of each within it by what stands in the line."""
    missing = [text for text in declared if text not in written]
    if missing:
        raise UsageError(f"--output {shown(missing[0])} does not stand among FFmpeg's arguments")
    if not written:
        raise UsageError("the line writes no file; end it with the path of one, or name it with --output")
    output_uri, paths = split_outputs(written)
    if len(set(paths)) < len(paths):
        raise UsageError("a file is written twice; give each output a path of its own")
    return output_uri, dict(zip(written, paths, strict=True))


class _Kind(Enum):
    """What an argument is."""

    PLAIN = "an option, or the value of one"
    INPUT = "a file to read"
    OUTPUT = "a file to write"
    OVERWRITE_NEVER = "-n"
    DROPPED = "said in the spec, or of no meaning for a job"


def _kinds(args: Sequence[str], outputs: frozenset[str]) -> Iterator[tuple[str, _Kind]]:
    """Each argument with what it is."""
    rest = iter(args[1:] if args and args[0] == "ffmpeg" else args)
    lavfi = False
    for text in rest:
        option = text[1:].partition(":")[0]
        if text in outputs or not text.startswith("-") or text == "-":
            yield text, _Kind.PLAIN if outputs and text not in outputs else _Kind.OUTPUT
        elif option in _DROPPED_FLAGS:
            yield text, _Kind.OVERWRITE_NEVER if option == "n" else _Kind.DROPPED
        elif option == "i" and lavfi:
            raise UsageError("-f lavfi makes its input; a job reads files: write one with FFmpeg first")
        elif option == "i":
            yield text, _Kind.PLAIN
            yield _value(rest, text), _Kind.INPUT
        elif option in _VALUED:
            value = _value(rest, text)
            lavfi = value == "lavfi" if option == "f" else lavfi
            yield text, _Kind.PLAIN
            yield value, _Kind.PLAIN
        elif option in _FLAGS or outputs:
            yield text, _Kind.PLAIN
        else:
            raise UsageError(
                f"{text}: it is not known here whether a value follows; name every file it writes with --output PATH"
            )


def _value(rest: Iterator[str], option: str) -> str:
    value = next(rest, None)
    if value is None:
        raise UsageError(f"{option} stands at the end, but needs a value")
    return value


class _Inputs:
    """Gives every file that is read a name, the same one each time."""

    def __init__(self, named: Mapping[str, str]) -> None:
        self._named = frozenset(named)
        self.uris = dict(named)

    def name(self, text: str) -> str:
        """The name of the file *text*, which is a name already when it was given as one."""
        if text in self._named:
            return text
        uri = to_uri(text)
        known = next((name for name, other in self.uris.items() if other == uri), None)
        if known is not None:
            return known
        stem = _name_for(uri, text)
        name = next(name for name in _candidates(stem) if name not in self.uris)
        self.uris[name] = uri
        return name


def _name_for(uri: str, text: str) -> str:
    """The file's own name in the letters that a spec allows."""
    last = PurePosixPath(unquote(urlsplit(uri).path)).name
    if not last:
        raise UsageError(f"-i {shown(text)} names no file")
    return _NOT_IN_A_NAME.sub("_", last).lstrip("._-")[-_LONGEST_NAME + 4 :].lstrip("._-") or "input"


def _candidates(stem: str) -> Iterator[str]:
    yield stem
    for number in range(2, 1000):
        yield f"{number}-{stem}"
