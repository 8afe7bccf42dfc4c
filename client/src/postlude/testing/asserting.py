"""`assert_enqueued` and `refute_enqueued`."""

from difflib import get_close_matches
from typing import Any

from postlude.testing.comparing import equal
from postlude.testing.watching import Enqueued, enqueued


def assert_enqueued(name: str, /, **arguments: Any) -> Enqueued:
    """Return the first job of this name with these arguments, and perhaps more. Fails if there is none.

    The name is a kind's or a function's: `send_welcome` or, if there are several, `mail.send_welcome`.
    """
    __tracebackhide__ = True
    seen = enqueued()
    for job in seen:
        if is_called(job, name) and not _differences(job, arguments):
            return job
    raise AssertionError(f"{_wanted(name, arguments)} was not enqueued. {_instead(name, arguments, seen)}")


def refute_enqueued(name: str, /, **arguments: Any) -> None:
    """Fail if a job of this name with these arguments was enqueued."""
    __tracebackhide__ = True
    found = [job for job in enqueued() if is_called(job, name) and not _differences(job, arguments)]
    if found:
        raise AssertionError(f"{_wanted(name, arguments)} was enqueued, and should not have been:\n{_listed(found)}")


def is_called(job: Enqueued, name: str) -> bool:
    """Whether the name is the job's, or the end of it."""
    return job.name == name or job.name.endswith(f".{name}")


def _differences(job: Enqueued, arguments: dict[str, Any]) -> list[str]:
    return [_difference(job, name, value) for name, value in arguments.items() if not _has(job, name, value)]


def _has(job: Enqueued, name: str, value: Any) -> bool:
    return name in job.arguments and equal(job.arguments[name], value)


def _difference(job: Enqueued, name: str, value: Any) -> str:
    if name in job.arguments:
        return f"{name} is {job.arguments[name]!r}, not {value!r}"
    return f"it has no {name}"


def _instead(name: str, arguments: dict[str, Any], seen: list[Enqueued]) -> str:
    if not seen:
        return "Nothing was."
    if namesakes := [job for job in seen if is_called(job, name)]:
        lines = [f"  {job!r}: {', '.join(_differences(job, arguments))}" for job in namesakes]
        return "\n".join(["It was, with other arguments:", *lines])
    names = {job.name.rpartition(".")[2] for job in seen}
    close = get_close_matches(name.rpartition(".")[2], names, n=1)
    meant = f"Did you mean {close[0]!r}? " if close else ""
    return f"{meant}What was:\n{_listed(seen)}"


def _wanted(name: str, arguments: dict[str, Any]) -> str:
    given = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    return f"{name}({given})" if given else name


def _listed(jobs: list[Enqueued]) -> str:
    return "\n".join(f"  {job!r}" for job in jobs)
