"""Reads the answers. Nothing here sends anything."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from postlude import models, strangers
from postlude.errors import PostludeError
from postlude.problems import TYPE, problem_of

Shape = TypeVar("Shape", bound=models.Shown)


class Answer(NamedTuple):
    """One answer. Header names are in lower case; `url` is the URL of the request."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    url: str
    asked_before: bool = False
    """Whether the same request was sent before, and may have arrived then."""

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    @property
    def media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


def read(answer: Answer, shape: type[Shape]) -> Shape:
    """Read an answer's content. Raises its `Problem`, or `NotPostlude`."""
    check(answer)
    try:
        return shape.model_validate_json(answer.content)
    except ValidationError as error:
        raise strangers.stranger(answer) from error


def read_job(answer: Answer) -> models.Job:
    return read(answer, models.Job)


def read_ids(answer: Answer) -> list[str]:
    """Read the ids of the jobs of a batch, in the order of the request."""
    return [job.id for job in read(answer, models.EnqueuedJobs).jobs]


def check(answer: Answer) -> None:
    """Raise the error of an answer that is not a success."""
    if not answer.is_success:
        raise refusal(answer)


def refusal(answer: Answer) -> PostludeError:
    """Return the service's problem or, if something else answered, the error that says so."""
    problem = _problem_in(answer)
    return strangers.refusal(answer) if problem is None else problem_of(problem)


def _problem_in(answer: Answer) -> Mapping[str, Any] | None:
    if answer.media_type != "application/problem+json":
        return None
    try:
        problem = json.loads(answer.content)
    except ValueError:
        return None
    is_ours = isinstance(problem, dict) and str(problem.get("type")).startswith(TYPE)
    return {**problem, "status": answer.status} if is_ours else None
