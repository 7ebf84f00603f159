"""The figures: every function draws what it was given, in the book's style, without touching anything else."""

import dataclasses
import functools
import inspect
import re

import made
import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from naive import convolve

from lenet5lib import arithmetic, plots, records
from lenet5lib.lenet1998.codes import DIGITS
from lenet5lib.loops.plain import activation_functions
from lenet5lib.plots import style
from lenet5lib.records import Record
from lenet5lib.spec import (
    KINDS,
    LENET5,
    LENET5_32,
    LENET5_1998,
    TABLE_I,
    Architecture,
    Conv,
    Dense,
    Dropout,
    Flatten,
    Pool,
)

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (11, 28, 28)).astype(np.uint8)
KERNELS = RNG.normal(size=(5, 5, 2, 6))
MAPS = {"C1": RNG.random((28, 28, 6)), "S2": 5 + RNG.random((14, 14, 11))}
VECTORS = {"F6": RNG.random(84), "Output": RNG.random(10)}
OUTPUTS = {
    row.layer: RNG.random(row.output_shape) for row in arithmetic.table(LENET5)
}
POINTS = np.linspace(-4, 4, 41)


def record(epochs=6, resumed_after=(2, 4), dataset_name="the file small.npz"):
    """Return the record of a run in which every metric is a different line."""
    lines = [
        made.epoch(
            n,
            loss=1 / n,
            accuracy=1 - 1 / (n + 1),
            val_loss=1.1 / n,
            val_accuracy=1 - 1 / (n + 2),
            steps=[[100, 2.3], [200, 1.1], [300, 0.4]],
        )
        for n in range(1, epochs + 1)
    ]
    sessions = [{"after_epoch": 0}, *({"after_epoch": n} for n in resumed_after)]
    config = made.config(dataset_name=dataset_name)
    return Record(config, epochs=lines, sessions=sessions)


def worked_convolution():
    image, kernel = (
        np.arange(16.0).reshape(4, 4),
        np.array([[1.0, 0.0], [0.0, -1.0]]),
    )
    result = convolve(
        image[..., np.newaxis], kernel[..., np.newaxis, np.newaxis], np.zeros(1)
    )[..., 0]
    return plots.worked_convolution(image, kernel, result)


