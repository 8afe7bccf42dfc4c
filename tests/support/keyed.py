"""Keys for tests."""

from typing import Any

import httpx
from pydantic import SecretStr

from service.settings import Settings

BOOTSTRAP = "the-first-key"


def closed(settings: Settings, **more: Any) -> Settings:
    """Return settings that ask for a key."""
    return settings.model_copy(update={"api_keys": (SecretStr(BOOTSTRAP),), **more})


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def make_key(api: httpx.AsyncClient, *scopes: str, **more: Any) -> dict[str, Any]:
    """Make a key with the key of the settings."""
    answer = await api.post("/v1/keys", json={"name": "one", "scopes": list(scopes), **more}, headers=bearer(BOOTSTRAP))
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made
