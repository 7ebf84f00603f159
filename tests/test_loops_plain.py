"""The loops for a single example beside numbers worked by hand, naive NumPy loops, and Keras."""

import math

import keras
import naive
import numpy as np
import pytest

from lenet5lib.lenet1998 import layers
from lenet5lib.loops import compiled, forward, plain
from lenet5lib.spec import (
    ACTIVATIONS,
    LENET5,
    LENET5_1998,
    RBF,
    Architecture,
    Conv,
    Dense,
    Dropout,
    Flatten,
    Pool,
    Subsample,
)

IMAGE = np.array([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]])
CORNERS = np.array([[[[1.0, 0.0], [0.0, -1.0]]]])


def keras_maps(x):
    """Bring maps from the loops' order to Keras's, (height, width, maps)."""
    return np.moveaxis(x, 0, -1)


def test_convolution_multiplies_the_window_by_the_kernel_unflipped():
    result = plain.convolve(IMAGE, CORNERS, [0.0])
    assert result.tolist() == [[[-4, -4], [-4, -4]]]
    ramp = [[[[1.0, 2.0], [3.0, 4.0]]]]
    assert plain.convolve(IMAGE, ramp, [10.0]).tolist() == [[[47, 57], [77, 87]]]


def test_convolution_sums_over_input_maps_and_makes_each_output_map_from_its_own_kernel():
    image = np.concatenate([IMAGE, 10 * IMAGE])
    kernel = np.reshape([[1, 0], [0, 1], [1, 1]], (3, 2, 1, 1))
    result = plain.convolve(image, kernel, [0.0, 0.5, -1.0])
    assert result.shape == (3, 3, 3)
    assert result[:, 1, 2].tolist() == [6, 60.5, 65]


def test_convolution_steps_by_its_stride():
    one = np.ones((1, 1, 1, 1))
    assert plain.convolve(IMAGE, one, [0], stride=2).tolist() == [[[1, 3], [7, 9]]]
    assert plain.convolve(IMAGE, one, [0], stride=(1, 2)).tolist() == [
        [[1, 3], [4, 6], [7, 9]]
    ]


def test_same_convolution_adds_zeros_evenly_and_the_odd_one_after():
    ones = np.ones((1, 1, 3, 3))
    assert plain.convolve(IMAGE, ones, [0], padding="same").tolist() == [
        [[12, 21, 16], [27, 45, 33], [24, 39, 28]]
    ]
    result = plain.convolve(IMAGE, CORNERS, [0], padding="same")
    assert result.tolist() == [[[-4, -4, 3], [-4, -4, 6], [7, 8, 9]]]


def test_convolution_with_a_rectangular_kernel_on_a_rectangular_image():
    image = np.arange(1.0, 9.0).reshape(1, 2, 4)
    kernel = np.ones((1, 1, 1, 3))
    assert plain.convolve(image, kernel, [0]).tolist() == [[[6, 9], [18, 21]]]


def test_a_table_lets_a_map_read_only_the_maps_of_its_row_whatever_the_other_kernels_hold():
    image = np.concatenate([IMAGE, 10 * IMAGE])
    kernel = np.reshape([[np.nan, 1.0], [3.0, 2.0]], (2, 2, 1, 1))
    result = plain.convolve(image, kernel, [0, 0.5], table=((1,), (1, 0)))
    assert result[:, 1, 2].tolist() == [60, 0.5 + 2 * 60 + 3 * 6]


WINDOWS = pytest.mark.parametrize(
    ("window", "stride", "padding"),
    [((2, 3), (1, 2), "valid"), ((2, 3), (1, 2), "same"), ((3, 2), (2, 3), "same")],
)
"""Window, stride and padding that tell rows from columns; each takes a second or two to compile."""


