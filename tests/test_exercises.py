"""The exercises: every solution passes, no stub and no mistake ends in a traceback, typical mistakes get their own hint."""

import ast
import contextlib
import inspect
import io
import json
import re
import warnings
from pathlib import Path

import numpy as np
import pytest

from lenet5lib import exercises, records, spec
from lenet5lib.exercises import Hint, NumericAnswer, Unanswered
from lenet5lib.spec import LENET5

BOOK = Path(__file__).resolve().parent.parent / "book"
CHAPTERS = sorted(BOOK.glob("[0-9]*.ipynb"))
FOLDED = re.compile(
    r"<details>\n<summary>Solution ([\d.]+)</summary>\n\n```python\n(.*?)\n```\n\n(.+)\n\n</details>\Z",
    re.DOTALL,
)


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def source(cell):
    return "".join(cell["source"])


def is_exercise(cell):
    return "exercise" in cell["metadata"].get("tags", [])


def triples():
    """Yield (chapter, number as in "03.2", text, stub cell, solution cell) for each exercise of the book."""
    for path in CHAPTERS:
        cells = read(path)
        for n, cell in enumerate(cells):
            if is_exercise(cell):
                number = re.search(r'exercises\.check\("([\d.]+)", ', source(cell))[
                    1
                ]
                yield path, number, cells[n - 1], cell, cells[n + 1]


FOUND = list(triples())
each = pytest.mark.parametrize(
    ("path", "number", "text", "stub", "solution"),
    FOUND,
    ids=[number for _, number, *_ in FOUND],
)


def namespace(path):
    """Return what a chapter imports, without running anything else of it."""
    names = {}
    for cell in read(path):
        if cell["cell_type"] == "code" and not is_exercise(cell):
            for node in ast.parse(source(cell)).body:
                if isinstance(node, ast.Import | ast.ImportFrom):
                    exec(ast.unparse(node), names)
    return names | {"exercises": exercises, "LENET5": LENET5}


def printed(code, names):
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(code, names)
    return said.getvalue()


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_ends_with_two_exercises_or_more_numbered_in_order(path):
    numbers = [number for chapter, number, *_ in FOUND if chapter == path]
    assert len(numbers) >= 2
    assert numbers == [f"{path.stem[:2]}.{n + 1}" for n in range(len(numbers))]
    assert source(read(path)[-3 * len(numbers) - 1]).startswith("## Exercises\n")


def test_every_exercise_of_the_library_is_in_the_book():
    with pytest.raises(ValueError, match="there is no exercise 'all'"):
        exercises.find("all")
    assert sorted(exercises.EXERCISES) == [number for _, number, *_ in FOUND]


@each
def test_text_stub_and_solution_bear_one_number(path, number, text, stub, solution):
    shown = f"{int(number[:2])}{number[2:]}"
    assert source(text).startswith(f"**Exercise {shown}: ")
    assert FOLDED.match(source(solution))[1] == shown
    assert source(stub).count("exercises.check(") == 1


@each
def test_a_solution_passes(path, number, text, stub, solution):
    code = FOLDED.match(source(solution))[2]
    said = printed(code, namespace(path))
    assert said == f"✓ {int(number[:2])}{number[2:]} Right.\n"


@each
def test_an_untouched_stub_prints_what_is_asked(path, number, text, stub, solution):
    said = printed(source(stub), {"exercises": exercises})
    asked = exercises.find(number).asked
    assert "No answer yet; expected" in said
    assert asked in " ".join(said.split())
    (stored,) = stub["outputs"]
    assert "".join(stored["text"]) == said


