"""What a task needs decides who gets it: nobody without the label, whoever has it, and meanwhile everybody is told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from support.running_scheduler import CAPABILITIES, Running, ScriptedWorker, a_spec
from telecine.v1 import media_pb2
from telecine.v1 import scheduler_service_pb2 as pb

H264 = {"codec": "h264"}
FILM = {"in": media_pb2.Input(uri="file:///in.mp4")}
WITH_TEXT = FILM | {"text": media_pb2.Input(uri="file:///in.srt")}
TASK: dict[str, Any] = {"input": "in", "path": "a.mp4", "video": H264}
NEEDS: dict[str, dict[str, Any]] = {
    "encoder/libsvtav1": {
        "task": {
            "packaging": {"input": "in", "directory": "d", "renditions": [{"name": "a", "video": {"codec": "av1"}}]}
        }
    },
    "hardware/h264": {"task": {"transcode": TASK | {"video": H264 | {"hardware": "HARDWARE_REQUIRED"}}}},
    "filter/zscale": {"task": {"transcode": TASK | {"video": H264 | {"tone_map_to_sdr": True}}}},
    "filter/subtitles": {"task": {"transcode": TASK | {"filters": {"burn_subtitles": "text"}}}, "inputs": WITH_TEXT},
    "filter/libvmaf": {
        "task": {"quality": {"reference": "in", "distorted": "text", "metrics": ["vmaf"]}}, "inputs": WITH_TEXT,
    },
    "storage/s3": {"task": {"transcode": TASK}, "inputs": {"in": media_pb2.Input(uri="s3://bucket/in.mp4")}},
    "storage/gs": {"task": {"transcode": TASK}, "output": media_pb2.Output(uri="gs://bucket/out")},
    "task/sprites": {"task": {"sprites": {"input": "in", "path": "%d.jpg", "index_path": "a.vtt"}}},
}  # fmt: skip


@pytest.mark.parametrize("label", NEEDS)
async def test_a_job_goes_only_to_a_worker_that_has_what_it_needs(scheduler: Running, label: str) -> None:
    """Until then it is blocked: the caller reads by which label, and the operator sees it in the metrics."""
    everything = {*CAPABILITIES, *(each for each in NEEDS)}
    spec = a_spec(**NEEDS[label] | {"task": media_pb2.Task(**NEEDS[label]["task"])})
    if spec.task.HasField("quality"):
        spec.ClearField("output")
    async with ScriptedWorker(scheduler.address, capabilities=sorted(everything - {label})) as without:
        await without.welcome()
        await scheduler.jobs.SubmitJob(pb.SubmitJobRequest(job_id="job", spec=spec))
        async with asyncio.timeout(15):
            while f"offers {label};" not in (await scheduler.get()).blocked_reason:
                pass
        await scheduler.shows({"jobs_blocked": 1})
        async with ScriptedWorker(scheduler.address, worker_id="w2", capabilities=sorted(everything)) as able:
            await able.welcome()
            assert "job" == (await able.grant()).lease.job_id
        assert "" == (await scheduler.get()).blocked_reason
