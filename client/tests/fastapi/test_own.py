import fastapi
import pytest
import starlette.background

from postlude.fastapi import own


def task() -> None: ...


@pytest.mark.parametrize("patched", [fastapi.BackgroundTasks, starlette.background.BackgroundTasks])
def test_replaced_add_task_is_called_as_a_method_of_tasks(
    patched: type[starlette.background.BackgroundTasks], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not own.is_replaced()
    original, seen = patched.add_task, list[object]()

    def add_task(self: starlette.background.BackgroundTasks, func: object, *args: object) -> None:
        seen.append((func, args))
        original(self, task)

    monkeypatch.setattr(patched, "add_task", add_task)
    assert own.is_replaced()
    (added,) = own.added(len, "abc")
    assert (added.func, seen) == (task, [(len, ("abc",))])
    monkeypatch.undo()
    assert not own.is_replaced()
