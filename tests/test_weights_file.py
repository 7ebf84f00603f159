"""Weights files without Keras: what the loops write Keras loads, and the other way round, the optimizer's state included."""

import io

import h5py
import numpy as np
import pytest
import small

from lenet5lib import models
from lenet5lib.spec import LENET5, LENET5_32, LENET5_1998
from lenet5lib.training import checkpoint, loop, losses, weights_file
from lenet5lib.training.keras_engine import KerasEngine, compile_model
from lenet5lib.training.loops_engine import LoopsEngine
from lenet5lib.training.recipe import Recipe

RECIPES = {
    "Adam": Recipe(),
    "Adam with averaged weights": Recipe(ema_decay=0.9, weight_decay=0.01),
    "momentum": Recipe(optimizer="sgd", momentum=0.9),
    "gradient descent": Recipe(optimizer="sgd"),
}
CASES = [
    *((LENET5, name) for name in RECIPES),
    (LENET5_32, "Adam"),
    (LENET5_1998, "Adam"),
    (LENET5_1998, "momentum"),
]
IDS = [f"{architecture.name}, {name}" for architecture, name in CASES]


def engine(kind, architecture, recipe, steps=0):
    """Return an engine on forty digits that has taken some steps."""
    splits = small.splits().limit(40, 10)
    config = loop.configuration(architecture, splits, recipe, 0)
    made = kind(config, losses.make_loss(architecture, None, None), splits.train)
    made.begin_epoch(made.images, 1, begun=False)
    if steps:
        rows = np.arange(40).reshape(2, 20)[[0, 1] * steps][:steps]
        rows = np.pad(rows, ((0, 0), (0, 12)), constant_values=-1)[:, :32]
        made.train_steps(rows, np.full(steps, 0.001, np.float32))
    return made


def arrays(contents):
    """Return all arrays of a weights file by name."""
    found = {}
    with h5py.File(io.BytesIO(contents), "r") as file:
        file.visititems(
            lambda name, item: (
                found.update({name: item[()]})
                if isinstance(item, h5py.Dataset)
                else None
            )
        )
    return found


@pytest.mark.parametrize(("architecture", "name"), CASES, ids=IDS)
def test_keras_loads_what_the_loops_write(architecture, name):
    recipe = RECIPES[name]
    contents = engine(LoopsEngine, architecture, recipe, steps=3).contents()
    model = compile_model(models.build(architecture, seed=9), recipe)
    model.load_weights(checkpoint.Memory(contents))
    assert int(model.optimizer.iterations.numpy()) == 3
    again = arrays(checkpoint.keras_contents(model))
    for key, array in arrays(contents).items():
        np.testing.assert_array_equal(again.pop(key), array, err_msg=key)
    assert not again


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "name"), CASES, ids=IDS)
def test_the_loops_restore_what_keras_writes(architecture, name):
    recipe = RECIPES[name]
    contents = engine(KerasEngine, architecture, recipe, steps=2).contents()
    loops = engine(LoopsEngine, architecture, recipe)
    loops.restore(contents)
    again = arrays(loops.contents())
    for key, array in arrays(contents).items():
        if (
            key != "optimizer/vars/1"
        ):  # The rate of the last step, which the next sets.
            np.testing.assert_array_equal(again[key], array, err_msg=key)
    model = loops.model()
    assert int(model.optimizer.iterations.numpy()) == 2
    for key, array in arrays(checkpoint.keras_contents(model)).items():
        np.testing.assert_array_equal(again[key], array, err_msg=key)


def test_without_an_optimizer_there_is_none():
    contents = engine(LoopsEngine, LENET5, Recipe()).contents(with_optimizer=False)
    weights, slots = weights_file.read(io.BytesIO(contents))
    assert list(weights) == ["C1", "C3", "C5", "F6", "Output"]
    assert slots == []


def test_a_state_of_another_optimizer_and_another_network_are_refused():
    contents = engine(LoopsEngine, LENET5, Recipe()).contents()
    other = engine(LoopsEngine, LENET5, RECIPES["momentum"])
    with pytest.raises(ValueError, match="expected 12"):
        other.restore(contents)
    wider = engine(LoopsEngine, LENET5.change("F6", units=90), Recipe())
    with pytest.raises(ValueError, match="F6"):
        wider.restore(contents)


def test_what_is_no_weights_file_is_refused():
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        file.create_group("nothing")
    with pytest.raises(ValueError, match="no weights file"):
        weights_file.read(memory)
