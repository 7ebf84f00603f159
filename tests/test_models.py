"""The Keras models: what `build` makes, what `confirm` lets pass and what it refuses, and what a model answers."""

import dataclasses
import inspect
import os
import re

import keras
import naive
import numpy as np
import pytest
import tensorflow as tf

from lenet5lib import arithmetic, data, models
from lenet5lib.data import Digits
from lenet5lib.evaluation import evaluate
from lenet5lib.lenet1998 import layers
from lenet5lib.models import ConfirmationError
from lenet5lib.spec import (
    LENET5,
    LENET5_32,
    LENET5_1998,
    RBF,
    TABLE_I,
    Architecture,
    Conv,
    Dense,
    Dropout,
    Flatten,
    Pool,
    Subsample,
)
from lenet5lib.studies.article import ArticleLeNet5, ArticleModel
from lenet5lib.training import loop, recipe
from lenet5lib.training.losses import MaximumAPosteriori, MaximumLikelihood

NAMES = ["C1", "S2", "C3", "S4", "Flatten", "C5", "F6", "Output"]
ONE_DIGIT = np.zeros((1, 28, 28, 1), np.float32)


def all_weights(model):
    """Return all weights of a model as one vector."""
    return np.concatenate([weight.ravel() for weight in model.get_weights()])


@pytest.fixture(scope="module")
def lenet5():
    return models.build(LENET5, seed=1)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (5, 28, 28)).astype(np.uint8)


def test_build_names_the_layers_as_specified(lenet5):
    assert [layer.name for layer in lenet5.layers] == ["Input", *NAMES]
    assert lenet5.input_shape == (None, 28, 28, 1)
    assert lenet5.output_shape == (None, 10)


def test_the_ten_lines_make_the_network_that_build_makes(lenet5, images):
    plain = models.lenet5()
    assert set(models.confirm(plain, LENET5)["verdict"]) == {"agrees"}
    configs = [
        [one.get_config() for one in model.layers[-8:]] for model in (plain, lenet5)
    ]
    assert configs[0] == configs[1]
    assert (models.predict(plain, images) != models.predict(lenet5, images)).all()
    plain.set_weights(lenet5.get_weights())
    np.testing.assert_array_equal(
        models.predict(plain, images), models.predict(lenet5, images)
    )


def test_the_short_form_is_ten_lines_and_imports_only_keras():
    source = inspect.getsource(inspect.getmodule(models.lenet5))
    body = inspect.getsource(models.lenet5)
    calls = re.findall(
        r"^ +(?:return )?(?:keras|layers)\.\w+\(", body, re.MULTILINE
    )
    assert len(calls) == 10
    assert re.findall(r"^(?:import|from) .*", source, re.MULTILINE) == [
        "import keras",
        "from keras import layers",
    ]


def test_build_takes_every_choice_from_the_specification():
    architecture = Architecture(
        "choices",
        (9, 8, 2),
        (
            Conv("A", 3, (3, 2), stride=(2, 1), padding="same", activation="tanh"),
            Pool("B", mode="max", size=(2, 3), stride=1, padding="same"),
            Pool("C", size=2),
            Flatten("D"),
            Dense("E", 4, activation="relu"),
        ),
    )
    model = models.build(architecture)
    a, b, c, e = (model.get_layer(name) for name in "ABCE")
    assert (a.filters, a.kernel_size, a.strides, a.padding) == (
        3,
        (3, 2),
        (2, 1),
        "same",
    )
    assert (type(b), b.pool_size, b.strides, b.padding) == (
        keras.layers.MaxPooling2D,
        (2, 3),
        (1, 1),
        "same",
    )
    assert (type(c), c.pool_size, c.strides, c.padding) == (
        keras.layers.AveragePooling2D,
        (2, 2),
        (2, 2),
        "valid",
    )
    assert (a.activation, e.activation) == (
        keras.activations.tanh,
        keras.activations.relu,
    )


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    first, again, other = (
        all_weights(models.build(LENET5, seed)) for seed in (3, 3, 4)
    )
    assert (first == again).all()
    assert np.mean(first == other) < 0.01


