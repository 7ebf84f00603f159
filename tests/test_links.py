"""Plain words become links: which words, where, and only the first time."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

core = pytest.importorskip("docutils.core")
pytest.importorskip("sphinx")
from docutils import nodes  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
EXTENSIONS = ROOT / "book/_ext"


def module(path):
    """Import a file of the project that is in no package."""
    found = importlib.util.spec_from_file_location(path.stem, path)
    loaded = importlib.util.module_from_spec(found)
    sys.modules[path.stem] = loaded  # Its named tuples ask for it.
    found.loader.exec_module(loaded)
    return loaded


links = module(EXTENSIONS / "links.py")

TERMS = ["kernel", "batch", "dense layer", "layer", "learning rate", "MAC", "ReLU"]
TERMS += ["learning-rate schedule", "loss", "bias", "McNemar's test", "code"]
TERMS += [
    "over-fitting",
    "channel (feature map)",
    "capacity",
    "loss function, cost",
    "connection",
]
SOURCES = {
    "LeCun 1998": (["LeCun", "Bottou", "Bengio", "Haffner"], "1998"),
    "Kingma 2015": (["Kingma", "Ba"], "2015"),
    "McNemar 1947": (["McNemar"], "1947"),
    "He 2015": (["He", "Zhang", "Ren"], "2015"),
}


def index():
    """Return targets as the book has them, but few."""
    targets = {}
    for number, name in {2: "convolution", 5: "training", 7: "resume"}.items():
        page = f"book/{number:02d}_{name}"
        targets["chapter", str(number)] = links.Target(page, "", name)
    for number in ("2.1", "5.2"):
        page = targets["chapter", number[0]].page
        anchor = f"equation-{number.replace('.', '-')}"
        targets["equation", number] = links.Target(page, anchor, number)
    terms = [(name, ("term", term)) for term in TERMS for name in links.names(term)]
    for _, key in terms:
        anchor = "entry-" + nodes.make_id(key[1])
        targets[key] = links.Target(links.GLOSSARY, anchor, key[1])
    terms.sort(key=lambda one: -len(one[0]))
    patterns = [(links.word_pattern(name), key) for name, key in terms]
    for name, source in SOURCES.items():
        key = "source", name
        found = [*links.source_patterns(*source), links.PHRASES["LeCun"]]
        targets[key] = links.Target(links.REFERENCES, name, name)
        patterns += [(one, key) for one in (found if name[0] == "L" else found[:2])]
    return links.Index(targets, patterns)


def linked(text, page="book/02_convolution"):
    """Return the links that a page in reStructuredText gets: their text and address."""
    doctree = core.publish_doctree(text)
    for one in doctree.findall(nodes.container):  # Docutils writes its own hyphens.
        one["classes"] = [name.replace("-", "_") for name in one["classes"]]
    env = SimpleNamespace(links=index(), found_docs={"book/05_training"})
    uri = "{0[1]}.html".format
    builder = SimpleNamespace(
        format="html", get_relative_uri=lambda _, to: uri(to.split("/"))
    )
    app = SimpleNamespace(env=env, builder=builder)
    links.link_words(app, doctree, page)
    return [
        (one.astext(), one["refuri"]) for one in doctree.findall(nodes.reference)
    ]


def texts(text, **options):
    return [" ".join(found.split()) for found, _ in linked(text, **options)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("In chapter 5, in Chapter 5.", ["chapter 5"]),
        ("Chapters 5 and 7; chapter 7.", ["5", "7"]),
        ("chapters 2 to 7, 5 and 7", ["7", "5"]),
        ("of chapters 5, 6 and 7", ["5", "7"]),
        ("of chapter\n5", ["chapter 5"]),
        ("chapter 2 is this one, chapter 6 is none, nor subchapter 5", []),
        ("equation (2.1), by (2.1)", ["equation (2.1)"]),
        ("by (5.2), or equations (2.1)", ["(5.2)", "equations (2.1)"]),
        ("about (2.7) f(2.1) 12.1 (99.2)", []),
    ],
)
def test_chapters_and_equations(text, found):
    assert texts(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Kernels; the kernel.", ["Kernels"]),
        ("two batches, four losses, a bias, Biases", ["batches", "losses", "bias"]),
        ("Dense layers have a learning rate.", ["Dense layers", "learning rate"]),
        ("a learning-rate schedule", ["learning-rate schedule"]),
        ("a feature map, or channel; capacities", ["feature map", "capacities"]),
        ("MACs, not macs; ReLU, not relu", ["MACs", "ReLU"]),
        ("overfitting", ["overfitting"]),
        ("a loss function, a loss", ["loss function", "loss"]),
        ("a *kernel* and **its bias**", ["kernel", "bias"]),
        ("microkernels, batch-size, kernelled, code, layers", []),
        ("an internet connection, and connections", ["connections"]),
    ],
)
def test_terms_of_the_glossary(text, found):
    assert texts(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("the 1998 paper and the paper's table", ["the 1998 paper"]),
        ("*What the paper does not say*", []),
        ("The paper of 1998 describes it.", ["The paper of 1998"]),
        ("LeCun et al. (1998) say", ["LeCun et al. (1998)"]),
        ("LeCun et al. (1989) say", []),
        ("by Kingma and Ba in 2015", ["Kingma and Ba in 2015"]),
        ("Kingma's rule", ["Kingma"]),
        ("He says; by He et al. (2015)", ["He et al. (2015)"]),
        ("McNemar's test, by McNemar", ["McNemar's test", "McNemar"]),
    ],
)
def test_sources(text, found):
    assert texts(text) == found


NOWHERE = """
A kernel in chapter 5
=====================

