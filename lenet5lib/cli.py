"""The command line: `python -m lenet5lib describe|train|experiment|speedrun|evaluate|predict|plot`.

Each command imports what it needs when it runs, so that `describe` and `--help` answer without TensorFlow. Exit codes:
0 done, 1 something went wrong (one line on stderr says what), 2 the command line cannot be parsed, 130 or 143 stopped
by Ctrl-C or SIGTERM.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lenet5lib import __version__, arithmetic, spec

if TYPE_CHECKING:
    from lenet5lib import records
    from lenet5lib.training import recipe


def describe(options: argparse.Namespace) -> None:
    """Print the derived table of an architecture."""
    print(arithmetic.describe(spec.ARCHITECTURES[options.architecture]))


def train(options: argparse.Namespace) -> None:
    """Train, or go on training, in a run folder."""
    from lenet5lib import data

    dataset = data.load_digits(options.data or "auto")
    splits = data.divide(dataset, options.all_digits, options.small)

    # What trains is loaded after the data, so that a wrong file is named at once.
    from lenet5lib.training import loop

    run = loop.train(
        spec.ARCHITECTURES[options.architecture],
        splits,
        options.run_dir,
        epochs=options.epochs,
        recipe=_recipe(options),
        seed=options.seed,
        resume=options.resume,
        engine=options.engine,
        save_minutes=options.save_minutes,
        save_steps=options.save_steps,
        watch_test=options.watch_test,
    )
    best = run.record.best
    print(
        f"Best on validation: epoch {best['epoch']}, val_loss {best['val_loss']:.4f}. Saved in {run.run_dir}."
    )


def _recipe(options: argparse.Namespace) -> recipe.Recipe:
    """Return the hyperparameters that the command line asks for."""
    from lenet5lib.training import recipe, schedules

    rate, epochs = options.learning_rate, options.epochs
    if options.schedule == "one-cycle":
        rate = schedules.OneCycle(rate, epochs)
    elif options.schedule == "plateau":
        rate = schedules.ReduceOnPlateau(rate)
    elif options.schedule == "1998":
        rate = schedules.SCHEDULE_1998
    return recipe.Recipe(
        batch_size=options.batch_size,
        learning_rate=rate,
        weight_decay=options.weight_decay,
        distortion=recipe.AFFINE if options.distort else None,
        loss=options.loss,
        rubbish_distance=options.rubbish_distance,
        optimizer=options.optimizer,
        damping=options.damping,
        momentum=options.momentum,
    )


def experiment(options: argparse.Namespace) -> None:
    """Train what chapter 14 compares; what is finished is skipped, what was stopped goes on."""
    from lenet5lib import data

    dataset = data.load_digits(options.data or "auto")

    import one_change

    if options.only:
        one_change.run_one(
            options.only,
            options.run_dir,
            dataset,
            options.threads,
            options.small,
            options.seeds,
        )
        return
    child = [sys.executable, "-m", "lenet5lib", "experiment", options.name]
    child += ["--run-dir", str(options.run_dir), "--seeds", str(options.seeds)]
    if options.data:
        child += ["--data", str(options.data)]
    if options.small:
        child += ["--small", *map(str, options.small)]
    one_change.run(
        options.run_dir,
        dataset,
        rungs=options.rung,
        seeds=options.seeds,
        small=options.small,
        jobs=options.jobs,
        child=child,
        keep=options.records,
    )


def speedrun(options: argparse.Namespace) -> None:
    """Train in a few seconds to an error below one in a hundred, with several seeds."""
    from lenet5lib import data

    splits = data.split(data.load_digits(options.data or "auto"))

    from lenet5lib.studies import speedrun

    accuracies, times = [], []
    for seed in range(options.seeds):
        found = speedrun.run(options.recipe, seed, splits)
        accuracies.append(found.test_accuracy)
        times.append(found.seconds)
        print(
            f"seed {seed}: {found.test_accuracy:.2%} of the test digits after {found.seconds:.1f} s",
            flush=True,
        )
    print(
        f"mean: {sum(accuracies) / len(accuracies):.2%} after {sum(times) / len(times):.1f} s; the first run of all "
        "also compiled."
    )


def evaluate(options: argparse.Namespace) -> None:
    """Print the best weights' error on the test digits, with its interval."""
    from lenet5lib import data, evaluation
    from lenet5lib.training import checkpoint, loop

    name = checkpoint.LAST if options.last else checkpoint.BEST
    record = checkpoint.read_record(options.run_dir / name)
    dataset = data.load_digits(options.data or "auto")
    if options.data is None:
        whole = record.config["data"].get("all digits")
        splits = data.divide(dataset, whole)
        found = data.digest(splits.train, splits.validation)
        if found != record.config["data"]["digest"]:
            raise data.DataError(
                f"{options.run_dir} was trained on {record.source}, but the data found is {dataset.source}"
                f"{', with other digits' if dataset.source == record.source else ''}. "
                "Name the file of test digits with --data."
            )
    model = loop.load(options.run_dir, name, options.engine)
    result = evaluation.evaluate(model, dataset.test)
    epoch = len(record.epochs) if options.last else record.best["epoch"]
    print(f"Trained on {record.source}, epoch {epoch}; tested on {dataset.source}.")
    print(result)


