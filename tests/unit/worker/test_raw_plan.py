"""FfmpegTask to arguments: the caller's, with ours around them."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import timedelta

import pytest

from telecine.v1 import media_pb2
from telecine_worker.failure import AttemptFailed
from telecine_worker.ffmpeg import whitelists
from telecine_worker.tasks import kinds, raw
from telecine_worker.tasks.plan import Plan


def task(*args: str, outputs: tuple[str, ...] = ("out.mp4",)) -> media_pb2.FfmpegTask:
    """An FfmpegTask."""
    return media_pb2.FfmpegTask(args=args, outputs=outputs)


@pytest.fixture
def plan(film, encoders):
    """Plans for inputs a, b and main, all of them the film."""

    def make(*args: str, outputs: tuple[str, ...] = ("out.mp4",)) -> Plan:
        return raw.plan(task(*args, outputs=outputs), {"main": film, "a": film, "b": film}, encoders | {"libwebp"})

    return make


def test_golden_arguments(plan, golden):
    """One input and one output; several of both."""
    golden("raw", plan("-i", "main", "-vf", "scale=640:-2", "-c:v", "libx264", "out.mp4").steps[0])
    args = (
        "-ss",
        "1",
        "-i",
        "a",
        "-t",
        "2",
        "-i",
        "b",
        "-map",
        "0:v",
        "-map",
        "1:a",
        "-c",
        "copy",
        "x/y.mkv",
        "-an",
        "p.png",
    )
    golden("raw_several", plan(*args, outputs=("p.png", "x/y.mkv")).steps[0])


@pytest.mark.parametrize(
    ("mapped", "path", "kept"),
    [
        ("0", "o.mkv", True),
        ("0:2", "o.mkv", True),
        ("0:s?", "o.mkv", True),
        ("0:v", "o.mkv", False),
        ("0", "o.png", False),
    ],
)
def test_subtitles_that_may_be_mapped_are_kept(plan, mapped, path, kept):
    """A stream is mapped by its kind or by its number; a picture has no subtitles."""
    argv = plan("-i", "main", "-map", mapped, path, outputs=(path,)).steps[0].argv
    assert kept == ("-sn" not in argv)


def test_whitelists_stand_before_every_input(plan):
    """For each -i, and nothing between."""
    argv = plan("-i", "a", "-ss", "1", "-i", "b", "-i", "main", "out.mp4").steps[0].argv
    places = [at for at, argument in enumerate(argv) if argument == "-i"]
    assert 3 == len(places)
    for at in places:
        assert whitelists.BEFORE_INPUT == argv[at - len(whitelists.BEFORE_INPUT) : at]


def test_artifacts_are_in_the_order_of_the_spec(plan):
    """Which is the order of publishing, whatever the order of arguments."""
    made = plan("-i", "main", "one.mp4", "two.mkv", outputs=("two.mkv", "one.mp4"))
    assert [
        ("two.mkv", "out-1.mkv"),
        ("one.mp4", "out-0.mp4"),
    ] == [(each.path, each.file_name) for each in made.artifacts]


@pytest.mark.parametrize(
    ("args", "seconds"),
    [
        (["-i", "main", "out.mp4"], 10.01),
        (["-ss", "4", "-i", "main", "out.mp4"], 6.01),
        (["-ss", "4", "-to", "6", "-i", "main", "out.mp4"], 2),
        (["-t", "1:00", "-i", "main", "out.mp4"], 10.01),
        (["-i", "main", "-t", "1500ms", "out.mp4"], 1.5),
        (["-i", "main", "-ss", "9", "out.mp4"], 1.01),
        (["-i", "main", "-ss", "1", "-to", "3", "out.mp4"], 2),
        (["-t", "1", "-i", "a", "-t", "5", "-i", "b", "out.mp4"], 5),
        (["-ss", "60", "-i", "main", "out.mp4"], 0),
    ],
)
def test_progress_counts_to_the_part_that_is_used(plan, args, seconds):
    """Seeks and limits before inputs and outputs."""
    duration = plan(*args).steps[0].duration
    assert duration == pytest.approx(timedelta(seconds=seconds), abs=timedelta(microseconds=10))


@pytest.mark.parametrize(
    ("path", "said"), [("out", "no known extension"), ("out.m3u8", "extension"), ("out.exe", "extension")]
)
def test_a_file_of_no_known_kind_is_refused(plan, path, said):
    """Playlists among them: they are the packaging task's."""
    with pytest.raises(AttemptFailed, match=said):
        plan("-i", "main", path, outputs=(path,))


def test_a_missing_encoder_is_named(film):
    """As in transcodes."""
    with pytest.raises(AttemptFailed, match="no encoder libx264"):
        raw.plan(task("-i", "main", "-c:v", "libx264", "out.mp4"), {"main": film}, frozenset())


def test_input_names():
    """All inputs of the arguments, once each."""
    wanted = media_pb2.Task(ffmpeg=task("-i", "a", "-i", "b", "-i", "a", "out.mp4"))
    assert {"a", "b"} == kinds.input_names(wanted)


def test_every_kind_of_the_contract_is_run():
    """By a planner of its own; a task of a later contract, which reads as none, is refused with the kinds there are."""
    assert {field.name for field in media_pb2.Task.DESCRIPTOR.oneofs_by_name["kind"].fields} == set(kinds.SUPPORTED)
    with pytest.raises(AttemptFailed, match=r"runs audio, concat, ffmpeg, .* transcode tasks, not None"):
        kinds.input_names(media_pb2.Task())


@pytest.mark.parametrize(
    ("args", "cut"),
    [
        (["-i", "main", "out.mp4"], "260.200"),
        (["-ss", "4", "-to", "6", "-i", "main", "out.mp4"], "100.000"),
        (["-ss", "60", "-i", "main", "out.mp4"], "60.000"),
        (["-i", "main", "-t", "261", "out.mp4"], "260.200"),
        (["-i", "main", "-ss", "1", "-to", "05:00", "out.mp4"], "260.200"),
        (["-i", "main", "-t", "260", "out.mp4"], None),
        (["-i", "main", "-ss", "9", "-to", "260", "out.mp4"], None),
    ],
)
def test_no_output_is_without_an_end(plan, args, cut):
    """Twenty times its input, and a minute: a caller's own end that is earlier stays. What reaches ours is not published."""
    step = plan(*args).steps[0]
    after = step.argv[step.argv.index("-max_pixels") :]
    found = [after[at + 1] for at, argument in enumerate(after) if argument == "-t"]
    assert found == ([cut] if cut else [value for name, value in itertools.pairwise(args) if name == "-t"])
    assert ("-to" in after) == (cut is None and "-to" in args)
    assert step.most_duration == (timedelta(seconds=float(cut)) if cut else None)


def test_what_has_no_known_length_ends_all_the_same(film, encoders):
    """After two days, which no time of arguments exceeds."""
    step = raw.plan(task("-i", "main", "out.mp4"), {"main": replace(film, duration=None)}, encoders).steps[0]
    assert "172800.000" == step.argv[step.argv.index("-t") + 1]