@WINDOWS
def test_convolution_is_that_of_the_naive_loops(window, stride, padding):
    rng = np.random.default_rng(0)
    image, kernel = rng.normal(size=(2, 5, 4)), rng.normal(size=(3, 2, *window))
    bias, options = rng.normal(size=3), {"stride": stride, "padding": padding}
    listed = kernel.transpose(2, 3, 1, 0)
    expected = naive.convolve(keras_maps(image), listed, bias, **options)
    found = plain.convolve(image, kernel, bias, **options)
    np.testing.assert_allclose(keras_maps(found), expected, atol=1e-12)
    table = ((1,), (0,), (0, 1))
    named = [(m, n) for m, row in enumerate(table) for n in row]
    listed = np.stack([kernel[m, n] for m, n in named], axis=2)
    expected = naive.partial_convolve(
        keras_maps(image), listed, bias, table, **options
    )
    found = plain.convolve(image, kernel, bias, table=table, **options)
    np.testing.assert_allclose(keras_maps(found), expected, atol=1e-12)


def test_average_pooling():
    image = np.arange(16.0).reshape(1, 4, 4)
    assert plain.pool(image).tolist() == [[[2.5, 4.5], [10.5, 12.5]]]


def test_max_pooling_of_negative_values():
    image = -np.arange(16.0).reshape(1, 4, 4)
    assert plain.pool(image, mode="max").tolist() == [[[0, -2], [-8, -10]]]


def test_pooling_keeps_the_maps_apart():
    image = np.concatenate([IMAGE, -IMAGE])
    assert plain.pool(image, size=3).tolist() == [[[5]], [[-5]]]
    assert plain.pool(image, size=3, mode="max").tolist() == [[[9]], [[-1]]]


def test_pooling_drops_what_the_last_window_does_not_reach():
    assert plain.pool(IMAGE).tolist() == [[[3]]]


def test_pooling_with_its_own_stride_and_a_rectangular_window():
    assert plain.pool(IMAGE, size=2, stride=1).tolist() == [[[3, 4], [6, 7]]]
    rows, columns = (
        plain.pool(IMAGE, size=1, stride=s)[0] for s in ((2, 1), (1, 2))
    )
    assert rows.tolist() == [[1, 2, 3], [7, 8, 9]]
    assert columns.tolist() == [[1, 3], [4, 6], [7, 9]]
    found = plain.pool(IMAGE, size=(1, 3), stride=(2, 1))
    assert found.tolist() == [[[2], [8]]]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("average", [[3, 4.5], [7.5, 9]]), ("max", [[5, 6], [8, 9]])],
)
def test_same_pooling_leaves_padded_cells_out(mode, expected):
    for image in (IMAGE, IMAGE.astype(np.uint8)):
        assert plain.pool(image, padding="same", mode=mode).tolist() == [expected]


def test_same_max_pooling_of_negative_values_never_answers_with_padding():
    found = plain.pool(-IMAGE, padding="same", mode="max")
    assert found.tolist() == [[[-1, -3], [-7, -9]]]


@WINDOWS
@pytest.mark.parametrize("mode", ["average", "max"])
def test_pooling_is_that_of_the_naive_loops(window, stride, padding, mode):
    image = np.random.default_rng(0).normal(size=(2, 5, 4))
    expected = naive.pool(keras_maps(image), window, stride, padding, mode)
    found = plain.pool(image, window, stride, padding, mode)
    np.testing.assert_allclose(keras_maps(found), expected, atol=1e-12)


def test_dense_sums_inputs_times_their_column_and_adds_the_bias():
    kernel = np.array([[1.0, 0.5], [2.0, 0.0], [3.0, -1.0]])
    found = plain.dense([1.0, 10.0, 100.0], kernel, [0.0, 7.0])
    assert found.tolist() == [321, -92.5]


def test_dense_and_rbf_are_those_of_the_naive_loops():
    rng = np.random.default_rng(0)
    x, w, b = rng.normal(size=7), rng.normal(size=(7, 4)), rng.normal(size=4)
    np.testing.assert_allclose(plain.dense(x, w, b), naive.dense(x, w, b))
    np.testing.assert_allclose(plain.rbf(x, w.T), naive.rbf(x, w.T))


def test_subsampling_multiplies_the_sum_and_adds_the_bias():
    image = np.stack([np.arange(16.0).reshape(4, 4), np.ones((4, 4))])
    result = plain.subsample(image, [0.5, 2.0], [1.0, -1.0])
    assert result.tolist() == [[[6, 10], [22, 26]], [[7, 7], [7, 7]]]


def test_subsampling_drops_what_the_last_window_does_not_reach():
    result = plain.subsample(IMAGE, [1], [0], size=(1, 2))
    assert result.tolist() == [[[3], [9], [15]]]