FIGURES = {
    "digits": lambda: plots.digits(IMAGES, [str(n) for n in range(11)]),
    "pixels": lambda: plots.pixels(IMAGES[0], slice(6, 13), slice(8, 16)),
    "worked_convolution": worked_convolution,
    "worked_channels": lambda: plots.worked_channels(
        np.ones((4, 5, 2)),
        np.eye(4).reshape(2, 2, 4)[..., :2],
        np.ones((3, 4, 2)),
        -np.ones((3, 4)),
    ),
    "signed_maps": lambda: plots.signed_maps(
        {"one": POINTS[:4].reshape(2, 2), "none": np.zeros((3, 4))}, 1
    ),
    "windows": lambda: plots.windows([(7, 3, 1, 0), (7, 3, 2, 1), (5, 2, 2, 0)]),
    "network": lambda: plots.network(LENET5),
    "layer_shares": lambda: plots.layer_shares(LENET5),
    "receptive_fields": lambda: plots.receptive_fields(
        LENET5, IMAGES[0], ["C1", "S2", "C3", "S4", "C5"]
    ),
    "curves": lambda: plots.curves(record()),
    "long_run": lambda: plots.long_run(
        records.recorded("lenet5-200")["seed-0"], {"chosen": 29}
    ),
    "range_test": lambda: plots.range_test(
        np.geomspace(1e-5, 1, 30), np.linspace(2, 1, 30)
    ),
    "activation_functions": lambda: plots.activation_functions(
        activation_functions(POINTS), POINTS
    ),
    "cumulative_ablation": lambda: plots.cumulative_ablation(
        {"before": np.array([0.011, 0.013]), "after": np.array([0.008, 0.009])},
        {"the paper": 0.0095},
    ),
    "borders": lambda: plots.borders(
        {name: np.subtract.outer(POINTS, POINTS) for name in ("linear", "ReLU")},
        POINTS,
        np.array([[0, 1], [1, 0]]),
        [1, 0],
    ),
    "two_passes": lambda: plots.two_passes(
        {"x": np.ones((2, 2)), "z": np.ones((2, 3)), "y": -np.ones((2, 3))},
        [(np.full((2, 3), 5), np.full((2, 3), 6)), None],
    ),
    "first_steps": lambda: plots.first_steps(
        {"tanh": np.ones((3, 30)), "ReLU": np.ones((3, 30))}
    ),
    "learning_rates": lambda: plots.learning_rates(
        {"falling": np.linspace(0.01, 0, 50), "constant": np.full(50, 0.001)}, 5
    ),
    "confusion": lambda: plots.confusion(
        np.diag([1000] * 10) + np.eye(10, k=1, dtype=int)
    ),
    "intervals": lambda: plots.intervals(
        {"sigmoid": (0.012, 0.010, 0.014), "ReLU": (0.009, 0.007, 0.011)},
        (0.01, 0.012),
    ),
    "kernels": lambda: plots.kernels(KERNELS),
    "feature_maps": lambda: plots.feature_maps(MAPS),
    "vectors": lambda: plots.vectors(VECTORS),
    "network_maps": lambda: plots.network_maps(LENET5, IMAGES[0], OUTPUTS),
    "patches": lambda: plots.patches(np.zeros((2, 3, 6, 5), np.uint8)),
    "throughput": lambda: plots.throughput(
        {"compiled": 4.4, "kernel row at once": 76.0}, {"matrix product": 100.0}
    ),
    "roofline": lambda: plots.roofline(
        {
            ("C1", "keras"): ("convolution", 10.0, 4e10),
            ("C1", "loops"): ("convolution", 10.0, 8e10),
            ("F6", "keras"): ("dense", 2.0, 1e10),
        },
        limit=2e11,
        bandwidth=2e10,
    ),
    "epoch_seconds": lambda: plots.epoch_seconds(
        {"keras-32": (6.0, 5.5, 7.0), "loops-32": (2.7, 2.6, 2.8)}, ["loops-32"]
    ),
    "accuracy_over_seconds": lambda: plots.accuracy_over_seconds(
        {"loops": [(1.0, 0.97), (2.0, 0.99)], "keras": [(4.0, 0.97)]}, 0.99
    ),
    "connection_table": lambda: plots.connection_table(TABLE_I, 6),
    "pictures": lambda: plots.pictures(
        {"digit": IMAGES[:10], "code": DIGITS.reshape(10, 12, 7)}, "0123456789"
    ),
    "rubbish_class": lambda: plots.rubbish_class(
        POINTS, {"j = 3": POINTS**2, "j = 12": POINTS**4}, {"j = 3": POINTS**2}
    ),
}


figure = functools.cache(lambda name: FIGURES[name]())
"""A figure of `FIGURES`, drawn once for all tests that only look at it."""


def texts(drawn):
    """Return every text of a figure that a reader sees."""
    return [
        text.get_text()
        for text in drawn.findobj(mpl.text.Text)
        if text.get_text() and text.get_visible()
    ]


def test_the_package_names_every_figure_and_each_is_drawn_here():
    public = {name: getattr(plots, name) for name in plots.__all__}
    figures = {
        name
        for name, value in public.items()
        if inspect.isfunction(value) and value.__annotations__["return"] == "Figure"
    }
    assert figures == set(FIGURES)
    for part in (
        *("architecture", "backwards", "images", "lines", "maps", "speed"),
        "statistics",
    ):
        module = getattr(plots, part)
        defined = {
            name
            for name, function in inspect.getmembers(module, inspect.isfunction)
            if function.__module__ == module.__name__ and not name.startswith("_")
        }
        assert defined <= figures, "no public helpers beside the figures"


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_drawn_as_png_and_has_something_to_see(name):
    before = dict(mpl.rcParams)
    drawn = FIGURES[name]()
    contents = plots.png(drawn)
    assert dict(mpl.rcParams) == before, "the reader's settings stay as they were"
    assert isinstance(drawn, Figure)
    assert contents.startswith(b"\x89PNG\r\n\x1a\n")
    width = int.from_bytes(contents[16:20], "big")
    assert width == pytest.approx(150 * drawn.get_figwidth(), abs=1)
    artists = [
        [*ax.lines, *ax.patches, *ax.images, *ax.collections, *ax.texts]
        for ax in drawn.axes
    ]
    assert any(artists)
    assert texts(drawn)


