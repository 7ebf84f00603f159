"""A network of loops: any architecture of `spec`, forward and back, and the steps of an optimizer.

A batch is divided into groups of examples that stand side by side in memory, and the groups into lanes, whose gradients are
added in a fixed order. Threads share the lanes. So the result is the same to the last bit for any number of threads.
Weights come and go in the layout of Keras; nothing here needs TensorFlow. Chapter 15 is about the speed.
"""

from __future__ import annotations

import functools
import os
from typing import Any

import numpy as np

from lenet5lib.data import fit
from lenet5lib.loops import backward, compiled, forward, operations, plan, update
from lenet5lib.loops.compiled import specialise
from lenet5lib.loops.initial import initial_weights
from lenet5lib.loops.operations import clear, gather, give, maps, matrix, run
from lenet5lib.loops.update import add_up, take_average
from lenet5lib.spec import Architecture
from lenet5lib.training.losses import Loss
from lenet5lib.training.recipe import Recipe

try:
    from numba import prange
except ImportError:
    prange = range

GROUP = 16
"""Examples in a group: as many float32 numbers as the widest registers hold, 512 bits."""
LANES = 4
"""Parts of a batch whose gradients are kept apart: as many threads can work on one batch."""
CHUNK = 4096
"""Numbers that an optimizer updates in one go."""

LINE = 64
"""Bytes of a cache line, and of the widest register."""

Weights = dict[str, tuple[np.ndarray, ...]]
"""Layer name to its arrays, in the layout of Keras and in Keras's order."""


