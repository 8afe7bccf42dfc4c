"""The plugin in suites of others, each run by a pytest of its own."""

from pathlib import Path

import pytest
from client.tests.projects import assert_passes, run_pytest

HEAVY = ("asyncio", "fastapi", "httpx", "pydantic", "pydantic_core", "starlette", "unittest.mock")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\naddopts = --strict-markers\nfilterwarnings =\n    error\n"
        "    ignore:Using .httpx. with .starlette.testclient. is deprecated\n"
        "asyncio_default_fixture_loop_scope = function\n"
    )
    return tmp_path


def test_start_of_pytest_imports_nothing_that_takes_time(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(
        f"""
import sys

def pytest_collection_finish(session):
    assert "postlude.mode" in sys.modules
    assert [name for name in {HEAVY!r} if name in sys.modules] == []
"""
    )
    (tmp_path / "test_nothing.py").write_text("def test_nothing(): pass\n")
    assert_passes(tmp_path, "-p", "postlude.pytest_plugin", PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")


def test_jobs_of_a_client_need_no_service(project: Path) -> None:
    (project / "test_client.py").write_text(
        """
import pytest
from postlude import AsyncClient
from postlude.testing import assert_enqueued, enqueued, refute_enqueued

@pytest.mark.asyncio
async def test_enqueue():
    async with AsyncClient() as client:
        job = await client.enqueue("send_email", {"to": ["ann@example.com"]}, queue="mail")
    assert assert_enqueued("send_email", to=["ann@example.com"]).options["queue"] == "mail"
    assert enqueued()[0].id == job.id

def test_next_one():
    refute_enqueued("send_email")
"""
    )
    assert_passes(project)


def test_wrong_marker_is_an_error_of_its_test_alone(project: Path) -> None:
    (project / "test_markers.py").write_text(
        """
import pytest

@pytest.mark.postlude("hold")
def test_wrong(): pass

@pytest.mark.postlude
def test_bare(): pass

@pytest.mark.postlude("held")
def test_right(): pass
"""
    )
    done = run_pytest(project, "-q")
    assert "1 passed, 2 errors" in done.stdout
    assert (
        "test_markers.py::test_wrong: the marker `postlude` takes one of 'send', 'local', 'inline', 'held'."
        in done.stdout
    )


def test_failure_shows_the_line_of_the_test(project: Path) -> None:
    (project / "test_failing.py").write_text(
        """
from postlude.testing import assert_enqueued

def test_it():
    assert_enqueued("send_welcome", email="ann@example.com")
"""
    )
    done = run_pytest(project, "-q")
    assert "test_failing.py:5: in test_it" in done.stdout
    assert "E   AssertionError: send_welcome(email='ann@example.com') was not enqueued. Nothing was." in done.stdout
    assert "asserting.py" not in done.stdout


def test_outside_a_test_there_is_nothing_to_ask(project: Path) -> None:
    (project / "test_early.py").write_text(
        """
import pytest
from postlude.testing import enqueued

with pytest.raises(RuntimeError, match="No test is running"):
    enqueued()

def test_it():
    assert enqueued() == []
"""
    )
    assert_passes(project)


APP = """
from fastapi import FastAPI
from postlude.fastapi import BackgroundTasks, Postlude

app = FastAPI()
Postlude(app)
ran = []


def note(text: str) -> None:
    ran.append(text)


@app.post("/{text}")
def add(text: str, tasks: BackgroundTasks) -> None:
    tasks.add_task(note, text)


@app.put("/{text}")
def add_what_cannot_travel(text: str, tasks: BackgroundTasks) -> None:
    tasks.add_task(lambda: note(text))
"""


@pytest.fixture
def with_app(project: Path) -> Path:
    (project / "app.py").write_text(APP)
    (project / "conftest.py").write_text(
        """
import pytest
from app import app, ran
from fastapi.testclient import TestClient

@pytest.fixture(autouse=True)
def nothing_ran():
    ran.clear()

@pytest.fixture
def client():
    return TestClient(app)
"""
    )
    return project


def test_marker_sets_the_mode_of_a_test_a_class_or_a_module(with_app: Path) -> None:
    (with_app / "test_modes.py").write_text(
        """
import pytest
from app import ran
from postlude.fastapi import CannotTravel
from postlude.testing import assert_enqueued, drain, enqueued

def test_inline(client):
    client.post("/a")
    assert ran == ["a"]
    with pytest.raises(CannotTravel):
        client.put("/a")

@pytest.mark.postlude("held")
class TestHeld:
    def test_held(self, client):
        client.post("/a")
        assert ran == []
        drain()
        assert ran == ["a"]
        assert_enqueued("note", text="a")

    @pytest.mark.postlude("inline")
    def test_nearer_marker(self, client):
        client.post("/a")
        assert ran == ["a"]

@pytest.mark.postlude("local")
def test_local(client):
    client.put("/a")
    assert ran == ["a"]
    assert enqueued() == []

@pytest.mark.postlude("send")
def test_send(client):
    assert client.post("/a").status_code == 503
    assert ran == []

def test_inline_again(client):
    test_inline(client)
"""
    )
    (with_app / "test_module.py").write_text(
        """
import pytest
from app import ran

pytestmark = pytest.mark.postlude("held")

def test_held(client):
    client.post("/a")
    assert ran == []
"""
    )
    assert_passes(with_app, POSTLUDE_URL="http://127.0.0.1:9", POSTLUDE_API_KEY="key")


def test_every_sort_of_test_is_watched(with_app: Path) -> None:
    (with_app / "test_sorts.py").write_text(
        """
import unittest
import httpx
import pytest
from app import app, ran
from fastapi.testclient import TestClient
from postlude.testing import assert_enqueued, drain, enqueued

async def post():
    assert enqueued() == []
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client:
        await client.post("/a")
    assert_enqueued("note", text="a")

@pytest.mark.asyncio
async def test_asyncio():
    await post()
    assert ran == ["a"]

@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.postlude("held")
async def test_anyio():
    await post()
    assert ran == []
    await drain()
    assert ran == ["a"]

@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.postlude("held")
class TestOnOneLoop:
    async def test_first(self):
        await post()

    async def test_second(self):
        await drain()
        assert ran == []

class TestPlain(unittest.TestCase):
    def test_it(self):
        TestClient(app).post("/a")
        assert_enqueued("note")
        assert ran == ["a"]

    @pytest.mark.postlude("held")
    def test_held(self):
        TestClient(app).post("/a")
        assert ran == []
        drain()
        assert ran == ["a"]

class TestOnALoop(unittest.IsolatedAsyncioTestCase):
    async def test_it(self):
        await post()
        assert ran == ["a"]

@pytest.mark.postlude("held")
def test_drained_on_the_loop_of_a_running_app():
    with TestClient(app) as client:
        client.post("/a")
        drain()
    assert ran == ["a"]

@pytest.fixture
def late(client):
    yield
    client.post("/late")
    assert_enqueued("note", text="late")

def test_teardown_is_of_the_test(late):
    assert enqueued() == []
"""
    )
    assert_passes(with_app)
    assert_passes(with_app, "-n", "2", "-o", "asyncio_mode=auto")