def test_layers_do_not_share_their_initial_weights():
    two = Architecture(
        "two", (4, 4, 1), (Flatten(), Dense("A", 16), Dense("B", 16))
    )
    a, b = (models.build(two).get_layer(name).get_weights()[0] for name in "AB")
    assert not np.allclose(a, b)


def test_biases_start_at_zero_and_weights_within_glorots_bound(lenet5):
    for name in ("C1", "C3", "C5", "F6", "Output"):
        kernel, bias = lenet5.get_layer(name).get_weights()
        window = np.prod(kernel.shape[:-2])
        bound = np.sqrt(6 / (window * (kernel.shape[-2] + kernel.shape[-1])))
        assert not bias.any()
        assert 0.8 * bound < np.abs(kernel).max() <= bound


def fan_in_and_out(kernel: np.ndarray) -> tuple[int, int]:
    """Return how many numbers feed a unit, and how many units a number feeds, counted from a kernel's shape."""
    window = np.prod(kernel.shape[:-2], dtype=int)
    return window * kernel.shape[-2], window * kernel.shape[-1]


@pytest.mark.parametrize("seed", [0, 1])
def test_hes_numbers_are_uniform_within_the_root_of_six_over_the_fan_in(seed):
    model = models.build(LENET5.with_hidden_activation("relu"), seed, "he")
    for name, (kernel, bias) in models.weights(model).items():
        fan_in, _ = fan_in_and_out(kernel)
        assert (
            fan_in
            == {"C1": 25, "C3": 150, "C5": 400, "F6": 120, "Output": 84}[name]
        )
        bound = np.sqrt(6 / fan_in)
        assert 0.9 * bound < np.abs(kernel).max() <= np.float32(bound)
        # A uniform distribution of this half-width has the variance 2 / fan-in.
        error = 4 * bound / np.sqrt(kernel.size)
        assert abs(kernel.mean()) < error
        assert kernel.std() == pytest.approx(np.sqrt(2 / fan_in), abs=error / 2)
        assert not bias.any()


def drawn(architecture, kernel_initializer=None, seed=7):
    """Return the first weights as bytes, and the kernels by name."""
    model = models.build(architecture, seed, kernel_initializer)
    kernels = {name: pair[0] for name, pair in models.weights(model).items()}
    return all_weights(model).tobytes(), kernels


def test_by_default_each_activation_has_the_initial_weights_that_it_always_had():
    tanh = LENET5.with_hidden_activation("scaled_tanh")
    for architecture in (LENET5, LENET5.with_hidden_activation("relu")):
        usual, kernels = drawn(architecture)
        assert usual == drawn(architecture, "glorot")[0]
        assert usual != drawn(architecture, "he")[0]
        kernel = kernels["C3"]
        bound = np.sqrt(6 / sum(fan_in_and_out(kernel)))
        assert 0.95 * bound < np.abs(kernel).max() <= np.float32(bound)
    # The paper's, 2.4 over the fan-in, where a layer squashes as the paper's do; the output does not.
    usual, kernels = drawn(tanh)
    given, _ = drawn(tanh, "lecun-1998")
    for name in ("C1", "C3", "C5", "F6"):
        bound = 2.4 / fan_in_and_out(kernels[name])[0]
        assert 0.85 * bound < np.abs(kernels[name]).max() <= np.float32(bound)
    assert usual != given
    np.testing.assert_array_equal(kernels["Output"], drawn(LENET5)[1]["Output"])


def test_glorots_numbers_do_not_depend_on_the_activation():
    tanh = LENET5.with_hidden_activation("scaled_tanh")
    assert drawn(tanh, "glorot")[0] == drawn(LENET5)[0]
    assert drawn(tanh, "glorot")[0] != drawn(tanh)[0]


def by_keras(name, shape, seed):
    """Return the initial kernel that Keras's own random numbers give."""
    if name == "lecun-1998":
        fan_in = np.prod(shape[:-1])
        drawn = keras.random.uniform(shape, -1.0, 1.0, seed=seed)
        return drawn * np.float32(2.4 / fan_in)
    kinds = {
        "glorot": keras.initializers.GlorotUniform,
        "he": keras.initializers.HeUniform,
    }
    return kinds[name](seed=seed)(shape)


