"""The window of chapter 6, there and back: its numbers are the chapter's and the library's, by buttons and by keyboard."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from served import HTML, PHONE, ROOT, THEMES

from lenet5lib.loops import first, plain

PAGE = "book/06_backwards.html"
STEP = "() => LENET5_BACKSTEP.step()"
AFTER = "step => LENET5_BACKSTEP.after(step)"
TABLES = """() => Object.fromEntries([...document.querySelectorAll(".back-tables table")].map(table =>
    [table.caption.textContent, [...table.querySelectorAll("td")].map(cell => cell.textContent.trim())]))"""
AXE = """() => axe.run(".live", {resultTypes: ["violations"]}).then(result =>
    result.violations.map(rule => rule.id + ": " + rule.nodes[0].html))"""
WIDER = "() => document.documentElement.scrollWidth - innerWidth"


@pytest.fixture
def tab(open_page):
    found = open_page(PAGE)
    found.wait_for_selector(".live:not([hidden])")
    return found


@pytest.fixture(scope="module")
def example():
    """Return x, w and g as the chapter's cell makes them."""
    path = ROOT / "book/06_backwards.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    titles = [
        "## One window, there and back" in "".join(c["source"]) for c in cells
    ]
    made = {"np": np, "print": lambda *_, **__: None}
    exec("".join(cells[titles.index(True) + 1]["source"]), made)
    return made["x"], made["w"], made["g"]


def numbers(texts):
    """Return the numbers of a table's cells; NaN where a cell is empty."""
    return [float(text.replace("−", "-") or "nan") for text in texts]


def test_it_has_the_numbers_of_the_chapters_cell(tab, example):
    found = tab.evaluate("() => LENET5_BACKSTEP.example")
    for name, array in zip("xwg", example, strict=True):
        assert found[name] == array.ravel().tolist()
    shown = tab.evaluate(TABLES)
    assert numbers(shown["map x"]) == found["x"]
    assert numbers(shown["kernel w"]) == found["w"]


def test_the_outputs_are_those_of_equation_2_1(tab, example):
    x, w, _ = example
    bias = tab.evaluate("() => LENET5_BACKSTEP.example.b")
    expected = first.convolve(x[0], w[0, 0], bias).ravel()
    for step in range(1, 5):
        tab.get_by_role("slider").fill(str(step))
        shown = tab.evaluate(TABLES)
        outputs = numbers(shown["output y"])
        assert outputs[:step] == expected[:step].tolist()
        assert np.isnan(outputs[step:]).all()
        assert sum(numbers(shown["x·w"])) + bias == outputs[step - 1]
        assert np.isnan(numbers(shown["∂ℓ/∂w"])).all()


def test_the_gradients_are_those_of_the_librarys_loops_window_by_window(
    tab, example
):
    x, w, g = example
    for step in range(5, 10):
        tab.get_by_role("slider").fill(str(step))
        so_far = np.where(np.arange(4) < step - 5, g.ravel(), 0).reshape(g.shape)
        dw, db = plain.convolve_weights(x, so_far)
        dx = plain.convolve_inputs(so_far, w)
        found, shown = tab.evaluate(AFTER, step), tab.evaluate(TABLES)
        assert found["dw"] == numbers(shown["∂ℓ/∂w"]) == dw.ravel().tolist()
        assert found["dx"] == numbers(shown["∂ℓ/∂x"]) == dx.ravel().tolist()
        assert found["db"] == db[0]
        assert numbers(shown["g"]) == g.ravel().tolist()
        bias = tab.locator(".back-bias b").last.text_content()
        assert numbers([bias]) == db.tolist()


def test_the_last_sums_are_written_as_the_chapter_writes_them(tab):
    tab.get_by_role("button", name="All back").click()
    lines = tab.locator(".back-lines").text_content().replace("\u00a0", " ")
    assert "1·1 + 0·2 + (−1)·0 + 2·1 = 3" in lines
    assert "1·0 + 0·2 + (−1)·(−1) + 2·1 = 3" in lines


def test_the_cells_of_a_step_are_framed(tab):
    framed = """() => [...document.querySelectorAll(".back-tables table")].map(table =>
        [...table.querySelectorAll("td")].flatMap((cell, n) => cell.classList.contains("back-now") ? [n] : []))"""
    tab.get_by_role("slider").fill("2")
    x, w, _, y, *rest = tab.evaluate(framed)
    assert (x, w, y) == ([1, 2, 4, 5], [0, 1, 2, 3], [1])
    assert not any(rest)
    tab.get_by_role("slider").fill("8")
    x, w, _, y, dx, dw, _, _, g = tab.evaluate(framed)
    assert (x, w, y) == ([3, 4, 6, 7], [], [])
    assert (dx, dw, g) == ([3, 4, 6, 7], [0, 1, 2, 3], [2])


