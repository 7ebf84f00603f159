"""The layers of 1998 beside the naive loops, forward and gradient; their weights; the dropout that repeats itself."""

import json

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from naive import convolve, partial_convolve, rbf, scaled_tanh, subsample

from lenet5lib.lenet1998 import layers
from lenet5lib.lenet1998.codes import DIGITS
from lenet5lib.spec import LENET5_1998, TABLE_I

SMALL_TABLE = ((0, 2), (1,), (2, 0, 1))


def numerical_gradient(function, array, step=1e-6):
    """Return the slope of a scalar function in each entry of an array, by central differences."""
    slopes = np.zeros(array.shape)
    for place in np.ndindex(array.shape):
        kept = array[place]
        array[place] = kept + step
        above = function()
        array[place] = kept - step
        slopes[place] = (above - function()) / (2 * step)
        array[place] = kept
    return slopes


def convolution(values, kernel, bias, **options):
    sums = partial_convolve(values, kernel, bias, SMALL_TABLE, **options)
    return scaled_tanh(sums)


def subsampling(values, coefficient, bias, size=2):
    return scaled_tanh(subsample(values, coefficient, bias, size))


def make(kind):
    """Return (layer, naive function of one input and the weights, shape of one input)."""
    match kind:
        case "subsampling":
            return (
                layers.TrainableSubsampling(dtype="float64"),
                subsampling,
                (5, 4, 3),
            )
        case "subsampling 3×2":
            layer = layers.TrainableSubsampling((3, 2), dtype="float64")
            return layer, lambda *x: subsampling(*x, size=(3, 2)), (6, 5, 2)
        case "convolution":
            layer = layers.TableConv2D(
                SMALL_TABLE, (3, 2), activation="scaled_tanh", dtype="float64"
            )
            return layer, convolution, (4, 5, 3)
        case "convolution, same, stride":
            layer = layers.TableConv2D(
                SMALL_TABLE, 3, (2, 1), "same", "scaled_tanh", dtype="float64"
            )
            naive = lambda *x: convolution(*x, stride=(2, 1), padding="same")  # noqa: E731
            return layer, naive, (4, 3, 3)
        case "rbf":
            codes = np.random.default_rng(1).choice([-1, 1], (4, 6))
            layer = layers.RBFOutput(codes, dtype="float64")
            return layer, lambda x, w: rbf(x, w), (6,)


KINDS = [
    "subsampling",
    "subsampling 3×2",
    "convolution",
    "convolution, same, stride",
    "rbf",
]


def filled(kind):
    """Return a built layer with random weights, its naive function, two random inputs and its weights as arrays."""
    layer, naive, shape = make(kind)
    rng = np.random.default_rng(2)
    values = rng.normal(size=(2, *shape))
    layer.build((None, *shape))
    for weight in layer.trainable_weights:
        weight.assign(rng.normal(0, 0.5, weight.shape))
    return layer, naive, values, [np.array(w) for w in layer.get_weights()]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("compiled", [None, False, True])
