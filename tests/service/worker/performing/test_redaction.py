"""What an attempt leaves behind has none of its job's secrets, in any form, and no value with a secret's name."""

import base64
import json
import time
from urllib.parse import quote

import pytest
from pydantic import BaseModel, SecretBytes, SecretStr

from jobs import Context, job
from service.worker.performing.redaction import Redaction

SECRET = 'canary "4711" & more/ö'
MASK = "**********"


class Inner(BaseModel):
    pin: SecretStr


class Args(BaseModel):
    name: str = "ann-with-a-long-name"
    key: SecretStr = SecretStr("")
    raw: SecretBytes | None = None
    deep: list[Inner] = []
    headers: dict[str, SecretStr] = {}


@job("guard")
async def guard(_ctx: Context, args: Args) -> None:
    pass


@job("plain")
async def plain(_ctx: Context, name: str) -> None:
    pass


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        json.dumps(SECRET)[1:-1],
        quote(SECRET),
        base64.b64encode(SECRET.encode()).decode(),
        SECRET.encode().hex(),
    ],
)
def test_secret_is_found_in_any_form(written: str) -> None:
    for args in (
        {"key": SECRET},
        {"deep": [{"pin": SECRET}]},
        {"headers": {"X-Key": f"Bearer {SECRET}"}},
        {"raw": SECRET},
    ):
        redaction = Redaction(guard, json.dumps(args))
        assert redaction(f"it said: {written.rstrip('=')}!") == f"it said: {MASK}!", args
        assert redaction(f"it said: {written[:15]}", is_cut=True) == f"it said: {MASK}", args


def test_login_of_a_header_is_a_secret_in_all_its_parts() -> None:
    login = base64.b64encode(b"ann:hunter2hunter2").decode()
    redaction = Redaction(guard, json.dumps({"headers": {"Authorization": f"Basic {login}"}}))
    assert redaction("you are hunter2hunter2") == f"you are {MASK}"


def test_what_is_no_secret_stays() -> None:
    redaction = Redaction(guard, json.dumps({"key": SECRET}))
    assert redaction("ann-with-a-long-name") == "ann-with-a-long-name"
    assert redaction.value({"n": [1, None, True, "x"]}) == {"n": [1, None, True, "x"]}


def test_value_has_none_either_in_names_and_texts() -> None:
    redaction = Redaction(guard, json.dumps({"key": SECRET}))
    assert redaction.value({SECRET: [f"a {SECRET}", {"b": SECRET}]}) == {MASK: [f"a {MASK}", {"b": MASK}]}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("password=hunter2 and more", f"password={MASK} and more"),
        ("Authorization: Bearer abc.def", f"Authorization: Bearer {MASK}"),
        ("{'api_key': 'abc def', 'n': 1}", f"{{'api_key': {MASK}, 'n': 1}}"),
        ('{"client_secret_id": "x y"}', f'{{"client_secret_id": {MASK}}}'),
        ("GET /?token=abc&n=1", f"GET /?token={MASK}&n=1"),
        ("used 512 tokens: fine", "used 512 tokens: fine"),
        ("the secret is out", "the secret is out"),
    ],
)
def test_what_a_text_names_as_a_secret_is_masked(text: str, shown: str) -> None:
    assert Redaction(plain, '{"name": "x"}')(text) == shown


def test_of_args_that_no_kind_can_read_every_text_is_a_secret() -> None:
    for kind in (None, guard):
        redaction = Redaction(kind, '{"key": {"not": "a-text-of-the-model"}, "n": 12345678901}')
        assert redaction("a-text-of-the-model, 12345678901") == f"{MASK}, {MASK}"


def test_looking_through_what_an_attempt_may_keep_takes_no_time_to_speak_of() -> None:
    redaction = Redaction(guard, json.dumps({"key": SECRET}))
    texts = ["a" * 4_096, "password " * 455, '"token":' * 512, "%41\\u0041&amp;" * 300, "secret=" * 585]
    began = time.process_time()
    for text in texts:
        redaction(text, is_cut=True)
    assert time.process_time() - began < 0.5
