from datetime import UTC, datetime

from pydantic import BaseModel, SecretStr, field_validator

from jobs import Context, job
from service.ledger.models import Failure, Finish
from service.ledger.states import Outcome, State
from service.worker.performing.masked_failure import without_secrets

SECRET = "c4n4ry-in-an-error"


class Args(BaseModel):
    password: SecretStr
    name: str = "Ann"

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name == "nobody":
            raise RuntimeError("an author's validator")
        return name


class Open(BaseModel):
    password: str


@job("fails_with_secrets")
async def fails_with_secrets(_ctx: Context, _args: Args) -> None: ...


@job("fails_in_the_open")
async def fails_in_the_open(_ctx: Context, _args: Open) -> None: ...


def finish(message: str) -> Finish:
    failure = Failure("ValueError", message, f"Traceback ...\nValueError: {message}\n")
    return Finish("1", "k", 1, "w", Outcome.FAILED, State.FAILED, datetime.now(UTC), 1, 0, None, None, failure)


def test_secrets_are_masked_in_message_and_traceback_and_nothing_else_is() -> None:
    args = f'{{"password":"{SECRET}"}}'
    masked = without_secrets(finish(f"Ann was refused with {SECRET}"), fails_with_secrets, args).failure
    assert masked is not None
    assert masked.message == "Ann was refused with **********"
    assert masked.traceback == "Traceback ...\nValueError: Ann was refused with **********"
    told = finish(f"refused with {SECRET}")
    assert without_secrets(told, fails_in_the_open, args) is told


def test_where_nobody_can_say_what_is_secret_nothing_is_told() -> None:
    masked = without_secrets(finish(SECRET), fails_with_secrets, f'{{"password":"{SECRET}","name":"nobody"}}').failure
    assert masked is not None
    assert (SECRET in masked.message, masked.type, masked.traceback) == (False, "ValueError", None)
