"""The real worker of this revision, with an executor that does nothing: stream, holdings and journal are the real ones.

Takes the arguments and settings of telecine-worker.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from bench.drivers.control import answer_reports
from telecine.v1 import lease_service_pb2 as pb
from telecine_worker import app
from telecine_worker.__main__ import main
from telecine_worker.ffmpeg.process import Usage
from telecine_worker.holdings import Holdings
from telecine_worker.outcome import Ended, Succeeded


class Record:
    """What a report says; jobs are those whose end was acknowledged, and *counted* those after the first."""

    def __init__(self) -> None:
        self.jobs = 0
        self.times = (0.0, 0.0)
        self.cpu = (0.0, 0.0)

    def count_end(self) -> None:
        now, cpu = time.monotonic(), time.process_time()
        self.jobs += 1
        self.times = (self.times[0] or now, now)
        self.cpu = (self.cpu[0] or cpu, cpu)

    def report(self) -> dict[str, float]:
        seconds, cpu = self.times[1] - self.times[0], self.cpu[1] - self.cpu[0]
        return {"jobs": self.jobs, "counted": max(0, self.jobs - 1), "seconds": seconds, "cpu_seconds": cpu}


RECORD = Record()


class NoAttempt:
    """In the place of an attempt."""

    def __init__(self, _assignment: object, **_: Any) -> None:
        """Whatever an attempt needs is not needed."""

    def stop(self, *_: object) -> None:
        """It has ended before."""

    async def run(self) -> Ended:
        return Succeeded(usage=Usage(), artifacts=(), inputs={})


class CountedHoldings(Holdings):
    """Counts what is recorded: from the first to the last, as the peers are measured."""

    def acknowledge(self, ack: pb.OutcomeAck) -> None:
        super().acknowledge(ack)
        if ack.ack == pb.OutcomeAck.ACK_COMMITTED:
            RECORD.count_end()


if __name__ == "__main__":
    app.Holdings = CountedHoldings  # type: ignore[misc]
    app.Attempt = NoAttempt  # type: ignore[assignment,misc]
    answer_reports(RECORD.report, lambda: os.kill(os.getpid(), signal.SIGTERM))
    main()
