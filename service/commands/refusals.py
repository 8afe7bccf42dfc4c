"""What the service's refusals say to somebody who has typed a command."""

import ssl
from typing import Any

import httpx

from service.commands import answers
from service.commands.answers import checked
from service.commands.text import address, one_line

# What the API advises about requests, and what that means to somebody who has typed a command.
_OF_COMMANDS = (
    ("send the request again", "run the command again"),
    ("Send the request again", "Run the command again"),
    ("before you send it again", "before you run the command again"),
    ("The body is not valid: ", ""),
    ("The request is not valid: query.", ""),
    ("The request is not valid: ", ""),
)


def reason_of(answer: httpx.Response) -> str:
    """Return the text of a problem document or, without one, of the status."""
    if answer.headers.get("content-type", "").partition(";")[0] != "application/problem+json":
        where = answer.headers.get("location")
        leads = f", and leads to {address(where)}" if where else ""
        return f"{address(answer.request.url)} answered {answer.status_code}{leads}. Check --url or POSTLUDE_URL."
    problem = checked(answers.Problem, answer.json())
    said = [problem.get("detail") or problem.get("title")]
    mistakes = [one for one in problem.get("errors") or [] if not _is_said(one, said[0] or "")]
    places = [".".join(map(str, one.get("loc", []))) for one in mistakes]
    told = [f"{where}: {one['msg']}" if where else one["msg"] for where, one in zip(places, mistakes, strict=True)]
    said.append("; ".join(one for one in told if one not in (said[0] or "")))
    if b"/v1/v1/" in answer.request.url.raw_path:
        said.append("Leave /v1 out of --url or POSTLUDE_URL.")
    if answer.status_code == 401:
        said.append("From here: --key or POSTLUDE_API_KEY.")
    return one_line(_for_commands(" ".join(filter(None, said))))


def advice_on(url: str, error: httpx.TransportError) -> str:
    """Say what to look at when nobody answers."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return "Its certificate is not trusted here: name the authority's file in SSL_CERT_FILE."
    if cause is not None:
        return "If there is no TLS there, write http:// in place of https://."
    if isinstance(error, httpx.RemoteProtocolError) and url.startswith("http:"):
        return "If it speaks TLS, write https:// in place of http://."
    return "Is Postlude running there?"


def _is_said(mistake: dict[str, Any], detail: str) -> bool:
    """Return whether the detail says what is wrong; inside a list, that does not say where."""
    msg = mistake.get("msg") or ""
    return msg == detail or (len(mistake.get("loc", [])) <= 1 and msg in detail)


def _for_commands(advice: str) -> str:
    """Return advice about a request as advice to somebody who has typed a command."""
    for of_a_request, of_a_command in _OF_COMMANDS:
        advice = advice.replace(of_a_request, of_a_command)
    return advice
