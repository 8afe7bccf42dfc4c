"""The `postlude` command. Before the first of our packages is imported, it looks whether other code has their names.

An app may well have a package `jobs` or `service` of its own. Where Python finds that one first, or where it was
installed over ours, Postlude cannot run.
"""

import csv
import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

_REMEDY = (
    "Best keep Postlude and the kinds apart from the app, which needs postlude-client only; docs/writing-kinds.md"
    " says how."
)


def main() -> None:
    """Run the command."""
    refuse_clashes(Path(__file__).parent, "jobs", "service", "worker_settings")
    from service.cli import main

    main()


def refuse_clashes(folder: Path, *names: str) -> None:
    """End this process with a sentence if Python finds other modules of these names than the ones in `folder`."""
    for name in names:
        found = _place_of(importlib.util.find_spec(name))
        if found is not None and not found.is_relative_to(folder.resolve()):
            _refuse(
                f"Python finds {found} in place of Postlude's own `{name}` in {folder}, so Postlude cannot run.",
                f"Take {found.parent} out of PYTHONPATH and run Postlude from another folder, or rename that one.",
            )
    for record in folder.glob("postlude-[0-9]*.dist-info/RECORD"):
        _refuse_overwritten(folder, record)


def _refuse(reason: str, remedy: str) -> None:
    sys.exit(f"error: {reason}\n{remedy} {_REMEDY}")


def _place_of(spec: ModuleSpec | None) -> Path | None:
    """Return a module's file, or a package's folder."""
    if spec is None:
        return None
    folders = list(spec.submodule_search_locations or ())
    place = folders[0] if folders else spec.origin
    return Path(os.path.realpath(place)) if place else None


def _refuse_overwritten(folder: Path, record: Path) -> None:
    """End this process if another distribution, installed beside ours, has put files over ours."""
    with record.open(newline="") as rows:
        sizes = {path: int(size) for path, _, size in csv.reader(rows) if size}
    ours = [path for path in sizes if path.startswith(("jobs/", "service/"))]
    changed = [path for path in ours if _size(folder / path) != sizes[path]]
    for other in folder.glob("*.dist-info/RECORD") if changed else ():
        theirs = {line.partition(",")[0] for line in other.read_text().splitlines()}
        for path in changed:
            if other != record and path in theirs:
                package = other.parent.name.removesuffix(".dist-info")
                _refuse(
                    f"{package} has put {folder / path} over Postlude's own file of that name, so Postlude cannot run.",
                    "Install the two into environments of their own.",
                )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else -1
