import dataclasses
import functools
import json
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Generic, Literal, NamedTuple, TypeVar
from uuid import UUID

import pytest
from pydantic import BaseModel, EmailStr, Field, SecretStr, ValidationError
from typing_extensions import TypedDict

from jobs import Context, Kind, ThreadContext, job
from tests.jobs.kit.declaring import GreetArgs, refusal
from tests.support.fakes import fake_context

T = TypeVar("T")


async def performed(kind: Kind[Any, Any], **sent: Any) -> Any:
    """Accept args as the doors do, keep them, and perform the kind as a worker does."""
    args = kind.door_model.model_validate_json(json.dumps(sent))
    return await kind.call(fake_context(), kind.load_args(kind.dump_args(args).whole))


def names_wrongly(kind: Kind[Any, Any], **sent: Any) -> list[tuple[str | int, ...]]:
    """Return the places that the refusal of args names."""
    with pytest.raises(ValidationError) as refused:
        kind.door_model.model_validate_json(json.dumps(sent))
    return [error["loc"] for error in refused.value.errors()]


@job("send_welcome")
async def send_welcome(email: EmailStr, name: Annotated[str, Field(max_length=9, description="Whom.")] = "you") -> str:
    """Welcome somebody."""
    return f"{email}: {name}"


async def test_parameters_are_the_args() -> None:
    assert await performed(send_welcome, email="ann@example.com") == "ann@example.com: you"
    assert await performed(send_welcome, email="ann@example.com", name="Ann") == "ann@example.com: Ann"
    assert names_wrongly(send_welcome, email="nobody", name="Ann of Cleves", extra=1) == [
        ("email",),
        ("name",),
        ("extra",),
    ]
    assert names_wrongly(send_welcome) == [("email",)]


async def test_a_kind_is_called_as_its_function_is() -> None:
    assert await send_welcome("ann@example.com", name="Ann") == "ann@example.com: Ann"

    @job("double")
    def double(n: int) -> int:
        return n * 2

    assert double(2) == 4


def test_the_schema_shows_the_parameters() -> None:
    assert send_welcome.description == "Welcome somebody."
    assert send_welcome.args_schema == {
        "title": "SendWelcomeArgs",
        "type": "object",
        "properties": {
            "email": {"title": "Email", "type": "string", "format": "email"},
            "name": {
                "title": "Name",
                "type": "string",
                "maxLength": 9,
                "description": "Whom.",
                "default": "you",
            },
        },
        "required": ["email"],
        "additionalProperties": False,
    }


async def test_positional_only_and_keyword_only_parameters_get_their_values() -> None:
    @job("mixed")
    async def mixed(a: int, ctx: Context, b: int = 2, /, c: int = 3, *, d: int, e: int = 5) -> list[int]:
        return [ctx.attempt, a, b, c, d, e]

    assert await performed(mixed, a=1, d=4) == [1, 1, 2, 3, 4, 5]
    assert await performed(mixed, a=6, b=7, c=8, d=9, e=10) == [1, 6, 7, 8, 9, 10]


async def first_ctx(ctx: Context, a: int) -> str:
    return type(ctx).__name__


async def by_string(a: int, ctx: "Context") -> str:
    return type(ctx).__name__


async def optional(a: int, c: Context | None = None) -> str:
    return type(c).__name__


async def annotated(a: int, *, c: Annotated[Context, "mine"]) -> str:
    return type(c).__name__


@pytest.mark.parametrize("function", [first_ctx, by_string, optional, annotated])
async def test_a_parameter_annotated_context_is_given_the_context_and_is_no_arg(function: Any) -> None:
    kind = job("with_context")(function)
    assert kind.arg_names == ("a",)
    assert await performed(kind, a=1) == "Context"


def test_a_function_without_parameters_takes_no_args() -> None:
    @job("tick", cron="@daily")
    async def tick() -> None: ...

    assert tick.arg_names == ()
    assert names_wrongly(tick, a=1) == [("a",)]


async def test_names_that_a_model_keeps_for_itself_are_names_like_others() -> None:
    @job("odd_names")
    async def odd_names(
        self: int, args: int, model_config: int, model_dump: int, schema: int, copy: int, copy_: int, _own: int,
        model_new: int, class_: int, json: int, register: int, ctx: int, __own__: int = 0,
    ) -> dict[str, int]:  # fmt: skip
        return dict(locals())

    sent = {name: number for number, name in enumerate(odd_names.arg_names)}
    assert await performed(odd_names, **sent) == sent
    assert names_wrongly(odd_names, **sent | {"_own": "x", "copy": "x"}) == [("copy",), ("_own",)]
    assert names_wrongly(odd_names, **sent, schema_=1) == [("schema_",)]


