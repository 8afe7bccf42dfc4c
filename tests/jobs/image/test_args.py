"""What `make_thumbnail` takes."""

from typing import Any

import pytest
from pydantic import ValidationError

from jobs.image import MakeThumbnailArgs, make_thumbnail


@pytest.mark.parametrize(
    "wrong",
    [
        {"sizes": []},
        {"sizes": [0]},
        {"sizes": [8193]},
        {"sizes": ["320"]},
        {"sizes": [[320]]},
        {"sizes": [[320, 0]]},
        {"sizes": [320, 320]},
        {"sizes": list(range(1, 22))},
        {"format": "eps"},
        {"fit": "squeeze"},
        {"quality": 0},
        {"quality": 101},
        {"background": "red"},
        {"background": "#ffffff00"},
        {"expires_in": 0},
        {"name": "x"},
    ],
)
def test_wishes_that_cannot_be_met_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MakeThumbnailArgs.model_validate({"file": "f", "sizes": [320]} | wrong)


def test_sizes_are_read_back_as_they_were_sent() -> None:
    args = make_thumbnail.accept({"file": "f", "sizes": [320, [1200, 630]]})
    assert args.sizes == [320, (1200, 630)]
    assert (args.format, args.fit, args.quality, args.upscale) == ("keep", "contain", 80, False)
