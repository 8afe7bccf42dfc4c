"""The catalogue: all kinds, each declared by `@job` in a file of its own."""

import importlib
import inspect
import os
import pkgutil
import sys
import traceback
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobs.kit.declaration import CatalogueError, declare, file_of, shown_path
from jobs.kit.kind import A, CatchUp, JobFunction, Kind, R
from jobs.kit.outcomes import Seconds
from jobs.kit.retry import RetryPolicy

DEFAULT_TIMEOUT = 60.0


def job(
    name: str,
    *,
    timeout: Seconds = DEFAULT_TIMEOUT,
    max_attempts: int | None = None,
    queue: str = "default",
    cron: str | None = None,
    catch_up: CatchUp | None = None,
    retry: RetryPolicy | None = None,
) -> Callable[[JobFunction[A, R]], Kind[A, R]]:
    """Declare an async function `(ctx: Context, args: SomeModel) -> result` as the kind `name`.

    `timeout` bounds each attempt, in seconds or as a timedelta. `cron` is a five-field expression in UTC, or a
    six-field one that begins with seconds; such a kind's args must have defaults throughout. `catch_up` says which
    ticks that came due while no worker ran become jobs afterwards: "none", the "last" (the default) or "all".
    `max_attempts` is 5 by default, or one more than the `delays` of `retry`.
    Raises `CatalogueError` where the declaration does not hold.
    """
    if callable(name):
        named = getattr(name, "__name__", "a_name")
        raise CatalogueError(f'{file_of(name)}: `@job` needs the name of the kind: write `@job("{named}")`')

    def decorate(function: JobFunction[A, R]) -> Kind[A, R]:
        return declare(
            function,
            name,
            timeout=timeout,
            max_attempts=max_attempts,
            queue=queue,
            cron=cron,
            catch_up=catch_up,
            retry=RetryPolicy() if retry is None else retry,
        )

    return decorate


@dataclass(frozen=True)
class Catalogue(Mapping[str, Kind[Any, Any]]):
    """All kinds by name."""

    kinds: dict[str, Kind[Any, Any]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Kind[Any, Any]:
        return self.kinds[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.kinds)

    def __len__(self) -> int:
        return len(self.kinds)

    def add(self, kind: Kind[Any, Any]) -> None:
        """Add `kind`; adding the same one twice is harmless. Raises `CatalogueError` when its name is taken."""
        known = self.kinds.setdefault(kind.name, kind)
        if known is not kind:
            raise CatalogueError(f"{kind.file}: kind {kind.name!r}: the name is taken by {known.file}")


def load(modules: Sequence[str] = ()) -> Catalogue:
    """Collect the kinds of this package and of `modules` (import paths). Raises `CatalogueError`."""
    catalogue = Catalogue()
    package = importlib.import_module("jobs")
    for module in pkgutil.iter_modules(package.__path__):
        _add_all(catalogue, _import(f"jobs.{module.name}"))
    for name in modules:
        module_of_kinds = _import(name)
        if not _add_all(catalogue, module_of_kinds):
            raise CatalogueError(_without_kinds(name, module_of_kinds))
        _refuse_hidden(catalogue, module_of_kinds)
    return catalogue


def _add_all(catalogue: Catalogue, module: types.ModuleType) -> bool:
    """Add the kinds that a module has names for; tells whether there are any."""
    kinds = [value for value in vars(module).values() if isinstance(value, Kind)]
    for kind in kinds:
        catalogue.add(kind)
    return bool(kinds)


def _without_kinds(name: str, module: types.ModuleType) -> str:
    hidden = _hidden(module)
    if hidden:
        return _say_hidden(*hidden[0])
    return (
        f"{name}: the module named by POSTLUDE_JOBS declares no kinds"
        f"{_where(module)}: decorate an async function with `@job(...)` there, or name the module that does"
    )


def _where(module: types.ModuleType) -> str:
    return f" ({shown_path(Path(module.__file__))})" if module.__file__ else " (it is a folder without __init__.py)"


def _refuse_hidden(catalogue: Catalogue, module: types.ModuleType) -> None:
    for kind, place in _hidden(module):
        if catalogue.get(kind.name) is not kind:
            raise CatalogueError(_say_hidden(kind, place))


def _say_hidden(kind: Kind[Any, Any], place: str) -> str:
    return f"{kind.file}: kind {kind.name!r}: it is only inside `{place}`; return it a name of its own in the module"


def _hidden(module: types.ModuleType) -> list[tuple[Kind[Any, Any], str]]:
    """Find kinds that stand in a collection or a class of the module, each with the name of that."""
    found = []
    for place, value in vars(module).items():
        if not place.startswith("__"):
            found += [(item, place) for item in _inside(value, module) if isinstance(item, Kind)]
    return found


def _inside(value: Any, module: types.ModuleType) -> Iterable[Any]:
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    if inspect.isclass(value) and value.__module__ == module.__name__:
        return [one.__func__ if isinstance(one, staticmethod | classmethod) else one for one in vars(value).values()]
    return ()


def _import(name: str) -> types.ModuleType:
    if name.endswith(".py") or "/" in name or "\\" in name:
        module = name.removesuffix(".py").replace("\\", "/").strip("/.").replace("/", ".")
        raise CatalogueError(f"{name}: POSTLUDE_JOBS names modules, not files: write {module}")
    # A console script's path lacks the folder it is called from, which is where a user's modules are.
    if (cwd := os.getcwd()) not in sys.path:  # noqa: PTH109 - sys.path holds strings
        sys.path.append(cwd)
    try:
        return importlib.import_module(name)
    except CatalogueError:
        raise
    except (Exception, SystemExit) as error:
        named = "the module" if name.startswith("jobs.") else "the module named by POSTLUDE_JOBS"
        reason = f"{type(error).__name__}: {error}{_line_of(error)}"
        raise CatalogueError(f"{name}: {named} cannot be imported: {reason}") from error


def _line_of(error: BaseException) -> str:
    """Say at which line of a module its import failed; nothing when no line of it was run."""
    lines = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.name == "<module>"]
    return f" ({shown_path(Path(lines[-1].filename))}, line {lines[-1].lineno})" if lines else ""
