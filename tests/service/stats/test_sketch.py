"""Sketches tell how many different ones were added, in whichever parts and however often."""

import pytest

from service.stats import sketch


def of(*numbers: range) -> bytes:
    return sketch.added(sketch.EMPTY, (sketch.hash_of(f"user {number}") for some in numbers for number in some))


@pytest.mark.parametrize("count", [0, 1, 2, 10, 100, 5_000, 60_000])
def test_the_estimate_is_close(count: int) -> None:
    assert sketch.estimate(of(range(count))) == pytest.approx(count, rel=0.025)


def test_parts_are_merged_as_if_all_were_one_and_whoever_is_in_several_counts_once() -> None:
    parts = [of(range(3_000)), of(range(2_000, 9_000)), sketch.EMPTY, of(range(10))]
    assert sketch.merged(parts) == of(range(9_000)) == sketch.merged(reversed(parts))
    assert sketch.merged([]) == sketch.EMPTY
    assert sketch.added(parts[0], [sketch.hash_of("user 7")]) == parts[0]


def test_what_is_kept_is_small_and_reads_back_and_hashes_stay_the_same() -> None:
    few, many = of(range(10)), of(range(60_000))
    assert [sketch.unpacked(sketch.packed(one)) for one in (few, many)] == [few, many]
    assert len(sketch.packed(few)) < 200
    assert len(sketch.packed(many)) < 9_000
    assert sketch.hash_of("ann") == 0xA5F323BF6ADF3A8D
