"""Odd images that Pillow's own tests have gathered, many of them from bugs: each has a thumbnail, or a reason.

`scripts/odd_images.py` made `pillow.zip` of its source distribution.
"""

import zipfile
from pathlib import Path

import pytest

from jobs.image.errors import ImageBroken, ImageTooLarge, NoImage
from jobs.image.formats import OUTPUTS
from jobs.image.writing import blurhash_of, encoded
from jobs.kit.outcomes import Discard
from tests.jobs.image.making import contained, picture_of

ARCHIVE = Path(__file__).with_name("pillow.zip")
OTHERS = (".eps", ".ico", ".j2k", ".psd")
REFUSED: dict[str, type[Discard]] = {
    "apng/chunk_no_fctl.png": ImageBroken,
    "apng/syntax_num_frames_zero.png": ImageBroken,
    "bmp/b/badbitcount.bmp": ImageBroken,
    "bmp/b/badheadersize.bmp": ImageBroken,
    "bmp/b/badwidth.bmp": ImageTooLarge,
    "bmp/b/shortfile.bmp": ImageBroken,
    "bmp/q/pal2.bmp": ImageBroken,
    "bmp/q/rgb24jpeg.bmp": ImageBroken,
    "bmp/q/rgb24png.bmp": ImageBroken,
    "broken.png": NoImage,
    "decompression_bomb.gif": ImageTooLarge,
    "hopper_webp.tif": ImageBroken,
    "l2rgb_read.bmp": ImageTooLarge,
    "libtiff_segfault.tif": NoImage,
    "oom-225817ca0f8c663be7ab4b9e717b02c661e66834.tif": NoImage,
    "seek_too_large.tif": ImageBroken,
    "unknown_compression_method.png": NoImage,
    "zero_width.gif": NoImage,
}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pillow")
    with zipfile.ZipFile(ARCHIVE) as archive:
        archive.extractall(folder)
    return [path for path in folder.rglob("*") if path.is_file() and path.name != "LICENSE"]


def test_each_has_a_thumbnail_or_a_reason(images: list[Path]) -> None:
    folder = next(path for path in images if path.name == "broken.png").parent
    refused = {}
    for path in images:
        try:
            picture = picture_of(path)
            thumbnail = picture.cut(contained(picture.size))
            assert blurhash_of(picture, None)
            assert all(encoded(thumbnail, OUTPUTS[name], 80, None) for name in ("jpeg", "png"))
        except Discard as error:
            refused[str(path.relative_to(folder))] = type(error)
    others = {str(path.relative_to(folder)): NoImage for path in images if path.suffix in OTHERS}
    assert len(images) > 150
    assert refused == REFUSED | others
