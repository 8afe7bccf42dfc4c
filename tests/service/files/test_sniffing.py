"""What files are, by their first bytes."""

import gzip
import io
import time
import zipfile

import puremagic
import pytest
from PIL import Image

from service.files.sniffing import SNIFFED_BYTES, UNKNOWN, content_type_of


def image(form: str) -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (9, 9)).save(written, form)
    return written.getvalue()


def zipped(*names: str) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return written.getvalue()


@pytest.mark.parametrize(
    ("head", "name", "told"),
    [
        (b"", "a.png", "application/x-empty"),
        (image("PNG"), "a.txt", "image/png"),
        (image("JPEG"), "a", "image/jpeg"),
        (image("GIF"), "a", "image/gif"),
        (image("WEBP"), "a", "image/webp"),
        (image("BMP"), "a", "image/bmp"),
        (image("AVIF"), "a", "image/avif"),
        (b"%PDF-1.7\n1 0 obj", "a.txt", "application/pdf"),
        (gzip.compress(b"x", mtime=0), "a.csv", "application/gzip"),
        (zipped("a.txt"), "a.docx", "application/zip"),
        (
            zipped("[Content_Types].xml", "xl/workbook.xml"),
            "a.csv",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        ),
        (b"MZ\x90\x00" + bytes(60), "a.png", "application/vnd.microsoft.portable-executable"),
        (b"\x7fELF" + bytes(60), "a.png", "application/x-elf"),
        (b"\x00\x01\x02\x03\x04", "a.png", "application/octet-stream"),
        (b'<?xml version="1.0"?>\n<!-- x --><svg xmlns="http://www.w3.org/2000/svg"/>', "a.png", "image/svg+xml"),
        (b"<svg onload=alert(1)>", "a.csv", "image/svg+xml"),
        (b"\xef\xbb\xbf  <!DOCTYPE html><html>", "a.csv", "text/html"),
        (b"<!-- x --><script>alert(1)</script>", "a.txt", "text/html"),
        (b"<?xml version='1.0'?><feed/>", "a.txt", "application/xml"),
        (b"a,b\n1,2\n", "a", "text/csv"),
        (b"a;b\n1;2\n", "a.bin", "text/csv"),
        (b"only one column\nof text\n", "a.csv", "text/csv"),
        ("größe;preis\n1;2\n".encode("cp1252"), "a", "text/csv"),
        ("a\tb\n1\t2\n".encode("utf-16"), "a", "text/csv"),
        (b'{"a": 1}', "a", "application/json"),
        (b"[1, 2]", "a.txt", "text/plain"),
        (b"plain words, with a comma\nand another line\n", "a", "text/plain"),
        (b"BM is how this text begins\n", "a", "text/plain"),
    ],
)
def test_type_is_told_by_the_first_bytes(head: bytes, name: str, told: str) -> None:
    assert content_type_of(head, name, is_whole=True) == told


@pytest.mark.parametrize("head", [b"<?" * 4096, b"<!--" * 2048, b"<!" + b" " * 8190, b"<!doctype" + b" " * 8000])
def test_no_beginning_takes_long_to_look_at(head: bytes) -> None:
    began = time.process_time()
    assert content_type_of(head, "a", is_whole=False) == "text/plain"
    assert time.process_time() - began < 0.05  # it took half a second, of everybody's


def test_letter_that_the_first_bytes_cut_in_two_is_no_fault() -> None:
    assert content_type_of("ö".encode()[:1], "a", is_whole=False) == "text/plain"
    assert content_type_of(("é" * 5000).encode()[:8191], "a", is_whole=False) == "text/plain"


@pytest.mark.parametrize("size", [40, SNIFFED_BYTES])
def test_whatever_puremagic_knows_is_told_wherever_it_stands(size: int) -> None:
    for row in {*puremagic.magic_header_array, *puremagic.magic_footer_array}:
        at = row.offset if row.offset >= 0 else size + row.offset
        if row.mime_type in {"", UNKNOWN} or not 0 <= at <= size - len(row.byte_match):
            continue
        head = bytearray(b"\x01\x02" * (size // 2))
        head[at : at + len(row.byte_match)] = row.byte_match
        is_known = any(one.mime_type not in {"", UNKNOWN} for one in puremagic.magic_string(bytes(head))[:1])
        assert not is_known or content_type_of(bytes(head), "a", is_whole=True) != UNKNOWN, row
