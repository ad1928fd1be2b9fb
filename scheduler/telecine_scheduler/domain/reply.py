"""What the store answers where a call may be refused for the state a job or worker is in."""

from __future__ import annotations

import enum


class CancelReply(enum.StrEnum):
    """What became of a cancel."""

    OK = "OK"
    PUBLISHING = "PUBLISHING"
    FINISHED = "FINISHED"
    NOT_FOUND = "NOT_FOUND"


class DeleteReply(enum.StrEnum):
    """What became of a deletion."""

    OK = "OK"
    NOT_FINISHED = "NOT_FINISHED"
    NOT_FOUND = "NOT_FOUND"


class RetryReply(enum.StrEnum):
    """What became of a retry."""

    OK = "OK"
    NOT_FINISHED = "NOT_FINISHED"
    SUCCEEDED = "SUCCEEDED"
    GENERATION_MISMATCH = "GENERATION_MISMATCH"
    NOT_FOUND = "NOT_FOUND"


class RegisterReply(enum.StrEnum):
    """What became of a stream's registration."""

    OK = "OK"
    FENCED = "FENCED"
    ALREADY_CONNECTED = "ALREADY_CONNECTED"
