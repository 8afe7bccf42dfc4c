import pytest
from client.tests.swapping import add_postlude, swap_imports

OURS = "from postlude.fastapi import BackgroundTasks"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("from fastapi import BackgroundTasks\n", f"{OURS}\n"),
        ("from fastapi.background import BackgroundTasks\n", f"{OURS}\n"),
        ("from fastapi import BackgroundTasks as Later  # ours\n", f"{OURS} as Later  # ours\n"),
        ("from fastapi import BackgroundTasks, FastAPI\n", f"from fastapi import FastAPI\n{OURS}\n"),
        ("from fastapi import (\n    FastAPI,\n    BackgroundTasks,\n)\n", f"from fastapi import FastAPI\n{OURS}\n"),
        (
            "from starlette.background import BackgroundTask, BackgroundTasks\n",
            f"from starlette.background import BackgroundTask\n{OURS}\n",
        ),
        (
            "def f():\n    from fastapi import BackgroundTasks, Query\n",
            f"def f():\n    from fastapi import Query\n    {OURS}\n",
        ),
        (
            '"""What it does."""\nimport fastapi\ndef é(a: fastapi.BackgroundTasks, b: fastapi.BackgroundTasks): ...\n',
            '"""What it does."""\nimport postlude.fastapi\nimport fastapi\n'
            "def é(a: postlude.fastapi.BackgroundTasks, b: postlude.fastapi.BackgroundTasks): ...\n",
        ),
        (
            "import fastapi as fa\nx = fa.BackgroundTasks()\n",
            "import postlude.fastapi\nimport fastapi as fa\nx = postlude.fastapi.BackgroundTasks()\n",
        ),
        ("from fastapi import FastAPI\nfrom mine import BackgroundTasks\n", None),
        ("import mine as fastapi\nfastapi.BackgroundTasks\n", None),
    ],
)
def test_import_is_swapped_and_nothing_else(before: str, after: str | None) -> None:
    assert swap_imports(before) == (after or before)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("app = FastAPI()\n", "from postlude.fastapi import Postlude\napp = FastAPI()\nPostlude(app)\n"),
        (
            "from __future__ import annotations\n"
            "def f():\n    a = fastapi.FastAPI(\n        title='A'\n    )\n    return a\n",
            "from __future__ import annotations\nfrom postlude.fastapi import Postlude\n"
            "def f():\n    a = fastapi.FastAPI(\n        title='A'\n    )\n    Postlude(a)\n    return a\n",
        ),
        ("app = Flask()\n", "app = Flask()\n"),
    ],
)
def test_postlude_is_added_below_each_app(before: str, after: str) -> None:
    assert add_postlude(before) == after
