"""`ctx.enqueue`: a job enqueues another one, if asked after other jobs and in its own flow."""

from collections.abc import Mapping
from typing import Any, get_args
from uuid import UUID

from jobs.kit.outcomes import to_timedelta
from service.errors import Refused, located
from service.ledger.models import Callback, Event
from service.ledger.reads.jobs import flow_of
from service.ledger.states import RunWhen
from service.lifecycle.callbacks import Asked, callback_of, post_to
from service.lifecycle.lifecycle import Lifecycle
from service.options import Options, check
from service.own_retry import OwnRetry
from service.resources import Resources

_EVENTS: dict[str, Event] = {"on_success": "success", "on_failure": "failure", "on_end": "end"}
_FOLLOWING = ("after", "run_when", "flow", *_EVENTS)
_OF_URL = {"url", "secret", "headers"}
_OF_NO_CALLBACK = {"run_at", "unique_key", "unique_for", "on_conflict", "retry"}


class Enqueueing:
    """Enqueues for the attempts of one process."""

    def __init__(self, resources: Resources, lifecycle: Lifecycle) -> None:
        self._resources = resources
        self._lifecycle = lifecycle

    async def enqueue(self, by: str, kind: str, args: Any = None, **options: Any) -> str:
        """Enqueue a job for the job `by`; see `Context.enqueue`."""
        said = {name: options.pop(name) for name in _FOLLOWING if name in options}
        own_id = options.pop("id", None)
        wanted = _options(options)
        self._resources.check_queue(wanted.queue)
        following = await self._following(by, said) if said else {}
        if own_id is not None:
            following["id"] = _checked_id(own_id)
        return await self._lifecycle.enqueue_one(kind, args, wanted, **following)

    async def _following(self, by: str, said: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of a new job about other jobs. Raises `Refused`."""
        after, run_when, flow = said.get("after", ()), said.get("run_when", "succeeded"), said.get("flow")
        if isinstance(after, str) or not all(isinstance(one, str) for one in after):
            raise Refused("`after` is a list of ids of jobs.")
        if run_when not in get_args(RunWhen):
            raise Refused(f"`run_when` is one of {', '.join(get_args(RunWhen))}, not {run_when!r}.")
        return {
            "after": tuple(dict.fromkeys(after)),
            "run_when": run_when,
            "flow": await self._flow_of(by) if flow is True else flow or None,
            "callbacks": tuple(
                self._callback(name, event, said[name]) for name, event in _EVENTS.items() if said.get(name)
            ),
        }

    async def _flow_of(self, job_id: str) -> str | None:
        async with self._resources.ledger.read() as connection:
            return await flow_of(connection, job_id)

    def _callback(self, name: str, event: Event, said: Mapping[str, Any]) -> Callback:
        with located(name):
            return callback_of(event, _asked(said), self._resources.catalogue, self._resources.check_queue)


def _checked_id(job_id: str) -> str:
    """Return the id of a new job. Raises `Refused` if it does not sort by its time, as all ids do."""
    try:
        read = UUID(job_id)
    except ValueError:
        read = None
    if read is None or read.version != 7 or str(read) != job_id:
        raise Refused(f"The id of a job is a UUIDv7 in lower case, not {job_id!r}.")
    return job_id


def _asked(said: Mapping[str, Any]) -> Asked:
    """Read a callback in the words of the API. Raises `Refused`."""
    if "url" in said and said.keys() <= _OF_URL:
        return post_to(said["url"], said.get("secret"), said.get("headers"))
    if "kind" not in said or said.keys() & _OF_URL:
        raise Refused("A callback has a kind, with args and options, or else a url, with secret and headers.")
    if refused := said.keys() & _OF_NO_CALLBACK:
        raise Refused(f"A callback takes no {', '.join(sorted(refused))}.")
    options = {name: value for name, value in said.items() if name not in ("kind", "args")}
    wanted = _options(options)
    check(wanted)
    return Asked(said["kind"], said.get("args"), wanted)


def _options(said: Mapping[str, Any]) -> Options:
    """Read options from Python code, in which durations may be seconds. Raises `TypeError`."""
    options = dict(said) | {"tags": tuple(said.get("tags", ()))}
    for name in ("delay", "timeout", "expires_in", "unique_for"):
        if options.get(name) is not None:
            options[name] = to_timedelta(options[name])
    if (retry := options.get("retry")) is not None:
        options["retry"] = OwnRetry(**retry | ({"delays": tuple(retry["delays"])} if "delays" in retry else {}))
    return Options(**options)
