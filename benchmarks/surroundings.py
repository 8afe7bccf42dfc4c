"""What the arena tells a contender's processes through environment variables."""

import os
from pathlib import Path


def redis_socket() -> str:
    return os.environ["BENCH_REDIS"]


def redis_url() -> str:
    return f"unix://{redis_socket()}"


def postgres_dsn() -> str:
    return os.environ["BENCH_POSTGRES"]


def variant() -> str:
    """Which of the peer's set-ups is played."""
    return os.environ["BENCH_VARIANT"]


def limit() -> str:
    """How the peer limits jobs of one key: `concurrency`, `rate`, or another word that the case has for it; or not."""
    return os.environ["BENCH_LIMIT"]


def workers() -> int:
    """How many workers there are."""
    return int(os.environ["BENCH_WORKERS"])


def slots() -> int:
    """How many jobs a worker may run at once."""
    return int(os.environ["BENCH_SLOTS"])


def port() -> int:
    """Where this contender may serve HTTP on loopback."""
    return int(os.environ["BENCH_PORT"])


def share() -> int:
    """Return the limit called `concurrency`: how many slots the jobs of one key may take."""
    return max(1, slots() // 4)


def folder() -> Path:
    return Path(os.environ["BENCH_FOLDER"])
