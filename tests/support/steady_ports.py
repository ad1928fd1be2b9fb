"""Ports for servers that are named to each other before they run, and that must come back at the same place."""

from __future__ import annotations

import itertools
import random
import socket

# Below those that the kernel gives to outgoing connections: while a server is down, one of them may have its port.
LOWEST, HIGHEST = 12000, 32000
_ports = itertools.cycle(random.sample(range(LOWEST, HIGHEST), HIGHEST - LOWEST))


def steady_port() -> int:
    """One that nobody listens on, nor will by chance."""
    for port in _ports:
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")
