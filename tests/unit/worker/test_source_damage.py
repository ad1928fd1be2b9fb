"""What a log says of the sources, and what becomes of it by the policy."""

from __future__ import annotations

from datetime import timedelta

import pytest

from telecine.v1 import media_pb2
from telecine_worker.failure import AttemptFailed, FailureKind
from telecine_worker.ffmpeg.damage import Damage
from telecine_worker.ffmpeg.expected import Expected, ExpectedVideo
from telecine_worker.ffmpeg.progress import Block
from telecine_worker.ffmpeg.warning import WarningReason
from telecine_worker.source_damage import SourceDamage
from telecine_worker.tasks.plan import InputPlace, OutputPlace, Plan, Step

UNSPECIFIED, FAIL, WARN = (
    media_pb2.DAMAGE_POLICY_UNSPECIFIED, media_pb2.DAMAGE_POLICY_FAIL, media_pb2.DAMAGE_POLICY_WARN,
)  # fmt: skip
ERROR = "[h264 @] [error] error while decoding MB 13 8"
CUT = "[in#0/matroska,webm @] [error] File ended prematurely"
SEEKING = "[h264 @] [error] mmco: unref short failure"
STEP = Step(argv=(OutputPlace("o.mp4"),), least_duration=timedelta(seconds=9), least_pictures=90)
END = Block(position=timedelta(seconds=10), frame_count=100, last=True)


def read(*lines: str, seeks: bool = False) -> Damage:
    """What these lines say."""
    damage = Damage(seeks=seeks)
    for line in lines:
        damage.line(line)
    return damage


@pytest.mark.parametrize(
    ("line", "count"),
    [
        (ERROR, 1),
        ("[error] Error while decoding stream #0:0: Invalid data found when processing input", 1),
        ("[vist#0:0/h264 @] [dec:h264 @] [warning] corrupt decoded frame", 1),
        ("[in#0/avi @] [warning] Packet corrupt (stream = 1, dts = 56).", 1),
        ("[warning] half.ts: corrupt input packet in stream 0", 1),
        ("[mp4 @] [error] Application provided invalid, non monotonically increasing dts", 0),
        ("[out#0/mp4 @] [error] Error muxing a packet", 0),
        ("[libx264 @] [error] baseline profile doesn't support 4:4:4", 0),
        ("[vost#0:0/libx264 @] [enc:libx264 @] [error] x", 0),
        ("[Parsed_subtitles_1 @] [error] x", 0),
        ("[aac @] [warning] 2 frames left in the queue on closing", 0),
        ("x265 [error]: nothing with a level of FFmpeg", 0),
    ],
)
def test_complaints_about_what_is_read_are_counted(line, count):
    """At level error, and of pictures that were patched; not those about what is written."""
    assert count == read(line).count


def test_repeated_lines_are_counted():
    """FFmpeg folds them into one; those of a line that is none are not."""
    repeated = "    Last message repeated 3 times"
    assert 4 == read(ERROR, repeated).count
    assert 1 == read(ERROR, "[aac @] [warning] harmless", repeated).count


@pytest.mark.parametrize(
    "line", ["[h264 @] [error] mmco: unref short failure", "[hevc @] [error] Error constructing the frame RPS."]
)
def test_a_decoder_that_begins_in_the_middle_may_complain(line):
    """Of pictures before it; read from the start the same is damage."""
    assert (0, 1) == (read(line, seeks=True).count, read(line).count)
    assert 1 == read(ERROR, seeks=True).count


@pytest.mark.parametrize(
    ("policy", "damage", "last", "outcome"),
    [
        (UNSPECIFIED, read(), END, []),
        (UNSPECIFIED, read(ERROR), END, [WarningReason.INPUT_DAMAGED]),
        (UNSPECIFIED, read(ERROR, CUT), END, "INPUT_TRUNCATED"),
        (UNSPECIFIED, read(), Block(position=timedelta(seconds=8)), "INPUT_TRUNCATED"),
        (UNSPECIFIED, read(), Block(position=timedelta(seconds=10), frame_count=89), "INPUT_TRUNCATED"),
        (UNSPECIFIED, read(), Block(), []),
        (FAIL, read(), END, []),
        (FAIL, read(ERROR), END, "INPUT_DAMAGED"),
        (FAIL, read(ERROR, CUT), END, "INPUT_TRUNCATED"),
        (WARN, read(ERROR, CUT), END, [WarningReason.INPUT_DAMAGED, WarningReason.INPUT_TRUNCATED]),
        (WARN, read(), Block(position=timedelta(seconds=3)), [WarningReason.INPUT_TRUNCATED]),
    ],
)
def test_the_policy_decides(policy, damage, last, outcome):
    """A failure for good, or warnings about the input."""
    found = SourceDamage(policy, inputs=("main",))
    if isinstance(outcome, str):
        with pytest.raises(AttemptFailed, match="input main") as error:
            found.judge(STEP, last, damage)
        assert (FailureKind.PERMANENT, outcome) == (error.value.failure.kind, error.value.failure.reason)
    else:
        found.judge(STEP, last, damage)
        assert [(reason, "main") for reason in outcome] == [(each.reason, each.input_name) for each in found.warnings]


