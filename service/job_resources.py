"""What attempts use for as long as their worker lives. The API imports none of it: aiohttp alone takes 5 MB."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from service.feature import Capabilities
from service.outbound import open_http
from service.resources import Resources
from service.retention import Retention


@dataclass(frozen=True)
class JobResources:
    """What is needed only to perform jobs."""

    http: httpx.AsyncClient
    capabilities: Capabilities
    retention: Retention


@asynccontextmanager
async def open_job_resources(resources: Resources) -> AsyncIterator[JobResources]:
    """Open HTTP, and what the features can do for attempts."""
    settings, ledger = resources.settings, resources.ledger
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(open_http(settings.webhook_allow, max_connections=settings.max_jobs))
        capabilities: dict[type[Any], Any] = {}
        for feature in resources.features:
            if feature.capability is not None:
                capabilities |= await stack.enter_async_context(feature.capability(settings, ledger))
        yield JobResources(http, capabilities, Retention(settings, ledger, resources.features))
