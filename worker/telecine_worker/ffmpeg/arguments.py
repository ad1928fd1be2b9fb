"""Raw arguments of callers: taken apart into inputs and outputs, every token checked against the allow-list.

    arguments := input+ output+
    input     := ((-ss | -t | -to) TIME)* -i NAME
    output    := (FLAG | OPTION[:STREAM] VALUE)* FILE
    STREAM    := [vas] [":" 0-99]

NAME is an input of the spec, FILE one of the declared outputs. Whatever is not listed is refused, by token and
position.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from telecine_worker.failure import AttemptFailed, permanent
from telecine_worker.ffmpeg import filtergraph
from telecine_worker.ffmpeg.options import FLAGS, GRAPHS, INPUT_OPTIONS, OUTPUT_OPTIONS, Option, canonical

MOST_TOKENS = 100
LONGEST_TOKEN = 2000
MOST_OUTPUTS = 30

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_STREAM = re.compile(r"([vas])(?::([0-9]{1,2}))?")
_MAP = re.compile(r"(-?)([0-9]{1,2})(?::([vas])(?::([0-9]{1,2}))?|:([0-9]{1,2}))?(\?)?")
_SHOWN = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class InputArguments:
    """*options* are in FFmpeg's form, ready to stand before -i."""

    name: str
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputArguments:
    """*options* in the order given; the value of a flag is None."""

    path: str
    options: tuple[tuple[str, str | None], ...] = ()

    def value(self, *names: str) -> str | None:
        """Of the first option that is one of *names*; None when there is none, or it is a flag."""
        return next((value for option, value in self.options if option in names), None)

    def has(self, *names: str) -> bool:
        """Whether one of *names* is there, with or without a stream specifier."""
        return any(option in names or option.partition(":")[0] in names for option, _ in self.options)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """What the caller wrote, checked."""

    inputs: tuple[InputArguments, ...]
    outputs: tuple[OutputArguments, ...]


def parse(tokens: Sequence[str], outputs: Sequence[str]) -> Arguments:
    """Check *tokens* with the declared *outputs*. Raises AttemptFailed ARGUMENT_NOT_ALLOWED naming token and position."""
    if len(tokens) > MOST_TOKENS:
        raise permanent("ARGUMENT_NOT_ALLOWED", f"args has {len(tokens)} tokens; at most {MOST_TOKENS} are allowed")
    if len(outputs) > MOST_OUTPUTS:
        raise permanent("ARGUMENT_NOT_ALLOWED", f"{len(outputs)} outputs; at most {MOST_OUTPUTS} are allowed")
    return _Parser(tokens, frozenset(outputs)).parse()


class _Parser:
    def __init__(self, tokens: Sequence[str], declared: Collection[str]) -> None:
        self._tokens = tokens
        self._declared = declared
        self._at = 0
        self._pending: list[tuple[int, str, str | None]] = []
        self._inputs: list[InputArguments] = []
        self._outputs: list[OutputArguments] = []

    def parse(self) -> Arguments:
        while self._at < len(self._tokens):
            self._word(self._tokens[self._at])
        if self._pending:
            position, option, _ = self._pending[0]
            raise self._refused("no output file follows this option", position, option)
        if not self._inputs:
            raise permanent("ARGUMENT_NOT_ALLOWED", "args names no input; -i and an input's name would be right")
        missing = sorted(set(self._declared) - {output.path for output in self._outputs})
        if missing:
            raise permanent("ARGUMENT_NOT_ALLOWED", f"output {missing[0]!r} is declared but args does not write it")
        self._check_maps()
        return Arguments(inputs=tuple(self._inputs), outputs=tuple(self._outputs))

    def _word(self, word: str) -> None:
        if _CONTROL.search(word) or not 1 <= len(word) <= LONGEST_TOKEN:
            raise self._refused(f"a token has 1 to {LONGEST_TOKEN} characters and no control characters")
        if word in self._declared:
            self._end_output(word)
        elif word == "-i":
            self._end_input()
        elif word in FLAGS:
            self._add(word, None)
        elif word.startswith("-") and len(word) > 1:
            self._option(word)
        else:
            raise self._refused("it is neither an option nor one of the declared outputs")

    def _end_input(self) -> None:
        if self._outputs:
            raise self._refused("inputs stand before the first output")
        for position, option, _ in self._pending:
            if option not in INPUT_OPTIONS:
                raise self._refused("before -i only -ss, -t and -to may stand", position, option)
        name = self._value("-i")
        options = tuple((option, value) for _, option, value in self._pending if value is not None)
        self._inputs.append(InputArguments(name=name, options=options))
        self._pending = []

    def _end_output(self, path: str) -> None:
        if not self._inputs:
            raise self._refused("an output stands before the first -i")
        if any(output.path == path for output in self._outputs):
            raise self._refused("this output is written already")
        options = tuple((option, value) for _, option, value in self._pending)
        self._outputs.append(OutputArguments(path=path, options=options))
        self._pending = []
        self._at += 1

    def _option(self, word: str) -> None:
        if word == "-map":
            value, right = (
                self._peek(word),
                "a map such as 0, 0:v, 0:a:0 or 1:2, with ? at its end where it may be missing",
            )
            self._add(word, value, wrong=None if _MAP.fullmatch(value) else right)
        elif word in GRAPHS:
            try:
                self._add(word, filtergraph.checked(self._peek(word), GRAPHS[word]))
            except filtergraph.GraphError as error:
                raise self._refused(str(error), self._at + 1, self._tokens[self._at + 1]) from None
        else:
            option = self._known(word)
            value = self._peek(word)
            self._add(word, value, wrong=option.check(value))

    def _known(self, word: str) -> Option:
        name, colon, stream = word.partition(":")
        option = OUTPUT_OPTIONS.get(name)
        if option is None:
            raise self._refused("this option is not on the allow-list")
        match = _STREAM.fullmatch(stream) if colon else None
        if colon and (match is None or match[1] not in option.streams):
            wanted = " or ".join(f"{name}:{kind}" for kind in option.streams) or name
            raise self._refused(f"the part after the colon is not allowed here; {wanted} would be right")
        return option

    def _peek(self, option: str) -> str:
        if self._at + 1 >= len(self._tokens):
            raise self._refused(f"{option} needs a value")
        return self._tokens[self._at + 1]

    def _value(self, option: str) -> str:
        value = self._peek(option)
        self._at += 2
        return value

    def _add(self, word: str, value: str | None, wrong: str | None = None) -> None:
        if wrong is not None:
            raise self._refused(f"as the value of {word}, right would be {wrong}", self._at + 1, value)
        for position, option, _ in self._pending if word != "-map" else ():
            if canonical(option) == canonical(word):
                raise self._refused(f"{option} in args[{position}] sets the same for this file; leave one of them out")
        self._pending.append((self._at, word, value))
        self._at += 1 if value is None else 2

    def _check_maps(self) -> None:
        for output in self._outputs:
            for option, value in output.options:
                match = _MAP.fullmatch(value or "") if option == "-map" else None
                if match and int(match[2]) >= len(self._inputs):
                    raise permanent(
                        "ARGUMENT_NOT_ALLOWED", f"-map {value}: there is no input {match[2]}; the first one is 0"
                    )

    def _refused(self, why: str, position: int | None = None, word: str | None = None) -> AttemptFailed:
        at = self._at if position is None else position
        text = self._tokens[at] if word is None else word
        shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
        return permanent("ARGUMENT_NOT_ALLOWED", f"args[{at}] {shown!r} is refused: {why}")
