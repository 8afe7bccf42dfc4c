"""The search box leads to a job by its id, and else to the jobs that hold the text."""

import httpx
import pytest

JOB = "01a2104c-d790-75bf-87c6-94bfb6b5c778"


@pytest.mark.parametrize(
    ("text", "leads_to"),
    [
        (JOB, f"/jobs/{JOB}"),
        (f"  {JOB.upper()} ", f"/jobs/{JOB}"),
        (JOB.replace("-", ""), f"/jobs/{JOB}"),
        ("order 84120", "/jobs?q=order+84120"),
        ("//evil.example", "/jobs?q=%2F%2Fevil.example"),
        ("", "/jobs"),
    ],
)
async def test_it_leads_there(browser: httpx.AsyncClient, text: str, leads_to: str) -> None:
    answer = await browser.get("/find", params={"q": text})
    assert (answer.status_code, answer.headers["location"]) == (303, leads_to)
