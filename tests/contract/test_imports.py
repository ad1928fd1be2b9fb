"""Imports point one way. The layout and its arrows are in ARCHITECTURE.md."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
S, W = "telecine_scheduler", "telecine_worker"
PROCESS = {"telecine_process"}

# Folder or module -> what of ours, and which third parties that have a layer of their own, it may import.
MAY_IMPORT = {
    f"scheduler/{S}/domain": {f"{S}.domain"},
    f"scheduler/{S}/store": {f"{S}.domain", f"{S}.store", "redis"},
    f"scheduler/{S}/service": {f"{S}.domain", f"{S}.store", f"{S}.service", f"{S}.metrics"},
    f"scheduler/{S}/rpc": {
        f"{S}.domain", f"{S}.store.routed_store", f"{S}.service", f"{S}.rpc", f"{S}.metrics", "telecine", "grpc", "google",
    },
    f"scheduler/{S}/metrics.py": {f"{S}.domain", f"{S}.store.job_store"},
    f"scheduler/{S}/config.py": {f"{S}.domain", f"{S}.store"} | PROCESS,
    f"worker/{W}/ffmpeg": {f"{W}.ffmpeg", f"{W}.sandbox", f"{W}.failure"},
    f"worker/{W}/storage": {f"{W}.storage", f"{W}.failure"},
    f"worker/{W}/sandbox": {f"{W}.sandbox"},
    f"worker/{W}/tasks": {f"{W}.tasks", f"{W}.ffmpeg", f"{W}.failure", "telecine"},
    f"worker/{W}/attempt.py": {
        f"{W}.ffmpeg", f"{W}.storage", f"{W}.tasks", f"{W}.failure", f"{W}.outcome", f"{W}.work", f"{W}.artifacts", "telecine",
    },
    f"worker/{W}": {W, "telecine", "grpc", "google"} | PROCESS,
    "clients/python/telecine_client": {"telecine_client", "telecine", "grpc", "google"},
    "deploy/local/telecine_local": {"telecine_local"},
    # The options that its commands share with the others.
    "deploy/local/telecine_local/commands.py": {"telecine_local", "telecine_client.cli.options"},
    "deploy/local/telecine_local/offline": {
        "telecine_local", "telecine_client", W, "telecine", "google",
    } | PROCESS,
    "deploy/process/telecine_process": PROCESS,
}  # fmt: skip
LAYERED = (S, W, "telecine_process", "telecine_client", "telecine_local", "telecine", "grpc", "google", "redis")


def modules(place: str) -> list[Path]:
    """Those that the place rules: not those of a place within it, which has rules of its own."""
    path = ROOT / place
    if path.suffix:
        return [path]
    within_it = [ROOT / other for other in MAY_IMPORT if other.startswith(f"{place}/")]
    return sorted(
        module
        for module in path.rglob("*.py")
        if not any(other == module or other in module.parents for other in within_it)
    )


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name: str, packages: set[str] | tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


@pytest.mark.parametrize("place", MAY_IMPORT)
def test_a_layer_imports_only_what_is_below_it(place: str) -> None:
    """A layer may be skipped, never reversed; grpc and redis stay in theirs."""
    assert modules(place)
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(place)
        for name in imported(path)
        if within(name, LAYERED) and not within(name, MAY_IMPORT[place])
    ]
    assert [] == wrong


def test_the_worker_and_the_client_know_nothing_of_the_scheduler() -> None:
    """They meet it in the contract alone."""
    for place in (f"worker/{W}", "clients/python/telecine_client"):
        assert not [name for path in modules(place) for name in imported(path) if within(name, (S,))]


def test_the_tests_of_aio_servers_never_use_grpc_testing() -> None:
    """It reports success on coroutines that nobody awaited."""
    users = [
        path
        for path in (ROOT / "tests").rglob("*.py")
        if any(within(name, ("grpc_testing",)) for name in imported(path))
    ]
    assert {"client"} >= {path.parent.name for path in users}


def test_nothing_private_to_a_machine_or_a_registry_is_committed() -> None:
    """Locks name no host."""
    for lock in ROOT.glob("requirements*.lock"):
        assert "://" not in lock.read_text()
