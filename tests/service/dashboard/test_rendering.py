"""The components, each drawn once with hostile text: well-formed, escaped, and with nothing inline."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from service.dashboard.rendering import Here, address, environment, segment, standing
from service.insight.words import Link, Time
from tests.support.html import Html

NOW = datetime(2026, 11, 25, 1, 14, 2, tzinfo=UTC)
EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>"


@pytest.fixture(autouse=True)
def here() -> Iterator[None]:
    with standing(Here("/postlude", NOW, csrf="token")):
        yield


def drawn(template: str, **values: object) -> Html:
    page = Html(environment().from_string(template).render(evil=EVIL, at=NOW, **values))
    assert not {"script", "style", "img"} & {one.tag for one in page.elements}
    assert not [name for one in page.elements for name in one.attributes if name == "style" or name.startswith("on")]
    return page


ONCE = """
{{ ui.icon("x", evil) }}{{ ui.state("failed", pill=true) }}{{ ui.outcome("timed_out") }}
{{ ui.tag(evil) }}{{ ui.prose(evil) }}
{{ ui.time(at) }}{{ ui.until(at) }}{{ ui.age(at) }}{{ ui.clock(at) }}{{ ui.time(none) }}
{{ ui.span(2) }}{{ ui.number(2) }}
{{ ui.bytes(9) }}{{ ui.json({evil: evil}, evil) }}{{ ui.code(evil, evil) }}{{ ui.copy_button(evil) }}
{{ ui.spark([1, none], "failed", evil) }}{{ ui.bars([1, 2]) }}{{ ui.csrf() }}
{{ ui.action("/jobs/1/cancel", evil, "x", "danger", fields={evil: evil}) }}{{ ui.action("/x", "Run", forbidden=evil) }}
{{ ui.opens("replay", "Replay…", key="r") }}{{ ui.opens("replay", "Replay…", forbidden=evil) }}
{% call ui.dialog("replay", evil, "/jobs/bulk", evil, keep=evil, confirm=101, noun=evil, fields={"q": evil}) %}
{{ evil }}
{% endcall %}
{{ ui.dialog("other", evil, "/jobs/bulk", evil, confirm=100) }}
{{ ui.toast(evil, evil, (evil, "/jobs"), "wrong") }}
<ul>{{ ui.chip(evil, evil, "/jobs") }}</ul>{{ ui.pages(evil, newer=none, older="/jobs?cursor=x") }}{{ ui.newer(evil) }}
{{ ui.empty(evil, evil) }}{% call ui.empty(evil) %}<a href="/">{{ evil }}</a>{% endcall %}
<table><tr>{{ ui.column(evil, "num", "ascending", "/jobs") }}</tr></table>
{{ ui.words(said) }}{{ ui.banner("wrong", evil, said, facts=[(evil, said)], steps=[said], level=1) }}
{% call ui.line("note", evil, said) %}<code>{{ evil }}</code>{% endcall %}
{{ ui.tile(evil, evil, "/jobs", "queued", "queued", evil, evil, values=[1, 2]) }}
{{ ui.bar(1, 2, evil) }}{{ ui.bar(1, 2, evil, tiny=true) }}
{% call ui.head(evil, [(evil, "/jobs")], evil) %}<a href="/">{{ evil }}</a>{% endcall %}
"""


def test_each_component_is_well_formed_and_takes_no_text_for_html() -> None:
    said = (EVIL, Link(EVIL, "/lanes"), Time(NOW, "in"), Time(NOW, "for"), Time(NOW, "ago"), Time(NOW, "at"))
    page = drawn(ONCE, said=said)
    assert page.one("dialog", id="replay").words.count(EVIL) >= 4
    assert {one["action"] for one in page.all("form")} == {"/postlude/jobs/1/cancel", "/postlude/jobs/bulk"}


def test_every_form_carries_the_token_and_works_without_a_script() -> None:
    page = drawn(
        """{{ ui.action("/jobs/1/cancel", "Cancel") }}{{ ui.dialog("d", "Replay?", "/jobs/bulk", "Replay") }}"""
    )
    assert len(page.all("form", method="post")) == len(page.all("input", name="csrf", value="token")) == 2


def test_what_cannot_be_done_stays_in_place_and_says_why() -> None:
    page = drawn("""{{ ui.action("/jobs/1/run", "Run now", forbidden="It is already due") }}""")
    assert page.one("button", aria_disabled="true")["title"] == "It is already due"
    assert not page.all("form")


def test_a_dialog_holds_what_it_is_given() -> None:
    page = drawn("""{% call ui.dialog("d", "Replay?", "/bulk", "Replay") %}<p>Counted just now.</p>{% endcall %}""")
    assert page.one("form").words == "Replay? Counted just now. Keep as it isReplay"


def test_a_count_is_typed_above_a_hundred_jobs() -> None:
    page = drawn(
        """{% for n in (100, 2544) %}{{ ui.dialog("d%d" % n, "Replay?", "/x", "Go", confirm=n) }}{% endfor %}"""
    )
    assert [one["data-confirm"] for one in page.all("input", name="confirm")] == ["2544"]
    assert page.one("input", name="confirm")["placeholder"] == "2,544"


def test_moments_are_exact_for_machines_and_on_hover() -> None:
    time = drawn("{{ ui.time(then) }}", then=NOW - timedelta(minutes=9)).one("time")
    assert (time.words, time["datetime"]) == ("9 min ago", "2026-11-25T01:05:02.000Z")
    assert time["title"] == "Wed 25 Nov 2026, 01:05:02.000 UTC"


def test_addresses_are_below_the_prefix_and_leave_out_what_is_empty() -> None:
    link = drawn("""<a href="{{ url('/jobs', state=['a', 'b'], q='x y&z', kind=none, tag='') }}"></a>""").one("a")
    assert link["href"] == "/postlude/jobs?state=a&state=b&q=x+y%26z"
    assert address("", "/jobs", {}) == "/jobs"
    assert segment("a/b c?") == "a%2Fb%20c%3F"
