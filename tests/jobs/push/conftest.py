import json
from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from jobs import Context
from jobs.push.accounts import PushAccounts
from service.outbound import open_http
from service.push.capability import set_up
from service.settings import Settings
from tests.support.fakes import fake_context
from tests.support.push_servers import Google, PushService, base64_url, serving


@pytest.fixture
async def google() -> AsyncIterator[Google]:
    async with serving(google := Google()):
        yield google


@pytest.fixture
async def service() -> AsyncIterator[PushService]:
    async with serving(service := PushService()):
        yield service


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with open_http([ip_network("127.0.0.0/8")], 100) as http:
        yield http


@pytest.fixture
def enqueued() -> list[tuple[str, Any]]:
    """What attempts have enqueued: kinds and args."""
    return []


@pytest.fixture
def ctx(http: httpx.AsyncClient, google: Google, enqueued: list[tuple[str, Any]], tmp_path: Path) -> Context:
    async def enqueue(kind: str, args: Any = None, **options: Any) -> str:
        enqueued.append((kind, args))
        return "an-id"

    settings = Settings(
        data_dir=tmp_path,
        fcm_credentials=SecretStr(json.dumps(google.credentials)),
        fcm_url=google.origin,
        vapid_private_key=SecretStr(base64_url(b"\x07" * 32)),
        vapid_subject="mailto:ops@example.com",
    )
    return fake_context(http=http, enqueue=enqueue, capabilities={PushAccounts: set_up(settings)})
