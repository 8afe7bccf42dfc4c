"""Rows become jobs of a kind, each batch once."""

from typing import Any

import pytest

from jobs.csv.columns import ColumnsDoNotFit
from jobs.csv.targets import TargetRefused
from service.errors import ArgsInvalid, KindUnknown
from service.imports.kind_target import job_id_for
from service.worker.performing.result import kept_result
from tests.service.imports.importing import JOB, Importer

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Died(BaseException):
    """Stands for `kill -9`."""


async def test_each_batch_becomes_one_job(desk: Importer) -> None:
    result = await desk.run(
        "id,day,when\n1,2024-01-02,x\n2,,\n3,2024-01-03,z\n", target="kind", types={"id": "integer", "day": "date"}
    )
    assert (result.rows, result.inserted, result.failed) == (3, 3, 0)
    first, second = desk.enqueued.values()
    assert first == (
        "take",
        {
            "rows": [{"id": 1, "day": "2024-01-02", "when": "x"}, {"id": 2, "day": None, "when": None}],
            "first": 1,
            "file": "f1",
        },
    )
    assert second[1]["first"] == 3
    assert list(desk.enqueued) == [job_id_for(JOB, 0), job_id_for(JOB, 2)]


@pytest.mark.parametrize("after", [True, False])
async def test_an_attempt_that_dies_beside_an_enqueue_leaves_each_row_in_one_job(
    desk: Importer, *, after: bool
) -> None:
    real = desk.enqueue

    async def dies(kind: str, args: Any, **options: Any) -> str:
        if args["first"] == 3:
            if after:
                await real(kind, args, **options)
            raise Died
        return await real(kind, args, **options)

    desk.enqueue = dies  # type: ignore[method-assign]
    content = "n\n" + "".join(f"a{number}\n" for number in range(7))
    with pytest.raises(Died):
        await desk.run(content, target="kind", batch_size=2)
    desk.enqueue = real  # type: ignore[method-assign]
    await desk.run(target="kind", batch_size=5, attempt=2)
    jobs = sorted((args["first"], [row["n"] for row in args["rows"]]) for _, args in desk.enqueued.values())
    assert [name for _, names in jobs for name in names] == [f"a{number}" for number in range(7)]
    assert [len(names) for _, names in jobs] == [2, 2, 3]


async def test_rows_that_the_kind_refuses_are_bad_and_the_others_become_jobs(desk: Importer) -> None:
    def refuse(args: Any) -> None:
        if any(row["n"] == "bad" for row in args["rows"]):
            raise ArgsInvalid("n may not be bad")

    desk.refuse = refuse
    result = await desk.run("n\na\nbad\nb\n", target="kind", batch_size=10)
    assert (result.inserted, result.failed) == (2, 1)
    assert desk.errors == [["3", "n may not be bad", "bad"]]


async def test_a_dry_run_of_a_wide_file_says_what_a_result_has_room_for(desk: Importer) -> None:
    names, cells = ",".join(f"{number:_>60}" for number in range(1_000)), ",".join(["x" * 500] * 1_000)
    result = await desk.run(f"{names}\n{cells}\n{cells}\n", target="kind", dry_run=True)
    kept_result(result.model_dump_json())
    assert (result.rows, len(result.detected.columns)) == (2, 1_000)
    result = await desk.run(f"a,b\n1,{'x' * 100_000}\n", target="kind", dry_run=True)
    assert result.first_rows[0]["a"] == "1"
    assert result.first_rows[0]["b"].endswith("xx…")
    with pytest.raises(ColumnsDoNotFit, match="a name of 300,000 characters"):
        await desk.run(f"{'n' * 300_000},b\n1,2\n", target="kind")


async def test_a_kind_that_there_is_not_ends_the_import(desk: Importer) -> None:
    def refuse(_args: Any) -> None:
        raise KindUnknown("There is no kind take")

    desk.refuse = refuse
    with pytest.raises(TargetRefused, match="no kind take"):
        await desk.run("n\na\n", target="kind")
