"""Exports: all that matches, page by page; nothing in a cell is carried out by a spreadsheet."""

import csv
import io
import json
from typing import Any

import httpx
import pytest

from service.dashboard.jobs import export
from service.ledger.ledger import Ledger
from service.ledger.states import State
from tests.service.api.driving import get, job_in, post

FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\uff1d1")


async def test_all_that_match_are_exported_whatever_the_size_of_a_page(
    browser: httpx.AsyncClient, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_AT_ONCE", 2)
    made = [(await post(browser, subject=f"s{number}", tags=["a", "b"]))["id"] for number in range(5)]
    failed = await job_in(browser, ledger, State.FAILED)
    lines = (await browser.get("/jobs/export.jsonl?kind=update_stats&state=queued")).text.splitlines()
    assert [json.loads(line)["id"] for line in lines] == made[::-1]
    shown = await get(browser, made[-1])
    assert json.loads(lines[0]).items() <= {**shown, "waiting_for": None}.items()
    answer = await browser.get("/jobs/export.csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="jobs.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["id"] for row in rows] == [failed["id"], *made[::-1]]
    assert rows[0]["error_message"] == "no luck"
    assert rows[1]["tags"] == "a b"
    assert json.loads(rows[1]["args"])["subject"] == "s4"


@pytest.mark.parametrize("text", FORMULAS)
def test_a_cell_is_never_a_formula(text: str) -> None:
    row: Any = {"error_message": text, "priority": -5}
    assert export.cell_of(row, "error_message") == f"'{text}"
    assert export.cell_of(row, "priority") == -5
