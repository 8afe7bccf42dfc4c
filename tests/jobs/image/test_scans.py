import io
from pathlib import Path

import pytest

from jobs.image.errors import ImageBroken
from jobs.image.scans import MOST_SCANS
from tests.jobs.image.making import quarters, shows_quarters, thumbnail_of


def with_scans_more(count: int) -> bytes:
    """Make a progressive JPEG, whose last scan comes again so many times."""
    written = io.BytesIO()
    quarters().save(written, "JPEG", progressive=True)
    content = written.getvalue()
    end = len(content) - 2
    last_scan = content[content.rindex(b"\xff\xda") : end]
    return content[:end] + last_scan * count + content[end:]


def test_jpeg_that_would_keep_its_decoder_busy_with_scans_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    path.write_bytes(with_scans_more(40))
    assert shows_quarters(thumbnail_of(path))
    path.write_bytes(with_scans_more(MOST_SCANS))
    with pytest.raises(ImageBroken, match="scans"):
        thumbnail_of(path)
