"""Shared by all tests."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# The checks of the notebooks are scripts in tools/, which is no package; no more are the tests.
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tools"), str(HERE)]

import chromium  # noqa: E402
from playwright.sync_api import Browser, Page  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_interrupts() -> None:
    """A program started in the background may have been told to ignore Ctrl-C; these tests press it."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests of a session: Playwright runs once in a process."""
    with chromium.launched() as browser:
        yield browser


@pytest.fixture
def tab(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport=chromium.DESKTOP, reduced_motion="reduce", color_scheme="light")
    yield page
    page.close()


@pytest.fixture(scope="session")
def site() -> Path:
    if not (chromium.SITE / "index.html").exists() or not (chromium.SITE.parent / ".built-from").exists():
        chromium.unavailable("The book is not built, or its last build failed: run `make book`.")
    return chromium.SITE


@pytest.fixture(scope="session")
def base(site: Path) -> Iterator[str]:
    with chromium.served(site) as address:
        yield address
