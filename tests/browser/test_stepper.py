"""The stepper in chapter 2: its sums are the library's convolution, its terms the formula's, by pointer and by keyboard."""

import numpy as np
import pytest
from served import PHONE

from lenet5lib import arithmetic
from lenet5lib.loops import plain

PAGE = "book/02_convolution.html"
STATE = """() => {
    const {state, sumAt, outputSide} = LENET5_STEPPER, side = outputSide();
    return {side, kernel: state.kernel, size: state.side, bias: state.bias, stride: state.stride,
            padding: state.padding, at: state.at,
            digit: Array.from(LENET5_STEPPER.images[state.digit]),
            sums: Array.from({length: side * side}, (_, n) => sumAt(n))};
}"""


@pytest.fixture
def tab(open_page):
    found = open_page(PAGE)
    found.wait_for_selector(".live:not([hidden])")
    return found


def assert_is_the_librarys(found):
    """Assert that the stepper's output is that of the loop, and its side that of equation (2.2)."""
    image = np.array(found["digit"]).reshape(28, 28) / 255
    kernel = np.reshape(found["kernel"], (1, 1, found["size"], found["size"]))
    padded = np.pad(image, found["padding"])[np.newaxis]
    expected = plain.convolve(
        padded, kernel, np.array([found["bias"]]), stride=found["stride"]
    )
    assert found["side"] == arithmetic.output_size(
        28, found["size"], found["stride"], found["padding"]
    )
    np.testing.assert_allclose(
        np.array(found["sums"]).reshape(expected.shape[1:]),
        expected[0],
        atol=1e-6,
    )


@pytest.mark.parametrize("kernel", ["0", "1", "2", "3", "5", "10"])
@pytest.mark.parametrize(
    ("stride", "padding"), [("1", "0"), ("2", "1"), ("3", "2"), ("1", "2")]
)
def test_every_sum_is_that_of_the_librarys_loop(kernel, stride, padding, tab):
    tab.get_by_label("Kernel").select_option(kernel)
    tab.get_by_label("Stride s").select_option(stride)
    tab.get_by_label("Padding p").select_option(padding)
    found = tab.evaluate(STATE)
    assert_is_the_librarys(found)
    bold = tab.locator(".step-size b").all_text_contents()
    expected = [found["padding"], found["size"], found["stride"], found["side"]]
    assert [int(text) for text in bold] == expected


def test_the_shown_products_add_up_to_the_shown_sum(tab):
    tab.get_by_label("Kernel").select_option("5")
    tables = tab.locator(".step-top table")
    products = tables.last.locator("td").all_text_contents()
    assert len(products) == 25
    total = sum(float(text.replace("−", "-")) for text in products)
    bias, rest, y = (
        float(text.replace("−", "-"))
        for text in tab.locator(".step-equation b").all_text_contents()[-3:]
    )
    assert total == pytest.approx(rest, abs=0.13) or total == pytest.approx(
        -rest, abs=0.13
    )
    found = tab.evaluate(STATE)
    assert y == pytest.approx(found["sums"][found["at"]], abs=0.006)
    assert bias == pytest.approx(found["bias"], abs=0.006)


def test_a_changed_kernel_changes_the_output_and_the_field_keeps_the_focus(tab):
    before = tab.evaluate(STATE)["sums"]
    field = tab.get_by_label("w, row 1, column 1")
    field.fill("2.5")
    assert field.evaluate("node => node === document.activeElement")
    found = tab.evaluate(STATE)
    assert found["kernel"][4] == 2.5
    assert found["sums"] != before
    assert_is_the_librarys(found)


