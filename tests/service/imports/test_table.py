"""Rows go into a table: each once; the errors of bad rows are reported."""

import asyncio
from typing import Any

import pytest

from jobs.csv.columns import ColumnsDoNotFit
from jobs.csv.kind import TooManyBadRows
from jobs.csv.lines import FileUnreadable
from jobs.csv.source import ImportChanged
from jobs.csv.targets import ImportTaken, TargetRefused, TargetUnknown
from tests.service.imports.importing import Importer

_FILE = """id;name;born;score;active;seen;email;more
1;Ann;2001-02-03;1.50;yes;2020-01-01T10:00:00+01:00;ann@example.com;x
2;Bö;;2;0;;bo@example.com;
x;Cid;;;;;;
4;Dan;2001-13-01;;;;;
5;Eve;;;;;ann@example.com;
6;;;;;;;
7;Fay
8;G\0;;;;;;
9;Hal;;;;;;;;;
"""


async def test_good_rows_go_in_and_bad_ones_are_told_with_their_lines(desk: Importer) -> None:
    result = await desk.run(_FILE.encode("cp1252"))
    assert (result.rows, result.inserted, result.updated, result.skipped, result.failed) == (9, 4, 0, 0, 5)
    assert [(one.line, one.reason.partition(":")[0].partition(" (")[0]) for one in result.first_errors][:2] == [
        (4, "id is not of type integer"),
        (5, "born is not of type date"),
    ]
    assert [row[0] for row in desk.errors] == ["4", "5", "6", "8", "9"]
    assert desk.errors[0][1:4] == ["id is not of type integer: 'x'", "x", "Cid"]
    assert "people" in desk.errors[2][1]
    assert "email" in desk.errors[2][1]
    assert desk.errors[3][1:] == ["has 2 columns, not 8", "7", "Fay"]
    assert desk.errors[4][1] == "has the character NUL"
    found = await desk.rows("SELECT id, name, CAST(born AS VARCHAR(10)), score, email FROM people ORDER BY id")
    assert [tuple(map(str, row)) for row in found] == [
        ("1", "Ann", "2001-02-03", "1.5" if desk.database.dialect == "sqlite" else "1.50", "ann@example.com"),
        ("2", "Bö", "None", "2" if desk.database.dialect == "sqlite" else "2.00", "bo@example.com"),
        ("6", "", "None", "None", "None"),
        ("9", "Hal", "None", "None", "None"),
    ]
    seen = await desk.rows("SELECT CAST(seen AS VARCHAR(19)) FROM people WHERE active")
    assert [moment[:19] for (moment,) in seen] == ["2020-01-01 09:00:00"]
    assert (result.detected.encoding, result.detected.delimiter, result.detected.header) == ("cp1252", ";", True)
    assert result.detected.ignored == ["more"]
    assert result.shortfall is not None


async def test_of_a_bad_row_no_more_cells_are_kept_than_a_file_may_have_columns(desk: Importer) -> None:
    await desk.run("number,name\n" + "x," * 100_000 + "\n", target="events")
    assert len(desk.errors[0]) == 2 + 1_000


async def test_the_ends_of_the_calendar_stay_days_and_moments(desk: Importer) -> None:
    await desk.execute("CREATE TABLE seen (born DATE PRIMARY KEY, at TIMESTAMP)")
    last = "9999-12-31,9999-12-31T23:59:59.999999\n"
    for job_id, inserted in (("one", 2), ("two", 0)):
        result = await desk.run(
            f"born,at\n0001-01-01,0001-01-01T00:00:00\n{last}",
            target="seen", on_conflict="skip", key=["born"], job_id=job_id,
        )  # fmt: skip
        assert (result.inserted, result.failed) == (inserted, 0)
    found = await desk.rows("SELECT CAST(born AS VARCHAR(10)), CAST(at AS VARCHAR(26)) FROM seen ORDER BY born")
    assert [(born, at[:19]) for born, at in found] == [
        ("0001-01-01", "0001-01-01 00:00:00"),
        ("9999-12-31", "9999-12-31 23:59:59"),
    ]


