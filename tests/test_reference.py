"""The naive loops on cases small enough to be worked by hand, and one step of Adam beside Keras's."""

import math

import keras
import numpy as np
import pytest

from lenet5lib import layers
from lenet5lib.reference import (
    activate,
    activation_functions,
    adam_step,
    convolve,
    cross_entropy,
    dense,
    forward,
    maximum_a_posteriori,
    maximum_likelihood,
    partial_convolve,
    pool,
    random_weights,
    rbf,
    scaled_tanh,
    sigmoid,
    softmax,
    subsample,
)
from lenet5lib.spec import (
    ACTIVATIONS,
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

IMAGE = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])[
    ..., np.newaxis
]
CORNERS = np.array([[1.0, 0.0], [0.0, -1.0]])[..., np.newaxis, np.newaxis]


def test_convolution_multiplies_the_window_by_the_kernel_unflipped():
    result = convolve(IMAGE, CORNERS, np.array([0.0]))
    assert result[..., 0].tolist() == [[-4, -4], [-4, -4]]
    ramp = np.array([[1.0, 2.0], [3.0, 4.0]])[..., np.newaxis, np.newaxis]
    assert convolve(IMAGE, ramp, np.array([10.0]))[..., 0].tolist() == [
        [47, 57],
        [77, 87],
    ]


def test_convolution_sums_over_input_maps_and_makes_each_output_map_from_its_own_kernel():
    image = np.concatenate([IMAGE, 10 * IMAGE], axis=2)
    kernel = np.zeros((1, 1, 2, 3))
    kernel[0, 0, :, 0] = [1, 0]
    kernel[0, 0, :, 1] = [0, 1]
    kernel[0, 0, :, 2] = [1, 1]
    result = convolve(image, kernel, np.array([0.0, 0.5, -1.0]))
    assert result.shape == (3, 3, 3)
    assert result[1, 2].tolist() == [6, 60.5, 65]


def test_convolution_steps_by_its_stride():
    one = np.ones((1, 1, 1, 1))
    assert convolve(IMAGE, one, np.zeros(1), stride=2)[..., 0].tolist() == [
        [1, 3],
        [7, 9],
    ]
    assert convolve(IMAGE, one, np.zeros(1), stride=(1, 2))[..., 0].tolist() == [
        [1, 3],
        [4, 6],
        [7, 9],
    ]


def test_same_convolution_adds_zeros_evenly_and_the_odd_one_after():
    ones = np.ones((3, 3, 1, 1))
    assert convolve(IMAGE, ones, np.zeros(1), padding="same")[..., 0].tolist() == [
        [12, 21, 16],
        [27, 45, 33],
        [24, 39, 28],
    ]
    result = convolve(IMAGE, CORNERS, np.zeros(1), padding="same")[..., 0]
    assert result.tolist() == [[-4, -4, 3], [-4, -4, 6], [7, 8, 9]]


def test_convolution_with_a_rectangular_kernel_on_a_rectangular_image():
    image = np.arange(1.0, 9.0).reshape(2, 4, 1)
    kernel = np.array([[1.0, 1.0, 1.0]])[..., np.newaxis, np.newaxis]
    assert convolve(image, kernel, np.zeros(1))[..., 0].tolist() == [
        [6, 9],
        [18, 21],
    ]


def test_convolution_refuses_a_window_that_does_not_fit():
    with pytest.raises(
        ValueError, match="kernel_size 4 is larger than the padded input"
    ):
        convolve(IMAGE, np.ones((4, 1, 1, 1)), np.zeros(1))


def test_average_pooling():
    image = np.arange(16.0).reshape(4, 4, 1)
    assert pool(image)[..., 0].tolist() == [[2.5, 4.5], [10.5, 12.5]]


def test_max_pooling_of_negative_values():
    image = -np.arange(16.0).reshape(4, 4, 1)
    assert pool(image, mode="max")[..., 0].tolist() == [[0, -2], [-8, -10]]


def test_pooling_keeps_the_maps_apart():
    image = np.concatenate([IMAGE, -IMAGE], axis=2)
    assert pool(image, size=3).tolist() == [[[5, -5]]]
    assert pool(image, size=3, mode="max").tolist() == [[[9, -1]]]


def test_pooling_drops_what_the_last_window_does_not_reach():
    assert pool(IMAGE)[..., 0].tolist() == [[3]]


