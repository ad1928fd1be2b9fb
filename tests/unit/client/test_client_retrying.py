"""Job ids, pauses and addresses."""

from __future__ import annotations

import time
import uuid
from datetime import timedelta

import pytest

from telecine_client.addresses import Rotation, is_loopback, parse_addresses
from telecine_client.backoff import Backoff
from telecine_client.job_id import new_job_id


def test_a_job_id_is_a_uuid_of_version_7() -> None:
    """Version and variant of RFC 9562, in the usual form."""
    text = new_job_id()
    made = uuid.UUID(text)
    assert (7, uuid.RFC_4122, text) == (made.version, made.variant, str(made))


def test_a_job_id_holds_the_time_it_was_made() -> None:
    """The first 48 bits are Unix milliseconds, so that ids sort by age."""
    before = time.time_ns() // 1_000_000
    unix_ms = uuid.UUID(new_job_id()).int >> 80
    assert before <= unix_ms <= time.time_ns() // 1_000_000


def test_job_ids_differ() -> None:
    """A thousand in a moment are a thousand."""
    assert len({new_job_id() for _ in range(1000)}) == 1000


def test_pauses_double_up_to_the_ceiling() -> None:
    """0.1, 0.2, 0.4 ... 2 s, and no overflow after any number of failures."""
    backoff = Backoff()
    ceilings = [backoff.ceiling_after(failures).total_seconds() for failures in (1, 2, 3, 5, 6, 1_000_000)]
    assert ceilings == [0.1, 0.2, 0.4, 1.6, 2.0, 2.0]


def test_pauses_are_spread_from_nothing_to_the_ceiling() -> None:
    """Full jitter: never above, often well below."""
    waits = [Backoff().wait(6, at_least=None).total_seconds() for _ in range(200)]
    assert min(waits) < 0.5
    assert 1.5 < max(waits) <= 2.0


def test_the_schedulers_wish_is_the_least() -> None:
    """RetryInfo wins where it is longer."""
    assert timedelta(seconds=7) == Backoff().wait(1, at_least=timedelta(seconds=7))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:50051", ("127.0.0.1:50051",)),
        ("a.example:1, b.example:65535,", ("a.example:1", "b.example:65535")),
        ("[::1]:50051", ("[::1]:50051",)),
        ("unix:/run/telecine.sock", ("unix:/run/telecine.sock",)),
        ("dns:///scheduler.example:50051", ("dns:///scheduler.example:50051",)),
    ],
)
def test_addresses_are_read(text: str, expected: tuple[str, ...]) -> None:
    """HOST:PORT and gRPC's own targets, by commas."""
    assert expected == parse_addresses(text)


@pytest.mark.parametrize(
    "text", ["", " , ", "localhost", "localhost:0", "localhost:65536", "::1:50051", "http://a:1", "a b:1"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """gRPC would take a missing port for 443 and wait."""
    with pytest.raises(ValueError, match="HOST:PORT"):
        parse_addresses(text)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:1", True),
        ("localhost:1", True),
        ("[::1]:1", True),
        ("10.0.0.1:1", False),
        ("scheduler.example:1", False),
        ("unix:/run/s", False),
    ],
)
def test_loopback_is_recognised(address: str, expected: bool) -> None:
    """Only there the environment's proxy is left out."""
    assert expected is is_loopback(address)


def test_two_calls_that_lose_one_scheduler_turn_once() -> None:
    """A late one does not turn back, and the last address is followed by the first."""
    schedulers = Rotation(("a:1", "b:1", "c:1"))
    schedulers.turn_from("a:1")
    schedulers.turn_from("b:1")
    schedulers.turn_from("a:1")
    assert schedulers.current == "c:1"
    schedulers.turn_from("c:1")
    assert schedulers.current == "a:1"
