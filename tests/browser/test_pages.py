"""Every page of the built book, light and dark, at a desk's and a phone's width: faults, requests, formulas, axe."""

import gzip
import hashlib
import importlib.util
import json
import posixpath
import re
from functools import cache
from pathlib import Path

import pytest
import served
from served import DESK, HTML, PAGES, PHONE, ROOT, THEMES

AXE_DIGEST = "84494fec757e4710dc751c8d7a636e457f4532f08f85c86dc9070133fbff53bc"
"""SHA-256 of the axe-core that the tests were written with, as the package axe-playwright-python bundles it."""
CHAPTERS = [page for page in PAGES if re.match(r"book/\d", page)]
BUDGET = 300_000
DRAWING_BUDGET = 500_000
OURS = ("book.css", "book.js")

FINDINGS = """() => {
    const text = node => (node.getAttribute("alt") || "").trim();
    const shown = node => node.getClientRects().length > 0;
    const formulas = [...document.querySelectorAll(".math")];
    return {
        formulas: formulas.length,
        plain: formulas.filter(node => !node.querySelector("mjx-container svg")).map(node => node.textContent.slice(0, 60)),
        wrong: [...document.querySelectorAll("mjx-merror, [data-mjx-error]")].map(node => node.textContent),
        alts: [...document.querySelectorAll(".bd-article figure img")].map(text),
        captions: [...document.querySelectorAll(".bd-article figure:not(.live figure)")].map(
            node => (node.querySelector("figcaption") || {textContent: ""}).textContent.trim()),
        needs: document.querySelectorAll(".needs p").length,
        headings: document.querySelectorAll(".bd-article h1").length,
        language: document.documentElement.lang,
        theme: document.documentElement.dataset.theme,
        neighbours: [...document.querySelectorAll(".prev-next-area a")].map(node => node.getAttribute("href")),
    };
}"""
EXCESS = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
CUT = """() => [...document.querySelectorAll("div.math mjx-container")].filter(node =>
    node.querySelector("svg").getBoundingClientRect().left < node.getBoundingClientRect().left - 1
    || node.getBoundingClientRect().left < 0).length"""
TYPESET = "() => !window.MathJax || !MathJax.startup || MathJax.startup.promise.then(() => true)"
START_AXE = """() => { window.axeFound = axe.run({resultTypes: ["violations"]}).then(result => result.violations
    .filter(rule => ["serious", "critical"].includes(rule.impact))
    .map(rule => rule.id + ": " + rule.nodes.slice(0, 3).map(node => node.html.slice(0, 150)).join(" | "))); }"""
"""Begins axe's check and does not wait for it; `AXE` waits, and returns what it found."""
AXE = "() => window.axeFound"


@cache
def axe_source():
    """Return axe-core's text out of the installed package, after checking that it is the file that was looked at."""
    folder = importlib.util.find_spec("axe_playwright_python").origin
    contents = Path(folder).with_name("axe.min.js").read_bytes()
    assert hashlib.sha256(contents).hexdigest() == AXE_DIGEST
    return contents.decode()


SEEN = {}


@pytest.fixture
def seen(browser, address):
    """Return a function that says what was found on a page in a theme; each page is visited once, for all tests."""

    def look(page, theme):
        if (page, theme) not in SEEN:
            SEEN.update(visit(browser, address, page))
        return SEEN[page, theme]

    return look


def visit(browser, address, page):
    """Open a page at a desk's width, then make it as narrow as a phone; return what was found by page and theme.

    Both themes are open at once, and axe, which takes most of the time, checks them at the same time, each in its process.
    """
    tabs = {theme: served.tab(browser, theme) for theme in THEMES}
    found = {}
    for tab in tabs.values():
        tab.requests = []
        tab.on("request", lambda one, tab=tab: tab.requests.append(one.url))
        tab.on("requestfailed", lambda one, tab=tab: tab.faults.append(one.url))
        tab.goto(f"{address}/{page}", wait_until="commit")
    for theme, tab in tabs.items():
        found[page, theme] = first_look(tab, page)
    for viewport in (DESK, PHONE):
        for tab in tabs.values():
            tab.set_viewport_size(viewport)
        tab.wait_for_timeout(700)  # The theme follows a new width with a delay.
        for theme, tab in tabs.items():
            found[page, theme]["excess"].append(tab.evaluate(EXCESS))
            found[page, theme]["cut"].append(tab.evaluate(CUT))
        for tab in tabs.values():
            tab.evaluate(START_AXE)
        for theme, tab in tabs.items():
            found[page, theme]["axe"] += tab.evaluate(AXE)
    for tab in tabs.values():
        tab.context.close()
    return found