async def test_no_name_of_pydantics_own_is_in_the_way() -> None:
    every = sorted({*dir(BaseModel), *dir(type(BaseModel))})
    for names in (every[first::10] for first in range(10)):
        shown: dict[str, Any] = {}
        parameters = ", ".join(f"{name}: int = 3" for name in names)
        exec(f"async def perform(x: int, /, *, {parameters}) -> list[int]: return [{', '.join(names)}]", shown)
        kind: Kind[Any, Any] = job("odd")(shown["perform"])
        assert await performed(kind, x=1) == [3] * len(names)
        assert await performed(kind, x=1, **dict(zip(names, range(100), strict=False))) == list(range(len(names)))


async def test_an_alias_is_the_name_that_is_sent() -> None:
    @job("aliased")
    async def aliased(class_: Annotated[str, Field(alias="class")], copy: Annotated[int, Field(alias="n")] = 1) -> str:
        return class_ * copy

    assert aliased.arg_names == ("class", "n")
    assert await performed(aliased, **{"class": "a", "n": 2}) == "aa"
    assert names_wrongly(aliased, class_="a") == [("class",), ("class_",)]


class Color(BaseModel):
    red: int


class Word(BaseModel):
    word: str


class Page(BaseModel, Generic[T]):
    items: list[T]


class Place(TypedDict):
    x: int


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class Pair(NamedTuple):
    a: int
    b: str = "b"


async def test_any_type_that_pydantic_reads_arrives_as_it_is_annotated() -> None:
    @job("typed")
    async def typed(
        union: Color | Word, page: Page[int], place: Place, point: Point, pair: Pair, at: datetime, key: UUID,
        choice: Literal["a", 1] = "a", maybe: int | None = None, numbers: set[int] = frozenset(),  # type: ignore[assignment]
    ) -> list[Any]:  # fmt: skip
        return [union, page, place, point, pair, at, key, choice, maybe, numbers]

    sent = {
        "union": {"word": "w"}, "page": {"items": [1]}, "place": {"x": 1}, "point": {"x": 2}, "pair": [3, "c"],
        "at": "2026-01-02T03:04:05Z", "key": "018f0000-0000-7000-8000-000000000001", "numbers": [4],
    }  # fmt: skip
    assert await performed(typed, **sent) == [
        Word(word="w"), Page[int](items=[1]), {"x": 1}, Point(2), Pair(3, "c"),
        datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), UUID("018f0000-0000-7000-8000-000000000001"), "a", None, {4},
    ]  # fmt: skip


async def test_a_default_is_never_shared_between_jobs() -> None:
    @job("adds")
    async def adds(more: list[int] = []) -> list[int]:  # noqa: B006 - what is tested
        more.append(1)
        return more

    assert await performed(adds) == [1]
    assert await performed(adds) == [1]


async def test_one_model_is_all_args_only_where_it_comes_second_after_the_context() -> None:
    async def alone(user: Color) -> Color:
        return user

    async def context_last(user: Color, ctx: Context) -> Color:
        return user

    async def beside(ctx: Context, user: Color, n: int = 1) -> Color:
        return user

    async def by_keyword(ctx: Context, *, user: Color) -> Color:
        return user

    for function in (alone, context_last, beside, by_keyword):
        assert await performed(job("some")(function), user={"red": 1}) == Color(red=1)

    async def whole(context: Context, user: Color) -> Color:
        return user

    async def whole_named(ctx: Any, user: Color) -> Color:
        return user

    for kind in (job("some")(whole), job("some")(whole_named)):
        assert await performed(kind, red=1) == Color(red=1)


async def test_a_secret_parameter_is_masked_and_reaches_the_function() -> None:
    @job("secretive")
    async def secretive(token: SecretStr, name: str = "") -> str:
        return token.get_secret_value()

    args = secretive.door_model.model_validate({"token": "hush-hush"})
    assert "hush" not in secretive.dump_args(args).shown
    assert await performed(secretive, token="hush-hush") == "hush-hush"


async def test_python_code_sends_the_same_args() -> None:
    assert send_welcome.accept({"email": "ann@example.com"}).name == "you"


def test_a_lane_function_reads_the_parameters_from_the_args() -> None:
    @job("laned", lane=lambda args: f"tenant:{args.tenant}:{args.copy_}")
    async def laned(tenant: int, copy: int) -> None: ...

    lane = laned.lane_of(laned.accept({"tenant": 7, "copy": 1}))
    assert lane is not None
    assert lane.key == "tenant:7:1"


