"""Events are read from whatever pieces they come in."""

import pytest

from postlude.sse import EventStream, ServerEvent

STREAM = (
    b": still here\n\n"
    b'id: 1.2.3\nevent: state\ndata: {"state":\ndata: "queued"}\n\n'
    b"event: state\ndata:tight\r\n\r\n"
    b"id: 4\revent: progress\rdata: caf\xc3\xa9 \xe2\x80\xa8\r\r"
    b"id: 5\ndata: cut off"
)
EVENTS = [
    ServerEvent("1.2.3", "state", '{"state":\n"queued"}'),
    ServerEvent("1.2.3", "state", "tight"),
    ServerEvent("4", "progress", "café \u2028"),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_pieces_of_any_size_give_the_same_events(size: int) -> None:
    stream = EventStream()
    pieces = [STREAM[start : start + size] for start in range(0, len(STREAM), size)]
    assert [event for piece in pieces for event in stream.read(piece)] == EVENTS
