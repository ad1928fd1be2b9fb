"""Logs on standard error: JSON lines for machines, readable lines on a terminal."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

import structlog
from structlog.dev import ConsoleRenderer, plain_traceback
from structlog.processors import ExceptionRenderer, JSONRenderer, TimeStamper, add_log_level
from structlog.stdlib import ProcessorFormatter, add_logger_name
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import Processor

LEVELS = ("debug", "info", "warning", "error")


def configure_logs(level: str) -> None:
    """Set up logging for the whole process. Call it once, first thing in main.

    Libraries log through the standard library; their records, and Python's warnings, come out like ours. Their INFO lines
    say nothing an operator needs.
    """
    lowest = logging.getLevelNamesMapping()[level.upper()]
    rendering = _rendering(terminal=sys.stderr.isatty())
    facts: list[Processor] = [structlog.contextvars.merge_contextvars, add_log_level, TimeStamper(fmt="iso", utc=True)]
    structlog.configure(
        processors=[*facts, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(lowest),
        # Writes a line in one piece: threads may log at once.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    libraries = logging.StreamHandler(sys.stderr)
    libraries.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[*facts, add_logger_name],
            processors=[ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    logging.basicConfig(handlers=[libraries], level=max(lowest, logging.WARNING))
    logging.captureWarnings(capture=True)


def _rendering(*, terminal: bool) -> Sequence[Processor]:
    """How an event becomes a line. Tracebacks come without the values of variables, which may be secret."""
    if terminal:
        return [ConsoleRenderer(exception_formatter=plain_traceback)]
    return [ExceptionRenderer(ExceptionDictTransformer(show_locals=False)), JSONRenderer()]
