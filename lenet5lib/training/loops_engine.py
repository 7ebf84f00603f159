"""Training with the loops: what `loop` asks of an engine.

Nothing here imports TensorFlow, unless a Keras model is asked for.
"""

from __future__ import annotations

import io
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from lenet5lib import data
from lenet5lib.data.mnist import Digits
from lenet5lib.loops import compiled
from lenet5lib.loops.initial import initial_weights
from lenet5lib.loops.network import Network, Trainer
from lenet5lib.spec import Architecture
from lenet5lib.training import weights_file
from lenet5lib.training.losses import Loss
from lenet5lib.training.recipe import Recipe

if TYPE_CHECKING:
    import keras


class LoopsEngine:
    """A network and its optimizer as loops.

    Args:
        architecture: what to train.
        recipe: the hyperparameters.
        loss: to train by.
        seed: of the initial weights and of dropout.
        digits: to train on.
    """

    name = "loops"

    def __init__(
        self,
        architecture: Architecture,
        recipe: Recipe,
        loss: Loss,
        seed: int,
        digits: Digits,
    ) -> None:
        self.architecture, self.recipe = architecture, recipe
        weights = initial_weights(architecture, seed, recipe.kernel_initializer)
        self.network = Network(architecture, weights, loss=loss, seed=seed)
        self.batch_size = min(int(recipe.batch_size), len(digits))
        self.trainer = Trainer(self.network, recipe, self.batch_size)
        self.images = data.fit(digits.images, architecture.input_shape)
        self.labels = digits.labels
        self.epoch_images = self.images

    @property
    def threads(self) -> int:
        """The number of threads."""
        return self.trainer.threads

    @property
    def versions(self) -> dict[str, str]:
        """The versions of what computes."""
        names = ["numpy", *(["numba"] if compiled.available() else [])]
        found = {name: version(name) for name in names}
        return {"python": platform.python_version()} | found

    def begin_epoch(self, images: np.ndarray, number: int, begun: bool) -> None:
        """Take the images of an epoch, uint8 (n, height, width)."""
        self.epoch_images = images

    def steps(self, batches: np.ndarray, rates: np.ndarray) -> tuple[float, int]:
        """Take one step for each row of `batches` (steps, batch size), positions or −1; return loss and number correct."""
        return self.trainer.steps(self.epoch_images, self.labels, batches, rates)

    def outputs(self, images: np.ndarray) -> np.ndarray:
        """Return the network's output for uint8 images, (n, units)."""
        return self.network.predict(images)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Use the average of the weights, where the recipe asks for one, for as long as the block lasts."""
        own = self.network.weights.copy()
        self.take_average()
        try:
            yield
        finally:
            self.network.weights[:] = own

    def take_average(self) -> None:
        """Take the average of the weights for good, where the recipe asks for one."""
        if self.trainer.mean.size and self.trainer.iterations:
            for one in self.network.plan.parameters:
                if one.trained:
                    mean = one.piece.of(self.trainer.mean)
                    one.piece.of(self.network.weights)[:] = mean

    def contents(self, with_optimizer: bool = True) -> bytes:
        """Return a weights file, as Keras writes it."""
        memory = io.BytesIO()
        optimizer = (
            (self.recipe.optimizer, self._slots()) if with_optimizer else None
        )
        weights = self.network.get_weights()
        weights_file.write(memory, self.architecture, weights, optimizer)
        return memory.getvalue()

    def _slots(self) -> list[Any]:
        """Return the optimizer's arrays in Keras's order."""
        trainer = self.trainer
        rate = self.recipe.learning_rates(np.zeros(1), 1, [])[0]
        found = [np.int64(trainer.iterations), np.float32(rate)]
        trained = [one for one in self.network.plan.parameters if one.trained]
        if trainer.mean.size:
            found += [one.to_keras(one.piece.of(trainer.mean)) for one in trained]
        for one in trained:
            for slot in trainer.kept_state():
                found.append(one.to_keras(one.piece.of(slot)))
        return found

    def restore(self, contents: bytes) -> None:
        """Take over weights and optimizer from a weights file that either engine wrote.

        Raises:
            ValueError: it does not fit.
        """
        weights, slots = weights_file.read(io.BytesIO(contents))
        self.network.set_weights(weights)
        expected = self._slots()
        if [np.shape(one) for one in slots] != [np.shape(one) for one in expected]:
            raise ValueError(
                f"the optimizer's state has {len(slots)} arrays, or some of other shapes; expected {len(expected)} of "
                f"{self.recipe.optimizer}. Name a checkpoint of the same recipe."
            )
        trainer = self.trainer
        trainer.iterations = int(slots[0])
        left = slots[2:]
        trained = [one for one in self.network.plan.parameters if one.trained]
        if trainer.mean.size:
            for one in trained:
                one.piece.of(trainer.mean)[:] = one.from_keras(left.pop(0))
        for one in trained:
            for slot in trainer.kept_state():
                one.piece.of(slot)[:] = one.from_keras(left.pop(0))

    def model(self) -> keras.Model:
        """Return a Keras model with these weights and this optimizer's state."""
        from lenet5lib import models
        from lenet5lib.training.keras_engine import compile_model

        model = models.build(self.architecture)
        compile_model(model, self.recipe)
        flat = self.network.get_weights()
        for layer in model.layers:
            if layer.weights:
                layer.set_weights(flat[layer.name])
        for variable, value in zip(
            model.optimizer.variables, self._slots(), strict=True
        ):
            variable.assign(value)
        return model