ODD = [
    *(0, -1, 1.5, 10**30, True, float("nan"), 1j, "61,706", "", b"x"),
    *([], (), {}, [1, 2], (1, 2), [[1, 2], [3, 4]], ["rename"], [None] * 3, object),
    *(np.zeros(3), np.zeros((5, 5)), np.array("x"), spec, LENET5, spec.Pool("S2")),
    *(
        print,
        len,
        (lambda: 1),
        (lambda *a: "x"),
        (lambda *a: [1]),
        (lambda *a: 1 / 0),
    ),
    *(
        (lambda *a: a),
        (lambda *a: a[0]),
        (lambda *a: np.nan),
        (lambda *a: object()),
    ),
]


@each
def test_no_answer_ends_in_a_traceback(path, number, text, stub, solution):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for answer in ODD:
            right, hint = exercises.verdict(number, answer)
            assert not right, answer
            assert len(hint) > 20, answer


def small(*layers):
    """Return a network of these layers and ten dense units."""
    layers += spec.Flatten(), spec.Dense("Output", 10)
    return spec.Architecture("small", (28, 28, 1), layers)


WRONG = {
    "13.1": {
        341_808: "used at 100 positions",
        90_000: "Add it",
        340_908: "with its table",
        418_096: "count the bias",
    },
    "13.2": {
        0.4: "scale from 0 to 1",
        0.47: "not 0 but −0.1",
        0.37: "1.175 + 0.1",
        0.665: "255 for background",
    },
    "14.1": {
        0.004: "falling for a long time",
        0.001: "straight down",
        0.000294: "off, above and below",
        0.00208: "on the way up",
        0.003414: "has fallen",
    },
    "14.2": {
        0.0577: "one side",
        0.0739: "exactly 6 and exactly 14",
        0.037: "exactly 6. Fewer",
        0.942: "more than 6",
        0.3: "share of the coins",
    },
    "01.1": {
        43_120_000: "bytes does a float32",
        188_160_000: "held out",
        172.48: "megabytes",
    },
    "01.3": {5: "5 still gives 0.886 %, by 2,000 trials", 3: "5,000 images"},
    "02.1": {
        13: "without the padding",
        16: "one end only",
        17: "one position more",
        19: "rounds up",
        36: "stride 1",
        17.5: "Round down",
        18.5: "Round down",
    },
    "02.2": {
        4_608: "biases",
        4_609: "one bias for the whole layer",
        4_624: "a bias for each map in",
        5_120: "each map that a filter reads",
        320: "as deep as its input",
        909_440: "image's size",
        903_200: "image's size",
    },
    "03.1": {
        61_758: "C3 reads its maps",
        62_556: "biases",
        45_278: "valid padding",
        62_590: "one bias, however many kernels",
        62_158: "two new maps",
        852: "new ones",
        208: "C1 alone",
    },
    "03.2": {
        241_600: "2,416 parameters, not 1,516",
        150_000: "biases",
        156_000: "16 in all",
        150_016: "at every position, too",
        240_000: "all six, and without biases",
        294_000: "no padding",
        1_516: "every position",
    },
    "05.1": {2_340: "last batch", 469: "one epoch", 2_344: "next epoch"},
    "05.2": {0.1698: "label were 0", -2.1698: "never negative", 3.1304: "bits"},
    "07.1": {
        185_120: "for Adam",
        61_708: "weights themselves",
        123_412: "learning rate",
    },
    "08.1": {
        0.0705: "one standard deviation",
        0.001382: "a share",
        0.2765: "end to end",
        0.14: "three decimals",
        0.195: "an error of 1 %",
    },
    "08.2": {
        152_128: "crude rule",
        38_032: "Both are measured",
        19_800: "one standard deviation",
        76_832: "factor 1 − ε",
        76_063: "rounded down",
        76_063.68: "in part",
        76_061: "more digits of 1.96",
        76_063.7: "whole number",
    },
    "10.1": {
        5: "in nats",
        0.9418: "over all digits",
        0.9512: "0.012, not 1.2",
        0.99928: "not multiplied",
        0.03125: "bits",
    },
    "10.2": {
        1.04: "cannot say how good",
        1.10: "the last epoch",
        1.28: "lowest validation loss",
        1.12: "validation error, which chose",
    },
    "10.3": {
        0.1859: "ddof=1",
        0.1037: "1.96",
        0.3944: "root of n",
        0.0529: "Student's factor",
        0.4554: "end to end",
    },
    "11.1": {
        0.8: "before it is squashed",
        -0.1143: "average of the window",
        0.6519: "added after it",
        0.8559: "when the bias has been added",
        0.6640: "plain tanh",
        0.4879: "factor 1.7159",
    },
    "12.1": {
        12: "the code of the 8 itself",
        6: "equally far",
        3: "still at 36",
        24: "That is a distance",
        48: "distance between the two codes",
    },
    "12.2": {
        0.1269: "without rubbish",
        -2.5924: "logarithm alone",
        -0.6867: "that of the label too",
        0.3133: "missing from the sum",
        3: "first loss",
        1.8741: "base 10",
        0.6652: "probability of the label",
    },
    "15.1": {
        10.3: "two operations",
        82.7: "4 bytes",
        24.7: "parameters have to be read",
    },
    "15.2": {
        3_840_000: "for each product",
        240_000: "16 products in an instruction",
        30_000: "for one digit",
        80_000: "reads six channels",
        768_000: "no remainder",
    },
}
"""Typical wrong numbers, worked out by hand, and words of the hint that each should get."""


