"""API keys over HTTP. The answer to a creation or a rotation is the only place where a key is shown."""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import TypeAdapter

from service import agreed_time
from service.access.access import Access
from service.access.principal import Scope
from service.errors import Refused
from service.ledger.deadline import in_time
from service.requests.parsing import parse
from service.web import key_actions
from service.web.body import described, read_body
from service.web.cursor import Text, decode, encode
from service.web.deps import OperatorDep
from service.web.deps import Text as PathText
from service.web.guards import guards
from service.web.key_requests import (
    KeyChange,
    KeyList,
    KeyMade,
    KeyOut,
    KeyRequest,
    RotateRequest,
    check_limits,
    key_change,
    key_request,
    rotate_request,
)
from service.web.moments import Moment
from service.web.problems import responses
from service.web.room import MIB
from service.web.state import state_of

router = APIRouter(prefix="/v1/keys", tags=["keys"])

_BODY_LIMIT = MIB
_ADMIN = guards(Scope.ADMIN)
_READS = responses(401, 403, 404, 421, 422, 503)
_ACTS = responses(401, 403, 404, 421, 422, 503, 507)
_WRITES = responses(400, 401, 403, 404, 413, 415, 421, 422, 503, 507)
_cursor: TypeAdapter[tuple[Moment, Text]] = TypeAdapter(tuple[Moment, Text])


async def _access(request: Request) -> Access:
    return state_of(request).access


AccessDep = Annotated[Access, Depends(_access)]


@router.post(
    "",
    status_code=201,
    dependencies=_ADMIN,
    responses=responses(400, 401, 403, 413, 415, 421, 422, 503, 507),
    openapi_extra=described(KeyRequest, required=True),
)
async def create_key(request: Request, response: Response, access: AccessDep, operator: OperatorDep) -> KeyMade:
    """Make a key. It is shown only this once; only its hash is kept.

    From the first key on, the service requires a key from everybody: make one with the scope `admin` first.
    """
    wanted = parse(key_request, await _body(request), {})

    response.headers["Cache-Control"] = "no-store"
    made = await in_time(key_actions.create_key(access.keys, operator, wanted), writes=True)
    return KeyMade.made(*made)


@router.get("", dependencies=_ADMIN, responses=responses(401, 403, 421, 422, 503))
async def list_keys(
    access: AccessDep,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the previous page")] = None,
) -> KeyList:
    """List keys, newest first; revoked ones stay in the list, because they name who did what."""
    after = decode(_cursor, cursor) if cursor else None
    keys = await in_time(access.keys.list(limit + 1, after))
    last = keys[limit - 1] if len(keys) > limit else None
    return KeyList(
        keys=[KeyOut.of(key) for key in keys[:limit]],
        next_cursor=None if last is None else encode([last.created_at, last.id]),
    )


@router.get("/{key_id}", dependencies=_ADMIN, responses=_READS)
async def get_key(key_id: PathText, access: AccessDep) -> KeyOut:
    """Look up a key: what it may do, and when it was last used. Its text is kept nowhere."""
    return KeyOut.of(await in_time(access.keys.find(key_id)))


@router.patch("/{key_id}", dependencies=_ADMIN, responses=_WRITES, openapi_extra=described(KeyChange, required=True))
async def change_key(key_id: PathText, request: Request, access: AccessDep, operator: OperatorDep) -> KeyOut:
    """Change what a key may do. It takes effect within two seconds."""
    wanted = parse(key_change, await _body(request), {})

    async def change() -> KeyOut:
        before = await _known(access, key_id)
        async with operator.action("change", "key", key_id, before=before) as entry:
            entry.after = after = KeyOut.of(await access.keys.change(key_id, **_changes(wanted, before)))
        return after

    return await in_time(change(), writes=True)


@router.post(
    "/{key_id}/rotate",
    dependencies=_ADMIN,
    responses=_WRITES,
    openapi_extra=described(RotateRequest, required=False),
)
async def rotate_key(
    key_id: PathText, request: Request, response: Response, access: AccessDep, operator: OperatorDep
) -> KeyMade:
    """Give a key a new secret. The old one stays valid for `grace`, an hour; any older one ends now.

    The key's id stays, so its `Idempotency-Key`s stay valid.
    """
    body = await _body(request)
    wanted = parse(rotate_request, body, {}) if body else RotateRequest()

    response.headers["Cache-Control"] = "no-store"
    grace = timedelta(seconds=wanted.grace)
    return KeyMade.made(*await in_time(key_actions.rotate_key(access.keys, operator, key_id, grace), writes=True))


@router.delete("/{key_id}", status_code=204, dependencies=_ADMIN, responses=_ACTS)
async def revoke_key(key_id: PathText, access: AccessDep, operator: OperatorDep) -> None:
    """Revoke a key: within two seconds it opens nothing, and ends the sessions that were opened with it."""
    await in_time(key_actions.revoke_key(access.keys, operator, key_id), writes=True)


async def _known(access: Access, key_id: str) -> KeyOut:
    """Look a key up before its id is recorded: else a key sent in place of its id would end up on the trail."""
    return KeyOut.of(await access.keys.find(key_id))


async def _body(request: Request) -> bytes:
    with state_of(request).room.stay() as stay:
        return await read_body(request, _BODY_LIMIT, stay)


def _changes(wanted: KeyChange, before: KeyOut) -> dict[str, Any]:
    told = {name: getattr(wanted, name) for name in wanted.model_fields_set}
    after = before.model_dump() | told
    try:
        check_limits(after["scopes"], after["kinds"], after["queues"])
    except ValueError as error:
        raise Refused(f"{str(error)[:1].upper()}{str(error)[1:]}.") from error
    if "expires_in" in told:
        seconds = told.pop("expires_in")
        told["expires_at"] = None if seconds is None else agreed_time.now() + timedelta(seconds=seconds)
    return told
