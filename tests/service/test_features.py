"""A feature is a folder and a line: to add one touches nothing else, and without one the product works."""

import json
import re
import shutil
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
# Quick tests, without features, of rooms that every feature is based on.
TELLING_TESTS = "test_architecture.py or test_names or test_states"
# Imports all, migrates, and does what `postlude dev` does before it starts its children; then what these would do, in
# one process: the API takes a job, a worker performs it, and the API shows it.
START = """
import asyncio, gc, importlib, json, pathlib, pkgutil, subprocess, sys, httpx, jobs, service
gc.disable()  # a fifth of the time that the imports take
for package in (jobs, service):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.startswith("service.migrations") and not module.name.endswith((".tether", "__main__")):
            importlib.import_module(module.name)
from service.app import create_app
from service.dev import kinds, screen, servers, start
from service.features import FEATURES
from service.ledger.migrate import upgrade
from service.settings import Settings
settings = Settings()
asyncio.run(upgrade(settings, [feature.schema for feature in FEATURES]))
for server in servers.wanted(settings):
    server.check()
print(screen.banner(settings, servers.offered()))
kinds.main()
app = create_app(settings)
async def serve():
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://api") as api:
        answer = await api.post("/v1/jobs", json={"kind": "cleanup", "args": {"dry_run": True}})
        subprocess.run([sys.executable, "-m", "service.cli", "worker", "--burst"], check=True)  # it may end its process
        return (await api.get(f"/v1/jobs/{answer.raise_for_status().json()['id']}")).raise_for_status().json()
pathlib.Path("told.json").write_text(json.dumps({
    "programs": [program.name for program in start.programs(settings, None)],
    "job": asyncio.run(serve()),
    "paths": [*app.openapi()["paths"]],
}))
"""


@pytest.fixture
def checkout(tmp_path: Path, redis: Redis, redis_server: RedisServer) -> Checkout:
    return Checkout(tmp_path, REDIS_URL=redis_server.url, LOG_LEVEL="WARNING")


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
def test_product_without_a_feature_starts_and_serves(checkout: Checkout, absent: list[str]) -> None:
    for feature in absent:
        without(checkout, feature)
    checkout.run("-c", START)
    told = json.loads((checkout.folder / "told.json").read_text())
    assert told["programs"] == ["migrations", *(["inbox"] if "mail" not in absent else []), "api", "worker"]
    assert ("files" in told["job"]["result"]["deleted"]) == ("files" not in absent)
    assert ("/v1/stats" in told["paths"]) == ("stats" not in absent)


@pytest.mark.short("mail")
@pytest.mark.parametrize("feature", KINDS_OF)
def test_tests_of_a_product_without_a_feature_can_be_run_and_pass(checkout: Checkout, feature: str) -> None:
    """All of them are imported to choose from, which shows what is left behind in any."""
    without(checkout, feature)
    checkout.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", TELLING_TESTS, "tests")


async def test_feature_that_the_guide_shows_is_a_folder_and_a_line(checkout: Checkout) -> None:
    for name, text in shown_in(ROOT / "docs/writing-features.md").items():
        (checkout.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout.folder / name).write_text(text)
    checkout.edit("service/features.py", r"^\)$", '    "notes",\n)')
    checkout.run("-m", "service.cli", "migrate")
    async with checkout.api() as api:
        job = await performed(checkout, api, "take_note", {"text": "milk"})
        assert job["state"] == "succeeded", job
        assert (await api.get("/v1/notes")).json() == ["milk"]
        assert "<li>milk</li>" in (await api.get("/notes")).text
        assert 'href="/notes"' in (await api.get("/")).text
        assert (await performed(checkout, api, "cleanup", {"older_than_days": 0}))["result"]["deleted"]["jobs"] == 1
        assert (await api.get("/v1/notes")).json() == []
    tests = ("tests/test_architecture.py", "tests/jobs/test_note.py", "tests/service/notes")
    checkout.run("-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)


async def performed(checkout: Checkout, api: httpx.AsyncClient, kind: str, args: dict[str, Any]) -> dict[str, Any]:
    """Enqueue a job, and run a worker until nothing is left to do; return the job."""
    answer = await api.post("/v1/jobs", json={"kind": kind, "args": args})
    assert answer.status_code == 202, answer.text
    checkout.run("-m", "service.cli", "worker", "--burst")
    job: dict[str, Any] = (await api.get(f"/v1/jobs/{answer.json()['id']}")).json()
    return job


def shown_in(guide: Path) -> dict[str, str]:
    """Return the files that a guide shows, by the name in their first line."""
    blocks = re.findall(r"^```(?:python|html)\n(?:#|{#) ([\w./]+)(?: #})?\n(.*?)^```", guide.read_text(), re.M | re.S)
    return dict(blocks)
