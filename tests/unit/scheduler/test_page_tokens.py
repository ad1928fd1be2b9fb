"""Tokens: they open only what they were sealed for."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telecine_scheduler.domain.errors import InvalidRequest
from telecine_scheduler.rpc.page_tokens import binding, opened, sealed

BOUND = binding("list", "default", ["Q", "S"], {"a": "1"})


@given(st.text(), st.text())
def test_a_token_opens_to_its_place(place: str, bound_to: str) -> None:
    """Whatever the place; and it may stand in a URL."""
    token = sealed(place, bound_to)

    assert place == opened("page_token", token, bound_to)
    assert re.fullmatch(r"[A-Za-z0-9_-]*", token)


@given(
    st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=0x10FFFF, exclude_categories=["Cs"]), max_size=80)
)
def test_anything_else_is_refused(text: str) -> None:
    """With the field named, and never another error."""
    with pytest.raises(InvalidRequest) as caught:
        opened("page_token", text, BOUND)
    assert ["page_token"] == [each.field for each in caught.value.violations]


@given(st.integers(min_value=0, max_value=10_000), st.integers(min_value=1, max_value=255))
def test_a_changed_byte_is_noticed(where: int, by: int) -> None:
    """Wherever it is."""
    import base64

    raw = bytearray(base64.urlsafe_b64decode(sealed("12345678901234", BOUND) + "=="))
    raw[where % len(raw)] ^= by
    with pytest.raises(InvalidRequest):
        opened("page_token", base64.urlsafe_b64encode(raw).rstrip(b"=").decode(), BOUND)


def test_a_binding_is_its_parts() -> None:
    """Order in sets makes no difference; where one part ends and the next begins does."""
    assert BOUND == binding("list", "default", {"S", "Q"}, {"a": "1"})
    others = {
        binding("list", "default", ["Q"], {"a": "1"}), binding("list", "other", ["Q", "S"], {"a": "1"}),
        binding("list", "default", ["Q", "S"], {"a": "2"}), binding("list", "default", ["Q", "S"], {}),
        binding("watch", "default", ["Q", "S"], {"a": "1"}), binding("list", "default", ["Q,S"], {"a": "1"}),
    }  # fmt: skip
    assert 6 == len(others - {BOUND})