@pytest.mark.parametrize("name", recipe.INITIALIZERS)
def test_initial_weights_are_those_of_kerass_own_random_numbers(name):
    _, kernels = drawn(LENET5, name, seed=2)
    for n, layer in enumerate(LENET5.layers):
        if layer.name in kernels:
            expected = by_keras(name, kernels[layer.name].shape, 2000 + n)
            np.testing.assert_array_equal(kernels[layer.name], expected)


def test_an_initializer_that_is_not_known_is_refused():
    with pytest.raises(
        ValueError, match="kernel_initializer is 'xavier'"
    ) as caught:
        models.build(LENET5, 0, "xavier")
    assert all(name in str(caught.value) for name in recipe.INITIALIZERS)


def test_weights_are_kernel_and_bias_of_every_layer_that_has_any(lenet5):
    found = models.weights(lenet5)
    assert {
        name: [array.shape for array in arrays] for name, arrays in found.items()
    } == {
        "C1": [(5, 5, 1, 6), (6,)],
        "C3": [(5, 5, 6, 16), (16,)],
        "C5": [(400, 120), (120,)],
        "F6": [(120, 84), (84,)],
        "Output": [(84, 10), (10,)],
    }
    np.testing.assert_array_equal(found["C3"][0], lenet5.get_layer("C3").kernel)


def test_a_layer_of_unknown_kind_is_refused():
    with pytest.raises(ValueError, match=r"'int'.* expected one of Conv, Pool"):
        models.keras_layer(5)


@pytest.mark.parametrize(
    "architecture", [LENET5, LENET5_32], ids=["28×28", "32×32"]
)
def test_confirm_agrees_with_what_build_built(architecture):
    table = models.confirm(models.build(architecture), architecture)
    assert list(table.index) == [
        *(layer.name for layer in architecture.layers),
        "Total",
    ]
    assert set(table["verdict"]) == {"agrees"}
    assert table.loc[
        "Total", ["derived parameters", "built parameters"]
    ].tolist() == [61_706, 61_706]


def built_by_build():
    model = ArticleLeNet5()
    model.build((None, 28, 28, 1))
    return model


def built_by_a_call():
    model = ArticleLeNet5()
    model(ONE_DIGIT)
    return model


@pytest.mark.parametrize("make", [built_by_build, built_by_a_call])
def test_confirm_agrees_with_the_articles_fixed_class(make):
    table = models.confirm(make(), LENET5)
    assert list(table.index) == [*NAMES, "Total"]
    assert set(table["verdict"]) == {"agrees"}


def test_the_articles_class_and_the_functional_model_predict_the_same(
    lenet5, images
):
    article = built_by_build()
    models.set_initial_weights(article, LENET5, seed=1)
    values = data.prepare(images)
    np.testing.assert_array_equal(article(values), lenet5(values))
    assert (all_weights(article) == all_weights(lenet5)).all()


def without(name):
    return Architecture(
        LENET5.name,
        LENET5.input_shape,
        tuple(x for x in LENET5.layers if x.name != name),
    )


def with_one_more():
    return Architecture(
        LENET5.name,
        LENET5.input_shape,
        (*LENET5.layers[:-1], Dense("F7", 84), LENET5["Output"]),
    )


MUTATIONS = {
    "fewer maps": (
        LENET5.change("C1", filters=5),
        [
            "C1: derived 28×28×5 and 130 parameters, built 28×28×6 and 156 parameters;"
        ],
        ["C1", "S2", "C3", "Total"],
    ),
    "a smaller kernel": (
        LENET5.change("C1", kernel_size=3),
        ["C1: derived 60 parameters, built 156 parameters;"],
        ["C1", "Total"],
    ),
    "no padding": (
        LENET5.change("C1", padding="valid"),
        ["C1: derived 24×24×6, built 28×28×6;"],
        ["C1", "S2", "C3", "S4", "Flatten", "C5", "Total"],
    ),
    "fewer units": (
        LENET5.change("F6", units=83),
        ["F6: derived 83 and 10,043 parameters, built 84 and 10,164 parameters;"],
        ["F6", "Output", "Total"],
    ),
    "another stride": (
        LENET5.change("S4", stride=1),
        ["S4: derived 9×9×16, built 5×5×16;"],
        ["S4", "Flatten", "C5", "Total"],
    ),
    "a missing layer": (
        without("F6"),
        ["F6: derived nothing, built 84 and 10,164 parameters;"],
        ["Output", "F6", "Total"],
    ),
    "an additional layer": (
        with_one_more(),
        ["F7: derived 84 and 7,140 parameters, built nothing;"],
        ["F7", "Total"],
    ),
}


