"""The catalogue over HTTP."""

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from service.web.deps import ResourcesDep
from service.web.etags import UNCHANGED
from service.web.guards import GUARDS
from service.web.problems import responses

router = APIRouter(prefix="/v1/kinds", tags=["kinds"], dependencies=GUARDS)


class KindOut(BaseModel):
    name: str
    description: str
    args_schema: dict[str, Any]
    timeout: float = Field(description="Seconds for each attempt.")
    max_attempts: int
    queue: str
    cron: str | None
    catch_up: Literal["none", "last", "all"] | None = Field(
        description="Which missed ticks become jobs; null without cron."
    )


class KindList(BaseModel):
    kinds: list[KindOut]


@router.get("", responses={**UNCHANGED, **responses(401, 421, 422)})
async def list_kinds(resources: ResourcesDep) -> KindList:
    """List the kinds of job that can be enqueued, each with the JSON Schema of its args."""
    return KindList(
        kinds=[
            KindOut(
                name=kind.name,
                description=kind.description,
                args_schema=kind.args_schema,
                timeout=kind.timeout.total_seconds(),
                max_attempts=kind.max_attempts,
                queue=kind.queue,
                cron=kind.cron,
                catch_up=kind.catch_up,
            )
            for _, kind in sorted(resources.catalogue.items())
        ]
    )
