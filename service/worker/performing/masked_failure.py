"""Failures are recorded without the secrets of the args, whatever code has put them into the error."""

from dataclasses import replace
from typing import Any

import structlog

from jobs import Kind
from service import logs
from service.ledger.models import Finish
from service.worker.performing.failure import type_name
from service.worker.performing.redaction import Redaction

log = structlog.get_logger(__name__)

_HIDDEN = "(not told: what is secret in it could not be found)"


def without_secrets(finish: Finish, kind: Kind[Any, Any], args: str) -> Finish:
    """Return the finish without secrets of `args` in the failure's message and traceback. Never raises."""
    failure = finish.failure
    if failure is None or not kind.has_secrets:
        return finish
    try:
        mask = Redaction(kind, args)
        trace = None if failure.traceback is None else mask(failure.traceback)
        masked = replace(failure, message=mask(failure.message, is_cut=True), traceback=trace)
    except Exception as error:  # noqa: BLE001 - an author's model says what is secret
        logs.surely(log.warning, "failure_not_masked", job_id=finish.id, error=type_name(error))
        masked = replace(failure, message=_HIDDEN, traceback=None)
    return finish._replace(failure=masked)
