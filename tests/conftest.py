"""For all tests: each carries the marker of its folder, and none sees the settings of the machine it runs on. What is marked
long runs only where -m names it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

TESTS = Path(__file__).parent
# Where it makes no difference which Redis and FFmpeg there is: one pass is enough (marker once).
ONCE = (
    "chaos/", "e2e/test_bench.py", "e2e/test_command_line.py", "e2e/test_dev.py", "e2e/test_examples.py", "e2e/test_metrics.py",
    "e2e/test_readme.py", "e2e/test_starting.py", "integration/client/",
    "integration/scheduler/test_calls", "integration/scheduler/test_lease_stream",
    "integration/scheduler/test_long_streams", "integration/scheduler/test_watch", "integration/worker/test_busy_",
    "integration/worker/test_frozen_", "integration/worker/test_http_", "integration/worker/test_worker_",
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


@pytest.fixture(autouse=True)
def _own_logs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A command that is run in this process sets up logs: no logger may keep its standard error, which is closed after it."""
    configure = structlog.configure

    def uncached(**settings: Any) -> None:
        configure(**settings | {"cache_logger_on_first_use": False})

    monkeypatch.setattr(structlog, "configure", uncached)
    yield
    structlog.reset_defaults()
