import json

from pydantic import BaseModel, SecretStr

from service.trail.snapshots import differences, snapshot


class Thing(BaseModel):
    name: str
    secret: SecretStr = SecretStr("s3cr3t")


def test_of_two_things_the_parts_that_differ_are_kept() -> None:
    assert differences(Thing(name="a"), Thing(name="b")) == ({"name": "a"}, {"name": "b"})
    assert differences({"a": 1, "gone": 2}, {"a": 1, "new": 3}) == ({"gone": 2}, {"new": 3})
    assert differences({"a": 1}, None) == ({"a": 1}, None)
    assert differences(None, [1]) == (None, [1])


def test_a_snapshot_has_no_secret_and_is_bounded() -> None:
    assert snapshot(None) is None
    assert "s3cr3t" not in (snapshot(Thing(name="a")) or "")
    assert json.loads(snapshot({"args": "x" * 300_000, "a": 1}) or "") == {"args": "(300,002 bytes)", "a": 1}