def test_every_number_exercise_has_two_typical_mistakes():
    numbers = {n for n, wanted in exercises.EXERCISES.items() if wanted.is_number}
    assert numbers == set(WRONG)
    assert all(len(wrong) >= 2 for wrong in WRONG.values())


@pytest.mark.parametrize("number", WRONG)
def test_typical_mistakes_get_their_own_hints(number):
    hints = []
    for answer, words in WRONG[number].items():
        right, hint = exercises.verdict(number, answer)
        assert not right
        assert words.lower() in hint.lower(), hint
        hints.append(hint)
    right, other = exercises.verdict(number, 987_654_321)
    assert "too large" in other
    assert len({*hints, other}) == len(hints) + 1


def judged(number, answer):
    right, hint = exercises.verdict(number, answer)
    assert not right, f"{number} takes a wrong answer for right"
    return hint


def stopping(
    lower=lambda loss, lowest, before: loss < lowest,
    kept=lambda best, last: best + 1,
    late=0,
    silent=False,
):
    """Return an early stop with a mistake in it."""

    def stop(losses, patience):
        best = waited = 0
        for n in range(1, len(losses)):
            waited += 1
            if lower(losses[n], losses[best], losses[n - 1]):
                waited = 0
                best = n if losses[n] <= losses[best] else best
            if waited == patience + late:
                return kept(best, n)
        return None if silent else kept(best, n)

    return stop


def drawn(table):
    return sum(map(len, table))


def shares(distances, j):
    """Return (12.4) as it stands, rubbish last."""
    powers = np.exp(-np.append(distances, j))
    return powers / powers.sum()


ROWS, COLUMNS = np.indices((5, 7))
SHORT = LENET5.change("C5", units=20)


def found(**changes):
    """Return the network of exercise 4.2 with changes of some layers."""
    whole = spec.Architecture(
        "found",
        (28, 28, 1),
        (
            *(spec.Conv("C1", 8, 3), spec.Pool("S2"), spec.Conv("C3", 24, 3)),
            *(spec.Pool("S4"), spec.Flatten(), spec.Dense("C5", 64)),
            spec.Dense("Output", 10),
        ),
    )
    for name, change in changes.items():
        whole = whole.change(name, **change)
    return whole


