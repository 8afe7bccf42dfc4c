"""The args of `send_email`."""

import re
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from jobs.email.mailbox import check_line, read_mailbox

MOST_RECIPIENTS = 50
_LONGEST_ADDRESS = 500


def _check_body(text: str) -> str:
    if re.search(r"[\x00\ud800-\udfff]", text):
        raise ValueError("NUL and lone surrogates are refused here")
    return text


def _check_address(text: str) -> str:
    written = str(read_mailbox(text))
    # The address is kept in this form, and must still be valid when an attempt reads it.
    if len(written) > _LONGEST_ADDRESS:
        raise ValueError(f"with its quotes it has more than {_LONGEST_ADDRESS} characters")
    return written


Address = Annotated[
    str,
    Field(max_length=_LONGEST_ADDRESS, examples=["ann@example.com", "Ann <ann@example.com>"]),
    AfterValidator(_check_address),
]
Body = Annotated[str, AfterValidator(_check_body)]


class SendEmailArgs(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    to: list[Address] = Field(max_length=50)
    subject: Annotated[str, Field(max_length=998), AfterValidator(check_line)]
    text: Body | None = None
    html: Body | None = None
    cc: list[Address] = Field([], max_length=50)
    bcc: list[Address] = Field([], max_length=50, description="Recipients that the message does not show.")
    reply_to: Address | None = None
    from_: Address | None = Field(None, alias="from", description="Default: POSTLUDE_MAIL_FROM.")

    @model_validator(mode="after")
    def _check_whole(self) -> Self:
        if self.text is None and self.html is None:
            raise ValueError("give text, html or both")
        if not 1 <= len(self.to) + len(self.cc) + len(self.bcc) <= MOST_RECIPIENTS:
            raise ValueError(f"to, cc and bcc together hold 1 to {MOST_RECIPIENTS} addresses")
        return self

    @property
    def recipients(self) -> list[str]:
        """The addresses of the envelope, each once."""
        return list(dict.fromkeys(read_mailbox(text).address for text in (*self.to, *self.cc, *self.bcc)))
