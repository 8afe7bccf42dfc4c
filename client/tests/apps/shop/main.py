from typing import Annotated

from fastapi import (
    BackgroundTasks,
    Depends,
    FastAPI,
    HTTPException,
)
from sqlalchemy.orm import Session

from shop.database import Order, Product, get_session
from shop.service import OrderService, restock

app = FastAPI(title="The Shop", version="2")


def place_order(session: Session, tasks: BackgroundTasks, product_id: int) -> Order:
    """What an endpoint hands its tasks on to."""
    order = Order(product_id=product_id)
    session.add(order)
    session.commit()
    tasks.add_task(OrderService.reserve, order.id)
    tasks.add_task(OrderService.confirm, order_id=order.id)
    return order


@app.post("/products/{product_id}/orders", status_code=201)
def order(
    product_id: int,
    tasks: BackgroundTasks,
    session: Session = Depends(get_session),  # noqa: B008 - as many apps have it
    report_to: str | None = None,
) -> dict[str, int]:
    if session.get(Product, product_id) is None:
        raise HTTPException(404)
    placed = place_order(session, tasks, product_id)
    if report_to:
        tasks.add_task(OrderService.Reports.send, placed.id, to=report_to)
    return {"id": placed.id}


@app.get("/orders/{order_id}")
def show(order_id: int, session: Annotated[Session, Depends(get_session)]) -> dict[str, str]:
    return {"state": session.get_one(Order, order_id).state}


@app.post("/deliveries", status_code=202)
async def deliver(product_ids: list[int], by: int = 10, background_tasks: BackgroundTasks = None) -> None:  # type: ignore[assignment]
    background_tasks.add_task(restock, product_ids, by)
