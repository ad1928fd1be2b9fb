"""What a process writes to standard error: whole lines of one kind, whoever logs, and nothing secret."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from typing import Any

SECRET = "X-Amz-Signature=53cr37"

FAILING = f"""
import structlog
from telecine_process.logs import configure_logs

def fail():
    secret = {SECRET!r}.lower()
    raise ValueError("a reason")

configure_logs("info")
try:
    fail()
except ValueError:
    structlog.get_logger().exception("something failed", job_id="job-1")
    import logging
    logging.getLogger("library").exception("it failed for %s", "a library")
"""

LIBRARIES = """
import asyncio, warnings
import grpc
from telecine_process.logs import configure_logs

async def fail(*_):
    raise ValueError("a reason")

async def main():
    server = grpc.aio.server()
    method = grpc.unary_unary_rpc_method_handler(fail)
    server.add_registered_method_handlers("a.Service", {"Call": method})
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("a.Service", {"Call": method}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            await channel.unary_unary("/a.Service/Call")(b"")
        except grpc.aio.AioRpcError:
            pass
    await server.stop(0)
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    await asyncio.sleep(0)

configure_logs("info")
asyncio.run(main())
warnings.warn("an old call")
"""

QUIET = """
import logging, structlog
from telecine_process.logs import configure_logs

configure_logs("error")
logging.getLogger("library").warning("a warning of a library")
structlog.get_logger().warning("a warning of ours")
structlog.get_logger().error("an error of ours")
"""


def said(program: str) -> str:
    """Standard error of the program, into a pipe."""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert 0 == ran.returncode, ran.stderr
    return ran.stderr


def said_on_a_terminal(program: str) -> str:
    """Standard error of the program, into a pseudo-terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", program], stderr=theirs) as process:
        os.close(theirs)
        text = b""
        try:
            while piece := os.read(ours, 4096):
                text += piece
        except OSError:
            pass  # Linux: the last one has closed it
        assert 0 == process.wait(30), text
    os.close(ours)
    return text.decode()


def records(program: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said(program).splitlines()]


def test_a_traceback_has_no_values_of_variables() -> None:
    """Neither of ours nor of a library's: URLs and headers are in variables."""
    ours, library = records(FAILING)

    assert ("something failed", "job-1", "error") == (ours["event"], ours["job_id"], ours["level"])
    assert [("ValueError", "a reason")] * 2 == [
        (each["exception"][0]["exc_type"], each["exception"][0]["exc_value"]) for each in (ours, library)
    ]
    assert "fail" in [frame["name"] for frame in ours["exception"][0]["frames"]]
    assert "53cr37" not in json.dumps([ours, library])


def test_a_traceback_on_a_terminal_has_none_either() -> None:
    """It is Python's own."""
    text = said_on_a_terminal(FAILING)

    assert 2 == text.count("Traceback (most recent call last)")
    assert 2 == text.count("ValueError: a reason")
    assert (True, True, False) == ("job-1" in text, "it failed for a library" in text, "53cr37" in text.lower())


def test_libraries_log_like_we_do() -> None:
    """gRPC's, asyncio's and Python's own records are JSON lines with their message, logger, level and traceback."""
    grpc, asyncio, warning = records(LIBRARIES)

    assert "Unexpected [ValueError] raised by servicer method [/a.Service/Call]" in grpc["event"]
    assert (True, "error", "ValueError") == (
        grpc["logger"].startswith("grpc."), grpc["level"], grpc["exception"][0]["exc_type"],
    )  # fmt: skip
    assert ("asyncio", "error", "ZeroDivisionError") == (
        asyncio["logger"], asyncio["level"], asyncio["exception"][0]["exc_type"],
    )  # fmt: skip
    assert "Exception in callback" in asyncio["event"]
    assert ("py.warnings", True) == (warning["logger"], "an old call" in warning["event"])
    assert all("timestamp" in each for each in (grpc, asyncio, warning))


def test_the_level_counts_for_libraries_too() -> None:
    """Who asks for errors gets errors."""
    assert ["an error of ours"] == [each["event"] for each in records(QUIET)]
