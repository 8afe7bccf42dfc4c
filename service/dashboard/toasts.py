"""Toasts: what an action did, shown on the page that the caller is on or returns to."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from fastapi import Request, Response

_COOKIE = "postlude_toast"
_KEPT_S = 30
_LONGEST_WORDS, _LONGEST_DETAIL = 150, 350  # a cookie holds 4 KiB


@dataclass(frozen=True, slots=True)
class Toast:
    """`link` is a label and a path; `tone` is fine, warning or wrong."""

    words: str
    detail: str | None = None
    link: tuple[str, str] | None = None
    tone: str = "fine"

    @property
    def parts(self) -> dict[str, Any]:
        """What the template's macro takes."""
        return {"words": self.words, "detail": self.detail, "link": self.link, "tone": self.tone}


def keep(toast: Toast, root: str, answer: Response) -> Response:
    """Let the next page show `toast`."""
    detail = toast.detail and toast.detail[:_LONGEST_DETAIL]
    parts = toast.parts | {"words": toast.words[:_LONGEST_WORDS], "detail": detail}
    text = urlsafe_b64encode(json.dumps(parts, ensure_ascii=False).encode()).decode()
    answer.set_cookie(_COOKIE, text, max_age=_KEPT_S, path=root or "/", httponly=True, samesite="strict")
    return answer


def of(request: Request) -> Toast | None:
    """Return the toast in the caller's cookie; None if it is broken."""
    text = request.cookies.get(_COOKIE)
    if text is None:
        return None
    try:
        parts = json.loads(urlsafe_b64decode(text))
        label, path = parts["link"] or ("", "/")
        link = (str(label), str(path)) if parts["link"] and is_ours(path) else None
        detail = None if parts["detail"] is None else str(parts["detail"])
        return Toast(str(parts["words"]), detail, link, "wrong" if parts["tone"] == "wrong" else "fine")
    except (ValueError, KeyError, TypeError):
        return None


def forget(answer: Response, root: str) -> None:
    answer.delete_cookie(_COOKIE, path=root or "/", httponly=True, samesite="strict")


def is_ours(path: str) -> bool:
    """Whether a browser would take `path` for one of this site: it drops tabs and line breaks, and turns `\\`."""
    return path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()


def way_back(request: Request, root: str) -> str:
    """Return the path, below the prefix, of the page that a form was sent from."""
    parts = urlsplit(request.headers.get("referer", ""))
    path = parts.path.removeprefix(root) or "/"
    if not is_ours(path):
        return "/"
    return f"{path}?{parts.query}" if parts.query else path
