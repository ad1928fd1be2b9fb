"""The text of others, made harmless."""

from __future__ import annotations


def plain(text: str) -> str:
    """The text of others on one line, without what could steer a terminal."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
