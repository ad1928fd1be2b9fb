"""What every command line of a plan must be, whatever the task and the sources: for tests of planners.

FFmpeg opens nothing but places that are filled when it runs, and files of ours by names of ours; before every input stand the
whitelists; the output is last.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from telecine_worker.ffmpeg import whitelists
from telecine_worker.tasks.plan import Argument, InputPlace, MeasuredPlace, OutputPlace, Plan, Step

_GRAPHS = ("-vf", "-af", "-bsf", "-filter", "-filter_complex", "-lavfi")
_RATIO = re.compile(r"-?[0-9]+/[0-9]+")
# Values that stand in a graph as they would in a path: numbers with a slash are ratios, names with one are parts of formulas.
_FILE_LIKE = re.compile(r"(?:^|[=:'\[\];,])(?:\.{0,2}/|[a-z][a-z0-9+.-]*:/)")
_FILE_OPTION = re.compile(
    r"(?:filename|file|textfile|fontfile|fontsdir|stats_file|result|model|log_path)=([^:,\[\];']*)"
)
_NULL_OUTPUTS = ("-",)


def steps_of(plan: Plan) -> Iterator[Step]:
    """All that may be run, those in the place of others too."""
    for step in plan.steps:
        each: Step | None = step
        while each is not None:
            yield each
            each = each.otherwise


def check_plan(plan: Plan, *, foreign: Collection[str] = (), demuxers: Collection[str] = ()) -> None:
    """Assert it of every step. *foreign* are texts that came from outside (paths, names) and may stand nowhere; *demuxers* are
    those that an input of ours is opened with (concat, image2).
    """
    own = {script.file_name for script in plan.scripts}
    for step in steps_of(plan):
        own |= {each.file_name for each in step.argv if isinstance(each, OutputPlace)}
        check_argv(step.argv, own_files=own, foreign=foreign, demuxers=demuxers)


def check_argv(
    argv: Sequence[Argument],
    *,
    own_files: Collection[str] = (),
    foreign: Collection[str] = (),
    demuxers: Collection[str] = (),
) -> None:
    """Assert it of one command line; *own_files* are in the staging folder by then."""
    _check_inputs(argv, demuxers)
    last = argv[-1]
    assert isinstance(last, OutputPlace) or last in _NULL_OUTPUTS, f"the last argument is no output: {last}"
    assert "-f" in argv, "no muxer is named: FFmpeg would choose one by the name"
    for number, argument in enumerate(argv):
        match argument:
            case OutputPlace(file_name):
                assert re.fullmatch(r"[A-Za-z0-9%][A-Za-z0-9._%-]*", file_name), f"no name of ours: {file_name}"
            case str() | MeasuredPlace():
                before = argv[number - 1] if number else ""
                for text in _texts(argument):
                    _check_text(text, str(before), own_files)
                    assert not any(each and each in text for each in foreign), f"{text} has what came from outside"
            case InputPlace():
                assert "-i" == argv[number - 1], f"{argument} stands where no input is named"


def _check_inputs(argv: Sequence[Argument], demuxers: Collection[str]) -> None:
    allowed = [whitelists.BEFORE_INPUT]
    places = [number for number, argument in enumerate(argv) if argument == "-i"]
    assert places, "nothing is read"
    for place in places:
        before = tuple(argv[max(0, place - len(whitelists.BEFORE_INPUT)) : place])
        named = [each for each in demuxers if any(each in str(argument).split(",") for argument in before)]
        assert before in allowed or (named and _has_whitelists(argv[:place])), f"no whitelists before input {place}"
        assert isinstance(argv[place + 1], InputPlace | OutputPlace), f"{argv[place + 1]} is opened"


def _has_whitelists(before: Sequence[Argument]) -> bool:
    """Of an input of ours, whose demuxer is on a list of its own: all options are there since the input before it."""
    since = list(before)
    if "-i" in since:
        since = since[len(since) - since[::-1].index("-i") :]
    return all(option in since for option in whitelists.BEFORE_INPUT[::2])


def _texts(argument: str | MeasuredPlace) -> list[str]:
    if isinstance(argument, str):
        return [argument]
    otherwise = _texts(argument.otherwise)
    return [argument.text, *otherwise]


def _check_text(text: str, option: str, own_files: Collection[str]) -> None:
    assert "\n" not in text
    assert "\0" not in text
    if option.partition(":")[0] in _GRAPHS:
        assert not _FILE_LIKE.search(text), f"{option} {text} names a path"
        for name in _FILE_OPTION.findall(text):
            assert name in own_files, f"{option} {text} opens {name}, which is no file of ours"
    elif not text.startswith("-"):
        assert "/" not in text or _RATIO.fullmatch(text), f"{option} {text} is a path"
        assert "://" not in text, f"{option} {text} is a URL"
