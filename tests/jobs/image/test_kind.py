"""`make_thumbnail` in a real worker: its files and its result, and images that hurt nobody but their own job."""

import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import jobs
from jobs.image import make_thumbnail
from service.files.library import FileLibrary
from service.files.opening import library_of
from service.settings import Settings
from tests.jobs.image.making import png_of_header, quarters, saved, shows_quarters
from tests.service.files.putting import put
from tests.service.worker.desk import Desk, open_desk
from tests.support.running import running_worker

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"processes": 1, "grace_s": 0.2})


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    catalogue = jobs.load()
    async with open_desk(settings, *catalogue.values()) as opened, running_worker(settings, catalogue):
        yield opened


@pytest.fixture
def library(settings: Settings, desk: Desk) -> FileLibrary:
    return library_of(settings, desk.ledger)


async def test_thumbnails_are_files_named_after_their_image(desk: Desk, library: FileLibrary, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = quarters((1600, 800)).transpose(Image.Transpose.ROTATE_90)
    source = await put(library, saved(tmp_path, turned, "JPEG", exif=exif).read_bytes(), name="My photo.png")
    wishes = {"sizes": [320, [50, 60]], "fit": "cover", "format": "webp", "expires_in": 3600}
    row = await desk.ended(await desk.enqueue(make_thumbnail, {"file": source.id, **wishes}))
    assert row["state"] == "succeeded", row["error_message"]
    result = json.loads(row["result"])
    assert (result["width"], result["height"], len(result["blurhash"])) == (1600, 800, 28)
    assert [one["size"] for one in result["files"]] == [320, [50, 60]]
    assert [(one["width"], one["height"]) for one in result["files"]] == [(320, 320), (50, 60)]
    for one, name in zip(result["files"], ("My photo-320.webp", "My photo-50x60.webp"), strict=True):
        stored = await library.find(one["id"])
        assert (stored.name, stored.size, stored.content_type) == (name, one["bytes"], one["content_type"])
        assert stored.content_type == "image/webp"
        assert stored.expires_at is not None
        content = b"".join([block async for block in library.read(stored)])
        with Image.open(io.BytesIO(content)) as thumbnail:
            assert (thumbnail.format, thumbnail.size) == ("WEBP", (one["width"], one["height"]))
            assert shows_quarters(thumbnail)


def bomb() -> bytes:
    """Make an image within the limits, whose large thumbnails take more memory than there is, in 12 kB."""
    return png_of_header(10_000, 10_000, depth=1, colour_type=0, key=b"\0\1", pixels=bytes((10_000 // 8 + 1) * 10_000))


async def test_images_that_lie_fail_alone_and_at_once(desk: Desk, library: FileLibrary, tmp_path: Path) -> None:
    good = saved(tmp_path, quarters(), "PNG").read_bytes()
    liars: dict[str, tuple[bytes, Any]] = {
        "NoImage": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", [320]),
        "ImageBroken": (good[:-40], [320]),
        "ImageTooLarge": (png_of_header(60_000, 60_000), [320]),
        "ImageTooLarge by memory": (bomb(), [8192]),
    }
    for name, (content, sizes) in liars.items():
        file = await put(library, content, name="photo.jpg")
        job_id = await desk.enqueue(make_thumbnail, {"file": file.id, "sizes": sizes})
        row = await desk.ended(job_id)
        assert (row["state"], row["error_type"]) == ("failed", name.partition(" ")[0]), row["error_message"]
        assert ("1,024 MB" in row["error_message"]) == ("memory" in name)
        assert await desk.outcomes(job_id) == ["discarded"]
    file = await put(library, good, name="photo.jpg")
    row = await desk.ended(await desk.enqueue(make_thumbnail, {"file": file.id, "sizes": [16]}))
    assert row["state"] == "succeeded"
