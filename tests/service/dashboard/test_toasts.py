"""What an action did is shown once, on the page that the user returns to; nobody can make it say something else."""

import json
from base64 import urlsafe_b64encode

import pytest
from fastapi import Request, Response

from service.dashboard import toasts
from service.dashboard.toasts import Toast, is_ours, way_back


def request(*, cookie: str = "", referer: str = "") -> Request:
    headers = [(b"cookie", f"postlude_toast={cookie}".encode()), (b"referer", referer.encode())]
    return Request({"type": "http", "headers": headers})


def carried(toast: Toast, root: str = "") -> str:
    """Return the cookie by which a browser brings a toast along."""
    return toasts.keep(toast, root, Response()).headers["set-cookie"]


def value_of(cookie: str) -> str:
    return cookie.partition("=")[2].partition(";")[0].strip('"')


def test_a_browser_brings_it_along() -> None:
    toast = Toast("It is done.", "Really “so”.", ("Open", "/jobs/1"), "wrong")
    cookie = carried(toast, "/postlude")
    assert toasts.of(request(cookie=value_of(cookie))) == toast
    assert all(part in cookie for part in ("HttpOnly", "SameSite=strict", "Path=/postlude", "Max-Age=30"))


def test_a_long_detail_still_fits_into_a_cookie() -> None:
    assert len(carried(Toast("No", "ü" * 100_000))) < 4_096


@pytest.mark.parametrize("cookie", ["", "no base 64", "e30=", urlsafe_b64encode(b"[1]").decode(), "eyJ3b3JkcyI6"])
def test_what_is_not_ours_is_nothing(cookie: str) -> None:
    assert toasts.of(request(cookie=cookie)) is None


def test_it_leads_nowhere_else() -> None:
    parts = Toast("Look here", None, ("Open", "https://evil.example")).parts
    told = toasts.of(request(cookie=urlsafe_b64encode(json.dumps(parts).encode()).decode()))
    assert told == Toast("Look here")
    assert [is_ours(one) for one in ("/jobs", "//evil.example", "/\\evil.example", "jobs", "")] == [True] + [False] * 4
    # Browsers drop these, wherever they are.
    assert not any(is_ours(f"/{one}/evil.example") for one in "\t\r\n")


def test_one_goes_back_to_the_page_that_the_form_was_on() -> None:
    assert way_back(request(referer="http://here/postlude/jobs?state=failed"), "/postlude") == "/jobs?state=failed"
    assert way_back(request(referer="http://here/postlude"), "/postlude") == "/"
    assert way_back(request(referer="http://here//evil.example"), "") == "/"
    assert way_back(request(), "") == "/"
