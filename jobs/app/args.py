"""Which function of which app is called, with what. Pure."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from jobs.app.call import Call
from jobs.kit.files import FileId
from jobs.kit.lane import Lane
from jobs.kit.proof import Check

# A bad deploy is fixed quickly, so an app is asked again soon.
LONGEST_PAUSE_S = 30
LONGEST_FUNCTION = 180

AppName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="The name it is registered under.")]
FunctionName = Annotated[
    str,
    Field(
        pattern=r"^[^\W\d]\w*(\.[^\W\d]\w*)+$",
        max_length=LONGEST_FUNCTION,
        description="Its module and its name in it, e.g. `shop.mail.send_receipt`.",
    ),
]


def _check_arguments(arguments: dict[str, JsonValue]) -> None:
    try:
        Call("", arguments).body()
    except UnicodeEncodeError as error:
        raise ValueError("a text in arguments is not valid Unicode (a lone surrogate)") from error


class CallAppArgs(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    app: AppName
    function: FunctionName
    arguments: Annotated[dict[str, JsonValue], AfterValidator(Check(_check_arguments))] = Field(
        {}, description="By the names of its parameters."
    )
    files: list[FileId] = Field(
        [], max_length=100, description="Files among the arguments, kept while the job may still run."
    )
    offer: str | None = Field(
        None, max_length=200, description="The app's proof, made from the function's name, that it added it itself."
    )


def lane_of(args: CallAppArgs) -> Lane:
    """Return the lane of an app, shared by all calls to it. Each job counts as its function."""
    return Lane(f"app:{args.app}", longest_pause=LONGEST_PAUSE_S, label=f"{args.app}.{args.function}")