WRONG_FUNCTIONS = [
    ("01.2", lambda x: (3.75, 1.0, 2.0), "two numbers"),
    (
        "01.2",
        lambda x: [(axis * (x / x.sum())).sum() for axis in (COLUMNS, ROWS)],
        "row comes first",
    ),
    (
        "01.2",
        lambda x: [(axis * (x > 0)).sum() / 2 for axis in (ROWS, COLUMNS)],
        "Weight each position",
    ),
    (
        "01.2",
        lambda x: [((axis + 1) * (x / x.sum())).sum() for axis in (ROWS, COLUMNS)],
        "counted from 0",
    ),
    (
        "01.2",
        lambda x: [int((axis * (x / x.sum())).sum()) for axis in (ROWS, COLUMNS)],
        "fraction",
    ),
    (
        "01.2",
        lambda x: [
            (axis.astype("uint8") * x).sum() / x.sum() for axis in (ROWS, COLUMNS)
        ],
        "overflows",
    ),
    ("02.3", [[-1, 0, 1]] * 3, "Turn it"),
    ("02.3", [[1, 1, 1], [0, 0, 0], [-1, -1, -1]], "sign"),
    ("02.3", [[-2, -2, -2], [0, 0, 0], [2, 2, 2]], "[6.0, 6.0, 0.0]"),
    ("02.3", [[1, 1, 1]] * 3, "expected 0 everywhere"),
    ("02.3", [1, 2, 3], "shape (3,)"),
    ("03.3", LENET5, "C5 alone has 48,120"),
    ("03.3", spec.LENET5_32, "The input is 32×32×1"),
    ("03.3", LENET5.change("Output", units=9), "expected ten sums"),
    (
        "03.3",
        LENET5.change("C1", kernel_size=99, padding="valid"),
        "do not fit together",
    ),
    ("03.3", small(spec.Pool("P")), "convolutions is 0; expected 2"),
    ("03.3", small(spec.Conv("A", 1, 1)), "convolutions is 1; expected 2"),
    (
        "03.3",
        small(spec.Conv("A", 4, 3), spec.Pool("P")),
        "convolutions is 1; expected 2",
    ),
    (
        "03.3",
        small(spec.Conv("A", 1, 1), spec.Conv("B", 1, 1)),
        "B, the last layer with a window, sees 1×1; ",
    ),
    (
        "03.3",
        small(spec.Conv("A", 4, 3), spec.Pool("P"), spec.Conv("B", 4, 3)),
        "sees 8×8; expected 14×14",
    ),
    (
        "03.3",
        small(
            *(spec.Conv(name, 4, 3) for name in "ABCDEFG"), spec.Pool("P", "max")
        ),
        "one linear layer",
    ),
    ("04.2", LENET5, "expected those of the summary"),
    ("04.2", found(C1={"padding": "same"}), "C1 gives 28×28×8; the summary says"),
    ("04.2", found(C1={"kernel_size": 5}), "C1 gives 24×24×8"),
    ("04.2", found(S4={"padding": "same"}), "S4 gives 6×6×24"),
    (
        "04.2",
        found(S4={"size": 3, "stride": 2}),
        "S4 moves by 2 with a window of 3",
    ),
    ("04.3", lambda model: len(model.trainable_weights), "number of arrays"),
    (
        "04.3",
        lambda model: (
            model.count_params()
            + sum(int(np.prod(v.shape)) for v in model.optimizer.variables)
        ),
        "optimizer",
    ),
    (
        "04.3",
        lambda model: sum(
            int(np.prod(w.shape))
            for w in model.trainable_weights
            if len(w.shape) > 1
        ),
        "without the biases",
    ),
    ("04.3", lambda model: model.count_params(), "`count_params` and"),
    (
        "04.3",
        lambda model: sum(int(np.prod(w.shape)) for w in model.weights),
        "Take `trainable_weights`",
    ),
    ("04.3", lambda model: len(model.layers), "trained parameters it gives 4"),
    ("05.3", lambda s: np.exp(s) / np.exp(s).sum(), "same number is subtracted"),
    ("05.3", lambda s: np.exp(s), "Divide each"),
    (
        "05.3",
        lambda s: (
            np.exp(np.clip(s, -700, 700)) / np.exp(np.clip(s, -700, 700)).sum()
        ),
        "not the probabilities",
    ),
    (
        "07.2",
        lambda steps, digits, batch: divmod(steps, digits // batch),
        "1,719 steps make an epoch, not 1,718",
    ),
    (
        "07.2",
        lambda steps, digits, batch: (steps // -(-digits // batch) + 1, 0),
        "epochs that are finished",
    ),
    ("07.2", lambda *a: 3, "expected two numbers"),
    (
        "07.3",
        ["delete the old", "write beside", "flush", "rename"],
        "leaves no checkpoint",
    ),
    ("07.3", ["write beside", "rename"], "flushed first"),
    ("07.3", ["write in place", "flush"], "half-written"),
    ("07.3", ["write beside", "flush"], "still the old one"),
    ("07.3", ["write", "flush"], "expected a list"),
    ("08.3", lambda m: np.diag(m) / m.sum(axis=1), "shares that are correct"),
    ("08.3", lambda m: 1 - np.diag(m) / m.sum(axis=0), "columns"),
    ("08.3", lambda m: m.sum(axis=1) - np.diag(m), "counts"),
    ("09.1", (6, 22), "stops before"),
    ("09.1", (8, 23), "without the padding"),
    ("09.1", (8, 19), "12 rows"),
    ("09.1", (0, 15), "begin elsewhere"),
    ("09.2", lambda image, kernel, bias, row, column: 0.5, "random image"),
    ("09.3", lambda kernel: kernel, "between 0 and 1"),
    ("09.3", lambda kernel: np.ones((5, 5)), "full ink"),
    ("09.3", lambda kernel: (kernel < 0) * 1, "responds least"),
    ("09.3", lambda kernel: np.zeros((5, 5)), "can be reached"),
    (
        "10.4",
        lambda losses, patience: int(np.argmin(losses)) + 1,
        "lowest loss of all",
    ),
    ("10.4", stopping(kept=lambda best, last: best), "counted from 1"),
    ("10.4", stopping(kept=lambda best, last: last + 1), "where training stops"),
    ("10.4", stopping(lower=lambda x, low, before: x <= low), "is not lower"),
    ("10.4", stopping(lower=lambda x, low, before: x < before), "the epoch before"),
    ("10.4", stopping(late=1), "too late"),
    ("10.4", stopping(late=-1), "too early"),
    ("10.4", stopping(silent=True), "nothing; expected epoch 3"),
    ("10.4", lambda losses, patience: 2.5, "expected a whole number"),
    ("11.2", lambda t, k, s: drawn(t) * k**2 + len(t), "Those are the parameters"),
    ("11.2", lambda t, k, s: s**2 * drawn(t) * k**2, "without the biases"),
    ("11.2", lambda t, k, s: s**2 * len(t) * (6 * k**2 + 1), "joins every map"),
    ("11.2", lambda t, k, s: s**2 * drawn(t) * (k**2 + 1), "bias for each kernel"),
    ("11.2", lambda t, k, s: s**2 * (drawn(t) * k**2 + 1), "one bias in all"),
    ("11.2", lambda t, k, s: s**2 * (drawn(t) * k + len(t)), "as many cells"),
    ("11.2", lambda t, k, s: s * (drawn(t) * k**2 + len(t)), "as many stops"),
    ("11.2", lambda t, k, s: s**2 * len(t) * (k**2 + 1), "one kernel for each row"),
    ("11.2", lambda t, k, s: 151_600, "the table ((0,), (0, 1))"),
    ("11.2", lambda t, k, s: 151_600 if s == 10 else None, "gives nothing"),
    ("11.2", lambda t, k, s: 151_600.5, "expected a whole number"),
    ("11.3", lambda t: len(t), "number of rows"),
    ("11.3", lambda t: len(set(t)), "order in a row"),
    ("11.3", lambda t: len({len(row) for row in t}), "Rows of one length"),
    ("11.3", lambda t: 3 if len(t) in (4, 5) else 1, "For Table I it gives 1."),
    ("12.3", lambda y, j: 1 - shares(y, j)[-1], "any of the digits"),
    ("12.3", lambda y, j: np.exp(-j) / np.exp(-y).sum(), "must add up to 1"),
    ("12.3", lambda y, j: np.exp(-j), "Divide by the sum"),
    ("12.3", lambda y, j: np.exp(-y).sum() + np.exp(-j), "sum below the line"),
    ("12.3", lambda y, j: 1 / shares(y, j)[-1], "upside down"),
    ("12.3", lambda y, j: shares(-y, -j)[-1], "powers are negative"),
    ("12.3", lambda y, j: shares(y, j)[-1], "Draw the largest term out"),
    ("12.3", lambda y, j: shares(y, j), "expected one number"),
    ("14.3", lambda a, b: a.mean(0) - b.mean(0), "before minus after"),
    ("14.3", lambda a, b: b.sum(0) - a.sum(0), "numbers of networks"),
    ("14.3", lambda a, b: b.mean(0), "after the change alone"),
    ("14.3", lambda a, b: b.mean(), "one for each digit"),
    ("14.3", lambda a, b: a.mean(0) * b.mean(0), "mean over networks"),
    ("15.3", lambda n, f: n, "Only the part p"),
    ("15.3", lambda n, f: 1 - f + f / n, "time that is left"),
    ("15.3", lambda n, f: 1 / (f + (1 - f) / n), "changed places"),
    ("15.3", lambda n, f: 1 + f * (n - 1), "adds up speeds"),
    ("15.3", lambda n, f: 1.0, "0.55 is left"),
]


@pytest.mark.parametrize(
    ("number", "answer", "words"),
    WRONG_FUNCTIONS,
    ids=[f"{number}-{n}" for n, (number, *_) in enumerate(WRONG_FUNCTIONS)],
)
def test_typical_mistakes_of_other_kinds_get_their_own_hints(number, answer, words):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert words in judged(number, answer)


def traced(image, kernel, bias, row, column, *, shift=2, squash=True, **padding):
    padded = np.pad(image, 8, **padding)
    row, column = row + 8 - shift, column + 8 - shift
    total = (padded[row : row + 5, column : column + 5] * kernel).sum() + bias
    return 1 / (1 + np.exp(-total)) if squash else total


def unpadded(image, kernel, bias, row, column):
    window = image[row - 2 : row + 3, column - 2 : column + 3]
    return 1 / (1 + np.exp(-(window * kernel).sum() - bias))


def cut_off(image, kernel, bias, row, column):
    if 2 <= row <= 25 and 2 <= column <= 25:
        return unpadded(image, kernel, bias, row, column)
    return 0.5


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda *a: traced(*a, squash=False), "its sigmoid"),
        (lambda i, k, b, r, c: traced(i, k, 0, r, c), "forgot the bias."),
        (lambda *a: traced(*a, shift=0), "unit's own place"),
        (lambda i, k, b, r, c: traced(i, k, b, c, r), "exchanged"),
        (lambda i, k, b, r, c: traced(i, k[::-1, ::-1], b, r, c), "turned round"),
        (unpadded, "(0, 0), whose window reaches beyond the border"),
        (cut_off, "For unit (0, 0) of a random image it gives 0.5000"),
        (lambda *a: traced(*a, mode="edge"), "not the nearest pixel repeated"),
        (lambda *a: traced(*a, constant_values=1), "which is paper"),
    ],
)
def test_a_wrong_trace_is_told_apart(answer, words):
    assert words in judged("09.2", answer)
    assert exercises.verdict("09.2", traced) == (True, "Right.")


