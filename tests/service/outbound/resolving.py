"""A resolver whose answers a test chooses, and lists of hosts."""

from collections.abc import Sequence
from ipaddress import ip_address, ip_network

from service.outbound import Network
from service.outbound.address import Address

LOOPBACK: list[Network] = [ip_network("127.0.0.0/8"), ip_network("::1/128")]


def resolving(*answers: str, calls: list[str] | None = None) -> "Resolver":
    return Resolver([ip_address(answer) for answer in answers], [] if calls is None else calls)


class Resolver:
    """Stands for a DNS server that the network's other end controls."""

    def __init__(self, answers: Sequence[Address], calls: list[str]):
        self.answers = answers
        self.calls = calls

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        self.calls.append(host)
        return self.answers


def words(text: str) -> list[str]:
    return text.split()
