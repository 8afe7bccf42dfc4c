"""What fails in the demo's day, and how that looks."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic_core import to_json

from service.ledger.failure import CodePlace, Failure
from service.ledger.states import Outcome

Line = tuple[str, str, Mapping[str, Any]]


class Trouble(NamedTuple):
    """Why an attempt fails; `exchange` is what was sent and answered."""

    failure: Failure
    outcome: Outcome = Outcome.FAILED
    exchange: str | None = None
    lines: Sequence[Line] = ()


_WEBHOOK = "jobs/webhook/kind.py"


def _in_webhook(error: str, message: str, cause: str = "") -> Failure:
    traceback = (
        "Traceback (most recent call last):\n"
        f'  File "{_WEBHOOK}", line 114, in send_webhook\n'
        f"    {cause or 'judge(response, excerpt.text, masks, args.give_up_on)'}\n"
        f"jobs.webhook.failures.{error}: {message}\n"
    )
    return Failure(error, message, traceback, CodePlace(f"{_WEBHOOK}:114", f"{_WEBHOOK}:send_webhook"))


def _exchange(url: str, address: str, answer: dict[str, Any] | None) -> str:
    request = {"method": "POST", "url": url, "address": address, "port": 443, "signed": True}
    return to_json({"request": request, "answer": answer}).decode()


def refused_connection(host: str) -> Trouble:
    """The receiver is down."""
    message = f"no answer from {host}: ConnectError: [Errno 111] Connection refused"
    cause = 'raise failures.class_of(error)(f"no answer from {args.url.host}: {what}") from None'
    failure = _in_webhook("ConnectFailed", message, cause)
    return Trouble(failure, exchange=_exchange(f"https://{host}/events", "203.0.113.14", None))


def server_error(host: str, status: int, reason: str) -> Trouble:
    """The receiver answers with an error."""
    body = '{"error":"upstream timed out","request_id":"7d1f0c"}'
    answer = {"status": status, "reason": reason, "took_ms": 412, "bytes": len(body)}
    told = answer | {"content_type": "application/json", "body": body, "is_cut": False}
    failure = _in_webhook("HttpStatusError", f"answered {status} {reason}: {body}")
    return Trouble(failure, exchange=_exchange(f"https://{host}/hooks/postlude", "203.0.113.71", told))


def gone(host: str) -> Trouble:
    """The receiver wants no more posts."""
    body = "this endpoint was removed"
    answer = {"status": 410, "reason": "Gone", "took_ms": 38, "bytes": len(body)}
    told = answer | {"content_type": "text/plain", "body": body, "is_cut": False}
    failure = _in_webhook("ReceiverGone", f"answered 410 Gone: {body}")
    return Trouble(failure, Outcome.DISCARDED, _exchange(f"https://{host}/v1/in", "203.0.113.90", told))


def unknown_recipient(address: str) -> Trouble:
    """The mail server refuses the only recipient for good."""
    message = f"all recipients were refused: {address}: 550 5.1.1 No such user here"
    place = CodePlace("jobs/email/kind.py:82", "jobs/email/kind.py:_ended")
    traceback = (
        "Traceback (most recent call last):\n"
        '  File "jobs/email/kind.py", line 60, in send_email\n'
        '    return _ended(ctx, message["Message-ID"], args, told, words)\n'
        '  File "jobs/email/kind.py", line 82, in _ended\n'
        '    raise told.refused_as(told.reason or f"all recipients were refused: {_listed(refused)}")\n'
        f"jobs.email.errors.RecipientsRefused: {message}\n"
    )
    answers = [("EHLO", 250, "mx.example.com"), ("MAIL", 250, "2.1.0 Ok"), ("RCPT", 550, "5.1.1 No such user here")]
    told = [{"verb": verb, "code": code, "text": text} for verb, code, text in answers]
    exchange = {"server": "mx.example.com:587", "address": "203.0.113.25", "recipients": 1, "answers": told}
    return Trouble(
        Failure("RecipientsRefused", message, traceback, place), Outcome.DISCARDED, to_json(exchange).decode()
    )


def unreadable_image(name: str) -> Trouble:
    """A function of the shop, broken by the day's deploy."""
    message = f"cannot identify image file 'uploads/{name}'"
    traceback = (
        "Traceback (most recent call last):\n"
        '  File "/srv/shop/images.py", line 48, in resize_image\n'
        "    with Image.open(source) as image:\n"
        '  File "/srv/venv/lib/python3.12/site-packages/PIL/Image.py", line 3498, in open\n'
        "    raise UnidentifiedImageError(msg)\n"
        f"PIL.UnidentifiedImageError: {message}\n"
    )
    place = CodePlace("shop/images.py:48", "shop/images.py:resize_image")
    lines: Sequence[Line] = (
        ("info", "opening the upload", {"name": name, "bytes": 0}),
        ("warning", "the upload is empty: was it moved before it was closed?", {"name": name}),
    )
    return Trouble(Failure("UnidentifiedImageError", message, traceback, place), lines=lines)


def crm_away() -> Trouble:
    """A function of the shop waits for another service in vain."""
    message = "the CRM did not answer within 20 s"
    traceback = (
        "Traceback (most recent call last):\n"
        '  File "/srv/shop/crm.py", line 91, in sync_customer\n'
        "    await client.push(customer, timeout=20)\n"
        '  File "/srv/shop/crm.py", line 33, in push\n'
        "    raise CrmUnavailable(f'the CRM did not answer within {timeout} s')\n"
        f"shop.crm.CrmUnavailable: {message}\n"
    )
    place = CodePlace("shop/crm.py:33", "shop/crm.py:Client.push")
    lines: Sequence[Line] = (("info", "pushing a customer", {"system": "crm"}), ("error", message, {"tries": 3}))
    return Trouble(Failure("CrmUnavailable", message, traceback, place), lines=lines)


def card_declined() -> Trouble:
    """A function of the shop gives up at once."""
    message = "the bank declines the card (insufficient_funds)"
    traceback = (
        "Traceback (most recent call last):\n"
        '  File "/srv/shop/payments.py", line 27, in charge_card\n'
        "    raise CardDeclined(answer.reason)\n"
        f"shop.payments.CardDeclined: {message}\n"
    )
    place = CodePlace("shop/payments.py:27", "shop/payments.py:charge_card")
    return Trouble(Failure("CardDeclined", message, traceback, place), Outcome.DISCARDED)
