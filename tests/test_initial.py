"""Initial weights without Keras: those of the Keras models, bit for bit."""

import subprocess
import sys
from typing import get_args

import numpy as np
import pytest

from lenet5lib import models
from lenet5lib.loops import initial
from lenet5lib.spec import (
    ARCHITECTURES,
    LENET5,
    RBF,
    Architecture,
    Conv,
    Dense,
    Dropout,
    Flatten,
    Layer,
    Pool,
    Subsample,
)
from lenet5lib.training.recipe import INITIALIZERS

EVERY_KIND = Architecture(
    "every kind of layer",
    (17, 13, 2),
    (
        Conv("A", filters=3, kernel_size=(3, 2), activation="relu", padding="same"),
        Dropout("A-dropped", 0.2),
        Pool("B", mode="max", size=(1, 2)),
        Conv("C", filters=4, kernel_size=3, table=((0, 2), (1,), (0, 1, 2), (2,))),
        Subsample("D", size=(3, 2), activation="tanh"),
        Flatten(),
        Dense("E", units=84, activation="scaled_tanh"),
        Dropout("E-dropped", 0.5),
        RBF("F", units=7),
    ),
)


def test_every_kind_of_layer_is_among_them():
    assert {type(layer) for layer in EVERY_KIND.layers} == set(get_args(Layer))


def assert_same(architecture, seed, name):
    expected = models.weights(models.build(architecture, seed, name))
    found = initial.initial_weights(architecture, seed, name)
    assert list(found) == list(expected)
    for layer, arrays in expected.items():
        assert len(found[layer]) == len(arrays)
        for mine, keras_s in zip(found[layer], arrays, strict=True):
            assert mine.dtype == keras_s.dtype
            np.testing.assert_array_equal(mine, keras_s, err_msg=layer)


@pytest.mark.parametrize("name", [None, *INITIALIZERS])
@pytest.mark.parametrize("seed", [0, 1, 7, 2_147_483])
@pytest.mark.parametrize("architecture", [*ARCHITECTURES.values(), EVERY_KIND])
def test_initial_weights_are_those_of_the_keras_model(architecture, seed, name):
    assert_same(architecture, seed, name)


def test_layers_of_equal_shape_and_other_seeds_start_differently():
    two = Architecture("two", (1, 1, 9), (Flatten(), Dense("A", 9), Dense("B", 9)))
    first, second = (initial.initial_weights(two, seed)["A"][0] for seed in (0, 1))
    assert (first != second).mean() > 0.9
    assert (first != initial.initial_weights(two)["B"][0]).mean() > 0.9


def test_an_unknown_name_and_codes_that_do_not_fit_are_refused_as_by_the_models():
    flat = Dense("F6", 80), RBF("Output")
    wrong = Architecture("wrong", (2, 2, 1), (Flatten(), *flat))
    many = Architecture("many", (2, 2, 21), (Flatten(), RBF("Output", 11)))
    for architecture, name in ((LENET5, "zeros"), (wrong, None), (many, None)):
        with pytest.raises(ValueError, match=r"expected|there are") as expected:
            models.build(architecture, 0, name)
        with pytest.raises(ValueError, match=r"expected|there are") as found:
            initial.initial_weights(architecture, 0, name)
        assert str(found.value) in str(expected.value)


def test_neither_tensorflow_nor_keras_is_imported():
    program = """
import sys
from lenet5lib.loops import initial, philox
from lenet5lib.training import augment
sys.exit(any(name in sys.modules for name in ("tensorflow", "keras")))
"""
    subprocess.run([sys.executable, "-c", program], check=True)
