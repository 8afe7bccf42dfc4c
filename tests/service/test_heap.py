import gc
from collections.abc import Iterator

import pytest

from service.heap import gc_frozen, gc_put_off


@pytest.fixture(autouse=True)
def heap_as_in_a_new_process() -> Iterator[None]:
    """Undo for this test what the run has frozen, and what others have set."""
    thresholds = gc.get_threshold()
    gc.unfreeze()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*thresholds)
    gc.freeze()


def test_what_is_there_at_the_start_is_out_of_the_collectors_sight_until_the_end() -> None:
    before = gc.get_threshold()
    with gc_frozen():
        assert gc.get_freeze_count() > 10_000
        assert gc.get_threshold() > before
    assert gc.get_freeze_count() == 0
    assert gc.get_threshold() == before


def test_nothing_is_looked_for_during_imports_and_what_they_made_stays_out_of_sight() -> None:
    with gc_put_off():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 10_000
