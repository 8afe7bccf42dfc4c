"""Growing delays for callers who guess."""

from itertools import repeat

from service.access.throttle import Throttle, place_of


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_each_failure_beyond_the_first_few_doubles_the_wait_up_to_a_bound() -> None:
    clock = Clock()
    throttle = Throttle(free=3, clock=clock)
    waits = []
    for _ in repeat(None, 14):
        throttle.failed("a")
        waits.append(throttle.wait_s("a"))
        clock.now += waits[-1]
    assert waits == [0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    assert throttle.wait_s("b") == 0
    assert (throttle.left("a"), throttle.left("b")) == (0, 3)


def test_success_and_time_forgive() -> None:
    clock = Clock()
    throttle = Throttle(free=1, clock=clock)
    throttle.failed("a")
    throttle.failed("b")
    throttle.succeeded("a")
    assert (throttle.wait_s("a"), throttle.wait_s("b")) == (0, 1)
    for _ in range(5):
        throttle.failed("b")
    clock.now += 1_000
    throttle.failed("b")
    assert throttle.wait_s("b") == 1


def test_memory_is_bounded_and_the_quiet_are_forgotten_first() -> None:
    throttle = Throttle(free=1, clock=Clock())
    throttle.failed("kept")
    for number in range(10_000):
        throttle.failed(f"other {number}")
        throttle.failed("kept")
    assert len(throttle._failures) == 10_000
    assert throttle.wait_s("kept") > 0
    assert throttle.wait_s("other 0") == 0


def test_a_network_of_ipv6_is_one_place() -> None:
    assert place_of("203.0.113.7") == "203.0.113.7"
    assert place_of("2001:db8:1:2::5") == place_of("2001:db8:1:2:ffff::1") == "2001:db8:1:2::/64"
    assert place_of("2001:db8:1:3::5") != place_of("2001:db8:1:2::5")
    assert place_of("::ffff:203.0.113.7") == "203.0.113.7"
    assert (place_of(None), place_of("a-socket")) == ("unknown", "a-socket")
