"""The second derivatives beside their definition, exact ones and loops; the optimizer's step beside hand arithmetic."""

import itertools

import keras
import numpy as np
import pytest
import small
import tensorflow as tf
from naive import (
    cross_entropy,
    forward,
    maximum_a_posteriori,
    maximum_likelihood,
    rbf,
    softmax,
)

from lenet5lib import _keras, models
from lenet5lib.lenet1998 import layers
from lenet5lib.lenet1998 import optimizer as lenet1998_optimizer
from lenet5lib.lenet1998.codes import DIGITS
from lenet5lib.lenet1998.optimizer import (
    DiagonalLevenbergMarquardt,
    estimation_set,
    second_derivatives,
)
from lenet5lib.loops import plain
from lenet5lib.spec import (
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
from lenet5lib.training import keras_engine, loop, recipe, schedules
from lenet5lib.training.keras_engine import ema_weights, use_ema_weights
from lenet5lib.training.losses import (
    CrossEntropy,
    MaximumAPosteriori,
    MaximumLikelihood,
)

THEN = Architecture(
    "tiny, of 1998",
    (8, 7, 2),
    (
        Conv("C1", filters=3, kernel_size=(3, 2), activation="scaled_tanh"),
        Subsample("S2"),
        Conv(
            "C3",
            filters=3,
            kernel_size=2,
            activation="scaled_tanh",
            table=((0, 2), (1,), (2, 0, 1)),
        ),
        Subsample("S4"),
        Flatten(),
        Dense("F6", units=84, activation="scaled_tanh"),
        RBF("Output", units=4),
    ),
)
NOW = Architecture(
    "tiny, of today",
    (6, 6, 1),
    (
        Conv("C1", filters=2, kernel_size=3, padding="same", activation="sigmoid"),
        Pool("S2"),
        Conv("C3", filters=2, kernel_size=2, stride=(1, 2), padding="same"),
        Pool("S4", padding="same"),
        Flatten(),
        Dropout("Drop", rate=0.5),
        Dense("F6", units=5, activation="tanh"),
        Dense("Output", units=4, activation="softmax"),
    ),
)
NEAR = MaximumAPosteriori(j=80.0)
"""A rubbish class about as far away as the codes are from the tiny network's values."""
CASES = [(THEN, NEAR), (THEN, MaximumLikelihood()), (NOW, CrossEntropy())]


@pytest.fixture
def double(monkeypatch):
    """Build models of 64-bit numbers, for which the library's own models are too coarse."""
    monkeypatch.setitem(_keras.NEEDED, "dtype_policy", "float64")
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy(before)


def built(architecture, seed=0):
    """Return a model with wide random weights, and three random inputs."""
    model = models.build(architecture)
    drawn = plain.random_weights(architecture, seed)
    for name, arrays in drawn.items():
        model.get_layer(name).set_weights(arrays)
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(3, *architecture.input_shape))
    return model, inputs.astype(model.compute_dtype)


def carried(function, array, second, step=1e-5):
    """Return Σ (∂y/∂v)² h_y for each entry v of an array that the function reads, by central differences."""
    found = np.zeros(array.shape)
    for place in np.ndindex(array.shape):
        kept = array[place]
        array[place] = kept + step
        above = function()
        array[place] = kept - step
        slopes = (above - function()) / (2 * step)
        array[place] = kept
        found[place] = (slopes**2 * second).sum()
    return found


def curvature(function, values, step=1e-3):
    """Return the second derivative of a scalar function in each entry of a vector, by differences."""
    steps = step * np.eye(len(values))
    return np.array(
        [
            (function(values + one) - 2 * function(values) + function(values - one))
            / step**2
            for one in steps
        ]
    )


def at_output(architecture, loss, values, weights):
    """Return the loss's second derivative in the last layer's input, or in its sums before a softmax, by differences."""
    if isinstance(loss, CrossEntropy):
        return curvature(lambda sums: cross_entropy(softmax(sums), 1), values)
    naive = {
        MaximumLikelihood: lambda y: maximum_likelihood(y, 1),
        MaximumAPosteriori: lambda y: maximum_a_posteriori(y, 1, loss.j),
    }[type(loss)]
    codes = weights[architecture.layers[-1].name][0]
    return curvature(lambda x: naive(rbf(x, codes)), values)


