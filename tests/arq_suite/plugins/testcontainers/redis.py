"""Stands in for the package `testcontainers` in arq's conftest: the Redis that the run has started."""

import os
from types import TracebackType
from typing import Self


class RedisContainer:
    """Offers what arq's conftest calls, without Docker."""

    port = 6379

    def __init__(self, image: str) -> None:
        self.image = image

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def get_container_host_ip(self) -> str:
        return "127.0.0.1"

    def get_exposed_port(self, _port: int) -> int:
        return int(os.environ["ARQ_SUITE_REDIS_PORT"])