def first_look(tab, page):
    """Wait until a page is loaded and typeset, draw where one draws, and return what is found before axe begins."""
    tab.wait_for_load_state()
    tab.evaluate(TYPESET)
    if "draw" in page:
        tab.evaluate("() => LENET5_DRAW.show(LENET5_STROKES.common[3].strokes)")
        tab.locator("canvas[data-layer=C3]").click(position={"x": 40, "y": 40})
        tab.wait_for_selector(".draw-parts")
    # Axe asks for style sheets of its own, so what the page itself did is noted first.
    found = tab.evaluate(FINDINGS) | {
        "faults": [*tab.faults],
        "requests": [*tab.requests],
        "axe": [],
        "excess": [],
        "cut": [],
    }
    tab.evaluate(axe_source())
    return found


page_and_theme = pytest.mark.parametrize(
    ("page", "theme"),
    [(page, theme) for page in PAGES for theme in THEMES],
    ids=lambda value: str(value).removeprefix("book/").removesuffix(".html"),
)


@page_and_theme
def test_a_page_opens_without_a_fault_and_asks_no_other_host(
    page, theme, seen, address
):
    found = seen(page, theme)
    assert found["faults"] == []
    assert found["theme"] == theme
    assert [
        url
        for url in found["requests"]
        if not url.startswith((f"{address}/", "data:"))
    ] == []


@page_and_theme
def test_every_formula_is_typeset(page, theme, seen):
    found = seen(page, theme)
    assert (found["plain"], found["wrong"]) == ([], [])


def test_there_are_formulas():
    text = (HTML / "book/02_convolution.html").read_text(encoding="utf-8")
    assert text.count('class="math') > 30


@page_and_theme
def test_nothing_is_wider_than_the_page(page, theme, seen):
    found = seen(page, theme)
    assert max(found["excess"]) <= 0
    assert found["cut"] == [0, 0]  # Formulas whose beginning cannot be reached.


@page_and_theme
def test_axe_finds_nothing_serious_or_critical(page, theme, seen):
    assert seen(page, theme)["axe"] == []


def test_axe_and_the_width_would_be_noticed(open_page):
    tab = open_page("book/glossary.html")
    tab.evaluate(
        """() => document.querySelector("article").insertAdjacentHTML("beforeend",
        "<p style='color:#ccc;background:#fff;width:3000px'>faint <img src='data:,'></p>")"""
    )
    tab.evaluate(axe_source())
    tab.evaluate(START_AXE)
    rules = " ".join(tab.evaluate(AXE))
    assert "color-contrast" in rules
    assert "image-alt" in rules
    assert tab.evaluate(EXCESS) > 1000


@pytest.mark.parametrize("page", PAGES)
def test_every_figure_has_alt_text_and_a_caption(page, seen):
    found = seen(page, "light")
    assert all(len(alt) > 40 for alt in found["alts"]), found["alts"]
    assert all(len(caption) > 30 for caption in found["captions"])


@pytest.mark.parametrize("page", PAGES)
def test_a_page_says_what_it_needs_and_gives_and_leads_on(page, seen):
    found = seen(page, "light")
    cover = page == "book/index.html"
    lists = ("glossary", "notation", "references")
    bare = cover or page.endswith(tuple(f"/{name}.html" for name in lists))
    assert found["needs"] == (0 if bare else 2)
    assert (found["headings"], found["language"]) == (1, "en")
    ends = cover or page == "book/api/commands.html"
    assert len(found["neighbours"]) == (1 if ends else 2)


def test_reading_on_from_page_to_page_reaches_every_page(seen):
    page, read = "book/index.html", []
    while True:
        read.append(page)
        links = [
            posixpath.normpath(posixpath.join(posixpath.dirname(page), link))
            for link in seen(page, "light")["neighbours"]
        ]
        following = [link for link in links if link not in read]
        if not following:
            break
        (page,) = following
    assert sorted(read) == PAGES


def test_the_reference_leads_to_the_chapters_and_equations_that_it_names(open_page):
    tab = open_page("book/api/network.html")
    tab.locator("#lenet5lib\\.spec\\.Conv").wait_for()
    tab.get_by_role("link", name="equation (2.2)").first.click()
    tab.wait_for_url("**/book/02_convolution.html#equation-2-2")
    tab.evaluate(TYPESET)
    assert tab.locator("#equation-2-2 mjx-container").count() == 1
    for page in HTML.glob("book/api/*.html"):
        text = page.read_text(encoding="utf-8")
        for link in set(re.findall(r'href="([^":]+#[^"]+)"', text)):
            name, anchor = link.split("#")
            target = (page.parent / name).read_text(encoding="utf-8")
            assert f'id="{anchor}"' in target, link


