import dataclasses
import functools
import json
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FutureDatetime,
    Json,
    Secret,
    SecretBytes,
    SecretStr,
    ValidationError,
    computed_field,
)
from pydantic_core import PydanticSerializationError

from jobs import Catalogue, CatalogueError, Context, RetryPolicy, job, load
from tests.support.fakes import fake_context

ROOT = Path(__file__).parents[3]
MASK = "**********"


class GreetArgs(BaseModel):
    name: str = "world"


@job("greet", timeout=10, max_attempts=2, queue="slow")
async def greet(ctx: Context, args: GreetArgs) -> str:
    """Say hello."""
    return f"hello {args.name}"


@job("greet")
async def greet_again(ctx: Context, args: GreetArgs) -> None: ...


class Need(BaseModel):
    what: str


async def needy(ctx: Context, args: Need) -> None: ...


async def untyped(ctx, args): ...  # type: ignore[no-untyped-def]  # what is tested


async def of_a_dict(ctx: Context, args: dict[str, Any]) -> None: ...


async def of_one(args: GreetArgs) -> None: ...


async def of_three(ctx: Context, args: GreetArgs, more: int) -> None: ...


def blocking(ctx: Context, args: GreetArgs) -> None: ...


async def plain(ctx: Context, args: GreetArgs) -> None: ...


def refusal(function: Any, name: str = "bad", **options: Any) -> str:
    """Return the message with which a declaration is refused."""
    with pytest.raises(CatalogueError) as refused:
        job(name, **options)(function)
    return str(refused.value)


async def test_a_kind_is_called_like_its_function() -> None:
    assert await greet(fake_context(), GreetArgs(name="Ann")) == "hello Ann"


def test_a_kind_knows_what_its_declaration_says() -> None:
    assert (greet.name, greet.timeout, greet.max_attempts, greet.queue) == ("greet", timedelta(seconds=10), 2, "slow")
    assert (greet.args_model, greet.description) == (GreetArgs, "Say hello.")
    assert greet.file == "tests/jobs/kit/test_catalogue.py"
    assert greet.args_schema["properties"]["name"]["default"] == "world"


def test_two_kinds_of_one_name_are_refused_with_both_files_named() -> None:
    other = dataclasses.replace(greet_again, file="shop/kinds.py")
    catalogue = Catalogue()
    catalogue.add(greet)
    with pytest.raises(CatalogueError, match=r"^shop/kinds\.py: kind 'greet': .* taken by tests/jobs/kit/test_cata"):
        catalogue.add(other)
    assert catalogue["greet"] is greet


def test_a_kind_that_is_met_twice_is_one() -> None:
    catalogue = Catalogue()
    catalogue.add(greet)
    catalogue.add(greet)
    assert dict(catalogue) == {"greet": greet}


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (blocking, "`async def`"),
        (untyped, "parameter 'args' must be annotated with a Pydantic model"),
        (of_a_dict, "parameter 'args' must be annotated with a Pydantic model"),
        (of_one, "exactly two parameters"),
        (of_three, "exactly two parameters"),
    ],
)
def test_a_function_that_cannot_be_a_kind_is_refused_with_its_file_and_the_reason(function: Any, reason: str) -> None:
    message = refusal(function)
    assert message.startswith("tests/jobs/kit/test_catalogue.py: kind 'bad': ")
    assert reason in message


@pytest.mark.parametrize("cron", ["", "* * * *", "61 * * * *", "@daily", "0 0 30 2 *", "every day"])
def test_a_bad_cron_expression_is_refused_with_its_file_and_the_expression(cron: str) -> None:
    message = refusal(plain, cron=cron)
    assert message.startswith("tests/jobs/kit/test_catalogue.py: kind 'bad': cron expression ")
    assert repr(cron) in message


def test_a_cron_kind_whose_args_have_no_defaults_is_refused() -> None:
    assert "needs a default for each field" in refusal(needy, cron="* * * * *")


