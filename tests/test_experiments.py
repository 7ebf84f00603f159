"""The experiment's trainings: the finished are skipped, the stopped go on to the same end, several at a time or one.

Most tests run a ladder of two short rungs in this process; those of processes train real rungs of the book's on few digits.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import one_change
import pytest
import small

from lenet5lib import cli, data, records
from lenet5lib.loops import network
from lenet5lib.records import TEST
from lenet5lib.spec import LENET5
from lenet5lib.studies import ablation
from lenet5lib.studies.ablation import Rung, Variant
from lenet5lib.training import augment, checkpoint, loop
from lenet5lib.training.checkpoint import LAST
from lenet5lib.training.loop import RunError
from lenet5lib.training.recipe import Distortion, Recipe

FEW, MORE = (40, 20), (500, 50)
RELU = LENET5.with_hidden_activation("relu")
FIRST = Variant("first", RELU, Recipe(20, 0.01), epochs=2)
SECOND = FIRST.changed("second", ema_decay=0.5, label_smoothing=0.1)
SLOW, FAST = (SECOND.changed(f"rate-{r}", learning_rate=r) for r in (0.002, 0.02))
RUNGS = (Rung("one", FIRST), Rung("two", SECOND, (SLOW, FAST)))
NAMES = ["first/seed-0", "rate-0.002/seed-0", "rate-0.02/seed-0", "second/seed-0"]


@pytest.fixture
def short(monkeypatch):
    """The experiment is a ladder of two rungs of two epochs."""
    monkeypatch.setattr(ablation, "RUNGS", RUNGS)


def run(folder: Path, **options) -> list[str]:
    """Train in this process, one seed and few digits if nothing else is said; return what was reported."""
    said = []
    options = {"seeds": 1, "small": FEW, "report": said.append, **options}
    one_change.run(folder, small.dataset(), **options)
    return said


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder by their names."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """The short ladder, one seed, trained in one go; tests leave the folder as it is."""
    folder = tmp_path_factory.mktemp("experiments") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ablation, "RUNGS", RUNGS)
        said = run(folder)
    starts = [line for line in said if line.startswith("Run ")]
    assert said[0] == "4 runs, 0 of them finished."
    assert starts == [f"Run {n} of 4: {name}" for n, name in enumerate(NAMES, 1)]
    assert len([line for line in said if line.startswith("Epoch 2/2")]) == 4
    return folder


@pytest.fixture
def folder(trained, tmp_path) -> Path:
    """A copy of it, to be changed."""
    for name, file in contents(trained).items():
        path = tmp_path / "copy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file)
    return tmp_path / "copy"


def test_every_run_is_an_ordinary_training_in_a_folder_of_its_own(
    trained, tmp_path
):
    for name in NAMES:
        assert small.leftovers(trained / name) <= {TEST}
    splits = data.split(small.dataset()).small(*FEW)
    loop.train(
        RELU,
        splits,
        tmp_path,
        epochs=2,
        recipe=SECOND.recipe,
        seed=0,
        report=None,
    )
    small.assert_same_run(tmp_path, trained / "second/seed-0")


def test_what_is_finished_is_skipped(short, folder, monkeypatch):
    before = contents(folder)
    monkeypatch.setattr(loop, "train", None)
    assert run(folder) == ["4 runs, 4 of them finished."]
    assert run(folder, rungs=["second"]) == ["3 runs, 3 of them finished."]
    # Several jobs would be started with a command that cannot be: none is.
    assert run(folder, jobs=2) == ["4 runs, 4 of them finished."]
    assert contents(folder) == before


def test_what_is_missing_is_trained_and_nothing_else(short, folder, trained):
    before = contents(folder)
    for path in (folder / "rate-0.02/seed-0").iterdir():
        path.unlink()
    said = run(folder)
    assert said[:2] == [
        "4 runs, 3 of them finished.",
        "Run 1 of 1: rate-0.02/seed-0",
    ]
    small.assert_same_run(folder / "rate-0.02/seed-0", trained / "rate-0.02/seed-0")
    others = {n: b for n, b in before.items() if not n.startswith("rate-0.02/")}
    assert others.items() <= contents(folder).items()


def test_more_seeds_go_on_where_fewer_ended(short, folder):
    said = run(folder, seeds=2, rungs=["first"])
    assert said[:2] == ["2 runs, 1 of them finished.", "Run 1 of 1: first/seed-1"]
    first, second = (records.read(folder / f"first/seed-{n}") for n in (0, 1))
    assert (first.config["seed"], second.config["seed"]) == (0, 1)
    assert small.metrics(first) != small.metrics(second)


def test_only_the_rungs_that_are_named_are_trained(short, tmp_path):
    said = run(tmp_path, rungs=["first"])
    assert said[0] == "1 runs, 0 of them finished."
    assert {path.name for path in tmp_path.iterdir()} == {"first"}


def test_the_test_digits_are_read_for_what_was_chosen_alone(trained):
    found = {path.parent.parent.name for path in trained.rglob(TEST)}
    assert found == {"first", "second"}


@pytest.mark.parametrize("name", ["first", "second"])
def test_a_test_result_is_what_the_last_weights_get_wrong(trained, name):
    """Of `second` these are the averaged weights, though the file holds the others."""
    place, digits = trained / name / "seed-0", small.dataset().test
    model = loop.load_model(place, LAST)
    outputs = np.concatenate(
        [model(data.prepare(digits.images[n : n + 7])) for n in range(0, 60, 7)]
    )
    answers = outputs.argmax(axis=1)
    result = json.loads((place / TEST).read_text())
    assert (result["source"], result["digits"]) == ("the file small.npz", 60)
    assert result["wrong"] == [
        {
            "position": n,
            "label": int(digits.labels[n]),
            "answer": int(answers[n]),
        }
        for n in range(60)
        if answers[n] != digits.labels[n]
    ]
    assert result["wrong"], "two epochs on 40 digits leave mistakes"
    lines = (place / TEST).read_text().splitlines()
    assert len(lines) == len(
        result["wrong"]
    )  # One to a line, for those who compare.


def test_a_test_result_is_written_once(short, folder, monkeypatch):
    path = folder / "first/seed-0" / TEST
    path.write_text("kept")
    one_change.train(FIRST, 0, path.parent, small.dataset(), small=FEW, report=None)
    assert run(folder) == ["4 runs, 4 of them finished."]
    assert path.read_text() == "kept"


def test_several_looks_are_read_beside_one_without_training_again(
    short, folder, monkeypatch, tmp_path
):
    """The short ladder's first rung is trained without distortions, so it has nothing to look at a second time."""
    distortion = Distortion(translation=5.0)
    moved = FIRST.changed(
        "moved", distortion=distortion, learning_rate=0.002, epochs=4
    )
    both = (Rung("moved", moved), Rung("looks", moved, looks=3))
    monkeypatch.setattr(ablation, "RUNGS", both[:1])
    run(folder, small=MORE)
    place = folder / "moved/seed-0"
    before = contents(place)
    monkeypatch.setattr(ablation, "RUNGS", both)
    monkeypatch.setattr(loop, "_Loop", None)
    said = run(folder, small=MORE, keep=tmp_path / "kept")
    assert said[0] == "1 runs, 0 of them finished."
    assert run(folder, small=MORE) == ["1 runs, 1 of them finished."]
    after = contents(place)
    assert {name: after[name] for name in before} == before
    assert after.keys() - before.keys() == {"test-3-looks.json"}
    kept = contents(tmp_path / "kept/moved/seed-0")
    assert kept.keys() == {records.NAME, TEST, "test-3-looks.json"}
    assert kept["test-3-looks.json"] == after["test-3-looks.json"]
    test = small.dataset().test
    model = loop.load_model(place, LAST)
    chances = 0.0
    for look in (1, 2, 3):
        copies = augment.distort(test.images, distortion, 0, look)
        chances += model(data.prepare(copies)).numpy()
    answers = chances.argmax(axis=1)
    result = json.loads(after["test-3-looks.json"])
    assert [one["position"] for one in result["wrong"]] == np.flatnonzero(
        answers != test.labels
    ).tolist()
    assert after["test-3-looks.json"] != after[TEST]


