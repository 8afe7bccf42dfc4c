"""Calls of an app's function a second at 100 at once, beside `send_webhook` to the same receiver."""

from benchmarks.arena import arena
from benchmarks.cases import Case
from benchmarks.contenders import Contender
from benchmarks.measures import Measure, Values
from tests.support.servers import PostgresServer

_APP = Contender(
    "call_app, app on uvicorn", "", "call", jobs=4_000, own_python=True, settings={"POSTLUDE_URL": "http://127.0.0.1:9"}
)
CONTENDERS = (
    Contender("send_webhook", "", "kind", jobs=6_000, own_python=True),
    Contender("call_app, answered at once", "", "call", jobs=6_000, own_python=True),
    _APP,
)
_QUICK_SHARE = 4


def play(contender: Contender, postgres: PostgresServer, quick: bool) -> Values:
    count = contender.jobs // (_QUICK_SHARE if quick else 1) // 100 * 100
    with arena(contender, postgres) as opened:
        url = opened.be_called() if contender is _APP else opened.receive()
        argv = [contender.python, "-m", "benchmarks.posts", contender.variant, count, url]
        measured = opened.answer(opened.start(argv, answers=True))
        return {name: measured[name] for name in CASE.measures}


CASE = Case(
    name="app_calls",
    title="Calls of an app",
    explanation="The function of `call_app`, from the request to the verdict, as a worker runs it; no queue. 100 at a "
    "time, so the latency is that of a full house. `send_webhook` and the second row post to a receiver that answers "
    "at once; the third calls an `async def` in a FastAPI app with `Postlude(app)`, in one process of uvicorn.",
    contenders=CONTENDERS,
    measures={
        "posts_per_s": Measure("calls/s"),
        "p50_ms": Measure("p50 ms", more_is_better=False, digits=1),
        "p99_ms": Measure("p99 ms", more_is_better=False, digits=1),
    },
    main="posts_per_s",
    play=play,
    chapter="apps",
)
