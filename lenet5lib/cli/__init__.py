"""The command line: `lenet5lib describe|train|evaluate|predict|plot|speedrun`, or `python -m lenet5lib …`.

The hyperparameters of `train` are the fields of `Recipe`, one option each. A command imports what it needs when it runs, so
that `describe` and `--help` answer without TensorFlow. Exit codes: 0 done, 1 something went wrong (one line on stderr says
what), 2 the command line cannot be parsed, 130 or 143 stopped by Ctrl-C or SIGTERM, 141 nobody reads the output any more.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lenet5lib import __version__, arithmetic, spec
from lenet5lib.cli.options import add_recipe, recipe_of

CLOSED = 141
"""The exit code of a program whose output is not read to its end: 128 and the number of SIGPIPE."""
NETWORKS = spec.ARCHITECTURES | spec.VARIANTS
"""The architectures by the names that `--architecture` takes."""


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
    # Without a loss the best weights are lost, and no epoch came after.
    if best["val_loss"] is None:
        which = "No best weights are kept; train on, or evaluate with --last"
    else:
        name = run.record.best_name.capitalize()
        which = f"{name}: epoch {best['epoch']}, val_loss {best['val_loss']:.4f}"
    if options.train_on_all:
        which = (
            f"No image held out: epoch {len(run.record.epochs)}, the last, counts"
        )
    print(f"{which}. Saved in {run.run_dir}")


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
    """Print a run's error on the test images, with its confidence interval."""
    from lenet5lib import data, evaluation
    from lenet5lib.cli import reading
    from lenet5lib.training import checkpoint

    path = reading.weights(options.run_dir, options.last)
    record = checkpoint.read_record(path)
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
    network = checkpoint.load(path.parent, path.name, options.engine)
    result = evaluation.evaluate(network, dataset.test)
    print(f"{record.about()}\nTested on {dataset.dataset_name}.\n{result}")


def predict(options: argparse.Namespace) -> int:
    """Print the digit that the network sees in each picture, its probability, and what is doubtful."""
    import numpy as np

    from lenet5lib import evaluation, records
    from lenet5lib.cli import reading
    from lenet5lib.training import checkpoint

    if options.last and not options.run_dir:
        raise ValueError("--last stands alone; expected --run-dir too. Name a run.")
    path = records.weights()
    if options.run_dir:
        path = reading.weights(options.run_dir, options.last)
    record = checkpoint.read_record(path)
    answers, images = reading.read(options.images)
    errors = [one.error for one in answers if one.error]
    if options.save_seen:
        try:
            with writing(options.save_seen):
                reading.save_seen(answers, images, options.save_seen)
        except OSError as error:
            errors.append(str(error))  # The answers come all the same.
    for text in errors:
        complain(text)
    if images:
        # The network is loaded after the images, so that wrong ones are named at once.
        network = checkpoint.load(path.parent, path.name, options.engine)
        found = evaluation.predict(network, np.stack(images))
        reading.add_probabilities(answers, found)
        table = options.format == "text"
        print(record.about(), file=sys.stdout if table else sys.stderr)
    classes = getattr(record.config.architecture.layers[-1], "units", 0)
    reading.show(answers, options.format, classes)
    return 1 if errors else 0


def plot(options: argparse.Namespace) -> None:
    """Draw a run's curves, resume points marked, from its record."""
    import matplotlib

    matplotlib.use("Agg")
    from lenet5lib import files, plots, records

    formats = {".png": plots.png, ".svg": plots.svg, ".pdf": plots.pdf}
    if (suffix := options.out.suffix.lower()) not in formats:
        raise ValueError(
            f"cannot write {options.out}: its name ends in {suffix or 'no format'}; "
            f"expected one of {', '.join(formats)}. Name such a file."
        )
    record = records.read(options.run_dir)
    with writing(options.out):
        files.write(options.out, formats[suffix](plots.curves(record)))
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


def _name(text: str) -> str:
    """Read the name of a file or a folder from the command line; an empty one comes of a variable that was never set."""
    if not text.strip():
        raise argparse.ArgumentTypeError(
            f"expected the name of a file or a folder, got {text!r}"
        )
    return text


def _path(text: str) -> Path:
    """Read a path from the command line."""
    return Path(_name(text))


def _option(text: str, **words: Any) -> dict[str, Any]:
    """Return what `add_argument` takes, the help text first."""
    return words | {"help": text}


def _count(text: str, **words: Any) -> dict[str, Any]:
    """Return an option that takes a whole number of at least 1."""
    return {"type": _positive, "metavar": "N", "help": text} | words


RUN_DIR = _option("the run's folder", type=_path, metavar="DIR")
NEEDED = RUN_DIR | {"required": True}
ARCHITECTURE = _option(
    "default: lenet5", choices=sorted(NETWORKS), default="lenet5"
)
DATA = _option(
    "an .npz file with x_train, y_train, x_test, y_test, an IDX or CSV file, a folder "
    "of these, or stand-in; default: MNIST, or the stand-in where it cannot be had",
    type=_name,
    metavar="PATH",
)
ENGINE = _option("what computes (default: loops)", choices=("loops", "keras"))
FLAG = {"action": "store_true"}
LAST = _option("the last epoch's weights, not the best on validation", **FLAG)
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
        type=_path,
        metavar="DIR",
    ),
    "--last": LAST,
    "--engine": ENGINE | {"default": "loops"},
    "--format": _option(
        "a table to read (default), or all probabilities for a program",
        choices=("text", "csv", "json"),
        default="text",
    ),
    "--save-seen": _option(
        "save what the network saw, 28x28, in this folder",
        type=_path,
        metavar="DIR",
    ),
    "images": _option(
        "PNG or JPEG files of one digit each, or folders of them",
        nargs="+",
        metavar="IMAGE",
    ),
}
COMMANDS: dict[
    Callable[[argparse.Namespace], int | None], dict[str, dict[str, Any]]
] = {
    describe: {"--architecture": ARCHITECTURE},
    train: TRAIN,
    evaluate: {
        "--run-dir": NEEDED,
        "--data": DATA,
        "--last": LAST,
        "--engine": ENGINE | {"default": "loops"},
    },
    predict: PREDICT,
    plot: {
        "--run-dir": NEEDED,
        "--out": _option(
            "the picture: .png, .svg or .pdf",
            type=_path,
            required=True,
            metavar="FILE",
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


# Output.


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say of an OSError what could not be written."""
    try:
        yield
    except OSError as error:
        raise OSError(
            f"cannot write {path}: {error.strerror}. Name one that can be written."
        ) from None


def complain(reason: object) -> None:
    """Print an error on one line of stderr."""
    print(f"error: {' '.join(str(reason).split())}", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for stream in (sys.stdout, sys.stderr):
        # No character that the output's encoding lacks ends the program.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            options = parser().parse_args(words)
            line = shlex.join(["lenet5lib", *words])
            # The name of a folder may hold bytes that are no text.
            options.line = line.encode(errors="backslashreplace").decode()
            return options.function(options) or 0
        finally:
            if sys.stdout:
                sys.stdout.flush()
    except BrokenPipeError:
        # Python's own flush at the end would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED
    except (ValueError, OSError) as error:
        complain(error)
        return 1
    except KeyboardInterrupt as stopped:
        text = "interrupted; the same command goes on from what was saved last"
        print(str(stopped) or text, file=sys.stderr)
        return 128 + getattr(stopped, "signal", signal.SIGINT)
