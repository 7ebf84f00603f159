"""The derivatives of the loops: against TensorFlow's GradientTape, number by number, and against central differences.

`python tests/test_loops_gradients.py` prints the worst differences as a table.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_loops_network import MIXED

from lenet5lib import _keras, arithmetic, models
from lenet5lib.loops.initial import initial_weights
from lenet5lib.loops.network import Network, Weights
from lenet5lib.spec import (
    ACTIVATIONS,
    LENET5,
    LENET5_32,
    LENET5_1998,
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
from lenet5lib.training.losses import (
    CrossEntropy,
    Loss,
    MaximumAPosteriori,
    MaximumLikelihood,
)

SEED, STEP = 3, 7
"""Of the networks and their dropout, and the step whose dropout is drawn."""
LIMITS = {"float64": 1e-9, "float32": 1e-5}
"""The largest difference, as a share of the largest derivative of the same array."""
SMOOTHED = CrossEntropy(smoothing=0.1)

NETWORKS = {
    "lenet5": (LENET5, CrossEntropy(), 61_706),
    "lenet5-32, smoothed labels": (LENET5_32, SMOOTHED, 61_706),
    "lenet5-1998, equation (8)": (LENET5_1998, MaximumLikelihood(), 60_000),
    "lenet5-1998, equation (9)": (LENET5_1998, MaximumAPosteriori(), 60_000),
}
"""Name to architecture, loss and number of parameters."""

# Few kinds of windows, since each is compiled for itself.
WINDOWS = ((5, 1), ((3, 2), (1, 2)), ((2, 3), (2, 1)))
POOLS = ((2, None), ((3, 2), (2, 1)))
PADDINGS = ("valid", "same")
TABLE = ((0,), (1, 0), (1,))

LAYERS: dict[str, tuple[Layer, ...]] = {
    "convolution": (Conv("A", 3, 5),),
    "convolution with padding": (Conv("A", 3, 5, 1, "same"),),
    "convolution with strides": tuple(
        Conv(f"A{n}", 3, *window, padding, "tanh")
        for n, (window, padding) in enumerate(
            [(WINDOWS[1], "same"), (WINDOWS[2], "valid")]
        )
    ),
    "convolution with a table": (
        Conv("A", 3, (3, 2), (1, 2), "same", table=TABLE),
    ),
    "average pooling": (Pool("A", "average", 2), Pool("B", "average", *POOLS[1])),
    "max pooling": (Pool("A", "max", 2), Pool("B", "max", *POOLS[1])),
    "padded average pooling": (Pool("A", "average", *POOLS[1], "same"),),
    "padded max pooling": (
        Pool("A", "max", 2, padding="same"),
        Pool("B", "max", *POOLS[1], "same"),
    ),
    "subsampling": (Subsample("A", (3, 2), "linear"), Subsample("B", 2)),
    "dropout": (
        Conv("A", 3, 5, padding="same"),
        Dropout("B", 0.25),
        Flatten(),
        Dense("C", 6, "tanh"),
        Dropout("D", 0.5),
    ),
    **{
        f"{name} on maps and vectors": (
            Conv("A", 3, 5, padding="same", activation=name),
            Flatten(),
            Dense("B", 5, name),
        )
        for name in ACTIVATIONS
    },
}
"""Kind of layer to layers that read 8×9 pixels of 2 maps; what gives ten classes is added."""


def on_top_of(*layers: Layer) -> Architecture:
    """Return a network of these layers and a dense layer of ten classes."""
    flat = (
        () if any(isinstance(layer, Flatten) for layer in layers) else (Flatten(),)
    )
    return Architecture(
        "A small network",
        (8, 9, 2),
        (*layers, *flat, Dense("Output", 10, "softmax")),
    )


def random_architecture(number: int) -> tuple[Architecture, Loss]:
    """Return one of endless small networks, a function of its number, and a loss that goes with it."""
    rng = np.random.default_rng([SEED, number])

    def one_of(*options):
        return options[rng.integers(len(options))]

    def activation(channels):
        # Softmax of one number is constant, and Keras warns of it.
        return one_of(
            *(name for name in ACTIVATIONS if channels > 1 or name != "softmax")
        )

    inputs = (int(rng.integers(7, 10)), int(rng.integers(7, 11)), one_of(1, 2, 3))
    layers: list[Layer] = []
    shape = inputs
    for name in "ABC"[: rng.integers(1, 4)]:
        maps, padding = one_of(2, 3), one_of(*PADDINGS)
        table = None
        if one_of(True, False):
            rows = rng.random((maps, shape[2])) < 0.6
            rows[rng.integers(maps, size=shape[2]), range(shape[2])] = True
            rows[range(maps), rng.integers(shape[2], size=maps)] = True
            table = tuple(tuple(np.flatnonzero(row).tolist()) for row in rows)
        layer = one_of(
            Conv(name, maps, *one_of(*WINDOWS), padding, activation(maps), table),
            Conv(name, maps, *one_of(*WINDOWS), padding, activation(maps)),
            Pool(name, one_of("average", "max"), *one_of(*POOLS), padding),
            Subsample(name, one_of(2, (3, 2)), activation(shape[2])),
        )
        try:
            shape = arithmetic.output_shape(layer, shape)
        except ValueError:
            continue  # Its window is larger than what is left.
        layers.append(layer)
        if len(layers) == 1 and one_of(True, False):
            layers.append(Dropout("Dropout-on-maps", 0.25))
    layers.append(Flatten())
    if one_of(True, False):
        layers.append(Dense("D", one_of(3, 6, 8), activation(3)))
        if len(layers) == 4:
            layers.append(Dropout("Dropout", 0.5))
    if one_of(True, False, False):
        layers += [Dense("F6", 84, one_of("tanh", "scaled_tanh")), RBF("Output")]
        loss = one_of(MaximumLikelihood(), MaximumAPosteriori())
    else:
        layers.append(Dense("Output", 10, "softmax"))
        loss = one_of(CrossEntropy(), SMOOTHED)
    return Architecture(f"random network {number}", inputs, tuple(layers)), loss


def weights_of(architecture: Architecture) -> Weights:
    """Return initial weights whose biases are not all 0."""
    rng = np.random.default_rng(SEED)
    return {
        name: (
            arrays[0],
            *(rng.normal(0, 0.1, array.shape) for array in arrays[1:]),
        )
        for name, arrays in initial_weights(architecture, SEED).items()
    }


def examples(
    architecture: Architecture, count: int, dtype: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return random inputs, from background to ink, and labels."""
    rng = np.random.default_rng(SEED)
    x = rng.uniform(*architecture.pixel_range, (count, *architecture.input_shape))
    return x.astype(dtype), rng.permutation(np.arange(count) % 10)


