"""The links of all built pages: none is dead, none stands in code, and the first mention of a chapter is one."""

import posixpath
import re
from functools import cache
from urllib.parse import unquote, urlsplit

import pytest
from served import HTML, PAGES, PHONE

bs4 = pytest.importorskip("bs4")

NO_PROSE = ["code", "dt", "h1", "h2", "h3", "h4", "pre", "script", "style", "thead"]
CHAPTERS = re.compile(
    r"\b[Cc]hapters?\s\d{1,2}(?:(?:,\s|,?\sand\s|–|\sto\s)\d{1,2})*\b"
)
CHAPTER_PAGE = re.compile(r"book/(\d\d)_\w+\.html")
TYPESET = "() => !window.MathJax || !MathJax.startup || MathJax.startup.promise.then(() => true)"
every_page = pytest.mark.parametrize("page", PAGES)


@cache
def soup(page):
    return bs4.BeautifulSoup((HTML / page).read_text("utf-8"), "html.parser")


@cache
def anchors(page):
    return {node["id"] for node in soup(page).find_all(id=True)}


def made(page, kind=""):
    """Return the links of a page that the build made from plain words, or those of one kind."""
    classes = re.compile(f"^to-{kind or '(chapter|equation|source|term)'}$")
    return soup(page).find_all("a", class_=classes)


def target(page, link):
    """Return the page and the anchor, or "", to which a link within the book leads."""
    parts = urlsplit(link["href"])
    folder = posixpath.dirname(page)
    path = posixpath.normpath(posixpath.join(folder, unquote(parts.path)))
    return (path if parts.path else page), unquote(parts.fragment)


@every_page
def test_no_link_within_the_book_is_dead(page):
    for link in soup(page).find_all("a", href=True):
        if not urlsplit(link["href"]).scheme:
            path, anchor = target(page, link)
            assert (HTML / path).is_file(), link
            if anchor and path.endswith(".html"):
                assert anchor in anchors(path), link


@every_page
def test_no_link_made_from_words_stands_where_none_belongs(page):
    for link in made(page):
        around = [parent.name for parent in link.parents]
        assert not {*NO_PROSE, "a"} & set(around), link
        classes = {name for one in link.parents for name in one.get("class", ())}
        assert not {"math", "tag_exercise"} & classes, link
        assert len(link["title"]) > 3, link


def prose(page):
    """Return the text of a page's article, and for each letter the link that it is part of."""
    text, owners = "", []
    article = soup(page).find("article")
    for string in article.find_all(string=True):
        parents = [parent for parent in string.parents if parent is not article]
        classes = {name for one in parents for name in one.get("class", ())}
        skipped = {"math", "needs", "tag_exercise", "headerlink"} & classes
        if skipped or {one.name for one in parents} & set(NO_PROSE):
            string = bs4.NavigableString("\n\n")
        link = next((one for one in parents if one.name == "a"), None)
        text += string
        owners += [link] * len(string)
    return text, owners


@every_page
def test_the_first_mention_of_each_chapter_is_a_link_to_it(page):
    text, owners = prose(page)
    own = CHAPTER_PAGE.match(page)
    seen = {int(own[1])} if own else set()
    for found in CHAPTERS.finditer(text):
        for number in re.finditer(r"\d+", found[0]):
            chapter = int(number[0])
            link = owners[found.start() + number.start()]
            if link is not None:
                linked = CHAPTER_PAGE.fullmatch(target(page, link)[0])
                assert linked, (found[0], link)
                assert int(linked[1]) == chapter
            # A link by its title, as in "Two hundred epochs", is a first mention too.
            earlier = owners[: found.start() + number.start()]
            by_title = any(
                f"{chapter:02d}_" in one["href"] for one in earlier if one
            )
            assert link is not None or by_title or chapter in seen, found[0]
            seen.add(chapter)


@every_page
def test_a_target_is_linked_once(page):
    if page in ("book/glossary.html", "book/references.html"):
        pytest.skip("there once in each entry")
    for kind in ("equation", "term"):
        found = [target(page, link) for link in made(page, kind)]
        assert len(found) == len(set(found))


def test_there_are_links_of_each_kind_and_equations_have_their_anchors():
    count = {
        kind: sum(len(made(page, kind)) for page in PAGES)
        for kind in ("chapter", "equation", "term", "source")
    }
    assert count["chapter"] >= 100
    assert count["equation"] >= 30
    assert count["term"] >= 200
    assert count["source"] >= 15
    for page in PAGES:
        for link in made(page, "equation"):
            path, anchor = target(page, link)
            number = re.search(r"\((\d+\.\d+)\)$", link.get_text())[1]
            formula = soup(path).find(id=anchor)
            assert formula.find(class_="eqno").get_text() == f"({number})#", link


WIDE = """() => [...document.querySelectorAll("div.math > mjx-container")]
    .filter(node => node.scrollWidth > node.clientWidth + 8)
    .map(node => [getComputedStyle(node).overflowX, getComputedStyle(node).backgroundImage.split("gradient").length - 1])"""
NUMBERS = """() => [...document.querySelectorAll(".eqno")].map(node => node.getBoundingClientRect())
    .map(box => [box.left, box.right])"""


def test_on_a_phone_a_wide_formula_scrolls_under_a_shadow_beside_its_number(
    open_page,
):
    wide = []
    for page in (
        "book/03_layer_by_layer.html",
        "book/14_one_change_at_a_time.html",
    ):
        tab = open_page(page, viewport=PHONE)
        tab.evaluate(TYPESET)
        wide += tab.evaluate(WIDE)
        numbers = tab.evaluate(NUMBERS)
        assert numbers
        assert all(0 < left < right <= PHONE["width"] for left, right in numbers)
    assert wide
    assert all(found == ["auto", 4] for found in wide)


def test_a_term_is_reached_by_the_keyboard_and_says_what_it_means(open_page):
    tab = open_page("book/02_convolution.html")
    term = tab.locator("a.to-term").first
    line = "node => getComputedStyle(node).textDecorationStyle"
    assert term.evaluate(line) == "dotted"
    tab.keyboard.press("Tab")
    term.evaluate("node => node.focus()")
    assert term.evaluate("node => document.activeElement === node")
    assert term.evaluate("node => node.tabIndex") == 0
    assert len(term.get_attribute("title")) > 20
    term.press("Enter")
    tab.wait_for_url("**/glossary.html#entry-*")
