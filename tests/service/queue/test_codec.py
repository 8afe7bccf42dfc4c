"""What stands at an id's `arq:job` key."""

import pickle

import pytest

from service.queue import (
    deserialize,
    is_own_payload,
    serialize,
)


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
