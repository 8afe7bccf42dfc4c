"""What clients, engines and pages would make again, identically, in each test: made once for a process or a run."""

import os
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest
from jinja2 import Environment, FileSystemBytecodeCache
from sqlalchemy import Engine

_MOST_STATEMENTS = 3_000


class Compiled(dict[Any, Any]):
    """Compiled statements of all engines of one dialect. SQLAlchemy's keys begin with that of the engine."""

    def get(self, key: tuple[Any, ...], default: Any = None) -> Any:
        return super().get(key[1:], default)

    def __setitem__(self, key: tuple[Any, ...], compiled: Any) -> None:
        if len(self) >= _MOST_STATEMENTS:
            self.clear()
        super().__setitem__(key[1:], compiled)


@contextmanager
def sharing(templates: Path) -> Iterator[None]:
    """Share compiled statements, and contexts for TLS, which read all authorities: 40 ms each.

    Templates that were compiled are kept in the folder `templates`, for all processes of the run: to compile them takes
    a process a second.
    """
    with pytest.MonkeyPatch.context() as patch:
        compiled = FileSystemBytecodeCache(str(templates))
        patch.setattr("service.dashboard.rendering.Environment", partial(Environment, bytecode_cache=compiled))
        create_ssl_context = _once(httpx.create_ssl_context)
        patch.setattr(httpx, "create_ssl_context", create_ssl_context)
        patch.setattr("httpx._transports.default.create_ssl_context", create_ssl_context)
        if find_spec("service.mail"):  # there are tests of the product without one feature or another
            from service.mail.smtp_server import SmtpServer

            patch.setattr(SmtpServer, "tls_context", _tls_context_once(SmtpServer))
        patch.setattr(Engine, "_compiled_cache", _statements(), raising=False)
        if not find_spec("sniffio"):  # httpcore looks for it at each lock that it makes, in every folder of imports
            patch.setitem(sys.modules, "sniffio", None)
        yield


def _once(create: Any) -> Any:
    made = cache(lambda _authorities, options: create(**dict(options)))

    def create_ssl_context(**options: Any) -> ssl.SSLContext:
        context: ssl.SSLContext = made(os.environ.get("SSL_CERT_FILE"), frozenset(options.items()))
        return context

    return create_ssl_context


def _tls_context_once(mail_server: type[Any]) -> Any:
    make = mail_server.tls_context
    made = cache(lambda _authorities, verify: make(mail_server(verify=verify)))

    def tls_context(server: Any) -> ssl.SSLContext:
        given = server.ca_file is not None  # it may hold something else next time
        context: ssl.SSLContext = make(server) if given else made(os.environ.get("SSL_CERT_FILE"), server.verify)
        return context

    return tls_context


def _statements() -> property:
    shared: dict[type, Compiled] = {}
    # An engine that is made is given a cache of its own.
    return property(lambda engine: shared.setdefault(type(engine.dialect), Compiled()), lambda _engine, _own: None)
