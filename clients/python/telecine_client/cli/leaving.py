"""Ends that are no command's own: wrong usage, words that are no text, and an output that nobody or nothing takes."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from telecine_client.cli.exits import ExitCode, UsageError, say
from telecine_client.cli.locations import shown

# How writing fails where there is no room, or no more.
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


@contextmanager
def leaving() -> Iterator[None]:
    """Each becomes one line and an exit code; the death by SIGPIPE, which shells expect, where a reader has left."""
    try:
        yield
    except UsageError as wrong:
        say(str(wrong))
        sys.exit(ExitCode.REFUSED)
    except UnicodeEncodeError as wrong:
        say(f"{shown(wrong.object)!a} cannot be written in {wrong.encoding}")
        sys.exit(ExitCode.REFUSED)
    except OSError as failed:
        if failed.errno not in _NO_ROOM:
            raise
        say(f"standard output cannot be written: {failed.strerror}")
        _forget_output()
        sys.exit(ExitCode.FAILED)
    except SystemExit as left:
        # typer makes exit code 1 of a pipe without a reader.
        if isinstance(left.__context__, BrokenPipeError):
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGPIPE)
        raise


def _forget_output() -> None:
    """What is still buffered goes nowhere: the interpreter would try again at its end, and make 120 of the exit code."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
