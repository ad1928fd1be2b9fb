"""The acceptance scenarios: short forms here, long ones where -m names them."""

from __future__ import annotations

import pytest

from chaos.rig.scenario import Play, scenarios


@pytest.mark.parametrize("name", scenarios())
async def test_a_short_form_passes(name: str) -> None:
    """What the scenario's own page promises, with few jobs and generous times."""
    came = await scenarios()[name].play(Play(seed=1, long=False))

    assert [] == list(came.wrong), came.figures


@pytest.mark.long
@pytest.mark.parametrize("name", scenarios())
async def test_a_long_form_passes(name: str) -> None:
    """The same with the numbers and times of the design."""
    came = await scenarios()[name].play(Play(seed=1, long=True))

    assert [] == list(came.wrong), came.figures