def test_catch_up_is_the_last_tick_unless_said_otherwise_and_nothing_without_cron() -> None:
    assert job("ticks", cron="* * * * *")(plain).catch_up == "last"
    assert job("ticks", cron="* * * * *", catch_up="all")(plain).catch_up == "all"
    assert job("once")(plain).catch_up is None


@pytest.mark.parametrize(("cron", "catch_up"), [(None, "last"), (None, "some"), ("* * * * *", "some")])
def test_a_catch_up_that_means_nothing_is_refused(cron: str | None, catch_up: Any) -> None:
    assert "catch_up" in refusal(plain, cron=cron, catch_up=catch_up)


def test_ticks_until_a_moment_begin_with_that_moment() -> None:
    moment = datetime.fromisoformat("2026-03-29T02:30:00+00:00")
    ticks = job("ten", cron="*/10 * * * *")(plain).ticks_until(moment)
    assert [next(ticks).minute for _ in range(3)] == [30, 20, 10]


@pytest.mark.parametrize("options", [{"timeout": 0}, {"timeout": -1}, {"max_attempts": 0}])
def test_limits_that_let_nothing_run_are_refused(options: dict[str, Any]) -> None:
    assert next(iter(options)) in refusal(plain, **options)


@pytest.mark.parametrize("name", ["", "x" * 101, "nul\0"])
def test_a_name_that_the_ledger_cannot_keep_is_refused(name: str) -> None:
    assert "1 to 100 characters" in refusal(plain, name)


def test_ticks_are_in_utc_and_may_have_seconds() -> None:
    ten = job("ten", cron="*/10 * * * * *")(plain)
    ticks = ten.ticks_after(datetime.fromisoformat("2026-03-29T02:30:01+02:00"))
    assert [next(ticks).isoformat() for _ in range(2)] == ["2026-03-29T00:30:10+00:00", "2026-03-29T00:30:20+00:00"]


# ---- declarations that cannot hold


class Later(BaseModel):
    at: "NotDefinedAnywhere"  # type: ignore[name-defined]  # noqa: F821 - what is tested


class Unwritten(BaseModel):
    shown: int = 1
    hidden: int = Field(1, exclude=True)


class Order(BaseModel):
    lines: list[dict[str, Unwritten | None]] = []


class NoNumber(BaseModel):
    count: int = Field(0, ge=1)


class NoText(BaseModel):
    name: str = None  # type: ignore[assignment]  # what is tested


class Ahead(BaseModel):
    at: FutureDatetime | None = None


class Callback(BaseModel):
    call: Callable[[], int]


async def of_later(ctx: Context, args: Later) -> None: ...


async def of_unwritten(ctx: Context, args: Unwritten) -> None: ...


async def of_order(ctx: Context, args: Order) -> None: ...


async def of_no_number(ctx: Context, args: NoNumber) -> None: ...


async def of_no_text(ctx: Context, args: NoText) -> None: ...


async def of_ahead(ctx: Context, args: Ahead) -> None: ...


async def of_callback(ctx: Context, args: Callback) -> None: ...


