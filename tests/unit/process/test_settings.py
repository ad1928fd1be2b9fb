"""Durations and addresses as settings write them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telecine_process.addresses import parse_address
from telecine_process.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("30s", 30), ("10m", 600), ("1h30m", 5400), ("2d", 172800), ("0s", 0), ("1.5s", 1.5)],
)
def test_a_duration_is_a_number_with_a_unit(text: str, seconds: float) -> None:
    """Parts add up."""
    assert timedelta(seconds=seconds) == parse_duration(text)


@pytest.mark.parametrize("text", ["", "30", "s", "-1s", "1 s", "1s2", "1w", "½s"])
def test_anything_else_is_no_duration(text: str) -> None:
    """The message shows what would be right."""
    with pytest.raises(ValueError, match="such as 500ms, 30s"):
        parse_duration(text)


@given(st.integers(0, 10**12))
def test_a_duration_survives_its_text(milliseconds: int) -> None:
    """Format and parse are inverse."""
    duration = timedelta(milliseconds=milliseconds)
    assert duration == parse_duration(format_duration(duration))


@pytest.mark.parametrize("text", ["127.0.0.1:0", "localhost:50051", "[::1]:9464"])
def test_an_address_survives_its_text(text: str) -> None:
    """Host and port, IPv6 in brackets."""
    assert text == str(parse_address(text))


@pytest.mark.parametrize("text", ["", "localhost", ":1", "h:", "h:x", "h:65536", "h:-1"])
def test_anything_else_is_no_address(text: str) -> None:
    """The message shows what would be right."""
    with pytest.raises(ValueError, match="HOST:PORT"):
        parse_address(text)
