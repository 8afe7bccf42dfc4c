"""What args ask to be enqueued."""

from typing import Annotated, Any

from pydantic import BaseModel

from jobs import Catalogue, Context, Lane, job
from jobs.kit.asking import AsksForJob, asked_by


class AskArgs(BaseModel):
    on_end: Annotated[dict[str, Any] | None, AsksForJob()] = None
    data: dict[str, Any] = {}


@job("ask")
async def ask(ctx: Context, args: AskArgs) -> None: ...


@job("send_webhook")
async def send_webhook(url: str) -> None: ...


@job("call", lane=lambda args: Lane("app:shop", label=f"shop.{args.function}"))
async def call(function: str) -> None: ...


KINDS = Catalogue({kind.name: kind for kind in (ask, send_webhook, call)})


def asked(args: Any) -> list[tuple[str, str | None]]:
    return [(one.kind.name, one.label) for one in asked_by(KINDS, "ask", args)]


def test_jobs_are_found_in_marked_fields_at_any_depth() -> None:
    assert asked({"on_end": {"url": "https://shop.example"}}) == [("send_webhook", None)]
    assert asked({"on_end": {"kind": "call", "args": {"function": "forget"}}}) == [("call", "shop.forget")]
    assert asked({"on_end": {"kind": "call", "args": {"no": "function"}}}) == [("call", None)]
    nested = {"on_end": {"kind": "ask", "args": {"on_end": {"kind": "send_webhook"}}}}
    assert asked(nested) == [("ask", None), ("send_webhook", None)]


def test_nothing_else_asks_for_a_job() -> None:
    none: list[Any] = [{"on_end": None}, {"on_end": 7}, {"on_end": {"kind": "gone"}}, {"data": {"kind": "call"}}]
    for args in (None, [], {}, *none):
        assert asked(args) == []
    assert list(asked_by(KINDS, "gone", {"on_end": {"kind": "call"}})) == []
