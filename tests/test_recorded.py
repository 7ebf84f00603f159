"""The recorded runs that the book cites: whole, made by the command that the book prints, and what their weights compute."""

import dataclasses
import os
import shlex
from pathlib import Path

import numpy as np
import pytest

from lenet5lib import (
    checkpoint,
    cli,
    data,
    evaluation,
    records,
    spec,
    training,
)
from lenet5lib.recipe import Recipe
from lenet5lib.records import RecordError
from lenet5lib.spec import Architecture

EXPERIMENTS = records.experiments()
ALL = {
    f"{experiment}/{name}": folder
    for experiment in EXPERIMENTS
    for name, folder in records.recorded(experiment).items()
}
RUNS = {name: folder for name, folder in ALL.items() if "lenet5-200" in name}
FINAL = {
    name: folder
    for name, folder in ALL.items()
    if name.startswith(("lenet5-1998-plain", "lenet5-1998-distorted"))
}


@pytest.mark.parametrize("name", RUNS)
def test_record_and_weights_are_of_one_run(name):
    record = records.read(RUNS[name])
    best = checkpoint.read_record(RUNS[name] / checkpoint.BEST)
    assert best.config == record.config
    assert best.best == record.best
    assert best.epochs == record.epochs[: len(best.epochs)]
    assert record.source == "MNIST"
    assert record.partial is None
    losses = record.column("val_loss")
    assert record.best == {
        "epoch": int(np.argmin(losses)) + 1,
        "val_loss": min(losses),
    }


@pytest.mark.parametrize("name", ALL)
def test_the_command_in_the_book_makes_this_run(name):
    record = records.read(ALL[name])
    line = cli.command(record, f"runs/{name}")
    words = shlex.split(line)
    program, arguments = words[:3], words[3:]
    assert program == ["python", "-m", "lenet5lib"]
    options = cli.parser().parse_args(arguments)
    architecture = spec.ARCHITECTURES[options.architecture]
    assert architecture == Architecture.from_dict(record.config["architecture"])
    assert cli._recipe(options) == Recipe.from_dict(record.config)
    assert options.seed == record.config["seed"]
    assert options.epochs == len(record.epochs)
    watched = "watched test digits" in record.config["data"]
    assert options.watch_test == watched


@pytest.mark.skipif(
    not os.environ.get("LENET5_MNIST", "").endswith(".npz"),
    reason="needs MNIST: LENET5_MNIST names no file",
)
@pytest.mark.parametrize("name", RUNS)
def test_the_weights_make_the_mistakes_on_record(name):
    record = records.read(RUNS[name])
    digits = data.load_digits(report=lambda line: None)
    splits = data.split(digits)
    assert record.config["data"]["digest"] == data.digest(
        splits.train, splits.validation
    )
    result = evaluation.evaluate(training.load_model(RUNS[name]), digits.test)
    line = record.epochs[record.best["epoch"] - 1]
    # Another processor may round a digit that lies between two answers the other way.
    assert abs(len(result.mistakes) - 10_000 * (1 - line["test_accuracy"])) < 1.5


@pytest.mark.parametrize("name", FINAL)
def test_a_final_run_has_its_last_weights_and_one_reading_of_the_test_digits(name):
    record = records.read(FINAL[name])
    last = checkpoint.read_record(FINAL[name] / checkpoint.LAST)
    assert last == record
    assert record.config["data"]["all digits"] is True
    assert record.config["data"]["training digits"] == 60_000
    assert record.metrics == records.METRICS, "the test digits were not watched"
    model = training.load_model(FINAL[name], checkpoint.LAST)
    assert sum(np.prod(w.shape) for w in model.trainable_weights) == 60_000


def test_the_final_recipes_were_chosen_on_validation():
    """Each is the one of its kind with the lowest validation loss among those tried, and nothing but the digits differs."""
    tried = evaluation.tried("lenet5-1998-tried")
    adam = tried[tried["optimizer"] == "adam"]
    for experiment, distorted in (
        ("lenet5-1998-plain", False),
        ("lenet5-1998-distorted", True),
    ):
        kind = adam[adam["distorted"] == distorted]
        chosen = records.recorded("lenet5-1998-tried")[
            kind["validation loss"].idxmin()
        ]
        wanted = Recipe.from_dict(records.read(chosen).config)
        seeds = []
        for folder in records.recorded(experiment).values():
            record = records.read(folder)
            assert Recipe.from_dict(record.config) == wanted
            assert len(record.epochs) == len(records.read(chosen).epochs)
            seeds.append(record.config["seed"])
        assert seeds == list(range(len(seeds)))
        assert len(seeds) >= 3