async def test_a_job_that_runs_again_changes_nothing(desk: Importer) -> None:
    first = await desk.run("number,name\n1,a\nx,b\n3,c\n", target="events")
    again = await desk.run(target="events", attempt=2)
    assert again == first
    assert await desk.rows("SELECT * FROM events") == [(1, "a"), (3, "c")]


async def test_rows_of_a_known_key_are_updated_or_skipped_and_the_last_one_wins(desk: Importer) -> None:
    await desk.execute("INSERT INTO people (id, name, email) VALUES (1, 'Ann', 'a@x'), (2, 'Bob', 'b@x')")
    rows = "id,name\n1,Anna\n9,Zoe\n9,Zoë\n1,Annie\n"
    skipped = await desk.run(rows, on_conflict="skip", job_id="one")
    assert (skipped.inserted, skipped.skipped, skipped.failed) == (1, 3, 0)
    updated = await desk.run(rows, on_conflict="update", job_id="two")
    assert (updated.inserted, updated.updated, updated.failed) == (0, 4, 0)
    by_mail = await desk.run(
        "email,name,id\nb@x,Bo,2\nc@x,Cid,3\na@x,X,2\n", on_conflict="update", key=["email"], job_id="3"
    )
    assert (by_mail.inserted, by_mail.updated, by_mail.failed) == (1, 1, 1)
    found = await desk.rows("SELECT id, name, email FROM people ORDER BY id")
    assert found == [(1, "Annie", "a@x"), (2, "Bo", "b@x"), (3, "Cid", "c@x"), (9, "Zoë", None)]


@pytest.mark.parametrize("on_conflict", ["insert", "skip", "update"])
async def test_many_rows_at_once_go_in_but_for_the_one_that_the_database_refuses(
    desk: Importer, on_conflict: str
) -> None:
    mails = {number: f"{number}@x" for number in range(1, 701)} | {300: "1@x"}
    rows = "".join(f"{number},N,{mail},{number}.5,2024-01-{number % 28 + 1:02}\n" for number, mail in mails.items())
    key = [] if on_conflict == "insert" else ["id"]
    result = await desk.run(f"id,name,email,score,born\n{rows}", on_conflict=on_conflict, key=key)
    assert (result.inserted, result.updated, result.skipped, result.failed) == (699, 0, 0, 1)
    assert [row[0] for row in desk.errors] == ["301"]
    found = await desk.rows("SELECT count(*), min(id), max(id), sum(score), min(CAST(born AS VARCHAR(10))) FROM people")
    assert [tuple(map(str, row)) for row in found] == [
        ("699", "1", "700", "245399.5" if desk.database.dialect == "sqlite" else "245399.50", "2024-01-01")
    ]


async def test_a_dry_run_says_what_would_be_done_and_leaves_nothing(desk: Importer) -> None:
    await desk.execute("INSERT INTO people (id, name) VALUES (1, 'Ann')")
    result = await desk.run("ID,Name,Born\n1,Bob,\n2,Cid,2001-02-03\ny,Dan,\n", dry_run=True)
    assert (result.rows, result.inserted, result.failed, result.is_whole) == (3, 1, 2, True)
    assert [one.line for one in result.first_errors] == [2, 4]
    assert result.first_rows[1] == {"id": 2, "name": "Cid", "born": "2001-02-03"}
    assert [(one.header, one.column, one.type) for one in result.detected.columns][2] == ("Born", "born", "date")
    assert await desk.rows("SELECT id FROM people") == [(1,)]
    assert await desk.rows("SELECT * FROM postlude_imports") == []
    assert desk.files.stored == {}


