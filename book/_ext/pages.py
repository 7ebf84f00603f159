"""A Sphinx extension: what every page has beside its text, and the two pages that compute.

- `{live} NAME` stands where a widget starts. A page that has one loads the widget's scripts, and no other page does.
- `{drawn-network}` says which network the drawing page computes with, as the script that it loads says it, in plain words
  before it for the book's own.
- `{layer-table}` is the table of the modern LeNet-5, counted by the library; `{drawing}` a figure that follows the theme;
  `{reading-time}` how long each part takes to read.
- Under each title stands what the page needs and what it gives (`NEEDS`), and the widget of `ATTACHED` in its chapter, since
  a chapter itself is plain Markdown.
- In tables the kinds of layers carry their colour, and a notebook's download button downloads.
"""

import json
import re
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

import yaml
from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.fileutil import copy_asset

from lenet5lib import arithmetic, spec

STATIC = Path(__file__).resolve().parent.parent / "_static"
SCRIPTS = {
    "draw": (
        "engine.js",
        "live.js",
        "network.js",
        "strokes.js",
        "draw_pad.js",
        "draw_starts.js",
        "draw_answer.js",
        "draw_layers.js",
        "draw_units.js",
        "draw_inspector.js",
        "draw_terms.js",
        "draw.js",
    ),
    "first": ("engine.js", "live.js", "network.js", "strokes.js", "first.js"),
    "stepper": ("engine.js", "live.js", "samples.js", "strokes.js", "stepper.js"),
    "backstep": ("live.js", "backstep.js"),
}
STEPPER = (
    "Move the window with the pointer, the buttons or the arrow keys. Change the digit, the kernel and the bias, and follow "
    "the sum."
)
BACKSTEP = (
    "Step through these numbers with the buttons or the arrow keys: forward, window by window, and then back. The bias is "
    "0; no derivative here depends on it."
)
ATTACHED = {
    "book/02_convolution": (
        "step-through-it",
        "stepper",
        STEPPER,
    ),
    "book/06_backwards": ("one-window-there-and-back", "backstep", BACKSTEP),
}
"""Page: the section at whose end a widget stands, the widget, and the sentence before it."""

NEEDS = {
    "book/draw": (
        "nothing in order to draw, and chapter 2 to follow the sums behind a cell.",
        "the network at work on your own digit, down to every product.",
    ),
    "book/running": (
        "Python, or an account at Colab or Kaggle.",
        "the chapters at work, where you want them.",
    ),
    "book/01_digits": (
        "that an image is a table of numbers.",
        "what the network sees, and why its digits are divided in three.",
    ),
    "book/02_convolution": (
        "sums over an index; for the last section, a derivative.",
        "convolution and pooling by hand, and the formulas for their sizes and parameters.",
    ),
    "book/03_layer_by_layer": (
        "the formulas of chapter 2.",
        "all 61,706 parameters derived, layer by layer.",
    ),
    "book/04_build_and_confirm": (
        "the table of chapter 3; a little Python.",
        "the network in Keras, and each of its numbers confirmed.",
    ),
    "book/05_training": (
        "the network of chapter 4.",
        "a trained network, and how to read its curves.",
    ),
    "book/06_backwards": (
        "the loss of chapter 5; the derivative of a kernel, chapter 2.",
        "back-propagation by hand, and each of 61,706 derivatives checked.",
    ),
    "book/07_checkpoint_and_resume": (
        "a training as in chapter 5.",
        "a training that can be stopped and goes on to the same end, bit for bit.",
    ),
    "book/08_mistakes": (
        "a trained network, chapter 5.",
        "its error with an honest interval, and the digits behind it.",
    ),
    "book/09_looking_inside": (
        "layers and maps, chapters 2 and 3.",
        "a look at what each layer has learned.",
    ),
    "book/10_two_hundred_epochs": (
        "training, resuming and the interval of an error, chapters 5 to 8.",
        "a long training read from its record, and an honest way to report it.",
    ),
    "book/11_connection_table": (
        "how convolution and pooling are counted, chapters 2 to 4.",
        "subsampling that learns, and a third layer with 60 kernels of 96.",
    ),
    "book/12_rbf_output": (
        "chapter 11; the cross-entropy of chapter 5.",
        "an output that measures distances, and the paper's two losses.",
    ),
    "book/13_lenet5_1998": (
        "chapters 11 and 12; chapter 10 for reading records.",
        "the paper's network, confirmed in every figure and trained to its error.",
    ),
    "book/14_one_change_at_a_time": (
        "chapters 5 and 8; chapter 13 for the distortions.",
        "what each change since 1998 is worth on one network, with its uncertainty.",
    ),
    "book/15_speed": (
        "chapters 2, 3 and 5; for one section, chapter 14.",
        "where a training's time goes, and why plain loops are fast.",
    ),
    "book/from_tensorflow_2_4": (
        "an older script that no longer runs.",
        "what to write today in the place of each line that fails.",
    ),
    "book/what_the_paper_does_not_say": (
        "to know which layers the network of 1998 has.",
        "every assumption made in building it, and its place in the code.",
    ),
    "book/api/index": ("nothing.", "where each function of the library is."),
    "book/api/network": (
        "chapters 2 and 3.",
        "the layers as data, and the functions that count them.",
    ),
    "book/api/data": (
        "chapter 1.",
        "how the digits are loaded, split and prepared.",
    ),
    "book/api/loops": (
        "chapters 2, 5 and 15.",
        "each operation and its gradient as plain loops.",
    ),
    "book/api/models": (
        "chapter 4.",
        "the functions that build a network in Keras and confirm it.",
    ),
    "book/api/training": (
        "chapters 5 and 7.",
        "every hyperparameter, the training loop, and the checkpoints.",
    ),
    "book/api/lenet1998": (
        "chapters 11 to 13.",
        "the layers, codes and optimizer of the 1998 paper.",
    ),
    "book/api/evaluation": (
        "chapters 8 and 10.",
        "the record of a run, and intervals for its errors.",
    ),
    "book/api/plots": (
        "the chapter in which you saw the figure.",
        "a function for each kind of figure in the book.",
    ),
    "book/api/studies": (
        "chapters 7, 9, 14 and 15.",
        "the measurements that one chapter makes and nothing else needs.",
    ),
    "book/api/commands": (
        "nothing.",
        "what connects the library with a notebook and with a shell.",
    ),
}
"""For each page but the cover and the lists: what it needs, and what its reader gets."""

