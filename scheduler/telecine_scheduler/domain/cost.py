"""What an attempt cost."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta


class Phase(enum.StrEnum):
    """What an attempt does one after the other; the names of telecine.v1.Progress.Phase, letters in the store."""

    FETCHING = "F"
    PROBING = "P"
    ANALYZING = "A"
    ENCODING = "E"
    VERIFYING = "V"
    UPLOADING = "U"
    PUBLISHING = "B"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Sizes are 0 while unknown. *phases* has the wall time of each phase that was entered, to the millisecond."""

    cpu: timedelta = timedelta()
    peak_memory_bytes: int = 0
    input_size_bytes: int = 0
    output_size_bytes: int = 0
    phases: Mapping[Phase, timedelta] = field(default_factory=dict)