@pytest.mark.parametrize("name", ["curves", "network", "confusion"])
def test_an_svg_is_the_same_bytes_every_time(name):
    first = figure(name)
    contents = plots.svg(first)
    assert contents.startswith(b"<?xml")
    assert plots.svg(first) == contents
    assert plots.svg(FIGURES[name]()) == contents
    assert b"<dc:date>" not in contents


def test_the_style_does_not_depend_on_the_readers_settings():
    expected = plots.png(plots.curves(record()))
    with mpl.rc_context(
        {"font.size": 30, "axes.facecolor": "black", "axes.spines.top": True}
    ):
        drawn = plots.curves(record())
        assert (
            to_hex(drawn.axes[0].get_facecolor()) == plots.STYLE["axes.facecolor"]
        )
        assert not drawn.axes[0].spines["top"].get_visible()
    assert plots.png(plots.curves(record())) == expected


@pytest.mark.parametrize("name", ["curves", "network", "confusion"])
def test_a_reader_who_has_latex_on_gets_the_figures_without_it(name):
    with mpl.rc_context({"text.usetex": True}):
        drawn = FIGURES[name]()
        assert not any(text.get_usetex() for text in drawn.findobj(mpl.text.Text))
        assert plots.png(drawn).startswith(b"\x89PNG")


def test_curves_draws_all_four_metrics_against_the_epochs():
    drawn = plots.curves(record(resumed_after=()))
    kept = record()
    for ax, metric in zip(drawn.axes, ("loss", "accuracy"), strict=True):
        training, validation = ax.lines
        for line, column, colour in (
            (training, metric, style.TRAINING),
            (validation, f"val_{metric}", style.VALIDATION),
        ):
            assert list(line.get_xdata()) == [1, 2, 3, 4, 5, 6]
            assert list(line.get_ydata()) == kept.column(column)
            assert to_hex(line.get_color()) == colour
        assert [text.get_text() for text in ax.get_legend().get_texts()] == [
            "training",
            "validation",
        ]
    assert drawn.axes[0].get_ylabel() == "loss (nats/image)"


@pytest.mark.parametrize("resumed_after", [(), (3,), (1, 2, 5)])
def test_curves_marks_each_resume_point_once_in_each_panel(resumed_after):
    for ax in plots.curves(record(resumed_after=resumed_after)).axes:
        marks = [
            line for line in ax.lines if to_hex(line.get_color()) == style.MARK
        ]
        assert [list(mark.get_xdata()) for mark in marks] == [
            [n + 0.5, n + 0.5] for n in resumed_after
        ]
        legend = [text.get_text() for text in ax.get_legend().get_texts()]
        assert legend.count("resumed") == (1 if resumed_after else 0)


def test_curves_names_the_data():
    drawn = plots.curves(record(dataset_name="stand-in (not MNIST)"))
    assert any("stand-in (not MNIST)" in text for text in texts(drawn))


@pytest.mark.parametrize("epochs", [1, 40])
def test_curves_of_one_epoch_and_of_many(epochs):
    drawn = plots.curves(record(epochs, resumed_after=()))
    assert plots.png(drawn)
    assert len(drawn.axes[0].lines[0].get_xdata()) == epochs


