from typing import Any

import pytest
from pydantic import ValidationError

from jobs.app.args import CallAppArgs, lane_of


def args(**fields: Any) -> CallAppArgs:
    return CallAppArgs.model_validate({"app": "shop", "function": "shop.mail.send_receipt"} | fields)


def test_calls_of_an_app_share_its_lane_and_count_as_their_functions() -> None:
    lane = lane_of(args())
    assert (lane.key, lane.label, lane.longest_pause) == ("app:shop", "shop.shop.mail.send_receipt", 30)


@pytest.mark.parametrize("name", ["", "Shop", "-shop", "shop.eu", "s" * 64, "shop\n"])
def test_a_name_that_no_app_can_have_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        args(app=name)


@pytest.mark.parametrize("function", ["", "mail", "shop.<locals>.f", "shop..mail", "shop.1st", "s.m\n", "a.*", "a b.c"])
def test_what_names_no_function_is_refused(function: str) -> None:
    with pytest.raises(ValidationError):
        args(function=function)


def test_names_of_the_longest_app_and_function_make_a_label_that_can_be_paused() -> None:
    lane = lane_of(args(app="a" * 63, function="m." + "ü" * 178))
    assert len(f"kind:{lane.label}") <= 255


@pytest.mark.parametrize("function", ["__main__.send", "shop.Größe.ändern", "a.B.c"])
def test_a_qualified_name_of_python_is_taken(function: str) -> None:
    assert args(function=function).function == function


def test_arguments_that_no_json_can_carry_are_refused() -> None:
    bad: Any
    for bad in ({"a": float("nan")}, {"a": "\ud800"}, {"a": object()}, []):
        with pytest.raises(ValidationError):
            args(arguments=bad)
