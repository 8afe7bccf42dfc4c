"""Moves an app to Postlude as its owner would: one import changed, and `Postlude(app)` added once."""

import ast
from collections.abc import Iterator
from pathlib import Path

THEIRS = ("fastapi", "fastapi.background", "starlette.background")


def swap_imports(source: str) -> str:
    """Take `BackgroundTasks` from `postlude.fastapi`, however it was imported."""
    edits = [*_from_imports(ast.parse(source)), *_attributes(ast.parse(source))]
    swapped = _edited(source, edits)
    return _below_docstring(swapped, "import postlude.fastapi") if "postlude.fastapi.Background" in swapped else swapped


def add_postlude(source: str) -> str:
    """Add `Postlude(app)` below each app that is made, as `FastAPI(...)` or `fastapi.FastAPI(...)`."""
    lines = source.splitlines()
    apps = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Assign) and _makes_app(node.value)]
    for node in sorted(apps, key=lambda node: -node.lineno):
        [target] = node.targets
        lines.insert(node.end_lineno or node.lineno, f"{' ' * node.col_offset}Postlude({ast.unparse(target)})")
    added = "\n".join(lines) + "\n"
    return _below_docstring(added, "from postlude.fastapi import Postlude") if apps else source


def swap_folder(folder: Path, *, mount: bool, suite: bool = False) -> None:
    """Move all files of an app; those of its suite only if asked."""
    for path in folder.rglob("*.py"):
        if suite or "tests" not in path.relative_to(folder).parts:
            swapped = swap_imports(path.read_text())
            path.write_text(add_postlude(swapped) if mount else swapped)


Edit = tuple[ast.stmt | ast.expr, str]


def _from_imports(tree: ast.Module) -> Iterator[Edit]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in THEIRS:
            moved = [name for name in node.names if name.name == "BackgroundTasks"]
            if moved:
                kept = [name for name in node.names if name not in moved]
                statements = [ast.ImportFrom(node.module, kept, 0)] if kept else []
                statements.append(ast.ImportFrom("postlude.fastapi", moved, 0))
                yield node, f"\n{' ' * node.col_offset}".join(map(ast.unparse, statements))


def _attributes(tree: ast.Module) -> Iterator[Edit]:
    modules = {
        name.asname or name.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for name in node.names
        if name.name in THEIRS
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == "BackgroundTasks" and ast.unparse(node.value) in modules:
            yield node, "postlude.fastapi.BackgroundTasks"


def _makes_app(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and ast.unparse(value.func) in ("FastAPI", "fastapi.FastAPI")


def _edited(source: str, edits: list[Edit]) -> str:
    lines = source.splitlines(keepends=True)
    for node, text in sorted(edits, key=lambda edit: (-edit[0].lineno, -edit[0].col_offset)):
        assert node.end_lineno is not None
        before = lines[node.lineno - 1].encode()[: node.col_offset].decode()
        after = lines[node.end_lineno - 1].encode()[node.end_col_offset :].decode()
        lines[node.lineno - 1 : node.end_lineno] = [before + text + after]
    return "".join(lines)


def _below_docstring(source: str, statement: str) -> str:
    lines = source.splitlines()
    first = next(node for node in ast.parse(source).body if not _must_be_first(node))
    lines.insert(first.lineno - 1, statement)
    return "\n".join(lines) + "\n"


def _must_be_first(node: ast.stmt) -> bool:
    is_future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
    return is_future or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
