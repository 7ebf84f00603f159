"""Maps with equal initial weights: what makes them differ, and what does not."""

import keras
import numpy as np
import pytest

from lenet5lib import models
from lenet5lib.spec import LENET5_1998, TABLE_I
from lenet5lib.studies import symmetry
from lenet5lib.training import losses

RNG = np.random.default_rng(0)
INPUTS = RNG.uniform(-0.1, 1.175, (8, 32, 32, 1)).astype("float32")
LABELS = RNG.integers(0, 10, 8)
TWICE = (*TABLE_I[:-1], TABLE_I[0])
"""Table I with its last row replaced by its first; every map of S2 is still read."""
CASES = {
    "all joined": (None, 1),
    "Table I": (TABLE_I, 16),
    "a row twice": (TWICE, 15),
}


def equalized(table):
    model = models.build(LENET5_1998.change("C3", table=table))
    symmetry.equalize_maps(model)
    return model


@pytest.mark.parametrize(("table", "distinct"), CASES.values(), ids=CASES)
def test_maps_are_as_many_as_the_rows_of_the_table_that_differ(table, distinct):
    model = equalized(table)
    assert symmetry.num_distinct_maps(model, INPUTS) == distinct
    loss = losses.for_keras(losses.MaximumAPosteriori())
    model.compile(keras.optimizers.SGD(0.001), loss)
    before = model.get_layer("C3").get_weights()[0]
    for _ in range(3):
        model.train_on_batch(INPUTS, LABELS)
    assert not np.array_equal(model.get_layer("C3").get_weights()[0], before)
    assert symmetry.num_distinct_maps(model, INPUTS) == distinct


@pytest.mark.parametrize("table", [None, TABLE_I], ids=["all joined", "Table I"])
def test_maps_that_start_at_random_differ(table):
    model = models.build(LENET5_1998.change("C3", table=table))
    assert symmetry.num_distinct_maps(model, INPUTS) == 16


def test_equalizing_leaves_one_kernel_one_coefficient_and_no_other_layer_changed():
    model, untouched = equalized(TABLE_I), models.build(LENET5_1998)
    kernel = model.get_layer("C3").get_weights()[0]
    first = untouched.get_layer("C3").get_weights()[0][:, :, 0]
    assert all(np.array_equal(kernel[:, :, n], first) for n in range(60))
    assert len(set(model.get_layer("S4").get_weights()[0])) == 1
    assert np.ptp(model.get_layer("C5").get_weights()[0], axis=2).max() == 0
    for name in ("C1", "S2", "F6", "Output"):
        for a, b in zip(
            model.get_layer(name).get_weights(),
            untouched.get_layer(name).get_weights(),
            strict=True,
        ):
            np.testing.assert_array_equal(a, b)


def test_maps_are_counted_to_within_the_tolerance():
    model = equalized(TABLE_I)
    assert symmetry.num_distinct_maps(model, INPUTS, tolerance=1e9) == 1
    assert symmetry.num_distinct_maps(model, INPUTS, "C1") == 6