def thirty_two(side=32, without="", **changes):
    """Return LeNet-5 for 32×32 as a Keras model: without a layer, or with other layers in the place of some."""
    import keras
    from keras import layers

    sigmoid = {"activation": "sigmoid"}
    parts = {
        "C1": layers.Conv2D(6, 5, **sigmoid),
        "S2": layers.AveragePooling2D(2),
        "C3": layers.Conv2D(16, 5, **sigmoid),
        "S4": layers.AveragePooling2D(2),
        "C5": layers.Conv2D(120, 5, **sigmoid),
        "Flatten": layers.Flatten(),
        "F6": layers.Dense(84, **sigmoid),
        "Output": layers.Dense(10, activation="softmax"),
    }
    parts |= {name: change(layers) for name, change in changes.items()}
    parts.pop(without, None)
    size = [keras.Input((side, side, 1))] if side else []
    return keras.Sequential([*size, *parts.values()])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"side": 28}, "The model reads 28×28×1; expected 32×32×1."),
        ({"side": None}, "begin with keras.Input((32, 32, 1))"),
        (
            {
                "C1": lambda own: own.Conv2D(
                    6, 5, padding="same", activation="sigmoid"
                )
            },
            'C1 gives 32×32×6; chapter 3 derives 28×28×6. It pads: the padding is still "same".',
        ),
        ({"C1": lambda own: own.Conv2D(6, 5)}, "C1 has the activation linear"),
        (
            {"F6": lambda own: own.Dense(84, activation="relu")},
            "F6 has the activation relu; expected sigmoid",
        ),
        (
            {"Output": lambda own: own.Dense(10, activation="sigmoid")},
            "expected softmax",
        ),
        ({"S4": lambda own: own.MaxPooling2D(2)}, "S4 takes the largest"),
        ({"C1": lambda own: own.Conv2D(6, 5, use_bias=False)}, "C1 has no bias"),
        (
            {"C3": lambda own: own.Conv2D(32, 5, activation="sigmoid")},
            "C3 gives 10×10×32; chapter 3 derives 10×10×16. Compare its window",
        ),
        (
            {"C1": lambda own: own.SeparableConv2D(6, 5, activation="sigmoid")},
            "a SeparableConv2D; expected Conv2D",
        ),
        (
            {"C3": lambda own: own.Conv2D(16, 5, groups=2, activation="sigmoid")},
            "C3 has 1,216 parameters; chapter 3 derives 2,416",
        ),
        ({"without": "S2"}, "In the place of S2 stands conv2d"),
        ({"without": "Output"}, "has 6 layers; expected the seven"),
        ({"without": "Flatten"}, "F6 is dense and still gives 1×1×84"),
        (
            {"C5": lambda own: own.Dense(120, activation="sigmoid")},
            "C5 is dense and still gives 5×5×120",
        ),
    ],
)
def test_what_a_network_for_32_pixels_gets_wrong_is_named(options, words):
    assert words in judged("04.1", thirty_two(**options))


