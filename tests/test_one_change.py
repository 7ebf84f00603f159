"""The runner of the ablation: finished runs are skipped, stopped ones resumed to the same end, several at a time or one.

Training runs in processes of its own here as there; the steps are short, on few images.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import one_change
import pytest
import record as recorder
import small

from lenet5lib import cli, data, records
from lenet5lib.spec import LENET5_RELU
from lenet5lib.studies import ablation
from lenet5lib.studies.ablation import Step, Variant
from lenet5lib.training import augment, checkpoint, loop
from lenet5lib.training.checkpoint import LAST
from lenet5lib.training.recipe import Distortion, Recipe

pytestmark = pytest.mark.slow

FIRST = Variant("first", LENET5_RELU, Recipe(20, 0.01), epochs=2)
SECOND = FIRST.with_recipe("second", ema_decay=0.5, label_smoothing=0.1)
SLOW, FAST = (
    SECOND.with_recipe(f"rate-{r}", learning_rate=r) for r in (0.002, 0.02)
)
STEPS = (Step("one", FIRST), Step("two", SECOND, (SLOW, SECOND, FAST)))
NAMES = [
    f"{name}/seed-0" for name in ("first", "rate-0.002", "second", "rate-0.02")
]
LIMIT = (40, 20)


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    """A data file of 600 training and 60 test images."""
    return small.save_npz(tmp_path_factory.mktemp("data") / "small.npz")


@pytest.fixture
def short(monkeypatch):
    """The experiment is two steps of two epochs."""
    monkeypatch.setattr(ablation, "STEPS", STEPS)


def options(file: Path, folder: Path, *more: object, limit=LIMIT) -> list[str]:
    """Return the options that train in a folder, one seed and few images."""
    found = ["--run-dir", folder, "--data", file, "--seeds", 1]
    found += ["--limit", *limit] if limit else []
    return [str(one) for one in (*found, *more)]


def run(file: Path, folder: Path, *more: object, limit=LIMIT) -> int:
    """Run the runner in this process; its training processes are its own."""
    return one_change.main(options(file, folder, *more, limit=limit))


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder by their names."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def trained(file, tmp_path_factory) -> Path:
    """The two steps, trained two runs at a time; tests leave the folder as it is."""
    folder = tmp_path_factory.mktemp("one_change") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ablation, "STEPS", STEPS)
        assert run(file, folder, "--jobs", 2) == 0
    return folder


@pytest.fixture
def folder(trained, tmp_path) -> Path:
    """A copy of it, to be changed."""
    for name, file in contents(trained).items():
        path = tmp_path / "copy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file)
    return tmp_path / "copy"


def test_every_run_is_an_ordinary_training_run_in_its_own_folder(trained, tmp_path):
    runs = {
        path.parent.relative_to(trained).as_posix() for path in trained.rglob(LAST)
    }
    assert runs == set(NAMES)
    for name in NAMES:
        assert small.leftovers(trained / name) == set()
    loop.train(
        LENET5_RELU,
        data.split(small.dataset()).limit(*LIMIT),
        tmp_path,
        epochs=2,
        recipe=SECOND.recipe,
        report=None,
    )
    ours = records.read(trained / "second/seed-0")
    assert small.metrics(records.read(tmp_path)) == small.metrics(ours)
    assert small.arrays(tmp_path / LAST) == small.arrays(
        trained / "second/seed-0" / LAST
    )
    share = max(1, (os.cpu_count() or 1) // 2)
    assert [session["threads"] for session in ours.sessions] == [share]


def test_the_command_that_a_run_records_trains_it(trained):
    record = records.read(trained / "second/seed-0")
    assert record.command is not None
    assert record.command.startswith("lenet5lib train --run-dir ")
    assert "--ema-decay 0.5" in record.command


def test_what_is_finished_is_skipped(short, file, folder, monkeypatch, capsys):
    before = contents(folder)
    monkeypatch.setattr(subprocess, "Popen", None)
    assert run(file, folder) == run(file, folder, "--jobs", 2) == 0
    assert "4 runs, 4 of them finished." in capsys.readouterr().out
    assert run(file, folder, "--step", "second") == 0
    assert "3 runs, 3 of them finished." in capsys.readouterr().out
    assert contents(folder) == before


def test_what_is_missing_is_trained_and_nothing_else(
    short, file, folder, trained, capsys
):
    missing = "rate-0.02/seed-0"
    before = contents(folder)
    for path in (folder / missing).iterdir():
        path.unlink()
    assert run(file, folder, "--jobs", 2) == 0
    printed = capsys.readouterr().out
    assert "4 runs, 3 of them finished." in printed
    assert re.findall(r"^(\S+): begins$", printed, re.MULTILINE) == [missing]
    small.assert_same_run(folder / missing, trained / missing)
    others = {n: b for n, b in before.items() if not n.startswith("rate-0.02/")}
    assert others.items() <= contents(folder).items()


def test_more_seeds_go_on_where_fewer_ended(short, file, folder, capsys):
    assert run(file, folder, "--seeds", 2, "--step", "first") == 0
    assert "2 runs, 1 of them finished." in capsys.readouterr().out
    first, second = (records.read(folder / f"first/seed-{n}") for n in (0, 1))
    assert (first.config.seed, second.config.seed) == (0, 1)
    assert small.metrics(first) != small.metrics(second)


def test_a_folder_of_a_different_configuration_is_refused_with_the_field(
    file, folder, monkeypatch, capsys
):
    other = FIRST.with_recipe("first", batch_size=10)
    monkeypatch.setattr(ablation, "STEPS", (Step("one", other), STEPS[1]))
    before = contents(folder)
    assert run(file, folder) == 1
    error = capsys.readouterr().err
    for part in ("first/seed-0", "batch_size", "20", "10"):
        assert part in error
    assert contents(folder) == before
    assert run(file, folder, "--step", "second", limit=(30, 20)) == 1
    assert re.search(r"num_train: 40 .*30", capsys.readouterr().err)


def test_an_unknown_step_is_refused_before_anything_is_done(
    short, file, tmp_path, capsys
):
    assert run(file, tmp_path, "--step", "third") == 1
    error = capsys.readouterr().err
    assert "'third'" in error
    assert "first, second" in error
    assert contents(tmp_path) == {}


def test_steps_are_found_by_the_names_of_what_they_selected(monkeypatch):
    augmented = Step("views", SECOND, views=7)
    steps = (*STEPS, augmented)
    monkeypatch.setattr(ablation, "STEPS", steps)
    assert one_change.steps_named(None) == list(steps)
    assert one_change.steps_named(["second", "second"]) == [STEPS[1], augmented]
    for name in ("rate-0.02", "one", "FIRST"):
        with pytest.raises(ValueError, match=repr(name)):
            one_change.steps_named(["first", name])


def test_finished_is_a_run_of_this_configuration_with_all_its_epochs(folder):
    place = folder / "first/seed-0"
    splits = data.split(small.dataset()).limit(*LIMIT)

    def finished(variant=FIRST, seed=0, splits=splits):
        return one_change.is_finished(variant, seed, place, splits)

    assert finished()
    assert not finished(seed=1)
    assert not finished(replace(FIRST, epochs=3))
    assert finished(replace(FIRST, epochs=1))
    assert not finished(FIRST.with_recipe("first", label_smoothing=0.1))
    assert not finished(splits=data.split(small.dataset()))
    assert finished(splits=replace(splits, dataset_name="a different name"))
    record = records.read(place)
    record.unfinished_epoch = {"epoch": 3}
    (place / records.NAME).write_text(record.to_json())
    assert not finished()
    (place / records.NAME).write_text("{")
    assert not finished()
    (place / records.NAME).unlink()
    assert not finished()


def test_the_command_of_a_variant_is_read_back(short):
    distortion = Distortion(translation=1, elastic=0.4)
    variant = FIRST.with_recipe("x", distortion=distortion, ema_decay=0.5)
    variant = replace(variant, train_on_all=True)
    line = one_change.command(variant, 7, Path("a folder"))
    options = cli.parser().parse_args(line)
    assert cli.recipe_of(options) == variant.recipe
    assert cli.NETWORKS[options.architecture] == variant.architecture
    assert (options.seed, options.epochs) == (7, 2)
    assert (options.run_dir, options.train_on_all) == (Path("a folder"), True)


def without_steps(run_dir: Path) -> records.Record:
    """Return a run's record as its tables keep it: without the loss within each epoch."""
    record = records.read(run_dir)
    for epoch in record.epochs:
        del epoch["steps"]
    return record


