"""Drives the pages of jobs as a browser does, over HTTP."""

from typing import Any

import httpx

from tests.support.html import Html


async def html(browser: httpx.AsyncClient, path: str, *, status: int = 200, **params: Any) -> Html:
    answer = await browser.get(path, params=params or None, headers={"accept": "text/html"})
    assert answer.status_code == status, answer.text
    return Html(answer.text)


async def act(browser: httpx.AsyncClient, path: str, *, status: int = 200, **fields: Any) -> str:
    """Send a form as a script does, with the token of the page; return what the toast says."""
    token = Html((await browser.get("/jobs")).text).one("body")["hx-headers"].split('"')[3]
    headers = {"hx-request": "true", "x-csrf-token": token}
    answer = await browser.post(path, data=fields, headers=headers)
    assert answer.status_code == status, answer.text
    return Html(answer.text).one("div", class_="toast").words
