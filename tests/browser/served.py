"""The built book in a browser: which pages there are, a server for them, and Chromium, driven by Playwright."""

import contextlib
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build/html"
PAGES = sorted(
    path.relative_to(HTML).as_posix() for path in HTML.glob("book/**/*.html")
)
THEMES = ("light", "dark")
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
SET_THEME = """theme => {
    localStorage.setItem("mode", theme); localStorage.setItem("theme", theme);
}"""


def executable() -> str | None:
    """Return the path of Chromium, or None."""
    names = os.environ.get("CHROMIUM") or "chromium chromium-browser google-chrome"
    return next(filter(None, map(shutil.which, names.split())), None)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Yield a headless Chromium, Debian's own rather than one that Playwright would download."""
    options = ["--disable-dev-shm-usage", "--force-color-profile=srgb"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--no-sandbox")  # It refuses a sandbox to root.
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable(), args=options
        )
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def server(folder: Path = HTML) -> Iterator[str]:
    """Serve a folder on a free port as anybody would, with Python's own server, and yield its address."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "0"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        address = process.stdout.readline().split("(")[1].split(")")[0].rstrip("/")
        with urllib.request.urlopen(f"{address}/index.html"):
            yield address
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def context(browser: Browser, theme: str = "light", **options) -> BrowserContext:
    """Return a fresh context in a theme, as a reader who has chosen it with the page's switch, without motion."""
    options = {"viewport": DESK, "reduced_motion": "reduce"} | options
    made = browser.new_context(color_scheme=theme, **options)
    made.add_init_script(f"try {{ ({SET_THEME})('{theme}') }} catch (error) {{}}")
    return made


def tab(browser: Browser, theme: str = "light", **options) -> Page:
    """Return an empty page in a fresh context; its list `faults` gets the errors of its scripts and of its console."""
    made = context(browser, theme, **options).new_page()
    made.faults = []
    made.on("pageerror", lambda error: made.faults.append(str(error)))
    made.on(
        "console",
        lambda message: (
            made.faults.append(message.text) if message.type == "error" else None
        ),
    )
    return made
