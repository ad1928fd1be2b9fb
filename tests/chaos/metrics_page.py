"""What processes of a fleet say on their /metrics."""

from __future__ import annotations

import urllib.request
from collections import Counter
from collections.abc import Iterable

from prometheus_client.parser import text_string_to_metric_families

from support.processes import Child

READ_SECONDS = 10.0


def summed(children: Iterable[Child]) -> Counter[str]:
    """Every sample, added up over all of them, as name{label=value,...} without "telecine_"."""
    found: Counter[str] = Counter()
    for child in children:
        with urllib.request.urlopen(f"http://{child.ready['metrics']}/metrics", timeout=READ_SECONDS) as page:
            text = page.read().decode()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = ",".join(f"{label}={value}" for label, value in sorted(sample.labels.items()))
                found[sample.name.removeprefix("telecine_") + (f"{{{labels}}}" if labels else "")] += sample.value
    return found
