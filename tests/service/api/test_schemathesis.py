"""The API is what its OpenAPI document says: schemathesis makes requests of the document, and judges the answers."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from service.settings import Settings
from tests.service.api.driving import on_sqlite
from tests.support.checkout import KNOWN_TO_HYPOTHESIS
from tests.support.running import running_api

_CONFIG = Path(__file__).with_name("schemathesis.toml").read_text()
# Each boundary of each member of each kind takes longer than all that the other calls take.
_WITHOUT_KINDS = _CONFIG.replace('["enqueue_jobs",', '["enqueue_job", "enqueue_jobs",')
_WITHIN_S = 540


@on_sqlite
@pytest.mark.timeout(600)
@pytest.mark.short("without_kinds")
@pytest.mark.parametrize("config", [_WITHOUT_KINDS, _CONFIG], ids=["without_kinds", "whole"])
async def test_answers_to_what_the_document_allows_and_forbids_are_as_it_says(
    settings: Settings, tmp_path: Path, config: str
) -> None:
    (tmp_path / "schemathesis.toml").write_text(config)
    async with running_api(settings.model_copy(update={"api_keys": (SecretStr("key-one"),)})) as api:
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", "schemathesis.toml", "--no-color", "run"]
        options = ["--header", "Authorization: Bearer key-one", "--request-timeout", "10", "--warnings", "off"]
        child = await asyncio.create_subprocess_exec(
            *command,
            str(api.base_url.join("/openapi.json")),
            *options,
            cwd=tmp_path,
            env=os.environ | KNOWN_TO_HYPOTHESIS,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(_WITHIN_S):
                told, _ = await child.communicate()
        finally:
            if child.returncode is None:
                child.kill()
    assert child.returncode == 0, told.decode()
