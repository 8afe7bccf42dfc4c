"""What operators do to keys, by a call or on a page, with a record on the trail.

A key is looked up before its id is recorded: else a key sent in place of its id would end up on the trail.
"""

from datetime import timedelta

from service.access.keys import Keys, Made
from service.access.reads import Key
from service.trail import Operator
from service.web.key_requests import KeyOut, KeyRequest, span


async def create_key(keys: Keys, operator: Operator, wanted: KeyRequest) -> Made:
    """Make a key. Raises `Refused`."""
    async with operator.action("create", "key", name=wanted.name) as entry:
        made = await keys.create(
            wanted.name,
            wanted.scopes,
            created_by=operator.principal.id,
            kinds=wanted.kinds,
            queues=wanted.queues,
            sees_args=wanted.sees_args,
            expires_in=span(wanted.expires_in),
        )
        entry.target, entry.after = made.key.id, KeyOut.of(made.key)
    return made


async def rotate_key(keys: Keys, operator: Operator, key_id: str, grace: timedelta) -> Made:
    """Give a key a new secret; the old one stays valid for `grace`. Raises `KeyNotFound`."""
    before = KeyOut.of(await keys.find(key_id))
    async with operator.action("rotate", "key", key_id, before=before) as entry:
        made = await keys.rotate(key_id, grace)
        entry.after = KeyOut.of(made.key)
    return made


async def revoke_key(keys: Keys, operator: Operator, key_id: str) -> Key:
    """Revoke a key. Raises `KeyNotFound`."""
    before = KeyOut.of(await keys.find(key_id))
    async with operator.action("revoke", "key", key_id, before=before) as entry:
        revoked = await keys.revoke(key_id)
        entry.after = KeyOut.of(revoked)
    return revoked