def test_network_maps_shows_every_map_in_the_colour_of_its_kind_of_layer():
    (ax,) = figure("network_maps").axes
    shown = [picture.get_array() for picture in ax.images]
    assert len(shown) == 1 + 6 + 6 + 16 + 16 + 3
    np.testing.assert_array_equal(shown[0], IMAGES[0])
    np.testing.assert_array_equal(shown[8], OUTPUTS["S2"][..., 1])
    np.testing.assert_array_equal(shown[-1], [OUTPUTS["Output"]])
    limits = {picture.get_clim() for picture in ax.images[1:7]}
    assert limits == {(OUTPUTS["C1"].min(), OUTPUTS["C1"].max())}
    colours = [to_hex(picture.cmap(1.0)) for picture in ax.images[::6]]
    kinds = "input", "convolution", "pooling", "convolution", "convolution"
    assert colours[:5] == [plots.COLOURS[kind] for kind in kinds]
    assert texts(figure("network_maps"))[-10:] == list("0123456789")
    assert "C3\n10×10×16" in texts(figure("network_maps"))


def test_digits_stand_in_rows_with_their_captions():
    drawn = plots.digits(IMAGES, [f"no. {n}" for n in range(11)], columns=4)
    shown = [ax for ax in drawn.axes if ax.images]
    assert (len(shown), len(drawn.axes)) == (11, 12)
    np.testing.assert_array_equal(shown[10].images[0].get_array(), IMAGES[10])
    assert [ax.get_xlabel() for ax in shown] == [f"no. {n}" for n in range(11)]
    assert shown[0].images[0].get_clim() == (0, 255)
    assert shown[0].images[0].get_cmap().name == "gray_r"
    assert not any(text.startswith("no.") for text in texts(plots.digits(IMAGES)))


def test_pixels_writes_the_number_of_every_enlarged_pixel():
    part = plots.pixels(IMAGES[0], slice(6, 13), slice(8, 16)).axes[1]
    numbers = [int(text.get_text()) for text in part.texts]
    assert numbers == IMAGES[0][6:13, 8:16].ravel().tolist()
    assert part.get_xlabel() == "rows 6–12, columns 8–15"


def test_numbers_are_written_in_ink_that_contrasts_with_their_cell():
    image = np.zeros((28, 28), np.uint8)
    image[0, 1] = 255
    part = plots.pixels(image, slice(0, 1), slice(0, 2)).axes[1]
    assert [text.get_color() for text in part.texts] == ["black", "white"]


def test_windows_draws_each_position_of_each_case():
    ax = plots.windows([(7, 3, 2, 0), (5, 3, 1, 1)]).axes[0]
    blue = [
        patch
        for patch in ax.patches
        if to_hex(patch.get_facecolor()) == plots.COLOURS["convolution"]
    ]
    assert [round(patch.get_x() - 0.06) for patch in blue] == [
        0,
        2,
        4,
        -1,
        0,
        1,
        2,
        3,
    ]
    written = [text.get_text() for text in ax.texts]
    assert "i = 7, k = 3, s = 2, p = 0:  o = 3" in written
    assert "i = 5, k = 3, s = 1, p = 1:  o = 5" in written


@pytest.mark.parametrize(
    "architecture", [LENET5, LENET5_32], ids=["28×28", "32×32"]
)
def test_the_network_is_drawn_from_its_specification(architecture):
    written = texts(plots.network(architecture))
    for layer in architecture.layers:
        assert (layer.name in written) == (not isinstance(layer, Flatten))
    for expected in ("28×28×6\n156", "10×10×16\n2,416", "84\n10,164", "10\n850"):
        assert expected in written
    assert "6\u00d728" not in written


def test_the_network_of_1998_is_drawn_with_its_kinds_and_without_dropout():
    after = (*LENET5_1998.layers[:6], Dropout("D", 0.5), *LENET5_1998.layers[6:])
    for layers in (LENET5_1998.layers, after):
        architecture = dataclasses.replace(LENET5_1998, layers=layers)
        written = texts(plots.network(architecture))
        for expected in (
            "14×14×6\n12",
            "10×10×16\n1,516",
            "1×1×120\n48,120",
            "10\n0",
        ):
            assert expected in written
        assert {"convolution", "subsampling", "dense", "RBF"} <= set(written)
        assert not {"D", "Flatten", "pooling"} & set(written)


