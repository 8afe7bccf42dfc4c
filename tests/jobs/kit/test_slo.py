from datetime import timedelta

import pytest

from jobs import CatalogueError, job
from jobs.kit.slo import read_slo


@pytest.mark.parametrize(
    ("text", "target", "within"),
    [
        ("99% in 60s", 0.99, timedelta(seconds=60)),
        ("99.9 % in 5 min", 0.999, timedelta(minutes=5)),
        ("50% in 250ms", 0.5, timedelta(milliseconds=250)),
        ("95% in 1.5h", 0.95, timedelta(minutes=90)),
        ("90% in 2d", 0.9, timedelta(days=2)),
    ],
)
def test_an_slo_is_a_share_and_a_time(text: str, target: float, within: timedelta) -> None:
    slo = read_slo(text)
    assert slo is not None
    assert slo.target == pytest.approx(target)
    assert slo.within == within
    assert read_slo(None) is None


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("fast", "is not understood: write the share and the time"),
        ("99 in 60s", "is not understood"),
        ("100% in 60s", "is not understood"),
        ("99% in 60", "is not understood"),
        (0.99, "is not understood"),
        ("0% in 60s", "asks for nothing"),
        ("99% in 0s", "the time must be above 0"),
        ("99% in 31d", "at most 30 days"),
    ],
)
def test_a_declaration_that_cannot_be_read_says_what_to_write(value: object, why: str) -> None:
    with pytest.raises(CatalogueError, match=why) as refused:

        @job("k", slo=value)  # type: ignore[arg-type]
        async def kind() -> None: ...

    assert "kind 'k'" in str(refused.value)
    assert "test_slo.py" in str(refused.value)
