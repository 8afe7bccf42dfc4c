"""JSON on pages: laid out, escaped, and without secrets."""

from jobs.kit.masking import MASK
from service.dashboard.code import json_markup
from tests.support.html import Html


def test_it_is_laid_out_as_json() -> None:
    value = {"a": [1, {"b": None}], "empty": {}, "none": [], "text": "ü"}
    text = Html(f"<pre>{json_markup(value)}</pre>").one("pre")
    assert "".join(text.parts).split("\n") == [
        "{",
        '  "a": [',
        "    1,",
        "    {",
        '      "b": null',
        "    }",
        "  ],",
        '  "empty": {},',
        '  "none": [],',
        '  "text": "ü"',
        "}",
    ]


def test_a_secret_is_a_word_that_nobody_takes_for_a_value() -> None:
    assert json_markup({"key": MASK}).endswith('<span class="secret">secret</span>\n}')


def test_nothing_in_it_becomes_part_of_the_page() -> None:
    html = json_markup({"<script>": "</pre><img src=x onerror=alert(1)>"})
    assert {one.tag for one in Html(html).elements} == {"span"}
