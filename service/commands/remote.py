"""The service, as the commands call it. Every refusal raises `Refusal` with a sentence."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any, Self
from urllib.parse import quote, urlsplit

import httpx
from httpx_sse import ServerSentEvent, SSEError, connect_sse
from pydantic import BaseModel

from service.commands import answers
from service.commands.answers import checked
from service.commands.flow_text import Flow
from service.commands.lane_text import Lane
from service.commands.operation_text import Operation
from service.commands.refusals import advice_on, reason_of
from service.commands.schedule_text import Schedule
from service.commands.text import Job, address, one_line
from service.commands.worker_text import Worker

_ANSWERS_WITHIN_S = 30.0
_PAGE = 200
_MOST_LABELS = 500  # the API lists no more; each has a dot


class Refusal(Exception):
    """The service did not do what was asked; the message says why."""


class Unreachable(Refusal):
    """Nobody answers; a later call may be answered."""


class Remote:
    """A Postlude at `url`; close it, or use `with`.

    `holds_later`: a change was recorded but has not reached Redis, or part of a flow is left to change.
    """

    def __init__(self, url: str, key: str | None) -> None:
        self.holds_later = False
        self._url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            # No proxy from the environment is used for this machine.
            self._http = httpx.Client(headers=headers, timeout=_ANSWERS_WITHIN_S, trust_env=not _is_here(url))
        except (ValueError, ImportError, OSError) as error:
            raise Refusal(f"a proxy or a certificate from the environment cannot be used: {one_line(error)}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, job_id: str) -> Job:
        return self._ask(answers.Job, "GET", _path_of("jobs", job_id))

    def cancel(self, job_id: str) -> Job:
        return self._ask(answers.Job, "POST", f"{_path_of('jobs', job_id)}/cancel")

    def replay(self, job_id: str) -> Job:
        return self._ask(answers.Job, "POST", f"{_path_of('jobs', job_id)}/replay")

    def change(self, job_id: str, changes: Mapping[str, Any]) -> Job:
        return self._ask(answers.Job, "PATCH", _path_of("jobs", job_id), json=changes)

    def run_now(self, job_id: str) -> Job:
        return self._ask(answers.Job, "POST", f"{_path_of('jobs', job_id)}/run-now")

    def replay_matching(self, chosen: Mapping[str, Any], *, dry_run: bool) -> Iterator[Job]:
        """Replay all jobs that match; yield what each request did."""
        place: dict[str, str] = {}
        while True:
            done = self._ask(
                answers.Replayed, "POST", "/v1/jobs/replay", json={"filter": chosen, "dry_run": dry_run, **place}
            )
            yield done
            if (cursor := done.get("next_cursor")) is None:
                return
            place = {"cursor": cursor}

    def pages(self, chosen: Mapping[str, Any], limit: int | None) -> Iterator[Job]:
        """Yield the list page by page, up to `limit` jobs; None for all."""
        return self._pages("jobs", answers.Page, chosen, limit)

    def unknown_of(self, kinds: Iterable[str]) -> list[str]:
        """Return the names that are neither a kind nor a label."""
        if not kinds:
            return []
        known = self._ask(answers.Kinds, "GET", "/v1/kinds")
        labels = known.get("labels", ())
        names = {one["name"] for one in (*known["kinds"], *labels)}
        is_whole = len(labels) < _MOST_LABELS
        return [kind for kind in kinds if kind not in names and (is_whole or "." not in kind)]

    def lanes(self, chosen: Mapping[str, Any], limit: int | None) -> Iterator[Lane]:
        """Yield the list of lanes page by page, up to `limit`; None for all."""
        return self._pages("lanes", answers.LanePage, chosen, limit)

    def lane(self, key: str) -> Lane:
        return self._ask(answers.Lane, "GET", _path_of("lanes", key))

    def set_lane(self, key: str, changes: Mapping[str, Any]) -> Lane:
        return self._ask(answers.Lane, "PUT", _path_of("lanes", key), json=changes)

    def pause(self, key: str, for_s: float | None) -> Lane:
        """Pause a lane, a pattern, `kind:<name>` or `queue:<name>`."""
        body = {} if for_s is None else {"json": {"for": for_s}}
        return self._paused(key, "pause", **body)

    def resume(self, key: str) -> Lane:
        return self._paused(key, "resume")

    def _paused(self, key: str, action: str, **body: Any) -> Lane:
        sort, _, name = key.partition(":")
        members = {"kind": "kinds", "queue": "queues"}.get(sort, "lanes")
        path = _path_of(members, key if members == "lanes" else name)
        return {"key": key} | self._ask(answers.Pausable, "POST", f"{path}/{action}", **body)

    def delete_lane(self, key: str) -> Lane:
        self._delete("lanes", key)
        return {"key": key}

    def start_operation(self, wanted: Mapping[str, Any]) -> Operation:
        return self._ask(answers.Operation, "POST", "/v1/operations", json=wanted)

    def operation(self, operation_id: str) -> Operation:
        return self._ask(answers.Operation, "GET", _path_of("operations", operation_id))

    def stop_operation(self, operation_id: str) -> Operation:
        return self._ask(answers.Operation, "POST", f"{_path_of('operations', operation_id)}/stop")

    def set_rate(self, operation_id: str, rate: float | None) -> Operation:
        return self._ask(answers.Operation, "PATCH", _path_of("operations", operation_id), json={"rate": rate})

    def operations(self, limit: int | None) -> Iterator[Operation]:
        """Yield the list of operations page by page, up to `limit`; None for all."""
        return self._pages("operations", answers.OperationPage, {}, limit)

    def flows(self, limit: int | None) -> Iterator[Flow]:
        """Yield the list of flows page by page, up to `limit`; None for all."""
        return self._pages("flows", answers.FlowPage, {}, limit)

    def flow(self, flow_id: str) -> Flow:
        """Return a flow with all of its jobs."""
        flow = self._ask(answers.Flow, "GET", _path_of("flows", flow_id))
        while (cursor := flow["next_cursor"]) is not None:
            following = self._ask(answers.Flow, "GET", _path_of("flows", flow_id), params={"cursor": cursor})
            flow = following | {"jobs": flow["jobs"] + following["jobs"]}
        return flow

    def state_of_flow(self, flow_id: str) -> str:
        return str(self._ask(answers.Flow, "GET", _path_of("flows", flow_id), params={"limit": 1})["state"])

    def cancel_flow(self, flow_id: str) -> Flow:
        return self._act_on_flow(flow_id, "cancel")

    def replay_flow(self, flow_id: str) -> Flow:
        return self._act_on_flow(flow_id, "replay")

    def _act_on_flow(self, flow_id: str, action: str) -> Flow:
        """Act on a flow until the whole flow is done: one request does what it can in some seconds."""
        while True:
            self.holds_later = False
            flow = self._ask(answers.Flow, "POST", f"{_path_of('flows', flow_id)}/{action}")
            if not self.holds_later:
                return flow

    def workers(self) -> Iterator[dict[str, Any]]:
        """Yield the list of workers, which is one page."""
        yield self._ask(answers.Workers, "GET", "/v1/workers") | {"next_cursor": None}

    def worker(self, worker_id: str) -> Worker:
        return self._ask(answers.Worker, "GET", _path_of("workers", worker_id))

    def act_on_worker(self, worker_id: str, action: str) -> Worker:
        """Drain or forget a worker."""
        return self._ask(answers.Worker, "POST", f"{_path_of('workers', worker_id)}/{action}")

    def schedules(self, limit: int | None) -> Iterator[Schedule]:
        """Yield the list of schedules page by page, up to `limit`; None for all."""
        return self._pages("schedules", answers.SchedulePage, {}, limit)

    def schedule(self, name: str) -> Schedule:
        return self._ask(answers.Schedule, "GET", _path_of("schedules", name))

    def set_schedule(self, name: str, wanted: Mapping[str, Any]) -> Schedule:
        return self._ask(answers.Schedule, "PUT", _path_of("schedules", name), json=wanted)

    def pause_schedule(self, name: str, reason: str | None) -> Schedule:
        said = {} if reason is None else {"reason": reason}
        return self._ask(answers.Schedule, "POST", f"{_path_of('schedules', name)}/pause", json=said)

    def act_on_schedule(self, name: str, action: str) -> Schedule:
        """Resume or run a schedule."""
        return self._ask(answers.Schedule, "POST", f"{_path_of('schedules', name)}/{action}")

    def delete_schedule(self, name: str) -> Schedule:
        self._delete("schedules", name)
        return {"name": name}

    def next_ticks(self, name: str, count: int) -> list[str]:
        path = f"{_path_of('schedules', name)}/next"
        return list(self._ask(answers.NextTicks, "GET", path, params={"count": count})["next"])

    def ticks(self, name: str, limit: int | None) -> Iterator[dict[str, Any]]:
        """Yield the history of a schedule page by page, up to `limit` ticks; None for all."""
        return self._pages("ticks", answers.TickPage, {}, limit, path=f"{_path_of('schedules', name)}/ticks")

    def _delete(self, members: str, name: str) -> None:
        with self._refusals():
            answer = self._http.delete(f"{self._url}{_path_of(members, name)}")
            if answer.status_code != 204:
                raise Refusal(reason_of(answer))

    def _pages(
        self,
        members: str,
        shape: type[BaseModel],
        chosen: Mapping[str, Any],
        limit: int | None,
        path: str | None = None,
    ) -> Iterator[dict[str, Any]]:
        cursor, left = chosen.get("cursor"), limit
        while left is None or left > 0:
            size = _PAGE if left is None else min(left, _PAGE)
            place = {"cursor": cursor} if cursor else {}
            page = self._ask(shape, "GET", path or f"/v1/{members}", params={**chosen, "limit": size} | place)
            yield page
            left = None if left is None else left - len(page[members])
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def events(self, job_id: str, after: str | None) -> Iterator[tuple[ServerSentEvent, Job]]:
        """Yield a job's events as they happen, each with its content, from the one after `after`.

        Raises `Unreachable` when the connection breaks.
        """
        url = f"{self._url}{_path_of('jobs', job_id)}/events"
        headers = {"Last-Event-ID": after} if after else {}
        with self._refusals(), connect_sse(self._http, "GET", url, headers=headers) as source:
            if source.response.status_code == 204:
                return
            if source.response.is_error:
                source.response.read()
                raise Refusal(reason_of(source.response))
            for event in source.iter_sse():
                yield event, checked(answers.Event, event.json())

    def _ask(self, shape: type[BaseModel], method: str, path: str, **content: Any) -> Job:
        if "json" in content:
            content |= {"content": _written(content.pop("json")), "headers": {"Content-Type": "application/json"}}
        with self._refusals():
            answer = self._http.request(method, f"{self._url}{path}", **content)
            if not answer.is_success:
                raise Refusal(reason_of(answer))
            self.holds_later |= answer.status_code == HTTPStatus.ACCEPTED
            return checked(shape, answer.json())

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except (ValueError, TypeError, RecursionError, SSEError, httpx.DecodingError, httpx.InvalidURL) as error:
            where = address(self._url)
            raise Refusal(f"what answers at {where} is not Postlude's API. Check --url or POSTLUDE_URL.") from error
        except httpx.TransportError as error:
            reason = one_line(error) or type(error).__name__
            raise Unreachable(
                f"nobody answers at {address(self._url)} ({reason}). {advice_on(self._url, error)} "
                "Name another address with --url or POSTLUDE_URL."
            ) from error


def _written(wanted: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(wanted, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise Refusal(f"the request cannot be written as JSON: {one_line(error)}.") from error


def _path_of(members: str, name: str) -> str:
    return f"/v1/{members}/{quote(name, safe='', errors='surrogateescape')}"


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
