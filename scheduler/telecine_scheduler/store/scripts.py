"""The verbs: one Lua file each, put behind the parts they stand on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources

# The parts that each verb stands on besides "base", in an order in which each stands on those before it. No more than it needs:
# what a part defines is made anew whenever a script runs.
_STATE = ("recounting", "state")
_READY = (*_STATE, "ready")
_HELD = (*_READY, "crashes", "attempt")
_ATTEMPT = (*_READY, "avoidance", "crashes", "attempt")
_FAILING = (*_ATTEMPT, "failing")
_PARTS = {
    "submit": (*_READY, "admission"), "submit_all": (*_READY, "admission", "batch"), "check": (*_READY, "admission", "batch"),
    "get": (), "list": _STATE, "cancel": _HELD, "retry": (*_READY, "admission"), "delete": _STATE, "counts": (),
    "dispatch": (*_READY, "avoidance"), "accept": _ATTEMPT, "renew": _HELD, "publish": _HELD, "finish": _FAILING,
    "register": ("directory",), "beat": (), "workers": ("directory",), "reclaim": _FAILING, "disconnect": ("directory",),
    "sweep": _FAILING, "stats": (), "classes": (), "resync": (), "adopt": _ATTEMPT, "audit": (*_READY, "inspection", "tallies"),
}  # fmt: skip
VERBS = tuple(_PARTS)
# A script's share of a batch; Redis serves nobody else meanwhile.
MAX_ITEMS = 50
# Of verbs one item of which may take milliseconds, so that others get in between.
_FEWER_ITEMS = {"submit_all": 1, "check": 1, "list": 1, "counts": 1, "workers": 1, "dispatch": 4, "audit": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A script's source and the digest Redis knows it by."""

    verb: str
    source: bytes
    sha: str


def most_items(verb: str) -> int:
    """How many items of *verb* one script may have."""
    return _FEWER_ITEMS.get(verb, MAX_ITEMS)


@cache
def script(verb: str) -> Script:
    """The script of *verb*. The shebang of the verb's file comes first, because Redis reads its flags there."""
    store = resources.files("telecine_scheduler.store")
    shebang, _, body = (store / "lua" / f"{verb}.lua").read_text().partition("\n")
    if not shebang.startswith("#!lua"):
        raise ValueError(f"{verb}.lua does not begin with its flags")
    prelude = "".join((store / "prelude" / f"{part}.lua").read_text() for part in ("base", *_PARTS[verb]))
    source = f"{shebang}\n{prelude}{body}".encode()
    return Script(verb=verb, source=source, sha=hashlib.sha1(source, usedforsecurity=False).hexdigest())
