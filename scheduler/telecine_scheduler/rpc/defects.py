"""Errors that are none of the domain's: told by an id that is in the log, so that no text of a library leaks to a caller."""

from __future__ import annotations

import uuid

import structlog

log = structlog.get_logger(__name__)


def logged(error: Exception, method: str) -> str:
    """The id under which the log has what went wrong in a call of *method*."""
    error_id = uuid.uuid4().hex[:12]
    log.error("call failed", exc_info=error, error_id=error_id, method=method, error=type(error).__name__)
    return error_id
