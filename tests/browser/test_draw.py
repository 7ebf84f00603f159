"""The page to draw on: the same numbers as Keras and the library, the reader's ways to draw, what is said and shown."""

import base64
import io
import re
import shutil

import export
import numpy as np
import pytest
from PIL import Image, ImageDraw
from served import HTML, PHONE, ROOT

from lenet5lib import arithmetic, data, models, records
from lenet5lib.data import pictures
from lenet5lib.spec import LENET5, Architecture, Conv, Dense, Flatten, Pool

PAGE = "book/draw.html"
NETWORK = ROOT / "book/_static/network.js"
AGREEMENT = 1e-4
FORWARD = """text => {
    const engine = LENET5_ENGINE, net = LENET5_DRAW.network, digits = engine.bytes(text), found = [];
    for (let n = 0; n < digits.length; n += 784) {
        const results = engine.forward(net, engine.toInput(net, digits.subarray(n, n + 784)));
        found.push(Array.from(results[results.length - 1].values));
    }
    return found;
}"""


def encoded(array):
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def wait_for_answer(tab, digit=None):
    """Wait until the page has drawn its prediction; with a digit, until it is that one."""
    text = "It reads" if digit is None else f"It reads {digit}"
    tab.wait_for_function(
        "text => document.querySelector('.draw-reading').textContent.startsWith(text)",
        arg=text,
    )


def draw_by_mouse(tab, strokes):
    """Move the mouse along strokes, given as shares of the pad."""
    pad = tab.locator("canvas.draw-pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    for stroke in strokes:
        points = [
            (box["x"] + x * box["width"], box["y"] + y * box["height"])
            for x, y in stroke
        ]
        tab.mouse.move(*points[0])
        tab.mouse.down()
        for point in points[1:]:
            tab.mouse.move(*point)
        tab.mouse.up()


def of_today():
    """Return the script of a network with ReLU and max pooling, He's initial weights and biases of both signs."""
    architecture = LENET5.with_hidden_activation("relu")
    for name in ("S2", "S4"):
        architecture = architecture.change(name, mode="max")
    model = models.build(architecture, seed=4, kernel_initializer="he")
    rng = np.random.default_rng(4)
    weights = [
        w if w.ndim > 1 else rng.normal(0, 0.1, w.shape).astype("float32")
        for w in model.get_weights()
    ]
    about = {"dataset_name": "none", "text": "untrained"}
    return export.network_script(architecture, weights, about)


SCRIPTS = {
    "the book's network": lambda: NETWORK.read_text(encoding="utf-8"),
    "ReLU and max pooling": of_today,
}


@pytest.fixture
def tab(open_page):
    return open_page(PAGE)


@pytest.fixture(params=SCRIPTS)
def loaded(request, tab):
    """Return the page with a network loaded, and the script that it was loaded from."""
    script = SCRIPTS[request.param]()
    tab.route("**/network.js*", lambda route: route.fulfill(body=script))
    tab.reload()
    return tab, script


def test_the_page_agrees_with_keras_on_500_test_digits(loaded):
    tab, script = loaded
    keras_model = export.model_of(script)
    digits = data.load_digits(report=None).test.select(slice(500))
    expected = keras_model.predict(data.prepare(digits.images), verbose=0)
    found = np.array(tab.evaluate(FORWARD, encoded(digits.images)))
    assert found.shape == (500, 10)
    assert np.abs(found - expected).max() < AGREEMENT
    np.testing.assert_array_equal(found.argmax(axis=1), expected.argmax(axis=1))


def test_every_layer_agrees_with_keras(loaded):
    tab, script = loaded
    digit = data.load_digits(report=None).test.images[7]
    expected = models.activations(export.model_of(script), digit)
    found = tab.evaluate(
        """text => {
            const net = LENET5_DRAW.network, input = LENET5_ENGINE.toInput(net, LENET5_ENGINE.bytes(text));
            return LENET5_ENGINE.forward(net, input).map(result => Array.from(result.values));
        }""",
        encoded(digit),
    )
    for layer, values in zip(LENET5.layers, found, strict=True):
        np.testing.assert_allclose(
            values, expected[layer.name].ravel(), atol=AGREEMENT
        )


OTHERS = {
    "ReLU and maxima": Architecture(
        "other",
        (28, 28, 1),
        (
            Conv("C1", filters=4, kernel_size=(3, 4), stride=2, padding="same", activation="relu"),
            Pool("S2", "max", 3, 2, "same"),
            Conv("C3", filters=5, kernel_size=2, padding="same", activation="tanh"),
            Pool("S4", "average", 3, 2, "same"),
            Flatten(),
            Dense("Output", 10, "softmax"),
        ),
    ),
    "a larger input, C5 as a convolution": Architecture(
        "32",
        (32, 32, 1),
        (
            Conv("C1", filters=6, kernel_size=5, activation="scaled_tanh"),
            Pool("S2", "max"),
            Conv("C3", filters=16, kernel_size=5, activation="sigmoid"),
            Pool("S4"),
            Conv("C5", filters=12, kernel_size=5, activation="relu"),
            Flatten(),
            Dense("F6", 8, "linear"),
            Dense("Output", 10, "softmax"),
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_another_exported_network_is_computed_as_keras_does(name, tab):
    architecture = OTHERS[name]
    model = models.build(architecture, seed=3)
    rng = np.random.default_rng(0)
    model.set_weights(
        [rng.normal(0, 0.3, w.shape).astype("float32") for w in model.get_weights()]
    )
    digits = rng.integers(0, 256, (5, 28, 28)).astype(np.uint8)
    expected = model.predict(
        data.prepare(digits, architecture.input_shape), verbose=0
    )
    tab.evaluate(
        export.network_script(architecture, model.get_weights(), {"text": "none"})
    )
    tab.evaluate(
        "() => { LENET5_DRAW.network = LENET5_ENGINE.network(LENET5_NETWORK); }"
    )
    found = np.array(tab.evaluate(FORWARD, encoded(digits)))
    assert np.abs(found - expected).max() < AGREEMENT


def rasters(count):
    """Return rasters of strokes: any size, dark on light or light on dark, thin and thick, blurred, symmetric."""
    rng, found = np.random.default_rng(5), []
    for n in range(count):
        width, height = (int(side) for side in rng.integers(12, 260, 2))
        ink, paper = ((0, 90), (150, 256)) if n % 2 else ((150, 256), (0, 90))
        image = Image.new("L", (width, height), int(rng.integers(*paper)))
        for _ in range(rng.integers(1, 4)):
            points = [
                (int(rng.integers(width)), int(rng.integers(height)))
                for _ in range(rng.integers(2, 6))
            ]
            if n % 5 == 0:
                points = [(width // 2, 3), (width // 2, height - 4)]
            ImageDraw.Draw(image).line(
                points, int(rng.integers(*ink)), int(rng.integers(1, 16)), "curve"
            )
        found.append(np.asarray(image))
    return found


def test_a_raster_comes_to_mnists_form_as_the_library_brings_it(tab):
    for raster in rasters(200):
        expected = pictures.to_mnist_format(raster.astype(np.float32))
        found = tab.evaluate(
            """([text, width, height]) => Array.from(
                LENET5_ENGINE.toMnistForm(Float32Array.from(LENET5_ENGINE.bytes(text)), width, height))""",
            [encoded(raster), raster.shape[1], raster.shape[0]],
        )
        difference = np.abs(np.array(found).reshape(28, 28) - expected.astype(int))
        assert difference.max() <= 1


def test_a_raster_without_contrast_is_no_digit_for_either(tab):
    assert tab.evaluate("() => LENET5_ENGINE.toMnistForm(new Float32Array(100).fill(7), 10, 10)") is None  # fmt: skip
    with pytest.raises(pictures.ImageError):
        pictures.to_mnist_format(np.full((10, 10), 7, np.float32))


def test_scripted_strokes_of_all_ten_digits_are_read(tab):
    right, drawings = 0, tab.evaluate("() => LENET5_STROKES.common")
    assert [drawing["digit"] for drawing in drawings] == list(range(10))
    for drawing in drawings:
        draw_by_mouse(tab, drawing["strokes"])
        wait_for_answer(tab)
        tab.wait_for_timeout(60)
        found = int(np.argmax(tab.evaluate("() => LENET5_DRAW.answer()")))
        shown = tab.locator(".draw-reading").text_content()
        assert shown == f"It reads {found}"
        right += found == drawing["digit"]
        tab.get_by_role("button", name="Clear").click()
        tab.wait_for_function("() => LENET5_DRAW.answer() === null")
    assert right >= 9


QUICKEST = """() => {
    const {network, state} = LENET5_DRAW, times = [];
    for (let n = 0; n < 50; n++) {
        const begun = performance.now(), digit = LENET5_ENGINE.digitOf(state.strokes, true);
        LENET5_ENGINE.forward(network, LENET5_ENGINE.toInput(network, digit));
        times.push(performance.now() - begun);
    }
    return Math.min(...times);
}"""


def test_an_answer_is_computed_within_a_frame(tab):
    """The quickest of fifty: what else the machine does, and that it draws without a graphics card, is not the page's."""
    draw_by_mouse(tab, tab.evaluate("() => LENET5_STROKES.common[3].strokes"))
    assert len(tab.evaluate("() => LENET5_DRAW.times")) > 5
    assert tab.evaluate(QUICKEST) < 16


DRAWN = """([strokes, ...more]) => {
    const [scale, right, down] = more;
    LENET5_DRAW.show(strokes.map(stroke => stroke.map(p => [p[0] * scale + right, p[1] * scale + down])));
    return Array.from(LENET5_DRAW.state.digit);
}"""


@pytest.mark.parametrize("digit", range(10))
def test_where_and_how_large_it_was_drawn_does_not_matter(digit, tab):
    strokes = tab.evaluate(f"() => LENET5_STROKES.common[{digit}].strokes")
    usual = np.array(tab.evaluate(DRAWN, [strokes, 1, 0, 0]))
    for change in ([0.4, 0, 0], [0.4, 0.55, 0.6], [0.7, 0.02, 0.28]):
        other = np.array(tab.evaluate(DRAWN, [strokes, *change]))
        assert np.abs(usual - other).mean() < 0.02 * 255
    ink = usual.reshape(28, 28)
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    assert abs(max(np.ptp(rows), np.ptp(columns)) + 1 - 20) <= 1
    for axis in (0, 1):
        mass = ink.sum(axis=1 - axis) @ np.arange(28) / ink.sum()
        assert 13.5 <= mass <= 14.5


def test_without_normalisation_a_small_digit_in_a_corner_is_misread(tab):
    assert "checked" in tab.locator("#draw-mnist").evaluate("n => n.outerHTML")
    tab.locator("#draw-mnist").uncheck()
    wrong = 0
    for digit in range(10):
        strokes = tab.evaluate(f"() => LENET5_STROKES.common[{digit}].strokes")
        tab.evaluate(DRAWN, [strokes, 0.35, 0.02, 0.02])
        wrong += int(np.argmax(tab.evaluate("() => LENET5_DRAW.answer()"))) != digit
    assert wrong == 8


UNIT = """([n, index]) => {
    const {network, state} = LENET5_DRAW, engine = LENET5_ENGINE;
    const found = engine.explain(network, state.results, state.input, n, index);
    const parts = found.parts ? found.parts.map(part => part.sum) : found.terms.map(term => term.product);
    return {sum: found.sum, made: parts.reduce((a, b) => a + b, found.bias || 0), value: found.value, place: found.place,
            cells: found.parts && found.parts[0].window, box: engine.reach(network, n, index)[0]};
}"""


def test_the_numbers_of_any_unit_add_up_and_its_frame_is_its_receptive_field(
    loaded,
):
    tab, script = loaded
    architecture = export.read_script(script)[0]
    tab.evaluate("() => LENET5_DRAW.show(LENET5_STROKES.common[5].strokes)")
    rng = np.random.default_rng(1)
    for n, (row, layer) in enumerate(
        zip(arithmetic.table(architecture), architecture.layers, strict=True)
    ):
        if layer.kind == "flatten":
            continue
        for index in rng.integers(0, np.prod(row.output_shape), 12):
            unit = tab.evaluate(UNIT, [n, int(index)])
            if layer.kind == "pooling":
                made = np.max if layer.mode == "max" else np.mean
                assert unit["value"] == pytest.approx(made(unit["cells"]), abs=1e-6)
            else:
                assert unit["made"] == pytest.approx(unit["sum"], abs=1e-5)
            place = unit["place"]["row"], unit["place"]["column"]
            if layer.kind == "dense":
                place = 0, 0
            rows, columns = arithmetic.receptive_window(LENET5, layer.name, *place)
            assert unit["box"] == [
                rows.start,
                columns.start,
                rows.stop - rows.start,
                columns.stop - columns.start,
            ]


def test_the_frames_of_c5_and_later_units_hold_whole_maps(tab):
    """C5 reads all 5 × 5 cells of S4, and so does whatever reads C5."""
    for unit in ((5, 3), (6, 83), (7, 9)):
        marks = tab.evaluate(
            """([n, unit]) => LENET5_DRAW_PARTS.units.marks(
                {network: LENET5_DRAW.network, state: {pick: {view: {n: n}, unit: unit}}})""",
            unit,
        )
        sides = {"3": 5, "2": 10, "1": 14, "0": 28, "-1": 28}
        boxes = {n: marks[n]["box"] for n in sides}
        inside = {n: (max(box[0], 0), *box[2:]) for n, box in boxes.items()}
        for n, side in sides.items():
            assert inside[n][0] == 0
            assert min(inside[n][1:]) >= side
        assert boxes["3"] == [0, 0, 5, 5]
        assert "4" not in marks  # Nothing is drawn of the flattened vector.


def test_what_made_a_unit_is_told_in_the_words_of_its_network(loaded):
    tab, script = loaded
    activation, pooled = ("relu", "largest") if "relu" in script else ("sigmoid", "average")  # fmt: skip
    tab.evaluate("() => LENET5_DRAW.show(LENET5_STROKES.common[5].strokes)")
    line = tab.locator(".draw-sum")
    for layer, begins in (
        ("C1", f"{activation}("),
        ("S2", f"The {pooled} is "),
        ("C3", f"{activation}("),
        ("S4", f"The {pooled} is "),
        ("C5", f"{activation}("),
        ("F6", f"{activation}("),
    ):
        canvas = tab.locator(f"canvas[data-layer={layer}]")
        canvas.click(position={"x": 8, "y": 5})
        tab.wait_for_function(
            "name => document.querySelector('.draw-inspector h3').textContent.startsWith(name)",
            arg=layer,
        )
        assert line.text_content().startswith(begins)
    assert tab.faults == []


def test_colours_reach_the_largest_value_of_a_layer_and_below_0_only_where_values_do(
    loaded,
):
    """ReLU ends nowhere, and the scale goes with it; only pre-activations are of both signs."""
    tab, script = loaded
    tab.evaluate("() => LENET5_DRAW.show(LENET5_STROKES.common[5].strokes)")
    digit = np.array(tab.evaluate("() => Array.from(LENET5_DRAW.state.digit)"))
    values = models.activations(
        export.model_of(script), digit.reshape(28, 28).astype(np.uint8)
    )
    for layer in ("C1", "S2", "C3", "S4", "C5", "F6"):
        figure = tab.locator(f"figure:has(canvas[data-layer={layer}])")
        shown = figure.locator(".draw-range").text_content()
        limit = float(shown.removeprefix("colours: 0 to "))
        assert limit == pytest.approx(np.abs(values[layer]).max(), rel=0.06)
    tab.get_by_label("Show pre-activations").check()
    for layer, sign in (("C1", "±"), ("S2", "0 to "), ("F6", "±"), ("Output", "±")):
        figure = tab.locator(f"figure:has(canvas[data-layer={layer}])")
        figure.locator(".draw-range", has_text=f"colours: {sign}").wait_for()


def test_pointing_at_a_unit_shows_what_made_it_and_a_click_keeps_it(tab):
    tab.evaluate("() => LENET5_DRAW.show(LENET5_STROKES.common[5].strokes)")
    inspector = tab.locator(".draw-inspector")
    tab.locator("canvas[data-layer=C1]").hover(position={"x": 31, "y": 31})
    inspector.locator("h3", has_text="C1 map 0, row 10, column 10").wait_for()
    assert "Sees rows 8–12, columns 8–12" in inspector.text_content()
    assert inspector.locator(".live-matrix").count() == 3
    assert inspector.locator("td").count() == 75
    tab.locator("canvas[data-layer=C3]").click(position={"x": 40, "y": 40})
    inspector.locator("h3", has_text="C3 map 0").wait_for()
    sums = inspector.locator(".draw-parts td:last-child").all_text_contents()
    numbers = [float(text.replace("−", "-")) for text in sums]
    assert len(numbers) == 8
    assert sum(numbers[:7]) == pytest.approx(numbers[7], abs=0.005)
    tab.locator("canvas[data-layer=S4]").hover(position={"x": 10, "y": 10})
    assert "C3 map 0" in inspector.locator("h3").text_content()
    tab.locator("canvas[data-layer=Output]").click(position={"x": 30, "y": 5})
    inspector.locator("h3", has_text="Output unit 1").wait_for()
    assert "divided by the sum of all 10 powers" in inspector.text_content()
    tab.keyboard.press("Escape")


def test_first_sight_is_an_example_that_gives_way_to_the_first_change(open_page):
    example = "() => LENET5_DRAW.state.example"
    count = "() => LENET5_DRAW.state.strokes.length"
    changes = (
        lambda tab: draw_by_mouse(tab, [[(0.3, 0.3), (0.6, 0.6)]]),
        lambda tab: (tab.locator("canvas.draw-pad").focus(), tab.keyboard.press("Space")),
        lambda tab: tab.get_by_role("button", name="Draw a 1").click(),
    )  # fmt: skip
    for change in changes:
        tab = open_page(PAGE)
        wait_for_answer(tab, 3)
        assert tab.evaluate(example)
        share = tab.locator(".draw-top-digit .draw-share").text_content()
        assert share == "95.4 %"
        assert tab.locator("figure:has(canvas[data-layer=C3]) .draw-range").text_content()  # fmt: skip
        change(tab)
        assert not tab.evaluate(example)
        assert tab.evaluate(count) == 1
        tab.get_by_role("button", name="Undo").click()
        assert tab.evaluate(count) == 0
    for name in ("Undo", "Clear"):
        tab = open_page(PAGE)
        tab.get_by_role("button", name=name).click()
        tab.wait_for_function("() => LENET5_DRAW.answer() === null")
        tab.get_by_role("button", name="Undo").click()
        assert tab.evaluate(count) == 0
        assert not tab.evaluate(example)


def test_what_a_sure_prediction_looks_like_comes_from_the_recipe(loaded):
    tab, script = loaded
    _, _, about = export.read_script(script)
    line = tab.locator(".draw-sure").text_content()
    if smoothing := about.get("label_smoothing"):
        top, rest = 1 - smoothing + smoothing / 10, smoothing / 10
        assert f"towards {100 * top:.1f} % for the correct class" in line
        assert f"and {100 * rest:.1f} % for each other one" in line
    else:
        assert line == ""


TRIES = {
    "a cross": (8, [[(0.2, 0.2), (0.8, 0.8)], [(0.8, 0.2), (0.2, 0.8)]]),
    "an upright cross": (4, [[(0.5, 0.15), (0.5, 0.85)], [(0.15, 0.5), (0.85, 0.5)]]),
    "a square": (0, [[(0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8), (0.2, 0.2)]]),
}  # fmt: skip


@pytest.mark.parametrize("name", TRIES)
def test_what_is_no_digit_gets_one_of_ten_answers_and_a_sure_one(name, tab):
    digit, strokes = TRIES[name]
    draw_by_mouse(tab, strokes)
    wait_for_answer(tab, digit)
    assert max(tab.evaluate("() => LENET5_DRAW.answer()")) > 0.9


def test_the_third_mistake_is_a_2_that_leans_far(tab):
    for _ in range(3):
        tab.get_by_role("button", name="Show me one it gets wrong").click()
    note = tab.locator(".draw-note").text_content()
    assert note.startswith("Our 2, leaning right")
    assert note.endswith("reads 8, 95.5 %.")


@pytest.mark.parametrize(
    ("stroke", "axis", "first", "last"),
    [([(0.5, 0.15), (0.5, 0.85)], 1, 0, 5), ([(0.15, 0.5), (0.85, 0.5)], 0, 1, 2)],
)
def test_maps_of_c1_answer_to_one_edge_each(stroke, axis, first, last, tab):
    """Upright: map 0 left, map 5 right. Level: map 1 above, map 2 below."""
    draw_by_mouse(tab, [stroke])
    wait_for_answer(tab)
    tab.wait_for_timeout(60)
    maps = tab.evaluate("() => Array.from(LENET5_DRAW.state.results[0].values)")
    maps = np.moveaxis(np.array(maps).reshape(28, 28, 6), axis, 0)[:, 8:20]
    before, after = maps[:14].sum(axis=(0, 1)), maps[14:].sum(axis=(0, 1))
    assert before[first] > 4 * after[first]
    assert after[last] > 4 * before[last]


def test_where_the_terms_of_a_unit_lead_to_is_there():
    text = (ROOT / "book/_static/draw_terms.js").read_text(encoding="utf-8")
    found = re.findall(r'link\("([^"#]+)#([^"]+)"', text)
    assert len(found) == 3
    for page, anchor in found:
        html = (HTML / "book" / page).read_text(encoding="utf-8")
        assert f'id="{anchor}"' in html


def test_it_can_be_used_by_keyboard_alone(open_page):
    tab = open_page(PAGE)
    for _ in range(60):
        tab.keyboard.press("Tab")
        if tab.evaluate("() => document.activeElement.className") == "draw-pad":
            break
    else:
        pytest.fail("Tab does not reach the pad")
    tab.keyboard.press("Space")
    for _ in range(16):
        tab.keyboard.press("ArrowDown")
    tab.keyboard.press("Space")
    wait_for_answer(tab, 1)
    status = tab.locator('p[role="status"]').first
    tab.wait_for_function(
        "() => document.querySelector('p[role=status]').textContent.startsWith('Reads 1')"
    )
    assert "per cent; next" in status.text_content()
    for _ in range(60):
        tab.keyboard.press("Tab")
        if tab.evaluate("() => document.activeElement.dataset.layer") == "C3":
            break
    else:
        pytest.fail("Tab does not reach C3")
    heading = tab.locator(".draw-inspector h3")
    heading.filter(has_text="C3 map 0, row 5, column 5").wait_for()
    tab.keyboard.press("PageDown")
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("ArrowUp")
    heading.filter(has_text="C3 map 1, row 4, column 6").wait_for()
    outline = tab.evaluate(
        "() => getComputedStyle(document.activeElement).outlineStyle"
    )
    assert outline == "solid"
    tab.wait_for_function(
        "() => document.querySelectorAll('p[role=status]')[1].textContent.includes('C3 map 1, row 4, column 6')"
    )
    tab.keyboard.press("Escape")
    for _ in range(60):
        tab.keyboard.press("Tab")
        if not tab.evaluate("() => document.activeElement.closest('.live')"):
            break
    else:
        pytest.fail("the focus does not leave the page's part")
    assert tab.faults == []


def test_undo_and_clear_go_back_step_by_step(tab):
    strokes = tab.evaluate("() => LENET5_STROKES.common[4].strokes")
    undo, count = (
        tab.get_by_role("button", name="Undo"),
        "() => LENET5_DRAW.state.strokes.length",
    )
    draw_by_mouse(tab, strokes)
    assert tab.evaluate(count) == 2
    undo.click()
    assert tab.evaluate(count) == 1
    tab.get_by_role("button", name="Clear").click()
    assert tab.evaluate(count) == 0
    tab.wait_for_function("() => LENET5_DRAW.answer() === null")
    assert tab.locator(".draw-reading").text_content() == "No digit yet"
    assert set(tab.locator(".draw-share").all_text_contents()) == {"–"}
    undo.click()
    undo.click()
    assert tab.evaluate(count) == 0


def test_taps_can_be_joined_by_lines(tab):
    tab.locator("#draw-taps").check()
    for x, y in ((140, 40), (140, 140), (140, 240)):
        tab.locator("canvas.draw-pad").click(position={"x": x, "y": y})
    assert tab.evaluate("() => LENET5_DRAW.state.strokes.map(s => s.length)") == [3]
    wait_for_answer(tab, 1)
    tab.get_by_role("button", name="Lift the pen").click()
    tab.locator("canvas.draw-pad").click(position={"x": 60, "y": 60})
    assert tab.evaluate("() => LENET5_DRAW.state.strokes.map(s => s.length)") == [
        3,
        1,
    ]


def test_one_that_it_gets_wrong_is_wrong_and_says_what_it_is(tab):
    seen = set()
    for _ in range(3):
        tab.get_by_role("button", name="Show me one it gets wrong").click()
        tab.wait_for_timeout(100)
        note = tab.locator(".draw-note").text_content()
        drawing = tab.evaluate(
            """note => LENET5_STROKES.trials.find(one => note.toLowerCase().startsWith(
                one.name.toLowerCase() + ", drawn for this book"))""",
            note,
        )
        reading = int(np.argmax(tab.evaluate("() => LENET5_DRAW.answer()")))
        assert f"reads {reading}," in note
        assert reading != drawing["digit"]
        seen.add(note)
    assert len(seen) == 3


def test_a_drawing_to_start_from_appears_at_once_or_grows_as_the_reader_allows(
    open_page,
):
    count = "() => LENET5_DRAW.state.strokes.flat().length"
    still = open_page(PAGE)
    still.get_by_role("button", name="Draw a 3").click()
    whole = still.evaluate("() => LENET5_STROKES.common[3].strokes.flat().length")
    assert still.evaluate(count) == whole
    moving = open_page(PAGE, reduced_motion="no-preference")
    moving.get_by_role("button", name="Draw a 3").click()
    assert moving.evaluate(count) < whole
    moving.wait_for_function(
        f"() => LENET5_DRAW.state.strokes.flat().length === {whole}"
    )
    wait_for_answer(moving, 3)


@pytest.mark.parametrize("density", [1, 2, 3])
def test_the_pad_is_sharp_and_the_answer_the_same_on_every_screen(
    density, open_page
):
    tab = open_page(PAGE, device_scale_factor=density)
    assert (
        tab.locator("canvas.draw-pad").evaluate("n => n.width / n.clientWidth")
        == density
    )
    strokes = tab.evaluate("() => LENET5_STROKES.common[2].strokes")
    draw_by_mouse(tab, strokes)
    wait_for_answer(tab, 2)
    drawn = tab.evaluate("() => Array.from(LENET5_DRAW.state.digit)")
    tab.evaluate("() => LENET5_DRAW.show(LENET5_STROKES.common[2].strokes)")
    exact = tab.evaluate("() => Array.from(LENET5_DRAW.state.digit)")
    assert np.abs(np.array(drawn) - exact).mean() < 3


def test_a_finger_draws_and_the_page_stays_where_it_is(open_page):
    tab = open_page(PAGE, viewport=PHONE, has_touch=True, is_mobile=True)
    pad = tab.locator("canvas.draw-pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    before = tab.evaluate("() => scrollY")
    cdp = tab.context.new_cdp_session(tab)
    x, top = box["x"] + box["width"] / 2, box["y"] + 30
    for n in range(25):
        kind = "touchStart" if n == 0 else "touchMove"
        point = {"x": x, "y": top + 9 * n}
        cdp.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
    cdp.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    wait_for_answer(tab, 1)
    assert tab.evaluate("() => scrollY") == before
    assert tab.evaluate("() => LENET5_DRAW.state.strokes.length") == 1


@pytest.mark.parametrize("width", [360, 390, 768, 1440])
def test_it_fits_any_width_and_a_tapped_unit_is_explained(width, open_page):
    tab = open_page(PAGE, viewport={"width": width, "height": 800})
    tab.evaluate("() => LENET5_DRAW.show(LENET5_STROKES.common[8].strokes)")
    canvas = tab.locator("canvas[data-layer=C3]")
    canvas.click(position={"x": 40, "y": 40})
    tab.locator(".draw-parts").wait_for()
    assert (
        tab.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0
    )
    above, box = (
        canvas.bounding_box(),
        tab.locator(".draw-inspector").bounding_box(),
    )
    if width < 500:  # Under its layer on a phone, beside the layers on a desk.
        assert 0 <= box["y"] - (above["y"] + above["height"]) < 40
    if width > 1200:
        assert box["x"] >= above["x"] + above["width"]


def test_colours_follow_the_themes_switch(open_page):
    tab = open_page(PAGE, "light")
    tab.evaluate("() => LENET5_DRAW.show(LENET5_STROKES.common[0].strokes)")
    canvas = tab.locator("canvas[data-layer=Input]")
    light = Image.open(_png(canvas)).convert("L").resize((1, 1)).getpixel((0, 0))
    tab.evaluate("() => { document.documentElement.dataset.theme = 'dark'; }")
    tab.wait_for_timeout(150)
    dark = Image.open(_png(canvas)).convert("L").resize((1, 1)).getpixel((0, 0))
    assert light > 180 > 80 > dark


def _png(locator):
    return io.BytesIO(locator.screenshot())


def test_it_works_from_a_folder_without_any_server(browser, open_page, tmp_path):
    folder = tmp_path / "a folder of its own"
    shutil.copytree(HTML, folder)
    tab = open_page(PAGE, folder=folder.as_uri(), offline=True)
    asked = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.reload()
    draw_by_mouse(tab, tab.evaluate("() => LENET5_STROKES.common[6].strokes"))
    wait_for_answer(tab, 6)
    tab.goto(f"{folder.as_uri()}/book/02_convolution.html")
    tab.evaluate("() => MathJax.startup.promise.then(() => true)")
    assert tab.evaluate("() => LENET5_STEPPER.outputSide()") == 26
    assert tab.locator("mjx-container svg").count() > 30
    assert asked
    assert all(url.startswith(("file:", "data:")) for url in asked)
    assert tab.faults == []


def test_without_scripts_the_still_picture_stands_in_the_page(open_page):
    tab = open_page(PAGE, java_script_enabled=False)
    assert tab.locator(".live-still-draw img").is_visible()
    assert not tab.locator(".live").is_visible()


LOADED = re.findall(
    r'src="\.\./_static/((?:engine|live|network|strokes|draw\w*)\.js)',
    (HTML / PAGE).read_text(encoding="utf-8") if (HTML / PAGE).is_file() else "",
)


def test_the_page_loads_every_part_and_last_what_starts_them():
    parts = {path.name for path in (ROOT / "book/_static").glob("draw*.js")}
    assert parts | {"engine.js", "live.js", "network.js", "strokes.js"} == set(
        LOADED
    )
    assert len(parts) > 5
    assert LOADED[-1] == "draw.js"


@pytest.mark.parametrize("script", LOADED)
def test_if_a_script_is_missing_the_still_picture_stays(script, open_page):
    tab = open_page("book/index.html")
    tab.route(f"**/{script}*", lambda route: route.abort())
    tab.goto(tab.url.replace("index", "draw"))
    assert tab.locator(".live-still-draw img").is_visible()
    assert not tab.locator(".live").is_visible()


def test_with_scripts_the_still_picture_gives_way(tab):
    assert not tab.locator(".live-still-draw").is_visible()
    assert tab.locator(".live").is_visible()


def test_nothing_is_read_back_from_a_canvas_or_fetched():
    for path in (ROOT / "book/_static").glob("*.js"):
        text = path.read_text(encoding="utf-8")
        for word in (
            "getImageData",
            "toDataURL",
            "fetch(",
            "XMLHttpRequest",
            "eval(",
        ):
            assert word not in text


@pytest.mark.parametrize(
    ("script", "pages"),
    [("network.js", {"draw.html", "index.html"}), ("draw.js", {"draw.html"})],
)
def test_only_pages_that_need_a_script_load_it(script, pages):
    found = {
        path.name
        for path in (HTML / "book").rglob("*.html")
        if f"_static/{script}" in path.read_text(encoding="utf-8")
    }
    assert found == pages


def test_the_page_shows_the_network_that_the_script_holds(tab):
    architecture, _, about = export.read_script(NETWORK.read_text(encoding="utf-8"))
    line = tab.locator(".draw-about")
    assert (
        line.text_content()
        .replace("’", "'")
        .startswith(f"The network, as its record says: {about['text']}")
    )
    plain = tab.locator("p:has(+ .draw-about)")
    assert "61,706" in plain.text_content()
    assert records.title(architecture) in about["text"]
    chapter = line.locator("a", has_text="chapter")
    if chapter.count():  # A chapter that is not written yet has no link.
        assert chapter.text_content() == f"chapter {about['chapter']}"
        tab.goto(tab.url.replace("draw.html", chapter.get_attribute("href")))
        heading = tab.locator("article h1").text_content()
        assert heading.startswith(f"{about['chapter']} · ")
        tab.go_back()
    captions = " ".join(tab.locator(".draw-layers figcaption").all_text_contents())
    for row in arithmetic.table(architecture):
        if row.kind != "flatten":
            assert (
                f"{row.layer} {arithmetic.shape_text(row.output_shape)}" in captions
            )
