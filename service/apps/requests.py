"""What a registration says."""

from typing import Annotated, Any

import httpx
from fastapi import Path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, HttpUrl, SecretStr, TypeAdapter

from jobs.app.apps import App
from jobs.webhook.signature import secret_key

LONGEST_URL = 2_083  # as Pydantic has it, and so the OpenAPI document


def _check_url(url: HttpUrl) -> HttpUrl:
    if url.username is not None or url.password is not None:
        raise ValueError("the URL of an app has no credentials: calls are signed")
    if url.query is not None or url.fragment is not None:
        raise ValueError(
            "the URL of an app has no query and no fragment: its functions are called at /_postlude below it"
        )
    if len(str(url)) > LONGEST_URL:
        raise ValueError(f"the URL of an app has at most {LONGEST_URL:,} characters")
    try:
        _ = App(str(url), "").calls_url
    except httpx.InvalidURL as error:
        raise ValueError(f"the URL cannot be requested: {error}") from error
    return url


def _check_secret(secret: SecretStr) -> SecretStr:
    secret_key(secret.get_secret_value())
    return secret


AppName = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]


class AppRequest(BaseModel):
    """Where an app is, and the secret that signs its calls."""

    model_config = ConfigDict(extra="forbid")

    url: Annotated[HttpUrl, AfterValidator(_check_url)] = Field(
        description="Where the service reaches the app: http or https. Functions are called at `/_postlude` below it."
    )
    secret: Annotated[SecretStr, AfterValidator(_check_secret)] = Field(
        description="`whsec_` and the base64 of 24 to 64 random bytes. It is kept, and never shown."
    )


app_request: TypeAdapter[AppRequest] = TypeAdapter(AppRequest)
# The route reads the body itself.
APP_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": AppRequest.model_json_schema()}}}
}
