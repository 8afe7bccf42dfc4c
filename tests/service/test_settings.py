import os
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError
from redis.asyncio.connection import parse_url
from sqlalchemy import make_url, text

from service.ledger.database import Database
from service.queue import arq_settings
from service.settings import _LISTS, Settings, describe_invalid, describe_unknown


@pytest.fixture(autouse=True)
def no_settings_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("POSTLUDE_"):
            monkeypatch.delenv(name)


def settings(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(f"POSTLUDE_{name}", value)
    return Settings()


def refusal(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    with pytest.raises(ValidationError) as refused:
        settings(monkeypatch, **variables)
    return describe_invalid(refused.value)


def test_the_defaults_are_those_of_the_contract(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    defaults = Settings()
    assert (defaults.host, defaults.port, defaults.data_dir) == ("127.0.0.1", 8000, tmp_path / "var")
    assert defaults.sqlalchemy_url == f"sqlite+aiosqlite:///{tmp_path}/var/postlude.db"
    assert (defaults.database_url, defaults.redis_url, defaults.smtp_url) == (None, None, None)
    assert (defaults.jobs, defaults.queues, defaults.api_keys, defaults.webhook_allow) == ((), ("default",), (), ())
    assert defaults.app_allow == ()
    assert (defaults.max_jobs, defaults.grace_s, defaults.max_crashes) == (100, 25, 3)
    assert (defaults.retention_days, defaults.retention) == (30, timedelta(days=30))
    assert (defaults.log_level, defaults.stock_worker) == ("INFO", False)
    assert defaults.most_processes == len(os.sched_getaffinity(0)) + 1


def test_every_setting_is_read_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    given = settings(
        monkeypatch,
        HOST="0.0.0.0",
        PORT="9000",
        DATA_DIR="/srv/postlude",
        DATABASE_URL="postgresql+asyncpg://u:p@db/x",
        REDIS_URL="redis://cache:6380/3",
        SMTP_URL="smtps://u:p@mail",
        MAIL_FROM="us@example.com",
        MAX_JOBS="7",
        PROCESSES="3",
        GRACE_S="1.5",
        MAX_CRASHES="2",
        RETENTION_DAYS="3",
        LOG_LEVEL="debug",
        STOCK_WORKER="1",
    )
    assert (given.host, given.port, given.data_dir) == ("0.0.0.0", 9000, Path("/srv/postlude"))
    assert given.sqlalchemy_url == "postgresql+asyncpg://u:p@db/x"
    assert given.redis_dsn == "redis://cache:6380/3"
    assert given.smtp_url is not None
    assert given.smtp_url.get_secret_value() == "smtps://u:p@mail"
    assert (given.mail_from, given.max_jobs, given.grace_s) == ("us@example.com", 7, 1.5)
    assert given.most_processes == 3
    assert (given.max_crashes, given.retention, given.log_level) == (2, timedelta(days=3), "DEBUG")
    assert given.stock_worker is True


def test_every_list_can_be_given_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    lists = {name for name, field in Settings.model_fields.items() if isinstance(field.default, tuple)}
    assert lists == set(_LISTS)
    monkeypatch.setenv("POSTLUDE_ALERT_TO", "mailto:ops@example.com, https://hooks.example.com/postlude")
    assert len(Settings().alert_to) == 2


def test_lists_are_comma_separated_and_spaces_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    given = settings(
        monkeypatch,
        JOBS="shop.kinds, billing,",
        QUEUES=" default ,slow",
        API_KEYS="k1,k2",
        WEBHOOK_ALLOW="127.0.0.0/8, ::1/128,10.1.2.3",
    )
    assert given.jobs == ("shop.kinds", "billing")
    assert given.queues == ("default", "slow")
    assert [key.get_secret_value() for key in given.api_keys] == ["k1", "k2"]
    assert [str(network) for network in given.webhook_allow] == ["127.0.0.0/8", "::1/128", "10.1.2.3/32"]


def test_an_empty_list_is_none_but_there_is_no_worker_without_a_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings(monkeypatch, JOBS="", API_KEYS=" ").jobs == ()
    assert "POSTLUDE_QUEUES: " in refusal(monkeypatch, QUEUES=" , ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("MAX_JOBS", "0"),
        ("PROCESSES", "0"),
        ("PROCESSES", "1001"),
        ("GRACE_S", "-1"),
        ("MAX_CRASHES", "many"),
        ("RETENTION_DAYS", "0"),
        ("LOG_LEVEL", "LOUD"),
        ("STOCK_WORKER", "perhaps"),
        ("WEBHOOK_ALLOW", "example.com,10.0.0.0/33"),
        ("API_KEYS", "good,schlüssel"),
    ],
)
def test_a_bad_value_is_named_by_its_variable_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    sentence = refusal(monkeypatch, **{name: value})
    assert sentence.startswith(f"POSTLUDE_{name}: ")
    assert sentence.count("POSTLUDE_") == 1
    assert "example.com" not in sentence
    assert "\n" not in sentence


def test_all_bad_values_are_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sentence = refusal(monkeypatch, PORT="x", MAX_JOBS="y")
    assert "POSTLUDE_PORT: " in sentence
    assert "; POSTLUDE_MAX_JOBS: " in sentence


def test_secrets_are_not_shown_with_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    given = settings(monkeypatch, API_KEYS="s3cret-1", SMTP_URL="smtp://u:s3cret-2@mail")
    assert "s3cret" not in f"{given!r} {given}"


def test_a_data_dir_of_the_home_or_the_current_folder_is_absolute(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/ann")
    assert settings(monkeypatch, DATA_DIR="here").data_dir == tmp_path / "here"
    assert settings(monkeypatch, DATA_DIR="~/there").data_dir == Path("/home/ann/there")


def test_a_socket_is_in_the_data_dir_if_its_path_is_short_enough() -> None:
    short = Settings(data_dir=Path("/srv/postlude"))
    assert short.socket_path("redis.sock") == Path("/srv/postlude/redis.sock")
    assert short.redis_dsn == "unix:///srv/postlude/redis.sock"


@pytest.mark.parametrize("name", ["x" * 120, "ü" * 55])
def test_a_socket_has_a_short_folder_of_its_own_where_the_data_dir_is_too_long(name: str) -> None:
    long, other = Settings(data_dir=Path("/srv") / name), Settings(data_dir=Path("/srv") / (name + "y"))
    path = long.socket_path("redis.sock")
    assert len(os.fsencode(long.data_dir / "redis.sock")) >= 108
    assert len(os.fsencode(path)) <= 107
    assert str(os.getuid()) in path.parent.name
    assert path == Settings(data_dir=long.data_dir).socket_path("redis.sock")
    assert path.parent == long.socket_path("inbox.sock").parent
    assert path.parent != other.socket_path("redis.sock").parent
    assert long.redis_dsn == f"unix://{path}"


@pytest.mark.parametrize("name", ["a b", "a?b", "a#b", "a%20b", "50%", "a&b=c", "ü", "a+b", "a:b@c"])
async def test_a_data_dir_may_have_any_name(tmp_path: Path, name: str) -> None:
    given = Settings(data_dir=tmp_path / name)
    given.data_dir.mkdir()
    assert make_url(given.sqlalchemy_url).database == str(tmp_path / name / "postlude.db")
    assert parse_url(given.redis_dsn)["path"] == str(given.socket_path("redis.sock"))
    database = Database.open(given.sqlalchemy_url)
    await database.run(lambda connection: connection.execute(text("CREATE TABLE here (id INTEGER)")))
    async with database.connect() as connection:
        await connection.execute(text("SELECT * FROM here"))
    await database.close()
    assert {path.name.partition("-")[0] for path in given.data_dir.iterdir()} == {"postlude.db"}
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:p%40ss%2Fw%23rd%25@db:5432/postlude?sslmode=verify-full&sslrootcert=/etc/ca.pem",
        "postgres://ann@[::1]:5433/postlude?application_name=shop&connect_timeout=5&options=-c%20search_path%3Dq",
        "postgresql:///postlude?host=one:5432&host=two:5432&target_session_attrs=primary",
        "sqlite:///relative/postlude.db",
        "sqlite:////srv/a%20b/postlude.db",
    ],
)
def test_urls_of_databases_are_read_as_their_own_clients_read_them(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    given, read = make_url(url), make_url(settings(monkeypatch, DATABASE_URL=url).sqlalchemy_url)
    assert read.set(drivername=given.drivername) == given


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("DATABASE_URL", "postgresql://ann:s3cret@db/x?sslmod=require", "sslmod;"),
        ("DATABASE_URL", "postgresql://ann:s3cret@db/x?sslmode=on", "sslmode must be one of"),
        ("DATABASE_URL", "postgresql://ann:s3cret@db/x?sslmode=require&channel_binding=require", "channel_binding"),
        ("DATABASE_URL", "postgresql://ann:s3cret@one:1,two:2/x", "host=one:5432&host=two:5432"),
        ("DATABASE_URL", "postgresql+psycopg://ann:s3cret@db/x", "must begin with postgresql://"),
        ("DATABASE_URL", "postgresql://ann:pass@s3cret@db/x", "percent-encode"),
        ("OUTBOX_URLS", "postgresql://ann:pass@s3cret@db/x", "percent-encode"),
        ("DATABASE_URL", "sqlite://", "name a file"),
        ("DATABASE_URL", "sqlite:///:memory:", "name a file"),
        ("REDIS_URL", "redis://:s3cret#x@cache/0", "percent-encode"),
        ("REDIS_URL", "redis://:s3cret/x@cache/0", "percent-encode"),
        ("REDIS_URL", "redis://:s3cret@cache/jobs", "number of the database"),
        ("REDIS_URL", "redis://:s3cret@cache:port/0", "percent-encode"),
        ("REDIS_URL", "redis://:s3cret@cache/0?decode_responses=true", "decode_responses;"),
        ("REDIS_URL", "unix://cache/redis.sock", "unix:///path"),
        ("REDIS_URL", "http://:s3cret@cache", "must begin with redis://"),
    ],
)
def test_a_url_that_would_be_taken_for_something_else_is_refused_without_its_password(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    sentence = refusal(monkeypatch, **{name: value})
    assert sentence.startswith(f"POSTLUDE_{name}: ")
    assert reason in sentence
    assert "s3cret" not in sentence


def test_arq_is_told_users_passwords_and_paths_decoded() -> None:
    cache = arq_settings("rediss://a%40b:p%2F%23%25@cache:6380/3?ssl_cert_reqs=none")
    assert (cache.host, cache.port, cache.database, cache.ssl, cache.ssl_cert_reqs) == ("cache", 6380, 3, True, "none")
    assert (cache.username, cache.password) == ("a@b", "p/#%")
    local = arq_settings("unix:///srv/a%20b/redis.sock?db=2")
    assert (local.unix_socket_path, local.database) == ("/srv/a b/redis.sock", 2)


def test_a_misspelt_variable_is_reported_with_the_nearest_setting_and_without_its_value() -> None:
    environment = {
        "POSTLUDE_DATABSE_URL": "s3cret",
        "postlude_max_job": "7",
        "POSTLUDE_COLOUR_OF_THE_SKY": "blue",
        "POSTLUDE_PORT": "1",
        "POSTLUDE_URL": "http://postlude",
        "POSTLUDE_API_KEY": "k",
        "POSTLUDE_APP_NAME": "shop",
        "POSTLUDE_APP_SECRET": "whsec_",
        "POSTLUDE_APP_ALOW": "127.0.0.0/8",
        "POSTLUDE_REQUIRED": "1",
        "HOME": "/",
    }
    sentences = describe_unknown(environment)
    assert [sentence.split()[0] for sentence in sentences] == [
        "POSTLUDE_APP_ALOW",
        "POSTLUDE_COLOUR_OF_THE_SKY",
        "POSTLUDE_DATABSE_URL",
        "postlude_max_job",
    ]
    assert "POSTLUDE_APP_ALLOW" in sentences[0]
    assert "docs/settings.md" in sentences[1]
    assert "POSTLUDE_DATABASE_URL" in sentences[2]
    assert "POSTLUDE_MAX_JOBS" in sentences[3]
    assert "s3cret" not in "".join(sentences)


def test_a_child_process_reads_the_same_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given = settings(
        monkeypatch,
        DATA_DIR=f"{tmp_path}/a, b? c#",
        DATABASE_URL="postgresql://ann:p%2C%25@db/x?sslmode=require",
        REDIS_URL="redis://:p%2C@cache/1 ",
        API_KEYS="k1,k2",
        QUEUES="default,slow",
        STOCK_WORKER="true",
        PROCESSES="3",
        GRACE_S="1.5",
    )
    for name, value in given.variables().items():
        monkeypatch.setenv(name, value)
    assert Settings() == given


def test_settings_that_need_one_another_say_so_without_telling_their_values(monkeypatch: pytest.MonkeyPatch) -> None:
    told = refusal(monkeypatch, VAPID_PRIVATE_KEY="a-key", VAPID_SUBJECT="")
    assert told == "POSTLUDE_VAPID_PRIVATE_KEY also needs POSTLUDE_VAPID_SUBJECT, e.g. mailto:ops@example.com"


@pytest.mark.parametrize("name", ["FCM_URL", "FCM_TOKEN_URL"])
def test_urls_of_google_are_urls(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert refusal(monkeypatch, **{name: "fcm.googleapis.com"}).startswith(f"POSTLUDE_{name}: must be a URL")
