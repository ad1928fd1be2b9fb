"""What to do on a machine where no sandbox holds: go on without one, and say so. Only on one machine, for oneself."""

from __future__ import annotations

from collections.abc import Mapping

from telecine_local.member import say
from telecine_local.toolchain import Toolchain

SETTING = "TELECINE_SANDBOX"


def worker_settings(tools: Toolchain, environment: Mapping[str, str]) -> Mapping[str, str]:
    """What workers are told besides: to go without a sandbox, where none holds and *environment* asks for none by name."""
    if not tools.unconfined or environment.get(SETTING, "auto") != "auto":
        return {}
    say(f"WARNING: FFmpeg runs unconfined; do not give it files of strangers: {tools.unconfined}")
    return {SETTING: "off"}