def test_subsampling_is_that_of_the_naive_loops():
    rng = np.random.default_rng(0)
    image, w, b = rng.normal(size=(3, 5, 7)), rng.normal(size=3), rng.normal(size=3)
    expected = naive.subsample(keras_maps(image), w, b, (2, 3))
    found = plain.subsample(image, w, b, (2, 3))
    np.testing.assert_allclose(keras_maps(found), expected)


def test_an_rbf_unit_adds_the_squares_of_the_differences():
    codes = np.array([[1.0, -1.0], [-1.0, -1.0], [0.0, 0.0]])
    assert plain.rbf([1.0, -1.0], codes).tolist() == [0, 4, 2]


MISFITS = {
    "x of two axes": (
        lambda: plain.convolve(IMAGE[0], CORNERS, [0]),
        ("x has the shape (3, 3)", "(channels in, rows, columns)", "np.newaxis"),
    ),
    "kernels of two channels": (
        lambda: plain.convolve(IMAGE, CORNERS.repeat(2, axis=1), [0]),
        ("w has the shape (1, 2, 2, 2)", "expected (filters, 1, "),
    ),
    "two biases": (
        lambda: plain.convolve(IMAGE, CORNERS, [0, 0]),
        ("b has the shape (2,)", "expected (1)"),
    ),
    "a kernel that is too large": (
        lambda: plain.convolve(IMAGE, np.ones((1, 1, 4, 1)), [0]),
        ("kernel_size 4 is larger than the padded input",),
    ),
    "a channel that is not there": (
        lambda: plain.convolve(IMAGE, CORNERS, [0], table=((1,),)),
        ("table is ((1,),)", "channels from 0 to 0"),
    ),
    "a row too many": (
        lambda: plain.convolve(IMAGE, CORNERS, [0], table=((0,), (0,))),
        ("table", "2 rows; expected 1"),
    ),
    "an unknown mode": (
        lambda: plain.pool(IMAGE, mode="min"),
        ("mode", "'min'", "average, max"),
    ),
    "pooling of a table": (
        lambda: plain.pool([[1.0]]),
        ("x has the shape (1, 1)",),
    ),
    "two coefficients": (
        lambda: plain.subsample(IMAGE, [1, 2], [0]),
        ("w has the shape (2,)",),
    ),
    "a dense kernel of two inputs": (
        lambda: plain.dense([1, 2, 3], np.ones((2, 4)), np.ones(4)),
        ("w has the shape (2, 4)", "expected (3, units)"),
    ),
    "codes of two inputs": (
        lambda: plain.rbf([1, 2, 3], np.ones((3, 2))),
        ("codes has the shape (3, 2)", "expected (units, 3)"),
    ),
    "an unknown activation": (
        lambda: plain.activate([0.0], "elu"),
        ("activation is 'elu'",),
    ),
    "a label that is no class": (
        lambda: plain.maximum_likelihood([1.0, 2.0], 2),
        ("label is 2", "from 0 to 1"),
    ),
    "an image without channels": (
        lambda: plain.forward(LENET5, {}, np.zeros((28, 28))),
        ("image has the shape (28, 28)", "expected (28, 28, 1)"),
    ),
}


@pytest.mark.parametrize("case", MISFITS)
def test_what_does_not_fit_is_refused(case):
    call, named = MISFITS[case]
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        call()
    text = str(caught.value)
    assert [words for words in named if words not in text] == []


def test_the_losses_of_1998_by_hand():
    distances = np.log([2.0, 4.0, 8.0])
    assert plain.maximum_likelihood(distances, 1) == pytest.approx(math.log(4))
    expected = math.log(4) + math.log(0.5 + 0.25 + 0.125 + 0.125)
    found = plain.maximum_a_posteriori(distances, 1, j=math.log(8))
    assert found == pytest.approx(expected)
    assert found == pytest.approx(
        naive.maximum_a_posteriori(distances, 1, math.log(8))
    )


def test_equation_nine_loses_no_number_where_every_distance_is_large():
    found = plain.maximum_a_posteriori([5000.0, 5001.0], 0, j=9000.0)
    assert found == pytest.approx(math.log(1 + math.exp(-1)))


