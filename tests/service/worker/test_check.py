"""`arq worker_settings.WorkerSettings --check`: quick, quiet, and right about whether a worker is there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from redis.asyncio import Redis

from service.settings import Settings
from service.worker.check import health_check_key
from tests.support.servers import RedisServer

ROOT = Path(__file__).parents[3]
ARQ = Path(sys.executable).with_name("arq")


def check(*words: str, **env: str) -> tuple[int, list[str]]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("POSTLUDE_")}
    done = subprocess.run(
        [*words, "--check"], cwd=ROOT, env=clean | env, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, (done.stdout + done.stderr).splitlines()


async def test_check_of_a_living_worker_is_one_line_and_exit_code_0(redis: Redis, redis_server: RedisServer) -> None:
    settings = Settings(redis_url=redis_server.url, queues=("slow",))
    await redis.set(health_check_key(settings), "j_ongoing=0")
    for words in ([str(ARQ), "worker_settings.WorkerSettings"], [str(ARQ.with_name("postlude")), "worker"]):
        code, lines = check(*words, POSTLUDE_REDIS_URL=redis_server.url, POSTLUDE_QUEUES="slow")
        assert code == 0
        assert len(lines) == 1
        assert "Health check successful" in lines[0]


async def test_check_of_no_worker_and_of_no_redis_is_one_line_and_exit_code_1(
    redis: Redis, redis_server: RedisServer
) -> None:
    code, lines = check(str(ARQ), "worker_settings.WorkerSettings", POSTLUDE_REDIS_URL=redis_server.url)
    assert (code, len(lines)) == (1, 1), lines
    away = check(str(ARQ), "worker_settings.WorkerSettings", POSTLUDE_REDIS_URL="redis://:s3cret@127.0.0.1:9")
    assert (away[0], len(away[1])) == (1, 1), away
    assert "POSTLUDE_REDIS_URL" in away[1][0]
    assert "s3cret" not in away[1][0]


@pytest.mark.parametrize("heavy", ["jobs", "sqlalchemy", "aiohttp", "structlog", "fastapi", "service.worker.worker"])
def test_check_imports_nothing_that_only_a_worker_needs(heavy: str) -> None:
    script = f"import sys; sys.argv.append('--check'); import worker_settings; print({heavy!r} in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
