"""How large thumbnails are, and what of the image they show."""

import pytest

from jobs.image.geometry import Cut, Fit, Pixels, cut_of


@pytest.mark.parametrize(
    ("image", "box", "fit", "cut"),
    [
        ((4000, 3000), (320, 320), "contain", Cut(320, 240)),
        ((3000, 4000), (320, 320), "contain", Cut(240, 320)),
        ((4000, 3000), (320, 320), "cover", Cut(320, 320, 0.75, 1)),
        ((3000, 4000), (400, 200), "cover", Cut(400, 200, 1, 0.375)),
        ((4000, 3000), (320, 320), "fill", Cut(320, 320)),
        ((100_000, 1), (320, 320), "contain", Cut(320, 1)),
    ],
)
def test_image_is_fitted_into_its_box(image: Pixels, box: Pixels, fit: Fit, cut: Cut) -> None:
    assert cut_of(image, box, fit, upscale=False) == cut


@pytest.mark.parametrize(
    ("fit", "smaller", "upscaled"),
    [
        ("contain", Cut(40, 20), Cut(200, 100)),
        ("cover", Cut(20, 20, 0.5, 1), Cut(200, 200, 0.5, 1)),
        ("fill", Cut(20, 20), Cut(200, 200)),
    ],
)
def test_small_image_gets_more_pixels_only_where_that_is_asked_for(fit: Fit, smaller: Cut, upscaled: Cut) -> None:
    assert cut_of((40, 20), (200, 200), fit, upscale=False) == smaller
    assert cut_of((40, 20), (200, 200), fit, upscale=True) == upscaled
