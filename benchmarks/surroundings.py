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


def slots() -> int:
    """How many jobs a worker may run at once."""
    return int(os.environ["BENCH_SLOTS"])


def port() -> int:
    """Where this contender may serve HTTP on loopback."""
    return int(os.environ["BENCH_PORT"])


def folder() -> Path:
    return Path(os.environ["BENCH_FOLDER"])
