"""What Prometheus gets from both processes: it lints, and means what its names say."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import urllib.request

from prometheus_client.parser import text_string_to_metric_families

from support.processes import Live
from telecine.v1 import media_pb2
from telecine_client import AsyncClient, JobState

# What a label may say. None of them names a job, a tenant, a file or a host.
LABELS = {
    "action", "call", "code", "component", "exit", "ffmpeg", "follows", "generation", "grpc_code", "grpc_method",
    "grpc_service", "grpc_type", "implementation", "kind", "lane", "le", "limit", "major", "minor", "mode", "outcome",
    "partition", "patchlevel", "phase", "python", "queue", "reason", "result", "scheme", "state", "task", "version", "way",
}  # fmt: skip
UNITS = r"(seconds|bytes|ratio|total|info|speed)"


async def scraped(live: Live, client: AsyncClient) -> dict[str, str]:
    """/metrics of a scheduler and of the worker after one job."""
    spec = media_pb2.JobSpec(
        inputs={"in": media_pb2.Input(uri=live.source.as_uri())},
        task=media_pb2.Task(probe=media_pb2.ProbeTask(input="in")),
    )
    job = await client.submit(spec)
    async with asyncio.timeout(60):
        assert JobState.SUCCEEDED is (await client.wait(job.job_id)).state
    pages = {"scheduler": live.scheduler.ready["metrics"], "worker": live.worker.ready["metrics"]}
    return {name: await asyncio.to_thread(scrape, address) for name, address in pages.items()}


def scrape(address: str) -> str:
    return str(urllib.request.urlopen(f"http://{address}/metrics", timeout=10).read().decode())


async def test_metrics_keep_the_rules_of_prometheus(live: Live, client: AsyncClient) -> None:
    """`promtool check metrics` has nothing to say, where it is there; names and labels keep its rules in any case."""
    promtool = shutil.which("promtool")
    for name, text in (await scraped(live, client)).items():
        if promtool:
            ran = subprocess.run(
                [promtool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=60, check=False
            )
            assert (name, 0, "", "") == (name, ran.returncode, ran.stdout, ran.stderr)
        assert [] == broken_rules(text)


def broken_rules(text: str) -> list[str]:
    """Where a page breaks the rules of names, help and labels."""
    broken = []
    for family in text_string_to_metric_families(text):
        if not re.fullmatch(r"[a-z][a-z0-9_]*", family.name) or not family.documentation:
            broken.append(f"{family.name}: name or help")
        if family.type == "histogram" and not re.search(f"_{UNITS}$", family.name):
            broken.append(f"{family.name}: no unit")
        for sample in family.samples:
            if family.type == "counter" and not sample.name.endswith(("_total", "_created")):
                broken.append(f"{sample.name}: a counter without _total")
            broken += [f"{sample.name}: label {label}" for label in sample.labels.keys() - LABELS]
    return broken


def test_the_rules_bite() -> None:
    """A page that breaks each of them is noticed."""
    page = (
        "# HELP telecine_wait Waiting.\n# TYPE telecine_wait histogram\n"
        'telecine_wait_bucket{le="+Inf"} 1\ntelecine_wait_count 1\ntelecine_wait_sum 1\n'
        '# HELP telecine_x X.\n# TYPE telecine_x gauge\ntelecine_x{job_id="a"} 1\n# TYPE telecine_y gauge\ntelecine_y 1\n'
    )
    assert ["telecine_wait: no unit", "telecine_x: label job_id", "telecine_y: name or help"] == broken_rules(page)
