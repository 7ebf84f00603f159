"""The command line: `lenet5lib describe|train|evaluate|predict|plot|speedrun`, or `python -m lenet5lib …`.

The hyperparameters of `train` are the fields of `Recipe`, one option each. A command imports what it needs when it runs, so
that `describe` and `--help` answer without TensorFlow. Exit codes: 0 done, 1 something went wrong (one line on stderr says
what), 2 the command line cannot be parsed, 130 or 143 stopped by Ctrl-C or SIGTERM.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import os
import re
import shlex
import signal
import sys
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lenet5lib import __version__, arithmetic, spec

if TYPE_CHECKING:
    from lenet5lib.training.recipe import Recipe

NETWORKS = spec.ARCHITECTURES | spec.VARIANTS
"""The architectures by the names that `--architecture` takes."""


# The hyperparameters: one option for each field of Recipe.


def add_recipe(parser: argparse.ArgumentParser) -> None:
    """Add an option for each field of `Recipe`: its name, type, default, choices and help."""
    from lenet5lib.training.recipe import Recipe

    types, helps = typing.get_type_hints(Recipe), attributes(Recipe)
    for field in dataclasses.fields(Recipe):
        read, shown = reader(types[field.name])
        default = "" if field.default is None else f" (default: {field.default})"
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=read,
            default=field.default,
            choices=field.metadata.get("choices"),
            metavar=None if "choices" in field.metadata else shown,
            help=f"{helps[field.name]}{default}".replace("%", "%%"),
        )


def recipe_of(options: argparse.Namespace) -> Recipe:
    """Return the recipe that the options ask for."""
    from lenet5lib.training.recipe import Recipe

    names = (field.name for field in dataclasses.fields(Recipe))
    return Recipe(**{name: getattr(options, name) for name in names})


def attributes(cls: type) -> dict[str, str]:
    """Return the texts of a docstring's section "Attributes", by name."""
    documented = inspect.getdoc(cls) or ""
    section = documented.partition("Attributes:\n")[2].partition("\n\n")[0]
    found = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", section, re.MULTILINE)
    return {name: " ".join(text.split()).rstrip(".") for name, text in found}


def reader(annotation: Any) -> tuple[Callable[[str], Any], str]:
    """Return a function that reads a value of this type from the command line, and the type's name there."""
    union = typing.get_args(annotation) or (annotation,)
    known = {one.__name__: one for one in union if hasattr(one, "__post_init__")}
    plain = next(one for one in union if one is not type(None))
    if not known:
        return plain, plain.__name__.upper()
    shown = [
        *(["FLOAT"] if plain is float else []),
        *(f"{one}(…)" for one in known),
    ]
    return lambda text: read_call(text, known, shown), "|".join(shown)


def read_call(text: str, known: dict[str, type], shown: Sequence[str]) -> Any:
    """Read a number, or a dataclass as it is written in Python: `OneCycle(max_lr=0.004, epochs=20)`.

    Args:
        text: from the command line; only literals may stand in the brackets.
        known: the dataclasses by name.
        shown: what is expected, for errors; "FLOAT" is in it if a number may come.

    Raises:
        ArgumentTypeError: something else.
    """
    try:
        node = ast.parse(text.strip(), mode="eval").body
        if "FLOAT" in shown and not isinstance(node, ast.Call):
            return float(text)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            values = [ast.literal_eval(one) for one in node.args]
            named = {
                str(one.arg): ast.literal_eval(one.value) for one in node.keywords
            }
            return known[node.func.id](*values, **named)
        reason = "another kind of value"
    except (KeyError, SyntaxError, TypeError, ValueError) as error:
        reason = str(error)
    raise argparse.ArgumentTypeError(
        f"{text!r} ({reason}); expected {' or '.join(shown)}"
    )


# The commands.


def describe(options: argparse.Namespace) -> None:
    """Print the derived table of an architecture."""
    print(arithmetic.describe(NETWORKS[options.architecture]))


