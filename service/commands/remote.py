"""The service, as the commands call it. Every refusal raises `Refusal` with a sentence."""

from collections.abc import Iterator, Mapping
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
from service.commands.lane_text import Lane
from service.commands.text import Job, address, one_line

_ANSWERS_WITHIN_S = 30.0
_PAGE = 200


class Refusal(Exception):
    """The service did not do what was asked; the message says why."""


class Unreachable(Refusal):
    """Nobody answers; a later call may be answered."""


class Remote:
    """A Postlude at `url`; close it, or use `with`.

    `holds_later`: a change was recorded, but Redis has not heard of it.
    """

    def __init__(self, url: str, key: str | None) -> None:
        self.holds_later = False
        self._url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            # A proxy from the environment is not used for this machine.
            self._http = httpx.Client(headers=headers, timeout=_ANSWERS_WITHIN_S, trust_env=not _is_here(url))
        except (ValueError, ImportError, OSError) as error:
            raise Refusal(f"a proxy or a certificate of the environment cannot be used: {one_line(error)}") from error

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

    def replay_matching(self, chosen: Mapping[str, Any], *, dry_run: bool) -> Iterator[Job]:
        """Replay all that match; yield what each request did."""
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
        with self._refusals():
            answer = self._http.delete(f"{self._url}{_path_of('lanes', key)}")
            if answer.status_code != 204:
                raise Refusal(_reason(answer))
        return {"key": key}

    def _pages(
        self, members: str, shape: type[BaseModel], chosen: Mapping[str, Any], limit: int | None
    ) -> Iterator[dict[str, Any]]:
        cursor, left = chosen.get("cursor"), limit
        while left is None or left > 0:
            size = _PAGE if left is None else min(left, _PAGE)
            place = {"cursor": cursor} if cursor else {}
            page = self._ask(shape, "GET", f"/v1/{members}", params={**chosen, "limit": size} | place)
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
                raise Refusal(_reason(source.response))
            for event in source.iter_sse():
                yield event, checked(answers.Event, event.json())

    def _ask(self, shape: type[BaseModel], method: str, path: str, **content: Any) -> Job:
        with self._refusals():
            answer = self._http.request(method, f"{self._url}{path}", **content)
            if not answer.is_success:
                raise Refusal(_reason(answer))
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
                f"nobody answers at {address(self._url)} ({reason}). Is Postlude running there? "
                "Name another address with --url or POSTLUDE_URL."
            ) from error


def _reason(answer: httpx.Response) -> str:
    """Return what a problem document says or, without one, what the status says."""
    if answer.headers.get("content-type", "").partition(";")[0] != "application/problem+json":
        where = answer.headers.get("location")
        leads = f", and leads to {address(where)}" if where else ""
        return f"{address(answer.request.url)} answered {answer.status_code}{leads}. Check --url or POSTLUDE_URL."
    problem = checked(answers.Problem, answer.json())
    said = [problem.get("detail") or problem.get("title")]
    for one in problem.get("errors") or []:
        where = ".".join(map(str, one.get("loc", [])))
        said.append(f"{where}: {one.get('msg')}" if where else one.get("msg"))
    if answer.status_code == 401:
        said.append("From here: --key or POSTLUDE_API_KEY.")
    return one_line(" ".join(filter(None, said)))


def _path_of(members: str, name: str) -> str:
    return f"/v1/{members}/{quote(name, safe='', errors='surrogateescape')}"


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
