"""The programs that are compared, each in a process of its own: `programs.py NAME --data FILE` prints one line of JSON.

- `article`: the article's script: Keras subclass, float64 pixels, best weights kept;
- `keras`: plain `fit` of the functional model on float32 pixels;
- `ours`, `ours-plain`: the library's own loop, the network computed on blocks or as Keras computes it;
- `torch`: a usual eager loop of PyTorch on tensors in memory;
- `limit`: the machine's large matrix product.

All train the same 61,706 parameters with Adam, on the CPU, in float32, with the same number of threads. An epoch's seconds
are those of its shuffling and its steps; validation and saving are not in them. Each program imports only what it needs, so
`torch` runs where neither TensorFlow nor the library is installed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

SEED = 0
PARAMETERS = 61_706
MATRIX_SIDE = 2048
MATRIX_REPEATS = 10

Epochs = list[dict[str, float]]


def entry(training: float, validation: float, accuracy: float) -> dict[str, float]:
    """Return what is kept of one epoch."""
    return {
        "seconds": training,
        "validation_seconds": validation,
        "val_accuracy": accuracy,
    }


def reached(accuracy: float, options: argparse.Namespace) -> bool:
    """Return whether training may stop: validation accuracy is where it was asked to be."""
    return options.goal is not None and accuracy >= options.goal


def use_tensorflow(threads: int) -> dict[str, str]:
    """Give TensorFlow its number of threads, before it computes anything; return the versions in use."""
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    keras.utils.set_random_seed(SEED)
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
    }


def _clock(epochs: Epochs, options: argparse.Namespace) -> Any:
    """Return a Keras callback that adds each epoch to `epochs` and stops at the goal."""
    import keras

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.begun = time.perf_counter()

        def on_test_begin(self, logs=None):
            self.trained = time.perf_counter()

        def on_test_end(self, logs=None):
            self.validated = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            spans = self.trained - self.begun, self.validated - self.trained
            epochs.append(entry(*spans, float(logs["val_accuracy"])))
            self.model.stop_training = reached(logs["val_accuracy"], options)

    return Clock()


def _fit(
    model: Any, pixels: dict, digits: dict, options: argparse.Namespace, *more: Any
) -> Epochs:
    """Train a Keras model with `fit`, validating after each epoch; `more` callbacks run too."""
    import keras

    epochs: Epochs = []
    accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    loss = keras.losses.SparseCategoricalCrossentropy()
    model.compile(keras.optimizers.Adam(0.001), loss, metrics=[accuracy])
    model.fit(
        pixels["train"],
        digits["y_train"],
        batch_size=options.batch_size,
        epochs=options.epochs,
        validation_data=(pixels["val"], digits["y_val"]),
        callbacks=[_clock(epochs, options), *more],
        verbose=0,
    )
    assert model.count_params() == PARAMETERS
    return epochs


def article(digits: dict, options: argparse.Namespace) -> dict[str, Any]:
    """Train as the article's script does."""
    versions = use_tensorflow(options.threads)
    from lenet5lib.article import keep_best
    from lenet5lib.models import ArticleModel

    pixels = {
        part: digits[f"x_{part}"][..., np.newaxis] / 255.0
        for part in ("train", "val")
    }
    with tempfile.TemporaryDirectory() as folder:
        best = keep_best(Path(folder) / "LeNet5.weights.h5")
        epochs = _fit(ArticleModel(SEED), pixels, digits, options, best)
    return {"epochs": epochs, "versions": versions}


def keras_fit(digits: dict, options: argparse.Namespace) -> dict[str, Any]:
    """Train the functional model with Keras's `fit`."""
    versions = use_tensorflow(options.threads)
    from lenet5lib import models
    from lenet5lib.data import prepare
    from lenet5lib.spec import LENET5

    pixels = {part: prepare(digits[f"x_{part}"]) for part in ("train", "val")}
    epochs = _fit(models.build(LENET5, SEED), pixels, digits, options)
    return {"epochs": epochs, "versions": versions}


class _Reached(Exception):
    """Raised from the report of the library's training to end it."""


def _train(splits: Any, options: argparse.Namespace, form: str) -> Epochs:
    """Train with the library in a temporary folder and return the epochs of its record."""
    from lenet5lib import records, training
    from lenet5lib.recipe import Recipe
    from lenet5lib.spec import LENET5

    with tempfile.TemporaryDirectory() as folder:

        def stop(line: str) -> None:
            if reached(records.read(folder).epochs[-1]["val_accuracy"], options):
                raise _Reached

        asked = {"epochs": options.epochs, "recipe": Recipe(options.batch_size)}
        with contextlib.suppress(_Reached):
            training.train(
                LENET5, splits, folder, **asked, seed=SEED, form=form, report=stop
            )
        return records.read(folder).epochs