ENTRANCE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="0; url=book/index.html">
<title>LeNet-5, layer by layer</title>
</head>
<body><main><h1>LeNet-5, layer by layer</h1><p><a href="book/index.html">To the book</a></p></main></body>
</html>
"""
"""The page at the root, which leads to the cover; without this it has neither title nor language."""

WORDS_PER_MINUTE = 200
"""How fast the text of a chapter is taken to be read."""

LOGGER = logging.getLogger(__name__)


class live(nodes.General, nodes.Element):
    """The place of a widget."""


class Live(Directive):
    """`{live} NAME`: the widget of that name starts here."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the place of the widget."""
        if self.arguments[0] not in SCRIPTS:
            raise self.error(
                f"no widget {self.arguments[0]!r}; there are {', '.join(SCRIPTS)}"
            )
        return [live(widget=self.arguments[0], text="")]


def chapter_page(env: BuildEnvironment, number: int) -> str | None:
    """Return the page of a chapter, by the number in its name; None if there is no such chapter."""
    start = f"book/{number:02d}_"
    return next((page for page in env.found_docs if page.startswith(start)), None)


class DrawnNetwork(Directive):
    """`{drawn-network} WORDS`: which network `network.js` holds, and the chapter about it.

    The content stands before it if the script's own words begin with WORDS: it is written for that network.
    """

    required_arguments = 1
    final_argument_whitespace = True
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the content, and the script's sentences as a paragraph."""
        env = self.state.document.settings.env
        script = STATIC / "network.js"
        env.note_dependency(str(script))
        for line in script.read_text(encoding="utf-8").splitlines():
            if line.startswith('"about": '):
                about = json.loads(line.removeprefix('"about": ').rstrip(","))
                break
        content = nodes.Element()
        if about["text"].startswith(self.arguments[0]):
            self.state.nested_parse(self.content, self.content_offset, content)
        said = nodes.paragraph(
            text=f"The network, as its record says: {about['text']}"
        )
        said["classes"] = ["draw-about"]
        if page := chapter_page(env, about.get("chapter", 0)):
            uri = f"{page.removeprefix('book/')}.html"
            chapter = f"chapter {about['chapter']}"
            link = nodes.reference(chapter, chapter, refuri=uri)
            said += [nodes.Text(" It comes from "), link, nodes.Text(".")]
        return [*content.children, said]


