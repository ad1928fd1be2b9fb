"""What was not as it should be, and did not keep an attempt from its end."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class WarningReason(enum.StrEnum):
    """The words of telecine.v1.Warning.reason."""

    INPUT_DAMAGED = "INPUT_DAMAGED"
    INPUT_TRUNCATED = "INPUT_TRUNCATED"
    HARDWARE_FAILED = "HARDWARE_FAILED"
    LOUDNESS_COMPRESSED = "LOUDNESS_COMPRESSED"


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaWarning:
    """*message* is one sentence for a person. *count* is 1 where it is not counted; *input_name* is empty where it is about no
    input, or about one that cannot be told.
    """

    reason: WarningReason
    message: str
    count: int = 1
    input_name: str = ""
