"""gzip for clients that accept it; events are sent as they happen."""

import asyncio
import time

import httpx
import pytest

from service.web.compression import prefers_gzip
from tests.service.api.driving import on_sqlite, post


@pytest.mark.parametrize(
    ("header", "packed"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("gzip, deflate, br", True),
        ("br;q=1.0, gzip;q=0.5", True),
        ("gzip ; q = 0.001", True),
        ("gzip;q=0", False),
        ("gzip;q=0.000", False),
        ("identity;q=1, gzip;q=0.5", False),
        ("identity", False),
        ("x-gzipped", False),
        ("gzip;q=x", False),
        ("gzip;q=nan", False),
        ("deflate;q=0,, gzip", True),
        ("", False),
    ],
)
def test_gzip_is_chosen_as_the_client_wants(header: str, packed: bool) -> None:
    assert prefers_gzip([header]) is packed


@pytest.mark.parametrize("header", ["a" * 60_000 + "!", "a" + " " * 60_000 + "x", "a;" * 30_000, "a;q=" + "1" * 60_000])
def test_no_header_takes_long_to_read(header: str) -> None:
    began = time.process_time()
    prefers_gzip([header])
    assert time.process_time() - began < 0.5  # it took minutes


@on_sqlite
async def test_large_answers_are_compressed_and_small_ones_are_not(api: httpx.AsyncClient) -> None:
    for header, encoding in (("gzip", "gzip"), ("gzip;q=0", None), ("identity", None)):
        large = await api.get("/v1/kinds", headers={"Accept-Encoding": header})
        assert large.headers.get("content-encoding") == encoding
        assert large.headers["vary"] == "Accept-Encoding"
        assert large.json()["kinds"]
        small = await api.get("/healthz", headers={"Accept-Encoding": header})
        assert "content-encoding" not in small.headers


@on_sqlite
async def test_events_are_not_held_back_to_be_compressed(api: httpx.AsyncClient) -> None:
    job = await post(api, delay=3600)
    headers = {"Accept-Encoding": "gzip"}
    async with api.stream("GET", f"/v1/jobs/{job['id']}/events", headers=headers) as stream:
        assert "content-encoding" not in stream.headers
        async with asyncio.timeout(10):
            assert (await anext(stream.aiter_lines())).startswith("event: state")
