"""The source article's way of training and resuming, fixed only where current Keras refuses it.

It is here for comparison: `loop` does the same work and loses nothing. Chapter 7 measures the difference, and the appendix
"From TensorFlow 2.4" lists the fixes.
"""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import pandas as pd

from lenet5lib._keras import keras
from lenet5lib.data import Splits, prepare
from lenet5lib.models.build import all_layers, set_initial_weights
from lenet5lib.spec import LENET5

FORMER_NAME = "LeNet5.ckpt"
"""The name under which the article keeps its checkpoint; current Keras refuses it."""


class ArticleModel(keras.Model):
    """The article's class: its summary prints `?` for pooling, since no layer ever saw a symbolic input."""

    def __init__(self) -> None:
        super().__init__(name="LeNet-5")
        layers = all_layers(LENET5)
        self.c1, self.s2, self.c3, self.s4 = layers[:4]
        self.flatten, self.c5, self.f6, self.o7 = layers[4:]

    def call(self, inputs):
        x = self.c1(inputs)
        x = self.s2(x)
        x = self.c3(x)
        x = self.s4(x)
        x = self.flatten(x)
        x = self.c5(x)
        x = self.f6(x)
        return self.o7(x)


class ArticleLeNet5(ArticleModel):
    """The article's class with the fix: `build` passes one symbolic input through, so every shape is known."""

    def build(self, input_shape) -> None:
        """Build all layers for a batch of shape (batch, height, width, channels)."""
        self.call(keras.Input(input_shape[1:]))
        self.built = True


def fit(
    splits: Splits,
    path: Path,
    epochs: int,
    seed: int = 0,
    build_optimizer: bool = False,
) -> keras.Model:
    """Train as the article does: load the weights if the file exists, then `fit`, keeping the best weights in the file.

    Fixed: the file's name ends in `.weights.h5`, the file itself is looked for and not its `.index`, and the model is built
    before weights are loaded. Validation is on the validation set, not on the test set.

    Args:
        splits: training and validation images.
        path: the checkpoint, in an existing folder.
        epochs: to train now, whatever was trained before.
        seed: of the initial weights and of Keras's shuffling.
        build_optimizer: the line that the article lacks, without which Keras does not load the optimizer's state.

    Returns:
        The trained model; `model.history.history` holds the metrics of this call.
    """
    keras.utils.set_random_seed(seed)
    model = ArticleLeNet5()
    model.build((None, 28, 28, 1))
    set_initial_weights(model, LENET5, seed)
    model.compile(
        "adam",
        keras.losses.SparseCategoricalCrossentropy(),
        metrics=["sparse_categorical_accuracy"],
    )
    if build_optimizer:
        model.optimizer.build(model.trainable_variables)
    if path.exists():
        with warnings.catch_warnings():
            # Keras warns that it leaves the optimizer as it is; chapter 7 shows what that costs.
            warnings.filterwarnings(
                "ignore", "Skipping variable loading for optimizer"
            )
            model.load_weights(path)
    validation = splits.validation
    model.fit(
        prepare(splits.train.images),
        splits.train.labels,
        batch_size=32,
        epochs=epochs,
        validation_data=(prepare(validation.images), validation.labels),
        callbacks=[keep_best(path)],
        verbose=0,
    )
    return model


def keep_best(name: str | Path) -> keras.callbacks.ModelCheckpoint:
    """Return the article's callback that keeps the best weights under this name.

    Raises:
        ValueError: Keras refuses the name; the article's own name is one that it refuses.
    """
    return keras.callbacks.ModelCheckpoint(
        name, save_weights_only=True, save_best_only=True
    )


def num_differing(model: keras.Model, other: keras.Model) -> int:
    """Return how many weights of two models of one architecture differ."""
    pairs = zip(model.get_weights(), other.get_weights(), strict=True)
    return sum(int((own != others).sum()) for own, others in pairs)


def compare_resumed(
    splits: Splits, folder: Path, before: int, epochs: int
) -> pd.DataFrame:
    """Train the article's way, without a stop and stopped after `before` epochs, and compare the ends.

    Args:
        splits: training and validation images.
        folder: for the checkpoints; made if it is missing.
        before: epochs until the stop.
        epochs: the total.

    Returns:
        A row for the run in one go, for the resumed one, and for one that is resumed with the optimizer built first: the
        steps that the optimizer has counted, the epochs in the history, and the weights that end different from those
        of the run in one go.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = "in one go", "resumed", "resumed, optimizer built"
    paths = [folder / f"{name[-5:]}.weights.h5" for name in names]
    for path in paths:
        path.unlink(missing_ok=True)
    whole = fit(splits, paths[0], epochs)
    fit(splits, paths[1], before)
    shutil.copy(paths[1], paths[2])
    rest = epochs - before
    ends = [
        whole,
        fit(splits, paths[1], rest),
        fit(splits, paths[2], rest, build_optimizer=True),
    ]
    rows = {
        name: (
            int(model.optimizer.iterations.numpy()),
            len(model.history.epoch),
            num_differing(model, whole),
        )
        for name, model in zip(names, ends, strict=True)
    }
    columns = ["steps counted", "epochs in the history", "weights that differ"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)
