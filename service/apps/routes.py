"""`/v1/apps`: who may be called back."""

import time
from datetime import datetime
from functools import partial
from hmac import compare_digest
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field, TypeAdapter

from service.access.principal import Scope, is_listed
from service.apps.reads import find_app, list_apps, ways_to
from service.apps.records import Registered, record_app, record_app_deleted
from service.apps.requests import APP_BODY, AppName, app_request
from service.apps.signed import is_signed
from service.apps.tables import SECRET
from service.errors import AppNotFound, AppSecretDiffers, NotForThisKey
from service.ledger.deadline import in_time
from service.requests.parsing import parse
from service.resources import Resources
from service.web import cursor
from service.web.body import read_body
from service.web.cursor import NEXT_CURSOR
from service.web.deps import OperatorDep, ResourcesDep
from service.web.etags import UNCHANGED
from service.web.guards import guards, principal_of
from service.web.moments import ShownMoment
from service.web.problems import responses
from service.web.room import MIB
from service.web.state import state_of

router = APIRouter(prefix="/v1/apps", tags=["apps"])


class AppOut(BaseModel):
    """A registered app. Nobody is shown its secret."""

    name: str
    url: str = Field(description="Functions are called at `/_postlude` below it.")
    created_at: ShownMoment
    updated_at: ShownMoment = Field(description="When its address or its secret was changed.")


class AppList(BaseModel):
    apps: list[AppOut]
    next_cursor: str | None = Field(description=NEXT_CURSOR)


_CREATED: dict[int | str, dict[str, Any]] = {201: {"model": AppOut, "description": "It was not registered before"}}
_place: TypeAdapter[cursor.Text] = TypeAdapter(cursor.Text)


@router.get("", dependencies=guards(Scope.READ), responses={**UNCHANGED, **responses(401, 403, 421, 422, 503)})
async def get_apps(
    resources: ResourcesDep,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    page: Annotated[str | None, Query(alias="cursor", description="`next_cursor` of the previous page")] = None,
) -> AppList:
    """List the registered apps, by name."""
    after = cursor.decode(_place, page) if page else ""

    async def read() -> list[AppOut]:
        async with resources.ledger.read() as connection:
            return [_shown(row) for row in await list_apps(connection, after=after, limit=limit + 1)]

    apps = await in_time(read())
    more = cursor.encode(apps[limit - 1].name) if len(apps) > limit else None
    return AppList(apps=apps[:limit], next_cursor=more)


@router.get(
    "/{name}", dependencies=guards(Scope.READ), responses={**UNCHANGED, **responses(401, 403, 404, 421, 422, 503)}
)
async def get_app(name: AppName, resources: ResourcesDep) -> AppOut:
    """Look up an app."""
    return await in_time(_find(resources, name))


@router.put(
    "/{name}",
    dependencies=guards(Scope.ENQUEUE, narrowed=True),
    responses={**_CREATED, **responses(400, 401, 403, 409, 413, 415, 421, 422, 503, 507)},
    openapi_extra=APP_BODY,
)
async def put_app(
    name: AppName, request: Request, response: Response, resources: ResourcesDep, operator: OperatorDep
) -> AppOut:
    """Register an app, or change it. Workers follow within two seconds.

    A registered app is changed by a request that names its secret. To change the secret too, sign the request with the
    one that is registered: `webhook-id`, `webhook-timestamp` and `webhook-signature`, as Standard Webhooks says.
    """
    if not is_listed(f"{name}.", principal_of(request).kinds):
        raise NotForThisKey(f"This key is for other kinds than the functions of {name}, which are {name}.*")
    with state_of(request).room.stay() as stay:
        body = await read_body(request, MIB, stay)
        said = parse(app_request, body, {})
    url, secret = str(said.url), said.secret.get_secret_value()
    headers = request.headers

    def is_trusted(kept: str) -> bool:
        return compare_digest(kept.encode(), secret.encode()) or is_signed(kept, headers, body, time.time())

    record = partial(record_app, name=name, url=url, secret=secret, is_trusted=is_trusted)

    async def register() -> AppOut:
        before = await _known(resources, name)
        if before is not None and await _is_the_same(resources, name, url, secret):
            return before  # apps register whenever they start
        async with operator.action("set", "app", name, before=before) as entry:
            registered = await resources.ledger.database.run(record)
            if registered is Registered.REFUSED:
                raise _secret_differs(name)
            if registered is Registered.CREATED:
                response.status_code = HTTPStatus.CREATED
            entry.after = app = await _find(resources, name)
        return app

    return await in_time(register(), writes=True)


async def _is_the_same(resources: Resources, name: str, url: str, secret: str) -> bool:
    async with resources.ledger.read() as connection:
        ways = await ways_to(connection, [name])
    if name not in ways or ways[name][0] != url:
        return False
    return compare_digest(SECRET.open(resources.ledger.vault, ways[name][1], name).encode(), secret.encode())


@router.delete(
    "/{name}", dependencies=guards(Scope.ADMIN), status_code=204, responses=responses(401, 403, 404, 421, 422, 503, 507)
)
async def delete_app(name: AppName, resources: ResourcesDep, operator: OperatorDep) -> None:
    """Forget an app. Its jobs stay; they are tried again as if it were down, until it is registered again."""

    async def delete() -> None:
        before = await _find(resources, name)
        async with operator.action("delete", "app", name, before=before):
            if not await resources.ledger.database.run(partial(record_app_deleted, name=name)):
                raise _unknown(name)

    await in_time(delete(), writes=True)


async def _known(resources: Resources, name: str) -> AppOut | None:
    async with resources.ledger.read() as connection:
        row = await find_app(connection, name)
    return None if row is None else _shown(row)


async def _find(resources: Resources, name: str) -> AppOut:
    app = await _known(resources, name)
    if app is None:
        raise _unknown(name)
    return app


def _secret_differs(name: str) -> AppSecretDiffers:
    return AppSecretDiffers(
        f"The app {name!r} is registered with another secret. Sign the request with that one, or delete the app first:"
        f" DELETE /v1/apps/{name}."
    )


def _unknown(name: str) -> AppNotFound:
    return AppNotFound(f"There is no app {name!r}. An app registers itself, or by PUT /v1/apps/{name}.")


def _shown(row: Any) -> AppOut:
    created_at: datetime = row.created_at
    return AppOut(name=row.name, url=row.url, created_at=created_at, updated_at=row.updated_at)
