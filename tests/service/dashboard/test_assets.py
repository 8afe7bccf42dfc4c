"""Scripts and stylesheets: kept for ever under the address of their content, complete, and with their licences."""

import re

import httpx

from service.dashboard.assets import DIGEST, FOLDER

VENDOR = FOLDER / "vendor"


async def test_a_file_is_kept_for_ever_under_its_digest(browser: httpx.AsyncClient) -> None:
    answer = await browser.get(f"/assets/{DIGEST}/dashboard.css")
    assert answer.headers["content-type"].startswith("text/css")
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    script = await browser.get(f"/assets/{DIGEST}/shell.js")
    assert script.headers["content-type"].startswith("text/javascript")
    old = await browser.get("/assets/000000000000/dashboard.css")
    assert (old.status_code, old.headers["cache-control"]) == (200, "no-cache"), "a page of an older version"
    for name in ("nothing.js", "../shell.py", "..%2Fshell.py", "vendor", ""):
        assert (await browser.get(f"/assets/{DIGEST}/{name}")).status_code == 404, name


def test_every_module_that_is_imported_is_there() -> None:
    for script in FOLDER.glob("*.js"):
        for name in re.findall(r"""from "\./([\w.]+)"|^import "\./([\w.]+)""", script.read_text(), re.M):
            assert (FOLDER / "".join(name)).is_file(), f"{script.name} imports {name}"


def test_what_is_from_others_says_where_from_and_has_its_licence() -> None:
    told = (VENDOR / "README.md").read_text()
    assert not [path.name for path in VENDOR.iterdir() if path.name not in told and path.name != "README.md"]
    for name in ("htmx", "idiomorph", "uPlot"):
        assert (VENDOR / f"{name}.LICENSE").read_text().strip()


def test_only_the_tokens_hold_colours() -> None:
    ours = [path for path in FOLDER.glob("*") if path.suffix in {".css", ".js"} and path.name not in ALLOWED]
    assert ours
    assert not [path.name for path in ours if re.search(r"#[0-9a-f]{6}\b|#[0-9a-f]{3}\b[^-\w]|rgb\(", path.read_text())]


# dashboard.css has the one button that is filled with a state's tone.
ALLOWED = {"tokens.css", "dashboard.css"}