def tables(folder: Path) -> dict[str, list[dict[str, str]]]:
    return {name: recorder.read(folder, name) for name in recorder.COLUMNS}


@pytest.fixture(scope="module")
def kept(trained, file, tmp_path_factory) -> Path:
    """The tables to which the runs were added."""
    to = tmp_path_factory.mktemp("tables") / "new"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ablation, "STEPS", STEPS)
        assert run(file, trained, "--records", to) == 0
    return to


def test_the_tables_hold_the_records_and_are_read_as_the_packages_are(
    kept, trained, monkeypatch
):
    monkeypatch.setattr(records, "RECORDED", kept)
    records.table.cache_clear()
    try:
        for name in NAMES:
            experiment, _, seed = f"one-change/{name}".rpartition("/")
            found = records.recorded(experiment)[seed]
            assert found == without_steps(trained / name)
    finally:
        records.table.cache_clear()


def test_test_images_are_read_for_what_was_selected_alone(kept):
    errors = tables(kept)["test_errors"]
    assert {row["run"] for row in errors} == {
        "one-change/first/seed-0",
        "one-change/second/seed-0",
    }
    tested = {row["run"]: row["num_test"] for row in tables(kept)["runs"]}
    assert tested["one-change/first/seed-0"] == "60"
    assert tested["one-change/rate-0.02/seed-0"] == ""