def test_the_way_in_leads_to_the_cover(open_page):
    tab = open_page("index.html")
    tab.wait_for_url("**/book/index.html")
    assert "LeNet-5, layer by layer" in tab.title()


def test_search_finds_a_word_and_leads_to_its_chapter(open_page):
    tab = open_page("search.html?q=equivariance")
    tab.wait_for_selector("#search-results li a")
    links = tab.eval_on_selector_all(
        "#search-results li a", "all => all.map(a => a.getAttribute('href'))"
    )
    assert any("02_convolution" in link for link in links)
    assert tab.faults == []


@pytest.mark.parametrize("page", CHAPTERS)
def test_a_notebook_downloads_and_is_the_chapter(page, open_page):
    tab = open_page(page)
    link = tab.locator("a[download][href$='.ipynb']").first
    with tab.expect_download() as download:
        link.evaluate("node => node.click()")
    contents = Path(download.value.path()).read_bytes()
    source = ROOT / page.replace(".html", ".ipynb")
    assert download.value.suggested_filename == source.name
    assert json.loads(contents) == json.loads(source.read_bytes())


def test_on_paper_only_the_text_remains(open_page):
    tab = open_page("book/draw.html", "dark")
    tab.wait_for_selector(".live:not([hidden])")
    tab.emulate_media(media="print")
    hidden = (
        ".bd-sidebar-primary",
        ".bd-header-article",
        ".prev-next-footer",
        ".live",
    )
    for selector in hidden:
        assert not tab.locator(selector).first.is_visible(), selector
    assert tab.locator(".live-still-draw img").is_visible()
    ground = tab.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert ground == "rgb(255, 255, 255)"


def test_paper_is_light_and_wide_enough_whatever_the_theme(open_page):
    tab = open_page(CHAPTERS[2], "dark", viewport={"width": 794, "height": 1123})
    theme = "() => document.documentElement.dataset.theme"
    tab.emulate_media(media="print")
    tab.wait_for_function(
        "() => document.documentElement.dataset.theme === 'light'"
    )
    ink = tab.evaluate(
        "() => getComputedStyle(document.querySelector('.bd-article pre')).color"
    )
    assert max(int(level) for level in re.findall(r"\d+", ink)[:3]) < 110
    edges = tab.eval_on_selector_all(
        ".bd-article p, .bd-article img, .bd-article pre",
        "all => all.map(node => node.getBoundingClientRect().right)",
    )
    assert max(edges) <= 794
    tab.emulate_media(media="screen")
    tab.wait_for_function("() => document.documentElement.dataset.theme === 'dark'")
    assert tab.evaluate(theme) == "dark"


def test_what_is_shown_on_the_cover_follows_theme_and_width(open_page):
    for theme in THEMES:
        for viewport, width in ((DESK, "desk"), (PHONE, "phone")):
            tab = open_page("book/index.html", theme, viewport=viewport)
            images = tab.eval_on_selector_all(
                ".drawing img",
                "all => all.filter(node => node.getClientRects().length).map(node => node.className)",
            )
            assert len(images) == 1
            assert {f"on-{theme}", f"on-{width}"} <= set(images[0].split())


def loaded(page):
    """Return the files of the built book that a page names: scripts, style sheets, images."""
    text = (HTML / page).read_text(encoding="utf-8")
    names = re.findall(r'(?:src|href)="([^"#?:]+\.(?:js|css|png|svg))', text)
    return {(HTML / page).parent.joinpath(name).resolve() for name in names}


@pytest.mark.parametrize("page", PAGES)
def test_what_the_book_adds_to_a_page_is_small(page):
    ours = {path.name for path in (ROOT / "book/_static").iterdir()} | set(OURS)
    found = loaded(page)
    added = sum(path.stat().st_size for path in found if path.name in ours)
    computes = any(path.name == "network.js" for path in found)
    assert 0 < added < (DRAWING_BUDGET if computes else BUDGET)
    assert computes == (page in ("book/index.html", "book/draw.html"))


def test_the_first_page_is_small_mathematics_apart():
    files = loaded("book/index.html") | {HTML / "book/index.html"}
    total = sum(
        len(gzip.compress(path.read_bytes()))
        for path in files
        if "mathjax" not in path.parts
    )
    # A quarter of a megabyte is the weights of the network that computes on it.
    assert 50_000 < total < 1_150_000


def test_the_built_book_is_small():
    total = sum(path.stat().st_size for path in HTML.rglob("*") if path.is_file())
    assert 5_000_000 < total < 25_000_000
