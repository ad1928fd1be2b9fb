"""The scheduler's settings: one frozen value, made and checked once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from telecine_process.addresses import Address
from telecine_scheduler.domain.admission import Admission
from telecine_scheduler.domain.lease import Times
from telecine_scheduler.domain.ranking import STRICT_AGING, Ranking
from telecine_scheduler.domain.submission import Retention
from telecine_scheduler.store.checks import Durability

SHORTEST_TTL = timedelta(seconds=5)
SHORTEST_PUBLISH_WINDOW = timedelta(seconds=5)
# A repeated submit is recognized by the record.
SHORTEST_RETENTION = timedelta(hours=1)
LONGEST_RETENTION = timedelta(days=366)


class ConfigError(ValueError):
    """A setting that cannot be; the message says which and what would be right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything a scheduler is told."""

    redis_url: str
    listen: Address
    metrics_listen: Address
    durability: Durability
    assume_durable: bool
    times: Times
    admission: Admission
    retention: Retention
    reflection: bool
    drain: timedelta

    def __post_init__(self) -> None:
        if not self.redis_url.startswith(("redis://", "rediss://", "unix://")):
            raise ConfigError("TELECINE_REDIS_URL must begin with redis://, rediss:// or unix://")
        times = self.times
        if times.ttl < SHORTEST_TTL:
            raise ConfigError("TELECINE_LEASE_TTL must be at least 5s: workers renew about once a second")
        if times.reconnect_grace > times.ttl:
            raise ConfigError("TELECINE_RECONNECT_GRACE must not be longer than TELECINE_LEASE_TTL")
        if times.accept_window <= timedelta():
            raise ConfigError("TELECINE_ACCEPT_WINDOW must be longer than 0")
        if times.publish_window < SHORTEST_PUBLISH_WINDOW:
            raise ConfigError("TELECINE_PUBLISH_WINDOW must be at least 5s: workers stop two seconds before it ends")
        if min(self.admission.max_queued, self.admission.max_queued_per_tenant) < 0:
            raise ConfigError("TELECINE_MAX_QUEUED and TELECINE_MAX_QUEUED_PER_TENANT must be 0 (no limit) or more")
        for state in ("succeeded", "failed", "cancelled"):
            if not SHORTEST_RETENTION <= getattr(self.retention, state) <= LONGEST_RETENTION:
                raise ConfigError(f"TELECINE_RETENTION_{state.upper()} must be from 1h to 366d")


def ranking(aging: timedelta | None) -> Ranking:
    """How priorities age; None is strict: a level is never made up for by waiting."""
    if aging is not None and not timedelta() <= aging <= STRICT_AGING:
        raise ConfigError("TELECINE_PRIORITY_AGING must be 'strict' or a duration of at most 115 days")
    return Ranking(aging=STRICT_AGING if aging is None else aging)
