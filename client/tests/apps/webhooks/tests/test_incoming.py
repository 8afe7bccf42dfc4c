from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import httpx

from webhooks import notify
from webhooks.models import Payment, Priority

ORDER = UUID("6f1c8f0e-8a55-4a3a-9b52-0d3a1f6b6f10")


async def test_payment_arrives_with_its_types(client: httpx.AsyncClient) -> None:
    answer = await client.post("/incoming/payments", params={"order_id": str(ORDER), "amount": "9.90"})
    assert answer.status_code == 202
    payment = Payment(ORDER, Decimal("9.90"), {"card"})
    assert notify.received == [(payment, date(2026, 2, 28), timedelta(days=2), Priority.HIGH)]


async def test_values_keep_their_types_with_and_without_annotations(client: httpx.AsyncClient) -> None:
    body = {"id": 7, "lines": [{"sku": "a", "price": 1.5}], "paid": None}
    await client.post("/incoming/events", json=body, headers={"x-signature": "v1,abc"})
    naive = datetime(2026, 5, 6, 7, 8)  # noqa: DTZ001 - as many are
    (first, second) = notify.received
    assert first == (body, b"v1,abc", (Decimal("1.10"), Decimal("0.30")))
    assert second == ((7, {Priority.LOW, Priority.HIGH}), {"at": naive})
    assert all(isinstance(rate, Decimal) for rate in first[2])
    assert all(isinstance(one, Priority) for one in second[0][1])
