"""A network of loops: any architecture of `spec`, its predictions and its derivatives. `trainer` takes its steps.

A batch is divided into groups of examples that stand side by side in memory. Weights come and go in the layout of Keras;
nothing here needs TensorFlow. Chapter 15 is about the speed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lenet5lib.data import fit
from lenet5lib.loops import backward, compiled, forward, operations, plan
from lenet5lib.loops.compiled import specialise
from lenet5lib.loops.initial import initial_weights
from lenet5lib.loops.operations import LABELS, Call, gather, maps, matrix, run
from lenet5lib.loops.parallel import aligned, thread_count, with_threads
from lenet5lib.spec import Architecture
from lenet5lib.training.losses import Loss

try:
    from numba import prange
except ImportError:
    prange = range

GROUP = 16
"""Examples in a group: as many float32 numbers as the widest registers hold, 512 bits."""

Weights = dict[str, tuple[np.ndarray, ...]]
"""Layer name to its arrays, in the layout of Keras and in Keras's order."""

Operations = tuple[Any, np.ndarray, np.ndarray]
"""Operations as `operations.run` takes them: functions, whole numbers, and where those of each begin."""


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
        self.plan = made = plan.make(architecture, group, seed, inputs_gradient)
        self.weights = aligned((made.weights.size,), dtype)
        if weights is None:
            weights = initial_weights(architecture, seed)
        self.set_weights(weights)
        self.predicting = self._listed(made.forward + made.finish)
        if loss is not None:
            calls = [*made.forward, *self._loss(loss), *made.backward]
            self.training = self._listed(calls)

    def _loss(self, loss: Loss) -> list[Call]:
        """Return the operations that measure the loss, and its gradient with respect to the output."""
        made, last = self.plan, self.architecture.layers[-1]
        if loss.name == "cross-entropy" and not made.finish:
            raise ValueError(
                f"{last.name} is the last layer and has no softmax, but cross-entropy "
                "expects probabilities. Give it the activation softmax."
            )
        setting = float(getattr(loss, "smoothing", getattr(loss, "j", 0.0)))
        own: dict[str, Any] = {"SETTING": setting, "SIGN": int(loss.score_sign)}
        own["loss"] = specialise(
            forward.LOSSES[loss.name], "inline", B=self.group, F=self.dtype
        )
        measure = Call(operations.measure, made.output, LABELS, made.totals, **own)
        pieces = made.output, LABELS, "F(SETTING)", made.output_gradient
        inputs = Call(backward.LOSSES[loss.name], *pieces, SETTING=setting)
        return [measure, inputs]

    def _listed(self, calls: Sequence[Call]) -> Operations:
        """Compile operations and return them as `operations.run` takes them."""
        functions: Any = tuple(
            one.compiled(self.group, self.dtype) for one in calls
        )
        if compiled.available():  # They are addresses.
            functions = np.array(functions, np.int64)
        at = np.concatenate([np.array(one.at, np.int64) for one in calls])
        starts = np.cumsum([0, *(len(one.at) for one in calls)])
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
        """The number of units of the output."""
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

    def _by_example(self, array: np.ndarray) -> np.ndarray:
        """Return a view (examples, height, width, channels) of a group's (channels, rows, columns · B)."""
        return array.reshape(*array.shape[:2], -1, self.group).transpose(3, 1, 2, 0)

    def _run(
        self,
        listed: Operations,
        values: np.ndarray,
        gradient: np.ndarray,
        images: np.ndarray,
        now: Sequence[int] = (-1, 0),
    ) -> None:
        """Run operations on up to B prepared images, (n, height, width, channels); what `now` leaves out is −1."""
        x = self._by_example(self.plan.inputs.of(values))
        x[: len(images)], x[len(images) :] = images, 0
        whole = np.full(2 + self.group, -1, np.int64)
        whole[: len(now)] = now
        specialise(run)(*listed, self.weights, gradient, values, whole)

    def layers(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Return every layer's output for one prepared image: (channels, rows, columns) or (units,).

        Args:
            image: (height, width, channels).
        """
        values = self.new_values()[0]
        self._run(
            self.predicting, values, np.zeros(1, self.dtype), image[np.newaxis]
        )
        arrays = {name: one.of(values) for name, one in self.plan.outputs.items()}
        return {
            name: array[0].copy()
            if array.ndim == 2
            else self._by_example(array)[0].transpose(2, 0, 1).copy()
            for name, array in arrays.items()
        }

    def gradients(
        self, images: np.ndarray, labels: np.ndarray, step: int = -1
    ) -> tuple[float, Weights, np.ndarray]:
        """Return the mean loss of some examples and its derivatives.

        Args:
            images: prepared, (n, height, width, channels).
            labels: (n,), 0 to classes − 1.
            step: by which dropout draws; −1 for no dropout.

        Returns:
            The loss; its derivative with respect to each parameter, in the layout of Keras; that with respect to the input,
            (n, height, width, channels), which is 0 where it was not asked for.
        """
        values, gradient = self.new_values()[0], np.zeros_like(self.weights)
        of_inputs = np.empty(images.shape, self.dtype)
        for first in range(0, len(images), self.group):
            part = slice(first, first + self.group)
            now = step, first, *labels[part]
            self._run(self.training, values, gradient, images[part], now)
            gx = self._by_example(self.plan.inputs_gradient.of(values))
            of_inputs[part] = gx[: len(images) - first]
        count = self.dtype(len(images))
        loss = float(self.plan.totals.of(values)[0]) / len(images)
        return loss, self.get_weights(gradient / count), of_inputs / count

    def predict(self, images: np.ndarray, threads: int | None = None) -> np.ndarray:
        """Return the output for images as they are in the file.

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
        found = np.zeros((len(rows), self.classes), self.dtype)
        values = self.new_values(min(threads, max(groups, 1)))
        now = np.full((len(values), 2 + self.group), -1, np.int64)
        now[:, 1] = 0
        with_threads(threads)
        drive = specialise(predict_groups, "parallel", B=self.group)
        inputs = np.ascontiguousarray(images), self.levels(), rows, self.place()
        drive(*self.predicting, self.weights, values, now, *inputs, found)
        return found[: len(images)]

    def levels(self) -> np.ndarray:
        """Return what each of the 256 grey levels becomes, in the architecture's pixel range."""
        low, high = map(np.float32, self.architecture.pixel_range)
        share = np.arange(256, dtype=np.float32) / np.float32(255)
        if self.architecture.pixel_range != (0, 1):
            share = low + (high - low) * share
        return share.astype(self.dtype)

    def place(self) -> np.ndarray:
        """Return where a group's input and its output lie."""
        made = self.plan
        return np.array([*made.inputs.entry(), *made.output.entry()], np.int64)


B = GROUP
"""A constant of the loop below, which `compiled.specialise` sets."""


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
            found[g * B : g * B + B] = matrix(values[t], place, 1)