def test_the_scaled_tanh_by_hand():
    assert plain.scaled_tanh([0.0, 1e3]).tolist() == [0, 1.7159]
    found = plain.scaled_tanh([-1.0, 1.0])
    np.testing.assert_allclose(found, [-1, 1], atol=1e-5)


def test_sigmoid_at_points_that_can_be_worked_by_hand():
    found = plain.sigmoid(np.log([1 / 3, 1, 3]))
    np.testing.assert_allclose(found, [0.25, 0.5, 0.75])


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "relu"])
def test_the_derivatives_are_the_limits_of_the_differences(name):
    x = np.array([-3.0, -1.0, -0.2, 0.3, 1.5, 4.0])
    step = 1e-6
    before, after = (
        plain.activation_functions(x + shift)[name][0] for shift in (-step, step)
    )
    np.testing.assert_allclose(
        plain.activation_functions(x)[name][1],
        (after - before) / (2 * step),
        atol=1e-8,
    )


def test_softmax_shares_in_proportion_to_the_powers_of_e():
    for shift in (0, 7):
        found = plain.softmax(np.log([1.0, 2.0, 5.0]) + shift)
        np.testing.assert_allclose(found, [0.125, 0.25, 0.625])


def test_softmax_of_large_logits_does_not_overflow():
    assert plain.softmax([1e4, 1e4, -1e4]).tolist() == [0.5, 0.5, 0]


def test_softmax_of_maps_runs_over_the_channels():
    maps = np.random.default_rng(0).normal(size=(4, 2, 3))
    found = plain.softmax(maps)
    for place in np.ndindex(2, 3):
        at = (slice(None), *place)
        np.testing.assert_allclose(found[at], naive.softmax(maps[at]))


def test_an_activation_leaves_its_argument_and_the_shape_alone():
    x = np.array([[-1.0, 2.0, 3.0]])
    found = plain.activate(x, "relu")
    assert (x.tolist(), found.tolist()) == ([[-1, 2, 3]], [[0, 2, 3]])
    assert np.ndim(plain.sigmoid(0.0)) == 0


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_of_the_specification_is_that_of_keras(activation):
    sums = np.array([-2.0, -0.5, 0.0, 0.5, 3.0])
    expected = layers.find_activation(activation)(
        keras.ops.convert_to_tensor(sums[np.newaxis])
    )[0]
    found = plain.activate(sums, activation)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(found, naive.activate(sums, activation), rtol=1e-12)


def test_cross_entropy_is_the_negative_logarithm_of_the_labels_share():
    probabilities = np.array([0.125, 0.25, 0.625])
    assert plain.cross_entropy(probabilities, 1) == pytest.approx(math.log(4))
    assert plain.cross_entropy(probabilities, 0) == pytest.approx(math.log(8))


def test_cross_entropy_of_probabilities_is_that_of_their_logarithms_in_the_loops():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, size=(5, 10))
    loop = compiled.specialise(forward.cross_entropy, B=1, F=np.float64)
    for z in logits:
        probabilities, label = plain.softmax(z), int(rng.integers(10))
        labels = np.array([label])
        expected = plain.cross_entropy(probabilities, label)
        for row in (z, np.log(probabilities)):
            found = loop(row[np.newaxis], labels, 0.0)
            assert found == pytest.approx(expected, rel=1e-12)


def test_the_first_step_of_adam_has_the_size_of_the_learning_rate_whatever_the_gradient():
    for gradient in (0.02, 0.2, 50.0):
        weight, mean, square = plain.adam_step(
            1.0, gradient, 0.0, 0.0, step=1, learning_rate=0.01
        )
        assert weight == pytest.approx(1 - 0.01, abs=2e-6)
        assert mean == pytest.approx(0.1 * gradient)
        assert square == pytest.approx(0.001 * gradient**2)


@pytest.mark.parametrize(
    ("gradient", "share"), [(1e-3, 0.99684), (1e-5, 0.7597), (1e-6, 0.2403)]
)
def test_the_first_step_of_adam_is_shorter_where_the_gradient_is_tiny(
    gradient, share
):
    weight, *_ = plain.adam_step(0.0, gradient, 0.0, 0.0, 1, learning_rate=1.0)
    assert -weight == pytest.approx(share, abs=1e-4)


