"""The app's start and stop."""

import asyncio

import pytest

from service.app import create_app
from service.settings import Settings
from service.web.page_route import PageRoute
from tests.support.apps import made_app, routes_of


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_app_that_is_stopped_while_it_checks_its_servers_leaves_nothing_behind(settings: Settings) -> None:
    for turns in range(20):
        app = made_app(settings)
        async with app.router.lifespan_context(app):
            for _ in range(turns * 5):
                await asyncio.sleep(0)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert [task.get_coro() for task in others] == []


def test_calls_are_looked_for_before_pages() -> None:
    routes = list(routes_of(create_app().routes))
    calls = [at for at, route in enumerate(routes) if route.path.startswith("/v1/")]
    pages = [at for at, route in enumerate(routes) if isinstance(route, PageRoute)]
    assert max(calls) < min(pages)
