"""What `postlude dev` runs, in which order and with which environment, and what its banner says."""

from pathlib import Path

import pytest

from service.dev import servers
from service.dev.screen import banner
from service.dev.start import environment, programs
from service.settings import Settings


def test_the_order_is_redis_migrations_inbox_api_worker(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, grace_s=7)
    everything = programs(settings, Path("redis-server"))
    assert [each.name for each in everything] == ["redis", "migrations", "inbox", "api", "worker"]
    assert everything[-1].stop_timeout_s == 12
    assert list(everything[-1].argv)[-2:] == ["arq", "worker_settings.WorkerSettings"]


def test_servers_named_in_the_settings_are_not_started(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, smtp_url="smtp://mail.example", redis_url="redis://example")
    assert [each.name for each in programs(settings, None)] == ["migrations", "api", "worker"]


def test_children_get_console_logs_and_loopback_webhooks_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("POSTLUDE_LOG_FORMAT", raising=False)
    monkeypatch.setenv("POSTLUDE_WEBHOOK_ALLOW", "10.0.0.0/8")
    env = environment(Settings(data_dir=tmp_path))
    assert env["POSTLUDE_LOG_FORMAT"] == "console"
    assert env["POSTLUDE_WEBHOOK_ALLOW"] == "10.0.0.0/8"
    assert env["POSTLUDE_DATA_DIR"] == str(tmp_path)
    monkeypatch.delenv("POSTLUDE_WEBHOOK_ALLOW")
    assert environment(Settings(data_dir=tmp_path))["POSTLUDE_WEBHOOK_ALLOW"] == "127.0.0.0/8,::1/128"


def test_the_banner_says_where_things_are(tmp_path: Path) -> None:
    text = banner(Settings(data_dir=tmp_path, port=8123), servers.offered())
    for part in ("http://127.0.0.1:8123/docs", "http://127.0.0.1:8123/inbox", str(tmp_path), "curl http://"):
        assert part in text
    assert "http://[::1]:8123/docs" in banner(Settings(host="::", port=8123), [])


def test_a_command_in_the_banner_can_be_typed_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.dev.screen.own_command", lambda: ".venv/bin/postlude")
    assert "  Look   .venv/bin/postlude demo fills" in banner(Settings(data_dir=tmp_path), [])