``kernel``, :math:`kernel`, `the kernel <https://example.org>`__

.. math:: kernel (2.1)

.. code:: python

   kernel  # chapter 5, equation (2.1)

kernel
   .. container:: tag_exercise

      kernel

=======  =====
kernel   batch
=======  =====
1        loss
=======  =====
"""


def test_no_link_stands_in_code_formulas_headings_links_heads_or_exercises():
    assert texts(NOWHERE) == ["the kernel", "loss"]


def test_addresses():
    assert linked("(2.1), (5.2), a kernel, chapter 5") == [
        ("(2.1)", "#equation-2-1"),
        ("(5.2)", "05_training.html#equation-5-2"),
        ("kernel", "glossary.html#entry-kernel"),
        ("chapter 5", "05_training.html"),
    ]


def test_a_link_that_is_there_is_the_first_mention():
    assert linked("`five <05_training.html>`__, then chapter 5") == [
        ("five", "05_training.html")
    ]


@pytest.mark.parametrize(
    "start",
    [
        "https://gitlab.com/O/N/-/blob/v1",
        "https://colab.research.google.com/github/O/N/blob/v1",
    ],
)
def test_a_chapters_public_address_leads_to_its_page(start):
    found = linked(
        f"`c <{start}/book/05_training.ipynb>`__, `d <{start}/x.ipynb>`__"
    )
    assert found == [("c", "05_training.html"), ("d", f"{start}/x.ipynb")]


@pytest.mark.parametrize(
    ("page", "found"),
    [
        ("book/running", ["chapter 5", "batch", "LeCun"]),
        ("book/references", ["chapter 5"]),
        ("book/api/loops", ["chapter 5"]),
    ],
)
def test_words_of_another_sense_and_authors_that_are_listed_are_no_links(
    page, found
):
    assert texts("chapter 5, a kernel, a batch, LeCun", page=page) == found


def test_what_a_page_needs_counts_apart_and_has_links_to_chapters_only():
    box = ".. container:: needs\n\n   A kernel, chapter 5.\n\nA kernel, chapter 5."
    assert texts(box) == ["chapter 5", "kernel", "chapter 5"]


def test_each_entry_of_the_glossary_has_first_mentions_of_its_own():
    text = (
        "kernel\n   A kernel of chapter 5.\n\nbatch\n   Not a kernel; chapter 5.\n"
    )
    doctree = core.publish_doctree(text)
    app = SimpleNamespace(env=SimpleNamespace(docname=links.GLOSSARY))
    links.anchor_entries(app, doctree)
    entry = links.entries(doctree)[0]
    assert entry[0]["ids"] == ["entry-kernel"]
    app.env.links = index()
    app.builder = SimpleNamespace(
        format="html", get_relative_uri=lambda _, to: f"{to.split('/')[1]}.html"
    )
    links.link_words(app, doctree, links.GLOSSARY)
    found = [one.astext() for one in doctree.findall(nodes.reference)]
    assert found == ["chapter 5", "kernel", "chapter 5"]


CONF = f"""
import sys
sys.path[:0] = [{str(EXTENSIONS)!r}, {str(ROOT)!r}]
import links, reference
extensions = ["myst_parser", "links"]
myst_enable_extensions = ["deflist", "dollarmath"]
root_doc = "book/index"
def setup(app):
    app.connect("doctree-read", reference.anchor_equations)
