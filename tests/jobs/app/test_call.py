import json
import time

from standardwebhooks.webhooks import Webhook

from jobs.app.apps import App
from jobs.app.call import Call, request_of

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_a_call_is_signed_as_a_message_of_its_own_for_each_attempt() -> None:
    call = Call("shop.mail.send", {"to": "ann@example.com"}, job="0190-a", attempt=2, timeout_s=12.5)
    app = App("https://shop.example.com/api/", SECRET)
    request = request_of(call, app, timestamp=int(time.time()), user_agent="Postlude/1")

    assert str(request.url) == "https://shop.example.com/api/_postlude"
    assert request.headers["webhook-id"] == "0190-a_2"
    assert request.headers["content-type"] == "application/json"
    assert Webhook(SECRET).verify(request.read(), dict(request.headers)) == {
        "function": "shop.mail.send",
        "arguments": {"to": "ann@example.com"},
        "job": "0190-a",
        "attempt": 2,
        "timeout": 12.5,
    }


def test_the_id_of_a_job_that_an_arq_client_made_gives_a_header_that_can_be_sent() -> None:
    call = Call("a.b", offer="o", job="arq:of\nmine", attempt=1)
    request = request_of(call, App("http://a", SECRET), timestamp=1, user_agent="P")
    assert request.headers["webhook-id"].isalnum()
    said = json.loads(request.read())
    assert (said["job"], said["offer"], said["timeout"]) == ("arq:of\nmine", "o", 0.001)


def test_nobody_is_shown_the_secret_of_an_app() -> None:
    app = App("http://a", SECRET)
    assert SECRET not in repr(app)
    assert SECRET[6:] not in app.masks(f"refused {SECRET} and {SECRET[6:]}")
