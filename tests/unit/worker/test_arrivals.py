"""Marks that filters say of the sources: what is written into the graph, how the log is read, and what becomes of it."""

from __future__ import annotations

from fractions import Fraction

import pytest

from telecine.v1 import media_pb2
from telecine_worker.failure import AttemptFailed
from telecine_worker.ffmpeg.damage import Damage
from telecine_worker.ffmpeg.progress import Block
from telecine_worker.ffmpeg.warning import WarningReason
from telecine_worker.source_damage import SourceDamage
from telecine_worker.tasks.arrivals import (
    Arrival,
    End,
    first_picture_mark,
    last_picture_mark,
    missing,
    nothing_of,
    picture_mark,
    sound_mark,
)
from telecine_worker.tasks.plan import Plan, Step

FIRST = Arrival(
    input_name="a",
    what="clips[0]",
    first=0,
    ends=(End(marks=frozenset({1, 2}), what="the video or the sound", seconds=Fraction(5)),),
)
SECOND = Arrival(
    input_name="b",
    what="clips[1]",
    first=3,
    ends=(End(marks=frozenset({4}), what="the video", seconds=Fraction(2)),),
)


def test_what_filters_say():
    """Each once, at the warning level, and whatever comes passes."""
    assert "select='1+0*if(not(ld(0)),st(0,1)+print(6,24))'" == first_picture_mark(6, None)
    assert "select='1+0*if(lte(t,0.020000)*not(ld(0)),st(0,1)+print(6,24))'" == first_picture_mark(6, Fraction(1, 50))
    assert "select='1+0*if(eq(n,88),print(7,24))'" == picture_mark(7, 88)
    assert "aselect='1+0*if(gte(t+samples_n/sample_rate,1.500000)*not(ld(0)),st(0,1)+print(8,24))'" == sound_mark(
        8, Fraction(2)
    )
    assert "gte(t+samples_n/sample_rate,0.000000)" in sound_mark(8, Fraction(1, 4))
    assert "select='1+0*if(gte(t,1.500000)*not(ld(0)),st(0,1)+print(9,24))'" == last_picture_mark(9, Fraction(2))


@pytest.mark.parametrize("line", ["[Eval @ 0x7f22] [warning] 7.000000", "[warning] 7.000000"])
def test_marks_are_read_from_the_log_and_are_no_damage(line):
    """As FFmpeg 9 and 5 write them."""
    damage = Damage()
    damage.line(line)
    assert ({7}, 0, "") == (damage.marks, damage.count, damage.cut_short)


def test_what_is_missing_is_said_of_its_input():
    """One mark of an end is enough; a clip without any picture is another matter than one that ends early."""
    both = (FIRST, SECOND)
    assert {} == missing(both, {0, 2, 3, 4})
    assert {"b": "the video of clips[1] does not last for 2.00 s"} == missing(both, {0, 1, 3})
    assert {"a", "b"} == missing(both, set()).keys()
    assert ("", "clips[1]") == (nothing_of(both, {0, 3}), nothing_of(both, {0}))


def test_what_did_not_come_is_a_failure_or_a_warning():
    """By the damage policy; what is held and filled is as planned. Where only what is intact may be used, always a failure."""
    step = Step(argv=("-i",), arrivals=(FIRST, SECOND))
    damage = Damage(inputs=("a", "b"), marks={0, 1, 3})
    with pytest.raises(AttemptFailed, match=r"input b ends before its own length: the video of clips\[1\]"):
        SourceDamage(media_pb2.DAMAGE_POLICY_UNSPECIFIED, inputs=("a", "b")).judge(step, Block(), damage)
    lenient = SourceDamage(media_pb2.DAMAGE_POLICY_WARN, inputs=("a", "b"))
    lenient.judge(step, Block(), damage)
    assert [(WarningReason.INPUT_TRUNCATED, "b")] == [(each.reason, each.input_name) for each in lenient.warnings]
    plan = Plan(steps=(step,))
    assert plan is lenient.adjusted(plan)
    with pytest.raises(AttemptFailed, match="INPUT_TRUNCATED"):
        lenient.judge(Step(argv=("-i",), arrivals=(SECOND,), intact=True), Block(), damage)