def train(options: argparse.Namespace) -> None:
    """Train, or go on training, in a run folder."""
    from lenet5lib import data

    recipe = recipe_of(options)
    dataset = data.load_digits(options.data or "auto")
    splits = data.split(dataset, train_on_all=options.train_on_all)
    if options.limit:
        splits = splits.limit(*options.limit)

    # What trains is loaded after the data, so that a wrong file is named at once.
    from lenet5lib.training import loop

    run = loop.train(
        NETWORKS[options.architecture],
        splits,
        options.run_dir,
        epochs=options.epochs,
        recipe=recipe,
        seed=options.seed,
        resume=options.resume,
        engine=options.engine,
        save_minutes=options.save_minutes,
        save_steps=options.save_steps,
        watch_test=options.watch_test,
        command=options.line,
    )
    best = run.record.best
    print(
        f"Best on validation: epoch {best['epoch']}, val_loss "
        f"{best['val_loss']:.4f}. Saved in {run.run_dir}."
    )


def speedrun(options: argparse.Namespace) -> None:
    """Train in a few seconds to a test error below 1 in 100, with several seeds."""
    from lenet5lib import data

    splits = data.split(data.load_digits(options.data or "auto"))

    from lenet5lib.studies import speedrun

    results = []
    for seed in range(options.seeds):
        results.append(found := speedrun.run(options.recipe, seed, splits))
        print(
            f"seed {seed}: {found.test_accuracy:.2%} of the test images after "
            f"{found.seconds:.1f} s",
            flush=True,
        )
    accuracy = sum(one.test_accuracy for one in results) / len(results)
    seconds = sum(one.seconds for one in results) / len(results)
    print(
        f"mean: {accuracy:.2%} after {seconds:.1f} s; the first run of all also "
        "compiled."
    )


def evaluate(options: argparse.Namespace) -> None:
    """Print the best weights' error on the test images, with its confidence interval."""
    from lenet5lib import data, evaluation
    from lenet5lib.training import checkpoint

    name = checkpoint.LAST if options.last else checkpoint.BEST
    record = checkpoint.read_record(options.run_dir / name)
    dataset = data.load_digits(options.data or "auto")
    if options.data is None:
        known = record.config.data
        splits = data.split(dataset, train_on_all=known.train_on_all)
        if data.checksum(splits.train, splits.validation) != known.checksum:
            same = dataset.dataset_name == known.dataset_name
            raise data.DataError(
                f"{options.run_dir} was trained on {known.dataset_name}, but the data "
                f"found is {dataset.dataset_name}{', with other images' * same}. "
                "Name the file of test images with --data."
            )
    network = checkpoint.load(options.run_dir, name, options.engine)
    result = evaluation.evaluate(network, dataset.test)
    epoch = len(record.epochs) if options.last else record.best["epoch"]
    print(
        f"Trained on {record.dataset_name}, epoch {epoch}; tested on "
        f"{dataset.dataset_name}."
    )
    print(result)


def predict(options: argparse.Namespace) -> None:
    """Print the digit that the network sees in each image, and the ten probabilities."""
    import numpy as np

    from lenet5lib.data import pictures

    # The network is loaded after the images, so that a wrong one is named at once.
    images = np.stack([pictures.read_digit(path) for path in options.images])

    from lenet5lib import evaluation, records
    from lenet5lib.training import checkpoint

    path = records.weights()
    if options.run_dir is not None:
        path = options.run_dir / records.read(options.run_dir).weights_name
    network = checkpoint.load(path.parent, path.name, options.engine)
    probabilities = evaluation.predict(network, images)
    print(checkpoint.read_record(path).about())
    for image, row in zip(options.images, probabilities, strict=True):
        shares = "  ".join(f"{n}: {share:.1%}" for n, share in enumerate(row))
        print(f"{image}: {row.argmax()}\n  {shares}")


def plot(options: argparse.Namespace) -> None:
    """Draw a run's curves, resume points marked, from its record."""
    import matplotlib

    matplotlib.use("Agg")
    from lenet5lib import files, plots, records

    record = records.read(options.run_dir)
    try:
        files.write(options.out, plots.png(plots.curves(record)))
    except OSError as error:
        raise OSError(
            f"cannot write {options.out}: {error.strerror}. Name a file that can be "
            "written."
        ) from None
    epochs = len(record.epochs)
    print(f"Curves of {epochs} epochs on {record.dataset_name}: {options.out}")


