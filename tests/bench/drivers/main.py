"""Measures one group with interpreter and packages of one revision: a Request on standard input, figures on standard output."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Awaitable, Callable

# Drivers start processes, and gRPC's fork handlers can hang them.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import uvloop

from bench.drivers import encoding, idle, memory, submits, watches, work
from bench.drivers.figures import Figures
from bench.drivers.request import Request

GROUPS: dict[str, Callable[[Request], Awaitable[Figures]]] = {
    "idle": idle.measure,
    "submit": submits.measure,
    "work": work.measure,
    "watch": watches.measure,
    "memory": memory.measure,
    "encode": encoding.measure,
}


async def main(request: Request) -> None:
    figures = await GROUPS[request.group](request)
    print(json.dumps({"values": figures.values, "missing": figures.missing}))


if __name__ == "__main__":
    uvloop.run(main(Request.from_json(sys.stdin.read())))
