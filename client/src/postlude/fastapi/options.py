"""What `@task` says about a function, as options of a job."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from pydantic_core import to_json

from postlude.calling.call import Call
from postlude.policy import policy_of

LONGEST_KEY = 255
"""The longest unique key that the service takes."""


def options_of(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], call: Call
) -> dict[str, Any]:
    policy = policy_of(function)
    if policy is None:
        return {}
    if policy.unique is False:
        return dict(policy.options)
    same = _digest(to_json(call.arguments)) if policy.unique is True else str(policy.unique(*args, **kwargs))
    return {**policy.options, "unique_key": f"{call.function}:{same}"}


def within(app: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Make the unique key apply only in this app: others may have functions of the same name."""
    if "unique_key" not in options:
        return dict(options)
    key = f"{app}.{options['unique_key']}"
    return {**options, "unique_key": key if len(key) <= LONGEST_KEY else _digest(key.encode())}


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()
