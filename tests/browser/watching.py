"""What goes wrong on a page without anybody seeing it: scripts that fail, refused sources, payloads that run."""

import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from playwright.async_api import BrowserContext, ConsoleMessage, Dialog, Page, WebError

NewPage = Callable[..., Awaitable[Page]]
# Told as an event, too: a report in the console can be lost while a page is left.
_TELL_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`violates ${event.violatedDirective}: ${event.blockedURI} ${event.sample}`));
"""
_INJECTED = "document.querySelectorAll('[data-xss], a[href^=\"javascript:\" i]').length"


@dataclass
class Watch:
    """Notes all that goes wrong in a context; what a test brings about on purpose, it says with `expecting`."""

    wrong: list[str] = field(default_factory=list)
    _expected: list[str] = field(default_factory=list)

    async def over(self, context: BrowserContext) -> None:
        await context.add_init_script(_TELL_VIOLATIONS)
        context.on("console", self._console)
        context.on("weberror", self._error)
        context.on("dialog", self._dialog)

    async def look(self, page: Page) -> None:
        """Note it when a payload has become an element of the page, or a link that runs code."""
        if await page.evaluate(_INJECTED):
            self._note(f"{page.url}: a payload stands in the page as an element")

    def begin(self) -> None:
        """Forget what was, and what was expected then."""
        self.wrong.clear()
        self._expected.clear()

    @contextmanager
    def expecting(self, pattern: str) -> Iterator[None]:
        """Expect the problems that this causes, until the test ends, because the console's messages may come late."""
        self._expected.append(pattern)
        yield

    def _note(self, words: str) -> None:
        if not any(re.search(pattern, words) for pattern in self._expected):
            self.wrong.append(words)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._note(f"{message.location.get('url')}: {message.text}")

    def _error(self, error: WebError) -> None:
        self._note(f"{error.page.url if error.page else ''}: {error.error}")

    async def _dialog(self, dialog: Dialog) -> None:
        self._note(f"{dialog.page.url if dialog.page else ''}: a payload has run: {dialog.message}")
        await dialog.dismiss()
