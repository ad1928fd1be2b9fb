"""Whose job a request means."""

from __future__ import annotations

from telecine_scheduler.domain.job import JobName

DEFAULT_TENANT = "default"


def tenant_of(tenant: str) -> str:
    """The tenant of a request; empty stands for the default."""
    return tenant or DEFAULT_TENANT


def name_of(tenant: str, job_id: str) -> JobName:
    """The job of a request."""
    return JobName(tenant=tenant_of(tenant), job_id=job_id)
