from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from service.outbound.body import BodyBroken, ChunkedBody


@given(
    st.lists(st.binary(min_size=1, max_size=30), max_size=8),
    st.binary(max_size=10),
    st.lists(st.integers(0, 400), max_size=20),
)
def test_chunks_are_read_the_same_however_they_are_cut(chunks: list[bytes], beyond: bytes, cuts: list[int]) -> None:
    wire = b"".join(b"%x;a=b\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\nx: y\r\n\r\n" + beyond
    edges = sorted({0, len(wire), *(cut for cut in cuts if cut < len(wire))})
    body, whole, got, rest = ChunkedBody(), b"".join(chunks), b"", None
    for start, end in pairwise(edges):
        if rest is not None:
            rest += wire[start:end]
            continue
        part, rest = body.feed(wire[start:end])
        got += part
    assert (got, rest) == (whole, beyond)


@given(st.lists(st.binary(max_size=20), max_size=10))
def test_any_bytes_are_chunks_or_a_broken_body(pieces: list[bytes]) -> None:
    body = ChunkedBody()
    try:
        for piece in pieces:
            _, beyond = body.feed(piece)
            if beyond is not None:
                return
    except BodyBroken:
        pass