async def test_a_result_says_whether_the_encoding_was_guessed_also_where_an_earlier_attempt_did(desk: Importer) -> None:
    guessed = "number,name\n1,Zoë\n".encode("cp1252")
    for dry_run in (True, False):
        result = await desk.run(guessed, target="events", dry_run=dry_run)
        assert (result.detected.encoding, result.detected.is_encoding_guessed) == ("cp1252", True)
    assert (await desk.run(target="events", attempt=2)).detected.is_encoding_guessed is True
    named = await desk.run(guessed, target="events", job_id="named", encoding="cp1252")
    plain = await desk.run("number,name\n1,Zoë\n", target="events", job_id="plain")
    assert (named.detected.is_encoding_guessed, plain.detected.is_encoding_guessed) == (False, False)


async def test_too_many_bad_rows_end_the_import_and_the_good_ones_stay(desk: Importer) -> None:
    content = "number,name\n1,a\nx,b\n2,c\ny,d\nz,e\n" + "9,z\n" * 10
    with pytest.raises(TooManyBadRows, match=r"2 of the first 4 rows are bad, and max_errors is 1.*2 have gone in"):
        await desk.run(content, target="events", max_errors=1, batch_size=2)
    assert await desk.rows("SELECT number FROM events") == [(1,), (2,)]
    assert [row[0] for row in desk.errors] == ["3", "5"]
    with pytest.raises(TooManyBadRows):
        await desk.run(target="events", max_errors=1, attempt=2)
    result = await desk.run(target="events", max_errors=100, attempt=3)
    assert (result.rows, result.failed, result.inserted) == (15, 3, 12)


async def test_an_earlier_attempt_writes_nothing_once_another_goes_on(desk: Importer) -> None:
    content = "number,name\n" + "".join(f"{number},x\n" for number in range(500))
    late = await asyncio.gather(
        *(desk.run(content, target="events", attempt=attempt, batch_size=20 + attempt) for attempt in range(1, 6)),
        return_exceptions=True,
    )
    assert all(isinstance(one, ImportTaken) for one in late if isinstance(one, BaseException))
    await desk.run(target="events", attempt=9)
    assert await desk.rows("SELECT number FROM events ORDER BY number") == [(number,) for number in range(500)]
    with pytest.raises(ImportTaken):
        await desk.run(target="events", attempt=8)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_what_an_import_has_begun_with_cannot_change(desk: Importer) -> None:
    await desk.run("number,name\n1,a\n", target="events", batch_size=1)
    with pytest.raises(ImportChanged, match="another file"):
        await desk.run("number,name\n1,b\n", target="events", attempt=2)
    with pytest.raises(ImportChanged, match="args were changed"):
        await desk.run("number,name\n1,a\n", target="events", attempt=3, delimiter=";")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("content", "args", "error", "words"),
    [
        ("a\n1\n", {"target": "nope"}, TargetUnknown, "There are: events, gone, kind, names, people, seen"),
        ("a\n1\n", {"target": "gone"}, TargetRefused, "no table nothing"),
        ("", {}, FileUnreadable, "The file is empty"),
        ("\n \n"[:1], {}, FileUnreadable, "The file is empty"),
        ("a,b\n1,2\n", {}, ColumnsDoNotFit, "The file has 'a', 'b', the target 'id', 'name'"),
        ("id\n1\n", {}, ColumnsDoNotFit, "needs 'name'"),
        ("name,Name\na,b\n", {}, ColumnsDoNotFit, "Several columns of the file go into 'name': #1 'name', #2 'Name'"),
        ("name,x\na,b\n", {"mapping": {"y": "id"}}, ColumnsDoNotFit, "mapping names the column 'y'"),
        ("name,x\na,b\n", {"mapping": {"x": "ids"}}, ColumnsDoNotFit, "not a column of the target"),
        (
            "id,x\n1,b\n",
            {"mapping": {"x": "name", "#2": None}},
            ColumnsDoNotFit,
            "column #2 'x' twice, as 'x' and as '#2'",
        ),
        ("id,X\n1,b\n", {"mapping": {"X": None, "x": "name"}}, ColumnsDoNotFit, "Name it once"),
        ("1,a\n", {"header": False}, ColumnsDoNotFit, "no header and 2 columns"),
        ("name,x\na,1\n", {"mapping": {"x": "id"}, "types": {"y": "text"}}, ColumnsDoNotFit, "types names 'y'"),
        ("name\na\n", {"on_conflict": "update"}, TargetRefused, "has no id"),
        ("name,id\na,1\n", {"on_conflict": "update", "key": ["name"]}, TargetRefused, "not unique together"),
        ("number,name\n1,a\n", {"target": "events", "on_conflict": "update"}, TargetRefused, "no primary key"),
        ("number\n1\n", {"target": "seen"}, TargetRefused, "it is a view"),
    ],
)
async def test_what_cannot_work_is_refused_before_a_row_is_written(
    desk: Importer, content: str, args: dict[str, Any], error: type[Exception], words: str
) -> None:
    await desk.execute("CREATE VIEW seen AS SELECT number FROM events")
    with pytest.raises(error, match=words):
        await desk.run(content, **args)
    assert await desk.rows("SELECT * FROM people") == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_only_a_header_is_an_import_of_no_rows(desk: Importer) -> None:
    result = await desk.run("id,name\n")
    assert (result.rows, result.failed, result.errors_file) == (0, 0, None)