def test_many_steps_of_adam_are_those_of_keras():
    variable = keras.Variable(0.5)
    optimizer = keras.optimizers.Adam(0.01)
    optimizer.build([variable])
    weight, mean, square = 0.5, 0.0, 0.0
    gradients = [1e-6, 0.5, -0.3, 0.0, 1.5, -2.0]
    for step, gradient in enumerate(gradients, 1):
        optimizer.apply([keras.ops.convert_to_tensor(gradient)])
        weight, mean, square = plain.adam_step(
            weight, gradient, mean, square, step, learning_rate=0.01
        )
        assert float(variable.value) == pytest.approx(weight, abs=1e-6)


BY_HAND = Architecture(
    "by hand",
    (3, 3, 1),
    (
        Conv("C", 1, 2, activation="relu"),
        Pool("S", mode="max", size=(1, 2)),
        Flatten(),
        Dense("D", 2, activation="softmax"),
    ),
)


def test_forward_runs_the_layers_in_order_and_keeps_every_output():
    kernel = CORNERS.transpose(2, 3, 1, 0)
    weights = {
        "C": (kernel, np.array([7.0])),
        "D": (np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0.0, np.log(3)])),
    }
    image = keras_maps(IMAGE)
    outputs = plain.forward(BY_HAND, weights, image)
    assert list(outputs) == ["C", "S", "Flatten", "D"]
    assert outputs["C"].tolist() == [[[3, 3], [3, 3]]]
    assert outputs["S"].tolist() == [[[3], [3]]]
    assert outputs["Flatten"].tolist() == [3, 3]
    np.testing.assert_allclose(outputs["D"], [0.25, 0.75])
    negative = weights | {"C": (kernel, np.array([-7.0]))}
    assert not plain.forward(BY_HAND, negative, image)["C"].any()


def test_forward_runs_the_kinds_of_1998_and_keeps_every_output():
    architecture = Architecture(
        "by hand",
        (2, 2, 2),
        (
            Conv("C", 2, 1, table=((0,), (1, 0))),
            Subsample("S", activation="relu"),
            Dropout("D", 0.5),
            Flatten(),
            RBF("R", 2),
        ),
    )
    weights = {
        "C": (np.array([[[1.0, 1.0, -1.0]]]), np.zeros(2)),
        "S": (np.array([0.5, 1.0]), np.array([0.0, -3.0])),
        "R": (np.array([[1.0, 1.0], [-1.0, 1.0]]),),
    }
    image = np.stack([np.full((2, 2), 1.0), np.full((2, 2), 2.0)], axis=2)
    outputs = plain.forward(architecture, weights, image)
    assert outputs["C"][:, 0, 0].tolist() == [1, 1]
    assert outputs["S"].tolist() == outputs["D"].tolist() == [[[2]], [[1]]]
    assert outputs["R"].tolist() == [1, 9]


@pytest.mark.parametrize("architecture", [LENET5, LENET5_1998])
def test_every_layer_of_the_networks_is_that_of_the_naive_loops(architecture):
    weights = plain.random_weights(architecture, seed=1)
    image = np.random.default_rng(0).random(architecture.input_shape)
    expected = naive.forward(architecture, weights, image)
    found = plain.forward(architecture, weights, image)
    assert list(found) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(keras_maps(found[name]), values, atol=1e-9)


def test_random_weights_have_the_shapes_of_1998_and_follow_the_seed():
    drawn, again, other = (
        plain.random_weights(LENET5_1998, seed) for seed in (0, 0, 1)
    )
    shapes = {
        name: [array.shape for array in arrays] for name, arrays in drawn.items()
    }
    assert shapes == {
        "C1": [(5, 5, 1, 6), (6,)],
        "S2": [(6,), (6,)],
        "C3": [(5, 5, 60), (16,)],
        "S4": [(16,), (16,)],
        "C5": [(5, 5, 16, 120), (120,)],
        "F6": [(120, 84), (84,)],
        "Output": [(10, 84)],
    }
    for name, (kernel, *_) in drawn.items():
        assert (kernel == again[name][0]).all()
        assert (kernel != other[name][0]).any()
    assert drawn["F6"][0].std() == pytest.approx(120**-0.5, rel=0.05)
