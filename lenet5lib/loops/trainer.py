"""Training a network of loops: the steps of an optimizer, and their drivers, which numba compiles.

A batch's groups are divided into lanes, whose gradients are added in a fixed order. Threads share the lanes. So the result
is the same to the last bit for any number of threads. Chapter 15 is about the speed.
"""

from __future__ import annotations

import numpy as np

from lenet5lib.loops import update
from lenet5lib.loops.compiled import specialise
from lenet5lib.loops.network import GROUP, Network
from lenet5lib.loops.operations import gather, maps, run
from lenet5lib.loops.parallel import aligned, thread_count, with_threads
from lenet5lib.loops.update import add_up, update_ema
from lenet5lib.training.recipe import Recipe

try:
    from numba import prange
except ImportError:
    prange = range

LANES = 4
"""Parts of a batch whose gradients are kept apart: as many threads can work on one batch."""
CHUNK = 4096
"""Numbers that an optimizer updates in one go."""

B, optimizer = GROUP, update.adam
"""Constants of the two loops below, which `compiled.specialise` sets."""


def lane_gradient(
    functions, at, starts, weights, gradient, values, now, images, levels, labels, rows,
    place, lane, lanes
):  # fmt: skip
    """Add up the gradients of every `lanes`-th group of a batch, from group `lane` on.

    values[0] becomes the sum of the losses, and values[1] the number of correct predictions.
    """
    gradient[:] = 0
    values[0] = values[1] = 0
    x = maps(values, place, 0)
    for g in range(lane, len(rows) // B, lanes):
        some = rows[g * B : g * B + B]
        gather(images, levels, some, x)
        now[1] = g * B
        for k in range(B):
            now[2 + k] = labels[some[k]] if some[k] >= 0 else -1
        run(functions, at, starts, weights, gradient, values, now)


def take_steps(
    functions, at, starts, weights, values, now, images, levels, labels, batches, place,
    gradients, state, decayed, ema, settings, keeps, totals, first_step
):  # fmt: skip
    """Take one step of the optimizer for each row of `batches`.

    Args:
        gradients: (lanes, numbers); overwritten.
        state: (slots, numbers), of the optimizer; `decayed` (numbers,); `ema` (numbers,), the EMA of the weights, or (0,).
        settings: (steps, 3), what the optimizer reads as `now`; keeps: (steps,), the EMA's decay at each step.
        totals: (lanes, 2), the sum of the losses and the number of correct predictions, added to.
        first_step: the number of the first step, from 0 over the whole run.
    """
    threads, lanes = values.shape[0], gradients.shape[0]
    chunks = (weights.size + CHUNK - 1) // CHUNK
    for s in range(batches.shape[0]):
        for t in prange(threads):
            for lane in range(t, lanes, threads):
                now[t, 0] = first_step + s
                lane_gradient(
                    functions, at, starts, weights, gradients[lane], values[t], now[t],
                    images, levels, labels, batches[s], place, lane, lanes
                )  # fmt: skip
                totals[lane, 0] += values[t, 0]
                totals[lane, 1] += values[t, 1]
        for c in prange(chunks):
            first, last = c * CHUNK, min((c + 1) * CHUNK, weights.size)
            add_up(gradients, first, last)
            optimizer(
                weights, state, decayed, gradients[0], first, last, settings[s]
            )
            if ema.size:
                update_ema(ema, weights, keeps[s], first, last)


class Trainer:
    """A network in training: the parameters, the optimizer's state, and steps.

    Args:
        network: with a loss; its weights are trained in place.
        recipe: of which the optimizer and what belongs to it are read.
        batch_size: examples per step.
        threads: that divide the work; None for all. The result does not depend on it.

    Raises:
        ValueError: an optimizer that the loops do not have.
    """

    def __init__(
        self,
        network: Network,
        recipe: Recipe,
        batch_size: int,
        threads: int | None = None,
    ) -> None:
        update.require_optimizer(recipe)
        self.network, self.recipe = network, recipe
        self.threads = threads or thread_count()
        self.iterations = 0
        size, dtype = network.weights.size, network.dtype
        function, slots = update.OPTIMIZERS[recipe.optimizer]
        self.state = aligned((slots, size), dtype)
        self.ema = aligned((size if recipe.ema_decay else 0,), dtype)
        self.decayed = aligned((size,), dtype)
        for one in network.plan.parameters:
            one.piece.of(self.decayed)[:] = one.trained and one.decayed
        self.groups = -(-batch_size // network.group)
        lanes = min(LANES, self.groups)
        self.gradients = aligned((lanes, size), dtype)
        self.values = network.new_values(min(self.threads, lanes))
        self.now = np.full((len(self.values), 2 + network.group), -1, np.int64)
        optimizer = specialise(function, "inner", F=dtype)
        self.drive = specialise(
            take_steps, "parallel", B=network.group, F=dtype, optimizer=optimizer
        )

    def _require(
        self, images: np.ndarray, labels: np.ndarray, batches: np.ndarray
    ) -> None:
        """Raise ValueError unless the compiled loops may read these arrays; they do not check bounds."""
        count, classes = len(images), self.network.classes
        height, width, _ = self.network.architecture.input_shape
        if images.shape[1:] != (height, width) or images.dtype != np.uint8:
            raise ValueError(
                f"images are {images.dtype} of shape {images.shape}; expected uint8 "
                f"(n, {height}, {width}). Bring them to the network's size with data.fit."
            )
        if len(labels) != count or labels.min() < 0 or labels.max() >= classes:
            raise ValueError(
                f"{len(labels)} labels from {labels.min()} to {labels.max()}; expected "
                f"{count}, one for each image, from 0 to {classes - 1}. Correct the labels."
            )
        if batches.max() >= count or not (batches >= 0).any(axis=1).all():
            raise ValueError(
                f"batches name positions up to {batches.max()} of {count} images, or a "
                "batch has none; expected at least one in each. Correct the batches."
            )

    def kept_state(self) -> list[np.ndarray]:
        """Return the optimizer's slots that a checkpoint holds: none without momentum."""
        if self.recipe.optimizer == "sgd" and not self.recipe.momentum:
            return []
        return list(self.state)

    def steps(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        batches: np.ndarray,
        rates: np.ndarray,
    ) -> tuple[float, int]:
        """Take one step for each row of `batches`.

        Args:
            images: uint8 (n, height, width), of the size of the network's input.
            labels: (n,).
            batches: (steps, batch size) of positions, −1 for none at the end of a row.
            rates: (steps,), learning rates.

        Returns:
            The sum of the examples' losses, and the number of correct predictions, both before each step.
        """
        network = self.network
        self._require(images, labels, batches)
        rows = np.full((len(batches), self.groups * network.group), -1, np.int64)
        rows[:, : batches.shape[1]] = batches
        counts = (batches >= 0).sum(axis=1)
        numbers = self.iterations + np.arange(len(batches))
        settings = update.settings(self.recipe, rates, counts, numbers)
        keeps = np.where(numbers == 0, 0, self.recipe.ema_decay)
        totals = np.zeros((len(self.gradients), 2))
        with_threads(self.threads)
        digits = (
            np.ascontiguousarray(images),
            network.levels(),
            labels.astype(np.int64),
        )
        schedule = settings.astype(network.dtype), keeps.astype(network.dtype)
        self.drive(
            *(*network.training, network.weights, self.values, self.now),
            *(*digits, rows, network.place(), self.gradients),
            *(
                self.state,
                self.decayed,
                self.ema,
                *schedule,
                totals,
                self.iterations,
            ),
        )
        self.iterations += len(batches)
        loss, correct = totals.sum(axis=0)
        return float(loss), int(correct)