def test_another_architecture_gives_another_drawing():
    changed = LENET5.change("C3", filters=4)
    assert "10×10×4\n604" in texts(plots.network(changed))
    assert plots.svg(plots.network(changed)) != plots.svg(plots.network(LENET5))


def test_an_architecture_that_is_no_lenet_can_be_drawn():
    other = Architecture(
        "rectangles",
        (9, 30, 3),
        (
            Conv("A", 40, (3, 1), padding="same"),
            Pool("B", "max", (1, 2)),
            Flatten(),
            Dense("C", 3),
        ),
    )
    drawn = plots.network(other)
    assert plots.png(drawn)
    assert "9×30×40\n400" in texts(drawn)


def test_layer_shares_are_shares_of_the_totals():
    drawn = plots.layer_shares(LENET5)
    parameters, macs = (
        [bar.get_width() for bar in ax.patches] for ax in drawn.axes
    )
    np.testing.assert_allclose(
        parameters, np.array([156, 2_416, 48_120, 10_164, 850]) / 617.06
    )
    np.testing.assert_allclose(
        macs, np.array([117_600, 240_000, 48_000, 10_080, 840]) / 4165.20
    )
    assert drawn.axes[0].get_xlabel() == "share of 61,706 parameters (%)"
    assert drawn.axes[0].get_ylim()[0] > drawn.axes[0].get_ylim()[1]


def test_receptive_fields_are_framed_in_their_size():
    drawn = plots.receptive_fields(LENET5, IMAGES[0], ["C1", "S4"])
    frames = [
        (ax.patches[0].get_width(), ax.patches[0].get_height()) for ax in drawn.axes
    ]
    assert frames == [(5, 5), (16, 16)]
    assert [ax.get_xlabel() for ax in drawn.axes] == ["C1: 5 × 5", "S4: 16 × 16"]


def test_a_long_run_draws_the_watched_test_set_and_every_mark():
    kept = record(30)
    marked = {name: n for n, name in enumerate("abcd", 1)}
    for checksum, names in ((None, 2), ("of the test set", 3)):
        info = dataclasses.replace(kept.config.data, test_checksum=checksum)
        kept.config = dataclasses.replace(kept.config, data=info)
        for epoch in kept.epochs:
            epoch |= {
                "test_loss": 0.5,
                "test_accuracy": 1 - (epoch["epoch"] > 1) / 50,
            }
        left, right = plots.long_run(kept, marked).axes
        assert len(left.lines) == len(right.lines) == names + 4
        assert [line.get_xdata()[0] for line in left.lines[names:]] == [1, 2, 3, 4]
    np.testing.assert_allclose(right.lines[2].get_ydata()[:3], [np.nan, 2, 2])


def test_lines_and_marks_beyond_the_palette_are_drawn_too():
    rates = {str(n): np.full(5, 0.1 * n) for n in range(7)}
    assert len(plots.learning_rates(rates, 5).axes[0].lines) == 7


def test_range_test_draws_each_step_and_the_mean_of_every_ten():
    ax = figure("range_test").axes[0]
    assert ax.get_xscale() == "log"
    assert [len(line.get_xdata()) for line in ax.lines] == [30, 3]


def test_activation_functions_stand_beside_their_derivatives():
    values, derivatives = figure("activation_functions").axes
    for n, name in enumerate(("sigmoid", "tanh", "relu")):
        expected = activation_functions(POINTS)[name]
        np.testing.assert_array_equal(values.lines[n].get_ydata(), expected[0])
        np.testing.assert_array_equal(derivatives.lines[n].get_ydata(), expected[1])
    assert (values.get_ylabel(), derivatives.get_ylabel()) == (
        "output",
        "derivative",
    )