@contextmanager
def keras_in(dtype: str) -> Iterator[None]:
    """Let Keras compute in this type of number as long as the block lasts."""
    former = keras.config.floatx(), keras.config.dtype_policy()
    needed = _keras.NEEDED.copy()
    _keras.NEEDED.update(floatx=dtype, dtype_policy=dtype)
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    try:
        yield
    finally:
        _keras.NEEDED.clear()
        _keras.NEEDED.update(needed)
        keras.config.set_floatx(former[0])
        keras.config.set_dtype_policy(former[1])


def by_tensorflow(
    architecture: Architecture, loss: Loss, weights: Weights, x: np.ndarray, labels
) -> tuple[float, Weights, np.ndarray]:
    """Return what `Network.gradients` returns, by TensorFlow."""
    with keras_in(x.dtype.name):
        model = models.build(architecture, SEED)
        for layer in model.layers:
            if layer.name in weights:
                layer.set_weights(weights[layer.name])
            if isinstance(getattr(layer, "step", None), tf.Variable):
                layer.step.assign(STEP)
        x = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            mean = tf.reduce_mean(
                loss(tf.constant(labels), model(x, training=True))
            )
        trained = {
            layer.name: layer.trainable_variables
            for layer in model.layers
            if layer.trainable_variables
        }
        found, of_x = tape.gradient(mean, [trained, x])
    arrays = {
        name: tuple(one.numpy() for one in own) for name, own in found.items()
    }
    return float(mean), arrays, of_x.numpy()