class LayerTable(Directive):
    """`{layer-table}`: the layers of the modern LeNet-5 with their counts."""

    def run(self) -> list[nodes.Node]:
        """Return the table as HTML."""
        rows = [
            row for row in arithmetic.table(spec.LENET5) if row.kind != "flatten"
        ]
        cells = [
            (
                f'<th scope="row">{row.layer}</th><td>{row.kind}</td>',
                arithmetic.shape_text(row.output_shape),
                f"{row.params:,}",
                f"{row.macs:,}",
                arithmetic.shape_text(row.receptive_field),
            )
            for row in rows
        ]
        total = [
            f"{sum(getattr(row, count) for row in rows):,}"
            for count in ("params", "macs")
        ]
        cells.append(('<th scope="row">Total</th><td></td>', "", *total, ""))
        head = (
            "Layer",
            "kind",
            "output shape",
            "parameters",
            "MACs",
            "receptive field",
        )
        lines = [
            "".join(f'<th scope="col">{name}</th>' for name in head),
            *(
                first + "".join(f"<td>{text}</td>" for text in rest)
                for first, *rest in cells
            ),
        ]
        body = "".join(f"<tr>{line}</tr>" for line in lines[1:])
        table = f"<thead><tr>{lines[0]}</tr></thead><tbody>{body}</tbody>"
        html = f'<div class="layers"><table class="dataframe">{table}</table></div>'
        return [nodes.raw("", html, format="html")]


def words(chapter: Path) -> int:
    """Return the number of words of a chapter's text, its solutions left out."""
    cells = json.loads(chapter.read_text(encoding="utf-8"))["cells"]
    text = "\n".join(
        "".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"
    )
    return len(re.sub(r"<details>.*?</details>", "", text, flags=re.DOTALL).split())


class ReadingTime(Directive):
    """`{reading-time}`: how many minutes each part takes to read, by its words, rounded to five."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return a paragraph: the parts with their minutes, then the content."""
        env = self.state.document.settings.env
        toc = Path(env.srcdir, "_toc.yml")
        env.note_dependency(str(toc))
        parts = []
        for part in yaml.safe_load(toc.read_text(encoding="utf-8"))["parts"]:
            names = [one["file"] for one in part["chapters"]]
            chapters = [Path(env.srcdir, f"{name}.ipynb") for name in names]
            chapters = [path for path in chapters if path.is_file()]
            for path in chapters:
                env.note_dependency(str(path))
            if chapters:
                minutes = sum(map(words, chapters)) / WORDS_PER_MINUTE
                name = part["caption"].partition(":")[0]
                parts.append(f"{max(1, round(minutes / 5)) * 5} for {name}")
        parts[0] = parts[0].replace(" for", " minutes for")
        times = f"{', '.join(parts[:-1])} and {parts[-1]}"
        text = f"Reading takes about {times}, {' '.join(self.content)}"
        found, messages = self.state.inline_text(text, self.lineno)
        return [nodes.paragraph("", "", *found), *messages]