def test_activation_functions_without_derivatives_have_one_panel():
    (ax,) = plots.activation_functions({"tanh": [np.tanh(POINTS)]}, POINTS).axes
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), np.tanh(POINTS))


def test_borders_lie_where_the_output_is_0_and_points_are_filled_by_their_target():
    left, right = figure("borders").axes
    assert [ax.get_xlabel() for ax in (left, right)] == [
        "$x_0$\nlinear",
        "$x_0$\nReLU",
    ]
    (path,) = left.collections[1].get_paths()
    np.testing.assert_allclose(path.vertices[:, 0], path.vertices[:, 1])
    fills = [line.get_markerfacecolor() for line in left.lines]
    assert fills == [plots.style.INK, "white"]


def test_a_cumulative_ablation_shows_every_seed_its_mean_and_its_spread():
    (ax,) = figure("cumulative_ablation").axes
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(
        [line.get_xdata() for line in dots], [[1.1, 1.3], [0.8, 0.9]]
    )
    assert [text.get_text() for text in ax.get_yticklabels()] == ["before", "after"]
    assert [text.get_text() for text in ax.texts] == ["1.20 ± 0.14", "0.85 ± 0.07"]
    upper, lower = ax.get_ylim()
    assert upper > lower, "the first row is at the top"


def test_learning_rates_are_drawn_over_epochs():
    (ax,) = figure("learning_rates").axes
    falling, constant = ax.lines
    assert (falling.get_xdata()[0], falling.get_xdata()[-1]) == (0, 5)
    np.testing.assert_allclose(falling.get_ydata(), np.linspace(0.01, 0, 50))
    assert set(constant.get_ydata()) == {0.001}


def test_confusion_writes_every_count_and_colours_only_mistakes():
    matrix = np.diag(np.arange(1000, 1010))
    matrix[4, 9] = 7
    ax = plots.confusion(matrix).axes[0]
    written = {text.get_position(): text.get_text() for text in ax.texts}
    assert len(written) == 100
    assert (written[9, 4], written[4, 9], written[3, 3]) == ("7", "·", "1,003")
    coloured = ax.images[0].get_array()
    assert np.argwhere(coloured > 0).tolist() == [[4, 9]]


def test_a_confusion_matrix_without_mistakes_can_be_drawn():
    assert plots.png(plots.confusion(np.diag([5] * 10)))


def test_intervals_are_drawn_in_per_cent():
    ax = figure("intervals").axes[0]
    np.testing.assert_allclose(ax.lines[0].get_xdata(), [1.0, 1.4])
    np.testing.assert_allclose(ax.lines[3].get_xdata(), [0.9])
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "sigmoid",
        "ReLU",
    ]
    assert ax.get_xlim()[0] == 0


def test_kernels_share_one_scale_with_zero_in_its_middle():
    drawn = plots.kernels(KERNELS)
    shown = [ax.images[0] for ax in drawn.axes]
    assert len(shown) == 12
    np.testing.assert_array_equal(shown[8].get_array(), KERNELS[:, :, 1, 2])
    limit = np.abs(KERNELS).max()
    assert {image.get_clim() for image in shown} == {(-limit, limit)}


def test_feature_maps_shows_every_map_of_every_layer_on_its_layers_scale():
    drawn = plots.feature_maps(MAPS, columns=8)
    shown = [ax.images[0] for ax in drawn.axes if ax.images]
    assert len(shown) == 17
    np.testing.assert_array_equal(shown[16].get_array(), MAPS["S2"][..., 10])
    assert shown[0].get_clim() == (MAPS["C1"].min(), MAPS["C1"].max())
    assert shown[16].get_clim() == (MAPS["S2"].min(), MAPS["S2"].max())
    assert [text for text in texts(drawn) if not text.isdigit()] == ["C1", "S2"]


def test_vectors_draws_a_bar_for_each_unit():
    for ax, values in zip(
        plots.vectors(VECTORS).axes, VECTORS.values(), strict=True
    ):
        np.testing.assert_array_equal(
            [bar.get_height() for bar in ax.patches], values
        )


