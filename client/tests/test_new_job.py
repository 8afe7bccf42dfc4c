"""A job that is to be enqueued."""

from postlude import NewJob


def test_a_job_keeps_its_id_and_leaves_out_what_was_not_said() -> None:
    job = NewJob("note", {"text": "x"}, tags=["a"], queue=None)  # type: ignore[arg-type]
    assert job.fields() == {"id": job.id, "kind": "note", "args": {"text": "x"}, "tags": ["a"]} == job.fields()
    assert NewJob("note").id != NewJob("note").id
    assert NewJob("note", id=job.id).id == job.id


def test_args_are_an_object_unless_they_are_given() -> None:
    assert NewJob("note").fields()["args"] == {}


def test_a_job_shows_what_it_is() -> None:
    assert repr(NewJob("note", {"text": "x"}, id="a")) == "NewJob('note', {'text': 'x'}, id='a')"