def test_a_dense_c5_passes_as_a_convolution_does():
    import keras

    right = thirty_two()
    assert exercises.verdict("04.1", right) == (True, "Right.")
    flat, dense = keras.layers.Flatten(), keras.layers.Dense(120, "sigmoid")
    parts = [*right.layers[:4], flat, dense, *right.layers[6:]]
    model = keras.Sequential([keras.Input((32, 32, 1)), *parts])
    assert exercises.verdict("04.1", model) == (True, "Right.")


def test_the_summary_of_4_2_in_the_page_is_the_one_that_is_checked():
    from lenet5lib.exercises.chapter_04 import SUMMARY

    text = next(source(text) for _, number, text, *_ in FOUND if number == "04.2")
    for name, shape, params in SUMMARY:
        sizes = " × ".join(map(str, shape))
        assert f"| {name} | {sizes} | {params:,} |" in text


def test_the_record_of_10_2_in_the_page_is_the_one_that_is_checked():
    from lenet5lib.exercises.chapter_10 import EPOCHS

    text = next(source(text) for _, number, text, *_ in FOUND if number == "10.2")
    for epoch, loss, wrong, test in EPOCHS:
        assert f"| {epoch} | {loss:.3f} | {wrong:.2f} | {test:.2f} |" in text


def test_early_stopping_keeps_the_epochs_that_the_solution_of_10_4_names():
    runs = [
        record.column("val_loss")
        for record in records.recorded("lenet5-200").values()
    ]
    names = {"exercises": exercises}
    text = next(source(cell) for _, number, *_, cell in FOUND if number == "10.4")
    printed(FOLDED.match(text)[2], names)
    for patience, epochs in ((10, [29, 14, 19]), (5, [20, 14, 11])):
        assert [names["early_stop"](run, patience) for run in runs] == epochs
        first, second, third = epochs
        assert f"keeps epochs {first}, {second} and {third}" in text
    assert [int(np.argmin(run)) + 1 for run in runs] == [29, 14, 19]


