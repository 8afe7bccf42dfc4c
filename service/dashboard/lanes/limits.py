"""The form that sets the limits of a lane, or of all lanes that a pattern matches."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from service.errors import ArgsInvalid, LaneInvalid
from service.lane_rules import Rule, check_rule_key
from service.ledger.records.lanes import Said
from service.requests.parsing import parse
from service.web.lane_requests import LANE_REQUEST, refuse_reserved

_FIELDS = ("key", "concurrency", "rate_limit", "rate_per")


@dataclass(frozen=True, slots=True)
class LimitsForm:
    """The input, and what is wrong with it, by field name."""

    texts: Mapping[str, str]
    is_strict: bool = False
    errors: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, key: str, rule: Rule | None) -> "LimitsForm":
        """Return the form for a key, with its present limits."""
        rule = rule or Rule(key)
        per = "" if rule.rate_per_s is None else f"{rule.rate_per_s:g}"
        numbers = {"concurrency": rule.concurrency, "rate_limit": rule.rate_limit}
        texts = {name: "" if number is None else str(number) for name, number in numbers.items()}
        return cls({"key": key, "rate_per": per or "1"} | texts, rule.strict)

    @classmethod
    def posted(cls, entries: Mapping[str, str]) -> "LimitsForm":
        return cls({name: entries.get(name, "").strip() for name in _FIELDS}, "strict" in entries)

    @property
    def key(self) -> str:
        return self.texts["key"]

    def said(self) -> "Said | LimitsForm":
        """Return the form's request or, if it is wrong, the form with the API's errors."""
        errors = _key_errors(self.key)
        rate = {"limit": _number(self.texts["rate_limit"]), "per": _number(self.texts["rate_per"])}
        body = {
            "concurrency": _number(self.texts["concurrency"]) if self.texts["concurrency"] else None,
            "rate": rate if self.texts["rate_limit"] else None,
            "order": "strict" if self.is_strict else None,
        }
        try:
            said = parse(LANE_REQUEST, json.dumps(body).encode(), {}).said()
        except ArgsInvalid as error:
            errors |= {_field_of(one["loc"]): one["msg"] for one in reversed(error.errors or [])}
            said = Said()
        return LimitsForm(self.texts, self.is_strict, errors) if errors else said


def _key_errors(key: str) -> dict[str, str]:
    try:
        check_rule_key(key)
        refuse_reserved(key)
    except (ValueError, LaneInvalid) as error:
        return {"key": str(error)}
    return {}


def _field_of(place: list[str | int]) -> str:
    steps = [str(step) for step in place[:2]]
    return f"rate_{steps[1]}" if steps[:1] == ["rate"] and len(steps) > 1 else "".join(steps[:1]) or "concurrency"


def _number(text: str) -> float | str:
    try:
        return int(text) if text.lstrip("-").isdecimal() else float(text)
    except ValueError:
        return text
