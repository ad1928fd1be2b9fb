"""What judges storms: when a job is poison, and how even the starts of retries are."""

from __future__ import annotations

import pytest

from chaos.scenarios.storms import largest_bucket, poisonous


@pytest.mark.parametrize(
    ("expected", "lost"),
    [
        (True, ["a", "a", "b"]),
        (True, ["a", "a", "a", "b"]),
        (False, ["a", "b"]),
        (False, ["a", "a", "a"]),
        (False, []),
    ],
)
def test_three_crashes_on_two_workers_are_poison(expected: bool, lost: list[str]) -> None:
    """Fewer crashes, or one worker alone, are not."""
    assert expected == poisonous(lost)


def test_the_largest_bucket_is_a_share() -> None:
    """Of all times, those within the fullest tenth of a second."""
    assert 0.75 == largest_bucket([1.01, 1.02, 1.09, 2.0])
    assert 0.0 == largest_bucket([])