def by_loops(architecture, loss, weights, image):
    """Return the estimate for one image by its definition, layer by layer: layer name to h of its weights."""
    chain = [one for one in architecture.layers if not isinstance(one, Dropout)]
    if isinstance(loss, CrossEntropy):
        chain[-1] = Dense(chain[-1].name, chain[-1].units)
    else:
        chain = chain[:-1]
    seen = [image.astype(float)]
    for layer in chain:
        single = Architecture("one layer", (1, 1, 1), (layer,))
        made = forward(single, weights, seen[-1])
        seen.append(made[layer.name])
    second = at_output(architecture, loss, seen[-1], weights)
    found = {}
    for layer, values in zip(reversed(chain), reversed(seen[:-1]), strict=True):
        single = Architecture("one layer", (1, 1, 1), (layer,))

        def outputs(single=single, layer=layer, values=values):
            made = forward(single, weights, values)
            return made[layer.name].copy()  # Flatten gives the same memory.

        own = weights.get(layer.name, ())
        found[layer.name] = [carried(outputs, array, second) for array in own]
        second = carried(outputs, values, second)
    return found


@pytest.mark.parametrize(("architecture", "loss"), CASES)
def test_the_estimate_is_its_definition_by_loops(architecture, loss, double):
    model, inputs = built(architecture)
    weights = models.weights(model)
    each = [by_loops(architecture, loss, weights, one) for one in inputs]
    expected = [
        np.mean([one[name][number] for one in each], axis=0)
        for name in weights
        for number in range(2)
        if name in each[0]
    ]
    found = second_derivatives(model, loss, inputs)
    assert len(found) == len(expected) == len(model.trainable_variables)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-9)


def exact(model, loss, inputs, labels):
    """Return the diagonal of Jᵀ H J: J of the last layer's input in each weight, H exact in this input; the digits' mean."""
    *_, last = model.layers
    body = keras.Model(model.input, last.input)
    found = [np.zeros(v.shape) for v in model.trainable_variables]
    for one, label in zip(inputs, labels, strict=True):
        with tf.GradientTape() as tape:
            values = body(one[np.newaxis])
        jacobians = tape.jacobian(
            values, [v.value for v in model.trainable_variables]
        )
        with tf.GradientTape() as outer:
            outer.watch(values)
            with tf.GradientTape() as inner:
                inner.watch(values)
                total = tf.reduce_sum(loss(np.array([label]), last(values)))
            gradient = inner.gradient(total, values)
        hessian = np.squeeze(outer.jacobian(gradient, values), (0, 2))
        for n, jacobian in enumerate(jacobians):
            j = np.reshape(jacobian, (values.shape[1], -1))
            squares = np.einsum("av,ab,bv->v", j, hessian, j)
            found[n] += squares.reshape(found[n].shape) / len(inputs)
    return found


@pytest.mark.parametrize(
    ("hidden", "loss"),
    [
        (Dense("F6", units=84, activation="scaled_tanh"), NEAR),
        (Dense("F6", units=84, activation="sigmoid"), MaximumLikelihood()),
        # With shared weights the diagonal leaves something out, unless outputs have nothing in common.
        (
            Conv("C1", filters=84, kernel_size=(2, 2), activation="scaled_tanh"),
            MaximumLikelihood(),
        ),
    ],
)
def test_for_one_layer_the_estimate_is_the_exact_gauss_newton_diagonal(
    hidden, loss, double
):
    shape = (2, 2, 1)
    between = (Flatten(),)
    order = (*between, hidden) if isinstance(hidden, Dense) else (hidden, *between)
    model, inputs = built(Architecture("one", shape, (*order, RBF("Output", 4))))
    found = second_derivatives(model, loss, inputs)
    for one, other in zip(
        found, exact(model, loss, inputs, [0, 1, 3]), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-9)


