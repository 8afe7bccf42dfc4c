"""The kind `call_app`: a function of a registered app, run there."""

import asyncio
import time

import httpx
from pydantic import JsonValue

from jobs.app import failures
from jobs.app.answer import MEDIA_TYPE, LineTooLong, excerpt_of, last_line
from jobs.app.apps import App, Apps, NotReadable
from jobs.app.args import CallAppArgs, lane_of
from jobs.app.call import Call, request_of
from jobs.app.refusals import refusal_of
from jobs.app.verdict import Failed, Interrupted, Succeeded, TimedOut, Verdict, read_verdict
from jobs.kit.context import Context
from jobs.kit.declaration import job
from jobs.kit.http_errors import AddressRefused
from jobs.kit.outcomes import FailedElsewhere, Snooze
from jobs.kit.retry import RetryPolicy

# A deploy takes a minute or two, so the last attempt comes after a quarter of an hour.
SCHEDULE = RetryPolicy(delays=(5, 30, 120, 600))
AGAIN_S = 1.0
# By then the attempt's own timeout has ended it.
_LATE_S = 60.0


@job("call_app", timeout=300, retry=SCHEDULE, lane=lane_of)
async def call_app(ctx: Context, args: CallAppArgs) -> JsonValue:
    """Run a function in its app, and return what it returned.

    The job counts as `<app>.<function>`. An error of the function is the job's error, with its own type, message and
    traceback. An app that does not answer, refuses the call or is shutting down is asked again: five attempts within a
    quarter of an hour. A call interrupted by the app's stop costs no attempt.
    """
    ends_at = time.monotonic() + ctx.timeout.total_seconds()
    apps = ctx.capability(Apps)
    app = await _app(apps, args.app)
    left_s = ends_at - time.monotonic()
    call = Call(args.function, args.arguments, args.offer, ctx.job_id, ctx.attempt, left_s)
    request = request_of(call, app, timestamp=int(time.time()), user_agent=apps.http.headers["user-agent"])
    line = await _ask(apps.http, request, app, args)
    return await _result_of(_verdict(line, app, args), app, args, ends_at)


async def _app(apps: Apps, name: str) -> App:
    try:
        app = await apps.find(name)
    except NotReadable as error:
        raise Snooze(str(error), after=AGAIN_S) from error
    if app is None:
        raise failures.AppUnknown(f"no app {name!r} is registered; it registers itself, or with PUT /v1/apps/{name}")
    return app


async def _ask(http: httpx.AsyncClient, request: httpx.Request, app: App, args: CallAppArgs) -> bytes:
    """Post a call, and return the last line of the answer."""
    try:
        response = await http.send(request, stream=True, auth=None, follow_redirects=False)
        if response.status_code != httpx.codes.OK:
            raise refusal_of(response, await excerpt_of(response), app, args)
        if (media_type := _media_type(response)) != MEDIA_TYPE:
            await response.aclose()
            raise failures.NotPostlude(_no_postlude(app.masks(media_type[:100]), app, args))
        line = await last_line(response)
    except AddressRefused as error:
        told = AddressRefused(error.host, error.address, setting="POSTLUDE_APP_ALLOW")
        raise failures.AppAddressRefused(str(told)) from None
    except httpx.TransportError as error:
        what = app.masks(f"{type(error).__name__}: {error}")
        raise failures.AppUnreachable(f"no answer from {args.app} at {app.url}: {what}") from None
    except LineTooLong:
        raise failures.NotPostlude(f"{args.app} answered with a line of more than 1 MiB") from None
    if not line:
        raise failures.AppUnreachable(f"{args.app} at {app.url} hung up before it said what became of {args.function}")
    return line


def _media_type(response: httpx.Response) -> str:
    told: str = response.headers.get("content-type", "")
    return told.partition(";")[0].strip().lower()


def _no_postlude(media_type: str, app: App, args: CallAppArgs) -> str:
    told = media_type or "no media type"
    return f"what answers for {args.app} at {app.url} is not a Postlude app: it sent 200 with {told}, not {MEDIA_TYPE}"


def _verdict(line: bytes, app: App, args: CallAppArgs) -> Verdict:
    text = line.decode(errors="replace")
    if app.bare_secret in text:
        text = app.masks(text)
    try:
        return read_verdict(text)
    except ValueError:
        told = " ".join(app.masks(text[:200], is_cut=True).split())
        raise failures.NotPostlude(f"{args.app} sent no valid verdict on {args.function}: {told}") from None


async def _result_of(verdict: Verdict, app: App, args: CallAppArgs, ends_at: float) -> JsonValue:
    match verdict:
        case Succeeded(result=result):
            return result
        case Failed(error=error):
            raise FailedElsewhere(error.type, app.masks(error.message), app.masks(error.traceback))
        case Interrupted():
            raise Snooze(f"{args.app} stopped while it ran {args.function}", after=AGAIN_S)
        case TimedOut():
            # Its clock and ours differ by a moment: the attempt's own timeout ends it, as for any other kind.
            await asyncio.sleep(max(0.0, ends_at - time.monotonic()) + _LATE_S)
            raise TimeoutError(f"{args.app} stopped {args.function} at its timeout")
