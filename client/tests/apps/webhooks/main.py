from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import fastapi
from fastapi import APIRouter, Request

from webhooks import notify
from webhooks.models import Order, Payment, Priority

app = fastapi.FastAPI()
orders = APIRouter(prefix="/orders")
incoming = APIRouter(prefix="/incoming")


@orders.post("", status_code=201)
async def place(total: Decimal, tasks: fastapi.BackgroundTasks, priority: Priority = Priority.LOW) -> Order:
    order = Order(id=uuid4(), total=total, placed_at=datetime.now(timezone.utc), priority=priority)
    tasks.add_task(notify.tell, "placed", order)
    if priority is Priority.HIGH:
        tasks.add_task(notify.tell, event="hurry", order=order)
    return order


@orders.delete("/{order_id}", status_code=204)
async def drop(order_id: UUID, tasks: fastapi.BackgroundTasks) -> None:
    order = Order(id=order_id, total=Decimal(0), placed_at=datetime(2026, 1, 2, tzinfo=timezone.utc))
    tasks.add_task(notify.tell_quietly, "dropped", order)


@incoming.post("/payments", status_code=202)
async def pay(order_id: UUID, amount: Decimal, tasks: fastapi.BackgroundTasks) -> dict[str, bool]:
    payment = Payment(order_id, amount, {"card"})
    tasks.add_task(
        notify.take_payment, payment, due=date(2026, 2, 28), patience=timedelta(days=2), priority=Priority.HIGH
    )
    return {"ok": True}


@incoming.post("/events", status_code=202)
async def event(request: Request, tasks: fastapi.BackgroundTasks) -> dict[str, bool]:
    body: dict[str, Any] = await request.json()
    signature = request.headers["x-signature"].encode()
    tasks.add_task(notify.take_event, body, signature, rates=(Decimal("1.10"), Decimal("0.30")))
    naive = datetime(2026, 5, 6, 7, 8)  # noqa: DTZ001 - as many are
    tasks.add_task(notify.take_anything, body["id"], {Priority.LOW, Priority.HIGH}, at=naive)
    return {"ok": True}


app.include_router(orders)
app.include_router(incoming)
