"""The cover's digit: it goes through the layers by itself, by hand or not at all, computed by the drawing page's engine."""

import pytest
from served import DESK, HTML, PHONE, THEMES

PAGE = "book/index.html"
LAYERS = ["Input", "C1", "S2", "C3", "S4", "C5", "F6", "Output"]
STATE = """() => ({step: LENET5_FIRST.step, digit: LENET5_FIRST.digit, playing: LENET5_FIRST.playing,
    best: LENET5_ENGINE.best(LENET5_FIRST.results.at(-1).values)})"""
FILLED = """() => [...document.querySelectorAll(".first-layers canvas")].map(canvas => {
    const wide = document.createElement("canvas").getContext("2d");
    wide.drawImage(canvas, 0, 0);
    return new Set(wide["getImage" + "Data"](0, 0, canvas.width, canvas.height).data).size > 6;
})"""
"""For each layer, whether its picture has more than its ground, whose colour and gaps have six levels at most."""


def moving(open_page, **options):
    """Open the cover as a reader who allows movement."""
    return open_page(PAGE, reduced_motion="no-preference", **options)


def still(step, digit):
    """What `STATE` gives where nothing moves and the digit is read."""
    return {"step": step, "digit": digit, "playing": False, "best": digit}


def test_the_digit_goes_on_by_itself_until_it_is_stopped(open_page):
    tab = moving(open_page)
    assert tab.evaluate(STATE)["playing"]
    tab.wait_for_function("() => LENET5_FIRST.step === 2")
    assert tab.locator(".first-said").get_attribute("aria-live") == "off"
    tab.get_by_role("button", name="Pause").click()
    step = tab.evaluate(STATE)["step"]
    tab.wait_for_timeout(3000)
    assert tab.evaluate(STATE)["step"] == step
    tab.get_by_role("button", name="Play").click()
    tab.wait_for_function("step => LENET5_FIRST.step === step + 1", arg=step)
    assert tab.faults == []


def test_by_the_keyboard_it_goes_on_and_back_and_to_the_next_digit(open_page):
    tab = moving(open_page)
    tab.get_by_role("button", name="Next").focus()
    said = []
    for step in range(1, len(LAYERS)):
        tab.keyboard.press("ArrowRight")
        assert tab.evaluate(STATE)["step"] == step
        assert tab.locator(".first-now b").text_content() == LAYERS[step]
        said.append(tab.locator(".first-said").text_content())
    assert tab.locator(".first-said").get_attribute("aria-live") == "polite"
    assert len(set(said)) == len(said)
    assert said[-1].endswith("it reads 3.")
    tab.keyboard.press("ArrowRight")
    assert tab.evaluate(STATE) == still(step=0, digit=4)
    tab.keyboard.press("ArrowLeft")
    assert tab.evaluate(STATE) == still(step=7, digit=3)


def test_each_of_the_ten_digits_is_read(open_page):
    tab = open_page(PAGE)
    for _ in range(10):
        found = tab.evaluate(STATE)
        assert found["best"] == found["digit"]
        tab.get_by_role("button", name="Next").click()
        tab.evaluate(
            "() => { while (LENET5_FIRST.step < 7) LENET5_FIRST.place.querySelectorAll('button')[2].click() }"
        )


@pytest.mark.parametrize("theme", THEMES)
def test_where_movement_is_not_wanted_all_is_shown_and_stands_still(
    theme, open_page
):
    tab = open_page(PAGE, theme)
    assert tab.evaluate(FILLED) == [True] * len(LAYERS)
    tab.wait_for_timeout(2600)
    assert tab.evaluate(STATE) == still(step=7, digit=3)


def test_layers_that_were_not_reached_are_empty(open_page):
    tab = open_page(PAGE)
    for _ in range(5):
        tab.get_by_role("button", name="Back").click()
    assert tab.evaluate(FILLED) == [True] * 3 + [False] * 4 + [
        True
    ]  # Its digits are written.


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_digit_ways_and_steps_are_on_the_first_screen(viewport, open_page):
    tab = open_page(PAGE, viewport=viewport)
    for selector in (
        ".first-ways",
        ".first-layers",
        ".first-said",
        ".live-buttons",
    ):
        box = tab.locator(selector).bounding_box()
        assert box["y"] + box["height"] <= viewport["height"], selector
        assert box["x"] + box["width"] <= viewport["width"], selector
    links = tab.locator(".first-ways a").all_text_contents()
    assert links == ["Draw a digit", "Start reading"]
    tab.get_by_role("link", name="Start reading").click()
    tab.wait_for_url("**/01_digits.html")


def test_it_works_from_a_folder_and_a_picture_stands_there_without_scripts(
    open_page,
):
    tab = open_page(PAGE, folder=HTML.as_uri())
    assert tab.evaluate(STATE)["best"] == 3
    assert not tab.locator(".live-still-first").is_visible()
    tab = open_page(PAGE, java_script_enabled=False)
    assert tab.locator(".live-still-first img").is_visible()
    assert not tab.locator(".live").is_visible()


def test_without_its_network_the_picture_stays(open_page):
    tab = open_page("book/references.html")
    tab.route("**/network.js*", lambda route: route.abort())
    tab.goto(tab.url.replace("references", "index"))
    assert tab.locator(".live-still-first img").is_visible()
    assert not tab.locator(".live").is_visible()
