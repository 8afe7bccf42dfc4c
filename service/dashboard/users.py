"""Users: people who sign in on the pages, and what each may do."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import Response
from fastapi.responses import HTMLResponse

from service.access.principal import Role, Scope
from service.access.reads import User
from service.access.users import Users
from service.dashboard.page_route import page_router
from service.dashboard.shell import Page, PageDep
from service.errors import Refused, UserExists
from service.ledger.deadline import in_time
from service.web.deps import Text
from service.web.forms import read_fields
from service.web.state import state_of

router = page_router(Scope.ADMIN)


@dataclass(frozen=True, slots=True)
class UserForm:
    """The input for a new user, and what is wrong with it."""

    name: str = ""
    role: str = Role.VIEWER
    sees_args: bool = True
    errors: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UsersPage:
    """`own` is the name of the user who is looking; None for a key."""

    users: Sequence[User]
    own: str | None

    @property
    def admins(self) -> int:
        return sum(user.role is Role.ADMIN and user.disabled_at is None for user in self.users)


async def read_users(users: Users, principal_id: str) -> UsersPage:
    own = principal_id.removeprefix("user:") if principal_id.startswith("user:") else None
    return UsersPage(await users.list(), own)


@router.get("/users")
async def list_users(page: PageDep) -> HTMLResponse:
    return await _users_page(page, UserForm())


@router.post("/users")
async def add_user(page: PageDep) -> Response:
    typed = await read_fields(page.request)
    name, password = typed.get("name", "").strip(), typed.get("password", "")
    role = _role(typed.get("role", ""))
    sees_args = "sees_args" in typed

    async def add() -> User:
        async with page.operator.action("create", "user", name) as entry:
            user = await _users(page).add(name, role, password=password or None, sees_args=sees_args)
            entry.after = _shown(user)
        return user

    try:
        user = await in_time(add(), writes=True)
    except (Refused, UserExists) as error:
        place = "password" if "password" in error.detail.lower() else "name"
        return await _users_page(page, UserForm(name, role, sees_args, {place: error.detail}))
    how = "" if password else " Without a password, they sign in through another service."
    return page.toast(f"{user.name} is added as {user.role}.{how}", back="/users")


@router.post("/users/{name}/role")
async def set_role(page: PageDep, name: Text) -> Response:
    role = _role((await read_fields(page.request)).get("role", ""))
    _refuse_own(page, name)
    await _change(page, name, "change", lambda users: users.set_role(name, role))
    return page.toast(f"{name} is {role} from now on.", back="/users")


@router.post("/users/{name}/args")
async def set_sees_args(page: PageDep, name: Text) -> Response:
    sees = (await read_fields(page.request)).get("sees_args") == "yes"
    await _change(page, name, "change", lambda users: users.set_sees_args(name, sees_args=sees))
    return page.toast(f"{name} {'sees' if sees else 'no longer sees'} args and results.", back="/users")


@router.post("/users/{name}/password")
async def set_password(page: PageDep, name: Text) -> Response:
    password = (await read_fields(page.request)).get("password", "")
    await _change(page, name, "set_password", lambda users: users.set_password(name, password))
    return page.toast(f"{name} has a new password.", detail="All their sessions have ended.", back="/users")


@router.post("/users/{name}/disable")
async def disable_user(page: PageDep, name: Text) -> Response:
    _refuse_own(page, name)
    await _change(page, name, "disable", lambda users: users.disable(name))
    return page.toast(f"{name} can no longer sign in.", detail="All their sessions have ended.", back="/users")


@router.post("/users/{name}/enable")
async def enable_user(page: PageDep, name: Text) -> Response:
    await _change(page, name, "enable", lambda users: users.enable(name))
    return page.toast(f"{name} can sign in again.", back="/users")


@router.post("/users/{name}/sign-out")
async def sign_out_user(page: PageDep, name: Text) -> Response:
    await _change(page, name, "end_sessions", lambda users: users.end_sessions(name))
    return page.toast(f"{name} is signed out everywhere.", back="/users")


async def _change(page: Page, name: str, action: str, change: Callable[[Users], Awaitable[User]]) -> None:
    async def act() -> None:
        users = _users(page)
        async with page.operator.action(action, "user", name) as entry:
            entry.before = _shown(await users.find(name))
            entry.after = _shown(await change(users))

    await in_time(act(), writes=True)


def _refuse_own(page: Page, name: str) -> None:
    """Raise `Refused` if admins would lock themselves out."""
    if page.principal.id == f"user:{name}":
        raise Refused("This is your own user. Let another admin do it, or use `postlude users`.")


def _role(text: str) -> Role:
    try:
        return Role(text)
    except ValueError:
        raise Refused(f"There is no role {text!r}. The roles are {', '.join(Role)}.") from None


def _shown(user: User) -> dict[str, Any]:
    """Return what the trail records of a user."""
    return {
        "role": user.role,
        "sees_args": user.sees_args,
        "has_password": user.password_hash is not None,
        "disabled_at": user.disabled_at,
    }


async def _users_page(page: Page, form: UserForm) -> HTMLResponse:
    shown = await in_time(read_users(_users(page), page.principal.id))
    return await page.render(
        "users/list.html",
        title="Users",
        section="users",
        status=422 if form.errors else 200,
        shown=shown,
        form=form,
        roles=_ROLES,
    )


_ROLES = (
    (Role.VIEWER, "viewer: sees everything"),
    (Role.OPERATOR, "operator: acts on jobs, and enqueues"),
    (Role.ADMIN, "admin: does everything, and makes keys and users"),
)


def _users(page: Page) -> Users:
    return state_of(page.request).access.users
