"""A network of loops: the same bits for any number of threads, with and without numba, and the same numbers as Keras.

This module imports no TensorFlow, so that its functions run in fresh processes quickly.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lenet5lib.loops.network import Network, Weights
from lenet5lib.loops.trainer import Trainer
from lenet5lib.spec import (
    ARCHITECTURES,
    LENET5,
    LENET5_32,
    Architecture,
    Conv,
    Dense,
    Dropout,
    Flatten,
    Pool,
    Subsample,
)
from lenet5lib.training.losses import CrossEntropy
from lenet5lib.training.recipe import Recipe

SEED, STEP = 3, 7
MIXED = Architecture(
    "a small network of all kinds of layers",
    (8, 9, 1),
    (
        Conv("A", 3, (3, 2), (1, 2), "same", "tanh"),
        Dropout("B", 0.25),
        Pool("C", "max", (3, 2), (2, 1), "same"),
        Subsample("D", 2, "sigmoid"),
        Conv("E", 3, (2, 3), (2, 1), "same", "softmax", ((0, 2), (1,), (0, 1, 2))),
        Pool("F", "average", (3, 2), (2, 1), "same"),
        Flatten(),
        Dense("G", 6, "softmax"),
        Dense("Output", 10, "softmax"),
    ),
)
TINY = Architecture(
    "a tiny network",
    (8, 9, 1),
    (
        Conv("A", 3, (3, 2), (1, 2), "same", "tanh"),
        Flatten(),
        Dense("Output", 10, "softmax"),
    ),
)
DROPPING = Architecture(
    "LeNet-5 with dropout",
    LENET5.input_shape,
    (*LENET5.layers[:-1], Dropout("Dropout", 0.5), LENET5.layers[-1]),
)
RECIPE = Recipe(weight_decay=0.01, ema_decay=0.9, learning_rate=0.01)
BATCH_SIZES = 32, 128, 50, 7


def digits(architecture: Architecture, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return random images as they lie in a file, and labels."""
    rng = np.random.default_rng(SEED)
    images = rng.integers(0, 256, (count, *architecture.input_shape[:2]), np.uint8)
    return images, rng.integers(0, 10, count)


