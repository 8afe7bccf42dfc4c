import asyncio
import tempfile
import unittest
from pathlib import Path
from unittest.mock import MagicMock, Mock, patch

from fastapi import BackgroundTasks
from fastapi.testclient import TestClient
from shop import database
from shop.database import Base, Order, Product
from shop.main import app, deliver, place_order
from shop.service import OrderService, OutOfStock, restock
from sqlalchemy import create_engine
from sqlalchemy.orm import Session, sessionmaker


class ShopTestCase(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        engine = create_engine(f"sqlite:///{Path(folder.name) / 'shop.sqlite'}")
        self.addCleanup(engine.dispose)
        Base.metadata.create_all(engine)
        sessions = patch.object(database, "SessionLocal", sessionmaker(engine))
        sessions.start()
        self.addCleanup(sessions.stop)
        with database.SessionLocal() as session, session.begin():
            session.add(Product(id=1, name="lamp", stock=1))
        self.client = TestClient(app)

    def order(self, **params: str) -> int:
        answer = self.client.post("/products/1/orders", params=params)
        self.assertEqual(answer.status_code, 201)  # noqa: PT009 - a suite of unittest
        order_id: int = answer.json()["id"]
        return order_id

    def stock(self) -> int:
        with database.SessionLocal() as session:
            return session.get_one(Product, 1).stock


class TestOrders(ShopTestCase):
    def test_order_is_reserved_then_confirmed(self) -> None:
        order_id = self.order()
        assert self.client.get(f"/orders/{order_id}").json() == {"state": "confirmed"}
        assert self.stock() == 0

    def test_order_of_nothing_is_refused(self) -> None:
        assert self.client.post("/products/2/orders").status_code == 404

    def test_task_that_raises_reaches_the_test(self) -> None:
        self.order()
        with self.assertRaises(OutOfStock):  # noqa: PT027 - a suite of unittest
            self.order()

    def test_report_of_a_nested_class(self) -> None:
        with patch.object(OrderService.Reports, "sent", list[tuple[int, str]]()) as sent:
            order_id = self.order(report_to="ann@example.com")
        assert sent == [(order_id, "ann@example.com")]

    @patch("shop.main.OrderService")
    def test_class_replaced_by_a_mock(self, service: MagicMock) -> None:
        order_id = self.order()
        service.reserve.assert_called_once_with(order_id)
        service.confirm.assert_called_once_with(order_id=order_id)

    @patch.object(OrderService, "confirm")
    def test_static_method_replaced_by_a_mock(self, confirm: MagicMock) -> None:
        order_id = self.order()
        confirm.assert_called_once_with(order_id=order_id)
        assert self.client.get(f"/orders/{order_id}").json() == {"state": "reserved"}

    def test_delivery(self) -> None:
        assert self.client.post("/deliveries", json=[1, 2], params={"by": 3}).status_code == 202
        assert self.stock() == 4


class TestByHand(ShopTestCase):
    def test_service_adds_two_tasks(self) -> None:
        tasks = Mock(spec=BackgroundTasks)
        session = MagicMock(spec=Session)
        place_order(session, tasks, 1)
        added: Order = session.add.call_args.args[0]
        assert added.product_id == 1
        assert [call.args[0] for call in tasks.add_task.call_args_list] == [OrderService.reserve, OrderService.confirm]

    def test_endpoint_with_a_mock_of_everything(self) -> None:
        tasks = MagicMock()
        asyncio.run(deliver([1], 2, tasks))
        tasks.add_task.assert_called_once_with(restock, [1], 2)


class TestOnALoop(unittest.IsolatedAsyncioTestCase):
    async def test_tasks_by_hand(self) -> None:
        tasks = BackgroundTasks()
        await deliver([1, 2], 5, tasks)
        with patch.object(database, "SessionLocal") as factory:
            await tasks()
        factory.return_value.__enter__.return_value.execute.assert_called_once()
