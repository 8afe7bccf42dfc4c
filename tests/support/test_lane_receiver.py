"""The receiver that judges lanes counts what is in flight, orders and rates, and sees who has hung up."""

import asyncio
import socket
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.lane_receiver import LaneReceiver, Visit, beyond_rate, inversions, most_at_once
from tests.support.running import eventually


@pytest.fixture
async def receiver() -> AsyncIterator[LaneReceiver]:
    made = LaneReceiver()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as opened:
        yield opened


async def test_requests_in_flight_are_counted_for_each_of_their_lanes(
    receiver: LaneReceiver, client: httpx.AsyncClient
) -> None:
    receiver.silent.add("a")
    posting = [asyncio.create_task(client.post(receiver.url("a", lane))) for lane in ("b", "b", "c")]

    async def all_here() -> bool:
        return len(receiver.here("a")) == 3

    await eventually(all_here)
    assert (len(receiver.here("b")), len(receiver.here("c"))) == (2, 1)
    receiver.speak("a")
    assert [answer.status_code for answer in await asyncio.gather(*posting)] == [200] * 3
    assert not receiver.here("a")
    assert (most_at_once(receiver.of("a")), most_at_once(receiver.of("b"))) == (3, 2)


async def test_a_client_that_has_hung_up_is_not_counted_even_before_the_loop_reads_of_it(
    receiver: LaneReceiver,
) -> None:
    receiver.silent.add("a")
    target = urlsplit(receiver.url("a"))
    with socket.create_connection(("127.0.0.1", receiver.port)) as client:
        client.sendall(f"POST {target.path}?{target.query} HTTP/1.1\r\ncontent-length: 0\r\n\r\n".encode())

        async def is_here() -> bool:
            return len(receiver.here("a")) == 1

        await eventually(is_here)
    assert not receiver.here("a")


async def test_the_first_requests_of_a_number_are_refused_as_often_as_its_url_says(
    receiver: LaneReceiver, client: httpx.AsyncClient
) -> None:
    url = receiver.url("a", number=1, refuse=2)
    assert [(await client.post(url)).status_code for _ in range(4)] == [503, 503, 200, 200]


def _at(*moments: float) -> list[Visit]:
    return [Visit(("a",), number, "", 1, 0, at, at + 1) for number, at in enumerate(moments)]


def test_requests_that_follow_one_another_are_one_at_once() -> None:
    assert most_at_once(_at(0, 1, 2)) == 1
    assert most_at_once(_at(0, 0.5, 1, 1.5)) == 2


def test_a_lower_number_after_a_higher_one_is_an_inversion() -> None:
    visits = _at(0, 1, 2, 3)
    assert inversions(visits) == []
    visits[3].number = 1
    assert inversions(visits) == [(2, 1)]
    visits[3].number = 2
    assert inversions(visits) == []


def test_a_bucket_lets_its_capacity_through_at_once_and_then_its_rate() -> None:
    full, refilled = [0.0] * 5, [0.2, 0.4, 0.6]
    assert beyond_rate(_at(*full, *refilled), limit=5, per_s=1) == pytest.approx(0)
    assert beyond_rate(_at(*full, *refilled, 0.6), limit=5, per_s=1) == pytest.approx(1)
    assert beyond_rate(_at(*full, *refilled, 0.6), limit=5, per_s=1, slack_s=0.2) == pytest.approx(0)
    assert beyond_rate(_at(0, *[5.0] * 7), limit=5, per_s=1) == pytest.approx(2)
