"""The benchmark's harness: its statistics, its report, and one tiny performance of Postlude by its commands, forked."""

import platform
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from benchmarks import charts, comparison, contenders, program, report, screen
from benchmarks.__main__ import benchmarks
from benchmarks.arena import Arena, arena, stamps_received, wait_until
from benchmarks.callers import FEW_FROM, many_per_s
from benchmarks.cases import cpu, drain, growth, lanes_rate, lanes_strict
from benchmarks.contenders import (
    CONTENDERS,
    POSTGRES_PEER,
    POSTLUDE_POSTGRES,
    POSTLUDE_SQLITE,
    ROOT,
    TUNED_ARQ,
    Contender,
)
from benchmarks.grow import finished_id
from benchmarks.load import request_bytes
from benchmarks.measures import Spread, Values, percentile, steady_rate
from benchmarks.receiver import SLOW_S
from benchmarks.results import Results, changes_between
from tests.support.forked_stage import started_as_fork
from tests.support.servers import PostgresServer

BASE = Path("/base")
ABOUT = {
    "at": "2026-01-01T00:00:00",
    "commit": "abc",
    "machine": "2 cores",
    "rounds": 3,
    "load_before": 0.5,
    "versions": {"arq": "0.28"},
}


@pytest.fixture(autouse=True)
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork the modules that an arena runs: to start each takes longer than what it does here."""
    monkeypatch.setattr(Arena, "start", started_as_fork(Arena.start))


@pytest.fixture
def results() -> Results:
    results = Results(about=dict(ABOUT))
    for rate in (900.0, 1000.0, 1200.0):
        results.add("drain", TUNED_ARQ.name, {"steady_per_s": rate})
        results.add("drain", POSTLUDE_SQLITE.name, {"steady_per_s": rate * 8, "jobs_per_s": rate * 4})
    results.fail("drain", "SAQ", "the worker ended:\nsome traceback")
    return results


def test_steady_rate_leaves_out_the_start_and_the_stragglers() -> None:
    samples = [(0.0, 0), (5.0, 10), (6.0, 50), (7.0, 90), (30.0, 100)]
    assert steady_rate(samples, 100) == 40.0


def test_steady_rate_of_a_burst_between_two_samples_counts_from_the_one_before() -> None:
    assert steady_rate([(0.0, 0), (1.0, 0), (1.5, 100)], 100) == 200.0


def test_percentile_interpolates() -> None:
    assert [percentile([1, 2, 3, 4], percent) for percent in (0, 50, 100)] == [1, 2.5, 4]


def test_results_read_back_as_they_were_written(results: Results, tmp_path: Path) -> None:
    results.write(tmp_path / "folder" / "a.json")
    assert Results.read(tmp_path / "folder" / "a.json") == results


def test_changes_show_the_machines_drift_beside_the_ratio(results: Results) -> None:
    slower = Results(about=dict(ABOUT))
    slower.add("drain", TUNED_ARQ.name, {"steady_per_s": 500.0})
    slower.add("drain", POSTLUDE_SQLITE.name, {"steady_per_s": 8000.0})
    changes = {one.contender: one for one in changes_between(results, slower, TUNED_ARQ.name)}
    ours = changes[POSTLUDE_SQLITE.name]
    assert (ours.ratio, ours.drift) == (1.0, 0.5)


def test_changes_command_prints_the_ratios(results: Results, tmp_path: Path) -> None:
    results.write(tmp_path / "a.json")
    done = CliRunner().invoke(benchmarks, ["changes", str(tmp_path / "a.json"), str(tmp_path / "a.json")])
    assert done.exit_code == 0, done.output
    assert "1.00" in done.output


def test_report_shows_medians_ratios_and_who_failed(results: Results) -> None:
    text = report.figures(results, program.load_cases(["drain"]))
    assert "| Postlude, SQLite | 8,000 (7,200 to 9,600) |" in text
    assert "| 8.00 |" in text
    assert "SAQ failed: the worker ended:" in text


def test_chapters_are_published_one_by_one(results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = tmp_path / "performance.md"
    document.write_text("".join(f"{begin}\nold {name}\n{end}\n" for name, (begin, end) in report.MARKERS.items()))
    monkeypatch.setattr(report, "DOCUMENT", document)
    monkeypatch.setattr(report, "CHARTS", tmp_path)
    report.publish(results, program.load_cases(()))
    assert "8.00" in document.read_text()
    assert "old engine" not in document.read_text()
    assert "old lanes" in document.read_text()


def test_cases_are_named_by_their_chapter_too() -> None:
    assert {case.chapter for case in program.load_cases(["lanes"])} == {"lanes"}
    assert {case.chapter for case in program.load_cases(())} == report.MARKERS.keys()


def test_document_has_the_markers_that_the_report_writes_between() -> None:
    text = report.DOCUMENT.read_text()
    markers = [marker for both in report.MARKERS.values() for marker in both]
    assert [text.count(marker) for marker in markers] == [1] * len(markers)


def test_chart_is_svg_with_the_best_on_top(results: Results) -> None:
    [case] = program.load_cases(["drain"])
    texts = [
        element.text for element in ET.fromstring(charts.bars(case, results)).iter() if element.tag.endswith("text")
    ]
    assert texts.index(POSTLUDE_SQLITE.name) < texts.index(TUNED_ARQ.name)


def test_report_lists_the_best_first_and_says_who_is_ahead(results: Results) -> None:
    results.add("drain", POSTGRES_PEER.name, {"steady_per_s": 9000.0})
    text = report.figures(results, program.load_cases(["drain"]))
    assert text.index(f"| {POSTGRES_PEER.name} ") < text.index(f"| {POSTLUDE_SQLITE.name} ")
    assert f"Ahead of Postlude: {POSTGRES_PEER.name}." in text


def test_steps_are_shown_as_they_are_listed() -> None:
    results = Results(about=dict(ABOUT))
    [case] = program.load_cases(["growth"])
    for number, one in enumerate(case.contenders):
        results.add(case.name, one.name, {case.main: float(number % 3)})
    assert [name for name, _ in results.shown(case)] == [one.name for one in case.contenders]


def test_one_contender_far_worse_than_all_others_does_not_flatten_their_bars() -> None:
    results = Results(about=dict(ABOUT))
    [case] = program.load_cases(["pickup"])
    for name, p50_ms in (("a", 1.0), ("b", 2.0), ("c", 2000.0)):
        results.add(case.name, name, {case.main: p50_ms})
    bars = [float(one.get("width", 0)) for one in ET.fromstring(charts.bars(case, results)) if one.get("rx") == "2"]
    assert bars[2] < charts.WIDTH
    assert bars[1] > bars[2] / 4


def test_every_case_names_its_main_measure_and_each_contender_once() -> None:
    for case in program.load_cases(()):
        names = [one.name for one in case.contenders]
        assert case.main in case.measures
        assert len(names) == len(set(names))


def test_rounds_are_interleaved_and_begin_with_another_contender_each() -> None:
    programme = program.performances(program.load_cases(["drain"]), ["arq"], 2, quick=False)
    names = [one.contender.name for one in programme]
    once = len(names) // 2
    assert sorted(names[:once]) == sorted(names[once:])
    assert names[0] != names[once]


def test_peer_files_exist_for_all_contenders() -> None:
    peers = Path(drain.__file__).parent.parent / "peers"
    assert all((peers / f"{one.peer}.py").exists() for one in CONTENDERS)


def test_contender_without_its_environment_is_named_and_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contenders, "ROOT", Path("/nowhere"))
    programme = program.performances(program.load_cases(["drain"]), ["saq", "tuned"], 1, quick=False)
    absent = program.absent([one for one in programme if not one.contender.own_python])
    assert absent == {"SAQ": ".venv-bench, its environment, is not here"}
    text = report.figures(Results(about=dict(ABOUT), absent=absent), [])
    assert "SAQ took no part: .venv-bench, its environment, is not here." in text


def test_comparison_plays_both_checkouts_in_each_round_and_takes_turns_at_being_first() -> None:
    pairs = comparison.pairs(["drain"], 2, quick=False)
    assert [(one.contender, one.base_first) for one in pairs] == [
        (POSTLUDE_SQLITE, True),
        (POSTLUDE_POSTGRES, True),
        (POSTLUDE_SQLITE, False),
        (POSTLUDE_POSTGRES, False),
    ]


@pytest.mark.parametrize("base_first", [True, False])
def test_comparison_knows_the_base_from_this_checkout_whoever_plays_first(
    base_first: bool, postgres: PostgresServer
) -> None:
    played = []

    def play(contender: Contender, _postgres: PostgresServer, _quick: bool) -> Values:
        played.append(contender.root)
        return {"steady_per_s": 1.0 if contender.root == BASE else 2.0}

    [case] = program.load_cases(["drain"])
    pair = comparison.Pair(replace(case, play=play), POSTLUDE_SQLITE, base_first)
    assert pair.play(BASE, postgres, quick=True) == ({"steady_per_s": 1.0}, {"steady_per_s": 2.0})
    assert played == ([BASE, ROOT] if base_first else [ROOT, BASE])


@pytest.mark.parametrize(("case", "key"), [("drain", "steady_per_s"), ("pickup", "p50_ms")])
def test_gain_is_above_1_where_this_checkout_is_better_and_is_taken_round_by_round(case: str, key: str) -> None:
    pair = comparison.pairs([case], 1, quick=False)[0]
    slow, fast = (4.0, 8.0) if case == "drain" else (8.0, 4.0)
    # The machine was ten times slower in the second round: the medians tell nothing, the ratios do.
    rounds = [({key: slow}, {key: fast}), ({key: slow / 10}, {key: fast / 10})]
    compared = comparison.Comparison.of(pair, key, rounds)
    assert compared.gain == Spread(2.0, 2.0, 2.0)
    assert compared.remark == ""


def test_comparison_marks_a_loss_and_says_when_the_rounds_disagree() -> None:
    pair = comparison.pairs(["drain"], 1, quick=False)[0]

    def remark(*here: float) -> str:
        rounds = [({"steady_per_s": 100.0}, {"steady_per_s": one}) for one in here]
        return comparison.Comparison.of(pair, "steady_per_s", rounds).remark

    assert [remark(96, 96), remark(90, 94), remark(80, 90, 120)] == ["", "lost", "unclear"]


def test_comparison_shows_both_medians_the_gain_and_what_was_lost(capsys: pytest.CaptureFixture[str]) -> None:
    pair = comparison.pairs(["memory"], 1, quick=True)[0]
    rounds = [({"idle_mb": 80.0}, {"idle_mb": 100.0})]
    screen.show_comparisons([comparison.Comparison.of(pair, "idle_mb", rounds)], "main~1")
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("main~1", "80.0", "100.0", "0.80"))


def test_comparison_with_an_unknown_revision_or_case_says_so() -> None:
    for options, reason in ((["--base", "no-such"], "git knows no revision no-such"), (["--only", "io"], "io")):
        done = CliRunner().invoke(benchmarks, ["compare", "--base", "HEAD", *options])
        assert done.exit_code == 1
        assert reason in done.output


def test_load_sends_a_body_with_its_length() -> None:
    assert request_bytes("POST", "/x", b"{}").endswith(b"content-length: 2\r\n\r\n{}")


@pytest.mark.parametrize(
    ("stamps", "inversions"),
    [
        pytest.param([0, 1, 6, 2, 7, 3, 4, 5], 0, id="two lanes in order"),
        pytest.param([0, 1, 2, 2, 3, 4, 5], 0, id="killed between start and end"),
        pytest.param([0, 1, 0, 1, 2, 3], 0, id="killed after its end"),
        pytest.param([0, 2, 1, 3], 1, id="started before the one ahead had ended"),
        pytest.param([2, 3, 0, 1], 2, id="started first"),
        pytest.param([0, 1, 2, 0], 1, id="started again after a later one"),
    ],
)
def test_inversions_are_counted_by_lane_and_repeats_are_none(stamps: list[int], inversions: int) -> None:
    assert lanes_strict.inversions(stamps, 3) == inversions


def test_rate_is_counted_over_the_time_and_in_its_busiest_second() -> None:
    arrived_s = [0.5 + number / 50 for number in range(100)]
    expected = {"per_s": 50, "off_percent": 0, "most_in_1_s": pytest.approx(50, abs=1)}
    assert lanes_rate.measured(arrived_s, 2) == expected
    assert lanes_rate.measured([], 2)["off_percent"] == 100.0


def test_rate_of_the_many_is_counted_until_the_few_have_arrived() -> None:
    many = {index: index * 100_000_000 for index in range(40)}
    assert many_per_s({**many, FEW_FROM: 1_000_000_000, FEW_FROM + 1: 2_000_000_000}) == 10.5
    assert many_per_s(many) == pytest.approx(40 / 3.9)


def test_receiver_reports_posts_and_counts_those_it_never_answers(postgres: PostgresServer) -> None:
    with arena(POSTLUDE_SQLITE, postgres) as opened, stamps_received(opened.stamps) as stamps:
        receiver = opened.receive()
        with httpx.Client(base_url=receiver, trust_env=False) as http:
            assert http.post("/hook/1").status_code == 200
            assert http.post("/slow/2").elapsed.total_seconds() >= SLOW_S
            for number in (3, 4):
                with pytest.raises(httpx.ReadTimeout):
                    http.post(f"/dead/{number}", timeout=0.2)
            assert http.get("/held").text == "1"
        wait_until(lambda: set(stamps) == {1, 2, 3, 4}, "the stamps")


def test_postlude_drains_a_few_jobs_on_the_stage(postgres: PostgresServer) -> None:
    contender = replace(POSTLUDE_SQLITE, jobs=40)
    with arena(contender, postgres) as opened:
        measured = drain.drain(opened, contender.jobs, 60)
        library, python = opened.ask("version")
        assert library.count(".") == 2
        assert python == platform.python_version()
    assert set(measured) == set(drain.CASE.measures)
    assert Spread.of(list(measured.values())).least > 0


def test_an_enqueue_costs_more_cpu_than_an_attempt_and_both_cost_some(postgres: PostgresServer) -> None:
    measured = cpu.measured(POSTLUDE_SQLITE, postgres, rounds=2)
    assert set(measured) == set(cpu.CASE.measures)
    assert measured["enqueue_us"] > measured["attempt_us"] > 1


@pytest.mark.parametrize("contender", [POSTLUDE_SQLITE, POSTLUDE_POSTGRES], ids=lambda one: one.variant)
@pytest.mark.short("postgres")
def test_api_reads_a_grown_ledger(contender: Contender, postgres: PostgresServer) -> None:
    with arena(replace(contender, grown=100), postgres) as opened:
        growth.grow(opened)
        opened.serve()
        with httpx.Client(base_url=f"http://127.0.0.1:{opened.port}", trust_env=False) as http:
            finished = http.get(f"/v1/jobs/{finished_id(100)}").json()
            jobs = http.get("/v1/jobs?limit=1000").json()["jobs"]
    assert [finished["state"], len(finished["attempts"])] == ["succeeded", 1]
    assert Counter(job["state"] for job in jobs) == {"queued": 50, "scheduled": 50, "succeeded": 100}
