import socket
from collections.abc import Iterator
from email import message_from_bytes, policy
from typing import Any
from unittest.mock import ANY, AsyncMock, Mock, patch

import pytest
from aiosmtpd.controller import Controller
from fastapi.testclient import TestClient
from signup import mail, main


class Inbox:
    def __init__(self) -> None:
        self.subjects: list[str] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - its name
        message = message_from_bytes(envelope.content, policy=policy.default)
        self.subjects.append(f"{message['To']}: {message['Subject']}")
        return "250 kept"


@pytest.fixture
def inbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Inbox]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    inbox = Inbox()
    controller = Controller(inbox, hostname="127.0.0.1", port=port)
    controller.start()
    monkeypatch.setenv("SMTP_PORT", str(port))
    yield inbox
    controller.stop()


@pytest.fixture(autouse=True)
def nobody() -> Iterator[None]:
    yield
    main.people.clear()


@pytest.fixture
def client() -> TestClient:
    return TestClient(main.app)


def test_sign_up_sends_two_mails(client: TestClient, inbox: Inbox) -> None:
    answer = client.post("/people", json={"email": "ann@example.com", "name": "Ann"})
    assert answer.status_code == 201
    assert inbox.subjects == ["ann@example.com: Welcome, Ann", "staff@shop.example: Somebody signed up"]


def test_second_sign_up_sends_none(client: TestClient, inbox: Inbox) -> None:
    main.people["ann@example.com"] = "Ann"
    assert client.post("/people", json={"email": "ann@example.com"}).status_code == 409
    assert inbox.subjects == []


def test_reset_is_sent_to_those_we_know(client: TestClient, inbox: Inbox) -> None:
    main.people["ann@example.com"] = "Ann"
    for email in ("ann@example.com", "bo@example.com"):
        assert client.post("/resets", json={"email": email}).status_code == 202
    assert inbox.subjects == ["ann@example.com: Your new password"]


def test_function_replaced_by_a_mock(client: TestClient) -> None:
    with patch("signup.main.send_welcome") as send, patch("signup.mail.tell_staff") as tell:
        client.post("/people", json={"email": "ann@example.com", "name": "Ann"})
    send.assert_called_once_with("ann@example.com", name="Ann")
    tell.assert_called_once_with("ann@example.com")


def test_function_replaced_by_one_of_its_own_signature(client: TestClient) -> None:
    with (
        patch("signup.main.send_welcome", autospec=True) as send,
        patch.object(mail, "tell_staff", autospec=True) as tell,
    ):
        client.post("/people", json={"email": "ann@example.com", "name": "Ann"})
    send.assert_called_once_with("ann@example.com", name="Ann")
    tell.assert_called_once_with("ann@example.com")


def test_function_watched_by_a_mock(client: TestClient, inbox: Inbox) -> None:
    with (
        patch("signup.main.send_welcome", wraps=mail.send_welcome) as send,
        patch.object(mail, "tell_staff", side_effect=mail.tell_staff, autospec=True) as tell,
    ):
        client.post("/people", json={"email": "ann@example.com"})
    send.assert_called_once_with("ann@example.com", name="you")
    tell.assert_called_once_with("ann@example.com")
    assert len(inbox.subjects) == 2


def test_coroutine_function_replaced_by_a_mock(client: TestClient) -> None:
    main.people["ann@example.com"] = "Ann"
    with patch("signup.mail.send_reset") as send:
        client.post("/resets", json={"email": "ann@example.com"})
    assert isinstance(send, AsyncMock)
    send.assert_awaited_once_with("ann@example.com", code=ANY)


def test_function_replaced_by_local_ones(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, str]] = []
    told: list[str] = []

    def keep(email: str, name: str) -> None:
        sent.append((email, name))

    monkeypatch.setattr(main, "send_welcome", keep)
    monkeypatch.setattr(mail, "tell_staff", lambda email: told.append(email))
    client.post("/people", json={"email": "ann@example.com", "name": "Ann"})
    assert (sent, told) == ([("ann@example.com", "Ann")], ["ann@example.com"])


def test_function_replaced_by_a_method_of_a_list(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(main, "send_welcome", Mock())
    monkeypatch.setattr("signup.mail.tell_staff", told.append)
    client.post("/people", json={"email": "ann@example.com"})
    assert told == ["ann@example.com"]


def test_what_a_function_calls_is_replaced(client: TestClient) -> None:
    with patch("signup.mail.deliver") as deliver:
        client.post("/people", json={"email": "ann@example.com", "name": "Ann"})
    assert [call.args[0] for call in deliver.call_args_list] == ["ann@example.com", "staff@shop.example"]


def test_patch_where_nobody_looks_changes_nothing(client: TestClient, inbox: Inbox) -> None:
    """`signup.main` has its own name for the function."""
    with patch("signup.mail.send_welcome") as send:
        client.post("/people", json={"email": "ann@example.com", "name": "Ann"})
    send.assert_not_called()
    assert inbox.subjects[0] == "ann@example.com: Welcome, Ann"


def test_mail_server_that_is_away_fails_the_request_of_the_test_client(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMTP_PORT", "9")
    with pytest.raises(ConnectionRefusedError):
        client.post("/people", json={"email": "ann@example.com"})
    quiet = TestClient(main.app, raise_server_exceptions=False)
    main.people.clear()
    assert quiet.post("/people", json={"email": "ann@example.com"}).status_code == 201


@pytest.mark.parametrize("error", [TimeoutError("too slow"), OSError("no route")])
def test_mock_that_raises(client: TestClient, error: Exception) -> None:
    with (
        patch("signup.main.send_welcome", side_effect=error),
        patch("signup.mail.tell_staff"),
        pytest.raises(type(error), match=str(error)),
    ):
        client.post("/people", json={"email": "ann@example.com"})
