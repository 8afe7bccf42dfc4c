"""Reads the body of a batch or a flow job by job: it costs no more than its jobs, with one in memory at a time."""

import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from service.errors import MOST_ERRORS, ArgsInvalid, BodyMalformed, KindUnknown, QueueUnknown, placed
from service.requests.parsing import parse, refusal, refuse_nul
from service.requests.requests import MAX_BATCH, Form
from service.web.room import MIB

T = TypeVar("T")
# The same limit as for a job that is sent alone.
_LARGEST_JOB = MIB
# Pydantic reads 200 levels. A body that nests deeper is refused here, in the words that Pydantic would use.
_DEEPEST = 200
_JOB_DEPTH = 3
# 200 for each of 10,000 jobs, not counting small lists and objects. Each bracket takes a microsecond.
_MOST_BRACKETS = 2_000_000
# Text without brackets, then a bracket. Possessive, and matched from the last bracket on: linear for any input.
_PLAIN = rb'[^]["{}]++|"(?:[^"\\]++|\\.)*+(?:"|\Z)'
_TO_BRACKET = re.compile(rb"(?:%b)*+([][{}])" % _PLAIN, re.DOTALL)
# The same within a job, also skipping small lists and objects: a million of these would be a million matches.
_LEAF = rb"[\[{](?:%b)*+[]}]" % _PLAIN
_BRANCH = rb"[\[{](?:%b|%b)*+[]}]" % (_PLAIN, _LEAF)
_TO_BRACKET_IN_JOB = re.compile(rb"(?:%b|%b)*+([][{}])" % (_PLAIN, _BRANCH), re.DOTALL)


def parse_batch(form: Form, body: bytes, made: Callable[[Any, bytes], T]) -> tuple[Any, list[T]]:
    """Validate each job; return what surrounds them, and what `made` makes of each job and its part of the body.

    Raises what `parse` raises, with the first 100 errors.
    """
    refuse_nul(body)
    spans = list(_jobs_in(body, form))
    around = _around(form, body, spans)
    done: list[T] = []
    errors: list[dict[str, Any]] = []
    for number, (start, end) in enumerate(spans):
        try:
            wanted = parse(form.job, body[start:end], form.kinds)
            if not errors:
                done.append(made(wanted, body[start:end]))
        except BodyMalformed as error:
            raise BodyMalformed(f"Job {number} of the {form.noun}: {_without_place(error)}.") from None
        except QueueUnknown as error:
            raise QueueUnknown(error.detail, errors=placed(error, "jobs", number)) from error
        except (ArgsInvalid, KindUnknown) as error:
            errors += placed(error, "jobs", number)
            if len(errors) >= MOST_ERRORS:
                break
    if errors:
        raise refusal(errors[:MOST_ERRORS], form.kinds)
    return around, done


def _jobs_in(body: bytes, form: Form) -> Iterator[tuple[int, int]]:
    """Yield where each job begins and ends: the third level of brackets, in the list in the object."""
    depth, start, count, in_list = 0, 0, 0, False
    found = _TO_BRACKET.match(body)
    for _ in range(_MOST_BRACKETS):
        if found is None:
            return
        at = found.end()
        if depth >= _JOB_DEPTH and at - start > _LARGEST_JOB:
            raise ArgsInvalid(f"Job {count} of the {form.noun} is larger than {_LARGEST_JOB // MIB} MiB.")
        if found[1] in b"[{":
            depth += 1
            _check_depth(depth)
            in_list = found[1] == b"[" if depth == _JOB_DEPTH - 1 else in_list
            start = at - 1 if depth == _JOB_DEPTH else start
        else:
            if depth == _JOB_DEPTH and in_list:
                _check_count(count := count + 1, form)
                yield start, at
            depth -= 1
        found = (_TO_BRACKET_IN_JOB if depth >= _JOB_DEPTH else _TO_BRACKET).match(body, at)
    raise ArgsInvalid(f"The jobs of the {form.noun} contain too many nested lists and objects. Send fewer jobs.")


def _check_depth(depth: int) -> None:
    if depth > _DEEPEST:
        raise BodyMalformed(f"The body is not valid JSON: it nests deeper than {_DEEPEST} levels.")


def _check_count(count: int, form: Form) -> None:
    if count > MAX_BATCH:
        text = f"A {form.noun} may have at most {MAX_BATCH:,} jobs."
        raise ArgsInvalid(text, errors=[{"loc": ["jobs"], "msg": text, "type": "too_long"}])


def _around(form: Form, body: bytes, spans: list[tuple[int, int]]) -> Any:
    """Validate what surrounds the jobs, with each job left empty."""
    ends = [0, *(end for _, end in spans)]
    starts = [*(start for start, _ in spans), len(body)]
    around = b"{}".join(body[end:start] for end, start in zip(ends, starts, strict=True))
    try:
        parsed = parse(form.around, around, {})
    except BodyMalformed as error:
        raise BodyMalformed(f"{_without_place(error)}.") from None
    if len(parsed.jobs) != len(spans):
        raise BodyMalformed(f"The body is not valid JSON for a {form.noun}: it names `jobs` more than once.")
    return parsed


def _without_place(error: BodyMalformed) -> str:
    """Leave out line and column, which count from the start of only a part of the body."""
    return error.detail.partition(" at line ")[0].rstrip(".")
