"""What the environment says about the service and this app."""

import os
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from postlude.errors import SettingsInvalid

_YES = {"1", "true", "yes", "on"}
_NO = {"", "0", "false", "no", "off"}


class ClientSettings(NamedTuple):
    """The settings of the client, from variables of the same names that begin with `POSTLUDE_`."""

    url: str | None = None
    """Where the service is. Without it, background tasks run in the app itself."""
    api_key: str | None = None
    app_name: str | None = None
    app_url: str | None = None
    """Where the service reaches this app."""
    app_secret: str | None = None
    """`whsec_…`: signs the service's calls to this app."""
    required: bool = False
    """Whether an app without `url` must not start."""


def from_environment(environ: Mapping[str, str] = os.environ) -> ClientSettings:
    """Read the settings. Raises `SettingsInvalid`."""

    def read(name: str) -> str | None:
        return environ.get(f"POSTLUDE_{name}", "").strip() or None

    url, app_url = read("URL"), read("APP_URL")
    return ClientSettings(
        url=url and checked_url(url, "POSTLUDE_URL"),
        api_key=read("API_KEY"),
        app_name=read("APP_NAME"),
        app_url=app_url and checked_url(app_url, "POSTLUDE_APP_URL"),
        app_secret=read("APP_SECRET"),
        required=_flag(read("REQUIRED") or "", "POSTLUDE_REQUIRED"),
    )


def checked_url(url: str, name: str) -> str:
    """Return a URL without a slash at its end; `name` is what to call it. Raises `SettingsInvalid`."""
    try:
        parts = urlsplit(url.strip())
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        (parts.hostname or "").encode("idna")  # as it will be looked up
    except ValueError:
        usable = False
    if "@" in url:  # what stands before it may be a password
        raise SettingsInvalid(f"{name} contains a user name. Leave it out, and set POSTLUDE_API_KEY.")
    if not usable:
        raise SettingsInvalid(f"{name} is {url!r}. Write the whole URL, such as http://127.0.0.1:8000.")
    if parts.query or parts.fragment:
        raise SettingsInvalid(f"{name} is {url!r}. Leave out everything from ? or # on.")
    return parts.geturl().rstrip("/")


def _flag(text: str, name: str) -> bool:
    if text.lower() not in _YES | _NO:
        raise SettingsInvalid(f"{name} is {text!r}. Write 1 or 0.")
    return text.lower() in _YES