def test_a_test_result_that_is_missing_is_made_up_for_without_training(
    short, folder, trained, monkeypatch
):
    place = folder / "second/seed-0"
    (place / TEST).unlink()
    monkeypatch.setattr(loop, "_Loop", None)
    said = run(folder)
    assert said[:2] == ["4 runs, 3 of them finished.", "Run 1 of 1: second/seed-0"]
    assert said[-1] == f"Finished: {place} holds 2 epochs, 2 asked for."
    assert contents(folder) == contents(trained)


def test_records_and_test_results_are_copied_and_nothing_else(
    short, folder, tmp_path
):
    kept = tmp_path / "kept"
    said = run(folder, keep=kept)
    assert said == [
        "4 runs, 4 of them finished.",
        f"Records of 4 runs are in {kept}.",
    ]
    both = {f"{name}/{records.NAME}" for name in NAMES}
    both |= {f"{name}/seed-0/{TEST}" for name in ("first", "second")}
    copied, made = contents(kept), contents(folder)
    assert set(copied) == both
    for name in both:
        if name.endswith(TEST):
            assert copied[name] == made[name]
        else:
            run_dir = Path(name).parent
            expected = small.without_steps(folder / run_dir)
            assert records.read(kept / run_dir) == expected
    run(folder, rungs=["first"], keep=tmp_path / "one")
    assert set(contents(tmp_path / "one")) == {
        f"first/seed-0/{name}" for name in (records.NAME, TEST)
    }
    # As the package's records are read.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "RECORDED", kept.parent)
        assert records.recorded("kept/second") == {"seed-0": kept / "second/seed-0"}


