"""The files for deployment agree with the code and with each other."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from service.cli import postlude
from service.settings import Settings
from service.worker.worker import _EXIT_MARGIN_S

ROOT = Path(__file__).parent.parent
OURS = ("api", "worker", "migrate")


class ComposeReader:
    """Reads the subset of YAML that compose.yaml uses, and fails on anything else."""

    def __init__(self, text: str) -> None:
        lines = [line.rstrip() for line in text.splitlines()]
        meant = [line for line in lines if line and not line.lstrip().startswith("#")]
        self._lines = [(len(line) - len(line.lstrip()), line.lstrip()) for line in meant]
        self._anchors: dict[str, Any] = {}

    def block(self, indent: int = 0) -> Any:
        if self._lines[0][1].startswith("- "):
            return [_value(line[2:]) for line in self._taken(indent)]
        mapping: dict[str, Any] = {}
        for line in self._taken(indent):
            key, value = _parts(line)
            if key == "<<":
                mapping |= self._anchors[value.removeprefix("*")]
            elif value == "" or value.startswith("&"):
                mapping[key] = self._anchors[value[1:]] = self._below(indent)
            else:
                mapping[key] = _value(value)
        return mapping

    def _below(self, indent: int) -> Any:
        deeper = self._lines[0][0] if self._lines else 0
        return self.block(deeper) if deeper > indent else None

    def _taken(self, indent: int) -> Iterator[str]:
        while self._lines and self._lines[0][0] == indent:
            yield self._lines.pop(0)[1]


def _parts(line: str) -> tuple[str, str]:
    parts = re.fullmatch(r"([\w<-]+):(?: (.+))?", line)
    assert parts, f"compose.yaml: not understood: {line}"
    return parts[1], parts[2] or ""


def _value(text: str) -> Any:
    assert not re.match(r"[{|>!&*]|.* #", text), f"compose.yaml: not understood: {text}"
    if text.startswith("["):
        return [_value(item) for item in re.findall(r'"[^"]*"|[^,\s]+', text[1:-1])]
    return json.loads(text) if text[0] == '"' or text in ("true", "false") or text.isdigit() else text


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    read: dict[str, Any] = ComposeReader((ROOT / "compose.yaml").read_text()).block()
    return dict(read["services"])


def dockerfile() -> list[list[tuple[str, str]]]:
    """Return the instructions of each stage."""
    joined = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    lines = [line.partition(" ") for line in joined.splitlines() if line and not line.startswith("#")]
    stages: list[list[tuple[str, str]]] = []
    for word, _, rest in lines:
        if word == "FROM":
            stages.append([])
        stages[-1].append((word, rest))
    return stages


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def interpolated(environment: Mapping[str, str]) -> dict[str, str]:
    """Fill in `${NAME:-default}` with the default, and `${NAME:?…}` with a value."""
    filled = {name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value) for name, value in environment.items()}
    return {name: re.sub(r"\$\{\w+:\?[^}]*\}", "secret", value) for name, value in filled.items()}


def test_compose_runs_an_api_two_workers_and_the_servers_they_need(services: dict[str, Any]) -> None:
    assert set(services) == {*OURS, "redis", "postgres", "mail", "prometheus", "grafana"}
    assert services["worker"]["deploy"]["replicas"] == 2
    assert services["worker"]["command"] == ["arq", "worker_settings.WorkerSettings"]
    for name in ("api", "migrate"):
        assert services[name]["command"] == ["postlude", name]
        assert name in postlude.commands


def test_redis_keeps_its_data_and_evicts_nothing(services: dict[str, Any]) -> None:
    words = services["redis"]["command"][1:]
    options = dict(zip(words[::2], words[1::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"
    assert services["redis"]["volumes"] == ["redis:/data"]


def test_nothing_starts_before_what_it_needs(services: dict[str, Any]) -> None:
    completed, healthy = {"condition": "service_completed_successfully"}, {"condition": "service_healthy"}
    for name in ("api", "worker"):
        assert services[name]["depends_on"] == {"migrate": completed, "redis": healthy}
    assert services["migrate"]["depends_on"] == {"postgres": healthy}
    for name in ("redis", "postgres", "worker"):
        assert services[name]["healthcheck"]["test"][0] == "CMD"


def test_every_service_but_the_migrations_restarts_when_it_dies(services: dict[str, Any]) -> None:
    assert {name for name, service in services.items() if service["restart"] != "unless-stopped"} == {"migrate"}


def test_nobody_outside_this_machine_reaches_a_published_port(services: dict[str, Any]) -> None:
    for service in services.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_secrets_have_no_default(services: dict[str, Any]) -> None:
    for name in OURS:
        assert services[name]["environment"]["POSTLUDE_API_KEYS"].startswith("${POSTLUDE_API_KEYS:?")
        assert ":${POSTGRES_PASSWORD:?" in services[name]["environment"]["POSTLUDE_DATABASE_URL"]
    assert services["postgres"]["environment"]["POSTGRES_PASSWORD"].startswith("${POSTGRES_PASSWORD:?")


def test_new_databases_compare_text_byte_by_byte_as_the_guide_says(services: dict[str, Any]) -> None:
    assert services["postgres"]["environment"]["POSTGRES_INITDB_ARGS"] == "--lc-collate=C"


def test_workers_are_killed_only_after_their_grace(services: dict[str, Any]) -> None:
    grace_s = float(services["worker"]["environment"]["POSTLUDE_GRACE_S"])
    assert seconds(services["worker"]["stop_grace_period"]) > grace_s + _EXIT_MARGIN_S


def test_settings_in_compose_are_valid_and_point_to_its_services(
    services: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in interpolated(services["api"]["environment"]).items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.api_keys
    assert settings.smtp_url is not None
    hosts = re.findall(
        r"(?:@|://)(\w+):\d+", f"{settings.database_url} {settings.redis_url} {settings.smtp_url.get_secret_value()}"
    )
    assert hosts == ["postgres", "redis", "mail"]


def test_image_runs_the_api_as_an_unprivileged_user() -> None:
    *_, last = dockerfile()
    words = dict(last)
    assert int(words["USER"]) > 0
    assert words["CMD"] == '["postlude", "api"]'
    assert "/healthz" in words["HEALTHCHECK"]
    assert not re.search(r"\b(pip|apt-get|gcc)\b", " ".join(rest for _, rest in last))


def test_image_is_built_from_locked_dependencies() -> None:
    build, _ = dockerfile()
    steps = [rest for word, rest in build if word == "RUN" and " install " in rest]
    assert len(steps) == 3
    for step, lock in zip(steps, ("production.lock", "build.lock"), strict=False):
        assert f"--no-deps --require-hashes -r requirements/{lock}" in step
    assert steps[0].endswith(" check")
    assert "--no-build-isolation" in steps[-1]
    assert "--no-deps --no-index" in steps[-1]


def test_image_can_keep_files_in_a_bucket() -> None:
    lock = (ROOT / "requirements/production.lock").read_text()
    extra = re.search(r'^s3 = \["(\w+)', (ROOT / "pyproject.toml").read_text(), re.M)
    assert extra is not None
    assert re.search(rf"^{extra[1]}==", lock, re.M)


def test_build_context_has_every_file_that_the_image_copies() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split("\n")
    sources = [path for word, rest in dockerfile()[0] if word == "COPY" for path in shlex.split(rest)[:-1]]
    assert "worker_settings.py" in sources
    assert "*" in ignored
    for source in sources:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignored
