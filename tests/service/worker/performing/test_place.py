"""The place of a failure is where its author can fix it, whatever code raised the error."""

import asyncio
import json
from dataclasses import replace

from jobs.kit.outcomes import FailedElsewhere
from service.ledger.fingerprint import fingerprint_of
from service.ledger.models import Failure
from service.worker.performing.failure import failure_of
from service.worker.performing.place import place_in, place_of

HERE = "tests/service/worker/performing/test_place.py"
ELSEWHERE = """Traceback (most recent call last):
  File "/srv/app/src/shop/receipts.py", line 41, in send_receipt
    total = rates[order["currency"]]
  File "/usr/lib/python3.12/collections/__init__.py", line 1, in __getitem__
    raise KeyError(key)
  File "/srv/venv/lib/python3.12/site-packages/lib/x.py", line 9, in deep
KeyError: 'currency'
"""


def refuse(how: int) -> None:
    if how == 1:
        json.loads("{")
    if how == 2:
        raise ValueError("mine")
    raise ValueError("also mine")


def failed(how: int) -> Failure:
    try:
        refuse(how)
    except ValueError as error:
        return failure_of(error)
    raise AssertionError


def test_the_place_is_the_innermost_line_that_is_not_a_librarys() -> None:
    by_library, by_itself = failed(1), failed(2)
    assert by_library.place is not None
    assert by_itself.place is not None
    assert by_library.place.function == by_itself.place.function == f"{HERE}:refuse"
    assert by_library.place.line.startswith(f"{HERE}:")
    assert by_library.place.line != by_itself.place.line


def test_lines_of_one_function_are_one_group_and_types_kinds_and_functions_are_others() -> None:
    one, other = failed(2), failed(3)
    assert one.place != other.place
    assert fingerprint_of("k", one) == fingerprint_of("k", other)
    assert len({fingerprint_of("k", one), fingerprint_of("k2", one), fingerprint_of("k", failed(1))}) == 3
    assert fingerprint_of("k", replace(one, place=None)) != fingerprint_of("k", one)
    assert len(fingerprint_of("k\ud800", one)) == 16


async def test_an_error_in_a_group_has_its_own_place() -> None:
    async def inner() -> None:
        raise LookupError("within")

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(inner())
    except* LookupError as errors:
        place = failure_of(errors, errors.exceptions[0]).place
    assert place is not None
    assert place.function.endswith("inner")


def test_the_place_of_code_that_ran_elsewhere_is_read_from_its_traceback() -> None:
    failure = failure_of(FailedElsewhere("KeyError", "'currency'", ELSEWHERE))
    assert failure.place is not None
    assert failure.place == ("shop/receipts.py:41", "shop/receipts.py:send_receipt")
    assert place_in('  File "<string>", line 1, in x\n') is None
    assert place_in("") is None


def test_an_error_without_a_line_of_its_authors_has_no_place() -> None:
    assert place_of(None) is None
    assert failure_of(ValueError("never raised")).place is None
