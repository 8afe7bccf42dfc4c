import logging
import os
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import httpx

from webhooks.models import Order, Payment, Priority

logger = logging.getLogger(__name__)
received: list[Any] = []


async def tell(event: str, order: Order) -> None:
    assert isinstance(order, Order)
    async with httpx.AsyncClient(trust_env=False, timeout=10) as http:
        answer = await http.post(
            os.environ["PARTNER_URL"], json={"event": event, "order": order.model_dump(mode="json")}
        )
        answer.raise_for_status()


async def tell_quietly(event: str, order: Order) -> None:
    try:
        await tell(event, order)
    except httpx.HTTPError as error:
        logger.warning("%s of order %s was not told: %s", event, order.id, error)


async def take_payment(payment: Payment, *, due: date, patience: timedelta, priority: Priority) -> None:
    received.append((payment, due, patience, priority))


def take_event(event: dict[str, Any], signature: bytes, rates: tuple[Decimal, ...] = ()) -> None:
    received.append((event, signature, rates))


def take_anything(*values, **named):  # type: ignore[no-untyped-def]
    received.append((values, named))
