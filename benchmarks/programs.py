"""The programs that are compared, each in a process of its own: `programs.py NAME --data FILE` prints one line of JSON.

- `article`: the article's script: Keras subclass, float64 pixels, best weights kept;
- `keras`: Keras's `fit` of the functional model on float32 pixels; `keras-jit` with `jit_compile=True`, TensorFlow's
  compiler XLA, and 100 steps for each call from Python;
- `loops`: the library's training as it is by default; `loops-1-thread` in one thread; `loops-distorted` with elastic
  distortions and averaged weights; `keras-engine`: the library's training by its other engine;
- `torch`: a usual eager loop of PyTorch on tensors in memory; `torch-compile` the same with `torch.compile`;
- `limit`: the machine's large matrix product; `layers`: single layers in one thread; `ready`: what the loops take to be
  compiled.

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
STEPS_PER_EXECUTION = 100

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
    model: Any,
    pixels: dict,
    digits: dict,
    options: argparse.Namespace,
    *more: Any,
    **compiled: Any,
) -> Epochs:
    """Train a Keras model with `fit`, validating after each epoch, with `more` callbacks; `compiled` goes to `compile`."""
    import keras

    epochs: Epochs = []
    accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    loss = keras.losses.SparseCategoricalCrossentropy()
    adam = keras.optimizers.Adam(0.001)
    model.compile(adam, loss, metrics=[accuracy], **compiled)
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
    import keras

    from lenet5lib.studies.article import ArticleModel, keep_best

    pixels = {
        part: digits[f"x_{part}"][..., np.newaxis] / 255.0
        for part in ("train", "val")
    }
    with tempfile.TemporaryDirectory() as folder:
        best = keep_best(Path(folder) / "LeNet5.weights.h5")
        keras.utils.set_random_seed(SEED)
        epochs = _fit(ArticleModel(), pixels, digits, options, best)
    return {"epochs": epochs, "versions": versions}


def keras_fit(
    digits: dict, options: argparse.Namespace, **compiled: Any
) -> dict[str, Any]:
    """Train the functional model with Keras's `fit`."""
    versions = use_tensorflow(options.threads)
    from lenet5lib import models
    from lenet5lib.data import prepare
    from lenet5lib.spec import LENET5

    pixels = {part: prepare(digits[f"x_{part}"]) for part in ("train", "val")}
    model = models.build(LENET5, SEED)
    epochs = _fit(model, pixels, digits, options, **compiled)
    return {"epochs": epochs, "versions": versions}


def keras_jit(digits: dict, options: argparse.Namespace) -> dict[str, Any]:
    """Train as `keras_fit`, compiled by XLA, with many steps for each call from Python."""
    fast = {"jit_compile": True, "steps_per_execution": STEPS_PER_EXECUTION}
    return keras_fit(digits, options, **fast)


class _Reached(Exception):
    """Raised from the report of the library's training to end it."""


def _train(digits: dict, options: argparse.Namespace, **asked: Any) -> Epochs:
    """Train with the library in a temporary folder and return the epochs of its record."""
    from lenet5lib import records
    from lenet5lib.data import Digits, Splits
    from lenet5lib.loops import parallel
    from lenet5lib.spec import LENET5
    from lenet5lib.training import loop

    parallel.limit_threads(options.threads)
    train, val = (
        Digits(digits[f"x_{part}"], digits[f"y_{part}"])
        for part in ("train", "val")
    )
    # Training looks at no test digits.
    splits = Splits(train, val, val, "benchmark")
    with tempfile.TemporaryDirectory() as folder:

        def stop(line: str) -> None:
            if reached(records.read(folder).epochs[-1]["val_accuracy"], options):
                raise _Reached

        asked |= {"epochs": options.epochs, "seed": SEED, "report": stop}
        with contextlib.suppress(_Reached):
            loop.train(LENET5, splits, folder, **asked)
        record = records.read(folder)
    options.versions = record.sessions[-1]["versions"]
    epochs = []
    for line in record.epochs:
        spans = line["training_seconds"], line["seconds"] - line["training_seconds"]
        epochs.append(entry(*spans, line["val_accuracy"]))
    return epochs


