"""What axe-core finds on a page."""

from pathlib import Path
from typing import Any

from playwright.async_api import Page

_AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text()
_RUN = """(only) => axe.run({
  resultTypes: ["violations"], elementRef: false, ...(only.length ? {runOnly: {type: "rule", values: only}} : {}),
})"""


async def serious_findings(page: Page, *only: str) -> list[str]:
    """Return the serious and critical violations, of all rules or of the named ones."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(_AXE)
    found: dict[str, Any] = await page.evaluate(_RUN, list(only))
    return [
        f"{one['id']}: {one['help']}: {[node['html'][:200] for node in one['nodes'][:3]]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]