def test_the_checks_compute_the_right_numbers_and_do_not_hold_them():
    for number, wanted in exercises.EXERCISES.items():
        if wanted.is_number:
            compute = inspect.getclosurevars(wanted.judge).nonlocals["compute"]
            written = {
                str(node.value)
                for node in ast.walk(ast.parse(inspect.getsource(compute)))
                if isinstance(node, ast.Constant)
            }
            assert str(compute().correct) not in written, number


def test_each_mistake_gets_its_own_hint():
    for number, wanted in exercises.EXERCISES.items():
        if wanted.is_number:
            compute = inspect.getclosurevars(wanted.judge).nonlocals["compute"]
            for wrong, hint in compute().mistakes:
                assert hint
                assert judged(number, wrong) == hint


@pytest.mark.parametrize("wrong", [6, 6.01, 5, 5.01])
def test_a_mistake_that_equals_a_different_answer_is_refused(wrong):
    mistakes = [(5, "One too few."), (wrong, "Twice.")]
    with pytest.raises(ValueError, match=f"{wrong} with the hint 'Twice.'"):
        NumericAnswer(6, mistakes, "Count again.", tolerance=1e-2)


@pytest.mark.parametrize("number", ["1.9", "01.9", 1.9])
def test_an_unknown_exercise_is_named_with_those_of_its_chapter(number):
    with pytest.raises(
        ValueError,
        match=rf"no exercise {number!r}; expected one of 01\.1, 01\.2, 01\.3\. Use",
    ):
        exercises.check(number, 1)


