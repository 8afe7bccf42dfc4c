"""Which addresses are public. Pure.

`ipaddress.is_global` is not used: CPython 3.11 calls multicast, NAT64, 6to4 and other networks global.
Source: IANA's special-purpose address registries for IPv4 and IPv6 (RFC 6890).
"""

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

NAT64 = IPv6Network("64:ff9b::/96")

DENIED: tuple[Network, ...] = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT; also Alibaba's metadata service
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's platform service, on a public address
        "169.254.0.0/16",  # link-local; the metadata service of most clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; also the metadata service of Oracle
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
        # Only 2000::/3 is global unicast. Everything else is denied: unspecified, loopback, v4-compatible, NAT64,
        # 100::/64 discard, 5f00::/16, fc00::/7 private, fe80::/10 link-local, fec0::/10 site-local, ff00::/8 multicast.
        "::/3",
        "4000::/2",
        "8000::/1",
        "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
    )
)


def canonical(address: Address) -> Address:
    """Return the IPv4 address if `address` is its IPv6-mapped form, which the kernel dials as IPv4."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def is_refused(address: Address, allow: Sequence[Network]) -> bool:
    """Return whether `address`, or an IPv4 address that it tunnels to, is denied and not in `allow`."""
    return any(_is_in(face, DENIED) and not _is_in(face, allow) for face in (address, *_tunnelled(address)))


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def _tunnelled(address: Address) -> Iterator[IPv4Address]:
    # So that allowing a NAT64 or 6to4 network opens the public internet behind it, and not 127.0.0.1.
    if isinstance(address, IPv4Address):
        return
    if address in NAT64:
        yield IPv4Address(int(address) & 0xFFFFFFFF)
    if address.sixtofour:
        yield address.sixtofour
    if address.teredo:
        yield from address.teredo
