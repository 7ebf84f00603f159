"""A Sphinx extension: the first mention of a chapter, equation, glossary term or source on a page is a link.

The text stays plain words; notebooks have no markup for it. Looked for are

- "chapter 5", "chapters 5 and 7", "chapters 5 to 8"; not a chapter's own number on its page;
- "equation (2.1)", or "(2.1)" alone, where a chapter has that number in a `\\tag`;
- the terms of the glossary, in the singular or the plural, the longest first. A name with a capital must be written so;
- the sources: "the 1998 paper", "the paper", and the authors of an entry of the references, as in "Kingma and Ba" or
  "LeCun et al. (1998)".

Never in code, formulas, headings, links, the heads of tables, exercises, nor in a term's own definition. On the glossary
and the references "a page" is an entry. A link to a chapter's notebook at a public address, as `make stamp` writes it,
leads to the chapter's page.
"""

import re
from typing import NamedTuple

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

GLOSSARY, REFERENCES = "book/glossary", "book/references"
EVERYDAY = {
    "class": "Python's classes",
    "code": "a program's code",
    "example": "for example",
    "image": "stands in every second sentence",
    "layer": "stands in every second sentence",
    "map": "a verb, and geography",
    "network": "stands in every second sentence",
    "step": "step by step",
    "target": "a goal",
    "unit": "a unit of measurement, a unit test",
    "view": "a point of view",
}
"""Names of the glossary that have no link, and what else they mean."""
OTHER_SENSE = {
    "book/02_convolution": "error",  # Of one prediction of the kernel that is learned.
    "book/04_build_and_confirm": "error",  # Python's.
    "book/11_connection_table": "jump",  # A verb.
    "book/14_one_change_at_a_time": "jump",  # A verb.
    "book/running": "kernel",  # Jupyter's.
}
"""Page: a name that means something else there, so that its entry has no link."""
PHRASES = {
    "LeCun": r"(?:[Tt]he )?1998 paper|[Tt]he paper(?: of 1998)?(?! does not say)",
    "The article": "[Tt]he article",
}
"""First author or name of a source: the words that stand for it beside its authors."""
SKIPPED = (
    addnodes.desc_signature,
    nodes.FixedTextElement,
    nodes.Invisible,
    nodes.literal,
    nodes.math,
    nodes.reference,
    nodes.rubric,
    nodes.term,
    nodes.thead,
    nodes.title,
)
CHAPTERS = r"\b[Cc]hapters?\s\d{1,2}(?:(?:,\s|,?\sand\s|–|\sto\s)\d{1,2})*\b"
EQUATION = r"(?:\b[Ee]quations?\s)?(?<![\w)])\(\d{1,2}\.\d{1,2}\)"
CITATION = re.compile(
    r"(?P<authors>Student|(?:(?:, | and )?(?:[A-Z]\.[ -]?)+[A-Z][\w-]+)+): (?P<title>.+?[.?!]) "
    r".*?\b(?P<year>(?:19|20)\d\d)\b"
)
NOTEBOOK = re.compile(r"https://\S+/book/(\d\d_\w+)\.ipynb")


class Target(NamedTuple):
    """Where a link leads: a page, an anchor on it or "", and what the link says beside its text."""

    page: str
    anchor: str
    tip: str


class Index(NamedTuple):
    """All targets by kind and name, and patterns for the terms and sources, the one that counts first before others."""

    targets: dict[tuple[str, str], Target]
    patterns: list[tuple[str, tuple[str, str]]]


def entries(doctree: nodes.document) -> list[nodes.definition_list_item]:
    """Return the entries of a page that is a list of definitions."""
    return list(doctree.findall(nodes.definition_list_item))


def plain(node: nodes.Node) -> str:
    """Return a node's text in one line."""
    return " ".join(node.astext().split())


def anchor_entries(app: Sphinx, doctree: nodes.document) -> None:
    """Give each entry of the glossary and of the references an anchor."""
    page = app.env.docname
    if page in (GLOSSARY, REFERENCES):
        for entry in entries(doctree):
            name = "entry-" + nodes.make_id(plain(entry[0]))
            entry[0]["ids"] = [*entry[0]["ids"], name]


def names(term: str) -> list[str]:
    """Return the names that an entry gives: `dense layer, fully connected layer (FC)` has three."""
    parts = re.split(r"\s*[,/()]\s*|\sor\s", term)
    return [part for part in parts if part and part not in EVERYDAY]