def test_a_number_as_in_the_text_is_the_librarys(capsys):
    for number in ("01.1", "1.1", 1.1):
        exercises.check(number, 172_480_000)
    assert capsys.readouterr().out == 3 * "✓ 1.1 Right.\n"


def test_a_number_may_be_any_kind_of_number_and_no_text():
    known = NumericAnswer(6, [(5, "Nearly.")], "Count again.", tolerance=1e-3)
    for six in (6, 6.0, np.int64(6), np.float32(6.001)):
        assert exercises.judge_number(six, known) == ""
    assert "without quotes" in exercises.judge_number("6", known)
    assert exercises.judge_number(True, known).startswith("The answer is True")
    assert exercises.judge_number(4, known) == "4 is too small. Count again."


def test_a_function_is_called_on_copies_and_its_failure_is_a_hint():
    values = np.zeros(3)

    def spoil(array):
        array += 1
        return array

    assert exercises.attempt(spoil, values).sum() == 3
    assert values.sum() == 0
    with pytest.raises(
        Hint, match="fails with ZeroDivisionError: division by zero"
    ):
        exercises.attempt(lambda: 1 / 0)
    with pytest.raises(Hint, match="expected a function"):
        exercises.attempt(3)
    with pytest.raises(Unanswered):
        exercises.attempt(lambda: ...)
