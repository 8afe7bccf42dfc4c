"""Where a page of entries ends: behind the last entry that has a place in the list."""

import pytest

from service.audit_log.chain import GENESIS, Kept
from service.audit_log.places import cursor_behind, moment_of, read_cursor
from service.errors import BadCursor
from tests.service.audit_log.logging import AT

WRITTEN = "2026-03-01T12:00:00.000000Z"


def page(*times: str) -> list[Kept]:
    return [Kept(9 - number, at, at, "ann", "paid", GENESIS) for number, at in enumerate(times)]


@pytest.mark.parametrize("broken", ["z", "", "infinity", "\udcff", "2026-03-01T13:00:00.000000+01:00", "2026-03-01"])
def test_a_page_ends_behind_the_last_entry_whose_time_can_be_read(broken: str) -> None:
    assert read_cursor(cursor_behind(page(WRITTEN, WRITTEN))) == (AT, 8)
    assert read_cursor(cursor_behind(page(WRITTEN, broken))) == (AT, 9)
    assert cursor_behind(page(broken, broken)) is None


def test_only_cursors_of_ours_are_read() -> None:
    assert read_cursor(None) is read_cursor("") is None
    with pytest.raises(BadCursor):
        read_cursor("x")


def test_times_of_entries_are_read_where_they_are_times() -> None:
    assert (moment_of(WRITTEN), moment_of("\udcff")) == (AT, None)
