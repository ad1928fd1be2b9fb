"""./run: sets up once, again only what changed, one at a time, and says in a line what is wrong."""

from __future__ import annotations

import ast
import dataclasses
import fcntl
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

DEADLINE_SECONDS = 60
MADE_PROTOS = "telecine: making the gRPC modules ...\n"


def test_the_first_run_sets_up_and_runs(first: tuple[Any, Any]) -> None:
    """The gRPC modules are made once, on the way; the package is linked in .venv, whatever pip's settings say."""
    checkout, said = first

    assert (0, "it runs\n") == (said.code, said.out), said.err
    assert [
        f"telecine: making .venv for Python {sys.version_info[0]}.{sys.version_info[1]} ...",
        "telecine: installing what it runs on (about 200 MB the first time) ...",
        "telecine: installing what tests and checks need ...",
        "telecine: making the gRPC modules and linking the packages ...",
    ] == said.err.splitlines()
    assert (checkout.gen / "telecine/v1/job_pb2.py").exists()
    assert 1 == len(list(checkout.env.glob("lib/python*/site-packages/tiny-1.0.dist-info")))
    assert (False, False) == ((checkout.root / "elsewhere").exists(), (checkout.root / ".local").exists())


def test_nothing_is_done_twice(checkout: Any) -> None:
    """Unchanged: it only runs the command, with its exit code and .venv first on PATH."""
    said = checkout.run("python", "-c", "import sys; print(sys.prefix); sys.exit(7)")

    assert (7, f"{checkout.env}\n", "") == said


def test_a_command_that_users_run_needs_no_tool_of_developers(checkout: Any) -> None:
    """Only the lock of what it runs on counts."""
    (checkout.root / "requirements-dev.lock").write_text("# changed\n")
    command = checkout.env / "bin" / "telecine"
    command.write_text("#!/bin/sh\necho a command\n")
    command.chmod(0o755)

    assert (0, "a command\n", "") == checkout.run("telecine")
    assert "telecine: installing what tests and checks need ...\n" == checkout.run("true").err


@pytest.mark.parametrize(
    "name", ["protos/telecine/v1/job.proto", "protos/gen/telecine/v1/job_pb2.pyi", "hatch_build.py"]
)
def test_a_change_makes_the_grpc_modules_again(checkout: Any, name: str) -> None:
    """Of a .proto, of what makes them, or of what was made; and once only."""
    changed = checkout.root / name
    with changed.open("a") as file:
        file.write("// changed\n" if changed.suffix == ".proto" else "# changed\n")

    assert [MADE_PROTOS, ""] == [checkout.run("true").err, checkout.run("true").err]
    assert "# changed" not in (checkout.gen / "telecine/v1/job_pb2.pyi").read_text()


@pytest.mark.parametrize("name", [".", "telecine/v1/job_pb2.py", "telecine/py.typed"])
def test_grpc_modules_that_were_removed_come_back(checkout: Any, name: str) -> None:
    """All of them, or one."""
    removed = checkout.gen / name
    if removed.is_dir():
        shutil.rmtree(removed)
    else:
        removed.unlink()

    assert (MADE_PROTOS, True) == (checkout.run("true").err, removed.exists())


def break_link(env: Path) -> None:
    (env / "bin/python").unlink()
    (env / "bin/python").symlink_to("/nowhere/python3")


def be_of_another_version(env: Path) -> None:
    [lib] = env.glob("lib/python3.*")
    lib.rename(lib.with_name("python3.99"))


@pytest.mark.parametrize("change", [break_link, be_of_another_version])
def test_an_environment_of_another_python_is_made_anew(checkout: Any, change: Callable[[Path], None]) -> None:
    """When its interpreter was removed, or ./run is run by another one: nothing of the old one is left."""
    (checkout.env / "left").touch()
    change(checkout.env)

    said = checkout.run("python", "-c", "print('it runs')")

    assert (0, "it runs\n", False) == (said.code, said.out, (checkout.env / "left").exists()), said.err


def test_it_may_be_called_from_anywhere(checkout: Any, tmp_path: Path) -> None:
    """Through a symbolic link, from another directory, where a file is named like a module; it stays there."""
    (tmp_path / "linked").symlink_to(checkout.root / "run")
    (tmp_path / "pip.py").write_text("raise SystemExit('the wrong pip')")
    (checkout.env / ".package").unlink()

    said = checkout.call("linked", "python", "-c", "import os; print(os.getcwd())", cwd=tmp_path)

    assert (0, f"{tmp_path}\n") == (said.code, said.out), said.err


def test_it_may_be_called_while_the_environment_is_active(checkout: Any) -> None:
    """.venv's own Python, which is then the first on PATH, has no pip; the one it was made with goes on."""
    (checkout.env / ".package").unlink()
    instead = "import os, sys; os.execv(sys.argv[1], sys.argv[1:])"
    active = str(checkout.env / "bin" / "python")

    said = checkout.call("-c", instead, active, str(checkout.root / "run"), "python", "-c", "print('it runs')")

    assert (0, "it runs\n") == (said.code, said.out), said.err


