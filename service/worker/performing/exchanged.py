"""What an attempt sent and received, as it is kept with an unsuccessful attempt."""

from typing import Any

import structlog
from pydantic_core import to_json

from jobs import Kind
from service import logs
from service.ledger.models import Finish
from service.ledger.states import SUCCESS
from service.performing import Performing
from service.worker.performing.failure import type_name
from service.worker.performing.redaction import Redaction

log = structlog.get_logger(__name__)


def with_exchange(finish: Finish, attempt: Performing, kind: Kind[Any, Any]) -> Finish:
    """Return the finish with the attempt's last exchange, if there was one and it has not succeeded. Never raises."""
    if attempt.exchange is None or finish.outcome is SUCCESS:
        return finish
    try:
        told = to_json(attempt.exchange.told(Redaction(kind, attempt.args))).decode()
    except Exception as error:  # noqa: BLE001 - whatever was sent or received, the attempt must end
        logs.surely(log.warning, "exchange_not_told", error=type_name(error), **attempt.names)
        return finish
    return finish._replace(exchange=told)