def test_pooling_with_its_own_stride_and_a_rectangular_window():
    assert pool(IMAGE, size=2, stride=1)[..., 0].tolist() == [[3, 4], [6, 7]]
    rows, columns = (
        pool(IMAGE, size=1, stride=s)[..., 0] for s in ((2, 1), (1, 2))
    )
    assert rows.tolist() == [[1, 2, 3], [7, 8, 9]]
    assert columns.tolist() == [[1, 3], [4, 6], [7, 9]]
    assert pool(IMAGE, size=(1, 3), stride=(2, 1))[..., 0].tolist() == [[2], [8]]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("average", [[3, 4.5], [7.5, 9]]), ("max", [[5, 6], [8, 9]])],
)
def test_same_pooling_leaves_padded_cells_out(mode, expected):
    assert pool(IMAGE, padding="same", mode=mode)[..., 0].tolist() == expected


def test_same_max_pooling_of_negative_values_never_answers_with_padding():
    assert pool(-IMAGE, padding="same", mode="max")[..., 0].tolist() == [
        [-1, -3],
        [-7, -9],
    ]


def test_same_pooling_takes_whole_numbers():
    assert pool(IMAGE.astype(np.uint8), padding="same")[..., 0].tolist() == [
        [3, 4.5],
        [7.5, 9],
    ]


def test_dense_sums_inputs_times_their_column_and_adds_the_bias():
    kernel = np.array([[1.0, 0.5], [2.0, 0.0], [3.0, -1.0]])
    assert dense(
        np.array([1.0, 10.0, 100.0]), kernel, np.array([0.0, 7.0])
    ).tolist() == [321, -92.5]


def test_partial_convolution_reads_only_the_maps_of_its_row():
    image = np.concatenate([IMAGE, 10 * IMAGE], axis=2)
    kernel = np.array([1.0, 2.0, 3.0]).reshape(1, 1, 3)
    result = partial_convolve(
        image, kernel, np.array([0.0, 0.5]), table=((1,), (1, 0))
    )
    assert result.shape == (3, 3, 2)
    assert result[1, 2].tolist() == [60, 0.5 + 2 * 60 + 3 * 6]


def test_partial_convolution_with_every_map_named_is_the_full_one():
    rng = np.random.default_rng(0)
    image, kernel = rng.normal(size=(6, 5, 2)), rng.normal(size=(3, 2, 2, 4))
    bias, table = rng.normal(size=4), ((0, 1),) * 4
    listed = kernel.swapaxes(2, 3).reshape(3, 2, 8)
    for options in ({}, {"stride": (2, 1), "padding": "same"}):
        np.testing.assert_allclose(
            partial_convolve(image, listed, bias, table, **options),
            convolve(image, kernel, bias, **options),
        )


def test_subsampling_multiplies_the_sum_and_adds_the_bias():
    image = np.concatenate(
        [np.arange(16.0).reshape(4, 4, 1), np.ones((4, 4, 1))], 2
    )
    result = subsample(image, np.array([0.5, 2.0]), np.array([1.0, -1.0]))
    assert result[..., 0].tolist() == [[6, 10], [22, 26]]
    assert result[..., 1].tolist() == [[7, 7], [7, 7]]


def test_subsampling_drops_what_the_last_window_does_not_reach():
    result = subsample(IMAGE, np.ones(1), np.zeros(1), size=(1, 2))
    assert result[..., 0].tolist() == [[3], [9], [15]]


def test_an_rbf_unit_adds_the_squares_of_the_differences():
    codes = np.array([[1.0, -1.0], [-1.0, -1.0], [0.0, 0.0]])
    assert rbf(np.array([1.0, -1.0]), codes).tolist() == [0, 4, 2]


def test_the_losses_of_1998_by_hand():
    distances = np.log([2.0, 4.0, 8.0])
    assert maximum_likelihood(distances, 1) == pytest.approx(math.log(4))
    expected = math.log(4) + math.log(0.5 + 0.25 + 0.125 + 0.125)
    found = maximum_a_posteriori(distances, 1, j=math.log(8))
    assert found == pytest.approx(expected)


def test_the_scaled_tanh_by_hand():
    assert scaled_tanh(np.array([0.0, 1e3])).tolist() == [0, 1.7159]
    np.testing.assert_allclose(
        scaled_tanh(np.array([-1.0, 1.0])), [-1, 1], atol=1e-5
    )


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
    outputs = forward(architecture, weights, image)
    assert outputs["C"][0, 0].tolist() == [1, 1]
    assert outputs["S"].tolist() == outputs["D"].tolist() == [[[2, 1]]]
    assert outputs["R"].tolist() == [1, 9]


