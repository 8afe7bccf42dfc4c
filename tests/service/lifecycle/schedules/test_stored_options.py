"""Options of schedules survive being stored."""

from datetime import timedelta

import pytest

from jobs import Lane, Rate
from service.lifecycle.schedules.stored_options import read_options, written_options
from service.options import Options


@pytest.mark.parametrize(
    "options",
    [
        Options(),
        Options(queue="slow", priority=-3, max_attempts=2, tags=("a", "b"), metadata={"a": [1]}),
        Options(timeout=timedelta(seconds=1.5), expires_in=timedelta(days=2)),
        Options(lane=Lane("tenant:1", 3, Rate(5, per=1.5))),
        Options(lane=Lane("tenant:1", order="strict")),
    ],
)
def test_options_are_read_as_they_were_written(options: Options) -> None:
    assert read_options(written_options(options)) == options
