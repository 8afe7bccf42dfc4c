"""What an attempt to send a mail has sent and got is kept where it fails, without the login."""

import json

from jobs.email.kind import send_email
from service.settings import Settings
from tests.service.api.driving import on_sqlite
from tests.service.test_exchange import exchanges, working
from tests.support.smtp_servers import answering

pytestmark = on_sqlite


async def test_mails_exchange_names_the_servers_answers_but_nothing_of_the_login(settings: Settings) -> None:
    refusals = {
        "EHLO": "250-here\r\n250 AUTH LOGIN",
        "AUTH": "334 VXNlcm5hbWU6",
        "aHVudGVyMmh1bnRlcjI=": "235 welcome hunter2hunter2",
        "RCPT": "550 5.1.1 no such user",
    }
    async with answering(refusals) as server:
        url = server.url.replace("//", "//ann:hunter2hunter2@")
        changed = settings.model_copy(update={"smtp_url": settings.model_validate({"smtp_url": url}).smtp_url})
        async with working(changed, send_email) as desk:
            mail = {"to": ["bob@example.com"], "subject": "s", "text": "t"}
            job_id = await desk.enqueue(send_email, mail)
            assert (await desk.ended(job_id))["state"] == "failed"
            [exchange] = await exchanges(desk, job_id)
    assert (exchange["server"], exchange["address"], exchange["recipients"]) == (
        f"127.0.0.1:{server.port}",
        "127.0.0.1",
        1,
    )
    answers = [(one["verb"], one["code"], one["text"]) for one in exchange["answers"]]
    assert ("RCPT", 550, "5.1.1 no such user") in answers
    assert [(code, text) for verb, code, text in answers if verb == "AUTH"] == [(334, ""), (235, "")]
    assert "hunter2" not in json.dumps(exchange)
    assert "aHVudGVy" not in json.dumps(exchange)