def batches_of(count: int, batch_size: int) -> np.ndarray:
    """Return an epoch's batches in a random order, −1 for none at the end of the last."""
    rows = np.full(-(-count // batch_size) * batch_size, -1)
    rows[:count] = np.random.default_rng(SEED).permutation(count)
    return rows.reshape(-1, batch_size)


def train(
    architecture: Architecture, batch_size: int, threads: int, count: int = 300
) -> tuple[Trainer, tuple[float, int]]:
    """Train for an epoch; return the trainer, the sum of the losses and the number of correct predictions."""
    network = Network(architecture, loss=CrossEntropy(), seed=SEED)
    trainer = Trainer(network, RECIPE, batch_size, threads)
    batches = batches_of(count, batch_size)
    rates = RECIPE.learning_rates(np.arange(len(batches)), len(batches), [])
    return trainer, trainer.steps(*digits(architecture, count), batches, rates)


def checksum(
    architecture: Architecture, batch_size: int, threads: int, count: int = 300
) -> str:
    """Return a checksum of all that a training epoch leaves behind."""
    trainer, totals = train(architecture, batch_size, threads, count)
    arrays = trainer.network.weights, trainer.state, trainer.ema
    assert all(np.isfinite(array).all() and array.any() for array in arrays)
    bits = b"".join(array.tobytes() for array in arrays)
    return hashlib.sha256(bits + repr(totals).encode()).hexdigest()


def in_a_process(code: str, **environment: str) -> subprocess.CompletedProcess:
    """Run statements in a fresh interpreter, this module's names and the library at hand."""
    folders = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    start = f"import sys; sys.path[:0] = {folders}\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{start}{code}"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done


CHECKSUMS = """
from test_loops_network import *
print([checksum({name}, *numbers) for numbers in {numbers}])
"""


def checksums_in_a_process(name: str, numbers: list, **environment: str) -> list:
    """Return checksums of training runs in a fresh process."""
    code = CHECKSUMS.format(name=name, numbers=numbers)
    return eval(in_a_process(code, **environment).stdout)


@pytest.fixture(scope="module")
def by_one_thread() -> list[str]:
    """The checksums of DROPPING for each batch size."""
    return [checksum(DROPPING, size, threads=1) for size in BATCH_SIZES]


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_the_number_of_threads_does_not_change_a_bit(threads, by_one_thread):
    found = [checksum(DROPPING, size, threads) for size in BATCH_SIZES]
    assert found == by_one_thread
    assert len(set(found)) == len(BATCH_SIZES)  # They do see a difference.


@pytest.mark.slow
def test_another_process_with_three_real_threads_has_the_same_bits(by_one_thread):
    """Whatever the number of processors here, numba starts three threads there."""
    numbers = [(size, 3) for size in BATCH_SIZES]
    found = checksums_in_a_process("DROPPING", numbers, NUMBA_NUM_THREADS="3")
    assert found == by_one_thread


@pytest.mark.slow
def test_compiled_anew_or_from_disk_the_bits_are_the_same(tmp_path):
    expected = [checksum(TINY, 50, 2)]
    for _ in ("compiled", "from disk"):
        before = set(tmp_path.rglob("*.nbc"))
        found = checksums_in_a_process(
            "TINY", [(50, 2)], NUMBA_CACHE_DIR=str(tmp_path)
        )
        assert found == expected
    assert before == set(tmp_path.rglob("*.nbc")) != set()


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").touch()
    place = str(tmp_path / "file" / "cache")
    found = checksums_in_a_process("TINY", [(50, 2)], NUMBA_CACHE_DIR=place)
    assert found == [checksum(TINY, 50, 2)]


def mixed_results(dtype: str, group: int) -> dict[str, np.ndarray]:
    """Return outputs, loss, derivatives and one training step of MIXED, by name."""
    network = Network(
        MIXED,
        loss=CrossEntropy(smoothing=0.1),
        seed=SEED,
        group=group,
        dtype=np.dtype(dtype).type,
        inputs_gradient=True,
    )
    rng = np.random.default_rng(SEED)
    x = rng.uniform(0, 1, (6, *MIXED.input_shape)).astype(dtype)
    loss, gradients, of_x = network.gradients(x, np.arange(6), STEP)
    found = {"loss": loss, "input": of_x, **network.layers(x[0])}
    found |= flat("gradient", gradients)
    images, labels = digits(MIXED, 6)
    found["predict"] = network.predict(images)
    trainer = Trainer(network, RECIPE, batch_size=6, threads=2)
    found["totals"] = trainer.steps(
        images, labels, np.array([[5, 3, 0, 1, -1, -1]]), np.array([0.01])
    )
    found |= {"state": trainer.state, "mean": trainer.ema}
    found |= flat("weights", network.get_weights())
    return {name: np.asarray(value) for name, value in found.items()}


def flat(what: str, weights: Weights) -> dict[str, np.ndarray]:
    """Return the arrays of all layers by one name each."""
    return {
        f"{what} of {name}, array {n}": array
        for name, arrays in weights.items()
        for n, array in enumerate(arrays)
    }


PLAIN = """
sys.modules["numba"] = None  # Importing it raises ImportError.
from test_loops_network import *
from lenet5lib.loops import compiled
assert not compiled.available()
for dtype in ("float64", "float32"):
    for group in {groups}:
        np.savez(f"{folder}/{{dtype}}-{{group}}.npz", **mixed_results(dtype, group))
"""
GROUPS = 16, 5, 1
OTHER = {"float32": np.float64, "float64": np.float32}


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> tuple[Path, str]:
    """A folder with the results of a process without numba, and what it said on stderr."""
    folder = tmp_path_factory.mktemp("plain")
    code = PLAIN.format(groups=GROUPS, folder=folder.as_posix())
    return folder, in_a_process(code).stderr


@pytest.mark.parametrize(
    ("dtype", "limit"),
    [pytest.param("float64", 1e-12, marks=pytest.mark.slow), ("float32", 1e-5)],
)
def test_without_numba_the_numbers_are_the_same(dtype, limit, plain):
    """And so they are for groups of five and of one, which the compiled network does not have here."""
    expected = mixed_results(dtype, group=GROUPS[0])
    assert len(expected) > 20
    for group in GROUPS:
        with np.load(plain[0] / f"{dtype}-{group}.npz") as found:
            assert set(found) == set(expected)
            for name in expected:
                one, other = found[name], expected[name]
                assert one.dtype == other.dtype
                if name in ("state", "mean"):
                    assert one.shape == other.shape
                np.testing.assert_allclose(
                    one, other, rtol=limit, atol=limit, err_msg=f"{name}, {group}"
                )


def test_a_missing_numba_is_said_once(plain):
    assert plain[1].count("numba is not installed") == 1
    assert len(plain[1].splitlines()) == 1


def test_a_numba_that_may_not_compile_is_said_and_the_numbers_are_plain_pythons():
    code = """
import os
os.environ["NUMBA_DISABLE_JIT"] = "1"
from lenet5lib.loops import compiled, plain
import numpy as np
assert not compiled.available()
print(plain.convolve(np.ones((1, 4, 4)), np.ones((1, 1, 3, 3)), np.zeros(1)).tolist())
"""
    done = in_a_process(code)
    assert "[[[9.0, 9.0], [9.0, 9.0]]]" in done.stdout
    assert "DISABLE_JIT" in done.stderr


@pytest.fixture(scope="module", params=ARCHITECTURES)
def twins(request) -> tuple:
    """A Keras model and a network of the same weights."""
    from lenet5lib import models

    model = models.build(ARCHITECTURES[request.param], seed=SEED)
    for layer in model.layers:
        if layer.trainable_weights:  # So that no bias is 0.
            rng = np.random.default_rng(SEED)
            layer.set_weights(
                [a + rng.normal(0, 0.1, a.shape) for a in layer.get_weights()]
            )
    return model, Network(model.architecture, models.weights(model))


def test_weights_come_from_keras_and_go_back_without_loss(twins):
    from lenet5lib import models

    model, network = twins
    expected, found = models.weights(model), network.get_weights()
    assert list(found) == list(expected)
    for name, arrays in expected.items():
        model.get_layer(name).set_weights(found[name])
        for one, other in zip(found[name], arrays, strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other, strict=True)
    again = Network(model.architecture, models.weights(model))
    assert again.weights.tobytes() == network.weights.tobytes()


@pytest.mark.parametrize("threads", [1, 3])
def test_predictions_are_keras_s(threads, twins):
    """Of 28×28 images, which lie in the middle of a larger input, and not in whole groups."""
    from lenet5lib import data, models

    model, network = twins
    images = data.stand_in().test.images[:100]  # Padded with −0.1 for LENET5_1998.
    expected = model(models.prepared(model, images), training=False).numpy()
    found = network.predict(images, threads)
    assert found.dtype == np.float32
    distances = expected.max() > 1
    allowed = {"rtol": 1e-5, "atol": 0} if distances else {"rtol": 0, "atol": 1e-6}
    np.testing.assert_allclose(found, expected, **allowed)
    inputs = models.prepared(model, images[:20])
    outputs = [network.layers(one)["Output"] for one in inputs]
    np.testing.assert_allclose(outputs, expected[:20], **allowed)
    own = network.layers(inputs[0])
    for name, values in models.activations(model, images[0]).items():
        channels_first = values.transpose(2, 0, 1) if values.ndim == 3 else values
        scale = np.abs(values).max()
        np.testing.assert_allclose(
            own[name] / scale, channels_first / scale, atol=1e-5
        )


def test_wrong_weights_are_refused_and_the_layer_is_named():
    network = Network(LENET5_32)
    good = network.get_weights()
    for name, arrays, came in (
        ("C3", (), "nothing"),
        ("C3", good["C3"][:1], "nothing"),
        ("F6", (good["F6"][0].T, good["F6"][1]), "shape (84, 120)"),
        ("Output", good["Output"][::-1], "shape (10,)"),
    ):
        with pytest.raises(ValueError, match=f"{name} hold") as refused:
            Network(LENET5_32, good | {name: arrays})
        assert came in str(refused.value)
        assert "expected an array of shape" in str(refused.value)


def test_a_row_of_fewer_examples_is_a_smaller_batch():
    """−1 stands for none: it takes no part in the loss, in the gradient or in the division by the number of examples."""
    images, labels = digits(TINY, 40)
    rows, rates = np.arange(20)[np.newaxis], np.array([0.01])
    results = []
    for batch_size in (20, 21, 40):
        network = Network(TINY, loss=CrossEntropy(), seed=SEED)
        trainer = Trainer(network, RECIPE, batch_size)
        padded = np.full((1, batch_size), -1)
        padded[:, :20] = rows
        totals = trainer.steps(images, labels, padded, rates)
        results.append((totals, network.weights.tobytes(), trainer.ema.tobytes()))
    # 40 examples have a third group, of no examples: its gradient is 0.
    assert results[0] == results[1] == results[2]
    one_by_one = Network(TINY, loss=CrossEntropy(), seed=SEED)
    x = one_by_one.levels()[images][..., np.newaxis]
    losses = [
        one_by_one.gradients(x[n : n + 1], labels[n : n + 1])[0] for n in range(20)
    ]
    assert results[0][0][0] == pytest.approx(sum(losses), rel=1e-6)


def test_an_unknown_optimizer_is_refused():
    network = Network(TINY, loss=CrossEntropy())
    with pytest.raises(ValueError, match="levenberg-marquardt") as refused:
        Trainer(network, Recipe(optimizer="levenberg-marquardt"), 32)
    assert "adam, sgd" in str(refused.value)