class Network:
    """A network as loops, and its parameters.

    Args:
        architecture: what to compute.
        weights: to begin with, in the layout of Keras; None for the initial weights of `seed`.
        loss: for `gradients`; None where no gradient is wanted.
        seed: of the initial weights and of dropout.
        group: examples that stand side by side.
        dtype: np.float32, or np.float64 for exact derivatives.
        inputs_gradient: whether `gradients` also gives the gradient with respect to the input.

    Raises:
        ValueError: a layer that cannot read its input; the layer is named.
    """

    def __init__(
        self,
        architecture: Architecture,
        weights: Weights | None = None,
        *,
        loss: Loss | None = None,
        seed: int = 0,
        group: int = GROUP,
        dtype: Any = np.float32,
        inputs_gradient: bool = False,
    ) -> None:
        self.architecture, self.dtype, self.group = architecture, dtype, group
        self.plan = plan.make(architecture, group, dtype, seed, inputs_gradient)
        self.weights = aligned((self.plan.weights.size,), dtype)
        self.set_weights(
            initial_weights(architecture, seed) if weights is None else weights
        )
        made = self.plan
        self.predicting = self.list_of(made.forward + made.finish)
        self.training = None
        if loss is not None:
            calls = [*made.forward, *self._loss(loss), *made.backward]
            self.training = self.list_of(calls)

    def _loss(self, loss: Loss) -> list[plan.Call]:
        """Return the operations that measure the loss, and its gradient with respect to the output."""
        made = self.plan
        last = self.architecture.layers[-1]
        if loss.name == "cross-entropy" and not made.finish:
            raise ValueError(
                f"{last.name} is the last layer and has no softmax, but cross-entropy wants probabilities. Give it the "
                "activation softmax."
            )
        setting = float(getattr(loss, "smoothing", getattr(loss, "j", 0.0)))
        own = {"SETTING": setting, "SIGN": int(loss.score_sign)}
        own["loss"] = made.specialised(forward.LOSSES[loss.name])
        measure = made.call(operations.measure, None, made.output, **own)
        own = {"SETTING": setting}
        own["function"] = made.specialised(backward.LOSSES[loss.name])
        pieces = made.output, made.output_gradient
        return [measure, made.call(operations.measure_inputs, None, *pieces, **own)]

    def list_of(self, calls: list[plan.Call]) -> tuple:
        """Return operations as `operations.run` takes them: functions, whole numbers, where those of each begin."""
        functions = tuple(function for function, _ in calls)
        if compiled.available():  # They are addresses.
            functions = np.array(functions, np.int64)
        at = np.concatenate([np.array(numbers, np.int64) for _, numbers in calls])
        starts = np.cumsum([0, *(len(numbers) for _, numbers in calls)])
        return functions, at, starts.astype(np.int64)

    def new_values(self, count: int = 1) -> np.ndarray:
        """Return room for the values of `count` groups, (count, numbers), what never changes filled in."""
        values = aligned((count, self.plan.values.size), self.dtype)
        for piece, contents in self.plan.fills:
            for row in values:
                piece.of(row)[:] = contents
        return values

    @property
    def classes(self) -> int:
        """How many units the output has."""
        return self.plan.output.shape[1]

    def get_weights(self, flat: np.ndarray | None = None) -> Weights:
        """Return the parameters, or another array of their shape, in the layout of Keras."""
        flat = self.weights if flat is None else flat
        found: dict[str, list[np.ndarray]] = {}
        for one in self.plan.parameters:
            array = one.to_keras(one.piece.of(flat))
            found.setdefault(one.layer, []).append(array)
        return {name: tuple(arrays) for name, arrays in found.items()}

    def set_weights(self, weights: Weights, flat: np.ndarray | None = None) -> None:
        """Take over parameters in the layout of Keras, into the network or into another array of its shape.

        Raises:
            ValueError: an array is missing or has another shape; the layer is named.
        """
        flat = self.weights if flat is None else flat
        left = {name: list(arrays) for name, arrays in weights.items()}
        for one in self.plan.parameters:
            arrays = left.get(one.layer)
            piece = one.piece.of(flat)
            expected = one.to_keras(piece).shape
            if not arrays or np.shape(arrays[0]) != expected:
                came = f"shape {np.shape(arrays[0])}" if arrays else "nothing"
                raise ValueError(
                    f"the weights of {one.layer} hold {came}; expected an array of shape {expected}. Give the weights of "
                    f"{self.architecture.name}, in the layout of Keras."
                )
            piece[:] = one.from_keras(np.asarray(arrays.pop(0)))

    def fill_inputs(self, values: np.ndarray, images: np.ndarray) -> None:
        """Put up to B prepared images, (n, height, width, maps), into a group's values; the rest of the group is zeros."""
        x = self.plan.inputs.of(values)
        x = x.reshape(*x.shape[:2], -1, self.group)
        x[:] = 0
        x[..., : len(images)] = images.transpose(3, 1, 2, 0)

    def outputs(self, images: np.ndarray) -> np.ndarray:
        """Return the output for prepared images: (n, units) from floats (n, height, width, maps)."""
        values = self.new_values()[0]
        gradient = np.zeros(1, self.dtype)
        found = []
        for first in range(0, len(images), self.group):
            some = images[first : first + self.group]
            self.fill_inputs(values, some)
            self._run(self.predicting, gradient, values, self._now(-1, 0))
            found.append(self.plan.output.of(values)[: len(some)].copy())
        return np.concatenate(found)

    def layers(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Return every layer's output for one prepared image: (channels, rows, columns) or (units,).

        Args:
            image: (height, width, maps).
        """
        values = self.new_values()[0]
        self.fill_inputs(values, image[np.newaxis])
        gradient = np.zeros(1, self.dtype)
        self._run(self.predicting, gradient, values, self._now(-1, 0))
        found = {}
        for name, piece in self.plan.outputs.items():
            array = piece.of(values)
            by_example = (*array.shape[:2], -1, self.group)
            one = array.reshape(by_example)[..., 0] if array.ndim == 3 else array[0]
            found[name] = one.copy()
        return found

    def gradients(
        self, images: np.ndarray, labels: np.ndarray, step: int = -1
    ) -> tuple[float, Weights, np.ndarray | None]:
        """Return the mean loss of some examples and its derivatives.

        Args:
            images: prepared, (n, height, width, maps).
            labels: (n,), 0 to classes − 1.
            step: by which dropout draws; −1 for no dropout.

        Returns:
            The loss; its derivative with respect to each parameter, in the layout of Keras; that with respect to the input,
            (n, height, width, maps), or None where it was not asked for.
        """
        values = self.new_values()[0]
        gradient = np.zeros_like(self.weights)
        of_inputs = []
        for first in range(0, len(images), self.group):
            some = images[first : first + self.group]
            self.fill_inputs(values, some)
            now = self._now(step, first, labels[first : first + self.group])
            self._run(self.training, gradient, values, now)
            gx = self.plan.inputs_gradient.of(values)
            gx = gx.reshape(*gx.shape[:2], -1, self.group)[..., : len(some)]
            of_inputs.append(gx.transpose(3, 1, 2, 0).copy())
        count = len(images)
        found = self.get_weights(gradient / self.dtype(count))
        whole = np.concatenate(of_inputs) / self.dtype(count)
        return float(values[0]) / count, found, whole

    def _now(self, step: int, first: int, labels: Any = ()) -> np.ndarray:
        """Return what an operation must know of its group; see `operations`."""
        now = np.full(2 + self.group, -1, np.int64)
        now[:2] = step, first
        now[2 : 2 + len(labels)] = labels
        return now

    def _run(
        self, listed: tuple, gradient: np.ndarray, values: Any, now: Any
    ) -> None:
        """Run a list of operations on one group."""
        run = specialise(operations.run)
        run(*listed, self.weights, gradient, values, now)

    def predict(self, images: np.ndarray, threads: int | None = None) -> np.ndarray:
        """Return the output for images as they lie in the file.

        Args:
            images: uint8 (n, height, width), not larger than the network's input; background is put around them.
            threads: that share the work; None for all.

        Returns:
            (n, units): probabilities, or an RBF layer's distances.
        """
        threads = threads or thread_count()
        images = fit(images, self.architecture.input_shape)
        groups = -(-len(images) // self.group)
        rows = np.full(groups * self.group, -1, np.int64)
        rows[: len(images)] = np.arange(len(images))
        found = np.zeros((len(rows), self.plan.output.shape[1]), self.dtype)
        values = self.new_values(min(threads, max(groups, 1)))
        now = np.tile(self._now(-1, 0), (len(values), 1))
        with_threads(threads)
        drive = specialise(predict_groups, "parallel", B=self.group)
        drive(
            *self.predicting,
            self.weights,
            values,
            now,
            np.ascontiguousarray(images),
            self.levels(),
            rows,
            self.place(),
            found,
        )
        return found[: len(images)]

    def levels(self) -> np.ndarray:
        """Return what each of the 256 grey levels becomes, in the architecture's pixel range."""
        low, high = map(np.float32, self.architecture.pixel_range)
        share = np.arange(256, dtype=np.float32) / np.float32(255)
        if (low, high) != (0, 1):
            share = low + (high - low) * share
        return share.astype(self.dtype)

    def place(self) -> np.ndarray:
        """Return where a group's input and its output lie."""
        made = self.plan
        return np.array([*made.inputs.entry(), *made.output.entry()], np.int64)


def aligned(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return zeros that begin at a whole cache line: a vector of the widest kind then reads one line, and not two."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.zeros(size + LINE, np.uint8)
    first = -raw.ctypes.data % LINE
    return raw[first : first + size].view(dtype).reshape(shape)


def thread_count() -> int:
    """Return the number of threads that work where none is given: those of the processor, or fewer by `limit_threads`."""
    if _limit:
        return _limit[-1]
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # Not on Linux.
        return os.cpu_count() or 1


_limit: list[int] = []


def limit_threads(threads: int) -> None:
    """Let the loops of this process use so many threads from now on."""
    _limit[:] = [threads]


def with_threads(threads: int) -> None:
    """Let numba's next parallel loops use so many threads."""
    if compiled.available():
        import numba

        _start_threads()
        numba.set_num_threads(max(1, min(threads, numba.config.NUMBA_NUM_THREADS)))


@functools.cache
def _start_threads() -> None:
    """Load numba's threads, and let one that waits for others give up its processor after some ten microseconds.

    GNU's OpenMP would wait for milliseconds, and on a machine that other programs keep busy a step takes many times as long.
    It reads its setting once, when it is loaded.
    """
    import numba

    name, given = "GOMP_SPINCOUNT", os.environ.get("GOMP_SPINCOUNT")
    os.environ.setdefault(name, "20000")
    try:
        numba.set_num_threads(1)
    finally:
        if given is None:
            del os.environ[name]


B, optimizer = GROUP, update.adam
"""Constants of the two drivers below, which `compiled.specialise` sets."""


def predict_groups(
    functions, at, starts, weights, values, now, images, levels, rows, place, found
):
    """Write the output for each row into `found`, (rows, units); the threads share the groups."""
    threads = values.shape[0]
    groups = len(rows) // B
    for t in prange(threads):
        x = maps(values[t], place, 0)
        for g in range(t, groups, threads):
            gather(images, levels, rows[g * B : g * B + B], x)
            nothing = values[t, 0:1]
            run(functions, at, starts, weights, nothing, values[t], now[t])
            give(matrix(values[t], place, 1), found, g * B)


def lane_gradient(
    functions, at, starts, weights, gradient, values, now, images, levels, labels, rows,
    place, lane, lanes
):  # fmt: skip
    """Add up the gradients of every `lanes`-th group of a batch, from group `lane` on.

    The sum of the losses and the number of correct examples come to stand in values[0] and values[1].
    """
    clear(gradient)
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
    gradients, state, decayed, mean, settings, keeps, totals, first_step
):  # fmt: skip
    """Take one step of the optimizer for each row of `batches`.

    Args:
        gradients: (lanes, numbers); their values are of no interest afterwards.
        state: (slots, numbers), of the optimizer; `decayed` (numbers,); `mean` (numbers,), the weights' average, or (0,).
        settings: (steps, 3), what the optimizer reads as `now`; keeps: (steps,), what the average keeps of itself.
        totals: (lanes, 2), the sum of the losses and the number of correct examples, added to.
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
            if mean.size:
                take_average(mean, weights, keeps[s], first, last)


class Trainer:
    """A network in training: the parameters, the optimizer's state, and steps.

    Args:
        network: with a loss; its weights are trained in place.
        recipe: of which the optimizer and what belongs to it are read.
        batch_size: examples a step.
        threads: that share the work; None for all. The result does not depend on it.

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
        self.mean = aligned((size if recipe.ema_decay else 0,), dtype)
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
        """Raise ValueError unless the compiled loops may read these arrays; they do not look where they read."""
        size, classes = self.network.architecture.input_shape, self.network.classes
        if images.shape[1:] != size[:2] or images.dtype != np.uint8:
            raise ValueError(
                f"images are {images.dtype} of shape {images.shape}; expected uint8 (n, {size[0]}, {size[1]}). Bring them "
                "to the network's size with data.fit."
            )
        if len(labels) != len(images) or not (
            0 <= labels.min() <= labels.max() < classes
        ):
            raise ValueError(
                f"{len(labels)} labels from {labels.min()} to {labels.max()}; expected {len(images)}, one for each image, "
                f"from 0 to {classes - 1}. Correct the labels."
            )
        if batches.max() >= len(images) or not (batches >= 0).any(axis=1).all():
            raise ValueError(
                f"batches name positions up to {batches.max()} of {len(images)} images, or a batch has none; expected at "
                "least one position in each. Correct the batches."
            )

    def kept_state(self) -> list[np.ndarray]:
        """Return the optimizer's slots that are to be saved: without momentum there is nothing to keep."""
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
        self.drive(
            *network.training,
            network.weights,
            self.values,
            self.now,
            np.ascontiguousarray(images),
            network.levels(),
            labels.astype(np.int64),
            rows,
            network.place(),
            self.gradients,
            self.state,
            self.decayed,
            self.mean,
            settings.astype(network.dtype),
            keeps.astype(network.dtype),
            totals,
            self.iterations,
        )
        self.iterations += len(batches)
        loss, correct = totals.sum(axis=0)
        return float(loss), int(correct)
