from ipaddress import ip_address, ip_network

import pytest

from service.outbound.address import is_refused
from tests.service.outbound.resolving import words

REFUSED = words("""
0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 127.0.0.1 127.255.255.254 168.63.129.16
169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.192 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.19.255.255
198.51.100.7 203.0.113.7 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
:: ::1 ::127.0.0.1 ::8.8.8.8 ::ffff:0:127.0.0.1 64:ff9b::7f00:1 64:ff9b::8.8.8.8 64:ff9b:1::a00:1 100::1 2001::1
2001:2::1 2001:10::1 2001:db8::1 2002:7f00:1:: 2002:808:808:: 3fff::1 4000::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1
fe80::1%eth0 fec0::1 ff02::1
""")


PUBLIC = words("""
1.1.1.1 8.8.8.8 100.63.255.255 100.128.0.1 172.15.255.255 172.32.0.1 169.253.1.1 192.0.1.1 198.17.255.255 198.20.0.1
223.255.255.255 2606:4700::1111 2001:4860:4860::8888 2a00:1450::1 2003::1
""")


@pytest.mark.parametrize("address", REFUSED)
def test_special_address_is_refused(address: str) -> None:
    assert is_refused(ip_address(address), [])


@pytest.mark.parametrize("address", PUBLIC)
def test_public_address_is_not_refused(address: str) -> None:
    assert not is_refused(ip_address(address), [])


def test_allowing_a_tunnel_does_not_allow_the_private_addresses_behind_it() -> None:
    tunnels = [ip_network("64:ff9b::/96"), ip_network("2002::/16")]
    assert not is_refused(ip_address("64:ff9b::8.8.8.8"), tunnels)
    assert not is_refused(ip_address("2002:808:808::"), tunnels)
    assert is_refused(ip_address("64:ff9b::127.0.0.1"), tunnels)
    assert is_refused(ip_address("2002:7f00:1::"), tunnels)
