"""Write a picture of every page of the built book, light and dark, at a desk's width and a phone's: `make shots`."""

import sys
from pathlib import Path

from served import DESK, PAGES, PHONE, THEMES, chromium, context, server

SETTLED = "() => document.fonts.ready.then(() => !window.MathJax || !MathJax.startup || MathJax.startup.promise)"


def main(arguments: list[str]) -> int:
    """Write the pictures of the pages whose names hold one of the words, or of all."""
    folder, words = Path(arguments[0]), arguments[1:]
    folder.mkdir(parents=True, exist_ok=True)
    pages = [
        page for page in PAGES if not words or any(word in page for word in words)
    ]
    with server() as address, chromium() as browser:
        for theme in THEMES:
            for name, viewport in (("desk", DESK), ("phone", PHONE)):
                made = context(browser, theme, viewport=viewport)
                tab = made.new_page()
                for page in pages:
                    tab.goto(f"{address}/{page}")
                    tab.evaluate(SETTLED)
                    if tab.evaluate("() => Boolean(window.LENET5_DRAW)"):
                        tab.evaluate(
                            "() => LENET5_DRAW.show(LENET5_STROKES.common[3].strokes)"
                        )
                    tab.wait_for_timeout(300)
                    stem = page.removeprefix("book/").removesuffix(".html")
                    file = f"{stem.replace('/', '-')}-{theme}-{name}.png"
                    tab.screenshot(path=folder / file, full_page=True)
                made.close()
    print(f"{4 * len(pages)} pictures in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