def test_positions_that_share_a_weight_add_up_where_outputs_have_nothing_in_common(
    double,
):
    convolution = Conv("C1", filters=21, kernel_size=2, activation="scaled_tanh")
    layers_ = (convolution, Flatten(), RBF("Output", 4))
    model, inputs = built(Architecture("shared", (3, 3, 1), layers_))
    found = second_derivatives(model, MaximumLikelihood(), inputs)
    expected = exact(model, MaximumLikelihood(), inputs, [0, 1, 3])
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_softmax_regression_has_its_exact_second_derivatives(double):
    layers_ = (Flatten(), Dense("Output", units=4, activation="softmax"))
    model, inputs = built(Architecture("softmax", (2, 2, 1), layers_))
    found = second_derivatives(model, CrossEntropy(), inputs)
    kernel, bias = (v.value for v in model.trainable_variables)
    flat = inputs.reshape(3, 4)
    with tf.GradientTape(persistent=True) as outer:
        outer.watch([kernel, bias])
        with tf.GradientTape() as inner:
            inner.watch([kernel, bias])
            shares = tf.nn.softmax(flat @ kernel + bias)
            loss = tf.reduce_mean(CrossEntropy()(np.array([0, 1, 3]), shares))
        gradients = inner.gradient(loss, [kernel, bias])
    for one, gradient, variable in zip(
        found, gradients, (kernel, bias), strict=True
    ):
        hessian = outer.jacobian(gradient, variable).numpy()
        size = np.size(one)
        diagonal = np.diag(hessian.reshape(size, size)).reshape(one.shape)
        np.testing.assert_allclose(one, diagonal, rtol=1e-6)