def test_the_window_is_moved_by_keyboard_buttons_and_slider(tab):
    at = "() => LENET5_STEPPER.state.at"
    start = tab.evaluate(at)
    tab.get_by_label("Input with the window").focus()
    for key, change in (
        ("ArrowRight", 1),
        ("ArrowDown", 26),
        ("ArrowLeft", -1),
        ("ArrowUp", -26),
    ):
        before = tab.evaluate(at)
        tab.keyboard.press(key)
        assert tab.evaluate(at) == before + change
    assert tab.evaluate(at) == start
    tab.keyboard.press("Home")
    assert tab.evaluate(at) == 0
    tab.keyboard.press("ArrowUp")
    assert tab.evaluate(at) == 0
    tab.get_by_role("button", name="One row down").click()
    tab.get_by_role("button", name="One position on").click()
    assert tab.evaluate(at) == 27
    tab.get_by_role("slider").fill("100")
    assert tab.evaluate(at) == 100
    tab.get_by_label("Output with the cell").focus()
    tab.keyboard.press("End")
    assert tab.evaluate(at) == 675


def test_it_moves_by_itself_only_when_told_and_stops(tab):
    at = "() => LENET5_STEPPER.state.at"
    start = tab.evaluate(at)
    tab.wait_for_timeout(400)
    assert tab.evaluate(at) == start
    assert tab.get_by_label("Speed").input_value() == "600"
    tab.get_by_label("Speed").select_option("40")
    tab.get_by_role("button", name="Play").click()
    tab.wait_for_function(f"() => LENET5_STEPPER.state.at > {start + 3}")
    tab.get_by_role("button", name="Pause").click()
    stopped = tab.evaluate(at)
    tab.wait_for_timeout(200)
    assert tab.evaluate(at) == stopped


def test_pointing_at_the_output_moves_the_window_there(tab):
    tab.get_by_label("Output with the cell").hover(position={"x": 45, "y": 13})
    found = tab.evaluate(STATE)
    assert (
        divmod(found["at"], found["side"]) == (1, 5)
        or found["at"] // found["side"] == 1
    )


def test_the_chapters_notebook_holds_no_widget_and_keeps_its_still_figures(tab):
    assert tab.locator("figure img").count() >= 2
    assert tab.faults == []


def test_it_fits_a_phone(open_page):
    tab = open_page(PAGE, viewport=PHONE)
    tab.get_by_label("Kernel").select_option("5")
    assert (
        tab.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0
    )
    for canvas in tab.locator(".live canvas").all():
        box = canvas.bounding_box()
        assert 150 < box["width"] < 380
        assert box["width"] == pytest.approx(box["height"], abs=2)


def middle(tab):
    """Return row and column of the pixel in the middle of the window."""
    found = tab.evaluate(STATE)
    row, column = divmod(found["at"], found["side"])
    shift = (found["size"] - 1) / 2 - found["padding"]
    return row * found["stride"] + shift, column * found["stride"] + shift


@pytest.mark.parametrize(
    ("label", "option"),
    [("Padding p", "2"), ("Padding p", "1"), ("Stride s", "2"), ("Kernel", "5")],
)
def test_a_changed_setting_leaves_the_window_where_it_is(label, option, tab):
    tab.get_by_role("slider").fill("310")
    before = middle(tab)
    tab.get_by_label(label).select_option(option)
    assert np.abs(np.subtract(middle(tab), before)).max() <= 1


def test_the_bias_is_added_and_a_kernel_brings_its_own(tab):
    before = tab.evaluate(STATE)["sums"]
    tab.get_by_label("Bias b").fill("-2")
    found = tab.evaluate(STATE)
    np.testing.assert_allclose(found["sums"], np.subtract(before, 2), atol=1e-9)
    tab.get_by_label("Kernel").select_option("5")
    trained = tab.evaluate(STATE)["bias"]
    assert float(tab.get_by_label("Bias b").input_value()) == trained != -2


def test_it_stands_under_a_heading_in_the_contents(tab):
    assert tab.locator("#step-through-it .live").count() == 1
    assert tab.locator("a[href='#step-through-it']").count() >= 1


@pytest.mark.parametrize("kernel", ["0", "5"])
def test_pictures_and_products_fit_one_screen(kernel, tab):
    tab.get_by_label("Kernel").select_option(kernel)
    box = tab.locator(".live").bounding_box()
    assert box["height"] <= 900 - 80  # Below the page's bar.
    side = tab.locator(".step-side").bounding_box()
    assert side["x"] > tab.locator(".live canvas").first.bounding_box()["x"] + 200