def test_buttons_keys_and_slider_step(tab):
    assert tab.evaluate(STEP) == 1
    for name, step in (
        ("Previous step", 1),
        ("Next step", 2),
        ("All forward", 4),
        ("Next step", 5),
        ("All back", 9),
        ("Next step", 9),
        ("Previous step", 8),
        ("Restart", 1),
    ):
        tab.get_by_role("button", name=name).click()
        assert tab.evaluate(STEP) == step
    tab.get_by_role("group", name="One window, there and back").focus()
    for key, step in (
        ("ArrowRight", 2),
        ("ArrowRight", 3),
        ("ArrowLeft", 2),
        ("End", 9),
        ("Home", 1),
        ("Control+ArrowRight", 1),
    ):
        tab.keyboard.press(key)
        assert tab.evaluate(STEP) == step
    tab.get_by_role("slider").focus()
    tab.keyboard.press("ArrowRight")
    assert tab.evaluate(STEP) == 2
    assert tab.get_by_role("slider").get_attribute("aria-valuetext") == "2 of 9"


def test_everything_is_reached_with_the_tab_key(tab):
    tab.get_by_role("button", name="Previous step").focus()
    for _ in range(4):
        tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    tab.keyboard.press("Tab")
    focused = "() => document.activeElement."
    assert tab.evaluate(focused + "type") == "range"
    tab.keyboard.press("Tab")
    assert tab.evaluate(focused + "className") == "back-tables"
    tab.keyboard.press("ArrowRight")
    assert tab.evaluate(focused + "className") == "back-tables"
    tab.keyboard.press("Tab")
    assert not tab.evaluate("() => !!document.activeElement.closest('.live')")


def test_a_step_is_spoken_once_the_reader_rests(tab):
    status = tab.locator(".live [role=status]")
    tab.wait_for_timeout(900)
    assert status.text_content() == ""
    tab.get_by_role("button", name="Next step").focus()
    tab.keyboard.press("Enter")
    tab.keyboard.press("Enter")
    assert status.text_content() == ""
    tab.wait_for_timeout(900)
    assert status.text_content().startswith("Forward, window (1, 0): the output 3")
    tab.get_by_role("slider").fill("8")
    said = tab.locator(".back-said").text_content()
    assert said.startswith("Back, window (1, 0), g = −1: each product g·x")
    tab.get_by_role("button", name="Previous step").click()
    said = tab.locator(".back-said").text_content()
    assert said == "Back, window (0, 1), g = 0: nothing is added."


@pytest.mark.parametrize("theme", THEMES)
def test_axe_finds_nothing_at_the_last_step(theme, open_page):
    tab = open_page(PAGE, theme)
    tab.get_by_role("button", name="All back").click()
    assert tab.faults == []
    package = importlib.util.find_spec("axe_playwright_python").origin
    tab.evaluate(Path(package).with_name("axe.min.js").read_text(encoding="utf-8"))
    assert tab.evaluate(AXE) == []


def test_the_colours_follow_the_theme(tab):
    colour = "() => document.querySelector('.back-tables td').style.backgroundColor"
    before = tab.evaluate(colour)
    tab.evaluate("() => { document.documentElement.dataset.theme = 'dark'; }")
    tab.wait_for_function(f"before => ({colour})() !== before", arg=before)


@pytest.mark.parametrize("width", [360, 390])
def test_it_fits_a_phone_and_does_not_jump(width, open_page):
    tab = open_page(PAGE, viewport=PHONE | {"width": width})
    tops, heights = set(), set()
    for step in range(1, 10):
        tab.get_by_role("slider").fill(str(step))
        assert tab.evaluate(WIDER) <= 0
        box = tab.locator(".back-tables").bounding_box()
        for table in tab.locator(".back-tables table").all():
            inner = table.bounding_box()
            assert inner["x"] + inner["width"] <= width
        buttons = tab.locator(".live .live-buttons").bounding_box()
        tops.add(round(box["y"] - buttons["y"]))
        heights.add(round(tab.locator(".live").bounding_box()["height"]))
    assert max(tops) - min(tops) <= 1
    assert max(heights) - min(heights) <= 1
    assert box["height"] < PHONE["height"] - 80


def test_it_works_from_a_folder_and_without_scripts_nothing_is_missing(open_page):
    tab = open_page(PAGE, folder=HTML.as_uri())
    tab.get_by_role("button", name="All back").click()
    assert numbers(tab.evaluate(TABLES)["∂ℓ/∂w"]) == [3, 7, -2, 3]
    assert tab.faults == []
    still = open_page(PAGE, java_script_enabled=False)
    section = still.locator("#one-window-there-and-back")
    assert not section.locator(".live").is_visible()
    assert "[-2.  3.]] [2.]" in section.text_content()