def test_the_second_of_two_waits_and_says_so(checkout: Any) -> None:
    """And goes on when the first is done."""
    with (checkout.root / ".venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with checkout.begun(str(checkout.root / "run"), "python", "-c", "print('it runs')") as process:
            said = checkout.heard(process, "\n")
            fcntl.flock(lock, fcntl.LOCK_UN)
            assert ("it runs\n", "") == process.communicate(timeout=DEADLINE_SECONDS)

    assert "telecine: waiting for another ./run that sets up .venv ...\n" == said


def test_ctrl_c_while_it_sets_up_is_no_traceback(checkout: Any) -> None:
    """One line, exit code 130; what was begun cleans up before, and the next ./run goes on."""
    slow = """if True:
        import signal, sys, time
        try:
            print("begun", file=sys.stderr, flush=True)
            signal.pause()
        except KeyboardInterrupt:
            time.sleep(0.5)
            print("cleaned up", file=sys.stderr)
    """
    good = (checkout.root / "hatch_build.py").read_text()
    (checkout.root / "hatch_build.py").write_text(slow)

    with checkout.begun(str(checkout.root / "run"), "true") as process:
        begun = checkout.heard(process, "begun\n")
        os.killpg(process.pid, signal.SIGINT)
        _, rest = process.communicate(timeout=DEADLINE_SECONDS)

    assert (130, f"{MADE_PROTOS}begun\n") == (process.returncode, begun)
    assert "cleaned up\ntelecine: interrupted; ./run again goes on from here\n" == rest
    (checkout.root / "hatch_build.py").write_text(f"{good}# changed\n")
    assert MADE_PROTOS == checkout.run("true").err


def test_what_fails_is_named_and_tried_again(checkout: Any) -> None:
    """The step, its own words above; never taken for done."""
    (checkout.root / "requirements.lock").write_text("tiny-that-is-not-there==1.0 --hash=sha256:" + 64 * "0")
    checkout = dataclasses.replace(checkout, environment={"PIP_NO_INDEX": "1"})

    for said in (checkout.run("true"), checkout.run("true")):
        assert (1, False) == (said.code, "Traceback" in said.err)
        assert "No matching distribution found for tiny-that-is-not-there" in said.err
        assert said.err.splitlines()[-1] == "The reason is above; ./run again goes on from here."


def test_a_checkout_that_may_not_be_written_is_named(checkout: Any) -> None:
    """In one line."""
    lock = checkout.root / ".venv.lock"
    lock.unlink()
    if os.geteuid():
        checkout.root.chmod(0o555)
    else:
        lock.mkdir()  # root may write anywhere but here

    said = checkout.run("true")

    checkout.root.chmod(0o755)
    assert (1, 1) == (said.code, said.err.count("\n"))
    assert said.err.startswith(f"telecine: {checkout.root} cannot be set up: ")


def test_an_old_pip_is_named(checkout: Any) -> None:
    """With what to do; it would fail on an option that it does not know."""
    old = checkout.root / "old" / "pip-21.3.1.dist-info"
    old.mkdir(parents=True)
    (old / "METADATA").write_text("Metadata-Version: 2.1\nName: pip\nVersion: 21.3.1\n")
    (checkout.env / ".runtime").unlink()

    said = dataclasses.replace(checkout, environment={"PYTHONPATH": str(old.parent)}).run("true")

    assert (1, True) == (said.code, "needs pip 22.3 or newer" in said.err), said.err
    python = checkout.call("-c", "import sys; print(sys.executable)").out.strip()
    assert said.err.endswith(f"{python} has 21.3.1; try: {python} -m pip install --upgrade pip\n")


def test_an_old_python_is_told_so(checkout: Any) -> None:
    """Before anything that it has not; and it can read the script."""
    old = "import runpy, sys; sys.version_info, sys.version = (3, 8, 18), '3.8.18 (x)'; sys.argv[:] = ['run', 'true'];"
    said = checkout.call("-c", f"{old} runpy.run_path('run', run_name='__main__')")

    assert (1, "telecine: needs Python 3.11 or newer, this is 3.8.18; try: python3.11 run ...\n") == (
        said.code,
        said.err,
    )
    ast.parse((checkout.root / "run").read_text(), feature_version=(3, 7))


def test_usage(checkout: Any) -> None:
    """No command is wrong; a command that is not there, or cannot be run, is named."""
    usage = "usage: ./run telecine demo | ./run pytest | ./run check | ./run COMMAND [ARGUMENT ...]\n"

    assert (2, "", usage) == checkout.run()
    assert (0, usage, "") == checkout.run("--help")
    assert (1, "", "telecine: there is no command 'nothing' in .venv or on PATH\n") == checkout.run("nothing")
    assert (1, "", "telecine: / cannot be run: Permission denied\n") == checkout.run("/")
