"""One server and one browser for all tests here; without the built book or Chromium they are skipped, and say so."""

import pytest

playwright = pytest.importorskip("playwright.sync_api")
import served  # noqa: E402


@pytest.fixture(scope="session")
def address():
    if not served.PAGES:
        pytest.skip("the book is not built: make book")
    with served.server() as found:
        yield found


@pytest.fixture(scope="session")
def browser():
    if served.executable() is None:
        pytest.skip("no Chromium: sh tools/chromium.sh installs it or says how")
    with served.chromium() as found:
        yield found


@pytest.fixture
def open_page(browser, address):
    """Return a function that opens a page of the book in a fresh context: `open_page("book/draw.html", theme="dark")`."""
    tabs = []

    def open_one(page, theme="light", folder=None, **options):
        tab = served.tab(browser, theme, **options)
        tabs.append(tab)
        tab.goto(f"{folder or address}/{page}")
        return tab

    yield open_one
    for tab in tabs:
        tab.context.close()
