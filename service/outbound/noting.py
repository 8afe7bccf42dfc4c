"""What is noted about each request: for the attempt that sends it, and for the metrics of its process."""

import asyncio
from typing import Final

import httpx

from jobs.kit.http_errors import AddressRefused
from service import metrics
from service.exchange import HttpExchange, asking
from service.performing import performing

_BAD = 400
_BY_STATUS: Final = {hundred: metrics.outbound_requests.labels(f"{hundred}xx") for hundred in range(1, 6)}
_BY_ERROR: Final = {
    sort: metrics.outbound_requests.labels(sort) for sort in ("cancelled", "no_answer", "refused", "timeout")
}


def begin(request: httpx.Request) -> HttpExchange | None:
    """Note that an attempt is about to send a request; None outside of attempts."""
    attempt = performing.get()
    if attempt is None or attempt.is_over:
        return None
    exchange = HttpExchange(request)
    asking.set(exchange)
    if not (isinstance(attempt.exchange, HttpExchange) and attempt.exchange.went_wrong):
        attempt.exchange = exchange
    return exchange


def note_answer(exchange: HttpExchange | None, answer: httpx.Response) -> None:
    (_BY_STATUS.get(answer.status_code // 100) or _BY_ERROR["no_answer"]).inc()
    if exchange is not None:
        exchange.note_answer(answer)
        if answer.status_code >= _BAD:
            _prefer(exchange)


def note_failure(exchange: HttpExchange | None, error: BaseException) -> None:
    """Note that no answer came."""
    match error:
        case AddressRefused():
            sort = "refused"
        case httpx.TimeoutException():
            sort = "timeout"
        case asyncio.CancelledError():
            sort = "cancelled"
        case _:
            sort = "no_answer"
    _BY_ERROR[sort].inc()
    if exchange is not None:
        _prefer(exchange)


def _prefer(exchange: HttpExchange) -> None:
    """Keep this exchange, even if others began since or begin later: the attempt may fail because of it."""
    exchange.went_wrong = True
    attempt = performing.get()
    if attempt is not None and not attempt.is_over:
        attempt.exchange = exchange
