"""The options that every command has: they may stand before the command or after it."""

from __future__ import annotations

from collections.abc import Sequence

from telecine_client.cli.exits import UsageError

VALUED = (
    "--address", "--tenant", "--request-timeout", "--ca-file", "--cert-file", "--key-file", "--token-file",
)  # fmt: skip
FLAGS = ("--json", "--tls", "--no-tls")


def hoist(args: Sequence[str]) -> list[str]:
    """The same arguments with the options of every command before the command, up to "--"."""
    end = args.index("--") if "--" in args else len(args)
    mine: list[str] = []
    others: list[str] = []
    rest = iter(args[:end])
    for arg in rest:
        if arg in VALUED:
            mine += [arg, *([value] if (value := next(rest, None)) is not None else [])]
        elif arg in FLAGS or arg.startswith(tuple(f"{name}=" for name in VALUED)):
            mine.append(arg)
        else:
            others.append(arg)
    return [*mine, *others, *args[end:]]


def checked(args: Sequence[str]) -> Sequence[str]:
    """The same. Raises UsageError for a flag with a value."""
    for arg in args[: args.index("--") if "--" in args else len(args)]:
        name, equals, _ = arg.partition("=")
        if equals and name in FLAGS:
            raise UsageError(f"{arg}: {name} takes no value; write {name} alone, or leave it out")
    return args


def whole(words: Sequence[str]) -> list[str]:
    """What bash asks to complete, in one piece again: it parts words at ":" and "=", as in --address=HOST:PORT."""
    args: list[str] = []
    joint = False
    for word in words:
        parts = bool(args) and word in {":", "="}
        if parts or (joint and args):
            args[-1] += word
        else:
            args.append(word)
        joint = parts
    return args