def word_pattern(name: str) -> str:
    """Return a pattern for a name in the singular and the plural; small letters also match a sentence's beginning."""
    if name.endswith("y"):
        pattern = re.escape(name[:-1]) + "(?:y|ies)"
    elif name.endswith("s"):
        pattern = re.escape(name) + ("(?:es)?" if name[-2] in "aius" else "?")
    else:
        pattern = re.escape(name) + "(?:s|es)?"
    pattern = pattern.replace(r"\ ", r"[\s-]").replace(r"\-", r"[\s-]?")
    pattern = re.sub("['’]", "['’]", pattern).replace("–", "[–-]")
    # "Internet connection" is no connection of a network.
    pattern = rf"(?<![\w-])(?<!internet\s){pattern}(?![\w-])"
    return pattern if name != name.lower() else f"(?i:{pattern})"


def source_patterns(authors: list[str], year: str) -> tuple[str, str]:
    """Return patterns for a source by its authors: with its year, and with no year after them."""
    first, *others = authors
    more = r"\set\sal\.|\sand\s(?:others|colleagues)"
    if others:
        middle = "".join(rf",\s{name}" for name in others[:-1])
        more += rf"|{middle},?\sand\s{others[-1]}"
    short = "" if len(first) < 3 else "?+"  # "He" alone is no author.
    name = rf"\b{first}(?:{more}){short}"
    dated = rf"{name},?\s(?:(?:in|of)\s)?\(?{year}\)?"
    return dated, rf"{name}(?![\w-])(?!,?\s(?:(?:in|of)\s)?\(?(?:19|20)\d\d)"


def first_sentence(text: str) -> str:
    """Return a text up to the first full stop after which a sentence begins."""
    return re.split(r"(?<=[.?])\s(?=[A-Z*])", text, maxsplit=1)[0]


def index(env: BuildEnvironment) -> Index:
    """Return what can be linked to, as the pages have it now."""
    targets, terms, patterns = {}, [], []
    for page in sorted(env.found_docs):
        if found := re.match(r"book/(\d\d)_", page):
            tip = f"Chapter {env.titles[page].astext()}".replace(" · ", ": ")
            targets["chapter", str(int(found[1]))] = Target(page, "", tip)
    labels = env.get_domain("std").anonlabels
    for label, (page, anchor) in sorted(labels.items()):
        if label.startswith("equation-"):
            title = env.titles[page].astext().partition(" · ")
            number = label.removeprefix("equation-")
            tip = f"Equation ({number}) in chapter {title[0]}: {title[2]}"
            targets["equation", number] = Target(page, anchor, tip)
    if GLOSSARY in env.found_docs:
        for entry in entries(env.get_doctree(GLOSSARY)):
            anchor, name = entry[0]["ids"][-1], plain(entry[0])
            tip = first_sentence(plain(entry[-1]))
            targets["term", name] = Target(GLOSSARY, anchor, tip)
            terms += [(one, ("term", name)) for one in names(name)]
    if REFERENCES in env.found_docs:
        undated = {}
        for entry in entries(env.get_doctree(REFERENCES)):
            anchor, text = entry[0]["ids"][-1], plain(entry[-1])
            name = plain(entry[0])
            if name in PHRASES:
                targets["source", name] = Target(
                    REFERENCES, anchor, first_sentence(text)
                )
                patterns.append((PHRASES[name], ("source", name)))
            for found in CITATION.finditer(text):
                authors = re.findall(r"[^\W\d_][\w-]{1,}", found["authors"])
                key = "source", f"{authors[0]} {found['year']} {found['title']}"
                tip = f"{found['authors'].removeprefix(', ')}: {found['title']}"
                targets[key] = Target(REFERENCES, anchor, f"{tip} {found['year']}")
                dated, other = source_patterns(authors, found["year"])
                patterns.append((dated, key))
                if authors[0] not in undated:
                    undated[authors[0]] = key, other
        for author, (key, other) in undated.items():
            patterns.append((other, key))
            if author in PHRASES:
                patterns.append((PHRASES[author], key))
    terms.sort(
        key=lambda one: -len(one[0])
    )  # Before sources, for "McNemar's test".
    return Index(
        targets, [(word_pattern(name), key) for name, key in terms] + patterns
    )


