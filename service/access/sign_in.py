"""Signing in: with a key, with a name and a password, or through another service."""

from service.access.access import Access
from service.access.errors import TooManySignIns, UserNotFound
from service.access.oidc import Oidc
from service.access.passwords import Passwords
from service.access.principal import Principal, Role, Scope
from service.access.reads import User
from service.access.sessions import Sessions
from service.access.throttle import Throttle, place_of
from service.errors import SignInRefused, Unauthorized
from service.settings import Settings

# Wrong passwords for one user from one place; then from one place, and for one user, before others wait too.
_FREE = 5
_FREE_IN_ALL = 20
_MOST_FAMILIAR = 10_000
# No user's name is as long. Anyone may send megabytes as a name, and names are remembered for a while.
_LONGEST_NAME = 60


class SignIns:
    """Each wrong guess makes the next one wait longer. A user at a known place waits only for guesses made there.

    So nobody is locked out by the guesses of others, and nobody with a key is ever locked out.
    """

    def __init__(self, access: Access, sessions: Sessions, settings: Settings) -> None:
        self.oidc = None if settings.oidc_issuer is None else Oidc(settings)
        self._access = access
        self._sessions = sessions
        self._passwords = Passwords()
        self._own = Throttle(free=_FREE)
        self._all = Throttle(free=_FREE_IN_ALL)
        self._familiar: dict[str, None] = {}

    async def with_key(self, key: str, address: str | None) -> tuple[str, Principal]:
        """Return the cookie of a new session, and who signed in. Raises `SignInRefused`, or `TooManySignIns`."""
        place = place_of(address)
        try:
            principal = await self._access.identify(f"Bearer {key}", address)
        except Unauthorized:
            _check(self._all, f"keys {place}")
            self._all.failed(f"keys {place}")
            raise SignInRefused("This key is not valid.") from None
        if principal.is_limited:
            raise SignInRefused("This key is limited to some kinds or queues, but the pages show all of them.")
        if not principal.may(Scope.READ):
            raise SignInRefused("This key cannot open the pages: it lacks the scope `read`.")
        return await self._sessions.begin_with_key(key), principal

    async def with_password(self, name: str, password: str, address: str | None) -> tuple[str, Principal]:
        """Return the same for a user. Takes as long if there is no such user."""
        name, place = name[:_LONGEST_NAME], place_of(address)
        pair, shared = f"{place} {name}", (f"place {place}", f"user {name}")
        _check(self._own, pair)
        is_familiar = pair in self._familiar
        if not is_familiar:
            for one in shared:
                _check(self._all, one)
        # Counted before the answer is known, so that simultaneous guesses count one another.
        self._own.failed(pair)
        for one in () if is_familiar else shared:
            self._all.failed(one)
        user = await self._find(name)
        kept = None if user is None or user.disabled_at is not None else user.password_hash
        if not await self._passwords.fits(password, kept) or user is None:
            raise SignInRefused(f"Wrong name or password. {_told(self._own.left(pair))}")
        self._own.succeeded(pair)
        for one in shared:
            self._all.succeeded(one)
        self._remember(pair)
        return await self._begin(user)

    async def from_elsewhere(self, name: str, role: Role) -> tuple[str, Principal]:
        """Return the same for somebody whom another service has signed in: the user is added and given `role`."""
        user = await self._find(name)
        if user is None:
            user = await self._access.users.add(name, role)
        elif user.password_hash is not None:
            raise SignInRefused(f"{name} has a password here. Sign in with that.")
        elif user.disabled_at is not None:
            raise SignInRefused(f"{name} is disabled.")
        elif user.role != role:
            user = await self._access.users.set_role(name, role)
        return await self._begin(user)

    async def known(self, name: str) -> str | None:
        """Return the name if a user has it. Any other text may be a password, typed into the wrong field."""
        return name if name and await self._find(name[:_LONGEST_NAME]) else None

    async def _begin(self, user: User) -> tuple[str, Principal]:
        await self._access.users.saw(user.name)
        return await self._sessions.begin(user), user.principal

    async def _find(self, name: str) -> User | None:
        try:
            return await self._access.users.find(name)
        except UserNotFound:
            return None

    def _remember(self, pair: str) -> None:
        self._familiar.pop(pair, None)
        if len(self._familiar) >= _MOST_FAMILIAR:
            del self._familiar[next(iter(self._familiar))]
        self._familiar[pair] = None


def _check(throttle: Throttle, name: str) -> None:
    wait_s = throttle.wait_s(name)
    if wait_s:
        raise TooManySignIns(f"Too many failed sign-ins. Try again in {wait_s} s, or sign in with a key.", wait_s)


def _told(left: int) -> str:
    if left > 1:
        return f"You can try {left} more times before you have to wait."
    return "You can try once more before you have to wait." if left else "Each further attempt has to wait longer."