async def of_nowhere(ctx: Context, args: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821


async def by_keyword(ctx: Context, *, args: GreetArgs) -> None: ...


async def gives_a_lock(ctx: Context, args: GreetArgs) -> threading.Lock:
    return threading.Lock()


async def yields(ctx: Context, args: GreetArgs) -> AsyncIterator[int]:
    yield 1


class AClass:
    async def __call__(self, ctx: Context, args: GreetArgs) -> None: ...


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (of_later, "args Later are not a whole model"),
        (of_unwritten, "field 'hidden' has exclude=True"),
        (of_order, "field 'lines.hidden' has exclude=True"),
        (of_no_number, "the default of field 'count' does not fit the field: Input should be greater than"),
        (of_no_text, "the default of field 'name' does not fit the field: Input should be a valid string"),
        (of_ahead, "field 'at' must lie in the future"),
        (of_callback, "args Callback cannot be sent as JSON"),
        (of_nowhere, "its annotations cannot be read (NameError: name 'Nowhere' is not defined)"),
        (by_keyword, "exactly two parameters"),
        (gives_a_lock, "what it returns cannot be written as JSON"),
        (yields, "the function has a `yield`"),
        (AClass, "it decorates a class"),
        (AClass(), "it decorates a AClass"),
        (functools.partial(plain), "it decorates a partial"),
        (staticmethod(plain), "it decorates a staticmethod"),
        (greet, "the function is the kind 'greet' already"),
        ("text", "it decorates a str"),
    ],
)
def test_what_cannot_run_as_sent_is_refused_when_it_is_declared(function: Any, reason: str) -> None:
    message = refusal(function)
    assert ": kind 'bad': " in message
    assert reason in message
    assert "\n" not in message


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"timeout": NAN}, "timeout must be a finite number of seconds"),
        ({"timeout": INF}, "timeout must be a finite number of seconds"),
        ({"timeout": 1e30}, "timeout must be a finite number of seconds"),
        ({"timeout": timedelta.max}, "timeout must be a finite number of seconds"),
        ({"timeout": 1e-9}, "timeout must be above 0"),
        ({"timeout": "30"}, "timeout is a number of seconds or a timedelta"),
        ({"timeout": True}, "timeout is a number of seconds or a timedelta"),
        ({"timeout": None}, "timeout is a number of seconds or a timedelta"),
        ({"max_attempts": True}, "max_attempts is a whole number"),
        ({"max_attempts": 2.5}, "max_attempts is a whole number"),
        ({"max_attempts": 10**30}, "max_attempts is a whole number"),
        ({"queue": ""}, "queue has 1 to 100 characters"),
        ({"queue": "q" * 101}, "queue has 1 to 100 characters"),
        ({"queue": "a\0b"}, "queue has 1 to 100 characters"),
        ({"queue": None}, "queue has 1 to 100 characters"),
        ({"queue": "a,b"}, "without commas"),
        ({"queue": " a"}, "without commas"),
        ({"name": "\ud800"}, "a name has 1 to 100 characters"),
        ({"name": 7}, "a name has 1 to 100 characters"),
        ({"cron": 7}, "cron expression 7 is not valid"),
        ({"retry": 3}, "retry is a RetryPolicy"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, Any], reason: str) -> None:
    message = refusal(plain, **options)
    assert reason in message
    assert message.startswith("tests/jobs/kit/test_catalogue.py: kind ")


def test_a_cap_below_the_base_that_nobody_chose_is_taken() -> None:
    assert job("soon", retry=RetryPolicy(cap=1))(plain).retry.cap == 1


def test_job_without_its_parentheses_says_what_to_write() -> None:
    with pytest.raises(CatalogueError, match=r'^tests/jobs/kit/test_catalogue\.py: .*write `@job\("plain"\)`$'):
        job(plain)  # type: ignore[arg-type]  # what is tested
    with pytest.raises(CatalogueError, match=r"`@job` needs the name"):
        job(AClass)  # type: ignore[arg-type]


def test_a_cron_kind_whose_defaults_do_not_hold_is_refused() -> None:
    class Nothing(BaseModel):
        count: int = Field(default_factory=lambda: None)  # type: ignore[assignment]

    async def tick(ctx: Context, args: Any) -> None: ...

    tick.__annotations__["args"] = Nothing
    assert "runs with the defaults of its args: count: " in refusal(tick, cron="* * * * *")


# ---- args as JSON


class Colour(Enum):
    RED = "red"


class Inner(BaseModel):
    token: SecretStr
    note: str = "plain"


@dataclass
class Login:
    user: str
    password: SecretStr


class SecretArgs(BaseModel):
    model_config = ConfigDict(extra="forbid")

    top: SecretStr
    raw: SecretBytes
    pin: Secret[int]
    inner: Inner
    listed: list[Inner]
    paired: tuple[int, SecretStr]
    chosen: frozenset[SecretStr]
    by_name: dict[str, SecretStr]
    by_day: dict[date, Inner]
    maybe: SecretStr | None
    login: Login
    amount: Decimal
    at: datetime
    wait: timedelta
    colour: Colour


