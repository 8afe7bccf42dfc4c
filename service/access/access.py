"""Tells who is calling, by the key that a request carries."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial

import structlog

from service import agreed_time
from service.access.errors import TooManyWrongKeys
from service.access.key_ring import KeyRing
from service.access.key_text import digest_of, prefix_of
from service.access.keys import Keys
from service.access.opening import LOOKED_UP_WITHIN_S, Opening
from service.access.passwords import Passwords
from service.access.principal import ANYBODY, BOOTSTRAP, Principal
from service.access.reads import Key, find_keys
from service.access.records import record_keys_used
from service.access.remembered import Remembered
from service.access.signatures import is_one_of, signature_of
from service.access.throttle import Throttle, place_of
from service.access.users import Users
from service.addresses import is_of_this_machine
from service.errors import LedgerUnavailable, Unauthorized
from service.ledger.database import Database
from service.ledger.deadline import in_time
from service.settings import Settings
from service.shared_reads import SharedReads

log = structlog.get_logger(__name__)

# A key has 256 random bits, so guessing is hopeless and this only saves work. A program that was left with an old
# key is told 401 for long before it is told to wait.
_WRONG_KEYS_FREE = 1_000
_USES_NOTED_EVERY_S = 30.0
_READ_AT_ONCE = 500


class Access:
    def __init__(self, settings: Settings, database: Database) -> None:
        self._database = database
        self._ring = KeyRing(settings.api_keys)
        # However many made-up keys arrive, only one read at a time looks them up.
        self._reads = SharedReads(self._read_keys, fresh_for_s=0, at_once=_READ_AT_ONCE)
        self._known = Remembered(self._read_key)
        self._used: set[str] = set()
        self._wrong = Throttle(free=_WRONG_KEYS_FREE)
        self.opening = Opening(database, may_open=not self._ring and is_of_this_machine(settings.host))
        self.keys = Keys(database, self._forget)
        self.users = Users(database, Passwords(), self.opening.forget)

    async def identify(self, authorization: str | None, address: str | None) -> Principal:
        """Return whose key the header carries. Raises `Unauthorized`, or `TooManyWrongKeys`.

        A valid key is never held up by wrong ones, wherever they come from.
        """
        if not self._ring and (self.opening.is_known_open or await self.opening.is_open()):
            return ANYBODY
        key = key_in(authorization)
        digest = digest_of(key)
        if self._ring.knows(digest):
            return BOOTSTRAP
        prefix = prefix_of(key)
        found = None if prefix is None else await self._opened(prefix, digest)
        if found is None:
            raise self._refusal(key, address)
        self._used.add(found.id)
        return found.principal

    async def key_of(self, prefix: str) -> Key | None:
        """Return the key with this prefix, which may be two seconds old."""
        return self._known.recall(prefix) or await in_time(self._known.of(prefix), within_s=LOOKED_UP_WITHIN_S)

    async def _opened(self, prefix: str, digest: str) -> Key | None:
        """Return the valid key with this digest. A digest that does not match may be of a key rotated just now."""
        found, now = await self.key_of(prefix), agreed_time.now()
        if found is not None and not is_one_of(digest, found.digests(now)):
            found = await in_time(self._known.anew(prefix), within_s=LOOKED_UP_WITHIN_S)
            if found is not None and not is_one_of(digest, found.digests(now)):
                return None
        return found if found is not None and found.is_live(now) else None

    def sign(self, authorization: str | None, text: str) -> tuple[str, str]:
        """Sign a text with the caller's key. Return the key's name and the signature."""
        key = key_in(authorization)
        digest = digest_of(key)
        prefix = None if self._ring.knows(digest) else prefix_of(key)
        return prefix or "", signature_of(digest, text)

    async def signer_of(self, text: str, prefix: str, signature: str) -> Principal | None:
        """Return whose key signed the text; None if no valid key did. Where no key is required: anybody."""
        if await self.opening.is_open():
            return ANYBODY
        if not prefix:
            return BOOTSTRAP if self._ring.has_signed(text, signature) else None
        key, now = await self.key_of(prefix), agreed_time.now()
        if key is None or not key.is_live(now):
            return None
        return key.principal if is_one_of(signature, [signature_of(one, text) for one in key.digests(now)]) else None

    async def keep(self) -> None:
        """Record, twice a minute, which keys were used. Runs until it is cancelled."""
        while True:
            await asyncio.sleep(_USES_NOTED_EVERY_S)
            await self.note_uses()

    async def note_uses(self) -> None:
        """Record which keys were used since the last call, to the minute."""
        used, self._used = self._used, set()
        if not used:
            return
        now = agreed_time.now()
        minute = now - timedelta(seconds=now.second, microseconds=now.microsecond)
        try:
            await self._database.run(partial(record_keys_used, key_ids=used, minute=minute))
        except LedgerUnavailable as error:
            log.debug("key_uses_not_noted", reason=error.detail)
            self._used |= used

    async def close(self) -> None:
        """Record the last uses, and wait for the look-ups under way."""
        await self.note_uses()
        await self._known.close()
        await self.opening.close()

    def _forget(self, prefix: str) -> None:
        """Look a key up again next time: it was made or changed here."""
        self._known.forget(prefix)
        self.opening.forget()

    async def _read_key(self, prefix: str) -> Key | None:
        return (await self._reads.of([prefix]))[prefix]

    async def _read_keys(self, prefixes: Sequence[str]) -> Mapping[str, Key | None]:
        async with self._database.connect() as connection:
            found = await find_keys(connection, prefixes)
        return {prefix: found.get(prefix) for prefix in prefixes}

    def _refusal(self, key: str, address: str | None) -> Unauthorized | TooManyWrongKeys:
        place = place_of(address)
        if key:
            wait_s = self._wrong.wait_s(place)
            if wait_s:
                return TooManyWrongKeys(f"Too many wrong keys came from {place}. Try again later.", wait_s)
            self._wrong.failed(place)
        return Unauthorized("Send `Authorization: Bearer <key>` with a valid key of this service.")


def key_in(authorization: str | None) -> str:
    """Return the key in a header, or an empty text if there is none."""
    scheme, _, key = (authorization or "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""
