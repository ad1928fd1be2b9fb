"""Whether a later answer goes on with the same file."""

from __future__ import annotations

import pytest

from telecine_worker.storage.http_answer import Answer
from telecine_worker.storage.http_version import ContentRange, FileVersion

OLD, LATE, LATER = "Sun, 22 Nov 2026 10:00:00 GMT", "Sun, 22 Nov 2026 10:00:59 GMT", "Sun, 22 Nov 2026 10:01:00 GMT"


def answer(**headers: str) -> Answer:
    named = {name.replace("_", "-"): [value] for name, value in headers.items()}
    return Answer(status=200, minor_version=1, headers=named)


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        ({}, None),
        ({"etag": '"a"'}, '"a"'),
        ({"etag": 'W/"a"'}, None),
        ({"etag": "a"}, None),
        ({"last_modified": OLD}, None),
        ({"last_modified": OLD, "date": LATE}, None),
        ({"last_modified": OLD, "date": LATER}, OLD),
        ({"last_modified": "yesterday", "date": LATER}, None),
        ({"last_modified": f"{OLD} (ä)", "date": LATER}, None),
        ({"last_modified": f"{OLD}\rX: y", "date": LATER}, None),
        ({"last_modified": LATER, "date": OLD}, None),
        ({"etag": 'W/"a"', "last_modified": OLD, "date": LATER}, OLD),
        ({"etag": '"a"', "last_modified": OLD, "date": LATER}, '"a"'),
    ],
)
def test_only_a_strong_validator_can_go_on(headers: dict[str, str], validator: str | None) -> None:
    """A weak tag means "much the same"; a date means one version only once a minute has passed."""
    assert validator == FileVersion.of(answer(**headers)).validator


@pytest.mark.parametrize(
    ("first", "part", "kept"),
    [
        ({"etag": '"a"'}, {"etag": '"a"'}, True),
        ({"etag": '"a"'}, {"etag": '"b"'}, False),
        ({"etag": '"a"'}, {}, False),
        ({"last_modified": OLD, "date": LATER}, {}, True),
        ({"last_modified": OLD, "date": LATER}, {"last_modified": OLD}, True),
        ({"last_modified": OLD, "date": LATER}, {"last_modified": LATE}, False),
        ({"last_modified": OLD, "date": LATER, "etag": 'W/"a"'}, {"etag": 'W/"b"'}, False),
    ],
)
def test_a_part_has_to_be_of_the_same_version(first: dict[str, str], part: dict[str, str], kept: bool) -> None:
    """A tag has to be repeated; a date may be left out, but not differ."""
    assert kept is FileVersion.of(answer(**first)).is_kept_by(answer(**part))


def test_versions_differ_where_both_say_so() -> None:
    """What one of them does not say is no difference."""
    first = FileVersion.of(answer(etag='"a"', content_length="5"))
    assert [False, False, True, True] == [
        first.differs(FileVersion.of(answer(**other)))
        for other in ({}, {"etag": '"a"', "last_modified": OLD}, {"content_length": "6"}, {"etag": '"b"'})
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("bytes 2-9/10", (2, 10, 10)),
        ("bytes 2-9/*", (2, 10, None)),
        ("bytes 2-5/10", (2, 6, 10)),
        ("bytes 2-10/10", None),
        ("bytes 5-2/10", None),
        ("bytes */10", None),
        ("bytes=2-9/10", None),
        ("bytes 2-9", None),
        ("", None),
    ],
)
def test_a_content_range_has_to_be_possible(text: str, found: tuple[int, int, int | None] | None) -> None:
    """Within the total, not empty, in bytes."""
    read = ContentRange.of(answer(content_range=text))
    assert found == (read and (read.begin, read.end, read.total))