@pytest.mark.parametrize("case", MUTATIONS)
def test_confirm_names_each_layer_that_a_wrong_specification_gets_wrong(
    case, lenet5
):
    wrong, found, layers = MUTATIONS[case]
    with pytest.raises(ConfirmationError) as caught:
        models.confirm(lenet5, wrong)
    text, table = str(caught.value), caught.value.table
    named = [f"{layer}: " for layer in layers]
    assert text.startswith(f"the model is not {LENET5.name}. {named[0]}")
    assert text.endswith(" parameters. Correct the specification or the model.")
    assert [part for part in named if part in text] == named
    assert text.count("; ") == len(layers) - 1
    for line in found:
        assert line in text
    assert sorted(table.index[table["verdict"] != "agrees"]) == sorted(layers)


def test_the_table_of_a_confirmation_error_holds_both_sides_of_every_row(lenet5):
    with pytest.raises(ConfirmationError) as caught:
        models.confirm(lenet5, with_one_more())
    table = caught.value.table
    assert set(table.index) == {*NAMES, "F7", "Total"}
    assert table.loc["C3"].tolist() == [
        "10×10×16",
        "10×10×16",
        2_416,
        2_416,
        "agrees",
    ]
    assert table.loc[
        "F7", ["derived shape", "built shape", "derived parameters"]
    ].tolist() == ["84", "", 7_140]
    assert table["built parameters"].isna()["F7"]
    assert table.loc["Total"].tolist() == [
        "",
        "",
        61_706 + 7_140,
        61_706,
        "parameters differ",
    ]


def test_a_model_that_was_never_built_is_not_confirmed():
    with pytest.raises(ConfirmationError) as caught:
        models.confirm(ArticleModel(), LENET5)
    table = caught.value.table
    assert set(table["verdict"][:-1]) == {"shape unknown"}
    assert "Total: derived 61,706 parameters, built nothing." in str(caught.value)


def shapes_in_summary(text):
    """Return the output shapes that a summary prints, by layer."""
    rows = [line.split("│") for line in text.splitlines() if line.startswith("│")]
    return {row[1].split()[0]: row[2].strip() for row in rows}


def test_the_articles_class_prints_question_marks_for_pooling_until_it_is_fixed():
    former = ArticleModel()
    former(ONE_DIGIT)
    shapes = shapes_in_summary(models.summary_text(former))
    assert list(shapes) == NAMES
    assert [name for name, shape in shapes.items() if shape == "?"] == ["S2", "S4"]
    with pytest.raises(
        ConfirmationError, match="S2: derived 14×14×6, built an unknown"
    ):
        models.confirm(former, LENET5)


@pytest.mark.parametrize("make", [built_by_build, built_by_a_call])
def test_the_fixed_class_prints_every_shape(make):
    text = models.summary_text(make())
    assert "?" not in text
    assert shapes_in_summary(text) == {
        "C1": "(None, 28, 28, 6)",
        "S2": "(None, 14, 14, 6)",
        "C3": "(None, 10, 10, 16)",
        "S4": "(None, 5, 5, 16)",
        "Flatten": "(None, 400)",
        "C5": "(None, 120)",
        "F6": "(None, 84)",
        "Output": "(None, 10)",
    }
    assert "Total params: 61,706" in text


