"""Sparklines: the highest value is at the top, and what is unknown is a gap."""

from service.dashboard.sparks import area, bars, line


def test_a_line_goes_through_all_values() -> None:
    assert line([0, 1, 2]) == "M0.0 31.0L60.0 17.5L120.0 4.0"
    assert area([0, 2]) == "M0.0 31.0L120.0 4.0L120.0 32L0.0 32Z"


def test_what_is_unknown_is_a_gap() -> None:
    assert line([None, 1, None, 1, 1]) == "M30.0 4.0M90.0 4.0L120.0 4.0"
    assert line([None, None]) == line([]) == area([]) == ""


def test_nothing_but_zero_lies_on_the_ground() -> None:
    assert line([0, 0]) == "M0.0 31.0L120.0 31.0"
    assert bars([0, 0]) == "M0.5 24v-1.2h42.0V24zM60.5 24v-1.2h42.0V24z"
    assert bars([0, 3]).endswith("v-24.0h42.0V24z")
