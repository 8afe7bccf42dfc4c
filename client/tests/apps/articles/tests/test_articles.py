from collections.abc import Iterator
from datetime import timedelta
from unittest.mock import AsyncMock, MagicMock, Mock, call, patch

import pytest
from articles import cache, main
from articles.cache import Reader
from fastapi import BackgroundTasks, HTTPException, Response
from fastapi.testclient import TestClient


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    yield
    for kept in (cache.pages, cache.views, cache.steps):
        kept.clear()


@pytest.fixture
def client() -> TestClient:
    return TestClient(main.app)


class TestThroughTheApp:
    def test_views_are_counted(self, client: TestClient) -> None:
        answers = [client.get("/articles/tea") for _ in range(3)]
        assert [answer.headers["x-tasks"] for answer in answers] == ["1"] * 3
        assert cache.views == {"tea": 3}
        assert cache.steps[0] == ("tea", 1, {"reader": Reader("ann", 2024)})
        assert isinstance(cache.steps[0][2]["reader"], Reader)

    def test_pages_are_dropped(self, client: TestClient) -> None:
        cache.pages.update({"/": "home", "/articles/tea": "tea", "/articles/milk": "milk"})
        client.put("/articles/tea")
        assert cache.pages == {"/articles/milk": "milk"}
        assert cache.steps == [("forget", None, timedelta(minutes=5), True)]

    def test_refused_request_drops_none(self, client: TestClient) -> None:
        cache.pages["/articles/tea"] = "tea"
        assert client.delete("/articles/tea").status_code == 404
        assert cache.pages == {"/articles/tea": "tea"}

    def test_returned_error_keeps_the_tasks(self, client: TestClient) -> None:
        answer = client.post("/chains")
        assert (answer.status_code, answer.text, answer.headers["retry-after"]) == (503, "busy", "1")
        assert cache.steps == ["one", "two", "three"]

    def test_task_that_raises_comes_last(self, client: TestClient) -> None:
        with pytest.raises(RuntimeError, match="as asked"):
            client.post("/chains", params={"fails": True})
        assert cache.steps == ["one", "two", "three"]

    def test_tasks_of_a_response(self, client: TestClient) -> None:
        assert client.post("/own").status_code == 200
        assert cache.steps[0] == "own"

    def test_mounted_app(self, client: TestClient) -> None:
        assert client.get("/v2/articles/tea").json() == "tea"
        assert cache.views == {"tea": 2}

    def test_tasks_of_an_exception_handler(self, client: TestClient) -> None:
        assert client.get("/missing").status_code == 410
        assert cache.steps == ["missing page"]


class TestByHand:
    @pytest.mark.asyncio
    async def test_tasks_are_looked_at_and_run(self) -> None:
        tasks = BackgroundTasks()
        await main.read("tea", tasks, Response())
        assert len(tasks.tasks) == 1
        (task,) = tasks.tasks
        assert (task.func, task.args, task.kwargs) == (cache.count, ("tea",), {"reader": Reader("ann", 2024)})
        assert cache.views == {}
        await tasks()
        assert cache.views == {"tea": 1}

    def test_publisher_with_a_mock(self) -> None:
        tasks = Mock(spec=BackgroundTasks)
        main.Publisher(tasks).publish("tea")
        tasks.add_task.assert_called_once_with(cache.invalidate, "/", "/articles/tea")

    @pytest.mark.asyncio
    async def test_tasks_of_a_request_that_is_refused(self) -> None:
        tasks = BackgroundTasks()
        with pytest.raises(HTTPException):
            await main.drop("tea", background := tasks)
        assert len(background.tasks) == 1


class TestReplaced:
    def test_adding_is_watched(self, client: TestClient) -> None:
        with patch.object(BackgroundTasks, "add_task") as add_task:
            client.post("/chains")
        assert add_task.call_args_list == [call(cache.note, step) for step in ("one", "two", "three")]
        assert cache.steps == []

    def test_adding_is_watched_by_its_path(self, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
        watched = MagicMock()
        monkeypatch.setattr("fastapi.BackgroundTasks.add_task", watched)
        client.get("/articles/tea")
        watched.assert_called_once_with(cache.count, "tea", reader=Reader("ann", 2024))

    def test_adding_is_watched_where_it_is_used(self, client: TestClient) -> None:
        with patch("articles.main.BackgroundTasks.add_task") as add_task:
            client.get("/articles/tea")
        add_task.assert_called_once_with(cache.count, "tea", reader=Reader("ann", 2024))

    def test_coroutine_function_replaced(self, client: TestClient) -> None:
        with patch("articles.main.invalidate", new_callable=AsyncMock) as invalidate:
            client.put("/articles/tea")
        invalidate.assert_awaited_once_with("/", "/articles/tea")

    def test_module_replaced(self, client: TestClient) -> None:
        with patch("articles.main.cache") as module, patch("articles.main.invalidate"):
            client.put("/articles/tea")
        module.forget.assert_called_once_with(None, after=timedelta(minutes=5), dry=True)
