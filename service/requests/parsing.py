"""Validates the JSON of a request into its model; says what is wrong by place. Cost is bounded."""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import structlog
from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from jobs import Kind
from jobs.kit.names import nearest
from jobs.kit.round_trip import ArgsChanged, ended, listed
from service.errors import MOST_ERRORS, ArgsInvalid, BodyMalformed, KindUnknown
from service.lifecycle.args import MAX_ARGS_BYTES, describe, with_nearest_names
from service.misfits import shown
from service.requests.option_names import with_nearest_option

log = structlog.get_logger(__name__)

T = TypeVar("T")
Kinds = Mapping[str, Kind[Any, Any]]
# As many as fit into args of 256 KiB if each is `{},`, and some more for the job's options.
MOST_VALUES = MAX_ARGS_BYTES * 2 // 3 + 1_000
# No field has a refusal of its own.
_NO_OWN: Mapping[str, type[ArgsInvalid]] = {}
_UNKNOWN_TAG = "union_tag_invalid"
_UNKNOWN_KIND = "The kind is unknown"
# Pydantic's one message that repeats the input, which may be a secret.
_TAG_SENT = re.compile("^Input tag '.*' found", re.DOTALL)
# Of a union, whose members are told apart by a field that is not there.
_NO_TAG = "union_tag_not_found"
_TAG_FIELD = re.compile(r"discriminator '(\w+)'")
_LONGEST_MESSAGE = 500
_LONGEST_NAME = 100
_DEEPEST = 20
# Beyond this number, errors are not made into Python objects (4 us each): only the text of the first is read.
_DESCRIBED = 1_000
_FIRST_ERRORS_CHARACTERS = 100_000
# Stands in for what is missing of a first error that is longer.
_CUT = {"loc": [], "msg": "It is not valid, and its name or its message is too long to show"}
_ESCAPED_NUL = b"\\u0000"
# An escape for NUL: an odd number of backslashes before u0000. No database text may hold one.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*+\\u0000")
# A string, or the character before a value (except the first value).
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|([,\[{])', re.DOTALL)


def parse(
    adapter: TypeAdapter[T],
    body: bytes,
    kinds: Kinds,
    *,
    kind: Kind[Any, Any] | None = None,
    refusals: Mapping[str, type[ArgsInvalid]] = _NO_OWN,
) -> T:
    """Validate JSON into the adapter's type. Raises `BodyMalformed`, `KindUnknown` and `ArgsInvalid`.

    The args are of the `kind`, or of the one among `kinds` that the body names. A field may have a refusal of its own
    among `refusals`, for a body that is wrong nowhere else.
    """
    refuse_nul(body)
    refuse_values_beyond(MOST_VALUES, body)
    try:
        parsed = adapter.validate_json(body)
        _check_keys(kind or kinds.get(getattr(parsed, "kind", "")), body)
    except ValidationError as error:
        raise refusal(_errors_in(error, adapter, kinds), kinds, refusals) from None
    except ArgsChanged as error:
        errors = [_shown(one | {"loc": ["args", *one["loc"]]}, {}) for one in error.errors]
        raise _misfit(errors) from error
    except Exception as error:
        log.error("validator_failed", exc_info=error)
        msg = f"a validator of the kind's args failed on them ({type(error).__name__}); the log has its traceback"
        errors = [{"loc": ["args"], "msg": msg, "type": "validator_failed"}]
        raise _misfit(errors) from error
    return parsed


def _check_keys(kind: Kind[Any, Any] | None, body: bytes) -> None:
    """Refuse keys of args that become equal when they are read; only the body still shows both."""
    if kind is not None and kind.keys_may_clash:
        kind.check_keys(from_json(body).get("args"), from_json=True)


def refuse_nul(body: bytes) -> None:
    if _ESCAPED_NUL in body and _NUL.search(body):  # the pattern alone takes 0.7 s for 32 MiB
        raise ArgsInvalid("The body holds the character NUL (\\u0000), which cannot be stored.")


def refuse_values_beyond(most: int, body: bytes) -> None:
    """Refuse JSON of more than `most` values before it is parsed: a value in memory takes up to 250 times its text."""
    # Most of the counted characters may be in strings, so count again without strings.
    if len(body) <= most or body.count(b",") + body.count(b"[") + body.count(b"{") < most:
        return
    left = most
    for token in _TOKEN.finditer(body):
        left -= token.lastindex is not None
        if left < 0:
            raise ArgsInvalid(f"The JSON holds more than {most:,} values, which is the most for this request.")


def refusal(
    errors: list[dict[str, Any]], kinds: Kinds, refusals: Mapping[str, type[ArgsInvalid]] = _NO_OWN
) -> Exception:
    """Make the refusal of a body that has these errors."""
    sorts = {one["type"] for one in errors}
    if "json_invalid" in sorts:
        return BodyMalformed(f"The body is not valid JSON: {errors[0]['msg'].removeprefix('Invalid JSON: ')}.")
    if told := next((one["msg"] for one in errors if _is_of_kind(one)), None):
        return KindUnknown(f"{ended(told)} Known kinds: {', '.join(kinds)}.", errors=errors)
    own = {refusals.get(str(one["loc"][0])) if one["loc"] else None for one in errors}
    if len(own) == 1 and (of_field := own.pop()) is not None:
        return _misfit(errors, of_field)
    return _misfit(errors)


def _misfit(errors: list[dict[str, Any]], refusal_of: type[ArgsInvalid] = ArgsInvalid) -> ArgsInvalid:
    return refusal_of(f"The body is not valid: {ended(listed(errors, at_top=''))}", errors=errors)


def _is_of_kind(error: dict[str, Any]) -> bool:
    return error["type"] == _UNKNOWN_TAG and str(error["msg"]).startswith(_UNKNOWN_KIND)


def _errors_in(error: ValidationError, adapter: TypeAdapter[Any], kinds: Kinds) -> list[dict[str, Any]]:
    errors = _first_errors(error)
    first = errors[0]
    if first["type"] == _UNKNOWN_TAG and not first["loc"]:  # of the union of all kinds, so it is the only error
        near = nearest(error.errors(include_url=False, include_input=False)[0]["ctx"]["tag"], kinds)
        msg = f"{_UNKNOWN_KIND}; did you mean {near!r}?" if near else _UNKNOWN_KIND
        return [first | {"loc": ["kind"], "msg": msg}]
    return [with_nearest_option(_shown(one, kinds), adapter) for one in errors]


def _first_errors(error: ValidationError) -> list[dict[str, Any]]:
    if error.error_count() <= _DESCRIBED:
        return describe(error)[:MOST_ERRORS]
    text = error.json(include_url=False, include_context=False, include_input=False)
    begin = text[:_FIRST_ERRORS_CHARACTERS].encode()
    first: list[dict[str, Any]] = from_json(begin, allow_partial="trailing-strings")
    whole = first[:-1]  # the last may be half an error
    return shown(whole[:MOST_ERRORS] or [_CUT | first[0]])


def _shown(error: dict[str, Any], kinds: Kinds) -> dict[str, Any]:
    """Leave out the union's own step and what repeats the input, and cut what is too long."""
    message = _TAG_SENT.sub("The tag found", error["msg"]) if error["type"] == _UNKNOWN_TAG else error["msg"]
    loc = [step[:_LONGEST_NAME] if isinstance(step, str) else step for step in error["loc"][:_DEEPEST]]
    error = error | {"loc": loc, "msg": message[:_LONGEST_MESSAGE]}
    if error["type"] == _NO_TAG and (field := _TAG_FIELD.search(message)):
        loc = [*loc, field[1]]
        error = {"loc": loc, "msg": "Field required", "type": "missing"}
    if not loc or loc[0] not in kinds:
        return error
    kind, inside = kinds[loc[0]], loc[1:]
    if inside[:1] != ["args"]:
        return error | {"loc": inside}
    [named] = with_nearest_names([error | {"loc": inside[1:]}], kind)
    return named | {"loc": inside}