def test_random_weights_have_the_shapes_of_1998():
    shapes = {
        name: [array.shape for array in arrays]
        for name, arrays in random_weights(LENET5_1998, seed=0).items()
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


def test_sigmoid_at_points_that_can_be_worked_by_hand():
    np.testing.assert_allclose(sigmoid(np.log([1 / 3, 1, 3])), [0.25, 0.5, 0.75])


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "relu"])
def test_the_slopes_are_the_limits_of_the_differences(name):
    x = np.array([-3.0, -1.0, -0.2, 0.3, 1.5, 4.0])
    step = 1e-6
    before, after = (
        activation_functions(x + shift)[name][0] for shift in (-step, step)
    )
    np.testing.assert_allclose(
        activation_functions(x)[name][1], (after - before) / (2 * step), atol=1e-8
    )


def test_softmax_shares_in_proportion_to_the_powers_of_e():
    np.testing.assert_allclose(
        softmax(np.log([1.0, 2.0, 5.0])), [0.125, 0.25, 0.625]
    )
    np.testing.assert_allclose(
        softmax(np.log([1.0, 2.0, 5.0]) + 7), [0.125, 0.25, 0.625]
    )


def test_softmax_of_large_scores_does_not_overflow():
    assert softmax(np.array([1e4, 1e4, -1e4])).tolist() == [0.5, 0.5, 0]


def test_cross_entropy_is_the_negative_logarithm_of_the_labels_share():
    probabilities = np.array([0.125, 0.25, 0.625])
    assert cross_entropy(probabilities, 1) == pytest.approx(math.log(4))
    assert cross_entropy(probabilities, 0) == pytest.approx(math.log(8))


def test_the_first_step_of_adam_has_the_size_of_the_learning_rate_whatever_the_gradient():
    for gradient in (1e-3, 0.2, 50.0):
        weight, mean, square = adam_step(
            1.0, gradient, 0.0, 0.0, step=1, learning_rate=0.01
        )
        assert weight == pytest.approx(1 - 0.01, abs=2e-6)
        assert mean == pytest.approx(0.1 * gradient)
        assert square == pytest.approx(0.001 * gradient**2)


def test_many_steps_of_adam_are_those_of_keras():
    variable = keras.Variable(0.5)
    optimizer = keras.optimizers.Adam(0.01)
    optimizer.build([variable])
    weight, mean, square = 0.5, 0.0, 0.0
    for step, gradient in enumerate([0.5, -0.3, 0.0, 1.5, 0.4, -2.0], 1):
        optimizer.apply([keras.ops.convert_to_tensor(gradient)])
        weight, mean, square = adam_step(
            weight, gradient, mean, square, step, learning_rate=0.01
        )
        assert float(variable.value) == pytest.approx(weight, abs=1e-6)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_of_the_specification_is_that_of_keras(activation):
    sums = np.array([-2.0, -0.5, 0.0, 0.5, 3.0])
    expected = layers.find_activation(activation)(
        keras.ops.convert_to_tensor(sums[np.newaxis])
    )[0]
    np.testing.assert_allclose(activate(sums, activation), expected, rtol=1e-6)


def test_forward_runs_the_layers_in_order_and_keeps_every_output():
    architecture = Architecture(
        "by hand",
        (3, 3, 1),
        (
            Conv("C", 1, 2, activation="relu"),
            Pool("S", mode="max", size=(1, 2)),
            Flatten(),
            Dense("D", 2, activation="softmax"),
        ),
    )
    weights = {
        "C": (CORNERS, np.array([7.0])),
        "D": (np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0.0, np.log(3)])),
    }
    outputs = forward(architecture, weights, IMAGE)
    assert list(outputs) == ["C", "S", "Flatten", "D"]
    assert outputs["C"][..., 0].tolist() == [[3, 3], [3, 3]]
    assert outputs["S"].tolist() == [[[3]], [[3]]]
    assert outputs["Flatten"].tolist() == [3, 3]
    np.testing.assert_allclose(outputs["D"], [0.25, 0.75])
    negative = forward(
        architecture, weights | {"C": (CORNERS, np.array([-7.0]))}, IMAGE
    )
    assert negative["C"].tolist() == np.zeros((2, 2, 1)).tolist()