def test_a_folder_of_another_configuration_is_refused_with_the_field(
    folder, monkeypatch
):
    other = FIRST.changed("first", batch_size=10)
    monkeypatch.setattr(ablation, "RUNGS", (Rung("one", other), RUNGS[1]))
    before = contents(folder)
    with pytest.raises(RunError) as refused:
        run(folder)
    assert str(refused.value).startswith(
        f"{folder / 'first/seed-0'} holds a run of another configuration. "
        "batch_size: 20 in the folder, 10 asked for. "
    )
    assert contents(folder) == before
    with pytest.raises(
        RunError, match=r"data\.training digits: 40 in the folder, 30"
    ):
        run(folder, rungs=["second"], small=(30, 20))


def test_an_unknown_rung_is_refused_before_anything_is_done(short, tmp_path):
    with pytest.raises(ValueError, match="rung is 'third'") as refused:
        run(tmp_path, rungs=["third"])
    assert str(refused.value) == (
        "rung is 'third'; expected one of first, second. Choose one of these."
    )
    assert contents(tmp_path) == {}


def test_finished_is_a_run_of_this_configuration_with_all_its_epochs(
    folder, monkeypatch
):
    place = folder / "first/seed-0"
    splits = data.split(small.dataset()).small(*FEW)

    def finished(variant=FIRST, seed=0, looks=(1,), splits=splits):
        return one_change.finished(variant, seed, place, looks, splits)

    assert finished()
    assert not finished(seed=1)
    assert not finished(FIRST.changed("first", epochs=3))
    assert finished(FIRST.changed("first", epochs=1))
    assert not finished(FIRST.changed("first", label_smoothing=0.1))
    assert not finished(splits=data.split(small.dataset()))
    assert finished(splits=data.Splits(**vars(splits) | {"source": "another name"}))
    assert not finished(looks=(1, 3))
    (place / TEST).unlink()
    assert not finished()
    assert finished(looks=())
    record = records.read(place)
    record.partial = {"epoch": 3, "losses": []}
    (place / records.NAME).write_text(record.to_json())
    assert not finished(looks=())
    (place / records.NAME).write_text("{")
    assert not finished(looks=())
    (place / records.NAME).unlink()
    assert not finished(looks=())


def test_where_all_digits_are_trained_on_the_validation_digits_are_among_them():
    dataset = small.dataset()
    some = data.divide(dataset, FIRST.all_digits)
    every = data.divide(dataset, FIRST.changed("all", all_digits=True).all_digits)
    assert (len(some.train), some.held_out) == (550, True)
    assert (len(every.train), every.held_out) == (600, False)
    few = data.divide(dataset, small=(12, 11))
    assert (len(few.train), len(few.validation)) == (12, 11)


