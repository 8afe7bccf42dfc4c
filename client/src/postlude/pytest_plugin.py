"""What pytest loads when `postlude-client` is installed. It imports nothing that takes time before a test runs."""

from __future__ import annotations

import pytest

from postlude.mode import Mode, force

_MARKER = (
    'postlude(mode): what becomes of background tasks in this test: "held" until drain(), "send" to the service at'
    ' POSTLUDE_URL, or "local" as with FastAPI\'s own class. By default they run after the response.'
)
_MODES = tuple(mode.value for mode in Mode)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Set the mode before a conftest imports the app."""
    force(Mode.INLINE)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _MARKER)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    from postlude.testing.watching import watch_test

    watch_test(_mode_of(item), item.config.rootpath)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    from postlude.testing.watching import stop_watching

    stop_watching()


def _mode_of(item: pytest.Item) -> Mode:
    marker = item.get_closest_marker("postlude")
    if marker is None:
        return Mode.INLINE
    if len(marker.args) != 1 or marker.args[0] not in _MODES or marker.kwargs:
        raise pytest.UsageError(f"{item.nodeid}: the marker `postlude` takes one of {', '.join(map(repr, _MODES))}.")
    return Mode(marker.args[0])
