"""Rules and dashboards in deploy/ hold: promtool has run them, and what they ask for is what Postlude really tells."""

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml  # type: ignore[import-untyped]  # its types are a package of their own
from prometheus_client.parser import text_string_to_metric_families

import jobs
from service.ledger.ledger import Ledger
from service.ledger.records.series import record_levels
from service.settings import Settings
from service.worker.keeping.figures import Figures
from service.worker.performing.attempt import performer_of
from tests.service.api.driving import on_sqlite
from tests.support.running import eventually, running_api, running_worker

ROOT = Path(__file__).parent.parent
PROMETHEUS = ROOT / "deploy/prometheus"
DASHBOARD = json.loads((ROOT / "deploy/grafana/dashboard.json").read_text())
# Series and labels that Prometheus itself adds to everything that it scrapes.
ITS_OWN, ITS_LABELS = {"up", "ALERTS"}, {"job", "instance", "alertname"}
LEVELS = {"gap": 0.0, "blocked": 0.0, "oldest_s": 9.0, "queue_waiting:default": 1.0}


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def alerts() -> list[dict[str, Any]]:
    return [rule for group in read(PROMETHEUS / "rules.yml")["groups"] for rule in group["rules"]]


def queries(of: Any) -> Iterator[str]:
    """Yield every query in the dashboard, with Grafana's variables filled in."""
    match of:
        case {"expr": str(expr), **others}:
            yield expr.replace("$__rate_interval", "1m").replace("$kind", ".*")
            yield from queries(others)
        case dict():
            yield from chain.from_iterable(map(queries, of.values()))
        case list():
            yield from chain.from_iterable(map(queries, of))


def promtool(*args: str | Path, text: str | None = None) -> str:
    """Return what promtool says; it must be content."""
    path = shutil.which("promtool")
    if path is None:
        pytest.skip("promtool is missing: install Debian's package prometheus to test rules and metrics.")
    ran = subprocess.run([path, *args], input=text, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def test_prometheus_takes_its_configuration_and_the_rules() -> None:
    assert f"{len(alerts())} rules found" in promtool("check", "config", PROMETHEUS / "prometheus.yml")


def test_each_alert_fires_when_it_is_to_and_says_what_to_do() -> None:
    promtool("test", "rules", PROMETHEUS / "rules_test.yml")


def test_each_alert_has_its_words_and_is_tried_both_ways() -> None:
    tests = [one for test in read(PROMETHEUS / "rules_test.yml")["tests"] for one in test["alert_rule_test"]]
    fires = {one["alertname"] for one in tests if one.get("exp_alerts")}
    keeps_still = {one["alertname"] for one in tests if not one.get("exp_alerts")}
    names = [alert["alert"] for alert in alerts()]
    assert set(names) == fires == keeps_still
    for alert in alerts():
        assert set(alert["annotations"]) == {"summary", "description", "action"}
        assert alert["labels"]["severity"] in ("wrong", "warning")


def test_each_alert_is_in_the_table_of_alerts() -> None:
    named = re.findall(r"`(Postlude[A-Z]\w+)`", (ROOT / "docs/production.md").read_text())
    assert sorted(named) == sorted(alert["alert"] for alert in alerts())


def test_queries_of_the_dashboard_are_queries(tmp_path: Path) -> None:
    rules = [{"record": f"query:{place}", "expr": query} for place, query in enumerate(queries(DASHBOARD))]
    assert len(rules) > len(DASHBOARD["panels"]) / 2
    written = tmp_path / "queries.yml"
    written.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", written)


def test_panels_of_the_dashboard_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)


@on_sqlite
async def test_rules_and_dashboard_ask_for_what_api_and_workers_tell(settings: Settings, ledger: Ledger) -> None:
    texts = await told_after_some_jobs(settings, ledger)
    names, labels = set(ITS_OWN), set(ITS_LABELS)
    for family in chain.from_iterable(map(text_string_to_metric_families, texts)):
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
        names |= {family.name + suffix for suffix in suffixes}
        labels |= {label for sample in family.samples for label in sample.labels}
    asked = " ".join([*(alert["expr"] for alert in alerts()), *queries(DASHBOARD)])
    assert set(re.findall(r"\b(postlude_\w+|up|ALERTS)\b", asked)) <= names
    grouped = ",".join(re.findall(r"\b(?:by|on) ?\(([^)]*)\)", asked))
    matched = re.findall(r"(\w+)=~?\"", asked)
    assert {*re.findall(r"\w+", grouped), *matched} <= labels
    in_words = re.findall(r"`(postlude_\w+)", (ROOT / "docs/production.md").read_text())
    assert {name for name in in_words if name not in names and f"{name}_sum" not in names} == set()
    for text in texts:
        promtool("check", "metrics", text=text)


async def told_after_some_jobs(settings: Settings, ledger: Ledger) -> list[str]:
    """Run jobs, one of which fails; return what the API and the worker then tell."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    changed = settings.model_copy(update={"jobs": ("tests.support.slo_kinds",), "worker_metrics_port": port})
    catalogue = jobs.load(changed.jobs)
    async with running_api(changed) as api, running_worker(changed, catalogue) as worker:
        for kind in ("slo_kept", "slo_missed"):
            answer = await api.post("/v1/jobs", json={"kind": kind})
            await eventually(partial(has_ended, api, answer.json()["id"]))
        await performer_of(worker.ctx).durations.tell()
        await Figures(ledger).note_totals()
        async with ledger.read() as connection:
            now = await ledger.database.now(connection)
        await ledger.database.run(partial(record_levels, values=LEVELS, at=now))

        async def told() -> str:
            text = (await api.get("/metrics")).text
            return text if "postlude_sweep_age_seconds" in text else ""

        async with httpx.AsyncClient(trust_env=False) as client:
            return [await eventually(told), (await client.get(f"http://127.0.0.1:{port}/metrics")).text]


async def has_ended(api: httpx.AsyncClient, job_id: str) -> bool:
    return (await api.get(f"/v1/jobs/{job_id}")).json()["finished_at"] is not None


def test_monitoring_is_a_profile_of_compose_and_scrapes_its_services() -> None:
    services = read(ROOT / "compose.yaml")["services"]
    assert [name for name, service in services.items() if "profiles" in service] == ["prometheus", "grafana"]
    for service in services.values():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            assert not source.startswith(".") or (ROOT / source).exists(), source
    api, workers = read(PROMETHEUS / "prometheus.yml")["scrape_configs"]
    [target] = api["static_configs"][0]["targets"]
    assert target == "api:" + services["api"]["ports"][0].rpartition(":")[2]
    [found] = workers["dns_sd_configs"]
    assert found["names"] == ["worker"]
    assert str(found["port"]) == services["worker"]["environment"]["POSTLUDE_WORKER_METRICS_PORT"]


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    services = read(ROOT / "compose.yaml")["services"]
    provisioning = ROOT / "deploy/grafana/provisioning"
    [source] = read(provisioning / "datasources/prometheus.yml")["datasources"]
    assert source["url"] == "http://prometheus:" + services["prometheus"]["ports"][0].rpartition(":")[2]
    [provider] = read(provisioning / "dashboards/postlude.yml")["providers"]
    mounts = {mount.split(":")[0]: mount.split(":")[1] for mount in services["grafana"]["volumes"]}
    shown = mounts["./deploy/grafana/dashboard.json"]
    assert Path(shown).parent == Path(provider["options"]["path"])
    assert services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == shown
