"""What happened, one JSON line each: calls of clients, beginnings and ends of FFmpeg, commits, and what the nemesis did.

Every line has "event" and "at", in seconds of the clock that all processes of a machine share. The events:

    call          call, job, began, outcome ("ok", "refused", "unknown"), reason, state
    ffmpeg_start  worker, pid, parent, attempt, real
    ffmpeg_stop   worker, pid, attempt, code; not of those that were killed, nor of the real FFmpeg
    commit        job, revision: a change to SUCCEEDED, as the feed of the store tells it
    nemesis       action, target
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from telecine_client import DeadlineExceeded, InternalError, Job, TelecineError, Unavailable

Event = dict[str, Any]
_BEGIN = b'{"event"'
# After these nothing is known about what the call did.
UNKNOWN = (Unavailable, DeadlineExceeded, InternalError)


class History:
    """The file. Stand-ins write into it, too."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def note(self, event: str, **fields: object) -> None:
        """Add a line."""
        line = json.dumps({"event": event, "at": time.monotonic()} | fields).encode() + b"\n"
        with self._path.open("ab", buffering=0) as file:
            file.write(line)

    def events(self) -> list[Event]:
        """All of them, in the order in which they were written. A writer may have been killed within its last line."""
        lines = self._path.read_bytes().split(b"\n") if self._path.exists() else []
        return [json.loads(line[line.rindex(_BEGIN) :]) for line in lines if line.endswith(b"}")]

    async def call(self, name: str, job_id: str, call: Awaitable[Job]) -> Job | TelecineError:
        """Make a client's call about a job; its answer or its error, which is in the history."""
        began = time.monotonic()
        answer: Job | TelecineError
        try:
            answer = await call
            outcome, reason, state = "ok", "", answer.state.value
        except UNKNOWN as error:
            answer, outcome, reason, state = error, "unknown", error.reason or error.code.name, ""
        except TelecineError as error:
            answer, outcome, reason, state = error, "refused", error.reason or error.code.name, ""
        self.note("call", call=name, job=job_id, began=began, outcome=outcome, reason=reason, state=state)
        return answer