@pytest.mark.parametrize("j", [1e-3, 12.0, 84.0, 300.0])
@pytest.mark.parametrize("label", [0, 7])
def test_the_output_of_equation_nine_has_its_exact_second_derivatives(j, label):
    rng = np.random.default_rng(0)
    near = DIGITS[3] + rng.normal(0, 0.1, 84)
    between = (DIGITS[6] + DIGITS[8]) / 2
    values = tf.constant(np.stack([near, between, rng.normal(size=84)]))
    output = layers.RBFOutput(dtype="float64")
    labels = np.full(3, label)
    loss = MaximumAPosteriori(j)
    with tf.GradientTape() as outer:
        outer.watch(values)
        with tf.GradientTape() as inner:
            inner.watch(values)
            total = tf.reduce_sum(loss(labels, output(values)))
        gradient = inner.gradient(total, values)
    hessian = outer.batch_jacobian(gradient, values).numpy()
    diagonal = np.diagonal(hessian, axis1=1, axis2=2)
    found = lenet1998_optimizer.of_distances(values, output.codes, j)
    np.testing.assert_allclose(found, diagonal, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("width", [1e-4, 0.1, 1.0, 1.7159, 100.0])
def test_no_rounding_makes_a_second_derivative_negative(width):
    rng = np.random.default_rng(1)
    values = DIGITS[rng.integers(0, 10, 200)] + rng.normal(0, width, (200, 84))
    values = tf.constant(values, tf.float32)
    for j in (1e-3, 12.0, 1000.0):
        found = lenet1998_optimizer.of_distances(
            values, DIGITS.astype("f4"), j
        ).numpy()
        assert np.isfinite(found).all()
        assert (found >= 0).all()
    found = lenet1998_optimizer.of_softmax(100 * width * values).numpy()
    assert (found >= 0).all()
    assert (found <= 0.25).all()


@pytest.mark.parametrize(
    ("architecture", "loss"),
    [(LENET5_1998, MaximumAPosteriori()), (LENET5, CrossEntropy())],
)
def test_the_estimate_has_the_shapes_of_the_weights_and_is_a_mean(
    architecture, loss
):
    model = models.build(architecture)
    images = small.dataset().train.images[:4]
    inputs = models.prepared(model, images)
    found = second_derivatives(model, loss, inputs)
    variables = model.trainable_variables
    assert [h.shape for h in found] == [v.shape for v in variables]
    assert sum(np.size(h) for h in found) == model.count_params() - (
        840 if architecture is LENET5_1998 else 0
    )
    assert all((h.numpy() >= 0).all() and h.numpy().any() for h in found)
    each = [second_derivatives(model, loss, one[np.newaxis]) for one in inputs]
    for mean, *alone in zip(found, *each, strict=True):
        np.testing.assert_allclose(mean, np.mean(alone, axis=0), rtol=1e-4)


@pytest.mark.parametrize(("architecture", "loss"), CASES)
def test_compiled_or_not_the_estimate_is_the_same(architecture, loss):
    model, inputs = built(architecture)
    expected = second_derivatives(model, loss, inputs)
    for compiled in (False, True):
        estimate = tf.function(
            lambda x: second_derivatives(model, loss, x),
            autograph=False,
            jit_compile=compiled,
        )
        for one, other in zip(estimate(inputs), expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-9)


def test_weights_that_are_not_trained_have_no_estimate():
    model, inputs = built(THEN)
    model.get_layer("C1").trainable = False
    found = second_derivatives(model, NEAR, inputs)
    assert [h.shape for h in found] == [v.shape for v in model.trainable_variables]
    assert len(found) == 8


def chain(*parts):
    """Return a model of these layers of Keras."""
    return keras.Sequential([keras.Input((4, 4, 1)), *parts])


REFUSED = [
    (
        chain(
            keras.layers.MaxPooling2D(name="S2"),
            keras.layers.Flatten(),
            keras.layers.Dense(10, "softmax"),
        ),
        CrossEntropy(),
        ("S2 is a MaxPooling2D", "AveragePooling2D"),
    ),
    (
        chain(
            keras.layers.Flatten(),
            keras.layers.Dense(9, "softmax", name="F6"),
            keras.layers.Dense(10, "softmax"),
        ),
        CrossEntropy(),
        ("activation of F6 is softmax", "linear, sigmoid, tanh, scaled_tanh, relu"),
    ),
    (
        chain(keras.layers.Flatten(), keras.layers.Dense(10, name="Output")),
        CrossEntropy(),
        ("Output, is a Dense", "loss is cross-entropy", "Dense with softmax"),
    ),
    (
        chain(
            keras.layers.Flatten(), keras.layers.Dense(10, "softmax", name="Output")
        ),
        keras.losses.SparseCategoricalCrossentropy(),
        ("Output, is a Dense", "loss is sparse_categorical_crossentropy"),
    ),
]


@pytest.mark.parametrize(("model", "loss", "parts"), REFUSED)
def test_layers_and_losses_without_a_formula_are_refused(model, loss, parts):
    with pytest.raises(ValueError, match="expected") as caught:
        second_derivatives(model, loss, np.zeros((1, 4, 4, 1), "f4"))
    assert all(part in str(caught.value) for part in parts)


def test_an_rbf_output_with_cross_entropy_is_refused():
    model, inputs = built(THEN)
    with pytest.raises(
        ValueError, match="Output, is a RBFOutput and the loss is cross-entropy"
    ):
        second_derivatives(model, CrossEntropy(), inputs)


@pytest.mark.parametrize(
    "inputs",
    [
        np.zeros((2, 8, 7), np.uint8),
        np.zeros((2, 7, 8, 2), np.float32),
        np.zeros((0, 8, 7, 2), np.float32),
    ],
)
def test_inputs_that_do_not_fit_are_refused(inputs):
    model, _ = built(THEN)
    with pytest.raises(ValueError, match="inputs are") as caught:
        second_derivatives(model, NEAR, inputs)
    text = str(caught.value)
    assert f"{inputs.dtype} of shape {inputs.shape}" in text
    assert "float (n, 8, 7, 2)" in text


def filled(values, seconds, **options):
    """Return variables of these values and an optimizer that holds these second derivatives."""
    variables = [keras.Variable(np.array(value, "f4")) for value in values]
    optimizer = DiagonalLevenbergMarquardt(**options)
    optimizer.build(variables)
    if seconds is not None:
        optimizer.set_second_derivatives([np.array(h, "f4") for h in seconds])
    return variables, optimizer


def test_a_step_is_the_learning_rate_over_damping_and_h_times_the_gradient():
    (kernel, bias), optimizer = filled(
        [[1.0, -2.0], 0.5], [[0.0, 0.48], 1.98], learning_rate=0.001
    )
    optimizer.apply([tf.constant([3.0, 5.0]), tf.constant(-4.0)], [kernel, bias])
    # 1 − 0.001 / 0.02 · 3, −2 − 0.001 / 0.5 · 5, 0.5 + 0.001 / 2 · 4.
    np.testing.assert_allclose(kernel, [0.85, -2.01], rtol=1e-6)
    np.testing.assert_allclose(bias, 0.502, rtol=1e-6)
    assert int(optimizer.iterations) == 1


def test_the_damping_is_the_papers_or_the_one_that_is_given():
    assert DiagonalLevenbergMarquardt().damping == 0.02
    assert lenet1998_optimizer.DAMPING == 0.02
    (weight,), optimizer = filled([1.0], [0.5], learning_rate=0.1, damping=0.5)
    optimizer.apply([tf.constant(2.0)], [weight])
    assert float(weight) == pytest.approx(0.8)


def test_before_the_first_estimate_nothing_moves():
    (weight,), optimizer = filled([1.0], None)
    optimizer.apply([tf.constant(1e6)], [weight])
    assert float(weight) == 1.0
    assert np.isinf(optimizer.second_derivatives[0].numpy())


@pytest.mark.parametrize("compiled", [False, True])
def test_a_program_follows_the_rate_and_the_second_derivatives_that_are_set(
    compiled,
):
    (weight,), optimizer = filled([[1.0, 1.0]], [[0.0, 0.98]])

    @tf.function(autograph=False, jit_compile=compiled)
    def step(gradient, rate):
        optimizer.learning_rate.assign(rate)
        optimizer.apply([gradient], [weight])

    step(tf.constant([1.0, 1.0]), tf.constant(0.01))
    np.testing.assert_allclose(weight, [0.5, 0.99], rtol=1e-6)
    step(tf.constant([1.0, 1.0]), tf.constant(0.002))
    np.testing.assert_allclose(weight, [0.4, 0.988], rtol=1e-6)
    optimizer.set_second_derivatives([np.array([0.98, 0.0], "f4")])
    step(tf.constant([1.0, 1.0]), tf.constant(0.002))
    np.testing.assert_allclose(weight, [0.398, 0.888], rtol=1e-6)


@pytest.mark.parametrize("digits", [1, 2, 3])
def test_a_batch_moves_as_far_as_its_images_would_one_by_one_from_its_place(digits):
    model, inputs = built(THEN)
    labels, variables = np.array([0, 3, 1]), model.trainable_variables
    optimizer = DiagonalLevenbergMarquardt(0.001)
    optimizer.build(variables)
    found = second_derivatives(model, NEAR, inputs)
    optimizer.set_second_derivatives(found)
    start = [v.numpy() for v in variables]

    def moved(rows):
        for variable, array in zip(variables, start, strict=True):
            variable.assign(array)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(NEAR(labels[rows], model(inputs[rows])))
        optimizer.apply(tape.gradient(loss, variables), variables)
        return [
            v.numpy() - array for v, array in zip(variables, start, strict=True)
        ]

    assert optimizer.expects_sum_of_losses
    alone = [moved([row]) for row in range(digits)]
    for one, *each in zip(moved([*range(digits)]), *alone, strict=True):
        np.testing.assert_allclose(one, np.sum(each, axis=0), atol=1e-6)


def test_the_second_derivatives_are_saved_and_loaded_with_the_optimizer(tmp_path):
    path = tmp_path / "a.weights.h5"
    model, inputs = built(THEN)
    model.compile(DiagonalLevenbergMarquardt(0.001))
    model.optimizer.build(model.trainable_variables)
    found = second_derivatives(model, NEAR, inputs)
    model.optimizer.set_second_derivatives(found)
    model.save_weights(path)
    again = models.build(THEN, seed=1)
    again.compile(DiagonalLevenbergMarquardt(0.5))
    again.optimizer.build(again.trainable_variables)
    again.load_weights(path)
    kept = again.optimizer.second_derivatives
    for one, other in zip(kept, found, strict=True):
        np.testing.assert_array_equal(one, other)
    assert float(again.optimizer.learning_rate) == np.float32(0.001)
    # Iterations, rate, and an array for each variable.
    names = [name for name in small.arrays(path) if name.startswith("optimizer/")]
    assert len(names) == 2 + len(model.trainable_variables)


def test_an_optimizer_is_made_again_from_its_configuration():
    optimizer = DiagonalLevenbergMarquardt(0.25, damping=0.125, weight_decay=0.5)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert isinstance(again, DiagonalLevenbergMarquardt)
    assert again.get_config() == optimizer.get_config()
    assert (again.damping, again.weight_decay) == (0.125, 0.5)


def test_weights_decay_as_with_any_optimizer_of_keras():
    (weight,), optimizer = filled(
        [1.0], [0.98], learning_rate=0.1, weight_decay=0.5
    )
    optimizer.apply([tf.constant(2.0)], [weight])
    assert float(weight) == pytest.approx(1 - 0.1 * 0.5 - 0.1 * 2)


@pytest.mark.parametrize("damping", [0, -1, np.nan, np.inf, "1", None])
def test_a_damping_that_is_not_above_zero_is_refused(damping):
    with pytest.raises(ValueError, match="above 0") as caught:
        DiagonalLevenbergMarquardt(damping=damping)
    assert f"damping is {damping!r}" in str(caught.value)


def test_second_derivatives_that_cannot_be_are_refused():
    _, optimizer = filled([[1.0, 2.0]], None)
    with pytest.raises(ValueError, match="second derivatives have") as caught:
        optimizer.set_second_derivatives([np.zeros(3), np.zeros(2)])
    assert "shapes [(3,), (2,)]; expected [(2,)]" in str(caught.value)
    for wrong in (-0.5, np.inf, np.nan):
        with pytest.raises(ValueError, match="0 or more") as caught:
            optimizer.set_second_derivatives([np.array([1.0, wrong])])
        name = optimizer.second_derivatives[0].name
        assert f"{name} holds {wrong}" in str(caught.value)
        assert np.isinf(optimizer.second_derivatives[0].numpy()).all()
    with pytest.raises(ValueError, match="no variables; expected it to be built"):
        DiagonalLevenbergMarquardt().set_second_derivatives([np.zeros(2)])


def test_the_estimation_set_is_a_function_of_seed_and_epoch():
    sets = {
        (seed, epoch): estimation_set(seed, epoch, 50, of=1000)
        for seed, epoch in itertools.product((0, 1, 2), (1, 2, 3))
    }
    for (seed, epoch), rows in sets.items():
        np.testing.assert_array_equal(
            rows, estimation_set(seed, epoch, 50, of=1000)
        )
        assert len(rows) == len(set(rows)) == 50
        assert (np.diff(rows) > 0).all()
        assert 0 <= rows.min() <= rows.max() < 1000
        first = loop.epoch_order(seed, epoch, 1000)[:50]
        assert (rows != np.sort(first)).any()
    assert len({tuple(rows) for rows in sets.values()}) == len(sets)


def test_an_estimation_set_of_few_images_is_all_of_them():
    assert estimation_set(0, 1, 50, of=30).tolist() == list(range(30))
    assert (
        len(estimation_set(3, 1, of=60_000))
        == lenet1998_optimizer.ESTIMATED_ON
        == 500
    )


def test_every_image_is_as_likely_to_be_in_an_estimation_set():
    rows = [estimation_set(7, epoch, 25, of=100) for epoch in range(1, 401)]
    counts = np.bincount(np.concatenate(rows), minlength=100)
    # Binomial, 400 epochs, a quarter: 100 ± 8.7.
    assert 60 < counts.min() <= counts.max() < 140


def test_the_papers_rates_last_twenty_epochs():
    rates = schedules.SCHEDULE_1998.learning_rates(
        np.arange(20 * 7), 7, []
    ).reshape(20, 7)
    assert (rates == rates[:, :1]).all()
    expected = [5e-4] * 2 + [2e-4] * 3 + [1e-4] * 3 + [5e-5] * 4 + [1e-5] * 8
    assert rates[:, 0].tolist() == expected


@pytest.mark.slow
def test_the_network_of_1998_learns_from_six_hundred_digits():
    digits, loss = small.dataset().train, MaximumAPosteriori()
    model = models.build(LENET5_1998)
    variables = model.trainable_variables
    optimizer = DiagonalLevenbergMarquardt(2e-5)
    optimizer.build(variables)
    inputs = tf.constant(models.prepared(model, digits.images))
    labels = tf.constant(digits.labels.astype("i4"))

    @tf.function(autograph=False)
    def estimate(rows):
        return second_derivatives(model, loss, tf.gather(inputs, rows))

    @tf.function(autograph=False)
    def step(rows):
        with tf.GradientTape() as tape:
            outputs = model(tf.gather(inputs, rows), training=True)
            total = tf.reduce_sum(loss(tf.gather(labels, rows), outputs))
        optimizer.apply(tape.gradient(total, variables), variables)

    def measured():
        outputs = model(inputs)
        right = tf.argmin(outputs, 1, tf.int32) == labels
        return float(tf.reduce_mean(loss(labels, outputs))), np.mean(right)

    before, _ = measured()
    for epoch in (1, 2, 3, 4, 5):
        rows = estimation_set(0, epoch, of=len(digits))
        optimizer.set_second_derivatives(estimate(rows))
        order = loop.epoch_order(0, epoch, len(digits)).reshape(-1, 10)
        for batch in order:
            step(tf.constant(batch))
    after, right = measured()
    assert after < before / 4
    assert right > 0.8


def stepped(decay: float, steps: int):
    """Return a model after some steps of Adam by hand, and its weights after each, float32 read into float64."""
    model, inputs = built(NOW)
    chosen = recipe.Recipe(weight_decay=0.1, ema_decay=decay)
    keras_engine.compile_model(model, chosen)
    variables, seen = model.trainable_variables, []
    for _ in range(steps):
        with tf.GradientTape() as tape:
            labels = np.zeros(len(inputs), int)
            loss = tf.reduce_mean(CrossEntropy()(labels, model(inputs)))
        model.optimizer.apply(tape.gradient(loss, variables), variables)
        seen.append([np.asarray(v, float) for v in variables])
    return model, seen


def bits(model) -> list[bytes]:
    return [np.asarray(v).tobytes() for v in model.variables]


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.999])
@pytest.mark.parametrize("steps", [1, 2, 6])
def test_the_average_is_the_recurrence_over_the_weights_of_each_step(decay, steps):
    """a ← d·a + (1 − d)·w; the first step has a = w, so that the initial weights have no part in it."""
    model, seen = stepped(decay, steps)
    expected = seen[0]
    for weights in seen[1:]:
        expected = [
            decay * a + (1 - decay) * w
            for a, w in zip(expected, weights, strict=True)
        ]
    moved = np.abs(seen[-1][0] - seen[0][0]).max() if steps > 1 else 1
    with ema_weights(model):
        found = [np.asarray(v) for v in model.trainable_variables]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-3 * moved)
    if steps == 1:
        assert bits(model) == [one.tobytes() for one in found]
    use_ema_weights(model)
    assert bits(model) == [one.tobytes() for one in found]


def test_a_block_with_the_average_gives_the_weights_back_bit_for_bit():
    model, _ = stepped(0.9, 4)
    before, state = bits(model), [v.numpy() for v in model.optimizer.variables]
    with ema_weights(model):
        inside = bits(model)
    assert bits(model) == before != inside

    def stop_half_way():
        with ema_weights(model):
            assert bits(model) == inside
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        stop_half_way()
    assert bits(model) == before
    for one, other in zip(model.optimizer.variables, state, strict=True):
        np.testing.assert_array_equal(one, other)


def test_without_an_average_nothing_changes():
    for make in (lambda: stepped(0.0, 2)[0], lambda: built(THEN)[0]):
        model = make()
        if not model.compiled:
            model.compile(DiagonalLevenbergMarquardt())
            model.optimizer.build(model.trainable_variables)
        before = bits(model)
        with ema_weights(model):
            assert bits(model) == before
        use_ema_weights(model)
        assert bits(model) == before
