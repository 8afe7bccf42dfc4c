"""Whatever answers at the URL, a command ends with a sentence and never with a traceback."""

import json
import socket

import pytest

from service.errors import FateUnknown
from service.settings import Settings
from tests.faults.form import WHOLE
from tests.service.commands.commanding import run
from tests.support.raw_receiver import always, raw_receiver
from tests.support.receiver import receiving
from tests.support.running import running_api


async def test_key_comes_from_the_environment(settings: Settings) -> None:
    async with running_api(Settings(**{**settings.model_dump(), "api_keys": "s3cret"})) as api:
        refused = await run(api.base_url, "list")
        assert refused.code == 1
        assert "POSTLUDE_API_KEY" in refused.err
        assert (await run(api.base_url, "list", POSTLUDE_API_KEY="s3cret")).code == 0


async def test_nobody_there_and_somebody_else_there_are_sentences() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for arguments in (["list"], ["show", "id"], ["cancel", "a", "b"], ["tail", "id"], ["tail"]):
        away = await run(f"http://127.0.0.1:{port}", *arguments, HTTP_PROXY="http://127.0.0.1:9")
        assert away.code == 1
        assert away.err.startswith(f"error: nobody answers at http://127.0.0.1:{port} ("), away.err
        assert away.err.count("error") == 1
    async with receiving() as other:
        for arguments in (["list"], ["tail", "id"]):
            answered = await run(other.url, *arguments)
            assert answered.code == 1
            assert "POSTLUDE_URL" in answered.err


JOB = b'{"id": "a", "kind": "k", "state": "failed", "attempt": 1'
ODD_ANSWERS = {
    "nothing": (200, "application/json", b"{}"),
    "a list": (200, "application/json", b"[]"),
    "no jobs": (200, "application/json", b'{"jobs": [1], "next_cursor": null}'),
    "odd jobs": (200, "application/json", b'{"jobs": [%s, "error": "boom"}], "next_cursor": null}' % JOB),
    "too deep": (200, "application/json", b"[" * 100_000),
    "odd progress": (200, "application/json", JOB + b', "progress": 5, "attempts": null}'),
    "an odd problem": (500, "application/problem+json", b"[]"),
    "odd mistakes": (422, "application/problem+json", b'{"detail": "no", "errors": ["x"]}'),
    "an event of no JSON": (200, "text/event-stream", b"event: state\ndata: {\n\n"),
    "an odd event": (200, "text/event-stream", b"event: state\ndata: []\n\n"),
}


@pytest.mark.short
@pytest.mark.parametrize(("status", "media_type", "content"), ODD_ANSWERS.values(), ids=ODD_ANSWERS)
async def test_whatever_answers_otherwise_than_the_api_is_named_in_a_sentence(
    status: int, media_type: str, content: bytes
) -> None:
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {media_type}\r\nContent-Length: {len(content)}\r\n"
    every = (["list"], ["show", "a"], ["cancel", "a"], ["replay", "--kind", "k"], ["tail", "a"], ["tail"])
    async with raw_receiver(always(f"{head}Connection: close\r\n\r\n".encode() + content)) as other:
        for arguments in every if WHOLE else every[len(content) % 3 :: 3]:
            answered = await run(other.url, *arguments)
            assert answered.code == 1, arguments
            assert "is not Postlude's API" in answered.err, answered.err


async def test_an_address_that_is_nearly_right_is_answered_with_what_to_write(settings: Settings) -> None:
    async with running_api(settings) as api:
        by_tls = await run(str(api.base_url).replace("http:", "https:"), "list")
        assert "write http:// in place of https://" in by_tls.err
        too_long = await run(f"{api.base_url}/v1", "list")
        assert (too_long.code, too_long.err.endswith(" Leave /v1 out of --url or POSTLUDE_URL.\n")) == (1, True)


async def test_advice_fits_a_command_and_not_the_request_that_it_sends() -> None:
    unsure = FateUnknown("The database did not confirm the write")
    content = json.dumps({"title": unsure.title, "status": 503, "detail": unsure.detail})
    head = f"HTTP/1.1 503 X\r\nContent-Type: application/problem+json\r\nContent-Length: {len(content)}\r\n"
    async with raw_receiver(always(f"{head}Connection: close\r\n\r\n{content}".encode())) as api:
        for group in ("flows", "jobs"):
            answered = await run(api.url, "replay", "a", group=group)
            assert answered.err == (
                "error: a: The database did not confirm the write: it may be recorded, or not. Check whether it was"
                " recorded before you run the command again.\n"
            )


async def test_an_environment_that_cannot_be_used_is_a_sentence_that_shows_no_key() -> None:
    for arguments, environment, code in (
        (["--url", "http://[::1", "list"], {}, 2),
        (["--url", "ftp://me:s3cret@postlude.invalid", "list"], {}, 2),
        (["--url", "http://me:s3cret@postlude.invalid", "list"], {}, 1),
        (["list"], {"POSTLUDE_API_KEY": "schlüssel"}, 2),
        (["list"], {"POSTLUDE_API_KEY": "s3cret\nkey"}, 2),
        (["list"], {"HTTP_PROXY": "bogus://x"}, 1),
        (["list"], {"SSL_CERT_FILE": "/nowhere"}, 1),
        (["show", "\udcff"], {}, 1),
    ):
        answered = await run("http://postlude.invalid", *arguments, **environment)
        assert answered.code == code, answered.err
        assert "s3cret" not in answered.err
