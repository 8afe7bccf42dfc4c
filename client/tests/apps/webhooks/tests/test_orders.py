import logging
from decimal import Decimal
from unittest.mock import AsyncMock

import httpx
import pytest

from webhooks import notify
from webhooks.models import Order

from .conftest import Partner


async def test_partner_is_told_of_an_order(client: httpx.AsyncClient, partner: Partner) -> None:
    answer = await client.post("/orders", params={"total": "12.50"})
    assert answer.status_code == 201
    assert partner.requests == [{"event": "placed", "order": answer.json()}]


async def test_partner_is_told_in_order(client: httpx.AsyncClient, partner: Partner) -> None:
    await client.post("/orders", params={"total": "12.50", "priority": "high"})
    assert [request["event"] for request in partner.requests] == ["placed", "hurry"]


async def test_partner_that_refuses_fails_the_request_of_the_test(client: httpx.AsyncClient, partner: Partner) -> None:
    partner.status = 500
    with pytest.raises(httpx.HTTPStatusError):
        await client.post("/orders", params={"total": "1"})


async def test_partner_that_refuses_is_logged(
    client: httpx.AsyncClient, partner: Partner, caplog: pytest.LogCaptureFixture
) -> None:
    partner.status = 503
    with caplog.at_level(logging.WARNING, logger="webhooks.notify"):
        answer = await client.delete("/orders/6f1c8f0e-8a55-4a3a-9b52-0d3a1f6b6f10")
    assert answer.status_code == 204
    (message,) = caplog.messages
    assert message.startswith("dropped of order 6f1c8f0e-8a55-4a3a-9b52-0d3a1f6b6f10 was not told: ")


async def test_task_is_given_the_order_itself(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    tell = AsyncMock()
    monkeypatch.setattr(notify, "tell", tell)
    answer = await client.post("/orders", params={"total": "12.50"})
    tell.assert_awaited_once_with("placed", Order.model_validate(answer.json()))


async def test_inner_call_may_be_replaced(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    told = []

    async def keep(event: str, order: Order) -> None:
        told.append((event, order.total))

    monkeypatch.setattr("webhooks.notify.tell", keep)
    await client.delete("/orders/6f1c8f0e-8a55-4a3a-9b52-0d3a1f6b6f10")
    assert told == [("dropped", Decimal(0))]
