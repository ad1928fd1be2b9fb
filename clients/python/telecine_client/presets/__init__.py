"""Presets: named specs for what is asked for most, without the places of their files.

Each is a file of plain YAML beside this one, whose first line says what it is for. `names`, `describe` and `text` need no more
than the standard library.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import TYPE_CHECKING, Unpack

if TYPE_CHECKING:
    from telecine.v1 import media_pb2
    from telecine_client.spec import Source
    from telecine_client.spec_options import SpecOptions

_SUFFIX = ".yaml"


def names() -> tuple[str, ...]:
    """Of all presets, in the order of the alphabet."""
    files = (file.name for file in resources.files(__name__).iterdir())
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in files if name.endswith(_SUFFIX)))


def describe(name: str) -> str:
    """What a preset is for, in a sentence. Raises LookupError."""
    return text(name).partition("\n")[0].removeprefix("# ")


def text(name: str) -> str:
    """The YAML of a preset: a spec whose inputs have no URIs, and which has no output. Raises LookupError."""
    if name not in names():
        raise LookupError(f"there is no preset {name!r}; there are {', '.join(names())}")
    return resources.files(__name__).joinpath(f"{name}{_SUFFIX}").read_text(encoding="utf-8")


def input_names(name: str) -> tuple[str, ...]:
    """Of the inputs of a preset. Raises LookupError."""
    from telecine_client.presets.filling import preset_spec  # noqa: PLC0415 - protobuf comes with it

    return tuple(sorted(preset_spec(name, text(name)).inputs))


def load(
    name: str,
    *,
    inputs: Source | Mapping[str, Source],
    output: str | None = None,
    **options: Unpack[SpecOptions],
) -> media_pb2.JobSpec:
    """The spec of a preset, complete: *inputs* by name, or the only one; *output* is the URI of the directory or prefix
    that its files go to, None for a preset that writes none.

    Raises LookupError where there is no such preset, ValueError for inputs that are not those that it has.
    """
    from telecine_client.presets.filling import fill, preset_spec  # noqa: PLC0415

    spec = preset_spec(name, text(name))
    fill(spec, name, inputs, output, options)
    return spec
