"""For all tests: each carries the marker of its folder, and none sees the settings of the machine it runs on. What is marked
long runs only where -m names it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
# Where it makes no difference which Redis and FFmpeg there is: one pass is enough (marker once).
ONCE = (
    "integration/client/", "integration/worker/test_http_", "e2e/test_bench.py", "e2e/test_examples.py", "e2e/test_readme.py",
    "chaos/test_checker.py", "chaos/test_nemesis.py", "chaos/test_rounds.py", "chaos/test_scenarios.py",
    "chaos/test_stand_in.py", "chaos/test_storm_figures.py", "chaos/test_watchers.py",
)  # fmt: skip

# A shell starts background jobs with Ctrl-C ignored, and children inherit that; tests send it to theirs.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        path = item.path.relative_to(TESTS)
        item.add_marker(getattr(pytest.mark, path.parts[0]))
        if str(path).startswith(ONCE):
            item.add_marker(pytest.mark.once)
    if "long" not in config.option.markexpr:
        long = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


@pytest.fixture(autouse=True, scope="session")
def _no_settings() -> Iterator[None]:
    """Settings come from the tests alone; TELECINE_TEST_* choose what they run against."""
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith("TELECINE_") and not name.startswith("TELECINE_TEST_"):
                patch.delenv(name)
        yield