async def test_a_number_that_no_driver_takes_is_bad_whatever_its_column_holds(desk: Importer) -> None:
    result = await desk.run(f"number,name\n1,{2**63}\n2,7\n", target="events", types={"name": "integer"})
    assert (result.inserted, [one.reason for one in result.first_errors]) == (1, [f"name is out of range: '{2**63}'"])


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_columns_go_where_the_mapping_says(desk: Importer) -> None:
    await desk.run("Nr,Nr,Who\n1,2,Ann\n", mapping={"#2": "id", "Who": "name"})
    await desk.run("3,x,Bob\n", header=False, mapping={"#1": "id", "#3": "name"}, job_id="two")
    await desk.run("4,Cid,,,,,\n", header=False, job_id="three")
    result = await desk.run("name,id\nDan,9\n", target="names", job_id="four")
    assert result.detected.ignored == ["id"]
    assert await desk.rows("SELECT id, name FROM people ORDER BY id") == [
        (2, "Ann"),
        (3, "Bob"),
        (4, "Cid"),
        (5, "Dan"),
    ]


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_types_that_only_the_database_reads_are_left_to_it(desk: Importer) -> None:
    await desk.execute(
        "DROP TABLE events",
        "CREATE TYPE mood AS ENUM ('good', 'bad')",
        "CREATE TABLE events (number SMALLINT, id UUID, mood mood, took INTERVAL, tags TEXT[], data JSONB,"
        " code CHAR(3), at TIMESTAMPTZ, CHECK (number <> 13))",
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.code = 'no' THEN RAISE EXCEPTION"
        " 'not this one' USING ERRCODE = 'UE001'; END IF; RETURN NEW; END $$",
        "CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION refuse()",
    )
    one = "018f0000-0000-7000-8000-000000000001"
    content = (
        "number;id;mood;took;tags;data;code;at\n"
        f'1;{one};good;1 hour;{{a,b}};"{{""k"": 1}}";abc;2020-01-01T00:00:00Z\n'
        "40000;;;;;;;\n13;;;;;;;\n;no;;;;;;\n;;ugly;;;;;\n;;;;;[;;\n;;;;;;abcd;\n;;;;;;no;\n"
    )
    result = await desk.run(content, target="events")
    assert (result.inserted, result.failed) == (1, 7)
    assert [row[0] for row in desk.errors] == [str(line) for line in range(3, 10)]
    assert "out of range" in desk.errors[0][1]
    assert "not this one" in desk.errors[-1][1]
    found = await desk.rows("SELECT number, mood::text, tags, data, code FROM events")
    assert found == [(1, "good", ["a", "b"], {"k": 1}, "abc")]
