"""How large a thumbnail is, and which part of the image fills it."""

from typing import Literal, NamedTuple

Fit = Literal["contain", "cover", "fill"]
Pixels = tuple[int, int]
Pair = tuple[float, float]


class Cut(NamedTuple):
    """A thumbnail's size, and the part of the image that fills it: from the middle, in fractions of its sides."""

    width: int
    height: int
    across: float = 1.0
    down: float = 1.0

    def turned(self) -> "Cut":
        """Return the same for an image turned on its side."""
        return Cut(self.height, self.width, self.down, self.across)


def cut_of(image: Pixels, box: Pixels, fit: Fit, *, upscale: bool) -> Cut:
    """Fit an image into a box. Unless `upscale`, no side of it has more pixels than it had."""
    if fit == "contain":
        scale = min(_ratios(box, image))
        return Cut(*(_whole(side * (scale if upscale else min(scale, 1))) for side in image))
    if not upscale:
        most = max(1, *_ratios(box, image))
        box = _whole(box[0] / most), _whole(box[1] / most)
    if fit == "fill":
        return Cut(*box)
    scales = _ratios(box, image)
    return Cut(*box, *(scale / max(scales) for scale in scales))


def _ratios(box: Pixels, image: Pixels) -> Pair:
    return box[0] / image[0], box[1] / image[1]


def _whole(side: float) -> int:
    return max(1, round(side))
