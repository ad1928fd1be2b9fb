"""Which addresses inputs may be fetched from: public ones, and those the operator named.

The ranges are written out because `ipaddress.is_global` of Python 3.11 takes several for public that are not: 6to4 and
NAT64 forms of private addresses, multicast, site-local, metadata services. Sources: the IANA special-purpose registries
of IPv4 and IPv6.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

IpAddress = IPv4Address | IPv6Address
IpNetwork = IPv4Network | IPv6Network

# The usual ones of web servers. On a public address any other port is more likely to be something that is no web server.
PUBLIC_PORTS = (80, 443, 8080, 8443)

_NOT_PUBLIC_4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
            "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
            "224.0.0.0/4", "240.0.0.0/4",
            # Looks public; inside Azure it is the host's own service for its guests.
            "168.63.129.16/32",
        ),
    )
)  # fmt: skip
# All global unicast addresses lie in here, less what follows.
_GLOBAL_6 = IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))
# Addresses whose last 32 bits are an IPv4 address: IPv4-compatible, IPv4-translated, NAT64 (well-known and local-use).
_EMBEDDING_4 = tuple(map(IPv6Network, ("::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48")))


class AddressGuard:
    """Decides about addresses that were resolved; the text of a URL says nothing (`2130706433` is 127.0.0.1)."""

    def __init__(self, named: Sequence[IpNetwork]) -> None:
        self._named = tuple(named)

    def refusal(self, address: IpAddress, port: int) -> str | None:
        """None where *address* may be connected to at *port*; else why not, as the end of a sentence about the host.

        The address itself is not told: it may be the name service's secret.
        """
        layers = _layers(address)
        if self.names(address):
            return None
        if not all(self._is_named(layer) or _is_public(layer) for layer in layers):
            return "leads to an address that is not public, and the operator of this worker did not allow it"
        if port not in PUBLIC_PORTS:
            ports = ", ".join(map(str, PUBLIC_PORTS))
            return f"is asked at port {port}; right for a public host are {ports}, or what the operator allowed"
        return None

    def names(self, address: IpAddress) -> bool:
        """Whether the operator named it, and what it holds."""
        return all(map(self._is_named, _layers(address)))

    def _is_named(self, address: IpAddress) -> bool:
        return any(address in network for network in self._named)


def parse_network(text: str) -> IpNetwork:
    """The network *text* stands for, such as 10.0.0.0/8, fd00::/8 or a single address; ValueError says what is right."""
    try:
        network = ip_network(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is no network; write 10.0.0.0/8, fd00::/8 or one address, without host bits"
        ) from None
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped is not None:
        raise ValueError(f"{text!r} is an IPv4 network in the form of IPv6; write it as IPv4, such as 10.0.0.0/8")
    return network


def _layers(address: IpAddress) -> list[IpAddress]:
    """*address*, and the IPv4 addresses that packets to it may end up at. A mapped one is the IPv4 address itself."""
    if isinstance(address, IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    layers: list[IpAddress] = [address]
    if address.sixtofour is not None:
        layers.append(address.sixtofour)
    layers.extend(address.teredo or ())
    # ::1 and :: are no IPv4 addresses.
    if any(address in network for network in _EMBEDDING_4) and int(address) > 1:
        layers.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return layers


def _is_public(address: IpAddress) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    return address in _GLOBAL_6 and not any(address in network for network in _NOT_PUBLIC_6)
