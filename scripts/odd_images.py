"""Collect small odd images out of Pillow's own tests, for ours: `tests/jobs/image/pillow.zip`.

pip download --no-deps --no-binary :all: pillow==13.0.0
python scripts/odd_images.py pillow-13.0.0.tar.gz
"""

import argparse
import tarfile
import zipfile
from pathlib import Path, PurePath

GOAL = Path(__file__).resolve().parent.parent / "tests" / "jobs" / "image" / "pillow.zip"
LARGEST = 4600
SUFFIXES = {".png", ".jpg", ".gif", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".mpo", ".eps", ".psd", ".ico", ".j2k"}
# Results of drawing, and what differs from its neighbours only where it is animated.
LEFT_OUT = (
    "imagedraw", "test_", "bitmap_font", "tga/", "html/", "_target", "bungee", "variation", "rectangle", "text",
    "apng/delay", "apng/dispose", "apng/blend", "apng/sequence", "blp/", "MipMaps", "crash-", "mask", "_ref", "psd-oob",
    "hopper_orientation", "tiff_gray",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sdist", type=Path)
    with tarfile.open(parser.parse_args().sdist) as sdist, zipfile.ZipFile(GOAL, "w", zipfile.ZIP_DEFLATED) as goal:
        for member in sorted(sdist.getmembers(), key=lambda member: member.name):
            name = member.name.partition("/")[2]
            if name == "LICENSE" or _is_wanted(name.removeprefix("Tests/images/"), name, member):
                file = sdist.extractfile(member)
                assert file is not None
                # Without a time of its own, so that the same images make the same archive.
                goal.writestr(zipfile.ZipInfo(name.removeprefix("Tests/images/")), file.read(), zipfile.ZIP_DEFLATED)


def _is_wanted(image: str, name: str, member: tarfile.TarInfo) -> bool:
    return (
        image != name
        and member.isfile()
        and member.size <= LARGEST
        and PurePath(image).suffix in SUFFIXES
        and not any(part in image for part in LEFT_OUT)
    )


if __name__ == "__main__":
    main()
