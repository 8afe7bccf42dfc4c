"""The catalogue: all kinds by name, collected from this package and from the modules of `POSTLUDE_JOBS`."""

import importlib
import inspect
import os
import pkgutil
import sys
import traceback
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobs.kit.declaration import CatalogueError, shown_path
from jobs.kit.hidden import why_hidden
from jobs.kit.kind import Kind

_KIT = "jobs.kit"


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
    _add_box(catalogue)
    for name in modules:
        _refuse_module_of_others(name)
        module_of_kinds = _import(name)
        if not _add_all(catalogue, module_of_kinds):
            raise CatalogueError(_without_kinds(name, module_of_kinds))
        _refuse_hidden(catalogue, module_of_kinds)
    return catalogue


def _add_box(catalogue: Catalogue) -> None:
    """Add the kinds of this package. Each has a file, or a folder with the kind in any of its files."""
    box = importlib.import_module("jobs")
    _refuse_unseen_folders(box)
    for found in pkgutil.iter_modules(box.__path__, "jobs."):
        if found.name == _KIT:
            continue
        added = [_add_all(catalogue, module) for module in _with_inner(_import(found.name))]
        if found.ispkg and not any(added):
            raise CatalogueError(
                f"{found.name.replace('.', '/')}: the folder declares no kind: decorate a function with"
                " `@job(...)` in one of its files, or move its files to the kind that uses them"
            )


def _refuse_unseen_folders(box: types.ModuleType) -> None:
    """Refuse a folder that Python does not take for a package: its kinds would silently be missing."""
    for folder in sorted(child for path in box.__path__ for child in Path(path).glob("*") if child.is_dir()):
        if any(folder.glob("*.py")) and not (folder / "__init__.py").exists():
            raise CatalogueError(f"{shown_path(folder)}: the folder has no __init__.py, so its kinds are not found")


def _with_inner(module: types.ModuleType) -> Iterator[types.ModuleType]:
    """Yield a module and, if it is a package, every module inside."""
    yield module
    for found in pkgutil.iter_modules(getattr(module, "__path__", ()), f"{module.__name__}."):
        yield from _with_inner(_import(found.name))


def _add_all(catalogue: Catalogue, module: types.ModuleType) -> bool:
    """Add the kinds that have a name in the module. Return whether there are any."""
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
        f"{_where(module)}: decorate a function with `@job(...)` there, or name the module that does"
    )


def _where(module: types.ModuleType) -> str:
    return f" ({shown_path(Path(module.__file__))})" if module.__file__ else " (it is a folder without __init__.py)"


def _refuse_hidden(catalogue: Catalogue, module: types.ModuleType) -> None:
    for kind, place in _hidden(module):
        if catalogue.get(kind.name) is not kind:
            raise CatalogueError(_say_hidden(kind, place))


def _say_hidden(kind: Kind[Any, Any], place: str) -> str:
    return f"{kind.file}: kind {kind.name!r}: it is only inside `{place}`; give it its own name in the module"


def _hidden(module: types.ModuleType) -> list[tuple[Kind[Any, Any], str]]:
    """Find kinds inside the module's collections and classes, each with the name of the collection or class."""
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
        reason = f"{type(error).__name__}: {error}{_line_of(error)}{_remedy(error)}"
        raise CatalogueError(f"{name}: {named} cannot be imported: {reason}") from error


def _refuse_module_of_others(name: str) -> None:
    """Refuse a module of POSTLUDE_JOBS in a package that ours hides: ours may have a module of the same name."""
    if (reason := why_hidden(name)) is not None:
        raise CatalogueError(f"{name}: POSTLUDE_JOBS names a module that Python does not find: {reason}")


def _remedy(error: BaseException) -> str:
    """Say why a module of the project is missing, if ours hides it."""
    missing = error.name if isinstance(error, ImportError) else None
    reason = why_hidden(missing) if missing is not None else None
    return "" if reason is None else f"; {reason}"


def _line_of(error: BaseException) -> str:
    """Return the line at which a module's import failed, or nothing when none of its lines ran."""
    lines = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.name == "<module>"]
    return f" ({shown_path(Path(lines[-1].filename))}, line {lines[-1].lineno})" if lines else ""