@pytest.mark.parametrize(("last", "goes_on"), [
    (Block(position=timedelta(seconds=10.7), frame_count=109), False),
    (Block(position=timedelta(seconds=9), frame_count=110), True),
    (Block(position=timedelta(seconds=10.9), frame_count=100), True),
])  # fmt: skip
def test_what_reaches_the_place_of_the_cut_is_longer_than_it_says(last, goes_on):
    """By its pictures or by its sound, of which the last packet is told; both lengths are named."""
    step = Step(argv=(), duration=timedelta(seconds=10), most_duration=timedelta(seconds=11), most_pictures=110)
    failing, warning = SourceDamage(UNSPECIFIED, inputs=("main",)), SourceDamage(WARN, inputs=("main",))
    warning.judge(step, last, read())
    said = "it goes on at 11.00 s, and says that it lasts 10.00 s"
    assert [said] * goes_on == [each.message.partition("cut: ")[2] for each in warning.warnings]
    if not goes_on:
        failing.judge(step, last, read())
        return
    with pytest.raises(AttemptFailed, match=f"INPUT_INVALID.*input main is longer than was planned: {said}"):
        failing.judge(step, last, read())


@pytest.mark.parametrize("line", ["[error] 361.500000", "[Eval @] [error] 361.500000"])
def test_a_sound_that_jumps_too_far_is_cut_short(line):
    """The filter says where it goes on, in FFmpeg 5 without its name; that is no damage of the kind that is counted."""
    damage = read(line, "[Eval @] [error] 400.000000")
    assert (0, "its sound goes on at 361.500000 s") == (damage.count, damage.cut_short.partition(",")[0])
    assert "" == read("[error] 361.5 is no number of ours").cut_short


def test_the_worst_pass_counts():
    """Every one reads the same source."""
    found = SourceDamage(UNSPECIFIED, inputs=())
    for lines in ((ERROR,), (ERROR, ERROR, ERROR), (ERROR, ERROR)):
        found.judge(STEP, END, read(*lines))
    assert [3] == [each.count for each in found.warnings]
    assert "an input is damaged: FFmpeg complained 3 times" in found.warnings[0].message


def test_what_is_expected_follows_what_was_there():
    """Of a damaged source as long as FFmpeg told, with any number of pictures; of a sound one just what was planned."""
    file = Expected(
        path="a.mp4", file_name="o.mp4", media_type="video/mp4", formats=("mov",), duration=timedelta(seconds=10),
        tolerance=timedelta(seconds=0.1), video=ExpectedVideo(codec="h264", frame_count=100, width_px=2),
    )  # fmt: skip
    plan = Plan(steps=(STEP,), artifacts=(file,))
    found = SourceDamage(WARN, inputs=("main",))
    found.judge(STEP, END, read())
    assert plan is found.adjusted(plan)
    found.judge(STEP, Block(position=timedelta(seconds=4)), read(CUT))
    made = found.adjusted(plan).artifacts[0]
    assert made.video is not None
    assert (timedelta(seconds=4), None, 2) == (made.duration, made.video.frame_count, made.video.width_px)
    assert ("-max_error_rate", "1") == found.options


def test_a_step_that_draws_what_was_made_says_nothing_of_it():
    """How long a file is is told by the step that made it, not by one that reads it afterwards."""
    sound = Expected(path="a.m4a", file_name="o.m4a", media_type="", formats=(), duration=timedelta(seconds=10))
    found = SourceDamage(WARN, inputs=("main",))
    found.judge(Step(argv=("-i", InputPlace("main"), OutputPlace("o.m4a"))), END, read(CUT))
    drawing = Step(argv=("-i", OutputPlace("o.m4a"), OutputPlace("w.png")))
    found.judge(drawing, Block(position=timedelta(milliseconds=40)), read())
    assert timedelta(seconds=10) == found.adjusted(Plan(steps=(), artifacts=(sound,))).artifacts[0].duration


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        (
            ["[vist#1:0/h264 @] [dec:h264 @] [warning] corrupt decoded frame"],
            {"b": (1, "stream 0: corrupt decoded frame")},
        ),
        (
            ["[error] Error while decoding stream #1:1: Invalid data"],
            {"b": (1, "Error while decoding stream #1:1: Invalid data")},
        ),
        (["[warning] b: corrupt input packet in stream 0"], {"b": (1, "b: corrupt input packet in stream 0")}),
        (
            [ERROR, "[in#1/avi @] [warning] Packet corrupt (stream = 1, dts = 56)."],
            {"b": (2, "error while decoding MB 13 8")},
        ),
        ([ERROR], {"": (1, "error while decoding MB 13 8")}),
        (
            [ERROR, "[in#0/avi @] [error] x", "[in#2/avi @] [error] y", "    Last message repeated 2 times"],
            {"": (1, "error while decoding MB 13 8"), "a": (1, "x"), "c": (3, "y")},
        ),
    ],
)
def test_the_input_is_named_where_it_can_be_told(lines, named):
    """By number, or by the name of the file; what names none is about the only one that others name."""
    step = Step(argv=("-i", InputPlace("a"), "-i", InputPlace("b"), "-i", InputPlace("c"), OutputPlace("o.mp4")))
    damage = Damage(inputs=step.inputs)
    for line in lines:
        damage.line(line)
    found = SourceDamage(WARN, inputs=("a", "b", "c"))
    found.judge(step, END, damage)
    said = {each.input_name: (each.count, each.message.partition("first: ")[2]) for each in found.warnings}
    assert named == said
    unnamed = [each.message for each in found.warnings if not each.input_name]
    assert ["one of the inputs a, b, c"] * ("" in named) == [each[:25] for each in unnamed]


