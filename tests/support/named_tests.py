"""Tests that other files name."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def has_test(identity: str) -> bool:
    """Whether there is a test of this id: a file, and a function of it where one is named."""
    file, _, function = identity.partition("::")
    path = ROOT / file
    return path.is_file() and (not function or re.search(rf"def {function}\b", path.read_text()) is not None)
