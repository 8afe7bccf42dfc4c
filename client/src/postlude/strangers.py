"""Explains answers that are not Postlude's: what was requested, what came back, and what to check."""

from __future__ import annotations

from typing import TYPE_CHECKING

from postlude.errors import NotPostlude, PostludeError, Unreachable

if TYPE_CHECKING:
    from postlude.answers import Answer

_CHECK = "Check POSTLUDE_URL, or the client's `url`."
_PATH = "If Postlude is behind a path, write that too, such as https://example.com/postlude."


def refusal(answer: Answer) -> PostludeError:
    """Return the error for a status that Postlude did not give itself."""
    url, status = answer.url, answer.status
    if 300 <= status < 400:
        where = answer.headers.get("location", "nowhere")
        return NotPostlude(f"{url} answers {status} and leads to {where}. Write the URL that it leads to. {_CHECK}")
    if status in (429, 502, 503, 504):
        return Unreachable(f"A proxy at {url} answers {status}: it does not reach Postlude, or may not. Is it running?")
    if status in (401, 403, 407):
        return NotPostlude(f"{url} answers {status}, and not as Postlude does: a proxy before it asks who you are.")
    if status == 413:
        return NotPostlude(f"A proxy at {url} takes no body of this size: let it take 32 MiB.")
    if status == 400 and url.startswith("http:"):
        return NotPostlude(f"{url} answers 400, and not as Postlude does. If it speaks TLS, write https://. {_CHECK}")
    if status in (404, 405):
        return NotPostlude(f"{url} answers {status}, and not as Postlude does. {_PATH} {_CHECK}")
    return stranger(answer)


def stranger(answer: Answer) -> NotPostlude:
    """Return the error for an answer that cannot be read."""
    sort = answer.media_type or "without a content type"
    begins = " ".join(answer.content[:80].decode("utf-8", "replace").split())
    return NotPostlude(
        f"What is at {answer.url} is not Postlude's API: it answers {answer.status} ({sort}), which begins"
        f" {begins!r}. {_CHECK}"
    )
