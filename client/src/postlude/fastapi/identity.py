"""What an app is called, where the service reaches it, and the secret that they share."""

import hashlib
import hmac
import logging
import os
import re
import secrets
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from postlude.calling.signature import secret_key, secret_of
from postlude.errors import SettingsInvalid
from postlude.place import is_loopback
from postlude.settings import ClientSettings

logger = logging.getLogger("postlude")

_DEFAULT_TITLE = "FastAPI"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class Identity(NamedTuple):
    """One app."""

    name: str
    url: str | None
    """None until the first request says where this app is."""
    keys: tuple[bytes, ...]
    """The app's secret, and its former ones, which stay valid until they are removed from the setting."""

    @property
    def key(self) -> bytes:
        return self.keys[0]

    @property
    def secret(self) -> str:
        return secret_of(self.key)


def identity_of(settings: ClientSettings, service_url: str, title: str) -> Identity:
    """Return what the settings say, or else what follows from the others. Raises `SettingsInvalid`."""
    if not settings.app_name and title == _DEFAULT_TITLE:
        logger.warning(
            "This app has no title, and so registers as %r. Set POSTLUDE_APP_NAME: two apps of one name would get each"
            " other's calls.",
            _slug(title),
        )
    name = _checked_name(settings.app_name) if settings.app_name else _slug(title)
    is_here = is_loopback(service_url)
    if settings.app_url is None and not is_here:
        raise SettingsInvalid(
            f"POSTLUDE_APP_URL is not set. The service at {service_url} calls this app to run its background tasks:"
            " write where it reaches this app, such as http://shop.internal:8000."
        )
    return Identity(name, settings.app_url, _keys(settings, name, is_here))


def url_from(scope: Any) -> str | None:
    """Return where a request reached this app; None if that was no TCP port."""
    host, port = scope.get("server") or (None, None)
    if not host or not port:
        return None
    scheme = {"ws": "http", "wss": "https"}.get(scope.get("scheme"), scope.get("scheme") or "http")
    url = httpx.URL(scheme=scheme, host=host, port=port, path=scope.get("root_path") or "/")
    return str(url).rstrip("/")


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise SettingsInvalid(
            f"POSTLUDE_APP_NAME is {name!r}. Write up to 63 of a-z, 0-9, - and _, beginning with a letter or digit."
        )
    return name


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:63].strip("-") or "app"


def _keys(settings: ClientSettings, name: str, is_here: bool) -> tuple[bytes, ...]:
    if settings.app_secret:
        return tuple(map(secret_key, settings.app_secret.split()))
    return (_made_key(settings, name, is_here),)


def _made_key(settings: ClientSettings, name: str, is_here: bool) -> bytes:
    if settings.api_key:
        return hmac.digest(settings.api_key.encode(), b"postlude app " + name.encode(), hashlib.sha256)
    if is_here:
        return _key_here(_state_folder() / f"{name}.secret")
    raise SettingsInvalid(
        "POSTLUDE_APP_SECRET is not set, and there is no POSTLUDE_API_KEY to derive it from. It signs the service's"
        f" calls to this app. Write {secret_of(secrets.token_bytes(32))}, which was made just now; in all its"
        " processes the same."
    )


def _state_folder() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "postlude"


def _key_here(path: Path) -> bytes:
    try:
        return _kept_key(path)
    except OSError as error:
        raise SettingsInvalid(
            f"POSTLUDE_APP_SECRET is not set, and no secret can be kept in {path}: {error.strerror}. Set it, or make"
            " XDG_STATE_HOME a folder that this app may write to."
        ) from error


def _kept_key(path: Path) -> bytes:
    """Return the key that a file keeps; the first process to need it makes it."""
    try:
        return secret_key(path.read_text().strip())
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
        made.touch(mode=0o600)
        made.write_text(secret_of(secrets.token_bytes(32)))
        try:
            os.link(made, path)
        except FileExistsError:
            pass
        finally:
            made.unlink()
        return secret_key(path.read_text().strip())
