"""Training with the loops. TensorFlow is imported only where a Keras model is asked for."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from lenet5lib.data import Digits
from lenet5lib.loops import compiled
from lenet5lib.loops.initial import initial_weights
from lenet5lib.loops.network import Network
from lenet5lib.loops.trainer import Trainer
from lenet5lib.records import Config
from lenet5lib.training import weights_file
from lenet5lib.training.engine import Engine
from lenet5lib.training.losses import Loss

if TYPE_CHECKING:
    import keras


class LoopsEngine(Engine):
    """A network and its optimizer as loops; see `Engine`."""

    name = "loops"
    packages = ("numpy", "numba") if compiled.available() else ("numpy",)

    def __init__(self, config: Config, loss: Loss, digits: Digits) -> None:
        super().__init__(config, loss, digits)
        architecture, seed = config.architecture, config.seed
        kernels = config.recipe.kernel_initializer
        weights = initial_weights(architecture, seed, kernels)
        self.network = Network(architecture, weights, loss=loss, seed=seed)
        self.trainer = Trainer(self.network, config.recipe, self.batch_size)
        self.labels, self.epoch_images = digits.labels, self.images

    @property
    def threads(self) -> int:
        return self.trainer.threads

    def begin_epoch(self, images: np.ndarray, epoch: int, begun: bool) -> None:
        self.epoch_images = images

    def train_steps(
        self, batches: np.ndarray, learning_rates: np.ndarray
    ) -> tuple[float, int]:
        given = self.epoch_images, self.labels, batches, learning_rates
        return self.trainer.steps(*given)

    def is_finite(self) -> bool:
        return bool(np.isfinite(self.network.weights).all())

    def outputs(self, images: np.ndarray) -> np.ndarray:
        return self.network.predict(images)

    @contextmanager
    def ema_weights(self) -> Iterator[None]:
        own = self.network.weights.copy()
        self.use_ema_weights()
        try:
            yield
        finally:
            self.network.weights[:] = own

    def use_ema_weights(self) -> None:
        if self.trainer.ema.size and self.trainer.iterations:
            for one in self._trained():
                mean = one.piece.of(self.trainer.ema)
                one.piece.of(self.network.weights)[:] = mean

    def contents(self, with_optimizer: bool = True) -> bytes:
        memory = io.BytesIO()
        name = self.config.recipe.optimizer
        optimizer = (name, self._optimizer_state()) if with_optimizer else None
        weights = self.network.get_weights()
        weights_file.write(memory, self.config.architecture, weights, optimizer)
        return memory.getvalue()

    def _trained(self) -> list[Any]:
        """Return the parameters that are trained."""
        return [one for one in self.network.plan.parameters if one.trained]

    def _slots(self) -> Iterator[tuple[Any, np.ndarray]]:
        """Yield each of the optimizer's arrays in Keras's order: its parameter, and a view of the numbers."""
        trainer, trained = self.trainer, self._trained()
        if trainer.ema.size:
            yield from ((one, one.piece.of(trainer.ema)) for one in trained)
        for one in trained:
            yield from ((one, one.piece.of(slot)) for slot in trainer.kept_state())

    def _optimizer_state(self) -> list[Any]:
        """Return the optimizer's state as Keras saves it."""
        rate = self.config.recipe.learning_rates(np.zeros(1), 1, [])[0]
        counters = [np.int64(self.trainer.iterations), np.float32(rate)]
        return counters + [one.to_keras(numbers) for one, numbers in self._slots()]

    def restore(self, contents: bytes) -> None:
        weights, state = weights_file.read(io.BytesIO(contents))
        self.network.set_weights(weights)
        expected = self._optimizer_state()
        if list(map(np.shape, state)) != list(map(np.shape, expected)):
            raise ValueError(
                f"the optimizer's state has {len(state)} arrays, or some of other "
                f"shapes; expected {len(expected)} of "
                f"{self.config.recipe.optimizer}. Name a checkpoint of the same recipe."
            )
        self.trainer.iterations = int(state[0])
        for (one, numbers), array in zip(self._slots(), state[2:], strict=True):
            numbers[:] = one.from_keras(array)

    def model(self) -> keras.Model:
        from lenet5lib import models
        from lenet5lib.training.keras_engine import compile_model

        model = compile_model(
            models.build(self.config.architecture), self.config.recipe
        )
        models_weights = self.network.get_weights()
        for layer in model.layers:
            if layer.weights:
                layer.set_weights(models_weights[layer.name])
        state = zip(model.optimizer.variables, self._optimizer_state(), strict=True)
        for variable, value in state:
            variable.assign(value)
        return model
