"""Sessions on the pages: a signed cookie that says who signed in, and what ends it early."""

import hashlib
import hmac
import secrets
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from service import agreed_time
from service.access.access import Access
from service.access.principal import Principal
from service.access.reads import User, find_cookie_secret, find_user, has_ended
from service.access.records import record_cookie_secret, record_session_ended
from service.access.remembered import Remembered
from service.ledger.database import Database
from service.ledger.deadline import in_time

if TYPE_CHECKING:
    from itsdangerous import URLSafeTimedSerializer

HOLDS_FOR = timedelta(hours=12)
# A cookie older than this is renewed, so that anyone who keeps working stays signed in.
_RENEWED_AFTER = timedelta(minutes=10)
_LOOKED_UP_WITHIN_S = 3.0


@dataclass(frozen=True, slots=True)
class Session:
    """What a cookie says. `prefix` names a key in the ledger, `user` a user; with neither it is a key of the settings.

    `mark` ties it to what it was opened with: the user's epoch, or the key.
    """

    id: str
    mark: str
    user: str = ""
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A valid session. `cookie` is its renewed cookie, if renewal is due."""

    session: Session
    principal: Principal
    cookie: str | None = None


@dataclass(frozen=True, slots=True)
class _Standing:
    """What the ledger says about a session."""

    has_ended: bool
    user: User | None


class Sessions:
    def __init__(self, database: Database, access: Access) -> None:
        self._database = database
        self._access = access
        self._secret: str | None = None
        self._standings: Remembered[_Standing] = Remembered(self._read)

    async def begin_with_key(self, key: str) -> str:
        """Return the cookie of a new session that lasts as long as the key."""
        session_id = secrets.token_hex(16)
        prefix, mark = self._access.sign(f"Bearer {key}", _signed_by_key(session_id))
        return await self._cookie(Session(session_id, mark, prefix=prefix))

    async def begin(self, user: User) -> str:
        """Return the cookie of a new session of a user."""
        return await self._cookie(Session(secrets.token_hex(16), str(user.session_epoch), user=user.name))

    async def of(self, cookie: str) -> SignedIn | None:
        """Return who has this cookie; None if it is forged, too old, or has ended for another reason."""
        from itsdangerous import BadSignature

        try:
            told, written_at = (await self._serializer()).loads(
                cookie, max_age=int(HOLDS_FOR.total_seconds()), return_timestamp=True
            )
        except BadSignature:
            return None
        session = Session(**told)
        principal = await self._principal_of(session)
        if principal is None:
            return None
        is_old = agreed_time.now() - written_at > _RENEWED_AFTER
        return SignedIn(session, principal, await self._cookie(session) if is_old else None)

    async def end(self, session: Session) -> None:
        """End a session for good: a copy of its cookie opens nothing any more."""
        now = agreed_time.now()
        record = partial(record_session_ended, session_id=session.id, now=now, kept_until=now + 2 * HOLDS_FOR)
        await in_time(self._database.run(record), writes=True)
        self._standings.forget(_name_of(session))

    async def token_for(self, session_id: str) -> str:
        """Return a token for a session's forms. No two are alike, so none can be guessed piece by piece."""
        salt = secrets.token_hex(8)
        return f"{salt}.{await self._token(session_id, salt)}"

    async def is_token_of(self, session_id: str, token: str) -> bool:
        salt, _, rest = token.partition(".")
        return hmac.compare_digest(rest.encode(), (await self._token(session_id, salt)).encode())

    async def sealed(self, value: Any) -> str:
        """Sign something that a browser keeps for a few minutes."""
        return (await self._serializer("on the way")).dumps(value)

    async def unsealed(self, text: str, max_age_s: int) -> Any | None:
        """Return what was signed; None if it is forged or too old."""
        from itsdangerous import BadSignature

        try:
            return (await self._serializer("on the way")).loads(text, max_age=max_age_s)
        except BadSignature:
            return None

    async def close(self) -> None:
        await self._standings.close()

    async def _principal_of(self, session: Session) -> Principal | None:
        standing = self._standings.recall(_name_of(session)) or await in_time(
            self._standings.of(_name_of(session)), within_s=_LOOKED_UP_WITHIN_S
        )
        if standing is None or standing.has_ended:
            return None
        if session.user:
            user = standing.user
            holds = user is not None and user.disabled_at is None and str(user.session_epoch) == session.mark
            return user.principal if user is not None and holds else None
        return await self._access.signer_of(_signed_by_key(session.id), session.prefix, session.mark)

    async def _read(self, name: str) -> _Standing:
        session_id, _, user = name.partition(" ")
        async with self._database.connect() as connection:
            ended = await has_ended(connection, session_id)
            return _Standing(ended, await find_user(connection, user) if user else None)

    async def _cookie(self, session: Session) -> str:
        return (await self._serializer()).dumps(asdict(session))

    async def _serializer(self, salt: str = "session") -> "URLSafeTimedSerializer":
        from itsdangerous import URLSafeTimedSerializer

        return URLSafeTimedSerializer(
            await self._signed_with(), salt=f"postlude {salt}", signer_kwargs={"digest_method": hashlib.sha256}
        )

    async def _token(self, session_id: str, salt: str) -> str:
        text = f"form\n{session_id}\n{salt}"
        return hmac.new((await self._signed_with()).encode(), text.encode(), hashlib.sha256).hexdigest()

    async def _signed_with(self) -> str:
        """Return the secret that signs cookies in all processes; the first process to need it makes it."""
        if self._secret is None:
            self._secret = await in_time(self._find_or_make(), within_s=_LOOKED_UP_WITHIN_S)
        return self._secret

    async def _find_or_make(self) -> str:
        async with self._database.connect() as connection:
            kept = await find_cookie_secret(connection)
        if kept is not None:
            return kept
        record = partial(record_cookie_secret, secret=secrets.token_hex(32), now=agreed_time.now())
        return await self._database.run(record)


def _signed_by_key(session_id: str) -> str:
    return f"session\n{session_id}"


def _name_of(session: Session) -> str:
    return f"{session.id} {session.user}"