"""
PAGES = {
    "index": "# Book\n\n```{toctree}\nglossary\nreferences\n02_a\n05_b\n```\n",
    "glossary": "# Glossary\n\nkernel\n: A window. Of chapter 2.\n",
    "references": "# References\n\n**Adam**\n: D. P. Kingma, J. Ba: *Adam: A Method.* ICLR 2015.\n",
    "02_a": "# 2 · First\n\n$$a = b \\tag{2.1}$$\n\nA kernel, by Kingma and\nBa.\n",
    "05_b": "# 5 · Second\n\nBy (2.1) a kernel. See chapter 2.\n",
}


def written(folder):
    """Build a small book; return its pages and which of them were written."""
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "-n",
        "-b",
        "html",
        "-v",
        ".",
        "out",
    ]
    out = folder / "out/book"
    before = {p: p.stat().st_mtime_ns for p in out.glob("*.html")}
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    pages = {p.stem: p.read_text("utf-8") for p in out.glob("*.html")}
    return pages, {
        p.stem for p in out.glob("*.html") if p.stat().st_mtime_ns != before.get(p)
    }


@pytest.mark.slow
def test_a_build_after_a_change_has_the_links_of_a_build_from_nothing(tmp_path):
    pytest.importorskip("myst_parser")
    (tmp_path / "conf.py").write_text(CONF, encoding="utf-8")
    (tmp_path / "book").mkdir()
    for name, text in PAGES.items():
        (tmp_path / f"book/{name}.md").write_text(text, encoding="utf-8")
    pages, _ = written(tmp_path)
    assert 'href="glossary.html#entry-kernel" title="A window."' in pages["02_a"]
    assert 'href="references.html#entry-adam"' in pages["02_a"]
    assert "Kingma, J. Ba: Adam: A Method. 2015" in pages["02_a"]
    assert 'href="02_a.html#equation-2-1"' in pages["05_b"]
    assert 'title="Equation (2.1) in chapter 2: First"' in pages["05_b"]
    assert 'href="02_a.html" title="Chapter 2: First"' in pages["05_b"]
    assert 'href="02_a.html" title="Chapter 2: First"' in pages["glossary"]
    again, which = written(tmp_path)
    assert (again, which) == (pages, set())
    glossary = PAGES["glossary"].replace("A window", "Weights")
    (tmp_path / "book/glossary.md").write_text(glossary, encoding="utf-8")
    changed, which = written(tmp_path)
    assert which >= {"02_a", "05_b"}
    assert 'title="Weights."' in changed["05_b"]
    for path in (tmp_path / "out").rglob("*"):
        if path.suffix in (".html", ".pickle", ".doctree"):
            path.unlink()
    assert written(tmp_path)[0] == changed