def test_after_training_the_summary_counts_the_optimizer_but_the_model_does_not():
    model = built_by_build()
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(np.zeros((8, 28, 28, 1), np.float32), np.zeros(8), verbose=0)
    text = models.summary_text(model)
    assert "Total params: 185,120 " in text
    assert "Trainable params: 61,706 " in text
    assert "Optimizer params: 123,414 " in text
    assert model.count_params() == 61_706
    assert set(models.confirm(model, LENET5)["verdict"]) == {"agrees"}


def test_a_summary_is_80_columns_wide_wherever_it_is_printed(lenet5, monkeypatch):
    texts = []
    for columns in (None, "40", "200"):
        monkeypatch.delenv("COLUMNS", raising=False)
        if columns is not None:
            monkeypatch.setenv("COLUMNS", columns)
        texts.append(models.summary_text(lenet5))
        assert os.environ.get("COLUMNS") == columns
    assert texts[0] == texts[1] == texts[2]
    assert max(len(line) for line in texts[0].splitlines()) == 80


@pytest.mark.parametrize(
    "architecture", [LENET5, LENET5_32], ids=["28×28", "32×32"]
)
def test_predict_gives_ten_probabilities_a_digit_whatever_the_batch(
    architecture, images
):
    model = models.build(architecture)
    probabilities = models.predict(model, images)
    assert (probabilities.shape, probabilities.dtype) == ((5, 10), np.float32)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(
        models.predict(model, images, batch_size=2),
        probabilities,
        rtol=1e-4,
        atol=1e-6,
    )
    np.testing.assert_allclose(
        models.predict(model, images[3:4])[0],
        probabilities[3],
        rtol=1e-4,
        atol=1e-6,
    )


