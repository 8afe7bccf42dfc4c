"""Logs that there is no service."""

import logging
import sys
from functools import cache

logger = logging.getLogger("postlude")


@cache
def say_that_entries_are_logged_here() -> None:
    """Say so once, as for tasks."""
    logger.log(
        logging.INFO if "pytest" in sys.modules else logging.ERROR,
        "POSTLUDE_URL is not set: entries of the audit log go to the logger postlude.audit of this process, at level"
        " INFO. With POSTLUDE_REQUIRED=1, the app does not start so.",
    )


@cache
def say_that_tasks_run_here() -> None:
    """Say so once, both to people who are moving an app and to people who forgot the setting in production."""
    logger.log(
        logging.INFO if "pytest" in sys.modules else logging.ERROR,
        "POSTLUDE_URL is not set: background tasks run in this process, as FastAPI's own do, and are lost when they"
        " fail or it stops. With POSTLUDE_REQUIRED=1, the app does not start so.",
    )
