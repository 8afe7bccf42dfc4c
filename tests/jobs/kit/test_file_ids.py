"""Which files args name, wherever the mark is."""

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from jobs.kit.file_ids import files_in, names_files
from jobs.kit.files import FileId


class Page(BaseModel):
    scan: FileId
    parts: "list[Page]" = []


class Plain(BaseModel):
    text: str = "id"
    numbers: list[int] = []


class Report(BaseModel):
    file: FileId
    maybe: FileId | None = None
    many: list[FileId] = []
    by_name: dict[str, FileId] = {}
    pages: list[Page] = []
    either: Annotated[int | FileId, Field(alias="orElse")] = 0
    pair: tuple[str, FileId] = ("no file", "g")
    noise: list[str] = []
    plain: Plain = Plain()


def test_files_are_found_in_lists_dicts_unions_and_nested_models_with_their_places() -> None:
    page = {"scan": "p", "parts": [{"scan": "q"}]}
    args = Report.model_validate(
        {"file": "a", "maybe": "b", "many": ["c", "d"], "by_name": {"x": "e"}, "pages": [page], "orElse": "f"}
        | {"noise": ["no file"]}
    )
    assert [(one.id, one.place) for one in files_in(args)] == [
        ("a", ("file",)),
        ("b", ("maybe",)),
        ("c", ("many", 0)),
        ("d", ("many", 1)),
        ("e", ("by_name", "x")),
        ("p", ("pages", 0, "scan")),
        ("q", ("pages", 0, "parts", 0, "scan")),
        ("f", ("orElse",)),
        ("g", ("pair", 1)),
    ]


@pytest.mark.parametrize(("model", "named"), [(Report, True), (Page, True), (Plain, False)])
def test_model_that_has_no_mark_at_any_depth_is_told_apart(model: Any, named: bool) -> None:
    assert names_files(model) is named