def ours(
    digits: dict, options: argparse.Namespace, form: str = "blocks"
) -> dict[str, Any]:
    """Train with the library's own loop."""
    versions = use_tensorflow(options.threads)
    from lenet5lib.data import Digits, Splits

    train, val = (
        Digits(digits[f"x_{part}"], digits[f"y_{part}"])
        for part in ("train", "val")
    )
    # Training looks at no test digits.
    lines = _train(Splits(train, val, val.take([]), "benchmark"), options, form)
    epochs = []
    for line in lines:
        training = line["training_seconds"]
        spans = training, line["seconds"] - training
        epochs.append(entry(*spans, line["val_accuracy"]))
    return {"epochs": epochs, "versions": versions}


def ours_plain(digits: dict, options: argparse.Namespace) -> dict[str, Any]:
    """Train with the library's own loop, the network as Keras computes it."""
    return ours(digits, options, form="plain")


def _torch_lenet5() -> Any:
    """Return the same network in PyTorch, its initial weights of Keras's distribution, up to the logits."""
    from torch import nn

    model = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),  # (n, 6, 28, 28)
        nn.Sigmoid(),
        nn.AvgPool2d(2),  # (n, 6, 14, 14)
        nn.Conv2d(6, 16, 5),  # (n, 16, 10, 10)
        nn.Sigmoid(),
        nn.AvgPool2d(2),  # (n, 16, 5, 5)
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.Sigmoid(),
        nn.Linear(120, 84),
        nn.Sigmoid(),
        nn.Linear(84, 10),
    )
    for name, values in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(values)
        else:
            nn.init.xavier_uniform_(values)
    assert sum(values.numel() for values in model.parameters()) == PARAMETERS
    return model


def _torch_epoch(model, optimizer, images, labels, batch_size: int) -> None:
    """Train once over the digits in a new order."""
    import torch

    loss_of = torch.nn.CrossEntropyLoss()
    for rows in torch.randperm(len(images)).split(batch_size):
        optimizer.zero_grad()
        loss_of(model(images[rows]), labels[rows]).backward()
        optimizer.step()


def _torch_accuracy(model, images, labels) -> float:
    """Return the share of digits that the model has right."""
    import torch

    with torch.no_grad():
        chosen = torch.cat([model(part).argmax(1) for part in images.split(1000)])
    return (chosen == labels).float().mean().item()


def torch_eager(digits: dict, options: argparse.Namespace) -> dict[str, Any]:
    """Train with a usual eager loop of PyTorch on tensors in memory."""
    import torch

    torch.set_num_threads(options.threads)
    torch.manual_seed(SEED)
    train, val = (
        (
            torch.from_numpy(digits[f"x_{part}"]).unsqueeze(1).float() / 255,
            torch.from_numpy(digits[f"y_{part}"]).long(),
        )
        for part in ("train", "val")
    )
    model = _torch_lenet5()
    # 1e-7 is Keras's epsilon; PyTorch's own default is 1e-8.
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001, eps=1e-7)
    epochs: Epochs = []
    while len(epochs) < options.epochs:
        start = time.perf_counter()
        _torch_epoch(model, optimizer, *train, options.batch_size)
        trained = time.perf_counter()
        accuracy = _torch_accuracy(model, *val)
        spans = trained - start, time.perf_counter() - trained
        epochs.append(entry(*spans, accuracy))
        if reached(accuracy, options):
            break
    return {"epochs": epochs, "versions": {"torch": torch.__version__}}


def limit(digits: dict, options: argparse.Namespace) -> dict[str, Any]:
    """Measure the machine's large matrix product in GFLOP/s, several times after one to warm up."""
    versions = use_tensorflow(options.threads)
    import tensorflow as tf

    left, right = (tf.random.normal((MATRIX_SIDE, MATRIX_SIDE)) for _ in range(2))
    rates = []
    for _ in range(1 + MATRIX_REPEATS):
        start = time.perf_counter()
        tf.matmul(left, right)[0, 0].numpy()
        rates.append(2e-9 * MATRIX_SIDE**3 / (time.perf_counter() - start))
    return {"gflops": rates[1:], "versions": versions}


PROGRAMS = {
    "article": article,
    "keras": keras_fit,
    "ours": ours,
    "ours-plain": ours_plain,
    "torch": torch_eager,
    "limit": limit,
}


def peak_memory() -> float | None:
    """Return the largest memory this process has held, in MiB, or None where the system does not say."""
    # Linux's ru_maxrss begins at the size of the process that started this one; VmHWM does not.
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    with contextlib.suppress(ImportError):
        import resource

        unit = 2**20 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    return None


def main() -> None:
    """Run one program and print what it measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=PROGRAMS)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--goal", type=float, help="stop at this accuracy")
    options = parser.parse_args()
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with np.load(options.data) as file:
        digits = dict(file)
    answer = PROGRAMS[options.name](digits, options)
    print(json.dumps(answer | {"peak_memory_mib": peak_memory()}))


if __name__ == "__main__":
    main()
