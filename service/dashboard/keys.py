"""Keys: who has one, what each may do, when it was last used. A key is shown once, on the page that made it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Literal

from fastapi import Query, Response
from fastapi.responses import HTMLResponse
from pydantic import TypeAdapter

from service.access.access import Access
from service.access.keys import Made
from service.access.principal import Scope
from service.access.reads import Key
from service.dashboard.page_route import page_router
from service.dashboard.shell import Page, PageDep
from service.errors import ArgsInvalid
from service.ledger.deadline import in_time
from service.requests.parsing import parse
from service.web import key_actions
from service.web.cursor import Text, decode, encode
from service.web.forms import Form, read_fields, read_form
from service.web.key_requests import KeyRequest, key_request
from service.web.moments import Moment
from service.web.state import state_of

router = page_router(Scope.ADMIN)

PAGE = 50
DAY_S = 86_400
EXPIRIES = (("", "never"), (str(30 * DAY_S), "30 days"), (str(90 * DAY_S), "90 days"), (str(365 * DAY_S), "1 year"))
GRACES = (("3600", "1 h"), ("86400", "1 day"), ("604800", "7 days"), ("0", "not at all"))
_cursor: TypeAdapter[tuple[Moment, Text]] = TypeAdapter(tuple[Moment, Text])
Stands = Literal["live", "rotating", "expired", "revoked"]


@dataclass(frozen=True, slots=True)
class KeyRow:
    key: Key
    stands: Stands

    @classmethod
    def of(cls, key: Key, now: datetime) -> "KeyRow":
        if key.revoked_at is not None:
            return cls(key, "revoked")
        if not key.is_live(now):
            return cls(key, "expired")
        return cls(key, "rotating" if key.old_until is not None and now < key.old_until else "live")


@dataclass(frozen=True, slots=True)
class KeysPage:
    """`is_open`: there are neither keys nor users, so anybody may do everything."""

    rows: Sequence[KeyRow]
    older: str | None
    is_later: bool
    is_open: bool
    bootstrap: int


@dataclass(frozen=True, slots=True)
class KeyForm:
    """The input for a new key, and what is wrong with it."""

    name: str = ""
    scopes: Sequence[str] = ("enqueue", "read")
    kinds: str = ""
    queues: str = ""
    expires_in: str = ""
    sees_args: bool = True
    errors: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, form: Form) -> "KeyForm":
        name, kinds, queues, expires_in = (
            (form.get(name) or [""])[-1].strip() for name in ("name", "kinds", "queues", "expires_in")
        )
        return cls(name, tuple(form.get("scopes", ())), kinds, queues, expires_in, "sees_args" in form)

    def request(self) -> "KeyRequest | KeyForm":
        """Return the request or, if it is wrong, the form with the API's errors."""
        body = {
            "name": self.name,
            "scopes": self.scopes,
            "kinds": _names(self.kinds),
            "queues": _names(self.queues),
            "sees_args": self.sees_args,
            "expires_in": int(self.expires_in) if self.expires_in in dict(EXPIRIES) and self.expires_in else None,
        }
        try:
            return parse(key_request, json.dumps(body).encode(), {})
        except ArgsInvalid as error:
            told = {str(one["loc"][0]) if one["loc"] else "kinds": one["msg"] for one in reversed(error.errors or [])}
            return KeyForm(
                self.name, self.scopes, self.kinds, self.queues, self.expires_in, self.sees_args, errors=told
            )


def _names(text: str) -> list[str] | None:
    return [name.strip() for name in text.split(",") if name.strip()] or None


async def read_keys(access: Access, now: datetime, *, after: tuple[datetime, str] | None, bootstrap: int) -> KeysPage:
    """Read a page of keys, newest first; `bootstrap` are the keys in the settings."""
    keys = await access.keys.list(PAGE + 1, after)
    last = keys[PAGE - 1] if len(keys) > PAGE else None
    return KeysPage(
        rows=[KeyRow.of(key, now) for key in keys[:PAGE]],
        older=None if last is None else encode([last.created_at.isoformat(), last.id]),
        is_later=after is not None,
        is_open=await access.opening.is_open(),
        bootstrap=bootstrap,
    )


@router.get("/keys")
async def list_keys(page: PageDep, cursor: Annotated[str | None, Query()] = None) -> HTMLResponse:
    return await _keys_page(page, KeyForm(), decode(_cursor, cursor) if cursor else None)


@router.post("/keys")
async def create_key(page: PageDep) -> HTMLResponse:
    """Make a key, and show it once."""
    form = KeyForm.of(await read_form(page.request))
    wanted = form.request()
    if isinstance(wanted, KeyForm):
        return await _keys_page(page, wanted)

    made = await in_time(key_actions.create_key(_access(page).keys, page.operator, wanted), writes=True)
    return await _made_page(page, made)


@router.post("/keys/{key_id}/rotate")
async def rotate_key(page: PageDep, key_id: Text) -> HTMLResponse:
    """Give a key a new secret, and show it once."""
    asked = (await read_fields(page.request)).get("grace", "")
    grace = timedelta(seconds=int(asked if asked in dict(GRACES) else GRACES[0][0]))
    made = await in_time(key_actions.rotate_key(_access(page).keys, page.operator, key_id, grace), writes=True)
    return await _made_page(page, made)


@router.post("/keys/{key_id}/revoke")
async def revoke_key(page: PageDep, key_id: Text) -> Response:
    key = await in_time(key_actions.revoke_key(_access(page).keys, page.operator, key_id), writes=True)
    return page.toast(f"The key {key.name} is revoked.", detail="It opens nothing from now on.", back="/keys")


async def _keys_page(page: Page, form: KeyForm, after: tuple[datetime, str] | None = None) -> HTMLResponse:
    bootstrap = len(page.resources.settings.api_keys)
    shown = await in_time(read_keys(_access(page), page.now, after=after, bootstrap=bootstrap))
    return await page.render(
        "keys/list.html",
        title="Keys",
        section="keys",
        status=422 if form.errors else 200,
        shown=shown,
        form=form,
        scopes=_SCOPES,
        expiries=EXPIRIES,
        graces=GRACES,
    )


_SCOPES = (
    (Scope.ENQUEUE, "put jobs, flows and apps in"),
    (Scope.READ, "see everything"),
    (Scope.OPERATE, "cancel, replay, pause, change; sees everything too"),
    (Scope.ADMIN, "do everything, and make keys and users"),
)


async def _made_page(page: Page, made: Made) -> HTMLResponse:
    return await page.render("keys/made.html", title=f"{made.key.name} · Keys", section="keys", made=made)


def _access(page: Page) -> Access:
    return state_of(page.request).access