DRAWN = ("convolution", "pooling", "subsampling", "dense", "rbf")


def luminance(colour):
    """Return the relative luminance of #rrggbb, as WCAG defines it."""
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in parts
    ]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


@pytest.mark.parametrize("kind", DRAWN)
def test_the_colour_of_a_kind_stands_out_from_the_figures_ground(kind):
    ground = luminance(plots.STYLE["figure.facecolor"]) + 0.05
    assert ground / (luminance(plots.COLOURS[kind]) + 0.05) > 3


def test_every_kind_of_layer_has_its_colour():
    assert set(plots.COLOURS) == {
        "input",
        "convolution",
        "pooling",
        "subsampling",
        "flatten",
        "dropout",
        "dense",
        "rbf",
    }
    assert set(plots.COLOURS) == {"input", *KINDS}
    assert all(
        re.fullmatch("#[0-9a-f]{6}", colour) for colour in plots.COLOURS.values()
    )
    assert len(
        {colour for kind, colour in plots.COLOURS.items() if kind in DRAWN}
    ) == len(DRAWN)


def test_the_roofline_has_every_layer_of_each_engine_and_both_limits():
    found = list(texts(figure("roofline")))
    assert {"F6", "matrix product", "memory", "TensorFlow", "loops"} <= set(found)
    assert found.count("C1") == 2


def test_the_throughput_of_each_program_stands_on_its_bar():
    assert {"4.4", "76", "matrix product"} <= set(texts(figure("throughput")))


def test_the_seconds_of_each_program_stand_on_its_bar():
    assert {"6.0 s", "2.7 s"} <= set(texts(figure("epoch_seconds")))


def test_a_connection_table_fills_a_cell_for_each_kernel_and_counts_them():
    ax = figure("connection_table").axes[0]
    blue = {
        (round(cell.get_x() + 0.44), round(cell.get_y() + 0.44))
        for cell in ax.patches
        if to_hex(cell.get_facecolor(), keep_alpha=True)
        == plots.COLOURS["convolution"] + "ff"
    }
    assert len(ax.patches) == 96
    assert blue == {(m, source) for m, row in enumerate(TABLE_I) for source in row}
    written = [text.get_text() for text in ax.texts]
    assert written == [*["3"] * 6, *["4"] * 9, "6", *["10"] * 6, "60"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == (
        "feature map of C3",
        "feature map of S2",
    )


def test_pictures_show_codes_from_paper_to_ink_and_digits_from_0_to_255():
    shown = [ax for ax in figure("pictures").axes if ax.images]
    assert len(shown) == 20
    np.testing.assert_array_equal(shown[3].images[0].get_array(), IMAGES[3])
    assert shown[3].images[0].get_clim() == (0, 255)
    code = shown[13].images[0]
    np.testing.assert_array_equal(code.get_array(), DIGITS[3].reshape(12, 7))
    assert (code.get_clim(), code.get_cmap().name) == ((-1, 1), "gray_r")
    assert [ax.get_xlabel() for ax in shown[10:]] == list("0123456789")
    assert (shown[0].get_ylabel(), shown[10].get_ylabel()) == ("digit", "code")


def test_the_rubbish_class_is_drawn_as_losses_and_gradients_against_distances():
    left, right = figure("rubbish_class").axes
    np.testing.assert_array_equal(left.lines[1].get_ydata(), POINTS**4)
    np.testing.assert_array_equal(right.lines[0].get_xdata(), POINTS)
    assert len(right.lines) == 1
    assert left.get_ylabel() == "loss (nats/image)"


def test_two_passes_writes_two_numbers_at_each_unit_and_each_weight():
    found = texts(figure("two_passes"))
    written = [found.count(number) for number in ("1.00", "−1.00", "5.00", "6.00")]
    assert written == [2 * 2 + 2 * 3, 2 * 3, 6, 6]
    (ax,) = figure("two_passes").axes
    assert sum(len(line.get_xdata()) == 2 for line in ax.lines) == 6 + 3
