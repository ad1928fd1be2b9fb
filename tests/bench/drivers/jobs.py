"""The jobs that are measured: all alike, each with an id of its own."""

from __future__ import annotations

from telecine.v1 import media_pb2
from telecine.v1 import scheduler_service_pb2 as pb
from telecine_client.job_id import new_job_id

# Where the worker that does nothing says when a job came: seconds of the monotonic clock.
START = "bench.start_seconds"


def spec_of(size_bytes: int) -> media_pb2.JobSpec:
    """A valid transcode, its input's path so long that the spec has *size_bytes*."""
    spec = media_pb2.JobSpec(
        inputs={"in": media_pb2.Input(uri="file:///media/in.mp4")},
        output=media_pb2.Output(uri="file:///media/out"),
        task=media_pb2.Task(
            transcode=media_pb2.TranscodeTask(input="in", path="out.mp4", video=media_pb2.Video(codec="h264"))
        ),
    )
    path = "media/in.mp4"
    # Lengths within lengths take a byte more now and then.
    while spec.ByteSize() < size_bytes:
        path = path.rjust(len(path) + size_bytes - spec.ByteSize(), "m")
        spec.inputs["in"].uri = f"file:///{path}"
    while spec.ByteSize() > size_bytes:
        path = path[1:]
        spec.inputs["in"].uri = f"file:///{path}"
    return spec


def submission(spec: media_pb2.JobSpec) -> pb.SubmitJobRequest:
    """A request for a new job."""
    return pb.SubmitJobRequest(job_id=new_job_id(), spec=spec)
