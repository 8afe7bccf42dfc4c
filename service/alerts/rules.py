"""Which troubles are alerts, by `POSTLUDE_ALERT_ON`."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from service.insight.troubles import Trouble


class Rules:
    """Each rule is a severity or a pattern of troubles' keys: `wrong`, `lane:*`. A leading `-` excludes."""

    def __init__(self, rules: Iterable[str]) -> None:
        every = tuple(rules)
        self._wanted = [rule for rule in every if not rule.startswith("-")]
        self._unwanted = [rule.removeprefix("-") for rule in every if rule.startswith("-")]

    def want(self, trouble: Trouble) -> bool:
        return _any(self._wanted, trouble) and not _any(self._unwanted, trouble)


def _any(rules: Iterable[str], trouble: Trouble) -> bool:
    return any(rule == trouble.severity or fnmatchcase(trouble.key, rule) for rule in rules)
