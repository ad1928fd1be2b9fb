"""The verbs: one Lua file each, put behind the common prelude."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources

VERBS = (
    "submit", "get", "dispatch", "accept", "renew", "publish", "finish", "cancel",
    "register", "reclaim", "disconnect", "sweep", "stats",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A script's source and the digest Redis knows it by."""

    verb: str
    source: bytes
    sha: str


@cache
def script(verb: str) -> Script:
    """The script of *verb*. The shebang of the verb's file comes first, because Redis reads its flags there."""
    folder = resources.files("telecine_scheduler.store") / "lua"
    shebang, _, body = (folder / f"{verb}.lua").read_text().partition("\n")
    if not shebang.startswith("#!lua"):
        raise ValueError(f"{verb}.lua does not begin with its flags")
    source = f"{shebang}\n{(folder / 'prelude.lua').read_text()}{body}".encode()
    return Script(verb=verb, source=source, sha=hashlib.sha1(source, usedforsecurity=False).hexdigest())
