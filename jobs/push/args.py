"""What a push says, and to whom."""

import base64
import binascii
from typing import Annotated, Literal, Self

import httpx
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    JsonValue,
    SecretStr,
    TypeAdapter,
    model_validator,
)

from jobs.kit.proof import Check
from jobs.push.dead_token import OnDeadToken
from jobs.webhook.signature import COMPACT
from jobs.webhook.url import Url

# RFC 8291, 4: what fits in one record of 4,096 bytes; push services take no more than one.
MOST_DATA_BYTES = 3993
# Four weeks, the most that push services keep a message.
LONGEST_TTL_S = 28 * 24 * 3600
_P256DH_BYTES, _AUTH_BYTES = 65, 16
_UNCOMPRESSED = 4
_TARGETS = ("token", "topic", "condition")
_url: TypeAdapter[HttpUrl] = TypeAdapter(Url)

Json = dict[str, JsonValue]


class Notification(BaseModel):
    """What the system shows."""

    model_config = ConfigDict(extra="forbid")

    title: str | None = None
    body: str | None = None
    image: str | None = Field(None, description="The URL of an image.")


class SendPushArgs(BaseModel):
    """One of token, topic and condition; the rest as in Firebase's HTTP v1 API, in snake_case or camelCase."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    token: Annotated[SecretStr, Field(min_length=1, max_length=4096)] | None = Field(
        None, description="The registration token of an app on a device."
    )
    topic: str | None = Field(None, pattern=r"^[a-zA-Z0-9\-_.~%]{1,900}$", description="Without `/topics/`.")
    condition: str | None = Field(None, min_length=1, max_length=1000, description="e.g. `'a' in topics`.")
    notification: Notification | None = None
    data: dict[str, str] | None = Field(None, description="What the app gets. Firebase takes only text.")
    android: Json | None = None
    apns: Json | None = None
    webpush: Json | None = None
    fcm_options: Json | None = None
    validate_only: bool = Field(False, description="A dry run: Firebase checks the message and sends nothing.")
    on_dead_token: OnDeadToken = None

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if sum(getattr(self, name) is not None for name in _TARGETS) != 1:
            raise ValueError("give one of token, topic and condition")
        if self.on_dead_token is not None and self.token is None:
            raise ValueError("on_dead_token is for messages to a token")
        try:
            self.body()
        except UnicodeEncodeError as error:
            raise ValueError("a text is not valid Unicode (a lone surrogate)") from error
        return self

    def body(self) -> bytes:
        """Write the JSON that is posted to Firebase. Raises `UnicodeEncodeError` for a lone surrogate."""
        message = self.model_dump(exclude={"token", "validate_only", "on_dead_token"}, exclude_none=True)
        if self.token is not None:
            message["token"] = self.token.get_secret_value()
        said = {"message": message} | ({"validate_only": True} if self.validate_only else {})
        return COMPACT.encode(said).encode()


def key_bytes(text: str) -> bytes:
    """Decode base64 in either alphabet, padded or not. Raises `ValueError`."""
    plain = text.rstrip("=").replace("+", "-").replace("/", "_")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not base64") from None


def _check_p256dh(text: str) -> None:
    key = key_bytes(text)
    if len(key) != _P256DH_BYTES or key[0] != _UNCOMPRESSED:
        raise ValueError("p256dh is the base64 of an uncompressed point on P-256, which has 65 bytes")


def _check_auth(secret: SecretStr) -> None:
    if len(key_bytes(secret.get_secret_value())) != _AUTH_BYTES:
        raise ValueError("auth is the base64 of 16 bytes")


def _check_endpoint(secret: SecretStr) -> None:
    _url.validate_python(secret.get_secret_value())


class SubscriptionKeys(BaseModel):
    p256dh: Annotated[str, AfterValidator(Check(_check_p256dh))]
    auth: Annotated[SecretStr, AfterValidator(Check(_check_auth))]


class Subscription(BaseModel):
    """A `PushSubscription`, as a browser writes it as JSON."""

    endpoint: Annotated[SecretStr, AfterValidator(Check(_check_endpoint))]
    keys: SubscriptionKeys

    @property
    def url(self) -> HttpUrl:
        return _url.validate_python(self.endpoint.get_secret_value())

    @property
    def httpx_url(self) -> httpx.URL:
        return httpx.URL(str(self.url))


def payload_of(data: JsonValue) -> bytes:
    """Write what the browser gets: text as it is, anything else as JSON, nothing for null."""
    if data is None:
        return b""
    return (data if isinstance(data, str) else COMPACT.encode(data)).encode()


def _check_data(data: JsonValue) -> None:
    try:
        size = len(payload_of(data))
    except UnicodeEncodeError as error:
        raise ValueError("a text in data is not valid Unicode (a lone surrogate)") from error
    if size > MOST_DATA_BYTES:
        raise ValueError(f"data may have at most {MOST_DATA_BYTES:,} bytes, not {size:,}: push services take no more")


class SendWebPushArgs(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    subscription: Subscription
    data: Annotated[JsonValue, AfterValidator(Check(_check_data))] = Field(
        None, description="Text is sent as it is, anything else as JSON; null: a push without data."
    )
    ttl: int = Field(LONGEST_TTL_S, ge=0, le=LONGEST_TTL_S, description="Seconds that the push waits for its browser.")
    urgency: Literal["very-low", "low", "normal", "high"] = "normal"
    topic: str | None = Field(
        None, pattern=r"^[A-Za-z0-9_-]{1,32}$", description="Replaces a waiting push of the same topic."
    )
    on_dead_token: OnDeadToken = None