def expected(place: Path, images: np.ndarray) -> np.ndarray:
    """Return the probabilities of a run's last weights by Keras, in small batches."""
    model = checkpoint.load_model(place, LAST)
    parts = [images[n : n + 7] for n in range(0, len(images), 7)]
    return np.concatenate([model(data.prepare(part)) for part in parts])


@pytest.mark.parametrize("name", ["first", "second"])
def test_test_errors_are_those_of_the_last_weights(kept, trained, name):
    """Of `second` these are the averaged weights, though the file holds the others."""
    digits = small.dataset().test
    predictions = expected(trained / name / "seed-0", digits.images).argmax(axis=1)
    wanted = [
        {
            "run": f"one-change/{name}/seed-0",
            "views": "1",
            "position": str(n),
            "label": str(digits.labels[n]),
            "prediction": str(predictions[n]),
        }
        for n in range(60)
        if predictions[n] != digits.labels[n]
    ]
    assert wanted, "two epochs on 40 images leave errors"
    run = wanted[0]["run"]
    found = [row for row in tables(kept)["test_errors"] if row["run"] == run]
    assert found == wanted


def test_a_run_is_recorded_and_tested_once(
    short, file, trained, kept, monkeypatch, tmp_path
):
    before = contents(kept)
    monkeypatch.setattr(recorder, "errors_of", None)
    assert run(file, trained, "--records", kept) == 0
    assert contents(kept) == before


def test_several_views_are_tested_beside_one_without_training_again(
    file, tmp_path, monkeypatch
):
    distortion = Distortion(translation=5.0)
    moved = FIRST.with_recipe("moved", distortion=distortion, learning_rate=0.002)
    both = (Step("moved", moved), Step("views", moved, views=3))
    folder, to = tmp_path / "runs", tmp_path / "tables"
    monkeypatch.setattr(ablation, "STEPS", both[:1])
    assert run(file, folder, "--records", to) == 0
    before = tables(to)
    monkeypatch.setattr(ablation, "STEPS", both)
    monkeypatch.setattr(subprocess, "Popen", None)
    assert run(file, folder, "--records", to) == 0
    after = tables(to)
    assert (after["runs"], after["epochs"]) == (before["runs"], before["epochs"])
    count = len(before["test_errors"])
    assert after["test_errors"][:count] == before["test_errors"]
    added = after["test_errors"][count:]
    assert {row["views"] for row in added} == {"3"}
    test = small.dataset().test
    total = sum(
        expected(
            folder / "moved/seed-0", augment.distort(test.images, distortion, 0, n)
        )
        for n in (1, 2, 3)
    )
    wrong = np.flatnonzero(total.argmax(axis=1) != test.labels)
    assert [int(row["position"]) for row in added] == wrong.tolist()


