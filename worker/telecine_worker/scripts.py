"""The text files of a plan, in the staging folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from telecine_worker.failure import permanent
from telecine_worker.storage.staging import Staging
from telecine_worker.tasks.plan import Plan, filled


def write_scripts(plan: Plan, staging: Staging, urls: Mapping[str, str]) -> None:
    """With inputs as their *urls*. Blocks. Raises AttemptFailed."""
    for script in plan.scripts:
        lines = ["".join(filled(each, urls, {}) for each in line) for line in script.lines]
        staging.write_file(script.file_name, "\n".join([*lines, ""]).encode())


def shortened(plan: Plan, staging: Staging, urls: Mapping[str, str], counted: int) -> Plan:
    """What there is of *plan*, which makes pictures of a source that ends early: those that are in the folder, and scripts of
    as many as were *counted*. Blocks. Raises AttemptFailed INPUT_TRUNCATED where there are none, and others.
    """
    fewer = plan
    if plan.fewer is not None:
        fewer = plan.fewer(counted)
        for script in plan.scripts:
            staging.remove(script.file_name)
        write_scripts(fewer, staging, urls)
    there = set(staging.names())
    made = tuple(each for each in fewer.artifacts if each.file_name in there)
    if not any(each.decodable for each in made):
        raise permanent(
            "INPUT_TRUNCATED", "the input ends before the first picture that is wanted; a whole one would be right"
        )
    return replace(fewer, artifacts=made)
