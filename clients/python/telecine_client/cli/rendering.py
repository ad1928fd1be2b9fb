"""Jobs in words, for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from telecine_client.cli.spec_text import spec_facts
from telecine_client.cli.text import plain
from telecine_client.media import MediaInfo
from telecine_client.states import JobState, Phase
from telecine_client.values import Artifact, Attempt, Detection, Failure, Job, JobResult, JobWarning, Progress


def summary(job: Job) -> str:
    """One line: what the job is doing, and what it waits for."""
    words = [job.state.value]
    if job.state is JobState.WAITING and job.wait_reason:
        words.append(f"({wait_text(job)})")
    if job.state is JobState.QUEUED and job.blocked_reason:
        words.append(f"(blocked: {plain(job.blocked_reason)})")
    if job.progress and job.state in {JobState.RUNNING, JobState.CANCELLING}:
        words.append(progress_text(job.progress))
    if job.attempt_count > 1 and not job.state.final:
        words.append(f"attempt {job.attempt_count}")
    return " ".join(words)


def wait_text(job: Job) -> str:
    """What a WAITING job waits for, and until when."""
    reason = job.wait_reason.value.replace("_", " ") if job.wait_reason else ""
    until = f"until {time_text(job.due_time)}" if job.due_time else ""
    return " ".join(part for part in (reason, until) if part)


def note(job: Job) -> str:
    """What there is to say about the job in a table, beside its state."""
    if job.state is JobState.WAITING:
        return wait_text(job)
    if job.state is JobState.QUEUED and job.blocked_reason:
        return f"blocked: {plain(job.blocked_reason)}"
    if job.state is JobState.FAILED and job.failure:
        return f"{job.failure.reason}: {plain(job.failure.message)}"
    if job.state is JobState.CANCELLED and job.cancel_reason:
        return plain(job.cancel_reason)
    running = job.progress and job.state in {JobState.RUNNING, JobState.CANCELLING}
    return progress_text(job.progress) if job.progress and running else ""


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
        yield from result_lines(job.result)
    if job.failure and job.state is JobState.FAILED:
        yield from failure_lines(job.failure)
    if job.cancel_reason and job.state is JobState.CANCELLED:
        yield f"reason: {plain(job.cancel_reason)}"


def result_lines(result: JobResult) -> Iterator[str]:
    """The files that were made; of a task that makes none, what it found out."""
    yield from map(artifact_text, result.artifacts)
    if not result.artifacts:
        yield from (f"{name}: {info.format}, {media_text(info)}" for name, info in sorted(result.inputs.items()))
    yield from (f"{name} = {value:g}" for name, value in sorted(result.measurements.items()))
    yield from _detection_lines(result.detections)
    yield from map(warning_text, result.warnings)


def warning_text(warning: JobWarning) -> str:
    """One line."""
    of = f" of {plain(warning.input_name)}" if warning.input_name else ""
    times = f" ({warning.count} times)" if warning.count > 1 else ""
    return f"warning{of}: {warning.reason}: {plain(warning.message)}{times}"


def _detection_lines(detections: tuple[Detection, ...], most: int = 10) -> Iterator[str]:
    """The first of each kind, in order of time, and how many more there are."""
    shown: Counter[str] = Counter()
    for found in detections:
        kind = found.kind.value.replace("_", " ")
        shown[kind] += 1
        if shown[kind] <= most:
            until = f" to {found.end.total_seconds():.2f} s" if found.end is not None else ""
            yield f"{kind} at {found.start.total_seconds():.2f} s{until}"
    yield from (f"{count - most} more of: {kind}" for kind, count in shown.items() if count > most)


def failure_lines(failure: Failure) -> Iterator[str]:
    """Kind, reason and message, then the end of FFmpeg's log."""
    yield failure_text(failure)
    if failure.log_tail:
        yield "FFmpeg's last words:"
        yield from (f"  {plain(line)}" for line in failure.log_tail.splitlines())


def failure_text(failure: Failure) -> str:
    """One line."""
    exited = "" if failure.exit_code is None else f" (exit code {failure.exit_code})"
    return f"{failure.kind.value} {failure.reason}: {plain(failure.message)}{exited}"


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
    facts = [("job", job.job_id), ("tenant", job.tenant), ("state", summary(job)), *_spec_facts(job), *_life_facts(job)]
    yield from (f"{name:<13} {fact}" for name, fact in facts)
    yield from (f"  {line}" for attempt in job.attempts for line in attempt_lines(attempt))
    if job.failure and job.state is not JobState.FAILED:
        yield f"{'last failure':<13} {job.failure.kind.value} {job.failure.reason}: {plain(job.failure.message)}"
    yield from ending(job)


def _spec_facts(job: Job) -> Iterator[tuple[str, str]]:
    if job.spec is not None:
        yield from spec_facts(job.spec)
    if job.labels:
        yield "labels", labels_text(job.labels)


def _life_facts(job: Job) -> Iterator[tuple[str, str]]:
    if job.generation > 1:
        yield "generation", str(job.generation)
    times = {"created": job.create_time, "due": job.due_time, "started": job.start_time, "ended": job.end_time}
    times["kept until"] = job.expire_time
    yield from ((name, time.isoformat(timespec="seconds")) for name, time in times.items() if time)
    if job.attempt_count:
        yield "attempts", str(job.attempt_count)


def attempt_lines(attempt: Attempt) -> Iterator[str]:
    """How it ended, and where its time went."""
    yield attempt_text(attempt)
    if attempt.phases:
        yield "   " + ", ".join(f"{phase.value} {time.total_seconds():.2f} s" for phase, time in attempt.phases.items())


def attempt_text(attempt: Attempt) -> str:
    """Where it ran, how it ended, and what it cost."""
    parts = [f"{attempt.number}", attempt.worker_id, attempt.outcome.value if attempt.outcome else "running"]
    if attempt.start_time and attempt.end_time:
        parts.append(f"{(attempt.end_time - attempt.start_time).total_seconds():.1f} s")
    if attempt.cpu_duration is not None:
        parts.append(f"cpu {attempt.cpu_duration.total_seconds():.1f} s")
    sizes = {"peak": attempt.peak_memory_bytes, "in": attempt.input_size_bytes, "out": attempt.output_size_bytes}
    parts += [f"{name} {size_text(size)}" for name, size in sizes.items() if size]
    if attempt.failure:
        parts.append(failure_text(attempt.failure))
    return "  ".join(parts)


def labels_text(labels: Mapping[str, str]) -> str:
    """In the order of their keys."""
    return ", ".join(f"{key}={plain(value)}" for key, value in sorted(labels.items()))


def size_text(size_bytes: int) -> str:
    """Decimal units, as FFmpeg and shops use them."""
    size = float(size_bytes)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def time_text(time: datetime) -> str:
    """To the second, in UTC as all our times are."""
    return f"{time:%Y-%m-%d %H:%M:%S}Z"


def age_text(age: timedelta) -> str:
    """In the largest unit that makes at least two of it: 90s, 5m, 3h, 12d. Clocks may differ: never negative."""
    seconds = max(0, int(age.total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def clock(time: timedelta) -> str:
    """M:SS, or H:MM:SS."""
    minutes, seconds = divmod(round(time.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
