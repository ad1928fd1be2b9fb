"""Which addresses inputs may come from."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telecine_worker.storage.address_guard import AddressGuard, parse_network

NOT_PUBLIC = [
    *("0.0.0.0", "0.255.0.1", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.0.1"),
    *("169.254.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.192", "192.0.2.1"),
    *("192.88.99.1", "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "168.63.129.16"),
    *("224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:0:7f00:1"),
    *("64:ff9b::a9fe:a9fe", "64:ff9b::808:808", "64:ff9b:1::1", "100::1", "2001::1", "2001:2::1", "2001:db8::1"),
    *("2002:7f00:1::", "2002:808:808::1", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1"),
    *("ff02::1", "2001:0:808:808:0:0:80ff:fffe"),
]  # fmt: skip
PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "172.15.255.255",
    "172.32.0.1",
    "100.63.255.255",
    "100.128.0.1",
    "193.0.0.1",
    "223.255.255.1",
]
PUBLIC_6 = ["2606:4700::1111", "2a00:1450::1", "2001:4860:4860::8888", "::ffff:8.8.8.8", "2003::1"]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_what_is_not_public_is_refused(address: str) -> None:
    """Private, local, metadata, documentation, multicast and reserved ones, and IPv6 forms that hold IPv4 addresses."""
    assert "not public" in (AddressGuard([]).refusal(ip_address(address), 443) or "")


@pytest.mark.parametrize("address", [*PUBLIC, *PUBLIC_6])
def test_what_is_public_is_reached_at_the_ports_of_web_servers(address: str) -> None:
    """80, 443, 8080 and 8443; any other port of a public host is refused, and the refusal names the right ones."""
    guard = AddressGuard([])
    assert [None] * 4 == [guard.refusal(ip_address(address), port) for port in (80, 443, 8080, 8443)]
    for port in (22, 25, 6379, 50051):
        assert "80, 443, 8080, 8443" in (guard.refusal(ip_address(address), port) or "")


def test_a_named_network_is_reached_at_every_port() -> None:
    """In the form of IPv6, too; its neighbours stay out of reach."""
    guard = AddressGuard([parse_network("10.1.0.0/16"), parse_network("fd00:1::/32"), parse_network("127.0.0.1")])
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd00:1::5", "127.0.0.1"):
        assert guard.refusal(ip_address(address), 6379) is None
    for address in ("10.2.0.1", "::ffff:10.2.0.1", "fd00:2::1", "127.0.0.2"):
        assert guard.refusal(ip_address(address), 80) is not None


@pytest.mark.parametrize(
    ("network", "form"),
    [
        *(("64:ff9b::/96", "64:ff9b::{}"), ("64:ff9b:1::/48", "64:ff9b:1::{}"), ("2002::/16", "2002:{}::1")),
        *(("::/0", "64:ff9b::{}"), ("::/0", "64:ff9b:1::{}"), ("::/0", "64:ff9b:1:ffff:ffff:ffff:{}")),
    ],
)
def test_what_a_named_network_holds_is_looked_at_too(network: str, form: str) -> None:
    """A worker behind NAT64 may be told so: public hosts are then reached, private ones are not."""
    guard = AddressGuard([parse_network(network)])
    assert guard.refusal(ip_address(form.format("808:808")), 443) is None
    assert guard.refusal(ip_address(form.format("a9fe:a9fe")), 443) is not None


@given(st.integers(0, 2**32 - 1))
def test_no_form_of_a_refused_address_passes(number: int) -> None:
    """Mapped it means the same; every other form of IPv6 that holds an IPv4 address is refused whatever it holds."""
    guard, plain = AddressGuard([]), IPv4Address(number)
    mapped = IPv6Address(f"::ffff:{plain}")
    assert guard.refusal(plain, 443) == guard.refusal(mapped, 443)
    high, low = number >> 16, number & 0xFFFF
    for text in (
        f"64:ff9b::{plain}",
        f"::{plain}",
        f"2002:{high:x}:{low:x}::",
        f"2001::{high ^ 0xFFFF:x}:{low ^ 0xFFFF:x}",
    ):
        assert guard.refusal(IPv6Address(text), 443) is not None


@given(st.ip_addresses(v=6))
def test_only_global_unicast_passes(address: IPv6Address) -> None:
    """Whatever is not in 2000::/3 is refused, known to us or not."""
    if int(address) >> 125 != 1 and address.ipv4_mapped is None:
        assert AddressGuard([]).refusal(address, 443) is not None


@pytest.mark.parametrize(
    "text", ["", "localhost", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0-10.0.0.9", "::ffff:10.0.0.0/104"]
)
def test_what_is_no_network_is_refused_with_words(text: str) -> None:
    """Names, host bits, ranges, and IPv4 in the form of IPv6, which would match nothing."""
    with pytest.raises(ValueError, match=r"10\.0\.0\.0/8"):
        parse_network(text)