def predict(options: argparse.Namespace) -> None:
    """Print the digit that the network sees in each image, and the ten probabilities."""
    import numpy as np

    from lenet5lib.data import pictures

    # The network is loaded after the images, so that a wrong one is named at once.
    digits = np.stack([pictures.read_digit(path) for path in options.images])

    import export

    from lenet5lib import evaluation, records
    from lenet5lib.training import loop

    if options.run_dir is None:
        path = export.recorded()
    else:
        record = records.read(options.run_dir)
        path = options.run_dir / loop.weights_to_use(record)
    model = loop.load(path.parent, path.name, options.engine)
    probabilities = evaluation.predict(model, digits)
    print(export.about(path)["text"])
    for path, row in zip(options.images, probabilities, strict=True):
        shares = "  ".join(
            f"{digit}: {share:.1%}" for digit, share in enumerate(row)
        )
        print(f"{path}: {row.argmax()}\n  {shares}")


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
            f"cannot write {options.out}: {error.strerror}. Name a file that can be written."
        ) from None
    print(
        f"Curves of {len(record.epochs)} epochs on {record.source}: {options.out}"
    )


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    top = argparse.ArgumentParser(
        prog="python -m lenet5lib",
        description="LeNet-5: count, train, evaluate, predict, plot.",
    )
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command_of(
        function: Callable,
        *,
        run_dir: bool = True,
        needed: bool = True,
        folder: str = "the run's folder",
    ) -> argparse.ArgumentParser:
        summary = (function.__doc__ or "").strip()
        added = commands.add_parser(
            function.__name__, help=summary, description=summary
        )
        added.set_defaults(function=function)
        if run_dir:
            added.add_argument(
                "--run-dir",
                type=Path,
                required=needed,
                metavar="DIR",
                help=folder
                + ("" if needed else "; default: the book's recorded network"),
            )
        return added

    def add_architecture(added: argparse.ArgumentParser) -> None:
        names = sorted(spec.ARCHITECTURES)
        added.add_argument(
            "--architecture",
            choices=names,
            default="lenet5",
            help="default: lenet5",
        )

    def add_data(added: argparse.ArgumentParser) -> None:
        text = "an .npz file with x_train, y_train, x_test, y_test; default: MNIST, or the stand-in where it cannot be had"
        added.add_argument("--data", type=Path, metavar="PATH", help=text)

    def add_small(added: argparse.ArgumentParser) -> None:
        text = "only the first N training digits, and M for validation: for trying things out"
        added.add_argument(
            "--small", type=_positive, nargs=2, metavar=("N", "M"), help=text
        )

    def add_engine(added: argparse.ArgumentParser) -> None:
        added.add_argument(
            "--engine",
            choices=("loops", "keras"),
            default="loops",
            help="what computes the network (default: loops)",
        )

    add_architecture(command_of(describe, run_dir=False))
    added = command_of(train)
    add_architecture(added)
    add_data(added)
    added.add_argument(
        "--all-digits",
        action="store_true",
        help="train on the validation digits too, once everything is chosen; only the last weights then count",
    )
    add_small(added)
    added.add_argument(
        "--epochs",
        type=_positive,
        required=True,
        metavar="N",
        help="the total, earlier sessions included",
    )
    added.add_argument(
        "--batch-size",
        type=_positive,
        default=32,
        metavar="N",
        help="digits a step (default: 32)",
    )
    added.add_argument(
        "--learning-rate",
        type=float,
        default=0.001,
        metavar="RATE",
        help="Adam's (default: 0.001)",
    )
    added.add_argument(
        "--schedule",
        choices=("constant", "one-cycle", "plateau", "1998"),
        default="constant",
        help="of the learning rate: constant (default); up and down again over all epochs; halved at each plateau; the "
        "paper's five steps",
    )
    added.add_argument(
        "--weight-decay",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="decoupled, of the kernels (default: 0)",
    )
    added.add_argument(
        "--optimizer",
        choices=("adam", "sgd", "levenberg-marquardt"),
        default="adam",
        help="Adam (default), gradient descent, or the stochastic diagonal Levenberg–Marquardt of the paper",
    )
    added.add_argument(
        "--momentum",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="of gradient descent (default: 0)",
    )
    added.add_argument(
        "--damping",
        type=float,
        metavar="MU",
        help="the µ of Levenberg–Marquardt",
    )
    added.add_argument(
        "--loss",
        choices=("cross-entropy", "maximum likelihood", "maximum a posteriori"),
        help="default: cross-entropy for probabilities, maximum a posteriori for distances",
    )
    added.add_argument(
        "--rubbish-distance",
        type=float,
        metavar="J",
        help="the j of maximum a posteriori, the paper's equation (9)",
    )
    added.add_argument(
        "--distort",
        action="store_true",
        help="distort each training digit anew in each epoch: translation, scaling, squeezing, horizontal shear",
    )
    added.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="initial weights and order (default: 0)",
    )
    added.add_argument(
        "--engine",
        choices=("loops", "keras"),
        help="what trains: the library's compiled loops, or Keras (default: loops; Keras where they cannot)",
    )
    added.add_argument(
        "--save-minutes",
        type=float,
        default=10.0,
        metavar="N",
        help="save within an epoch too, every so many minutes (default: 10)",
    )
    added.add_argument(
        "--save-steps",
        type=_positive,
        metavar="N",
        help="save within an epoch too, every so many steps, in whole hundreds",
    )
    added.add_argument(
        "--watch-test",
        action="store_true",
        help="record the error on the test digits too, after each epoch; nothing is chosen by it",
    )
    text = "go on from the folder's checkpoint (default), or move the old run aside and start anew"
    added.add_argument(
        "--resume", action=argparse.BooleanOptionalAction, default=True, help=text
    )
    added = command_of(experiment, folder="a folder of all its runs")
    added.add_argument("name", choices=("one-change",), help="what to train")
    add_data(added)
    added.add_argument(
        "--jobs",
        type=_positive,
        default=1,
        metavar="N",
        help="trainings at a time, which share the processor's threads: two on two cores take less time than one after "
        "another. A run is exact to the bit only if it goes on with as many as it began with",
    )
    added.add_argument(
        "--rung",
        action="append",
        metavar="NAME",
        help="only this rung, by the name of its folder; may be given several times",
    )
    added.add_argument(
        "--seeds",
        type=_positive,
        default=5,
        metavar="N",
        help="seeds of each rung (default: 5)",
    )
    add_small(added)
    added.add_argument(
        "--records",
        type=Path,
        metavar="DIR",
        help="copy the records and test results there at the end; the book's are in lenet5lib/recorded/one-change",
    )
    added.add_argument("--only", metavar="RUN", help=argparse.SUPPRESS)
    added.add_argument(
        "--threads", type=_positive, default=1, help=argparse.SUPPRESS
    )
    added = command_of(speedrun, run_dir=False)
    add_data(added)
    added.add_argument(
        "--recipe",
        choices=("six", "ten"),
        default="six",
        help="the seconds that it is meant for (default: six)",
    )
    added.add_argument(
        "--seeds",
        type=_positive,
        default=1,
        metavar="N",
        help="how many runs, with the seeds 0, 1, … (default: 1)",
    )
    added = command_of(evaluate)
    add_data(added)
    added.add_argument(
        "--last",
        action="store_true",
        help="the last epoch's weights, not those that were best on validation",
    )
    add_engine(added)
    added = command_of(predict, needed=False)
    add_engine(added)
    added.add_argument(
        "images",
        type=Path,
        nargs="+",
        metavar="IMAGE",
        help="PNG or JPEG files of one digit each",
    )
    command_of(plot).add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE.png",
        help="the picture to write",
    )
    return top


