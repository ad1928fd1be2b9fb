"""Makes the gRPC modules from protos/ into protos/gen: the only generator there is.

Runs as a hatchling build hook when the project is built or installed, and as `python hatch_build.py` when a .proto changed.
`buf/validate` is generated under a private root (telecine._vendor), so that no top-level `buf` package of ours lands in
anybody's site-packages; google.rpc comes with googleapis-common-protos.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
VALIDATE = "buf/validate/validate.proto"
VENDORED_IMPORT = re.compile(r"^(from|import) buf\.validate", re.MULTILINE)


def protoc(out: Path, files: list[str], *plugins: str) -> None:
    """Run protoc over *files*, given relative to an include path."""
    from grpc_tools import protoc as compiler  # noqa: PLC0415 - only there while building

    includes = [
        ROOT / "protos",
        ROOT / "protos/third_party/googleapis",
        ROOT / "protos/third_party/protovalidate",
        resources.files("grpc_tools") / "_proto",
    ]
    arguments = ["protoc", *(f"-I{path}" for path in includes), *(f"--{plugin}={out}" for plugin in plugins), *files]
    if compiler.main(arguments) != 0:
        sys.exit("protoc failed; its message is above")


def generate() -> None:
    """Write protos/gen anew; the old one is replaced only once everything was made."""
    ours = sorted(str(path.relative_to(ROOT / "protos")) for path in (ROOT / "protos/telecine").rglob("*.proto"))
    # protoc finds its plugins on PATH; beside the interpreter is where pip puts them.
    plugins = [f"--plugin=protoc-gen-{name}={tool(f'protoc-gen-{name}')}" for name in ("mypy", "mypy_grpc")]
    with tempfile.TemporaryDirectory(dir=ROOT / "protos") as scratch:
        made = Path(scratch) / "gen"
        made.mkdir()
        quiet = ["--mypy_opt=quiet", "--mypy_grpc_opt=quiet"]
        protoc(made, [*ours, *plugins, *quiet], "python_out", "mypy_out")
        services = [name for name in ours if name.endswith("_service.proto")]
        protoc(made, [*services, *plugins, *quiet], "grpc_python_out", "mypy_grpc_out")
        package = made / "telecine"
        vendor = package / "_vendor"
        vendor.mkdir()
        protoc(vendor, [VALIDATE], "python_out")
        for path in made.rglob("*_pb2*.py*"):
            path.write_text(VENDORED_IMPORT.sub(r"\1 telecine._vendor.buf.validate", path.read_text()))
        for folder in (package, package / "v1", vendor, vendor / "buf", vendor / "buf/validate"):
            (folder / "__init__.py").touch()
        (package / "py.typed").touch()
        target = ROOT / "protos/gen"
        if target.exists():
            # Aside at once, not file by file: others may be importing from it.
            target.rename(Path(scratch) / "old")
        made.rename(target)


def tool(name: str) -> str:
    """Where a protoc plugin is; pip installs it beside the interpreter, an isolated build on PATH."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name) or name


class StubsHook(BuildHookInterface[Any]):
    """Hatchling calls this before it packs or links anything."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Make the stubs."""
        generate()


if __name__ == "__main__":
    try:
        generate()
    except KeyboardInterrupt:
        sys.exit(130)
