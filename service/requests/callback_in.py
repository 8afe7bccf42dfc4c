"""What a request wants enqueued when its job or its flow ends: a job of any kind, or a signed post to a URL."""

from typing import Any

from pydantic import Field, model_validator

from service.errors import located
from service.ledger.models import Callback, Event
from service.lifecycle.callbacks import Asked, callback_of, post_to
from service.options import Options
from service.requests.job_options import JobOptions
from service.requests.known import Known

_OF_URL = {"url", "secret", "headers"}


class CallbackIn(JobOptions):
    """`kind` and `args`, with the options of a job; or `url`, which gets the final job or flow in a signed post."""

    kind: str | None = None
    args: dict[str, Any] | None = Field(
        None, description="The kind's args. `ctx.results` has the result of the job that ended."
    )
    url: str | None = Field(None, description="Gets `{type, timestamp, data}`, as `send_webhook` posts it.")
    secret: str | None = Field(None, description="`whsec_…`: signs the posts by the rules of Standard Webhooks.")
    headers: dict[str, str] | None = None

    @model_validator(mode="after")
    def _one_sort(self) -> "CallbackIn":
        if (self.kind is None) == (self.url is None):
            raise ValueError("give kind or url, not both")
        given = self.model_fields_set
        if self.url is not None and (others := given - _OF_URL):
            raise ValueError(f"a URL takes secret and headers, and no {', '.join(sorted(others))}")
        if self.kind is not None and (others := given & _OF_URL):
            raise ValueError(f"{', '.join(sorted(others))}: only with url")
        return self

    def callback(self, event: Event, known: Known) -> Callback:
        """Make the callback. Raises `KindUnknown`, `QueueUnknown` and `ArgsInvalid`, located under `on_<event>`."""
        with located(f"on_{event}"):
            return callback_of(event, self._asked(), known.catalogue, known.check_queue)

    def _asked(self) -> Asked:
        if self.url is not None:
            return post_to(self.url, self.secret, self.headers)
        assert self.kind is not None
        return Asked(self.kind, self.args, Options(**self.shared_options()))