@pytest.mark.parametrize(
    "architecture", [LENET5, LENET5_32], ids=["28×28", "32×32"]
)
def test_activations_and_predictions_agree_with_the_loops(architecture, images):
    model = models.build(architecture, seed=2)
    rng = np.random.default_rng(3)
    model.set_weights(
        [
            weight + rng.normal(0, 0.1, weight.shape)
            for weight in model.get_weights()
        ]
    )
    expected = naive.forward(
        architecture,
        models.weights(model),
        data.prepare(images, architecture.input_shape)[0],
    )
    found = models.activations(model, images[0])
    assert list(found) == [layer.name for layer in architecture.layers]
    for row in arithmetic.table(architecture):
        assert found[row.layer].shape == row.output_shape
        np.testing.assert_allclose(
            found[row.layer], expected[row.layer], rtol=1e-4, atol=1e-5
        )
    np.testing.assert_allclose(
        models.predict(model, images[:1])[0],
        expected["Output"],
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.fixture(scope="module")
def lenet1998():
    model = models.build(LENET5_1998, seed=1)
    rng = np.random.default_rng(4)
    for weight in model.trainable_weights:
        weight.assign_add(rng.normal(0, 0.1, weight.shape))
    return model


def test_the_network_of_1998_has_sixty_thousand_trained_numbers(lenet1998):
    table = models.confirm(lenet1998, LENET5_1998)
    assert set(table["verdict"]) == {"agrees"}
    assert table.loc[
        "Total", ["derived parameters", "built parameters"]
    ].tolist() == [60_000, 60_000]
    assert sum(np.size(w) for w in lenet1998.get_weights()) == 60_000 + 840


def test_the_network_of_1998_has_the_numbers_that_the_paper_prints(lenet1998):
    table = models.confirm_paper(lenet1998)
    assert set(table["verdict"]) == {"agrees"}
    assert table.loc["C3"].tolist() == [1_516, 1_516, 151_600, 151_600, "agrees"]
    assert table.loc["Total"].tolist() == [
        60_000,
        60_000,
        340_908,
        340_908,
        "agrees",
    ]
    assert table["paper connections"].isna()[["F6", "Output"]].all()
    assert table.loc[["F6", "Output"], "built connections"].tolist() == [
        10_164,
        840,
    ]


def test_another_network_has_not_the_papers_numbers():
    without = Architecture("short", (32, 32, 1), LENET5_1998.layers[:-2])
    cases = {
        "C3: paper 1,516 parameters and 151,600 connections, "
        "built 2,416 parameters and 241,600 connections;": (
            LENET5_1998.change("C3", table=None)
        ),
        "F6: paper 10,164 parameters, built nothing;": without,
    }
    for expected, architecture in cases.items():
        with pytest.raises(ConfirmationError) as caught:
            models.confirm_paper(models.build(architecture))
        text = str(caught.value)
        assert expected in text
        assert "LENET5_1998" in text
        assert "differs" in caught.value.table.loc["Total", "verdict"]


def test_confirm_names_a_full_c3_where_one_with_a_table_was_derived():
    full = models.build(LENET5_1998.change("C3", table=None))
    with pytest.raises(ConfirmationError) as caught:
        models.confirm(full, LENET5_1998)
    assert "C3: derived 1,516 parameters, built 2,416 parameters;" in str(
        caught.value
    )


def test_build_takes_the_kinds_of_1998_from_the_specification():
    architecture = Architecture(
        "choices",
        (9, 8, 2),
        (
            Conv("A", 2, (3, 2), (2, 1), "same", "tanh", table=((1,), (0, 1))),
            Subsample("B", (1, 2), "relu"),
            Dropout("C", 0.25),
            Flatten("D"),
            Dense("E", 84, activation="scaled_tanh"),
            RBF("F", 3),
        ),
    )
    model = models.build(architecture, seed=2)
    a, b, c, e, f = (model.get_layer(name) for name in "ABCEF")
    assert (a.table, a.kernel_size, a.strides, a.padding) == (
        ((1,), (0, 1)),
        (3, 2),
        (2, 1),
        "same",
    )
    assert (a.activation, b.activation, e.activation) == (
        keras.activations.tanh,
        keras.activations.relu,
        layers.scaled_tanh,
    )
    assert (b.size, c.rate, f.codes.shape) == ((1, 2), 0.25, (3, 84))
    assert c.seed == 2002


def test_a_network_of_1998_starts_as_the_paper_says():
    model = models.build(LENET5_1998, seed=5)
    for name, fan_in in (("C1", 25), ("S2", 4), ("C5", 400), ("F6", 120)):
        first, bias = model.get_layer(name).get_weights()
        largest = np.abs(first).max()
        least = 0.4 if name == "S2" else 0.95
        assert least * 2.4 / fan_in < largest <= np.float32(2.4 / fan_in)
        assert not bias.any()


def test_initial_weights_lie_within_the_papers_bound_and_fill_it():
    layers_ = Conv("C1", 60, 5, activation="scaled_tanh"), Flatten()
    units = Dense("F6", 84, activation="scaled_tanh"), RBF("Output", 4)
    wide = Architecture("wide", (5, 5, 1), (*layers_, *units))
    for name, fan_in in (("C1", 25), ("F6", 60)):
        kernel = models.weights(models.build(wide, 1))[name][0]
        largest = np.abs(kernel).max()
        assert 0.98 * 2.4 / fan_in < largest <= np.float32(2.4 / fan_in)


def test_the_fan_in_of_a_map_with_a_table_counts_its_own_inputs():
    kernel, bias = models.weights(models.build(LENET5_1998, 3))["C3"]
    kernels = np.abs(kernel).reshape(25, 60)
    first = 0
    for row in TABLE_I:
        bound = 2.4 / (25 * len(row))
        largest = kernels[:, first : first + len(row)].max()
        assert 0.8 * bound < largest <= np.float32(bound)
        first += len(row)
    assert not bias.any()


def test_coefficients_are_drawn_with_the_cells_of_the_window_as_fan_in():
    one = Architecture("one", (10, 10, 400), (Subsample("S2"),))
    coefficient, bias = models.weights(models.build(one, 4))["S2"]
    assert 0.57 < np.abs(coefficient).max() <= np.float32(0.6)
    assert coefficient.min() < -0.57
    assert not bias.any()


@pytest.mark.parametrize("name", ["S2", "C3"])
def test_the_layers_of_1998_have_the_weights_of_their_seed(name):
    first, again, other = (
        models.weights(models.build(LENET5_1998, seed))[name][0]
        for seed in (1, 1, 2)
    )
    assert (first == again).all()
    assert (first != other).all()


def test_the_outputs_of_1998_agree_with_the_loops(lenet1998, images):
    expected = naive.forward(
        LENET5_1998,
        models.weights(lenet1998),
        data.prepare(images, (32, 32, 1), LENET5_1998.pixel_range)[0],
    )
    found = models.activations(lenet1998, images[0])
    for row in arithmetic.table(LENET5_1998):
        assert found[row.layer].shape == row.output_shape
        np.testing.assert_allclose(
            found[row.layer], expected[row.layer], rtol=1e-4, atol=1e-4
        )


def test_the_probabilities_of_1998_are_largest_at_the_smallest_distance(
    lenet1998, images
):
    distances = lenet1998(models.prepared(lenet1998, images)).numpy()
    found = models.predict(lenet1998, images)
    assert found.shape == (5, 10)
    assert (found.sum(axis=1) < 1).all()
    np.testing.assert_array_equal(found.argmax(axis=1), distances.argmin(axis=1))
    assert (
        found[0].argmax()
        == models.activations(lenet1998, images[0])["Output"].argmin()
    )
    np.testing.assert_allclose(
        models.predict(lenet1998, images, batch_size=2), found, rtol=1e-3
    )
    result = evaluate(lenet1998, Digits(images, distances.argmin(axis=1)))
    assert (result.error, result.confusion().to_numpy().sum()) == (0, 5)


@pytest.mark.parametrize("architecture", [LENET5, LENET5_32, LENET5_1998])
def test_prepared_images_are_predicted_the_same(architecture, images):
    model = models.build(architecture, seed=3)
    prepared = models.prepared(model, images)
    assert prepared.shape == (5, *architecture.input_shape)
    np.testing.assert_allclose(
        models.predict(model, prepared, batch_size=2),
        models.predict(model, images),
        rtol=1e-3,
        atol=1e-6,
    )


def test_predict_refuses_what_is_not_32_by_32_or_outside_the_pixel_range(
    lenet1998, images
):
    prepared = models.prepared(lenet1998, images)
    for wrong, text in (
        (images[:, :20] / 255, "expected float (n, 32, 32, 1)"),
        (prepared[:, 2:-2, 2:-2], "expected float (n, 32, 32, 1)"),
        (prepared * 255, "expected -0.1 (background) to 1.175 (ink)"),
        (images.astype(int), "expected uint8 (n, height, width), 0 to 255"),
    ):
        with pytest.raises(ValueError, match=r"input|image") as caught:
            models.predict(lenet1998, wrong)
        assert text in str(caught.value)


@pytest.mark.parametrize("loss", [MaximumLikelihood(), MaximumAPosteriori()])
def test_the_whole_network_of_1998_has_one_gradient_compiled_or_not(
    lenet1998, images, loss
):
    values, labels = models.prepared(lenet1998, images), np.arange(5)

    def gradient(values):
        with tf.GradientTape() as tape:
            mean = tf.reduce_mean(loss(labels, lenet1998(values, training=True)))
        return tape.gradient(mean, lenet1998.trainable_variables)

    expected = gradient(values)
    assert all(np.abs(one).max() > 0 for one in expected)
    for compiled in (False, True):
        compute = tf.function(gradient, autograph=False, jit_compile=compiled)
        for one, other in zip(compute(values), expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_an_rbf_output_after_a_different_number_of_units_is_refused():
    wrong = LENET5_1998.change("F6", units=80)
    with pytest.raises(ValueError, match=r"Output: codes have shape \(10, 84\)"):
        models.build(wrong)
    with pytest.raises(ValueError, match=r"units of Output is 12; there are codes"):
        models.build(LENET5_1998.change("Output", units=12))


def nested(model):
    inputs = keras.Input(model.input_shape[1:])
    return keras.Model(inputs, model(inputs))


def cloned(model):
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    return clone


def saved(ending):
    def save_and_load(model, folder):
        path = str(folder / f"model.{ending}")
        model.save(path)
        return keras.models.load_model(path)

    return save_and_load


WAYS = {
    "keras": saved("keras"),
    "h5": saved("h5"),
    "clone": lambda model, _: cloned(model),
    "functional": lambda model, _: keras.Model(model.inputs, model.outputs),
    "sequential": lambda model, _: keras.Sequential([model]),
    "nested": lambda model, _: nested(model),
    "nested and saved": lambda model, folder: saved("keras")(nested(model), folder),
    "layers": lambda model, _: keras.Sequential(model.layers),
}


@pytest.mark.filterwarnings("ignore:The structure of")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "architecture",
    [LENET5_1998, dataclasses.replace(LENET5, pixel_range=(-1, 1))],
    ids=["1998", "28×28"],
)
def test_a_network_that_keras_copied_gives_the_same_answers(
    architecture, way, images, tmp_path
):
    model = models.build(architecture, seed=1)
    copy = WAYS[way](model, tmp_path)
    assert (models.predict(copy, images) == models.predict(model, images)).all()
    digits = Digits(images, np.arange(5, dtype=np.uint8))
    assert loop.loss_and_accuracy(copy, digits) == loop.loss_and_accuracy(
        model, digits
    )
    mine, theirs = (models.activations(one, images[0]) for one in (model, copy))
    assert {name: one.tobytes() for name, one in mine.items()} == {
        name: one.tobytes() for name, one in theirs.items()
    }
    assert models.weights(copy).keys() == models.weights(model).keys()
    models.confirm(copy, architecture)


def wrapped(model):
    """A subclassed model, of which Keras knows no input."""

    class Wrapped(keras.Model):
        def __init__(self):
            super().__init__()
            self.inside = model

        def call(self, values):
            return self.inside(values)

    return Wrapped()


@pytest.mark.parametrize(
    "change",
    [
        lambda model: keras.Sequential(
            [keras.Input(model.input_shape[1:]), *model.layers[1:]]
        ),
        lambda model: keras.Sequential(model.layers[1:]),
        lambda model: keras.Model(model.input, -model.output),
        lambda model: keras.Model(model.input, model.get_layer("F6").output),
        wrapped,
    ],
)
def test_a_copy_that_does_not_say_what_it_gives_is_refused(
    change, lenet1998, images
):
    with pytest.raises(
        ValueError, match=r"pixel range|expected rows|what it reads"
    ):
        models.predict(change(lenet1998), images)


def beside_identity(model):
    inputs = keras.Input(model.input_shape[1:])
    return keras.Model(inputs, model(keras.layers.Identity()(inputs)))


@pytest.mark.parametrize(
    "change",
    [
        beside_identity,
        lambda model: nested(beside_identity(model)),
        lambda model: keras.Sequential(
            [keras.Input(model.input_shape[1:]), *model.layers[1:]]
        ),
        lambda model: keras.Sequential(
            [
                keras.Input(model.input_shape[1:]),
                keras.layers.Rescaling(2, -1),
                model,
            ]
        ),
    ],
)
def test_layers_of_another_range_in_a_model_that_does_not_say_its_own_are_refused(
    change, images
):
    architecture = dataclasses.replace(LENET5, pixel_range=(-1, 1))
    model = change(models.build(architecture, seed=1))
    with pytest.raises(ValueError, match="pixel range of its own"):
        models.predict(model, images)
    model.architecture = LENET5
    models.predict(model, images)
    models.predict(beside_identity(models.build(LENET5)), images)


@pytest.mark.parametrize("activation", ["linear", "relu", "sigmoid", "tanh"])
def test_outputs_that_are_no_probabilities_are_refused(activation, images):
    architecture = LENET5.change("Output", activation=activation)
    with pytest.raises(ValueError, match="expected rows of probabilities"):
        models.predict(models.build(architecture, seed=1), images)


def test_weights_that_are_no_numbers_give_no_answer(images):
    model = models.build(LENET5)
    model.set_weights([array * np.nan for array in model.get_weights()])
    digits = Digits(images, np.zeros(5, np.uint8))
    for answer in (
        lambda: models.predict(model, images),
        lambda: evaluate(model, digits),
    ):
        with pytest.raises(ValueError, match="nan"):
            answer()