def collect(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Bring the index up to date; return every page if it changed, since each may have links to write anew."""
    now = index(env)
    if now == getattr(env, "links", None):
        return []
    env.links = now
    return sorted(env.found_docs)


class Linker:
    """Links the words of one page."""

    def __init__(self, app: Sphinx, page: str) -> None:
        self.app, self.page = app, page
        self.targets, patterns = app.env.links
        own = re.match(r"book/(\d\d)_", page)
        self.own = {("chapter", str(int(own[1])))} if own else set()
        self.seen = set(self.own)
        if page.startswith("book/api/") or page == REFERENCES:
            patterns = []  # The one links its names itself, the other names authors and titles.
        other = OTHER_SENSE.get(page)
        self.patterns = [
            (re.compile(pattern), key)
            for pattern, key in patterns
            if key[0] != "term" or other not in names(key[1])
        ]
        words = [pattern.pattern for pattern, _ in self.patterns]
        self.words = re.compile("|".join([CHAPTERS, EQUATION, *words]))
        self.chapters = re.compile(CHAPTERS)

    def walk(self, node: nodes.Element) -> None:
        """Link the words in a node and all below it, in the order of the text."""
        run: list[nodes.Text] = []
        for child in [*node.children, None]:
            if isinstance(child, nodes.Text):
                run.append(child)
                continue
            if run:
                self.replace(node, run)
                run = []
            if isinstance(child, nodes.reference):
                self.note(child)
            elif isinstance(child, nodes.Element) and self.is_open(child):
                self.enter(child)

    def is_open(self, node: nodes.Element) -> bool:
        """Whether a node's text may have links."""
        return not isinstance(node, SKIPPED) and not {
            "tag_exercise",
            "toctree-wrapper",
        } & set(node.get("classes", ()))

    def enter(self, node: nodes.Element) -> None:
        """Walk through a node; what a page needs, and an entry of a list of terms, have first mentions of their own."""
        if "needs" in node.get("classes", ()):
            before, words = self.seen, self.words
            self.seen, self.words = set(self.own), self.chapters
            self.walk(node)
            self.seen, self.words = before, words
        elif self.page in (GLOSSARY, REFERENCES) and isinstance(
            node, nodes.definition_list_item
        ):
            anchor = node[0]["ids"][-1]
            self.seen = {
                key
                for key, target in self.targets.items()
                if (target.page, target.anchor) == (self.page, anchor)
            }
            self.walk(node)
        else:
            self.walk(node)

    def note(self, link: nodes.reference) -> None:
        """Count a link to a chapter as its mention; turn one to its public address to its page."""
        address = link.get("refuri", "")
        if found := NOTEBOOK.fullmatch(address):
            page = f"book/{found[1]}"
            if page in self.app.env.found_docs:
                link["internal"] = True
                address = self.app.builder.get_relative_uri(self.page, page)
                link["refuri"] = address
        if found := re.search(r"(?:^|/)(\d\d)_\w+\.html$", address):
            self.seen.add(("chapter", str(int(found[1]))))

    def replace(self, parent: nodes.Element, run: list[nodes.Text]) -> None:
        """Put links into neighbouring pieces of text, such as the lines of a paragraph."""
        text = "".join(run)
        parts: list[nodes.Node] = []
        end = 0
        for found in self.words.finditer(text):
            for start, stop, key in self.mentions(found):
                if key in self.targets and key not in self.seen:
                    self.seen.add(key)
                    parts += [nodes.Text(text[end:start])] if start > end else []
                    parts.append(self.link(key, text[start:stop]))
                    end = stop
        if parts:
            parts += [nodes.Text(text[end:])] if end < len(text) else []
            position = parent.index(run[0])
            parent[position : position + len(run)] = parts

    def mentions(
        self, found: re.Match[str]
    ) -> list[tuple[int, int, tuple[str, str]]]:
        """Return what a match mentions: beginning and end of the link's text, and its target."""
        text, start, end = found[0], found.start(), found.end()
        if self.chapters.fullmatch(text):
            numbers = list(re.finditer(r"\d+", text))
            whole = len(numbers) == 1
            return [
                (
                    start if whole else start + number.start(),
                    start + number.end(),
                    ("chapter", number[0]),
                )
                for number in numbers
            ]
        if text[-1] == ")" and (number := re.search(r"\((\d+\.\d+)\)$", text)):
            return [(start, end, ("equation", number[1]))]
        for pattern, key in self.patterns:
            if pattern.fullmatch(found.string, start, end):
                return [(start, end, key)]
        return []

    def link(self, key: tuple[str, str], text: str) -> nodes.reference:
        """Return the link."""
        page, anchor, tip = self.targets[key]
        address = f"#{anchor}" if anchor else ""
        if page != self.page:
            address = self.app.builder.get_relative_uri(self.page, page) + address
        link = nodes.reference("", text, refuri=address, internal=True)
        link["reftitle"] = tip
        link["classes"] = [f"to-{key[0]}"]
        return link


def link_words(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Set the links of a page."""
    if app.builder.format == "html":
        Linker(app, page).walk(doctree)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("doctree-read", anchor_entries)
    app.connect("env-updated", collect)
    app.connect("doctree-resolved", link_words)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