def command(record: records.Record, run_dir: str, width: int | None = None) -> str:
    """Return the command line that makes the run of a record; a test takes it apart again and compares.

    Args:
        record: of the run.
        run_dir: the folder to name.
        width: break the line there, with the backslashes that a shell wants; None for one line.

    Raises:
        ValueError: a recipe for which the command line has no words.
    """
    from lenet5lib.training import recipe, schedules

    config = record.config
    built = spec.Architecture.from_dict(config["architecture"])
    names = {one: name for name, one in spec.ARCHITECTURES.items()}
    if built not in names:
        raise ValueError(
            f"no command line makes a changed form of {built.name}; expected one of {', '.join(spec.ARCHITECTURES)}. Call "
            "training.train, or run the experiment that it is of."
        )
    chosen = recipe.Recipe.from_dict(config)
    rate = chosen.learning_rate
    words = ["--epochs", len(record.epochs), "--seed", config["seed"]]
    if (architecture := names[built]) != "lenet5":
        words += ["--architecture", architecture]
    if chosen.batch_size != 32:
        words += ["--batch-size", chosen.batch_size]
    if isinstance(rate, schedules.OneCycle):
        words += ["--schedule", rate.kind, "--learning-rate", rate.peak]
    elif isinstance(rate, schedules.ReduceOnPlateau):
        words += ["--schedule", rate.kind, "--learning-rate", rate.rate]
    elif rate == schedules.SCHEDULE_1998:
        words += ["--schedule", "1998"]
    elif rate != 0.001:
        words += ["--learning-rate", rate]
    if chosen.optimizer != "adam":
        words += ["--optimizer", chosen.optimizer]
    if chosen.momentum:
        words += ["--momentum", chosen.momentum]
    if chosen.damping:
        words += ["--damping", chosen.damping]
    if chosen.weight_decay:
        words += ["--weight-decay", chosen.weight_decay]
    if chosen.distortion:
        words += ["--distort"]
    if chosen.loss:
        words += ["--loss", f'"{chosen.loss}"']
    if chosen.rubbish_distance:
        words += ["--rubbish-distance", chosen.rubbish_distance]
    if config["data"].get("all digits"):
        words += ["--all-digits"]
    if "watched test digits" in config["data"]:
        words += ["--watch-test"]
    line = (
        f"python -m lenet5lib train --run-dir {run_dir} {' '.join(map(str, words))}"
    )
    made = _recipe(parser().parse_args(shlex.split(line)[3:]))
    if made != chosen:
        raise ValueError(
            f"no command line makes {chosen}; the nearest makes {made}. Call training.train."
        )
    if width is None:
        return line
    parts = textwrap.wrap(
        line,
        width - 2,
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return " \\\n".join(parts)


def _positive(text: str) -> int:
    """Read a whole number of at least 1 from the command line."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(
            f"expected a whole number of 1 or more, got {text!r}"
        )
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = parser().parse_args(arguments)
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