def test_one_run_is_trained_by_its_name_with_the_threads_that_it_is_given(
    short, trained, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(network, "_limit", [])
    one_change.run_one("second/seed-0", tmp_path, small.dataset(), 3, FEW)
    session = records.read(tmp_path / "second/seed-0").sessions[0]
    assert session["threads"] == network.thread_count() == 3
    small.assert_same_run(tmp_path / "second/seed-0", trained / "second/seed-0")
    assert set(contents(tmp_path)) == {
        name for name in contents(trained) if name.startswith("second/")
    }
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 2
    assert all(line.startswith("second/seed-0: Epoch ") for line in printed)
    for name in ("second/seed-5", "second", "third/seed-0"):
        with pytest.raises(ValueError, match="run is") as refused:
            one_change.run_one(name, tmp_path, small.dataset(), 1, FEW)
        known = str(refused.value)
        assert known.startswith(f"run is {name!r}; expected one of first/seed-0, ")
        assert "second/seed-4" in known


JOB = """
import json, os, sys, time
folder, how = sys.argv[1], json.loads(sys.argv[2])
name = sys.argv[sys.argv.index("--only") + 1]
def note(what):
    with open(os.path.join(folder, "log"), "a") as log:
        log.write(json.dumps([what, name, sys.argv[3:]]) + "\\n")
note("begins")
if name not in how.get("fails", {}):
    time.sleep(how.get("seconds", 0.3))
else:
    sys.stderr.write(how["fails"][name])
    sys.exit(1)
note("ends")
"""
"""What stands for a training in a process of its own: it notes when it begins and ends, or fails as it is told."""


def jobs(folder: Path, count: int, **how) -> tuple[list[str], list[list]]:
    """Run the short ladder's two seeds in such processes; return what was reported and what was noted."""
    child = [sys.executable, "-c", JOB, str(folder), json.dumps(how)]
    said = []
    try:
        run(folder, seeds=2, jobs=count, child=child, report=said.append)
    finally:
        text = (folder / "log").read_text().splitlines()
        said.append([json.loads(line) for line in text])
    return said[:-1], said[-1]


def test_so_many_jobs_run_at_a_time_and_each_run_once(short, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    said, log = jobs(tmp_path, 3)
    assert said[0] == "8 runs, 0 of them finished."
    names = [line.split(": ")[1] for line in said[1:]]
    assert [line.split(":")[0] for line in said[1:]] == [
        f"Run {n} of 8" for n in range(1, 9)
    ]
    assert len(set(names)) == 8
    running, most = 0, 0
    for what, _, _ in log:
        running += 1 if what == "begins" else -1
        most = max(most, running)
    assert (running, most) == (0, 3)
    assert {(what, name) for what, name, _ in log} == {
        (what, name) for what in ("begins", "ends") for name in names
    }
    for _, name, arguments in log:
        assert arguments == ["--only", name, "--threads", "2"]


@pytest.mark.parametrize(
    ("errors", "named"),
    [
        ("a warning\nerror: no room is left\n", "no room is left"),
        ("", "no message"),
    ],
)
def test_a_job_that_fails_is_named_the_others_stop_and_none_begins(
    short, tmp_path, errors, named
):
    start = time.monotonic()
    with pytest.raises(RunError) as refused:
        jobs(tmp_path, 2, fails={"first/seed-1": errors}, seconds=300)
    assert str(refused.value) == f"first/seed-1: {named}"
    assert time.monotonic() - start < 200
    log = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert {what for what, _, _ in log} == {"begins"}
    # The other of the two may have been stopped before it could note anything.
    begun = {name for _, name, _ in log}
    assert "first/seed-1" in begun <= {"first/seed-0", "first/seed-1"}


posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
THREADS = str(max(1, (os.cpu_count() or 1) // 2))
SMALL = ["--small", "300", "50", "--seeds", "1"]
CHOSEN_AMONG = next(rung for rung in ablation.RUNGS if rung.tried)
"""A rung of the book's that has variants: three short trainings."""
REAL = [f"{one.name}/seed-0" for one in (*CHOSEN_AMONG.tried, CHOSEN_AMONG.chosen)]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a data file."""
    folder = tmp_path_factory.mktemp("processes")
    small.save_npz(folder / "digits.npz")
    return folder


def arguments(place: Path, run_dir: Path, *options: object) -> list[str]:
    """Return the arguments that train a real rung in this folder."""
    found = ["experiment", "one-change", "--data", place / "digits.npz"]
    found += ["--run-dir", run_dir, *SMALL, *options]
    return [str(argument) for argument in found]


def start(place: Path, run_dir: Path, *options: object) -> subprocess.Popen:
    """Start the command line in a process group of its own, as a terminal does."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("TF_", "LENET5_"))
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "lenet5lib", *arguments(place, run_dir, *options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=kept | {"PYTHONUNBUFFERED": "1"},
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    STARTED.append(process)
    return process


STARTED: list[subprocess.Popen] = []


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
def in_jobs(place) -> tuple[Path, list[str]]:
    """The rung trained undisturbed, two jobs at a time, the records copied to `kept`; and what was printed."""
    options = ["--rung", CHOSEN_AMONG.chosen.name, "--jobs", 2]
    process = start(place, place / "jobs", *options, "--records", place / "kept")
    printed, errors = process.communicate(timeout=900)
    assert (process.returncode, errors) == (0, "")
    return place / "jobs", printed.splitlines()


@posix
def test_two_jobs_train_all_runs_and_say_which(in_jobs, place, capsys):
    folder, printed = in_jobs
    count = len(REAL)
    assert printed[0].startswith("Data: the file digits.npz; 600 training")
    assert printed[1] == f"{count} runs, 0 of them finished."
    assert printed[-1] == f"Records of {count} runs are in {place / 'kept'}."
    for n, name in enumerate(REAL, 1):
        assert f"Run {n} of {count}: {name}" in printed
        epochs = [line for line in printed if line.startswith(f"{name}: Epoch ")]
        assert len(epochs) == len(records.read(folder / name).epochs)
        (session,) = records.read(folder / name).sessions
        assert str(session["threads"]) == THREADS
        tested = name == REAL[-1]
        assert (folder / name / TEST).exists() == tested
        assert small.leftovers(folder / name) == ({TEST} if tested else set())
        copied = records.read(place / "kept" / name)
        assert copied == small.without_steps(folder / name)
        if tested:
            copied = (place / "kept" / name / TEST).read_bytes()
            assert copied == (folder / name / TEST).read_bytes()
    before = contents(folder)
    options = ["--rung", CHOSEN_AMONG.chosen.name, "--jobs", 2]
    assert cli.main(arguments(place, folder, *options)) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[1:] == [f"{count} runs, {count} of them finished."]
    assert contents(folder) == before


@posix
def test_a_run_stopped_and_started_by_its_name_ends_as_one_of_two_jobs(
    in_jobs, place, tmp_path
):
    name = REAL[-1]
    options = ["--only", name, "--threads", THREADS]
    process = start(place, tmp_path, *options)
    wait_for_epoch(process, 2)
    process.terminate()
    _, errors = process.communicate(timeout=900)
    assert process.returncode == 143
    assert re.fullmatch(
        r"Stopped by SIGTERM (after|in) epoch \d+.*, and saved\. The same command goes on from there\.\n",
        errors,
    )
    reached = len(checkpoint.read_record(tmp_path / name / LAST).epochs)
    assert 2 <= reached < CHOSEN_AMONG.chosen.epochs
    assert not (tmp_path / name / TEST).exists()
    process = start(place, tmp_path, *options)
    printed, errors = process.communicate(timeout=900)
    assert (process.returncode, errors) == (0, "")
    assert f"{name}: Resuming {tmp_path / name} " in printed
    small.assert_same_run(tmp_path / name, in_jobs[0] / name)
    written = (in_jobs[0] / name / TEST).read_bytes()
    assert (tmp_path / name / TEST).read_bytes() == written


@posix
def test_a_process_refuses_a_run_that_is_none_in_one_line(place, tmp_path):
    process = start(place, tmp_path, "--only", "article/seed-1")
    printed, errors = process.communicate(timeout=900)
    assert process.returncode == 1
    (line,) = errors.splitlines()
    first = ablation.RUNGS[0].chosen.name
    assert line.startswith(
        f"error: run is 'article/seed-1'; expected one of {first}/seed-0"
    )
    assert len(printed.splitlines()) == 1  # The data.
    assert contents(tmp_path) == {}


def assert_nobody_trains(folder: Path) -> None:
    """Assert that every run that was begun is saved and that no process trains in it any more."""
    begun = [path.parent for path in folder.rglob(LAST)]
    assert begun
    for run_dir in begun:
        with loop.files.locked(run_dir) as alone:
            assert alone
        checkpoint.read_record(run_dir / LAST)
        loop.load_model(run_dir, LAST)


@posix
def test_a_sigterm_stops_every_job_saved_and_the_same_command_ends_alike(
    in_jobs, place, tmp_path
):
    options = ["--rung", CHOSEN_AMONG.chosen.name, "--jobs", 2]
    process = start(place, tmp_path, *options)
    wait_for_epoch(process, 1)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=900)
    assert (process.returncode, errors) == (
        143,
        "Stopped by SIGTERM; what was running is saved. The same command goes on from there.\n",
    )
    assert_nobody_trains(tmp_path)
    assert not (tmp_path / REAL[-1]).exists() or len(REAL) < 3
    process = start(place, tmp_path, *options)
    printed, errors = process.communicate(timeout=900)
    assert (process.returncode, errors) == (0, "")
    assert "Resuming " in printed
    for name in REAL:
        small.assert_same_run(tmp_path / name, in_jobs[0] / name)


@posix
def test_ctrl_c_in_a_terminal_reaches_every_job_and_each_saves(place, tmp_path):
    """The terminal tells all processes, and the first one tells the others again: no reason not to save."""
    options = ["--rung", CHOSEN_AMONG.chosen.name, "--jobs", 2]
    process = start(place, tmp_path, *options)
    line = wait_for_epoch(process, 2)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=900)
    assert (process.returncode, errors) == (
        130,
        "Stopped by SIGINT; what was running is saved. The same command goes on from there.\n",
    )
    assert_nobody_trains(tmp_path)
    record = checkpoint.read_record(tmp_path / line.split(": ")[0] / LAST)
    assert len(record.epochs) >= 2
