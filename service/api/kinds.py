"""The catalogue over HTTP."""

from fastapi import APIRouter

from service.api.schemas import KindList, KindOut
from service.web.deps import GUARDS, ResourcesDep
from service.web.etags import UNCHANGED
from service.web.problems import responses

router = APIRouter(prefix="/v1/kinds", tags=["kinds"], dependencies=GUARDS)


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