@job("secretive")
async def secretive(ctx: Context, args: SecretArgs) -> None: ...


def secret_args() -> SecretArgs:
    inner = {"token": "s3cret-4"}
    return SecretArgs.model_validate(
        {
            "top": 's3cret-1 "quoted" \u00e4',
            "raw": b"s3cret-2",
            "pin": 833_733,
            "inner": inner,
            "listed": [inner, {"token": "s3cret-5"}],
            "paired": (1, "s3cret-6"),
            "chosen": ["s3cret-7", "s3cret-8"],
            "by_name": {"Authorization": "s3cret-9"},
            "by_day": {date(2026, 1, 2): inner},
            "maybe": "s3cret-10",
            "login": {"user": "ann", "password": "s3cret-11"},
            "amount": "1.10",
            "at": "2026-01-01T00:00:00.123456+02:00",
            "wait": 1.5,
            "colour": "red",
        }
    )


def test_secrets_at_any_depth_are_masked_in_what_is_shown_and_kept_in_what_is_sealed() -> None:
    args = secret_args()
    shown, sealed = secretive.dump_args(args)
    assert "s3cret" not in shown
    assert "833733" not in shown
    assert json.loads(shown)["inner"] == {"token": MASK, "note": "plain"}
    assert sealed is not None
    assert secretive.load_args(sealed) == args


def test_args_without_secrets_are_written_once() -> None:
    assert greet.dump_args(GreetArgs(name="Ann")) == ('{"name":"Ann"}', None)


class Line(BaseModel):
    sku: UUID
    price: Decimal
    parts: list["Line"] = []


class OrderArgs(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: UUID
    at: datetime
    day: date
    wait: timedelta
    total: Decimal
    colour: Colour
    lines: list[Line]
    by_id: dict[UUID, Line]
    path: Path
    payload: Json[dict[str, int]]
    sender: str = Field(alias="from")

    @computed_field
    def size(self) -> int:
        return len(self.lines)


@job("order")
async def order(ctx: Context, args: OrderArgs) -> None: ...


AWARE = st.datetimes(timezones=st.just(UTC))
PRICES = st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**12), max_value=10**12)
LINES = st.recursive(
    st.builds(Line, sku=st.uuids(), price=PRICES),
    lambda inner: st.builds(Line, sku=st.uuids(), price=PRICES, parts=st.lists(inner, max_size=2)),
    max_leaves=4,
)


@given(
    fields=st.fixed_dictionaries(
        {
            "id": st.uuids(),
            "at": AWARE,
            "day": st.dates(),
            "wait": st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=999)),
            "total": PRICES,
            "colour": st.sampled_from(Colour),
            "lines": st.lists(LINES, max_size=2),
            "by_id": st.dictionaries(st.uuids(), LINES, max_size=2),
            "path": st.just(Path("a/b")),
            "payload": st.just('{"n":1}'),
            "from": st.text(st.characters(exclude_categories=["Cs"])),
        }
    )
)
def test_args_are_read_back_as_they_were_written(fields: dict[str, Any]) -> None:
    args = OrderArgs.model_validate(fields)
    shown, sealed = order.dump_args(args)
    assert sealed is None
    assert order.load_args(shown) == args


def test_args_are_shown_under_the_names_that_they_came_with() -> None:
    class Mail(BaseModel):
        sender: str = Field(alias="from")

    async def mail(ctx: Context, args: BaseModel) -> None: ...

    mail.__annotations__["args"] = Mail
    assert job("mail")(mail).dump_args(Mail.model_validate({"from": "ann"})) == ('{"from":"ann"}', None)


def test_stored_args_that_no_longer_fit_are_told() -> None:
    with pytest.raises(ValidationError):
        order.load_args('{"id": 1}')


def test_a_result_is_json_of_the_declared_type_and_nothing_else() -> None:
    assert greet.dump_result("hi") == '"hi"'
    with pytest.raises(PydanticSerializationError):
        greet.dump_result(object())  # type: ignore[arg-type]  # what is tested


