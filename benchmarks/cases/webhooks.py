"""Posts a second at 100 at once: `send_webhook` with all its guards, a bare aiohttp loop, a plain httpx client."""

from benchmarks.arena import arena
from benchmarks.cases import Case
from benchmarks.contenders import Contender
from benchmarks.measures import Measure, Values
from tests.support.servers import PostgresServer

CONTENDERS = (
    Contender("Postlude's send_webhook", "", "kind", jobs=6_000, own_python=True),
    Contender("bare aiohttp", "", "aiohttp", jobs=20_000),
    Contender("plain httpx", "", "httpx", jobs=1_000),
)
_QUICK_SHARE = 4


def play(contender: Contender, postgres: PostgresServer, quick: bool) -> Values:
    count = contender.jobs // (_QUICK_SHARE if quick else 1) // 100 * 100
    with arena(contender, postgres) as opened:
        argv = [contender.python, "-m", "benchmarks.posts", contender.variant, count, opened.receive()]
        return {"posts_per_s": opened.answer(opened.start(argv, answers=True))["posts_per_s"]}


CASE = Case(
    name="webhooks",
    title="Webhooks",
    explanation="Posts to a local receiver that answers at once; 100 posts at a time, all on uvloop. Postlude's is the "
    "kind's own function with the HTTP client of a worker: signed, address checked, answer capped. No queue.",
    contenders=CONTENDERS,
    measures={"posts_per_s": Measure("posts/s")},
    main="posts_per_s",
    play=play,
)