class Drawing(Directive):
    """`{drawing} FILE.svg`: a figure of which there are four, for light and dark pages, wide and narrow ones."""

    required_arguments = 1
    option_spec: ClassVar = {"alt": str}
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return one figure with the four images, of which the style sheet shows one, and the content as caption."""
        stem = self.arguments[0].removesuffix(".svg")
        figure = nodes.figure(classes=["drawing"])
        for narrow in ("", "_narrow"):
            for dark in ("", "_dark"):
                classes = [
                    "on-phone" if narrow else "on-desk",
                    "on-dark" if dark else "on-light",
                ]
                figure += nodes.image(
                    uri=f"{stem}{narrow}{dark}.svg",
                    alt=self.options["alt"],
                    classes=classes,
                )
        caption = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, caption)
        figure += nodes.caption("", "", *caption[0].children)
        return [figure]


def visit_live(translator, node: live) -> None:
    """Write the place of a widget, hidden until its script has started."""
    text = f"<p>{node['text']}</p>" if node["text"] else ""
    translator.body.append(
        f'<div class="live" data-live="{node["widget"]}" hidden>{text}</div>\n'
    )
    raise nodes.SkipNode


def skip(translator, node: nodes.Node) -> None:
    """Leave a widget out of every other form of the book: a picture stands beside it."""
    raise nodes.SkipNode


def complete(app: Sphinx, doctree: nodes.document) -> None:
    """Add to a page what it needs and gives, and its widget."""
    page = app.env.docname
    title = next(iter(doctree.findall(nodes.title)), None)
    if page in NEEDS and title is not None:
        box = nodes.container(classes=["needs"])
        for name, text in zip(("You need", "You get"), NEEDS[page], strict=True):
            box += nodes.paragraph(
                "", "", nodes.strong(text=name), nodes.Text(f" {text}")
            )
        title.parent.insert(title.parent.index(title) + 1, box)
    if page in ATTACHED:
        section_id, widget, text = ATTACHED[page]
        for section in doctree.findall(nodes.section):
            if section_id in section["ids"]:
                section += live(widget=widget, text=text)
                return
        LOGGER.warning("%s has no section %s for its widget", page, section_id)


def load_scripts(app, pagename, templatename, context, doctree) -> None:
    """Load the scripts of a page's widgets on that page and no others, and mend the page's text."""
    widgets = {node["widget"] for node in doctree.findall(live)} if doctree else ()
    if widgets:
        app.add_css_file("live.css")
    for name in dict.fromkeys(file for w in sorted(widgets) for file in SCRIPTS[w]):
        app.add_js_file(name, loading_method="defer")
    # Jupyter Book loads this everywhere, twice by now, for a button that this book does not have.
    context["script_files"] = [
        file
        for file in context.get("script_files", [])
        if "thebe" not in f"{file}{file.attributes}".lower()
    ]
    if "body" in context:
        context["body"] = _mended(context["body"])


def _mended(body: str) -> str:
    """Colour the kinds of layers in a page's tables, and let its wide figures scroll by themselves on a phone."""
    kinds = "|".join(kind for kind in spec.KINDS if kind != "flatten")
    body = re.sub(
        rf"<td>({kinds})</td>",
        r'<td><span class="kind kind-\1">\1</span></td>',
        body,
    )
    # A figure of at most 440 px can be read on a phone as it is.
    small = r'style="width: (?:[1-3]?\d\d|4[0-3]\d|440)px'
    image = rf'<img (?![^>]*{small})[^>]*src="[^"]*_images/[^"]*\.png"[^>]*>'
    return re.sub(
        rf"(<a [^>]*image-reference[^>]*>\s*{image}\s*</a>|{image})",
        r'<div class="figure-scroll">\1</div>',
        body,
    )


def copy_static(app: Sphinx) -> None:
    """Put the widgets' files beside the other static files, before pages are written: their names carry digests."""
    if app.builder.format == "html":
        static = Path(app.outdir) / "_static"
        static.mkdir(parents=True, exist_ok=True)
        copy_asset(str(STATIC), str(static))


def mend_pages(app: Sphinx, error: Exception | None) -> None:
    """Make a notebook's download button download, where a browser would show the file instead; name the way in."""
    if error is not None or app.builder.format != "html":
        return
    (Path(app.outdir) / "index.html").write_text(ENTRANCE, encoding="utf-8")
    for path in Path(app.outdir).rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        mended = re.sub(
            r'(<a href="[^"]*_sources/[^"]*\.ipynb") target="_blank"',
            r"\1 download",
            text,
        )
        # The theme's button that unfolds a part of the contents has no text, so screen readers need a name for it.
        mended = mended.replace(
            '<summary><span class="toctree-toggle"',
            '<summary aria-label="Show or hide the pages below"><span class="toctree-toggle"',
        )
        if mended != text:
            path.write_text(mended, encoding="utf-8")


def encode_tag(app: Sphinx) -> None:
    """Percent-encode the tag of the repository, which the theme puts into the buttons' addresses as it stands."""
    options = app.config.html_theme_options
    if tag := options.get("repository_branch"):
        options["repository_branch"] = quote(str(tag), safe="/+")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_node(
        live,
        html=(visit_live, None),
        latex=(skip, None),
        text=(skip, None),
    )
    app.add_directive("live", Live)
    app.add_directive("layer-table", LayerTable)
    app.add_directive("drawing", Drawing)
    app.add_directive("reading-time", ReadingTime)
    app.add_directive("drawn-network", DrawnNetwork)
    app.connect("builder-inited", copy_static)
    app.connect("builder-inited", encode_tag)
    app.connect("doctree-read", complete)
    app.add_js_file("book.js", loading_method="defer")
    app.connect("html-page-context", load_scripts, priority=900)
    app.connect("build-finished", mend_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
