"""The form to enqueue by hand: what a browser posts becomes the request that a caller would write, and back."""

import json
from datetime import timedelta
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from jobs import Context, Kind, load
from jobs.kit.declaration import job
from service.dashboard.kinds.form import EnqueueForm, form_like, new_form, posted_form
from tests.service.dashboard.kinds.test_fields import Many

SECRET = "c4n4ry"
QUEUES = ["bulk", "default"]


def kind_of(model: type[BaseModel]) -> Kind[Any, Any]:
    async def perform(ctx: Context, args: BaseModel) -> None: ...

    perform.__annotations__["args"] = model
    return job("form.kind", timeout=60)(perform)


MANY = kind_of(Many)


class Mail(BaseModel):
    """Like `send_email`'s, but separate, because a product may be without that kind."""

    to: Annotated[list[str], Field(max_length=50)]
    subject: Annotated[str, Field(max_length=998)]
    text: str | None = None
    cc: list[str] = []


EMAIL = kind_of(Mail)


class Hook(BaseModel):
    data: Any = None


HOOK = kind_of(Hook)


def posted(kind: Kind[Any, Any], **entries: str) -> EnqueueForm:
    """A form as a browser sends it: what it was shown with, and what was typed."""
    shown = new_form(kind, QUEUES).entries
    typed = {name.replace("__", "/"): text for name, text in entries.items()}
    return posted_form(kind, QUEUES, {**shown, **typed})


def test_what_was_typed_becomes_the_request_and_defaults_are_left_out() -> None:
    form = posted(
        MANY,
        args__short="ann",
        args__mail="a@b.example",
        args__count="04x",
        args__rate="1.5",
        args__maybe="false",
        args__colour='"blue"',
        args__at="2026-07-01T12:00",
        args__day="2026-07-01",
        args__secret=SECRET,
        args__words__0="one\r\ntwo",
        args__inner__street="Main",
        args__free='{"a": [1, null]}',
        zone="Europe/Berlin",
        queue='"bulk"',
        timeout="60",
        tags="by-hand, x",
        run_at="2026-07-01T12:00",
    )
    assert form.request() == {
        "kind": "form.kind",
        "args": {
            "short": "ann",
            "mail": "a@b.example",
            "count": "04x",
            "rate": 1.5,
            "maybe": False,
            "colour": "blue",
            "at": "2026-07-01T10:00:00Z",
            "day": "2026-07-01",
            "secret": SECRET,
            "words": ["one\ntwo"],
            "inner": {"street": "Main"},
            "free": {"a": [1, None]},
        },
        "run_at": "2026-07-01T10:00:00Z",
        "queue": "bulk",
        "tags": ["by-hand", "x"],
    }
    assert SECRET not in json.dumps(form.shown())
    assert SECRET not in json.dumps(dict(form.for_page().entries))


def test_errors_stand_at_their_fields_and_are_named_for_readers() -> None:
    form = posted(EMAIL, **{"args/to#": "2"})
    errors: list[dict[str, Any]] = [
        {"loc": ["args", "to", 1, "function-after"], "msg": "no mail address"},
        {"loc": ["args", "nowhere"], "msg": "unknown"},
        {"loc": ["max_attempts"], "msg": "too many"},
    ]
    told = form.refused(errors)
    assert told.errors_at(("args", "to", 1)) == ["no mail address"]
    assert told.errors_at(("args",)) == ["unknown"]
    assert told.errors_at(("max_attempts",)) == ["too many"]
    assert told.wrong == ["to, 2", "args", "max_attempts"]
    as_text = form.in_mode("json").refused(errors)
    assert as_text.errors_at(("args",)) == ["to, 2, function-after: no mail address", "nowhere: unknown"]


def test_json_that_is_nested_too_deeply_is_refused_beside_its_field() -> None:
    form = posted(HOOK, **{"args/data": "[" * 900 + "]" * 900})
    assert "not JSON" in str(form.unreadable())


def test_lists_grow_and_shrink_and_what_was_typed_moves_along() -> None:
    form = posted(EMAIL, **{"args/to#": "3", "args/to/0": "a", "args/to/1": "b", "args/to/2": "c"})
    assert form.without_item("args/to/1").request()["args"]["to"] == ["a", "c"]
    assert form.with_item("args/to").request()["args"]["to"] == ["a", "b", "c", ""]
    for item in ("args/to/9", "args/to/" + "9" * 5_000, "9" * 5_000 + "/1"):
        assert form.without_item(item).entries == form.entries


def test_a_form_and_its_json_are_two_ways_to_edit_the_same() -> None:
    form = posted(EMAIL, args__subject="Hello", args__to__0="a@b.example", args__text="Hi\r\nAnn")
    as_text = form.in_mode("json")
    assert json.loads(as_text.text(("args",))) == form.request()["args"]
    assert as_text.request() == form.request()
    assert as_text.in_mode("form").request() == form.request()
    broken = posted_form(EMAIL, QUEUES, {**as_text.entries, "mode": "json", "args": "{"})
    assert "not JSON" in broken.unreadable()["args"][0]
    assert broken.in_mode("form").mode == "json"


def test_a_form_like_a_job_has_its_args_and_options_but_never_its_secrets() -> None:
    args = {"short": "ann", "secret": "**********", "words": ["x"], "inner": {"street": "S", "doors": [1]}, "count": 4}
    form = form_like(MANY, QUEUES, args, {"queue": "bulk", "tags": ["a"], "timeout": 5.5})
    assert form.mode == "form"
    told = form.request()
    assert told["args"] == {name: value for name, value in args.items() if name != "secret"}
    assert (told["queue"], told["tags"], told["timeout"]) == ("bulk", ["a"], 5.5)


@pytest.mark.parametrize("args", [{"to": ["x"] * 300}, {"subject": "a\r\nb"}, {"to": {"no": "list"}}, {"gone": 1}])
def test_args_that_the_fields_cannot_hold_are_edited_as_json(args: dict[str, Any]) -> None:
    form = form_like(EMAIL, QUEUES, args, {})
    assert form.mode == "json"
    assert form.request()["args"] == args


def test_json_that_is_posted_comes_back_without_its_secrets() -> None:
    text = json.dumps({"short": "ann", "secret": SECRET, "headers": {"a": SECRET}})
    form = posted_form(MANY, QUEUES, {"mode": "json", "args": text})
    assert form.request()["args"]["secret"] == SECRET
    assert SECRET not in json.dumps([form.shown(), dict(form.for_page().entries)])


def test_a_kind_without_args_makes_an_empty_object() -> None:
    assert new_form(load()["cleanup"], QUEUES).request() == {"kind": "cleanup", "args": {}, "tags": ["by-hand"]}
    assert MANY.timeout == timedelta(seconds=60)
