"""What `--json` prints beside jobs: the contract's messages in proto JSON, one a line, their zeros included."""

from __future__ import annotations

import json

from google.protobuf import json_format
from google.protobuf.message import Message

from telecine.v1 import scheduler_service_pb2 as service_pb2
from telecine_client.values import QueueStats, Worker


def worker_json(worker: Worker) -> str:
    """The Worker message."""
    message = service_pb2.Worker(
        worker_id=worker.worker_id,
        version=worker.version,
        queues=worker.queues,
        capabilities=worker.capabilities,
        slot_count=worker.slot_count,
        busy_slot_count=worker.busy_slot_count,
        draining=worker.draining,
    )
    if worker.connect_time:
        message.connect_time.FromDatetime(worker.connect_time)
    if worker.last_seen_time:
        message.last_seen_time.FromDatetime(worker.last_seen_time)
    return _line(message)


def stats_json(stats: QueueStats) -> str:
    """The GetQueueStatsResponse message."""
    message = service_pb2.GetQueueStatsResponse(
        jobs_by_state={state.value: count for state, count in stats.jobs_by_state.items()},
        worker_count=stats.worker_count,
        slot_count=stats.slot_count,
        busy_slot_count=stats.busy_slot_count,
        blocked_job_count=stats.blocked_job_count,
    )
    if stats.oldest_queued is not None:
        message.oldest_queued_duration.FromTimedelta(stats.oldest_queued)
    return _line(message)


def _line(message: Message) -> str:
    fields = json_format.MessageToDict(message, always_print_fields_with_no_presence=True)
    return json.dumps(fields, separators=(",", ":"))
