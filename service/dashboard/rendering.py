"""The templates: their environment, what each may call, and the context of a rendering."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import BaseLoader, ChoiceLoader, Environment, PackageLoader, PrefixLoader, StrictUndefined
from markupsafe import Markup

from service.dashboard import code, sparks, text
from service.dashboard.assets import DIGEST
from service.features import FEATURES
from service.own_command import FIRST_KEY, own_command

_COMPONENTS = ("basics", "actions", "tables", "parts")


@dataclass(frozen=True, slots=True)
class Here:
    """The context of a rendering: its path, its moment, and the token for its forms."""

    root: str
    now: datetime
    csrf: str


_here: ContextVar[Here] = ContextVar("here")


@contextmanager
def standing(here: Here) -> Iterator[None]:
    token = _here.set(here)
    try:
        yield
    finally:
        _here.reset(token)


def url(path: str, **query: object) -> str:
    """Return the address of one of our paths, under the prefix. A query leaves out None and repeats lists."""
    return address(_here.get().root, path, query)


def address(root: str, path: str, query: dict[str, Any]) -> str:
    pairs = {name: value for name, value in query.items() if value not in (None, "", [], ())}
    return f"{root}{path}" + (f"?{urlencode(pairs, doseq=True)}" if pairs else "")


def segment(value: str) -> str:
    """Return a text as one path segment."""
    return quote(value, safe="")


def render(template: str, values: dict[str, Any], here: Here) -> str:
    with standing(here):
        return environment().get_template(template).render(values)


@cache
def environment() -> Environment:
    """Return the templates' environment. All components are in `ui`, so templates import none."""
    made = Environment(
        loader=ChoiceLoader([PackageLoader("service.dashboard"), PrefixLoader(_templates_of_features())]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    made.globals.update(
        asset=lambda name: url(f"/assets/{DIGEST}/{name}"),
        csrf_token=lambda: _here.get().csrf,
        now=lambda: _here.get().now,
        own_command=own_command,
        first_key=FIRST_KEY,
        segment=segment,
        text=text,
        url=url,
    )
    made.filters.update(
        ago=lambda moment: text.ago(_here.get().now, moment),
        until=lambda moment: text.until(_here.get().now, moment),
        exact=text.exact,
        short=text.short_id,
        iso=_iso,
        age=lambda moment: (_here.get().now - moment).total_seconds(),
        code_json=code.json_markup,
        spark_line=sparks.line,
        spark_area=sparks.area,
        spark_bars=sparks.bars,
    )
    ui = SimpleNamespace()
    made.globals["ui"] = ui
    for name in _COMPONENTS:
        for macro, value in vars(made.get_template(f"components/{name}.html").module).items():
            if not macro.startswith("_") and callable(value):
                setattr(ui, macro, value)
    return made


def _templates_of_features() -> dict[str, BaseLoader]:
    """Return the templates of features, which begin with the feature's name."""
    return {one.name: PackageLoader(f"service.{one.name}") for one in FEATURES if one.pages is not None}


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


__all__ = ["Here", "Markup", "address", "environment", "render", "segment", "standing", "url"]
