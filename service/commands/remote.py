"""The service, as the commands call it. Every refusal raises `Refusal` with a sentence."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any, Self
from urllib.parse import quote, urlsplit

import httpx
from httpx_sse import ServerSentEvent, SSEError, connect_sse
from pydantic import BaseModel

from service.commands import answers
from service.commands.answers import checked
from service.commands.text import Job, one_line

_ANSWERS_WITHIN_S = 30.0
_PAGE = 200


class Refusal(Exception):
    """The service did not do what was asked; the message says why."""


class Unreachable(Refusal):
    """Nobody answers; a later call may be answered."""


class Remote:
    """A Postlude at `url`; close it, or use `with`."""

    def __init__(self, url: str, key: str | None) -> None:
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
        return self._ask(answers.Job, "GET", _path_of(job_id))

    def cancel(self, job_id: str) -> Job:
        return self._ask(answers.Job, "POST", f"{_path_of(job_id)}/cancel")

    def replay(self, job_id: str) -> Job:
        return self._ask(answers.Job, "POST", f"{_path_of(job_id)}/replay")

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
        cursor, left = chosen.get("cursor"), limit
        while left is None or left > 0:
            size = _PAGE if left is None else min(left, _PAGE)
            page = self._ask(
                answers.Page,
                "GET",
                "/v1/jobs",
                params={**chosen, "limit": size} | ({"cursor": cursor} if cursor else {}),
            )
            yield page
            left = None if left is None else left - len(page["jobs"])
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def events(self, job_id: str, after: str | None) -> Iterator[tuple[ServerSentEvent, Job]]:
        """Yield a job's events as they happen, each with its content, from the one after `after`.

        Raises `Unreachable` when the connection breaks.
        """
        url = f"{self._url}{_path_of(job_id)}/events"
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
            return checked(shape, answer.json())

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except (ValueError, TypeError, RecursionError, SSEError, httpx.DecodingError, httpx.InvalidURL) as error:
            raise Refusal(f"what answers at {self._url} is not Postlude's API. Check --url or POSTLUDE_URL.") from error
        except httpx.TransportError as error:
            reason = one_line(error) or type(error).__name__
            raise Unreachable(
                f"nobody answers at {self._url} ({reason}). Is Postlude running there? "
                "Name another address with --url or POSTLUDE_URL."
            ) from error


def _reason(answer: httpx.Response) -> str:
    """Return what a problem document says or, without one, what the status says."""
    if answer.headers.get("content-type", "").partition(";")[0] != "application/problem+json":
        where = answer.headers.get("location")
        leads = f", and leads to {one_line(where)}" if where else ""
        return f"{one_line(answer.request.url)} answered {answer.status_code}{leads}. Check --url or POSTLUDE_URL."
    problem = checked(answers.Problem, answer.json())
    said = [problem.get("detail") or problem.get("title")]
    said += [f"{'.'.join(map(str, one.get('loc', [])))}: {one.get('msg')}" for one in problem.get("errors") or []]
    if answer.status_code == 401:
        said.append("From here: --key or POSTLUDE_API_KEY.")
    return one_line(" ".join(filter(None, said)))


def _path_of(job_id: str) -> str:
    return f"/v1/jobs/{quote(job_id, safe='', errors='surrogateescape')}"


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