def loops(
    digits: dict, options: argparse.Namespace, engine: str = "loops", **recipe: Any
) -> dict[str, Any]:
    """Train with the library, by default with its loops."""
    from lenet5lib.training.recipe import Recipe

    asked = {"recipe": Recipe(options.batch_size, **recipe), "engine": engine}
    epochs = _train(digits, options, **asked)
    return {"epochs": epochs, "versions": options.versions}


def loops_1_thread(digits: dict, options: argparse.Namespace) -> dict[str, Any]:
    """Train with the library's loops in one thread."""
    options.threads = 1
    return loops(digits, options)


def loops_distorted(digits: dict, options: argparse.Namespace) -> dict[str, Any]:
    """Train with the library's loops on images distorted differently in each epoch, with a moving average of the weights."""
    from lenet5lib.studies.ablation import EMA_09997

    recipe = EMA_09997.recipe
    asked = {"distortion": recipe.distortion, "ema_decay": recipe.ema_decay}
    return loops(digits, options, **asked)


def keras_engine(digits: dict, options: argparse.Namespace) -> dict[str, Any]:
    """Train with the library, Keras as its engine."""
    use_tensorflow(options.threads)
    return loops(digits, options, engine="keras")


def ready(digits: dict, options: argparse.Namespace) -> dict[str, Any]:
    """Measure the seconds until the library's loops have trained on two batches: what they take to be compiled or read."""
    few = {name: array[: 2 * options.batch_size] for name, array in digits.items()}
    options.epochs = 1
    start = time.perf_counter()
    found = loops(few, options)
    return {"seconds": time.perf_counter() - start, "versions": found["versions"]}


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


def torch_eager(
    digits: dict, options: argparse.Namespace, compiled: bool = False
) -> dict[str, Any]:
    """Train with a usual loop of PyTorch on tensors in memory, eager or with the network compiled."""
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
    if compiled:
        model = torch.compile(model)
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


def torch_compiled(digits: dict, options: argparse.Namespace) -> dict[str, Any]:
    """Train with PyTorch, the network compiled by `torch.compile`."""
    return torch_eager(digits, options, compiled=True)


def limit(digits: dict, options: argparse.Namespace) -> dict[str, Any]:
    """Measure the machine's large matrix product in GFLOP/s, by NumPy and by TensorFlow."""
    versions = use_tensorflow(options.threads)
    from lenet5lib.studies import roofline

    rates = {
        by: 1e-9 * roofline.matrix_rate(by=by) for by in ("numpy", "tensorflow")
    }
    return {"gflops": rates, "versions": versions}


def layers(digits: dict, options: argparse.Namespace) -> dict[str, Any]:
    """Measure each layer, the optimizer, the matrix product and copying, all in one thread."""
    versions = use_tensorflow(1)
    import layers as single

    from lenet5lib.spec import LENET5
    from lenet5lib.studies import roofline

    numbers = {
        "gflops": 1e-9 * roofline.matrix_rate(by="tensorflow"),
        "gigabytes_per_second": 1e-9 * roofline.memory_rate(),
        "layers": single.layer_rates(LENET5),
        "adam_microseconds": 1e6 * single.adam_seconds(PARAMETERS),
    }
    return numbers | {"versions": versions}


PROGRAMS = {
    "article": article,
    "keras": keras_fit,
    "keras-jit": keras_jit,
    "loops": loops,
    "loops-1-thread": loops_1_thread,
    "loops-distorted": loops_distorted,
    "keras-engine": keras_engine,
    "torch": torch_eager,
    "torch-compile": torch_compiled,
    "limit": limit,
    "layers": layers,
    "ready": ready,
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