def through(wrapper_is_async: bool) -> Callable[[Any], Any]:
    def decorate(function: Any) -> Any:
        @functools.wraps(function)
        def plain(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        @functools.wraps(function)
        async def awaiting(*args: Any, **kwargs: Any) -> Any:
            return await function(*args, **kwargs)

        return awaiting if wrapper_is_async else plain

    return decorate


@pytest.mark.parametrize("wrapper_is_async", [True, False])
async def test_a_decorator_that_tells_what_it_wraps_changes_nothing(wrapper_is_async: bool) -> None:
    @job("wrapped")
    @through(wrapper_is_async)
    async def wrapped(ctx: Context, n: int) -> list[Any]:
        return [type(ctx).__name__, n]

    assert await performed(wrapped, n=1) == ["Context", 1]


async def test_a_decorated_def_runs_in_a_thread() -> None:
    @job("wrapped")
    @through(wrapper_is_async=False)
    def wrapped(ctx: ThreadContext, n: int) -> list[Any]:
        return [type(ctx).__name__, n, threading.current_thread() is threading.main_thread()]

    assert await performed(wrapped, n=1) == ["ThreadContext", 1, False]


def hides(function: Any) -> Any:
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        return await function(*args, **kwargs)

    return wrapper


async def of_any_number(a: int, *more: int) -> None: ...


async def of_any_names(a: int, **more: int) -> None: ...


async def of_two_contexts(one: Context, two: Context, a: int) -> None: ...


async def of_arqs_ctx(ctx: dict[str, Any], a: int) -> None: ...


async def of_arqs_mapping(ctx: Mapping[str, Any], a: int) -> None: ...


async def of_a_lock(a: int, lock: threading.Lock) -> None: ...


async def of_code(a: int, done: Callable[[], int]) -> None: ...


async def of_a_constant(a: ClassVar[int] = 1) -> None: ...  # type: ignore[misc]  # what is tested


async def of_no_text(name: str = None) -> None: ...  # type: ignore[assignment]  # noqa: RUF013 - what is tested


async def of_unwritten(name: Annotated[str, Field(exclude=True)] = "") -> None: ...


async def of_one_name(a: int, b: Annotated[int, Field(alias="a")]) -> None: ...


class Methods:
    async def method(self, a: int) -> None: ...


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (of_any_number, "parameter '*more' of of_any_number() takes values without their own name or type"),
        (of_any_names, "parameter '**more' of of_any_names() takes values without their own name or type"),
        (hides(of_no_text), "its wrapper needs `@functools.wraps`"),
        (of_two_contexts, "'one' and 'two' of of_two_contexts() are both the context: keep one"),
        (of_arqs_ctx, "parameter 'ctx' of of_arqs_ctx() is annotated as arq's ctx"),
        (of_arqs_mapping, "parameter 'ctx' of of_arqs_mapping() is annotated as arq's ctx"),
        (of_a_lock, "parameter 'lock' of of_a_lock() has a type that cannot be read from JSON"),
        (of_code, "of_code() cannot be sent as JSON: parameter 'done' ("),
        (of_a_constant, "parameter 'a' of of_a_constant() is annotated as something that is not a value"),
        (
            of_no_text,
            "of_no_text(): the default of parameter 'name' does not fit the parameter: Input should be a valid string",
        ),
        (of_unwritten, "of_unwritten(): parameter 'name' has exclude=True"),
        (of_one_name, "parameter 'b' of of_one_name() is sent under the same name as 'a'"),
        (Methods.method, "parameter 'self' of Methods.method() has no annotation: a kind is a function of its module"),
    ],
)
def test_a_function_whose_parameters_make_no_args_is_refused_with_file_function_and_parameter(
    function: Any, reason: str
) -> None:
    message = refusal(function)
    assert message.startswith("tests/jobs/kit/test_function_args.py: kind 'bad': ")
    assert reason in message
    assert "\n" not in message


def test_a_kind_that_ticks_needs_a_default_for_each_parameter() -> None:
    async def needy(a: int) -> None: ...

    assert "needs a default for each" in refusal(needy, cron="* * * * *")


def test_a_model_of_args_keeps_its_own_call() -> None:
    @job("of_a_model")
    async def of_a_model(ctx: Context, args: GreetArgs) -> None: ...

    assert of_a_model.call is of_a_model.function
