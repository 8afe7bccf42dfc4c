"""How long a mail is tried: past greylists and restarts, for four to five days (RFC 5321, 4.5.4.1)."""

from datetime import timedelta
from itertools import accumulate, pairwise

from jobs.email import send_email
from jobs.kit.retry import RetryPolicy
from service.worker.backoff import retry_wait


def waits() -> list[timedelta]:
    return [retry_wait(send_email.retry, failures) for failures in range(send_email.max_attempts - 1)]


def test_mail_is_given_up_after_four_to_five_days() -> None:
    for _ in range(100):
        assert timedelta(days=4) < sum(waits(), timedelta(0)) < timedelta(days=5)


def test_first_tries_come_soon_and_one_of_them_soon_after_a_greylist_of_five_minutes() -> None:
    for _ in range(100):
        tries = list(accumulate(waits()))
        assert tries[0] < timedelta(minutes=2)
        assert next(at for at in tries if at > timedelta(minutes=5)) < timedelta(minutes=25)


def test_no_two_tries_are_further_apart_than_three_hours() -> None:
    tries = list(accumulate(waits()))
    assert max(after - before for before, after in pairwise(tries)) < timedelta(hours=3)


def test_delays_are_varied_by_a_fifth_and_the_last_one_is_repeated() -> None:
    policy = RetryPolicy(delays=(10, timedelta(minutes=1)))
    drawn = [[retry_wait(policy, failures).total_seconds() for _ in range(200)] for failures in (0, 1, 7)]
    for nominal, seconds in zip((10, 60, 60), drawn, strict=True):
        assert nominal * 0.8 <= min(seconds) < nominal * 0.9
        assert nominal * 1.1 < max(seconds) <= nominal * 1.2
