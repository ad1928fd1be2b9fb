"""Jobs in words, for people."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from telecine_client.media import MediaInfo
from telecine_client.states import JobState, Phase
from telecine_client.values import Artifact, Failure, Job, Progress


def summary(job: Job) -> str:
    """One line: what the job is doing."""
    words = [job.state.value]
    if job.state is JobState.WAITING and job.wait_reason:
        words.append(f"({job.wait_reason.value.replace('_', ' ')})")
    if job.progress and job.state in {JobState.RUNNING, JobState.CANCELLING}:
        words.append(progress_text(job.progress))
    if job.attempt_count > 1 and not job.state.final:
        words.append(f"attempt {job.attempt_count}")
    return " ".join(words)


def progress_text(progress: Progress, *, fraction: bool = True) -> str:
    """How far it is; what is unknown is left out, and the fraction where it is shown beside this already."""
    parts = [] if progress.phase is Phase.UNKNOWN else [progress.phase.value]
    if progress.fraction is not None:
        parts += [f"{progress.fraction:.1%}"] if fraction else []
    elif progress.frame_count:
        parts.append(f"{progress.frame_count} frames")
    if progress.speed:
        parts.append(f"{progress.speed:.2f}x")
    if progress.remaining is not None:
        parts.append(f"{clock(progress.remaining)} left")
    return " ".join(parts)


def ending(job: Job) -> Iterator[str]:
    """What there is to say about a final job beyond its state."""
    if job.result:
        for artifact in job.result.artifacts:
            yield artifact_text(artifact)
    if job.failure and job.state is JobState.FAILED:
        yield from failure_lines(job.failure)
    if job.cancel_reason and job.state is JobState.CANCELLED:
        yield f"reason: {job.cancel_reason}"


def failure_lines(failure: Failure) -> Iterator[str]:
    """Kind, reason and message, then the end of FFmpeg's log."""
    exited = "" if failure.exit_code is None else f" (exit code {failure.exit_code})"
    yield f"{failure.kind.value} {failure.reason}: {failure.message}{exited}"
    if failure.log_tail:
        yield "FFmpeg's last words:"
        yield from (f"  {line}" for line in failure.log_tail.splitlines())


def artifact_text(artifact: Artifact) -> str:
    """Where it is and what it is."""
    parts = [artifact.uri, size_text(artifact.size_bytes)]
    if artifact.file_count > 1:
        parts.append(f"{artifact.file_count} files")
    if artifact.media:
        parts.append(media_text(artifact.media))
    return "  ".join(parts)


def media_text(media: MediaInfo) -> str:
    """Length and streams."""
    parts = [f"{media.duration.total_seconds():.2f} s"] if media.duration is not None else []
    for video in media.video_streams:
        rate = f" {float(video.frame_rate):.4g} fps" if video.frame_rate else ""
        parts.append(f"{video.codec} {video.width_px}x{video.height_px}{rate}")
    parts += [f"{audio.codec} {audio.sample_rate_hz} Hz {audio.channel_count} ch" for audio in media.audio_streams]
    return ", ".join(parts)


def describe(job: Job) -> Iterator[str]:
    """A job in full, a fact a line."""
    yield f"job       {job.job_id}"
    yield f"tenant    {job.tenant}"
    yield f"state     {summary(job)}"
    times = {"created": job.create_time, "due": job.due_time, "started": job.start_time, "ended": job.end_time}
    yield from (f"{name:<9} {time.isoformat(timespec='seconds')}" for name, time in times.items() if time)
    if job.attempt_count:
        yield f"attempts  {job.attempt_count}"
    if job.failure and job.state is not JobState.FAILED:
        yield f"last failure: {job.failure.kind.value} {job.failure.reason}: {job.failure.message}"
    yield from ending(job)


def size_text(size_bytes: int) -> str:
    """Decimal units, as FFmpeg and shops use them."""
    size = float(size_bytes)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def clock(time: timedelta) -> str:
    """M:SS, or H:MM:SS."""
    minutes, seconds = divmod(round(time.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