def test_the_readme_quotes_the_records():
    text = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    last = [
        evaluation.choices(records.read(folder)).loc["the last", "test error"]
        for folder in records.recorded("lenet5-200").values()
    ]
    for errors, dash in (
        (evaluation.recorded_errors("lenet5-1998-plain"), "95 % interval "),
        (evaluation.recorded_errors("lenet5-1998-distorted"), ""),
        (np.array(last), "95 % interval "),
    ):
        low, high = evaluation.mean_interval(100 * errors)
        quoted = f"{100 * errors.mean():.2f} % ({dash}{low:.2f} to {high:.2f}"
        assert quoted in text


def test_the_papers_figures_are_reached():
    for experiment, paper in (
        ("lenet5-1998-plain", 0.0095),
        ("lenet5-1998-distorted", 0.0080),
    ):
        assert evaluation.recorded_errors(experiment).mean() <= paper


@pytest.mark.skipif(
    not os.environ.get("LENET5_MNIST", "").endswith(".npz"),
    reason="needs MNIST: LENET5_MNIST names no file",
)
@pytest.mark.parametrize("name", FINAL)
def test_the_final_weights_make_the_mistakes_on_record(name):
    digits = data.load_digits(report=lambda line: None)
    model = training.load_model(FINAL[name], checkpoint.LAST)
    found = set(evaluation.evaluate(model, digits.test).mistakes.tolist())
    recorded = evaluation.recorded_mistakes(FINAL[name])
    # Another processor may round a digit that lies between two answers the other way.
    assert len(found ^ set(recorded["position"])) <= 2
    assert (digits.test.labels[recorded["position"]] == recorded["label"]).all()


def test_a_run_whose_test_digits_were_not_read_is_refused():
    with pytest.raises(RecordError, match="no test result at"):
        evaluation.recorded_mistakes(RUNS["lenet5-200/seed-0"])


def test_the_long_runs_are_what_chapter_9_says():
    runs = [
        records.read(folder) for folder in records.recorded("lenet5-200").values()
    ]
    assert [run.config["seed"] for run in runs] == [0, 1, 2]
    first = runs[0].config
    for run in runs:
        assert len(run.epochs) == 200
        assert len(run.sessions) >= 3, "two interruptions at least"
        assert run.config | {"seed": 0} == first
        assert run.config["data"]["training digits"] == 55_000
        assert run.config["batch_size"] == 32
        assert {session["form"] for session in run.sessions} == {"blocks"}
    assert any(session["after_steps"] for run in runs for session in run.sessions)


def test_a_command_is_made_for_every_option():
    record = records.read(RUNS["lenet5-200/seed-1"])
    asked = (
        "python -m lenet5lib train --run-dir runs/x --epochs 200 --seed 1 --architecture lenet5-1998 --batch-size 64 "
        '--schedule one-cycle --learning-rate 0.003 --weight-decay 0.05 --distort --loss "maximum a posteriori" '
        "--rubbish-distance 9.0 --all-digits"
    )
    options = cli.parser().parse_args(shlex.split(asked)[3:])
    config = {
        "architecture": spec.LENET5_1998.to_dict(),
        **cli._recipe(options).to_dict(),
        "seed": 1,
        "data": {"source": "MNIST", "all digits": True},
    }
    made = dataclasses.replace(record, config=config)
    assert cli.command(made, "runs/x") == asked
    lines = cli.command(made, "runs/x", width=84).split(" \\\n")
    assert max(map(len, lines)) <= 82
    assert " ".join(line.strip() for line in lines) == asked


def test_a_recipe_without_words_is_refused():
    record = records.read(RUNS["lenet5-200/seed-0"])
    config = record.config | {"distortion": {"elastic": 2.0}}
    with pytest.raises(ValueError, match="no command line makes Recipe"):
        cli.command(dataclasses.replace(record, config=config), "runs/x")


def test_an_unknown_experiment_is_refused():
    with pytest.raises(
        RecordError,
        match="no recorded experiment 'vgg'; expected one of lenet5-1998-distorted, lenet5-1998-plain",
    ):
        records.recorded("vgg")
