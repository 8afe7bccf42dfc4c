"""The args of `make_thumbnail`, and its result."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from jobs.image.formats import FormatOrKeep
from jobs.image.geometry import Fit, Pixels
from jobs.kit.files import FileId

LONGEST_SIDE = 8192
MOST_SIZES = 20

Side = Annotated[int, Field(strict=True, ge=1, le=LONGEST_SIDE)]
Size = Side | tuple[Side, Side]


class MakeThumbnailArgs(BaseModel):
    model_config = ConfigDict(extra="forbid")

    file: FileId
    sizes: list[Size] = Field(
        min_length=1,
        max_length=MOST_SIZES,
        description="The boxes that thumbnails fit into, in pixels: the side of a square, or `[width, height]`.",
        examples=[[320, [1200, 630]]],
    )
    format: FormatOrKeep = Field("keep", description="`keep`: the image's own format, or PNG for GIF, TIFF and BMP.")
    fit: Fit = Field(
        "contain",
        description="`contain` shows the whole image within the box, `cover` fills the box and cuts off the rest,"
        " `fill` stretches the image to the box.",
    )
    quality: int = Field(80, strict=True, ge=1, le=100, description="For JPEG, WebP and AVIF.")
    background: str | None = Field(
        None,
        pattern=r"^#[0-9a-fA-F]{6}$",
        description="What shows through transparent parts, such as `#ffffff`. Default: white in JPEG, which has no"
        " transparency; others stay transparent.",
    )
    upscale: bool = Field(False, description="Whether thumbnails may have more pixels than the image.")
    expires_in: float | None = Field(
        None, gt=0, le=3650 * 86400, description="Seconds after which the thumbnails are deleted."
    )

    @model_validator(mode="after")
    def _check_sizes(self) -> Self:
        if len(set(self.sizes)) < len(self.sizes):
            raise ValueError("name each size once")
        return self


class Thumbnail(BaseModel):
    size: int | Pixels = Field(description="As in the args.")
    id: str = Field(description="The file's id.")
    width: int
    height: int
    bytes: int
    content_type: str


class MakeThumbnailResult(BaseModel):
    width: int = Field(description="The image's width, upright.")
    height: int
    blurhash: str = Field(description="What to show until an image is loaded; see https://blurha.sh.")
    files: list[Thumbnail] = Field(description="One for each of `sizes`, in the same order.")


def box_of(size: Size) -> Pixels:
    """Return the box that a size means."""
    return (size, size) if isinstance(size, int) else size
