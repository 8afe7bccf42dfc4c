import threading
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import MagicMock, patch
from uuid import UUID

import pytest
from fastapi import BackgroundTasks
from fastapi.testclient import TestClient
from imports import work
from imports.main import Settings, app, export, get_settings


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    app.dependency_overrides[get_settings] = lambda: Settings(folder=tmp_path, delimiter=";")
    with TestClient(app) as client:
        yield client
    app.dependency_overrides.clear()
    work.statuses.clear()
    work.threads.clear()


def test_upload_is_read_and_removed(client: TestClient, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="imports.work")
    answer = client.put("/uploads", content="name;age\nAnn;40\nBo;50\n")
    upload_id = answer.json()["id"]
    assert client.get(f"/uploads/{upload_id}").json() == {"status": "done"}
    assert caplog.messages == [f"upload {upload_id}: 2 rows"]
    assert list(tmp_path.iterdir()) == []


def test_plain_function_runs_in_a_thread(client: TestClient) -> None:
    client.put("/uploads", content="name\nAnn\n")
    assert work.threads
    assert threading.current_thread().name not in work.threads


def test_upload_without_rows_fails(client: TestClient) -> None:
    upload_id = client.put("/uploads", content="name\n").json()["id"]
    assert client.get(f"/uploads/{upload_id}").json() == {"status": "failed"}


def test_function_called_by_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    work.read_csv(UUID(int=1), tmp_path / "nowhere.csv")
    assert work.statuses.pop(UUID(int=1)) is work.Status.FAILED
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_upload_waits_until_it_is_read(client: TestClient, tmp_path: Path) -> None:
    with patch("imports.main.read_csv") as read_csv, patch("imports.main.remove"):
        upload_id = client.put("/uploads", content="name\n").json()["id"]
    read_csv.assert_called_once_with(UUID(upload_id), tmp_path / f"{upload_id}.csv", delimiter=";")
    assert client.get(f"/uploads/{upload_id}").json() == {"status": "waiting"}


def test_response_with_tasks_of_its_own(client: TestClient, tmp_path: Path) -> None:
    answer = client.put("/copies/a.bin", content=b"\x00\xffabc")
    assert (answer.status_code, answer.json()) == (202, {"bytes": 5})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "a.bin": b"\x00\xffabc",
        "a.bin.backup": b"\x00\xffabc",
    }


def test_response_with_one_task_of_its_own(client: TestClient, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"once")
    assert client.get("/copies/a.bin").content == b"once"
    assert list(tmp_path.iterdir()) == []


def test_stream_has_tasks_too(client: TestClient, tmp_path: Path) -> None:
    assert client.get("/exports/3").text == "0\n1\n2\n"
    assert (tmp_path / "exported").read_bytes() == b"3"


def test_endpoint_called_by_hand(tmp_path: Path) -> None:
    tasks = MagicMock(spec=BackgroundTasks)
    export(3, Settings(folder=tmp_path), tasks)
    tasks.add_task.assert_called_once_with(work.keep, b"3", tmp_path / "exported")


def test_nothing_is_added_when_adding_is_replaced(client: TestClient, tmp_path: Path) -> None:
    with patch("imports.main.BackgroundTasks.add_task") as add_task:
        client.get("/exports/3")
    add_task.assert_called_once_with(work.keep, b"3", tmp_path / "exported")
    assert list(tmp_path.iterdir()) == []
    client.get("/exports/3")
    assert (tmp_path / "exported").read_bytes() == b"3"
