"""`postlude dev`: the checks, then Redis, the migrations, the features' servers, the API and a worker."""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx

from service import preflight
from service.dev import kinds, redis_server, reload, servers
from service.dev.child import Program
from service.dev.screen import base_url, show_banner
from service.dev.supervisor import Supervisor
from service.settings import Settings, unknown_variables

_STOP_MARGIN_S = 5.0
# A developer's first webhook usually goes to their own machine, and so does the first call of an app.
_LOOPBACK = "127.0.0.0/8,::1/128"


async def run(settings: Settings) -> None:
    """Run everything until a signal. Raises `StartRefused`."""
    preflight.check_ledger_file(settings)
    with preflight.only_one(settings) as patience_s:
        knows_somebody = await preflight.knows_somebody(settings)
        preflight.check_address(settings, patience_s=patience_s, knows_somebody=knows_somebody)
        preflight.check_keys(settings)
        redis = None if settings.redis_url else redis_server.find_binary()
        for server in servers.wanted(settings):
            server.check()
        folders = await kinds.check(environment(settings))
        await _supervise(settings, redis, folders)


async def _supervise(settings: Settings, redis: Path | None, folders: frozenset[Path]) -> None:
    if redis is not None:
        await redis_server.prepare(settings)
    key = settings.api_keys[0].get_secret_value() if settings.api_keys else None
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with httpx.AsyncClient(base_url=base_url(settings), headers=headers, trust_env=False, timeout=2) as http:

        async def is_ready() -> bool:
            """Whether the API answers, and knows of a worker that can run jobs."""
            try:
                answer = await http.get("/readyz")
                return answer.status_code == 200 and answer.json()["status"] == "ready"
            except httpx.HTTPError:
                return False

        supervisor = Supervisor(
            programs(settings, redis),
            env=environment(settings),
            is_ready=is_ready,
            on_ready=lambda: show_banner(settings, servers.offered()),
        )
        watching = asyncio.create_task(reload.on_change(supervisor, environment(settings), folders))
        try:
            await supervisor.run()
        finally:
            watching.cancel()
            await asyncio.wait({watching})
            redis_server.clean_up(settings)


def programs(settings: Settings, redis: Path | None) -> list[Program]:
    """List the programs in the order of their start; they stop in the reverse order."""
    # -P: a `jobs.py` in the caller's folder must not stand in for ours.
    python = (sys.executable, "-P", "-m")
    everything = [
        Program("migrations", [*python, "service.cli", "migrate"], once=True),
        *(Program(server.name, [*python, "service.cli", "serve", server.name]) for server in servers.wanted(settings)),
        Program("api", [*python, "service.cli", "api"], reloads=True),
        Program(
            "worker",
            [*python, "arq", "worker_settings.WorkerSettings"],
            stop_timeout_s=settings.grace_s + _STOP_MARGIN_S,
            reloads=True,
            hands_back=True,
        ),
    ]
    return everything if redis is None else [redis_server.program(settings, redis), *everything]


def environment(settings: Settings) -> Mapping[str, str]:
    """Return the environment of the children: the caller's, and defaults that suit a developer's terminal."""
    suits = {
        "POSTLUDE_LOG_FORMAT": "console",
        "POSTLUDE_WEBHOOK_ALLOW": _LOOPBACK,
        "POSTLUDE_APP_ALLOW": _LOOPBACK,
        "PYTHONUNBUFFERED": "1",
    }
    # Misspelt settings are left out: they were reported already, and each child would report them again.
    given = {name: value for name, value in os.environ.items() if name not in unknown_variables(os.environ)}
    return {**suits, **given, "POSTLUDE_DATA_DIR": str(settings.data_dir)}