def test_outputs_are_those_of_the_loops(kind, compiled):
    layer, naive, values, weights = filled(kind)
    expected = [naive(one, *weights) for one in values]
    call = layer
    if compiled is not None:
        call = tf.function(layer, autograph=False, jit_compile=compiled)
    np.testing.assert_allclose(call(tf.constant(values)), expected, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("compiled", [False, True])
def test_gradients_are_the_slopes_of_the_loops(kind, compiled):
    layer, naive, values, weights = filled(kind)
    share = np.random.default_rng(3).normal(size=layer(tf.constant(values)).shape)

    def compute(inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            total = tf.reduce_sum(layer(inputs) * share)
        wanted = [inputs, *(w.value for w in layer.trainable_weights)]
        return tape.gradient(total, wanted)

    def naive_total():
        outputs = np.array([naive(one, *weights) for one in values])
        return float((outputs * share).sum())

    compute = tf.function(compute, autograph=False, jit_compile=compiled)
    found = compute(tf.constant(values))
    trained = weights if layer.trainable_weights else []
    for one, array in zip(found, [values, *trained], strict=True):
        expected = numerical_gradient(naive_total, array)
        np.testing.assert_allclose(one, expected, atol=1e-7)


def test_the_squashing_function_keeps_one_and_minus_one_and_curves_most_there():
    x = np.linspace(-4, 4, 801)
    found = layers.scaled_tanh(tf.constant(x)).numpy()
    np.testing.assert_allclose(found, scaled_tanh(x), rtol=1e-12)
    np.testing.assert_allclose(found[[300, 500]], [-1, 1], atol=1e-4)
    curvature = np.abs(np.diff(found, 2))
    assert abs(x[1:-1][curvature.argmax()]) == pytest.approx(1, abs=0.02)


def test_an_activation_is_found_by_its_name_in_the_specification():
    assert layers.find_activation("scaled_tanh") is layers.scaled_tanh
    assert layers.find_activation("tanh") is keras.activations.tanh
    with pytest.raises(ValueError, match="Could not interpret activation"):
        layers.find_activation("swash")


def test_the_convolution_of_c3_holds_sixty_kernels_and_sixteen_biases():
    layer = layers.TableConv2D(TABLE_I, 5)
    layer.build((None, 14, 14, 6))
    assert [tuple(w.shape) for w in layer.trainable_weights] == [(5, 5, 60), (16,)]
    assert layer.count_params() == 1_516
    assert not layer.non_trainable_weights


def test_kernels_are_ordered_by_output_map_then_by_the_table():
    found = layers.positions(SMALL_TABLE, in_maps=3)
    assert found.tolist() == [[0, 6, 4], [6, 2, 5], [1, 6, 3]]
    kernel = np.random.default_rng(0).normal(size=(2, 3, 6))
    full = layers.expand(kernel, SMALL_TABLE, in_maps=3)
    assert full.shape == (2, 3, 3, 3)
    used = 0
    for m, row in enumerate(SMALL_TABLE):
        for source in row:
            np.testing.assert_array_equal(full[:, :, source, m], kernel[:, :, used])
            used += 1
        for source in set(range(3)) - set(row):
            assert not full[:, :, source, m].any()


def test_the_table_convolution_is_the_full_one_with_its_expanded_kernel():
    layer, _, values, (kernel, bias) = filled("convolution")
    full = layers.expand(kernel, SMALL_TABLE, in_maps=3)
    for one, found in zip(values, layer(tf.constant(values)), strict=True):
        sums = convolve(one, full, bias)
        np.testing.assert_allclose(found, scaled_tanh(sums), atol=1e-12)


def test_the_rbf_output_trains_nothing_and_keeps_its_codes():
    layer = layers.RBFOutput()
    layer.build((None, 84))
    assert (layer.trainable_weights, layer.count_params()) == ([], 840)
    np.testing.assert_array_equal(layer.codes, DIGITS)
    np.testing.assert_array_equal(
        np.diag(layer(tf.constant(DIGITS, tf.float32))), np.zeros(10)
    )


def test_near_a_code_no_digit_of_the_distance_is_lost():
    layer = layers.RBFOutput()
    near = DIGITS[:1].astype("f4") + np.float32(2**-12)
    assert float(layer(tf.constant(near))[0, 0]) == 84 * 2.0**-24


def test_codes_that_do_not_fit_the_layer_before_are_refused():
    with pytest.raises(
        ValueError, match=r"codes have shape \(10, 84\); expected \(10, 80\)"
    ):
        layers.RBFOutput()(np.zeros((1, 80), "f4"))
    with pytest.raises(ValueError, match=r"codes hold 2 at unit 0, cell 1"):
        layers.RBFOutput([[1, 2]])(np.zeros((1, 2), "f4"))


def dropped(layer, step, compiled=None, shape=(40, 50)):
    """Return what a dropout layer makes of ones at a step of training."""
    layer.step.assign(step)
    call = lambda x: layer(x, training=True)  # noqa: E731
    if compiled is not None:
        call = tf.function(call, autograph=False, jit_compile=compiled)
    return call(tf.ones(shape)).numpy()


def test_the_mask_of_a_dropout_is_a_function_of_seed_and_step():
    first = dropped(layers.Dropout(0.4, seed=1), 7)
    np.testing.assert_array_equal(first, dropped(layers.Dropout(0.4, seed=1), 7))
    assert (first != dropped(layers.Dropout(0.4, seed=1), 8)).mean() > 0.4
    assert (first != dropped(layers.Dropout(0.4, seed=2), 7)).mean() > 0.4


def test_a_dropout_compiled_or_not_drops_the_same():
    layer = layers.Dropout(0.4, seed=1)
    for step in (0, 1, 10**6):
        expected = dropped(layer, step)
        for compiled in (False, True):
            found = dropped(layer, step, compiled)
            np.testing.assert_array_equal(found, expected)


def test_a_compiled_program_follows_the_step_that_is_set():
    layer = layers.Dropout(0.5, seed=1)
    call = tf.function(
        lambda x: layer(x, training=True), autograph=False, jit_compile=True
    )
    seen = []
    for step in (3, 4, 3):
        layer.step.assign(step)
        seen.append(call(tf.ones((30, 30))).numpy())
    assert (seen[0] == seen[2]).all()
    assert (seen[0] != seen[1]).any()


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_a_dropout_drops_its_share_and_keeps_the_mean(rate):
    values = dropped(layers.Dropout(rate, seed=5), 1, shape=(300, 300))
    assert (values == 0).mean() == pytest.approx(rate, abs=0.01)
    assert values.mean() == pytest.approx(1, abs=0.03)
    assert set(np.unique(values)) == {0, np.float32(1) / np.float32(1 - rate)}


def test_a_dropout_does_nothing_unless_training_and_has_no_weight():
    layer = layers.Dropout(0.5)
    values = np.random.default_rng(0).normal(size=(4, 5)).astype("f4")
    np.testing.assert_array_equal(layer(values), values)
    np.testing.assert_array_equal(layer(values, training=False), values)
    free = layers.Dropout(0.0)
    np.testing.assert_array_equal(free(values, training=True), values)
    assert layer.weights == []


def test_the_gradient_passes_where_values_were_kept():
    layer = layers.Dropout(0.5, seed=2)
    values = tf.ones((6, 6))
    with tf.GradientTape() as tape:
        tape.watch(values)
        total = tf.reduce_sum(layer(values, training=True))
    expected = dropped(layer, 0, shape=(6, 6))
    np.testing.assert_array_equal(tape.gradient(total, values), expected)


def network():
    """Return a model of every layer of this module."""
    inputs = keras.Input((12, 12, 3))
    values = layers.TableConv2D(SMALL_TABLE, 5, activation="scaled_tanh")(inputs)
    values = layers.TrainableSubsampling(4)(values)
    values = keras.layers.Flatten()(values)
    values = layers.Dropout(0.2, seed=3)(values)
    values = keras.layers.Dense(84, layers.scaled_tanh)(values)
    return keras.Model(inputs, layers.RBFOutput()(values))


def test_a_model_of_these_layers_is_saved_and_read_whole(tmp_path):
    model = network()
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    values = np.random.default_rng(0).normal(size=(2, 12, 12, 3)).astype("f4")
    np.testing.assert_array_equal(again(values), model(values))
    # As JSON, which knows no tuples.
    configs = [[x.get_config() for x in one.layers] for one in (again, model)]
    assert json.dumps(configs[0]) == json.dumps(configs[1])


def test_the_step_of_a_dropout_is_not_saved(tmp_path):
    model = network()
    model.save_weights(tmp_path / "a.weights.h5")
    with h5py.File(tmp_path / "a.weights.h5") as file:
        assert len(file["layers/dropout/vars"]) == 0
        assert len(file["layers/rbf_output/vars"]) == 1


def test_the_specified_table_fits_the_specified_input():
    assert layers.positions(LENET5_1998["C3"].table, 6).max() == 60
