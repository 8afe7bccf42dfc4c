import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.outbound.answer import MAX_HEAD_BYTES
from service.outbound.head import HEAD_END, MAX_FIELDS, NotReadable, read_head


@given(st.binary(max_size=200))
def test_any_bytes_are_a_head_or_are_not_readable(noise: bytes) -> None:
    for raw in (noise, b"HTTP/1.1 200 OK\r\n" + noise):
        found = HEAD_END.search(raw)
        try:
            head = read_head(raw[: found.start()] if found else raw)
        except NotReadable:
            continue
        assert 100 <= head.status <= 599
        assert all(b"\n" not in name + value for name, value in head.fields)


@pytest.mark.parametrize("filling", [b" ", b"x", b"a ", b"a" * 50 + b" " * 50, b": ", b"\t", b"\r", b"a:\n", b" \n"])
@pytest.mark.parametrize("end", [b"", b"\x00", b"\x00:"])
def test_no_head_takes_long_to_read(filling: bytes, end: bytes) -> None:
    """A search that goes back over the field at each byte would take minutes."""
    filled = filling * (MAX_HEAD_BYTES // len(filling))
    for begin in (b"", b"x:", b"x: a"):
        if filled.count(b"\n") < MAX_FIELDS:
            read_head(b"HTTP/1.1 200 OK\r\n" + begin + filled + end)
    with contextlib.suppress(NotReadable):
        read_head(b"HTTP/1.1 200 " + filled + end)
