"""The trace of a job."""

import pytest

from service.dashboard.job.trace import trace_id_of

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize(
    ("context", "trace_id"),
    [
        (None, None),
        ("{}", None),
        ('{"tracestate": "a=b"}', None),
        ('{"traceparent": "nonsense"}', None),
        (f'{{"traceparent": "00-{TRACE}-b7ad6b7169203331-01"}}', TRACE),
    ],
)
def test_the_trace_is_that_of_the_enqueue(context: str | None, trace_id: str | None) -> None:
    assert trace_id_of(context) == trace_id
