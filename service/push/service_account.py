"""The service account of a Firebase project: a JSON file from its console."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, HttpUrl, SecretStr, ValidationError

from service.errors import StartRefused

_SETTING = "POSTLUDE_FCM_CREDENTIALS"
_LONGEST_SHOWN = 300
_REMEDY = "Make a key under Project settings, Service accounts, in the Firebase console."


class ServiceAccount(BaseModel):
    type: Literal["service_account"]
    project_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_:.-]{1,100}$")]
    private_key_id: str | None = None
    private_key: SecretStr
    client_email: Annotated[str, Field(min_length=1)]
    token_uri: HttpUrl = HttpUrl("https://oauth2.googleapis.com/token")


def read_service_account(given: str) -> ServiceAccount:
    """Read a service account: its JSON, or the path of a file with it. Raises `StartRefused`."""
    text = given if given.lstrip().startswith("{") else _file(Path(given).expanduser())
    try:
        return ServiceAccount.model_validate_json(text)
    except ValidationError as error:
        wrong = ", ".join(".".join(map(str, one["loc"])) or one["msg"] for one in error.errors(include_input=False))
        raise StartRefused(f"{_SETTING} is not a service account: see {wrong}. {_REMEDY}") from None


def _file(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        # A longer text is not a path, but a key in an unsupported form, such as base64.
        named = path if len(str(path)) <= _LONGEST_SHOWN else "what it names"
        raise StartRefused(f"{_SETTING}: {named} cannot be read: {reason}.") from None
