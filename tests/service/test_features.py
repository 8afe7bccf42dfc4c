"""A feature is a folder and a line: to add one touches nothing else, and without one the product works."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from service.features import FEATURES
from tests.support.checkout import ROOT, Checkout
from tests.support.servers import RedisServer

# Each starts processes over a copy of all files; a machine that is busy takes its time.
pytestmark = pytest.mark.timeout(600)
# The kinds that only a feature can serve.
KINDS_OF = {
    "mail": "email",
    "stats": "stats",
    "audit_log": "audit",
    "files": "image",
    "push": "push",
    "apps": "app",
    "outbox": None,
    "imports": "csv",
    "tracing": None,
    "sentry": None,
}
EACH = [[name] for name in KINDS_OF]
# Quicker: every other feature is taken away, and then the others.
HALVES = [list(KINDS_OF)[::2], list(KINDS_OF)[1::2]]
# A plugin of pytest: all tests are imported, and those collected that are quick, and know no feature, of rooms that
# every feature is based on. To collect the others takes twice as long as to import them.
FEW = """
import pytest
@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector):
    return None if collector.path.stem in ("test_architecture", "test_names", "test_states") else []
"""
# What is taken away makes no function longer and no import heavier.
LEFT_OUT = "not heavy and not screen"
# Imports all, and does what `postlude dev` does before it starts its children.
TELLING = """
import gc, importlib, json, pathlib, pkgutil, jobs, service
gc.disable()  # a fifth of the time that the imports take
for package in (jobs, service):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.startswith("service.migrations") and not module.name.endswith((".tether", "__main__")):
            importlib.import_module(module.name)
from service.dev import kinds, screen, servers, start
from service.settings import Settings
settings = Settings()
for server in servers.wanted(settings):
    server.check()
print(screen.banner(settings, servers.offered()))
kinds.main()
pathlib.Path("told.json").write_text(json.dumps([program.name for program in start.programs(settings, None)]))
"""


@pytest.fixture
def checkout(tmp_path: Path, redis: Redis, redis_server: RedisServer) -> Iterator[Checkout]:
    with Checkout(tmp_path, REDIS_URL=redis_server.url, LOG_LEVEL="WARNING").closing() as made:
        yield made


def without(checkout: Checkout, feature: str) -> None:
    """Take a feature away: its folder and its line, its kinds, and the tests of both."""
    checkout.edit("service/features.py", rf'^    "{feature}",\n', "")
    kinds = [f"jobs/{KINDS_OF[feature]}", f"tests/jobs/{KINDS_OF[feature]}"] if KINDS_OF[feature] else []
    for name in (f"service/{feature}", f"tests/service/{feature}", *kinds):
        shutil.rmtree(checkout.folder / name)


def test_every_feature_is_tried_without() -> None:
    assert [feature.name for feature in FEATURES] == list(KINDS_OF)


@pytest.mark.short("half")
@pytest.mark.parametrize("absent", [*EACH, *HALVES], ids=lambda names: names[0] if len(names) == 1 else "half")
async def test_product_without_a_feature_starts_and_serves(checkout: Checkout, absent: list[str]) -> None:
    for feature in absent:
        without(checkout, feature)
    (checkout.folder / "telling.py").write_text(TELLING)
    checkout.python("telling")
    programs = json.loads((checkout.folder / "told.json").read_text())
    assert programs == ["migrations", *(["inbox"] if "mail" not in absent else []), "api", "worker"]
    checkout.postlude("migrate")
    async with checkout.api() as api:
        job = await performed(checkout, api, "cleanup", {"dry_run": True})
        paths = (await api.get("/openapi.json")).json()["paths"]
    assert ("files" in job["result"]["deleted"]) == ("files" not in absent)
    assert ("/v1/stats" in paths) == ("stats" not in absent)


@pytest.mark.short("mail")
@pytest.mark.parametrize("feature", KINDS_OF)
def test_tests_of_a_product_without_a_feature_can_be_run_and_pass(checkout: Checkout, feature: str) -> None:
    """All of them are imported, which shows what is left behind in any."""
    without(checkout, feature)
    (checkout.folder / "few.py").write_text(FEW)
    checkout.pytest("-p", "few", "-k", LEFT_OUT, "tests")


async def test_feature_that_the_guide_shows_is_a_folder_and_a_line(checkout: Checkout) -> None:
    for name, text in shown_in(ROOT / "docs/writing-features.md").items():
        (checkout.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout.folder / name).write_text(text)
    checkout.edit("service/features.py", r"^\)$", '    "notes",\n)')
    checkout.postlude("migrate")
    async with checkout.api() as api:
        job = await performed(checkout, api, "take_note", {"text": "milk"})
        assert job["state"] == "succeeded", job
        assert (await api.get("/v1/notes")).json() == ["milk"]
        assert "<li>milk</li>" in (await api.get("/notes")).text
        assert 'href="/notes"' in (await api.get("/")).text
        assert (await performed(checkout, api, "cleanup", {"older_than_days": 0}))["result"]["deleted"]["jobs"] == 1
        assert (await api.get("/v1/notes")).json() == []
    tests = ("tests/test_architecture.py", "tests/jobs/test_note.py", "tests/service/notes")
    checkout.pytest(*tests)


async def performed(checkout: Checkout, api: httpx.AsyncClient, kind: str, args: dict[str, Any]) -> dict[str, Any]:
    """Enqueue a job, and run a worker until nothing is left to do; return the job."""
    answer = await api.post("/v1/jobs", json={"kind": kind, "args": args})
    assert answer.status_code == 202, answer.text
    checkout.postlude("worker", "--burst")
    job: dict[str, Any] = (await api.get(f"/v1/jobs/{answer.json()['id']}")).json()
    return job


def shown_in(guide: Path) -> dict[str, str]:
    """Return the files that a guide shows, by the name in their first line."""
    blocks = re.findall(r"^```(?:python|html)\n(?:#|{#) ([\w./]+)(?: #})?\n(.*?)^```", guide.read_text(), re.M | re.S)
    return dict(blocks)