def test_a_different_run_of_a_recorded_name_is_refused(
    short, file, folder, kept, capsys
):
    place = folder / "first/seed-0"
    record = records.read(place)
    record.sessions.append(record.sessions[0] | {"threads": 99})
    (place / records.NAME).write_text(record.to_json())
    before = contents(kept)
    assert run(file, folder, "--records", kept) == 1
    assert "one-change/first/seed-0" in capsys.readouterr().err
    assert contents(kept) == before


def test_tables_of_different_data_are_refused(trained, tmp_path):
    dataset = replace(small.dataset(), dataset_name="MNIST")
    with pytest.raises(ValueError, match=r"small\.npz.* MNIST"):
        recorder.add(tmp_path, "a/b", trained / NAMES[0], dataset)
    assert contents(tmp_path) == {}


def test_a_run_is_added_to_the_packages_tables_with_its_weights(
    file, folder, tmp_path, monkeypatch, capsys
):
    """`tools/record.py` on a folder that stands for the package's."""
    monkeypatch.setenv("LENET5_MNIST", str(file))
    monkeypatch.setattr(records, "RECORDED", tmp_path / "recorded")
    place = folder / "second/seed-0"
    try:
        assert recorder.main([str(place), "mine/one"]) == 0
        assert "mine/one" in capsys.readouterr().out
        found = records.recorded("mine")["one"]
        path = records.weights("mine/one")
    finally:
        records.table.cache_clear()
    record = records.read(place)
    assert found == record
    assert path.name == record.weights_name == "best.weights.h5"
    kept = checkpoint.load_weights(path)[1]
    for name, arrays in checkpoint.load_weights(place / path.name)[1].items():
        for one, other in zip(arrays, kept[name], strict=True):
            np.testing.assert_array_equal(one, other)
    assert recorder.main([str(tmp_path / "nowhere"), "mine/two"]) == 1
    assert capsys.readouterr().err.startswith("error: no record at ")


JOB = """
import json, os, sys, time
log, how, name = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
def note(what):
    with open(log, "a") as file:
        file.write(json.dumps([what, name]) + "\\n")
note("begins")
print("a line")
if name not in how.get("fails", {}):
    time.sleep(how.get("seconds", 0.3))
else:
    sys.stderr.write(how["fails"][name])
    sys.exit(1)
note("ends")
"""
"""What stands for a training run: it notes when it begins and ends, or fails as it is told."""


def jobs(log: Path, at_once: int, **how) -> tuple[list[str], list[list[str]]]:
    """Run eight such processes; return what failed and what was noted."""
    commands = {
        name: [sys.executable, "-c", JOB, str(log), json.dumps(how), name]
        for name in map(str, range(8))
    }
    failed = one_change.Jobs().run(commands, at_once)
    return failed, [json.loads(line) for line in log.read_text().splitlines()]


def test_no_more_than_the_given_number_run_at_a_time_and_each_once(
    tmp_path, capsys
):
    failed, log = jobs(tmp_path / "log", 3)
    assert failed == []
    running, most = 0, 0
    for what, _ in log:
        running += 1 if what == "begins" else -1
        most = max(most, running)
    assert (running, most) == (0, 3)
    assert set(Counter(map(tuple, log)).values()) == {1}
    assert len(log) == 16
    printed = capsys.readouterr().out.splitlines()
    assert [line for line in printed if line.startswith("5: ")] == [
        "5: begins",
        "5: a line",
    ]


@pytest.mark.parametrize(
    ("errors", "named"),
    [
        ("a warning\nerror: no room is left\n", "no room is left"),
        ("error: no room", "no room"),
    ],
)
def test_a_job_that_fails_is_named_the_others_stop_and_none_begins(
    tmp_path, errors, named
):
    start = time.monotonic()
    failed, log = jobs(tmp_path / "log", 2, fails={"1": errors}, seconds=300)
    assert failed == [f"1: {named}"]
    assert time.monotonic() - start < 200
    # The other of the two may have been stopped before it could note anything.
    assert {what for what, _ in log} == {"begins"}
    assert "1" in {name for _, name in log} <= {"0", "1"}


posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
REAL_STEP = next(step for step in ablation.STEPS if step.trials)
"""A step of the book's that has trials: three runs."""
REAL = [f"{variant.name}/seed-0" for variant in REAL_STEP.trials]
REAL_OPTIONS = ("--step", REAL_STEP.selected.name, "--jobs", 2)
STARTED: list[subprocess.Popen] = []


def start(file: Path, folder: Path) -> subprocess.Popen:
    """Start the runner in its own process group, as a terminal does."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("TF_", "LENET5_"))
    }
    line = options(file, folder, *REAL_OPTIONS, limit=(300, 50))
    process = subprocess.Popen(
        [sys.executable, one_change.__file__, *line],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=kept | {"PYTHONUNBUFFERED": "1"},
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    STARTED.append(process)
    return process


@pytest.fixture(autouse=True)
def nobody_is_left():
    """End what a test that failed has left running, its jobs too."""
    yield
    while STARTED:
        process = STARTED.pop()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_for_epoch(process: subprocess.Popen, epoch: int) -> str:
    """Wait until a line says that this epoch is done; return the line."""
    found = (line for line in process.stdout if f"Epoch {epoch}/" in line)
    line = next(found, None)
    assert line, process.stderr.read()
    return line


@pytest.fixture(scope="module")
def in_jobs(file, tmp_path_factory) -> tuple[Path, list[str]]:
    """The real step trained undisturbed, two runs at a time; and what was printed."""
    folder = tmp_path_factory.mktemp("jobs")
    process = start(file, folder)
    printed, errors = process.communicate(timeout=900)
    assert (process.returncode, errors) == (0, "")
    return folder, printed.splitlines()


@posix
def test_two_jobs_train_all_runs_and_say_which(in_jobs):
    folder, printed = in_jobs
    assert "600 training" in printed[0]
    assert printed[1] == f"{len(REAL)} runs, 0 of them finished."
    for name in REAL:
        assert f"{name}: begins" in printed
        epochs = [line for line in printed if line.startswith(f"{name}: Epoch ")]
        record = records.read(folder / name)
        assert len(epochs) == len(record.epochs) == REAL_STEP.selected.epochs
        assert len(record.sessions) == 1


def assert_nobody_trains(folder: Path) -> None:
    """Assert that every run that was begun is saved and that no process trains in it any more."""
    begun = [path.parent for path in folder.rglob(LAST)]
    assert begun
    for run_dir in begun:
        with recorder.files.locked(run_dir) as alone:
            assert alone
        checkpoint.read_record(run_dir / LAST)
        checkpoint.load_model(run_dir, LAST)


@posix
def test_a_sigterm_stops_every_job_saved_and_the_same_command_resumes(
    in_jobs, file, tmp_path
):
    process = start(file, tmp_path)
    wait_for_epoch(process, 1)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=900)
    assert process.returncode == 143
    assert "SIGTERM" in errors
    assert len(errors.splitlines()) == 1
    assert_nobody_trains(tmp_path)
    assert not (tmp_path / REAL[-1]).exists()
    process = start(file, tmp_path)
    printed, errors = process.communicate(timeout=900)
    assert (process.returncode, errors) == (0, "")
    assert "Resuming " in printed
    for name in REAL:
        small.assert_same_run(tmp_path / name, in_jobs[0] / name)


@posix
def test_ctrl_c_in_a_terminal_reaches_every_job_and_each_saves(file, tmp_path):
    """The terminal tells all processes, and the first one tells the others again: no reason not to save."""
    process = start(file, tmp_path)
    line = wait_for_epoch(process, 2)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=900)
    assert process.returncode == 130
    assert "SIGINT" in errors
    assert len(errors.splitlines()) == 1
    assert_nobody_trains(tmp_path)
    record = checkpoint.read_record(tmp_path / line.split(": ")[0] / LAST)
    assert len(record.epochs) >= 2