# ---- modules


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder, of which nothing stays imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def write(path: Path, source: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(source))


KIND = """
    from pydantic import BaseModel
    from jobs import Context, job

    class Args(BaseModel):
        n: int = 1

    @job({name!r})
    async def kind(ctx: Context, args: Args) -> int:
        return args.n
"""


def test_the_box_holds_its_kinds() -> None:
    assert {"send_webhook", "send_email", "update_stats", "cleanup"} <= set(load())


def test_modules_are_found_in_the_current_folder_and_its_packages(here: Path) -> None:
    write(here / "shop_kinds.py", KIND.format(name="shop"))
    write(here / "billing" / "__init__.py", "")
    write(here / "billing" / "kinds.py", KIND.format(name="bill"))
    catalogue = load(["shop_kinds", "billing.kinds"])
    assert catalogue["shop"].file == "shop_kinds.py"
    assert catalogue["bill"].file == "billing/kinds.py"
    assert "cleanup" in catalogue


def test_a_kind_that_one_module_imports_from_another_is_one_kind(here: Path) -> None:
    write(here / "first_kinds.py", KIND.format(name="one"))
    write(here / "second_kinds.py", "from first_kinds import kind as again")
    assert load(["first_kinds", "second_kinds"])["one"].file == "first_kinds.py"


def test_a_name_of_the_box_is_taken(here: Path) -> None:
    write(here / "greedy_kinds.py", KIND.format(name="cleanup"))
    with pytest.raises(CatalogueError, match=r"^greedy_kinds\.py: kind 'cleanup': .*jobs/cleanup\.py$"):
        load(["greedy_kinds"])


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (
            "import nothing_of_the_kind",
            "ModuleNotFoundError: No module named 'nothing_of_the_kind' (broken.py, line 1)",
        ),
        ("\n\nx = unknown", "NameError: name 'unknown' is not defined (broken.py, line 3)"),
        ("def f(:", "SyntaxError"),
        ("raise SystemExit(0)", "SystemExit: 0 (broken.py, line 1)"),
    ],
)
def test_a_module_that_cannot_be_imported_is_told_with_its_file_line_and_reason(
    here: Path, source: str, reason: str
) -> None:
    write(here / "broken.py", source)
    with pytest.raises(CatalogueError) as refused:
        load(["broken"])
    assert str(refused.value).startswith("broken: the module named by POSTLUDE_JOBS cannot be imported: ")
    assert reason in str(refused.value)
    assert "broken.py, line " in str(refused.value)


def test_a_module_that_is_not_there_is_told_by_its_name(here: Path) -> None:
    with pytest.raises(CatalogueError, match=r"^no_such_kinds: .*POSTLUDE_JOBS.*No module named 'no_such_kinds'$"):
        load(["no_such_kinds"])


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("x = 1", "the module named by POSTLUDE_JOBS declares no kinds (empty.py)"),
        ("from jobs import job", "the module named by POSTLUDE_JOBS declares no kinds (empty.py)"),
        (f"{textwrap.dedent(KIND.format(name='k'))}KINDS = [kind]\ndel kind", "it is only inside `KINDS`"),
        (f"{textwrap.dedent(KIND.format(name='k'))}KINDS = {{'k': kind}}\ndel kind", "it is only inside `KINDS`"),
        (
            textwrap.dedent(KIND.format(name="k")).replace("kind(", "other(", 1)
            + "class Kinds:\n    one = other\ndel other",
            "it is only inside `Kinds`",
        ),
        (
            textwrap.dedent(KIND.format(name="k")).replace("kind(", "other(", 1)
            + "class Kinds:\n    one = staticmethod(other)\ndel other",
            "it is only inside `Kinds`",
        ),
    ],
)
def test_a_module_without_kinds_is_refused(here: Path, source: str, reason: str) -> None:
    write(here / "empty.py", source)
    with pytest.raises(CatalogueError) as refused:
        load(["empty"])
    assert reason in str(refused.value)


