"""The recorded runs that the book cites: whole, made by the command that the book prints, and what their weights compute."""

import dataclasses
import json
import os
import shlex
import statistics
from pathlib import Path

import numpy as np
import pytest

from lenet5lib import arithmetic, cli, data, evaluation, records, spec
from lenet5lib.records import RecordError
from lenet5lib.spec import Architecture
from lenet5lib.studies import ablation
from lenet5lib.training import checkpoint, loop
from lenet5lib.training.recipe import Recipe

ALL = {
    f"{experiment}/{name}": folder
    for experiment in records.experiments()
    if not experiment.startswith(ablation.NAME)
    for name, folder in records.recorded(experiment).items()
}
REMOVED = "space-to-depth (removed)"
"""The engine that trained them."""
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
    result = evaluation.evaluate(loop.load_model(RUNS[name]), digits.test)
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
    model = loop.load_model(FINAL[name], checkpoint.LAST)
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
        (ablation.wrong(ablation.RUNGS[-2]).mean(axis=1), "95 % interval "),
        (ablation.wrong(ablation.RUNGS[-1]).mean(axis=1), ""),
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
    model = loop.load_model(FINAL[name], checkpoint.LAST)
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
        assert {one["engine"] for one in run.sessions} == {REMOVED}
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


def test_a_changed_architecture_has_no_command():
    record = records.read(RUNS["lenet5-200/seed-0"])
    changed = spec.LENET5.with_hidden_activation("relu").to_dict()
    config = record.config | {"architecture": changed}
    with pytest.raises(ValueError, match="a changed form of LeNet-5, the article"):
        cli.command(dataclasses.replace(record, config=config), "runs/x")


LADDER = [
    pytest.param(*run, id=f"{run[0].name}/seed-{run[1]}") for run in ablation.runs()
]


def ladder_folder(variant, seed):
    return records.RECORDED / ablation.NAME / variant.name / f"seed-{seed}"


@pytest.mark.parametrize(("variant", "seed", "looks"), LADDER)
def test_a_run_of_the_ladder_is_what_the_ladder_says(variant, seed, looks):
    folder = ladder_folder(variant, seed)
    record = records.read(folder)
    config = record.config
    assert Architecture.from_dict(config["architecture"]) == variant.architecture
    assert Recipe.from_dict(config) == variant.recipe
    assert config["seed"] == seed
    assert len(record.epochs) == variant.epochs
    assert record.partial is None
    assert record.source == "MNIST"
    assert config["data"].get("all digits", False) == variant.all_digits
    digits = 60_000 if variant.all_digits else 55_000
    assert config["data"]["training digits"] == digits
    assert record.metrics == records.METRICS, "the test digits were not watched"
    results = {path.name for path in folder.glob("test*")}
    assert results == {records.result_name(number) for number in looks}
    assert {one["engine"] for one in record.sessions} == {REMOVED}


def test_no_run_is_on_record_that_the_ladder_does_not_know():
    """What was tried is told whole, the bad with the good."""
    known = {ladder_folder(variant, seed) for variant, seed, _ in ablation.runs()}
    found = {
        path.parent
        for path in (records.RECORDED / ablation.NAME).rglob(records.NAME)
    }
    assert found == known


def test_each_variant_of_the_ladder_was_chosen_on_validation():
    compared = 0
    for rung in ablation.RUNGS:
        if rung.tried:
            best = ablation.tried(rung).index[0]
            variants = {one.name: one for one in (rung.chosen, *rung.tried)}
            # Of a rung that trains on all digits, its like that held some out.
            like = variants[best].changed(
                rung.chosen.name, all_digits=rung.chosen.all_digits
            )
            assert like == rung.chosen
            assert not variants[best].all_digits
            compared += 1
    assert compared >= 6


def test_the_table_of_the_ladder_by_other_means():
    """Each file read and counted by itself, and compared with the table; then the table with the page of the chapter."""
    table = ablation.table()
    before = None
    for rung in ablation.RUNGS:
        name, row = rung.chosen.name, table.loc[rung.change]
        counts, held = [], []
        for seed in range(5):
            folder = records.RECORDED / "one-change" / name / f"seed-{seed}"
            file = "test.json" if rung.looks == 1 else "test-16-looks.json"
            test = json.loads((folder / file).read_text(encoding="utf-8"))
            record = json.loads(
                (folder / "record.json").read_text(encoding="utf-8")
            )
            counts.append(len(test["wrong"]))
            held.append(100 - 100 * record["epochs"][-1]["val_accuracy"])
            assert test["digits"] == 10_000
        assert row["test"] == pytest.approx(statistics.mean(counts) / 100)
        assert row["sd"] == pytest.approx(statistics.stdev(counts) / 100)
        if not rung.chosen.all_digits:
            assert row["validation"] == pytest.approx(statistics.mean(held))
        if before is not None:
            change = (statistics.mean(counts) - before) / 100
            assert row["change"] == pytest.approx(change)
            assert row["from"] <= change <= row["to"]
        before = statistics.mean(counts)
    path = Path(__file__).parent.parent / "book/14_one_change_at_a_time.ipynb"
    printed = [
        "".join(output["data"]["text/plain"])
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        for output in cell.get("outputs", [])
        if "text/html" in output.get("data", {})
    ]
    whole = next(
        text for text in printed if all(name in text for name in table.index)
    )
    for change, row in table.iterrows():
        line = next(line for line in whole.splitlines() if line.startswith(change))
        shown = [f"{value:.2f}" for value in row if not np.isnan(value)]
        assert line.removeprefix(change).split() == shown


def test_the_last_rung_errs_half_as_often_as_the_paper_with_the_articles_parameters():
    for rung in ablation.RUNGS[-2:]:
        assert rung.chosen == ablation.FINAL
        assert ablation.wrong(rung).mean() <= 0.0045
    rows = arithmetic.table(ablation.FINAL.architecture)
    assert sum(row.params for row in rows) == 61_706


@pytest.mark.skipif(
    not os.environ.get("LENET5_MNIST", "").endswith(".npz"),
    reason="needs MNIST: LENET5_MNIST names no file",
)
def test_the_best_network_makes_the_mistakes_on_record():
    digits = data.load_digits(report=lambda line: None)
    folder = ladder_folder(ablation.RUNGS[-1].chosen, 0)
    model = loop.load_model(folder, checkpoint.LAST)
    found = set(evaluation.evaluate(model, digits.test).mistakes.tolist())
    recorded = evaluation.recorded_mistakes(folder)
    assert len(found ^ set(recorded["position"])) <= 2


def test_an_unknown_experiment_is_refused():
    with pytest.raises(
        RecordError,
        match="no recorded experiment 'vgg'; expected one of lenet5-1998-distorted, lenet5-1998-plain",
    ):
        records.recorded("vgg")
