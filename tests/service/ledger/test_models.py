from service.ledger.models import Started
from service.own_retry import OwnRetry
from tests.service.ledger.makers import NOW

STARTED = Started(
    "j1", "greet", 1, 0, 0, 5, "{}", None, "default", None, NOW, "w", NOW, lane="a", retry=OwnRetry(base=1.0)
)


def test_the_time_of_its_claim_is_all_that_is_new_of_an_attempt() -> None:
    assert STARTED.claimed_at(7) == STARTED._replace(claimed_ms=7)