# The parser.


def _positive(text: str) -> int:
    """Read a whole number of at least 1 from the command line."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(
            f"expected a whole number of 1 or more, got {text!r}"
        )
    return int(text)


def _option(text: str, **words: Any) -> dict[str, Any]:
    """Return what `add_argument` takes, the help text first."""
    return words | {"help": text}


def _count(text: str, **words: Any) -> dict[str, Any]:
    """Return an option that takes a whole number of at least 1."""
    return {"type": _positive, "metavar": "N", "help": text} | words


RUN_DIR = _option("the run's folder", type=Path, metavar="DIR")
NEEDED = RUN_DIR | {"required": True}
ARCHITECTURE = _option(
    "default: lenet5", choices=sorted(NETWORKS), default="lenet5"
)
DATA = _option(
    "an .npz file with x_train, y_train, x_test, y_test; default: MNIST, or the "
    "stand-in where it cannot be had",
    type=Path,
    metavar="PATH",
)
ENGINE = _option("what computes (default: loops)", choices=("loops", "keras"))
FLAG = {"action": "store_true"}
TRAIN = {
    "--run-dir": NEEDED,
    "--epochs": _count("the total, earlier sessions included", required=True),
    "--architecture": ARCHITECTURE,
    "--data": DATA,
    "--train-on-all": _option("train on the validation images too", **FLAG),
    "--limit": _count(
        "the first N training and M validation images only, for a trial",
        nargs=2,
        metavar=("N", "M"),
    ),
    "--seed": _option("default: 0", type=int, default=0, metavar="N"),
    "--engine": ENGINE,
    "--save-minutes": _option(
        "save within an epoch every N minutes (default: 10)",
        type=float,
        default=10.0,
        metavar="N",
    ),
    "--save-steps": _count("save within an epoch every N steps, in whole hundreds"),
    "--watch-test": _option("record the test error after each epoch too", **FLAG),
    "--resume": _option(
        "go on from the checkpoint (default), or move the old run aside",
        action=argparse.BooleanOptionalAction,
        default=True,
    ),
}
PREDICT = {
    "--run-dir": _option(
        "the run's folder; default: the book's recorded network",
        type=Path,
        metavar="DIR",
    ),
    "--engine": ENGINE | {"default": "loops"},
    "images": _option(
        "PNG or JPEG files of one digit each",
        type=Path,
        nargs="+",
        metavar="IMAGE",
    ),
}
COMMANDS: dict[Callable[[argparse.Namespace], None], dict[str, dict[str, Any]]] = {
    describe: {"--architecture": ARCHITECTURE},
    train: TRAIN,
    evaluate: {
        "--run-dir": NEEDED,
        "--data": DATA,
        "--last": _option("the last epoch's weights, not the best", **FLAG),
        "--engine": ENGINE | {"default": "loops"},
    },
    predict: PREDICT,
    plot: {
        "--run-dir": NEEDED,
        "--out": _option(
            "the picture", type=Path, required=True, metavar="FILE.png"
        ),
    },
    speedrun: {
        "--data": DATA,
        "--recipe": _option(
            "its seconds (default: six)", choices=("six", "ten"), default="six"
        ),
        "--seeds": _count("the number of runs (default: 1)", default=1),
    },
}
"""The commands and their options; `train` has one more for each field of `Recipe`."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    top = argparse.ArgumentParser(
        prog="lenet5lib",
        description="LeNet-5: count, train, evaluate, predict, plot.",
    )
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for function, options in COMMANDS.items():
        summary = (function.__doc__ or "").strip()
        name = function.__name__
        added = commands.add_parser(name, help=summary, description=summary)
        added.set_defaults(function=function)
        for option, words in options.items():
            added.add_argument(option, **words)
        if function is train:
            add_recipe(added)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    options = parser().parse_args(words)
    options.line = shlex.join(["lenet5lib", *words])
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        options.function(options)
    except (ValueError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stopped:
        text = "interrupted; the same command goes on from what was saved last"
        print(str(stopped) or text, file=sys.stderr)
        return 128 + getattr(stopped, "signal", signal.SIGINT)
    return 0
