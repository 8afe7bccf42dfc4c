"""`make_thumbnail`: smaller versions of an image, as files."""

from pathlib import PurePath

from jobs.image.args import MakeThumbnailArgs, MakeThumbnailResult, Size, Thumbnail, box_of
from jobs.image.errors import MEMORY_MB
from jobs.image.formats import Output, output_for
from jobs.image.geometry import Cut, Pixels, cut_of
from jobs.image.picture import read_picture
from jobs.image.writing import blurhash_of, encoded
from jobs.kit.declaration import job
from jobs.kit.files import StoredFile
from jobs.kit.thread_context import ThreadContext

# Of a name's 255 characters, some are needed to tell thumbnails apart.
_LONGEST_STEM = 200


@job("make_thumbnail", runs="process", memory_mb=MEMORY_MB, timeout=120, max_attempts=3)
def make_thumbnail(ctx: ThreadContext, args: MakeThumbnailArgs) -> MakeThumbnailResult:
    """Make smaller versions of an image, upright, in sRGB and without EXIF, and a blurhash.

    Reads JPEG, PNG, GIF, WebP, AVIF, TIFF and BMP; the first of several frames or pages. A file that is none of these,
    is damaged or too large fails its job at once.
    """
    with ctx.files.local(args.file) as path:
        source = ctx.files.get(args.file)
        picture = read_picture(
            path, source.content_type, lambda image: [_cut(image, size, args) for size in args.sizes]
        )
    output = output_for(args.format, picture.format)
    thumbnails = []
    for size in args.sizes:
        cut = _cut(picture.size, size, args)
        written = encoded(picture.cut(cut), output, args.quality, args.background)
        stored = ctx.files.store(
            written, name=_name(source, size, output), content_type=output.content_type, expires_in=args.expires_in
        )
        thumbnails.append(_thumbnail(size, cut, stored))
    width, height = picture.size
    blurhash = blurhash_of(picture, args.background)
    return MakeThumbnailResult(width=width, height=height, blurhash=blurhash, files=thumbnails)


def _cut(image: Pixels, size: Size, args: MakeThumbnailArgs) -> Cut:
    return cut_of(image, box_of(size), args.fit, upscale=args.upscale)


def _thumbnail(size: Size, cut: Cut, stored: StoredFile) -> Thumbnail:
    return Thumbnail(
        size=size,
        id=stored.id,
        width=cut.width,
        height=cut.height,
        bytes=stored.size,
        content_type=stored.content_type,
    )


def _name(source: StoredFile, size: Size, output: Output) -> str:
    """Name a thumbnail after its image: `photo.png` becomes `photo-320.png`, or `photo-1200x630.png`."""
    label = str(size) if isinstance(size, int) else f"{size[0]}x{size[1]}"
    return f"{PurePath(source.name).stem[:_LONGEST_STEM]}-{label}{output.suffix}"
