"""While a recorder is set, jobs go to it, and no service is needed."""

from collections.abc import Mapping
from typing import Any

import pytest

from postlude import AsyncClient, Client, NewJob, SettingsInvalid
from postlude.recording import recorded_by

pytestmark = pytest.mark.postlude("send")  # the plugin records by itself
Recorded = list[tuple[str, Any, Mapping[str, Any]]]


@pytest.fixture(autouse=True)
def no_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POSTLUDE_URL", raising=False)


def test_what_a_client_enqueues_is_recorded_and_answered() -> None:
    recorded: Recorded = []
    client = Client()
    with recorded_by(lambda *job: recorded.append(job)):
        job = client.enqueue("note", {"text": "x"}, tags=["a"])
        ids = client.enqueue_many([NewJob("note", {"text": "y"})])
        flow = client.flow({"z": NewJob("note", {"text": "z"})})
        keyed = client.enqueue("note", idempotency_key="k")
    assert (job.kind, job.args, job.state) == ("note", {"text": "x"}, "queued")
    assert recorded == [
        ("note", {"text": "x"}, {"id": job.id, "tags": ["a"]}),
        ("note", {"text": "y"}, {"id": ids[0]}),
        ("note", {"text": "z"}, {"id": flow.jobs["z"], "name": "z"}),
        ("note", {}, {}),
    ]
    assert keyed.kind == "note"


async def test_the_asynchronous_client_is_recorded_too() -> None:
    recorded: Recorded = []
    with recorded_by(lambda *job: recorded.append(job)):
        await AsyncClient().enqueue("note")
    assert [kind for kind, *_ in recorded] == ["note"]


def test_afterwards_and_for_all_else_a_service_is_needed() -> None:
    client = Client()
    with recorded_by(lambda *_: None), pytest.raises(SettingsInvalid, match="POSTLUDE_URL"):
        client.get("a")
    with pytest.raises(SettingsInvalid):
        client.enqueue("note")
