"""What the environment says, and what it may not."""

import pytest

from postlude import SettingsInvalid
from postlude.settings import ClientSettings, from_environment


def test_nothing_set_is_nothing_wanted() -> None:
    assert from_environment({}) == ClientSettings() == from_environment({"POSTLUDE_URL": " ", "POSTLUDE_REQUIRED": ""})


def test_all_settings_are_read() -> None:
    environ = {
        "POSTLUDE_URL": "https://example.com/postlude/",
        "POSTLUDE_API_KEY": "key\n",
        "POSTLUDE_APP_NAME": "shop",
        "POSTLUDE_APP_URL": "http://shop:8000",
        "POSTLUDE_APP_SECRET": "whsec_x",
        "POSTLUDE_REQUIRED": "1",
    }
    assert from_environment(environ) == ClientSettings(
        "https://example.com/postlude", "key", "shop", "http://shop:8000", "whsec_x", required=True
    )


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("POSTLUDE_URL", "127.0.0.1:8000", "Write the whole URL, such as http://127.0.0.1:8000."),
        ("POSTLUDE_URL", "http://", "Write the whole URL"),
        ("POSTLUDE_URL", "http://host:port", "Write the whole URL"),
        ("POSTLUDE_URL", "http://jobs..example.com", "Write the whole URL"),
        ("POSTLUDE_URL", f"http://{'a' * 64}.example.com", "Write the whole URL"),
        ("POSTLUDE_URL", "http://me:secret@host", "set POSTLUDE_API_KEY"),
        ("POSTLUDE_APP_URL", "http://host/?a=b", "Leave out everything from"),
        ("POSTLUDE_REQUIRED", "maybe", "Write 1 or 0."),
    ],
)
def test_what_cannot_be_used_is_refused_by_its_name(name: str, value: str, told: str) -> None:
    with pytest.raises(SettingsInvalid, match=name) as refused:
        from_environment({name: value})
    assert told in str(refused.value)
    assert "secret" not in str(refused.value)
