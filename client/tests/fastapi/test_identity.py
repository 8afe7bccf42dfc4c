import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from postlude.calling.signature import secret_of
from postlude.errors import SettingsInvalid
from postlude.fastapi.identity import identity_of, url_from
from postlude.settings import ClientSettings

HERE = "http://127.0.0.1:8000"
THERE = "https://postlude.example"
SECRET = "whsec_" + "A" * 43 + "="


def identity(service_url: str = HERE, title: str = "FastAPI", **settings: Any) -> Any:
    return identity_of(ClientSettings(**settings), service_url, title)


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("My Shop (beta)!", "my-shop-beta"),
        ("FastAPI", "fastapi"),
        ("  42 -- x", "42-x"),
        ("Ünï", "n"),
        ("日本", "app"),
        ("", "app"),
        ("x" * 100, "x" * 63),
    ],
)
def test_name_is_made_of_the_title(title: str, name: str) -> None:
    assert identity(title=title).name == name


def test_settings_come_first() -> None:
    given = identity(THERE, app_name="shop_1", app_url="http://shop.internal", app_secret=SECRET)
    assert (given.name, given.url, given.secret) == ("shop_1", "http://shop.internal", SECRET)


@pytest.mark.parametrize("name", ["Shop", "-shop", "a b", "x" * 64, "é"])
def test_name_that_the_service_would_refuse_is_told(name: str) -> None:
    with pytest.raises(SettingsInvalid, match="POSTLUDE_APP_NAME is"):
        identity(app_name=name)


def test_app_of_a_service_elsewhere_must_say_where_it_is() -> None:
    with pytest.raises(SettingsInvalid, match="POSTLUDE_APP_URL is not set"):
        identity(THERE, app_secret=SECRET)
    assert identity(HERE).url is None


def test_secret_is_derived_from_the_key() -> None:
    first = identity(THERE, app_url=HERE, api_key="k1")
    assert first.key == identity(THERE, app_url=HERE, api_key="k1").key
    others = [identity(THERE, app_url=HERE, api_key="k2"), identity(THERE, app_url=HERE, api_key="k1", app_name="x")]
    assert first.key not in [other.key for other in others]


def test_service_elsewhere_without_key_needs_a_secret() -> None:
    with pytest.raises(SettingsInvalid, match="POSTLUDE_APP_SECRET is not set") as told:
        identity(THERE, app_url=HERE)
    offered = str(told.value).split("Write ")[1].split(",")[0]
    assert identity(THERE, app_url=HERE, app_secret=offered).secret == offered


def test_secret_of_a_service_here_is_kept_for_all_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "new"))
    with ThreadPoolExecutor(16) as threads:
        made = set(threads.map(lambda _: identity(title="Shop").secret, range(64)))
    assert made == {(tmp_path / "new" / "postlude" / "shop.secret").read_text()}
    [kept] = (tmp_path / "new" / "postlude").iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    assert identity(title="Other").secret not in made


def test_folder_that_keeps_no_secret_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.joinpath("file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.raises(SettingsInvalid, match="no secret can be kept in"):
        identity(title="Shop")


def test_secret_that_somebody_broke_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    tmp_path.joinpath("postlude").mkdir()
    tmp_path.joinpath("postlude", "fastapi.secret").write_text("broken")
    with pytest.raises(SettingsInvalid):
        identity()


def test_several_secrets_are_the_new_one_and_those_from_before() -> None:
    old = "whsec_" + "B" * 42 + "A="
    given = identity(app_secret=f"{SECRET} {old}")
    assert (given.secret, [secret_of(key) for key in given.keys]) == (SECRET, [SECRET, old])


def test_secret_is_checked() -> None:
    with pytest.raises(SettingsInvalid, match="whsec_"):
        identity(app_secret="secret")
    assert secret_of(identity(app_secret=SECRET).key) == SECRET


@pytest.mark.parametrize(
    ("scope", "url"),
    [
        ({"server": ("127.0.0.1", 8000)}, "http://127.0.0.1:8000"),
        ({"server": ("::1", 8000), "scheme": "https", "root_path": "/shop"}, "https://[::1]:8000/shop"),
        ({"server": ("127.0.0.1", 8000), "scheme": "wss"}, "https://127.0.0.1:8000"),
        ({"server": ("/run/shop.sock", None)}, None),
        ({"server": None}, None),
        ({}, None),
    ],
)
def test_first_request_says_where_the_app_is(scope: Any, url: str | None) -> None:
    assert url_from(scope) == url
