"""Thumbnails beside a bare loop over Pillow: `python -m benchmarks.thumbnails`.

100 JPEGs of 12 megapixels, in as many processes as a worker has children by default. The loop opens, reduces, turns
upright, resizes and writes each image by Pillow's own `thumbnail`, and has the blurhash computed, as `make_thumbnail`
does; a worker also records the job, takes the image out of the files of the service and stores the thumbnail there.
Both in turns.
"""

import argparse
import asyncio
import io
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import blurhash  # type: ignore[import-untyped]
from PIL import Image, ImageFilter, ImageOps
from sqlalchemy import func, select

import jobs
from jobs.image import make_thumbnail
from service import agreed_time
from service.features import FEATURES
from service.files.opening import library_of
from service.ledger import migrate
from service.lifecycle.args import accepted_args
from service.lifecycle.file_check import FileCheck
from service.lifecycle.new_job import new_job
from service.options import Options
from service.settings import Settings
from service.tables import jobs as jobs_table
from tests.service.files.putting import put
from tests.service.worker.desk import Desk, open_desk
from tests.support.servers import RedisServer
from tests.support.worker_process import registered, worker_process

_SIDE, _QUALITY, _BLUR_SIDE = 320, 80, 16
_TWELVE_MEGAPIXELS = (4000, 3000)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pl-") as name:
        folder = Path(name)
        paths = _make_images(folder, wanted.images)
        redis = RedisServer(folder / "redis")
        redis.start()
        try:
            await _measure(Settings(redis_url=redis.url, data_dir=folder, queues=("default",)), paths, wanted.rounds)
        finally:
            redis.stop()


def _make_images(folder: Path, count: int) -> list[Path]:
    """Make JPEGs with about as much in them as photographs have."""
    noise = Image.effect_noise((1000, 750), 60).resize(_TWELVE_MEGAPIXELS).filter(ImageFilter.GaussianBlur(1))
    ramp = Image.linear_gradient("L").resize(_TWELVE_MEGAPIXELS)
    written = io.BytesIO()
    Image.merge("RGB", [ramp, noise, ramp.transpose(Image.Transpose.ROTATE_180)]).save(written, "JPEG", quality=88)
    paths = [folder / f"{number}.jpg" for number in range(count)]
    for path in paths:
        path.write_bytes(written.getvalue())
    print(f"{count} JPEGs of 12 megapixels, {len(written.getvalue()) / 1e6:.1f} MB each")
    return paths


async def _measure(settings: Settings, paths: list[Path], rounds: int) -> None:
    await migrate.upgrade(settings, [feature.schema for feature in FEATURES])
    catalogue = jobs.load()
    ours: list[float] = []
    bare: list[float] = []
    async with open_desk(settings, *catalogue.values()) as desk, worker_process(settings, settings.data_dir) as worker:
        await registered(worker)
        library = library_of(settings, desk.ledger)
        ids = [(await put(library, path.read_bytes(), name=path.name)).id for path in paths]
        print(f"{settings.most_processes} processes")
        with ProcessPoolExecutor(settings.most_processes, mp_context=get_context("spawn")) as pool:
            for number in range(rounds + 1):
                ours.append(await _by_worker(desk, ids))
                bare.append(_by_loop(pool, paths))
                print(f"{'warming up' if number == 0 else f'round {number}'}: {_rates(ours[-1], bare[-1], len(paths))}")
    print(f"median: {_rates(statistics.median(ours[1:]), statistics.median(bare[1:]), len(paths))}")


def _rates(ours: float, bare: float, count: int) -> str:
    return f"{count / ours:.1f}/s by a worker, {count / bare:.1f}/s by a bare loop: {bare / ours:.2f}"


async def _by_worker(desk: Desk, files: list[str]) -> float:
    """Return the seconds from the enqueue of all, as a batch does it, until the last of them has ended.

    The ledger tells when that was: to look for it often would take CPU from those who are measured.
    """
    began = agreed_time.now()
    args = [accepted_args(make_thumbnail, {"file": file, "sizes": [_SIDE]}) for file in files]
    batch = [new_job(make_thumbnail, one, Options(), began) for one in args]
    await FileCheck(desk.ledger, desk.resources.catalogue).check_jobs(batch)
    ids = (await desk.lifecycle.enqueue(batch)).ids
    ended = select(func.count(), func.max(jobs_table.c.finished_at)).where(
        jobs_table.c.id.in_(ids), jobs_table.c.state == "succeeded"
    )
    while True:
        await asyncio.sleep(0.25)
        async with desk.ledger.read() as connection:
            count, last = (await connection.execute(ended)).one()
        if count == len(ids):
            return float((last - began).total_seconds())


def _by_loop(pool: ProcessPoolExecutor, paths: list[Path]) -> float:
    began = time.perf_counter()
    list(pool.map(_thumbnail, paths))
    return time.perf_counter() - began


def _thumbnail(path: Path) -> str:
    with Image.open(path) as image:
        image.thumbnail((_SIDE, _SIDE))
        upright = ImageOps.exif_transpose(image)
    upright.save(path.with_suffix(".thumbnail.jpg"), "JPEG", quality=_QUALITY)
    upright.thumbnail((_BLUR_SIDE, _BLUR_SIDE))
    pixels = [[upright.getpixel((x, y)) for x in range(upright.width)] for y in range(upright.height)]
    hashed: str = blurhash.encode(pixels, 4, 3)
    return hashed


if __name__ == "__main__":
    asyncio.run(main())
