"""What an app means by an answer other than 200. Pure."""

from datetime import UTC, datetime, timedelta

import httpx
from pydantic_core import from_json

from jobs.app import failures
from jobs.app.apps import App
from jobs.app.args import CallAppArgs
from jobs.kit.outcomes import Retry
from jobs.webhook.headers import retry_after

_LONGEST_DETAIL = 1_000
_LONGEST_WAIT = timedelta(minutes=10)


def refusal_of(response: httpx.Response, excerpt: bytes, app: App, args: CallAppArgs) -> Retry:
    """Return the failure that an answer stands for."""
    status, detail = response.status_code, app.masks(_detail_in(excerpt), is_cut=True)
    told = f": {detail.rstrip('.')}" if detail else ""
    name, function = args.app, args.function
    match status:
        case httpx.codes.UNAUTHORIZED | httpx.codes.FORBIDDEN:
            return failures.AppRefused(
                f"{name} does not trust the call ({status}){told}. If its own middleware says so, let /_postlude pass;"
                " if not, compare its POSTLUDE_APP_SECRET with the secret that is registered, and both machines' clocks"
            )
        case httpx.codes.NOT_FOUND:
            return failures.FunctionNotOffered(f"{name} at {app.url} does not offer {function} (404){told}")
        case httpx.codes.CONFLICT:
            return failures.CallRepeated(f"{name} has already had this attempt of {function} (409){told}")
        case httpx.codes.REQUEST_ENTITY_TOO_LARGE | httpx.codes.UNPROCESSABLE_ENTITY:
            return failures.ArgumentsRefused(f"{name} cannot call {function} with these arguments ({status}){told}")
        case httpx.codes.SERVICE_UNAVAILABLE | httpx.codes.BAD_GATEWAY | httpx.codes.GATEWAY_TIMEOUT:
            wait = retry_after(response.headers.get("retry-after", ""), datetime.now(UTC))
            after = None if wait is None else min(wait, _LONGEST_WAIT)
            return failures.AppUnreachable(f"{name} at {app.url} takes no calls now ({status}){told}", after=after)
    if 300 <= status < 400:
        return failures.AppError(
            f"{name} at {app.url} answered {status}; redirects are not followed. Register the address that answers"
        )
    return failures.AppError(f"{name} at {app.url} answered {status}{told}")


def _detail_in(excerpt: bytes) -> str:
    """Return the `detail` of a JSON body, else its text, as one line."""
    try:
        body = from_json(excerpt, allow_partial=True)
    except ValueError:
        body = excerpt.decode(errors="replace")
    detail = body.get("detail", body) if isinstance(body, dict) else body
    return " ".join(str(detail).split())[:_LONGEST_DETAIL]
