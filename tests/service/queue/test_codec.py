"""The payload at an id's `arq:job` key."""

import pickle
from datetime import UTC, datetime

import pytest

from service.queue import (
    deserialize,
    is_own_payload,
    serialize,
)
from service.queue.codec import payload_of


@pytest.mark.parametrize(
    "payload", [b'{"k":{"note":"\\"postlude\\":1"}}', b'{"k":{"postlude":1}}', b'"postlude":1', b"[1]"]
)
def test_a_payload_that_only_mentions_ours_is_not_ours(payload: bytes) -> None:
    assert not is_own_payload(payload)


def test_the_serializer_reads_what_it_writes_and_never_a_pickle() -> None:
    assert deserialize(serialize({"f": "greet", "k": {"name": "Änn"}})) == {"f": "greet", "k": {"name": "Änn"}}
    for foreign in (pickle.dumps({"f": "greet"}), b"[1]", b"nonsense", b""):
        with pytest.raises(ValueError):
            deserialize(foreign)


def test_a_label_stands_in_the_payload_of_a_job_in_lanes() -> None:
    due_at = datetime(2026, 1, 1, tzinfo=UTC)
    payload = deserialize(payload_of("call_app", due_at, ("app:shop",), ("g{}",), 'shop."é"').encode())
    assert (payload["f"], payload["label"], payload["lanes"]) == ("call_app", 'shop."é"', ["app:shop"])
    assert "label" not in deserialize(payload_of("call_app", due_at, ("app:shop",), ("g{}",)).encode())
