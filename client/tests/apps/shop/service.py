from typing import ClassVar

from sqlalchemy import update

from shop import database
from shop.database import Order, Product


class OutOfStock(Exception):
    pass


class OrderService:
    @staticmethod
    def confirm(order_id: int) -> None:
        with database.SessionLocal() as session, session.begin():
            order = session.get_one(Order, order_id)
            order.state = "confirmed"

    @classmethod
    def reserve(cls, order_id: int, *, count: int = 1) -> None:
        with database.SessionLocal() as session, session.begin():
            order = session.get_one(Order, order_id)
            product = session.get_one(Product, order.product_id)
            if product.stock < count:
                raise OutOfStock(product.name)
            product.stock -= count
            order.state = "reserved"

    class Reports:
        sent: ClassVar[list[tuple[int, str]]] = []

        @staticmethod
        async def send(order_id: int, to: str) -> None:
            OrderService.Reports.sent.append((order_id, to))


def restock(product_ids: list[int], by: int) -> None:
    with database.SessionLocal() as session, session.begin():
        session.execute(update(Product).where(Product.id.in_(product_ids)).values(stock=Product.stock + by))
