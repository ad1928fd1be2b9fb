"""A preset made a spec: its files get their places."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from telecine.v1 import media_pb2
from telecine_client.spec import Source, read_message
from telecine_client.spec_options import SpecOptions, apply


def preset_spec(name: str, text: str) -> media_pb2.JobSpec:
    """What the YAML *text* of the preset *name* says."""
    return read_message(yaml.safe_load(text), media_pb2.JobSpec(), at=f"preset {name}")


def fill(
    spec: media_pb2.JobSpec,
    name: str,
    inputs: Source | Mapping[str, Source],
    output: str | None,
    options: SpecOptions,
) -> None:
    """Write into the *spec* of the preset *name* where its files are. Raises ValueError."""
    given = inputs if isinstance(inputs, Mapping) else dict.fromkeys(list(spec.inputs)[:1], inputs)
    if given.keys() != spec.inputs.keys():
        wanted, named = (", ".join(sorted(each)) for each in (spec.inputs, given))
        raise ValueError(f"the preset {name} has the inputs {wanted}; given are {named or 'none'}")
    for key, source in given.items():
        spec.inputs[key].CopyFrom(source if isinstance(source, media_pb2.Input) else media_pb2.Input(uri=source))
    if output is not None:
        spec.output.uri = output
    apply(options, spec)
