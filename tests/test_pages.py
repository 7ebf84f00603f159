"""What pages have beside their text: drawings made by the library, needs and gains, colours that readers can tell apart."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

from lenet5lib import plots, spec

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "book"


def module(path):
    """Import a file of the project that is in no package."""
    found = importlib.util.spec_from_file_location(path.stem, path)
    loaded = importlib.util.module_from_spec(found)
    found.loader.exec_module(loaded)
    return loaded


cover = module(ROOT / "tools/cover.py")
pages = module(BOOK / "_ext/pages.py")


@pytest.mark.parametrize("name", cover.DRAWINGS)
def test_a_drawing_of_the_network_is_the_librarys(name):
    drawn = plots.svg(plots.network(spec.LENET5, **cover.DRAWINGS[name]))
    assert (BOOK / f"images/{name}.svg").read_bytes() == drawn, "run make draw"


def test_drawings_differ_in_colours_by_theme_and_in_shape_by_width():
    dark = plots.network(spec.LENET5, dark=True)
    found = {
        text.get_color() for text in dark.findobj(lambda o: hasattr(o, "get_text"))
    }
    drawn = {layer.kind for layer in spec.LENET5.layers} - {"flatten"}
    assert {plots.DARK_COLOURS[kind] for kind in drawn} <= found
    assert set(plots.DARK_COLOURS) == set(plots.COLOURS)
    assert not set(plots.COLOURS.values()) & found
    assert len(plots.network(spec.LENET5, rows=2).axes) == 2


def test_every_page_says_what_it_needs_and_gives():
    toc = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    listed = set(re.findall(r"file: (\S+)", toc))
    lists = {"book/notation", "book/glossary", "book/references"}
    assert set(pages.NEEDS) == listed - lists
    reference = {f"book/api/{path.stem}" for path in BOOK.glob("api/*.rst")}
    assert reference == {page for page in listed if "/api/" in page}
    for needs, gives in pages.NEEDS.values():
        assert needs.endswith(".")
        assert gives.endswith(".")
        assert len(needs) + len(gives) < 160


def test_every_file_of_a_widget_exists_and_none_is_left_over():
    named = {name for names in pages.SCRIPTS.values() for name in names}
    assert named | {"book.js", "live.css"} == {
        p.name for p in pages.STATIC.iterdir()
    }


SIMULATED = {
    "normal sight": np.eye(3),
    "protanopia": [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]],
    "deuteranopia": [[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]],
    "tritanopia": [[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]],
}  # fmt: skip
"""How colour-blind readers see linear RGB. Source: Machado, Oliveira and Fernandes, 2009, severity 1."""


def lightness_and_hue(levels, sight):
    """Return CIELAB coordinates of an sRGB colour, levels 0 to 255, as one sees it."""
    share = np.array(levels) / 255
    linear = np.where(
        share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4
    )
    seen = np.clip(np.array(SIMULATED[sight]) @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ seen  # fmt: skip
    x, y, z = np.cbrt(xyz / [0.9505, 1, 1.0888])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("sight", SIMULATED)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_signed_scale_can_be_told_apart_by_every_reader(theme, sight):
    text = (pages.STATIC / "live.js").read_text(encoding="utf-8")
    line = re.search(rf"^  {theme}: \{{(.*)\}}", text, re.MULTILINE)[1]
    ends = {
        name: lightness_and_hue([int(n) for n in levels.split(",")], sight)
        for name, levels in re.findall(r"(\w+): \[([\d, ]+)\]", line)
    }
    for one, other in (
        ("negative", "positive"),
        ("negative", "zero"),
        ("positive", "zero"),
    ):
        assert np.linalg.norm(ends[one] - ends[other]) > 35


WORDS = """ablation, Adam, activation function, back-propagation, baseline, batch, bias, channel, checkpoint, class,
connection, convolution, cross-correlation, cross-entropy, cumulative stride, dense layer, EMA, epoch,
equivariance, feature map, filter, fully connected layer, gradient, gradient descent, hyperparameter,
inference, invariance, jump, kernel, label, learning rate, logit, loss, MAC, neuron, optimizer, overfitting,
padding, parameter, pooling, pre-activation, receptive field, ReLU, seed, sigmoid, softmax, stand-in, stride,
test set, test-time augmentation, unit, validation set, weight, weight sharing"""
"""What a first reader must be able to search for."""


def entries(page):
    """Return the names and the text of each entry of a list of definitions."""
    text = (BOOK / page).read_text(encoding="utf-8")
    found = re.findall(r"^(\S.*)\n: ((?:.|\n(?!\n))*)", text, re.MULTILINE)
    return {name.strip("*"): text for name, text in found}


def test_every_word_that_is_searched_for_is_in_the_glossary():
    glossary = entries("glossary.md")
    names = [name for entry in glossary for name in entry.split(", ")]
    names += [name.split(" of ")[0] for name in names]
    assert set(re.split(r",\s", WORDS)) <= set(names)
    letters = [
        re.sub("[^a-z]", "", re.split(", | or ", n.lower())[0]) for n in glossary
    ]
    assert letters == sorted(letters)
    assert all(len(text) < 420 for text in glossary.values())


def test_every_source_has_an_address_or_is_none_that_is_printed():
    places = {
        name: re.findall(r"\]\(https://\S+?\)", text)
        for name, text in entries("references.md").items()
    }
    assert [name for name, found in places.items() if not found] == [
        "TensorFlow and oneDNN",
        "MNIST",
    ]


def test_the_notations_code_is_the_librarys():
    text = (BOOK / "notation.md").read_text(encoding="utf-8")
    code = "\n".join(
        p.read_text(encoding="utf-8") for p in ROOT.glob("lenet5lib/**/*.py")
    )
    rows = re.findall(r"^\| (.+?) \| (.*?) ?\| .* \| \d+ \|$", text, re.MULTILINE)
    assert len(rows) > 45
    for _, names in rows:
        for name in re.findall(r"`(\w+)`", names):
            assert re.search(rf"\b{name}\b", code), name
