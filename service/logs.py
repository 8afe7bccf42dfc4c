"""Structured logs: JSON in production, readable text in development. They never contain secret args, whoever logs."""

import contextlib
import json
import logging
import sys
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Literal

import structlog

from service.performing import performing


def _add_performing(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    attempt = performing.get()
    return event if attempt is None else {**attempt.names, **event}


_SHARED: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    _add_performing,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
    structlog.processors.UnicodeDecoder(),
]
# At INFO, these libraries write a line for each request or connection.
_CHATTY = (
    "httpx",
    "httpcore",
    "aiosqlite",
    "asyncio",
    "alembic",
    "mail.log",
    "uvicorn.access",
    "service.ledger.shrinking_pool",
)


def configure(level: str, form: Literal["json", "console"]) -> None:
    """Send all logs of this process and its libraries to stderr in one form."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(form))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def surely(say: Callable[..., None], event: str, **names: Any) -> None:
    """Log without ever raising, while the end of an attempt is recorded.

    Only an author's own handler or processor can fail here, and there is nobody to tell.
    """
    with contextlib.suppress(Exception):
        say(event, **names)


def mute_arq() -> None:
    """Remove the handler that arq's CLI installs, and its chatter: at INFO, arq's own class logs a job's args."""
    arq = logging.getLogger("arq")
    arq.handlers = []
    arq.setLevel(logging.WARNING)


class _WithoutSecrets(structlog.stdlib.ProcessorFormatter):
    """Takes the secrets of an attempt's args out of everything logged while it runs."""

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        attempt = performing.get()
        if attempt is None or attempt.mask is None:
            return line
        try:
            return attempt.mask(line)
        except Exception:  # noqa: BLE001 - an author's model says what is secret; logging here would print the line
            return json.dumps({"event": "line_not_told", "level": record.levelname.lower(), **attempt.names})


def _formatter(form: str) -> logging.Formatter:
    # Tracebacks without local variables, which structlog shows by default: they hold args and secrets.
    if form == "json":
        tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        final: list[structlog.typing.Processor] = [
            structlog.processors.ExceptionRenderer(tracebacks),
            structlog.processors.JSONRenderer(),
        ]
    else:
        plain = structlog.dev.plain_traceback
        final = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    return _WithoutSecrets(
        foreign_pre_chain=_SHARED,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
    )