def test_a_file_that_was_cut_off_is_judged_before_anything_runs():
    """For good, or a warning about just that input; a warning always where damage is told, and where nothing runs."""
    cut = {"b": "it says that it has 9 bytes, 5 are there"}
    for policy, step in ((UNSPECIFIED, STEP), (FAIL, STEP), (WARN, Step(argv=(), intact=True))):
        with pytest.raises(
            AttemptFailed, match=r"INPUT_TRUNCATED.*input b ends before its own length: it says that it has 9"
        ):
            SourceDamage(policy, inputs=("a", "b"), cut_files=cut).judge_files([step])
    found = SourceDamage(WARN, inputs=("a", "b"), cut_files=cut)
    found.judge_files([STEP])
    # What nobody names follows from it.
    found.judge(STEP, Block(position=timedelta(seconds=3)), read())
    assert [(WarningReason.INPUT_TRUNCATED, "b")] == [(each.reason, each.input_name) for each in found.warnings]
    for steps in ([], [Step(argv=(), tells_damage=True)]):
        told = SourceDamage(FAIL, inputs=("b",), cut_files=cut)
        told.judge_files(steps)
        assert [(WarningReason.INPUT_TRUNCATED, "b")] == [(each.reason, each.input_name) for each in told.warnings]


def test_a_recording_that_stops_within_a_packet_is_damaged():
    """It says nothing of its length, so that nothing is missing of it: a warning, unless any damage is a failure."""
    torn = {"b": "its last packet is cut off"}
    with pytest.raises(AttemptFailed, match=r"INPUT_DAMAGED.*input b is damaged: its last packet is cut off"):
        SourceDamage(FAIL, inputs=("a", "b"), torn_files=torn).judge_files([STEP])
    for policy, step in ((UNSPECIFIED, STEP), (WARN, STEP), (FAIL, Step(argv=(), tells_damage=True))):
        found = SourceDamage(policy, inputs=("a", "b"), torn_files=torn)
        found.judge_files([step])
        assert [(WarningReason.INPUT_DAMAGED, "b")] == [(each.reason, each.input_name) for each in found.warnings]


BEGINNING = ("[h264 @] [error] non-existing PPS 0 referenced", "[h264 @] [error] no frame!", SEEKING)


@pytest.mark.parametrize(("lines", "count"), [
    (BEGINNING, 0),
    (("[mpeg2video @] [error] Invalid frame dimensions 0x0.",), 0),
    ((*BEGINNING, ERROR, *BEGINNING), 4),
    (("[h264 @] [error] decode_slice_header error", "[h264 @] [error] no frame!"), 2),
    ((SEEKING,), 1),
])  # fmt: skip
def test_a_recording_may_begin_between(lines, count):
    """What only what comes before it would explain is no damage, until anything else is; nor in a file that begins well."""
    step = Step(argv=("-i", InputPlace("a"), OutputPlace("o.mp4")))
    for begin_between, expected in ((["a"], count), ([], len(lines))):
        damage = SourceDamage(UNSPECIFIED, inputs=("a",), begin_between=begin_between).heard(step)
        for line in lines:
            damage.line(line)
        assert expected == damage.count


@pytest.mark.parametrize(("lines", "count"), [
    (("[wav @] [warning] Packet corrupt (stream = 0, dts = NOPTS).", "[warning] a: corrupt input packet in stream 0"), 0),
    (("[in#0/caf @] [warning] Packet corrupt (stream = 0)", "[in#0/caf @] [warning] corrupt input packet in stream 0"), 0),
    (("[avi @] [warning] Packet corrupt (stream = 0, dts = 1).", "[warning] a: corrupt input packet in stream 0"), 2),
    (("[wav @] [error] invalid block align",), 1),
])  # fmt: skip
def test_the_last_packet_of_a_stream_without_a_size_is_short(lines, count):
    """Of containers whose size is compared with the one they state, which FFmpeg takes for true."""
    assert count == read(*lines).count


def test_pictures_that_fill_no_gap_any_more_are_lost():
    """FFmpeg says so on the side that writes, about what it read."""
    assert 1 == read("[vf#0:0 @] [error] 4800061 frame duplication too large, skipping").count