def test_a_kind_hidden_beside_others_is_refused(here: Path) -> None:
    hidden = KIND.format(name="hidden").replace("async def kind", "async def other")
    write(here / "some_kinds.py", KIND.format(name="seen") + hidden + "\n    MORE = (other,)\n    del other\n")
    with pytest.raises(CatalogueError, match=r"kind 'hidden': it is only inside `MORE`"):
        load(["some_kinds"])


def test_kinds_may_stand_in_a_list_too_and_come_from_another_module(here: Path) -> None:
    write(here / "my_kinds.py", KIND.format(name="mine") + "\n    ALL = [kind]\n")
    write(here / "more_kinds.py", "from my_kinds import ALL, kind")
    assert load(["my_kinds", "my_kinds", "more_kinds"])["mine"].file == "my_kinds.py"


def test_a_folder_without_kinds_is_refused(here: Path) -> None:
    write(here / "shop" / "kinds.py", KIND.format(name="shop"))
    with pytest.raises(CatalogueError, match=r"shop: .* declares no kinds \(it is a folder without __init__.py\)"):
        load(["shop"])


@pytest.mark.parametrize("name", ["my/kinds.py", "my/kinds", "./my/kinds.py", "my\\kinds.py"])
def test_a_path_is_told_the_name_of_its_module(here: Path, name: str) -> None:
    write(here / "my" / "kinds.py", KIND.format(name="mine"))
    with pytest.raises(CatalogueError, match=r"POSTLUDE_JOBS names modules, not files: write my\.kinds$"):
        load([name])


def test_the_name_of_a_file_is_told_the_name_of_its_module() -> None:
    with pytest.raises(CatalogueError, match=r"^kinds\.py: .*: write kinds$"):
        load(["kinds.py"])


# ---- through the real command


def worker(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run arq's CLI on the worker, without servers: it must end before it needs any."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("POSTLUDE_")}
    paths = {"PYTHONPATH": str(ROOT), "POSTLUDE_DATA_DIR": str(folder / "data")}
    argv = [str(Path(sys.executable).with_name("arq")), "worker_settings.WorkerSettings", "--burst"]
    return subprocess.run(
        argv, cwd=folder, env=clean | paths | variables, capture_output=True, text=True, timeout=60, check=False
    )


TWINS = (
    "from jobs import Context, job\nfrom pydantic import BaseModel\n"
    "class Args(BaseModel): ...\n"
    "@job('twin')\nasync def one(ctx: Context, args: Args) -> None: ...\n"
    "@job('twin')\nasync def two(ctx: Context, args: Args) -> None: ...\n"
)


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("import nonsense_1", ["bad_kinds: ", "No module named 'nonsense_1' (bad_kinds.py, line 1)"]),
        (TWINS, ["bad_kinds.py: kind 'twin': the name is taken by bad_kinds.py"]),
        (KIND.format(name="sync").replace("async def", "def"), ["bad_kinds.py: kind 'sync': ", "`async def`"]),
        (KIND.format(name="c").replace("'c'", "'c', cron='x'"), ["bad_kinds.py: kind 'c': cron expression 'x'"]),
        (KIND.format(name="p").replace("@job('p')", "@job"), ["bad_kinds.py: `@job` needs the name of the kind"]),
        ("x = 1", ["bad_kinds: ", "declares no kinds"]),
    ],
    ids=["import", "twins", "sync", "cron", "parentheses", "none"],
)
def test_a_worker_refuses_bad_kinds_in_one_sentence(tmp_path: Path, source: str, parts: list[str]) -> None:
    write(tmp_path / "bad_kinds.py", source)
    done = worker(tmp_path, POSTLUDE_JOBS="bad_kinds")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert all(part in done.stderr for part in parts), done.stderr


def test_a_worker_refuses_a_bad_setting_in_one_sentence(tmp_path: Path) -> None:
    done = worker(tmp_path, POSTLUDE_MAX_JOBS="lots")
    assert done.returncode == 1
    assert done.stderr.startswith("error: POSTLUDE_MAX_JOBS: ")
    assert done.stderr.count("\n") == 1, done.stderr
