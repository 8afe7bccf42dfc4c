"""Plain kinds, and short ways to declare more, for the tests of the kit."""

from typing import Any

import pytest
from pydantic import BaseModel, create_model

from jobs import CatalogueError, Context, Kind, job


class GreetArgs(BaseModel):
    name: str = "world"


@job("greet", timeout=10, max_attempts=2, queue="slow")
async def greet(ctx: Context, args: GreetArgs) -> str:
    """Say hello."""
    return f"hello {args.name}"


async def plain(ctx: Context, args: GreetArgs) -> None: ...


def refusal(function: Any, name: str = "bad", **options: Any) -> str:
    """Return the message with which a declaration is refused."""
    with pytest.raises(CatalogueError) as refused:
        job(name, **options)(function)
    return str(refused.value)


def kind_of(model: type[BaseModel]) -> Kind[Any, Any]:
    """Declare a kind whose args are `model`."""

    async def perform(ctx: Any, args: Any) -> None: ...

    perform.__annotations__ |= {"args": model}
    kind: Kind[Any, Any] = job("tried")(perform)
    return kind


def field(annotation: Any, default: Any = ...) -> type[BaseModel]:
    """Make a model with the field `x`."""
    return create_model("Args", x=(annotation, default))
