"""Whether a page fits the width of its window."""

from playwright.async_api import Page

# The innermost elements that stick out, without those within a box that scrolls.
_STICKING_OUT = """() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  const scrolls = (one) => one && (getComputedStyle(one).overflowX !== "visible" || scrolls(one.parentElement));
  return [...document.querySelectorAll("body *")]
    .filter((one) => one.checkVisibility() && !scrolls(one.parentElement))
    .filter((one) => one.getBoundingClientRect().right > width + 1)
    .map((one) => `${one.localName}.${one.getAttribute("class")} ${Math.round(one.getBoundingClientRect().right)}`);
}"""


async def sticking_out(page: Page) -> list[str]:
    """Return what makes the page scroll sideways, and goes on to do so: charts follow a change of width in a moment."""
    for _ in range(50):
        found: list[str] = await page.evaluate(_STICKING_OUT)
        if not found:
            break
        await page.wait_for_timeout(40)
    return found
