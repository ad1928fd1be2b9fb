"""The verbs: one Lua file each, put behind the parts they stand on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources

VERBS = (
    "submit", "submit_all", "get", "list", "cancel", "retry", "delete", "counts",
    "dispatch", "accept", "renew", "publish", "finish",
    "register", "beat", "workers", "reclaim", "disconnect", "sweep", "stats",
)  # fmt: skip
# Verbs one item of which may take milliseconds: each item is a script of its own, so that others get in between.
ALONE = frozenset({"submit_all", "list", "counts", "workers"})
# In this order, because each stands on those before it. The last is for verbs that admit jobs.
PARTS = ("base", "state", "ready", "attempt")
ADMISSION = "admission"
ADMITTING = frozenset({"submit", "submit_all", "retry"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A script's source and the digest Redis knows it by."""

    verb: str
    source: bytes
    sha: str


@cache
def script(verb: str) -> Script:
    """The script of *verb*. The shebang of the verb's file comes first, because Redis reads its flags there."""
    store = resources.files("telecine_scheduler.store")
    shebang, _, body = (store / "lua" / f"{verb}.lua").read_text().partition("\n")
    if not shebang.startswith("#!lua"):
        raise ValueError(f"{verb}.lua does not begin with its flags")
    parts = [*PARTS, ADMISSION] if verb in ADMITTING else PARTS
    prelude = "".join((store / "prelude" / f"{part}.lua").read_text() for part in parts)
    source = f"{shebang}\n{prelude}{body}".encode()
    return Script(verb=verb, source=source, sha=hashlib.sha1(source, usedforsecurity=False).hexdigest())
