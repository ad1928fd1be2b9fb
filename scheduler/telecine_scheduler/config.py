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
from telecine_scheduler.store.servers import parse_servers

MAX_PARTITIONS = 64
SHORTEST_TTL = timedelta(seconds=5)
SHORTEST_PUBLISH_WINDOW = timedelta(seconds=5)
# A repeated submit is recognized by the record.
SHORTEST_RETENTION = timedelta(hours=1)
SLOWEST_RETRIES, FASTEST_RETRIES, LARGEST_RETRY_BURST = 0.01, 100_000, 1_000_000
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
    partitions: int = 1
    quorum_replicas: int = 1

    def __post_init__(self) -> None:
        try:
            parse_servers(self.redis_url)
        except ValueError as error:
            raise ConfigError(f"TELECINE_REDIS_URL is not right: {error}") from error
        if self.quorum_replicas < 1:
            raise ConfigError("TELECINE_QUORUM_REPLICAS must be 1 or more")
        if not 1 <= self.partitions <= MAX_PARTITIONS:
            raise ConfigError(f"TELECINE_PARTITIONS must be from 1 to {MAX_PARTITIONS}")
        times = self.times
        if times.ttl < SHORTEST_TTL:
            raise ConfigError("TELECINE_LEASE_TTL must be at least 5s: workers renew about once a second")
        if times.reconnect_grace > times.ttl:
            raise ConfigError("TELECINE_RECONNECT_GRACE must not be longer than TELECINE_LEASE_TTL")
        if times.accept_window <= timedelta():
            raise ConfigError("TELECINE_ACCEPT_WINDOW must be longer than 0")
        if times.publish_window < SHORTEST_PUBLISH_WINDOW:
            raise ConfigError("TELECINE_PUBLISH_WINDOW must be at least 5s: workers stop two seconds before it ends")
        _check_admission(self.admission)
        for state in ("succeeded", "failed", "cancelled"):
            if not SHORTEST_RETENTION <= getattr(self.retention, state) <= LONGEST_RETENTION:
                raise ConfigError(f"TELECINE_RETENTION_{state.upper()} must be from 1h to 366d")


def _check_admission(admission: Admission) -> None:
    if min(admission.max_queued, admission.max_queued_per_tenant) < 0:
        raise ConfigError("TELECINE_MAX_QUEUED and TELECINE_MAX_QUEUED_PER_TENANT must be 0 (no limit) or more")
    if admission.retry_rate != 0 and not SLOWEST_RETRIES <= admission.retry_rate <= FASTEST_RETRIES:
        raise ConfigError("TELECINE_RETRY_RATE must be 0 (no limit) or from 0.01 to 100000 retries a second")
    if not 1 <= admission.retry_burst <= LARGEST_RETRY_BURST:
        raise ConfigError("TELECINE_RETRY_BURST must be from 1 to 1000000 retries")


def ranking(aging: timedelta | None) -> Ranking:
    """How priorities age; None is strict: a level is never made up for by waiting."""
    if aging is not None and not timedelta() <= aging <= STRICT_AGING:
        raise ConfigError("TELECINE_PRIORITY_AGING must be 'strict' or a duration of at most 115 days")
    return Ranking(aging=STRICT_AGING if aging is None else aging)