class Worst(NamedTuple):
    """The largest difference from TensorFlow: as a share of the largest of its array; where; how many were compared."""

    difference: float
    where: str
    parameters: int

    def __str__(self) -> str:
        return f"{self.difference:.1e} in {self.where}"


def worst(
    architecture: Architecture, loss: Loss, dtype: str, count: int = 3
) -> Worst:
    """Compare all derivatives of a loss with TensorFlow's, those with respect to the input too, and the loss itself."""
    weights = weights_of(architecture)
    x, labels = examples(architecture, count, dtype)
    kind = {"dtype": np.dtype(dtype).type, "inputs_gradient": True}
    network = Network(architecture, weights, loss=loss, seed=SEED, **kind)
    mean, mine, of_x = network.gradients(x, labels, STEP)
    expected_mean, expected, expected_of_x = by_tensorflow(
        architecture, loss, weights, x, labels
    )
    pairs = [(f"{architecture.name}: loss", mean, expected_mean)]
    pairs.append((f"{architecture.name}: input", of_x, expected_of_x))
    for name, arrays in expected.items():
        for n, (one, other) in enumerate(zip(mine[name], arrays, strict=True)):
            pairs.append((f"{architecture.name}: {name}, array {n}", one, other))
    found = [(difference(one, other), where) for where, one, other in pairs]
    parameters = sum(one.size for arrays in expected.values() for one in arrays)
    return Worst(*max(found), parameters)


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference as a share of the largest expected number."""
    assert np.shape(found) == np.shape(expected)
    largest = np.abs(expected).max()
    off = np.abs(found - expected).max()
    return float(off / largest) if largest else float(off)


def worst_of_random(dtype: str, count: int = 100) -> Worst:
    """Return the largest difference of the first random networks."""
    return max(worst(*random_architecture(n), dtype) for n in range(count))


both = pytest.mark.parametrize("dtype", LIMITS)


@both
@pytest.mark.parametrize("name", NETWORKS)
def test_all_derivatives_of_lenet5_are_tensorflow_s(name, dtype):
    architecture, loss, parameters = NETWORKS[name]
    found = worst(architecture, loss, dtype, count=21)
    assert found.difference <= LIMITS[dtype], str(found)
    assert found.parameters == parameters
    assert found.parameters == sum(
        row.params for row in arithmetic.table(architecture)
    )


@both
@pytest.mark.parametrize("name", LAYERS)
def test_each_kind_of_layer_has_the_derivatives_of_tensorflow(name, dtype):
    found = worst(on_top_of(*LAYERS[name]), CrossEntropy(), dtype)
    assert found.difference <= LIMITS[dtype], str(found)


@pytest.mark.slow
@both
def test_a_hundred_random_networks_have_the_derivatives_of_tensorflow(dtype):
    found = worst_of_random(dtype)
    assert found.difference <= LIMITS[dtype], str(found)


def test_the_random_networks_have_every_kind_of_layer():
    all_layers = [
        layer for n in range(100) for layer in random_architecture(n)[0].layers
    ]
    assert {type(layer) for layer in all_layers} == set(Layer.__args__)
    activations = {getattr(layer, "activation", "linear") for layer in all_layers}
    assert activations == set(ACTIVATIONS)
    pools = {(p.mode, p.padding) for p in all_layers if isinstance(p, Pool)}
    assert len(pools) == 4
    assert any(getattr(layer, "table", None) for layer in all_layers)


@pytest.mark.parametrize("pool", [Pool("A", "max", 2), Pool("A", "max", *POOLS[1])])
def test_of_equal_maxima_the_first_has_the_gradient_as_in_tensorflow(pool):
    architecture = on_top_of(pool)
    weights = weights_of(architecture)
    x = np.random.default_rng(SEED).integers(0, 2, (3, *architecture.input_shape))
    x = x.astype(np.float64)
    x[0] = 1
    arguments = architecture, CrossEntropy(), weights, x, np.array([3, 1, 4])
    network = Network(
        *(architecture, weights),
        loss=CrossEntropy(),
        dtype=np.float64,
        inputs_gradient=True,
    )
    found = network.gradients(*arguments[3:])[2]
    expected = by_tensorflow(*arguments)[2]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    # Where windows lie side by side, one pixel of each has it all.
    if pool.step == (2, 2):
        first = np.zeros_like(x[0], bool)
        first[::2, :-1:2] = True
        np.testing.assert_array_equal(found[0] != 0, first)


@pytest.mark.parametrize(
    ("architecture", "loss"),
    [
        (LENET5, CrossEntropy()),
        (LENET5_1998, MaximumAPosteriori()),
        (LENET5_1998, MaximumLikelihood()),
        (MIXED, SMOOTHED),
    ],
    ids=["lenet5", "lenet5-1998 (9)", "lenet5-1998 (8)", "mixed"],
)
def test_derivatives_are_central_differences(architecture, loss):
    """(L(w + h) − L(w − h)) / 2h of four numbers of each array, and of the input."""
    weights = {
        name: tuple(array.astype(np.float64) for array in arrays)
        for name, arrays in weights_of(architecture).items()
    }
    x, labels = examples(architecture, 3, "float64")
    kind = {"dtype": np.float64, "inputs_gradient": True}
    network = Network(architecture, weights, loss=loss, seed=SEED, **kind)
    h = 1e-4  # Less, and rounding counts; more, and the curvature does.
    _, found, of_x = network.gradients(x, labels, STEP)
    trained = {one.layer for one in network.plan.parameters if one.trained}
    pairs = [
        (f"{name}, array {n}", array, found[name][n])
        for name in trained
        for n, array in enumerate(weights[name])
    ]
    rng = np.random.default_rng(SEED)
    for where, array, gradient in [*pairs, ("input", x, of_x)]:
        for i in rng.choice(array.size, min(4, array.size), replace=False):
            own, losses = array.flat[i], []
            for moved in (own + h, own - h):
                array.flat[i] = moved
                network.set_weights(weights)
                losses.append(network.gradients(x, labels, STEP)[0])
            array.flat[i] = own
            slope = (losses[0] - losses[1]) / (2 * h)
            off = abs(slope - gradient.flat[i]) / np.abs(gradient).max()
            assert off <= 1e-6, f"{off:.1e} in {where}, number {i}"


def print_table() -> None:
    """Print the worst differences: three networks, each kind of layer, a hundred random networks."""
    print(f"{'':34} {'derivatives':>11}  float64  float32  worst float32")
    rows = [
        (name, worst, (*own[:2],), own[2], 21) for name, own in NETWORKS.items()
    ]
    for name, _, own, parameters, count in rows:
        line(name, parameters, *(worst(*own, dtype, count) for dtype in LIMITS))
    for name, layers in LAYERS.items():
        found = [worst(on_top_of(*layers), CrossEntropy(), d) for d in LIMITS]
        line(name, found[0].parameters, *found)
    totals = sum(
        row.params
        for n in range(100)
        for row in arithmetic.table(random_architecture(n)[0])
    )
    line("100 random networks", totals, *map(worst_of_random, LIMITS))


def line(name: str, count: int, double: Worst, single: Worst) -> None:
    """Print one row of the table."""
    shares = f"{double.difference:8.1e} {single.difference:8.1e}"
    print(f"{name:34} {count:11,} {shares}  {single.where}")


if __name__ == "__main__":
    print_table()
