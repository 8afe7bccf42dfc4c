"""The counters over HTTP."""

from typing import Any

import httpx
from sqlalchemy import insert

from service.ledger.ledger import Ledger
from service.stats.tables import counters
from tests.service.api.driving import assert_problem
from tests.support.writing import writing


async def test_stats_are_read_by_subject_and_by_event(api: httpx.AsyncClient, ledger: Ledger) -> None:
    assert (await api.get("/v1/stats")).json() == {"counters": [], "total": 0, "next_cursor": None}
    rows: list[dict[str, Any]] = [
        {"subject": subject, "event": event, "count": count}
        for subject, event, count in (("b", "view", 2), ("a", "view", 1), ("a", "buy", -4))
    ]
    async with writing(ledger.database) as connection:
        await connection.execute(insert(counters), rows)
    b_view, a_view, a_buy = rows
    expectations: list[tuple[dict[str, str], list[dict[str, Any]]]] = [
        ({}, [a_buy, a_view, b_view]),
        ({"subject": "a"}, [a_buy, a_view]),
        ({"event": "view"}, [a_view, b_view]),
        ({"subject": "a", "event": "view"}, [a_view]),
        ({"subject": "nope"}, []),
    ]
    for params, expected in expectations:
        total = sum(row["count"] for row in expected)
        answer = (await api.get("/v1/stats", params=params)).json()
        assert answer == {"counters": expected, "total": total, "next_cursor": None}


async def test_stats_are_read_page_by_page_to_their_end(api: httpx.AsyncClient, ledger: Ledger) -> None:
    rows = [{"subject": f"s{n:04}", "event": event, "count": 1} for n in range(600) for event in ("buy", "view")]
    async with writing(ledger.database) as connection:
        await connection.execute(insert(counters), rows)
    for limit, params in ((1000, {}), (1000, {"event": "view"}), (7, {"subject": "s0003"}), (250, {})):
        expected = [row for row in rows if all(row[name] == value for name, value in params.items())]
        found: list[dict[str, Any]] = []
        query: dict[str, Any] = {"limit": limit, **params}
        while True:
            page = (await api.get("/v1/stats", params=query)).json()
            assert page["total"] == len(expected)
            found += page["counters"]
            if page["next_cursor"] is None:
                break
            assert len(page["counters"]) == limit
            query["cursor"] = page["next_cursor"]
        assert found == expected


async def test_stats_of_an_invalid_name_are_refused(api: httpx.AsyncClient) -> None:
    for params in ({"subject": "a\0"}, {"event": "\0"}, {"cursor": "x"}, {"cursor": "WyJhIl0"}, {"limit": 1001}):
        assert_problem(await api.get("/v1/stats", params=params), 422)
