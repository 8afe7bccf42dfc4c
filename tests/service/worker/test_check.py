"""`arq worker_settings.WorkerSettings --check`: quick, quiet, and right about whether a worker is there."""

import subprocess
import sys

from redis.asyncio import Redis

from service.settings import Settings
from service.worker.check import health_check_key
from tests.support.processes import BIN, ROOT, WORKER, environment, ran
from tests.support.servers import RedisServer

ARQ = (str(BIN / WORKER[0]), *WORKER[1:])


def check(*words: str, **env: str) -> tuple[int, list[str]]:
    done = ran((*words, "--check"), environment() | env)
    return done.returncode, (done.stdout + done.stderr).splitlines()


async def test_check_of_a_living_worker_is_one_line_and_exit_code_0(redis: Redis, redis_server: RedisServer) -> None:
    settings = Settings(redis_url=redis_server.url, queues=("slow",))
    await redis.set(health_check_key(settings), "j_ongoing=0")
    for words in (ARQ, (str(BIN / "postlude"), "worker")):
        code, lines = check(*words, POSTLUDE_REDIS_URL=redis_server.url, POSTLUDE_QUEUES="slow")
        assert code == 0
        assert len(lines) == 1
        assert "Health check successful" in lines[0]


async def test_check_of_no_worker_and_of_no_redis_is_one_line_and_exit_code_1(
    redis: Redis, redis_server: RedisServer
) -> None:
    code, lines = check(*ARQ, POSTLUDE_REDIS_URL=redis_server.url)
    assert (code, len(lines)) == (1, 1), lines
    away = check(*ARQ, POSTLUDE_REDIS_URL="redis://:s3cret@127.0.0.1:9")
    assert (away[0], len(away[1])) == (1, 1), away
    assert "POSTLUDE_REDIS_URL" in away[1][0]
    assert "s3cret" not in away[1][0]


def test_check_imports_nothing_that_only_a_worker_needs() -> None:
    script = "import sys; sys.argv.append('--check'); import worker_settings; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    heavy = {"jobs", "sqlalchemy", "aiohttp", "structlog", "fastapi", "service.worker.worker"}
    assert not heavy & set(done.stdout.split())
