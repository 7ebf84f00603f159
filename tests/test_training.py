"""Training: resumed or not, a run ends the same; the best weights stay the best; nothing of an earlier run is lost."""

import copy
import dataclasses
import functools
import io
import itertools
import json
import math
import signal
import subprocess
import sys
from pathlib import Path

import keras
import naive
import numpy as np
import pandas as pd
import pytest
import small

from lenet5lib import data, evaluation, files, models, records
from lenet5lib.loops import compiled
from lenet5lib.spec import (
    LENET5,
    LENET5_32,
    LENET5_1998,
    Architecture,
    Conv,
    Dense,
    Dropout,
    Flatten,
    Pool,
)
from lenet5lib.training import checkpoint, loop, losses
from lenet5lib.training import folder as run_folder
from lenet5lib.training.checkpoint import BEST, LAST, PREVIOUS
from lenet5lib.training.engine import ENGINES, DivergedError, Engine
from lenet5lib.training.folder import RunError
from lenet5lib.training.recipe import Distortion, Recipe
from lenet5lib.training.schedules import (
    OneCycle,
    PiecewiseConstant,
    ReduceOnPlateau,
)

FIELDS = {field.name for field in dataclasses.fields(Recipe)}
RELU = LENET5.with_hidden_activation("relu")


def train(
    folder: Path,
    epochs: int,
    architecture=RELU,
    splits: data.Splits | None = None,
    **options,
) -> loop.Run:
    """Train in silence on the small set; what is a field of the recipe may stand among the options."""
    chosen = {name: options.pop(name) for name in FIELDS & set(options)}
    if chosen:
        options["recipe"] = Recipe(**chosen)
    return loop.train(
        architecture,
        splits or small.splits(),
        folder,
        epochs=epochs,
        **{"report": None, **options},
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> loop.Run:
    """Five epochs in one go; tests leave its folder as it is."""
    return train(tmp_path_factory.mktemp("training") / "whole", 5)


@pytest.fixture
def folder(whole, tmp_path) -> Path:
    """A copy of the finished run's folder, for a test to change."""
    path = tmp_path / "run"
    path.mkdir()
    for file in whole.run_dir.iterdir():
        (path / file.name).write_bytes(file.read_bytes())
    return path


MAKE_ENGINE = loop.make_engine


def on_steps(monkeypatch, before=lambda batches: None, after=lambda engine: None):
    """Let training call a function before each execution of steps, and one after it."""

    def make_engine(*arguments):
        engine = MAKE_ENGINE(*arguments)
        train_steps = engine.train_steps

        def watched(batches, learning_rates):
            before(batches)
            result = train_steps(batches, learning_rates)
            after(engine)
            return result

        engine.train_steps = watched
        return engine

    monkeypatch.setattr(loop, "make_engine", make_engine)


def interrupt(monkeypatch, execution: int, number=signal.SIGINT) -> None:
    """Let a signal arrive in each training's execution of this number, counted from 1."""
    count = itertools.count(1)

    def raise_signal(batches):
        if next(count) == execution:
            signal.raise_signal(number)

    on_steps(monkeypatch, before=raise_signal)


def values(variables) -> list[bytes]:
    return [np.asarray(variable).tobytes() for variable in variables]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_two_then_five_epochs_equal_five_in_one_go(whole, tmp_path):
    first = train(tmp_path, 2)
    assert small.metrics(first.record) == small.metrics(whole.record)[:2]
    resumed = train(tmp_path, 5)
    small.assert_same_run(tmp_path, whole.run_dir)
    assert values(resumed.model.weights) == values(whole.model.weights)
    assert values(resumed.model.optimizer.variables) == values(
        whole.model.optimizer.variables
    )
    assert values(resumed.best_model().weights) == values(
        whole.best_model().weights
    )
    assert resumed.record.best == whole.record.best
    assert resumed.record.resume_points == [2]
    assert [session["after_epoch"] for session in whole.record.sessions] == [0]
    assert whole.record.resume_points == []
    assert small.leftovers(tmp_path) == set()


def test_five_sessions_of_one_epoch_equal_five_in_one_go(whole, tmp_path):
    for epochs in range(1, 6):
        train(tmp_path, epochs)
    small.assert_same_run(tmp_path, whole.run_dir)
    assert records.read(tmp_path).resume_points == [1, 2, 3, 4]


def test_another_seed_gives_another_run(whole, tmp_path):
    other = train(tmp_path, 1, seed=1)
    assert small.metrics(other.record) != small.metrics(whole.record)[:1]


def test_training_learns(whole):
    assert whole.record.column("loss")[-1] < whole.record.column("loss")[0] - 0.2
    assert whole.record.column("val_accuracy")[-1] > 0.5


def test_metrics_are_those_of_the_saved_weights(whole):
    loss, accuracy = loop.loss_and_accuracy(whole.model, small.splits().validation)
    assert accuracy == whole.record.column("val_accuracy")[-1]
    assert loss == pytest.approx(whole.record.column("val_loss")[-1], rel=1e-6)
    probabilities = models.predict(whole.model, small.splits().validation.images)
    labels = small.splits().validation.labels
    assert accuracy == np.mean(
        [
            row.argmax() == label
            for row, label in zip(probabilities, labels, strict=True)
        ]
    )
    losses = [
        naive.cross_entropy(row, label)
        for row, label in zip(probabilities, labels, strict=True)
    ]
    assert loss == pytest.approx(np.mean(losses), rel=1e-5)


def test_a_loss_of_certainty_stays_finite(whole, monkeypatch):
    certain = np.eye(10, dtype=np.float32)[[0, 0]]
    monkeypatch.setattr(models, "predict", lambda model, images: certain)
    digits = data.Digits(
        np.zeros((2, 28, 28), np.uint8), np.array([0, 1], np.uint8)
    )
    loss, accuracy = loop.loss_and_accuracy(whole.model, digits)
    assert accuracy == 0.5
    assert loss == pytest.approx(-math.log(keras.config.epsilon()) / 2)


@functools.cache
def numpy_outputs() -> np.ndarray:
    """The outputs for the first twelve images with the initial weights, (12, 10), without Keras's forward pass."""
    model = models.build(RELU, seed=0)
    weights = {
        layer.name: [np.asarray(w, float) for w in layer.weights]
        for layer in model.layers
        if layer.weights
    }
    images = data.prepare(small.splits().train.images[:12])
    outputs = [naive.forward(RELU, weights, image)["Output"] for image in images]
    return np.array(outputs)


def numpy_losses(count: int) -> tuple[np.ndarray, np.ndarray]:
    """The losses of the first images with the initial weights, and whether each prediction is correct."""
    outputs, labels = numpy_outputs()[:count], small.splits().train.labels[:count]
    pairs = zip(outputs, labels, strict=True)
    losses = [naive.cross_entropy(output, label) for output, label in pairs]
    return np.array(losses), outputs.argmax(axis=1) == labels


def test_the_first_step_has_the_loss_and_the_hits_that_numpy_computes(tmp_path):
    splits = small.splits().limit(12, 10)
    losses, right = numpy_losses(12)
    first = train(tmp_path, 1, splits=splits, batch_size=12).record.epochs[0]
    assert first["loss"] == pytest.approx(losses.mean(), rel=1e-5)
    assert first["accuracy"] == right.mean()


def test_a_partial_last_batch_counts_by_its_digits(tmp_path):
    """With a learning rate too small to move a weight, an epoch's metrics are those of the initial weights."""
    splits = small.splits().limit(11, 10)
    losses, right = numpy_losses(11)
    run = train(tmp_path, 1, splits=splits, batch_size=4, learning_rate=1e-30)
    assert run.record.epochs[0]["loss"] == pytest.approx(losses.mean(), rel=1e-5)
    assert run.record.epochs[0]["accuracy"] == right.mean()
    assert int(run.model.optimizer.iterations) == 3


def test_a_batch_larger_than_the_set_is_one_step(tmp_path):
    run = train(tmp_path, 2, splits=small.splits().limit(11, 10), batch_size=500)
    assert int(run.model.optimizer.iterations) == 2


def test_an_epoch_takes_each_digit_once_in_its_order(tmp_path, monkeypatch):
    taken = []
    on_steps(monkeypatch, before=taken.append)
    monkeypatch.setattr(Engine, "steps_per_execution", 4)
    train(tmp_path, 1, splits=small.splits().limit(53, 10), batch_size=5, seed=3)
    # The last step takes what is left; −1 fills it up.
    assert [batches.shape for batches in taken] == [(4, 5), (4, 5), (3, 5)]
    order = np.concatenate([batches.ravel() for batches in taken])
    assert order[:53].tolist() == loop.epoch_order(3, 1, 53).tolist()
    assert order[53:].tolist() == [-1] * 2


def test_the_record_follows_the_loss_along_the_epoch(tmp_path):
    record = train(tmp_path, 1, batch_size=2).record
    steps, losses = zip(*record.epochs[0]["steps"], strict=True)
    assert steps == (100, 200)
    assert losses[0] > losses[1] > 0
    assert train(tmp_path / "few", 1).record.epochs[0]["steps"] == []


@pytest.mark.parametrize(
    ("seed", "epoch", "count"),
    [(0, 1, 550), (0, 2, 550), (7, 1, 1), (123, 40, 55_000)],
)
def test_epoch_order_is_a_permutation_and_a_function_of_seed_and_epoch(
    seed, epoch, count
):
    order = loop.epoch_order(seed, epoch, count)
    assert sorted(order.tolist()) == list(range(count))
    np.random.seed(5)
    keras.utils.set_random_seed(5)
    assert loop.epoch_order(seed, epoch, count).tolist() == order.tolist()
    if count > 1:
        assert loop.epoch_order(seed, epoch + 1, count).tolist() != order.tolist()
        assert loop.epoch_order(seed + 1, epoch, count).tolist() != order.tolist()


def test_a_run_does_not_depend_on_the_state_of_other_random_generators(
    whole, tmp_path
):
    keras.utils.set_random_seed(99)
    assert (
        small.metrics(train(tmp_path, 1).record) == small.metrics(whole.record)[:1]
    )


@pytest.fixture
def scripted(monkeypatch):
    """Return a function that sets the validation losses of the epochs to come; the training itself is real."""

    def script(*losses: float) -> None:
        left = list(losses)
        monkeypatch.setattr(
            loop, "mean_loss_and_accuracy", lambda *_: (left.pop(0), 0.5)
        )

    return script


def test_best_weights_are_of_the_lowest_validation_loss(scripted, tmp_path):
    scripted(2.0, 1.0, 3.0, 1.0)
    run = train(tmp_path, 4)
    assert run.record.best == {"epoch": 2, "val_loss": 1.0}
    scripted(2.0, 1.0)
    two = train(tmp_path / "two", 2)
    assert values(run.best_model().weights) == values(two.model.weights)
    assert values(run.best_model().weights) != values(run.model.weights)


def test_a_resumed_session_does_not_overwrite_better_weights(scripted, tmp_path):
    scripted(1.0, 0.5, 2.0, 0.6, 0.4)
    train(tmp_path, 2)
    best = (tmp_path / BEST).read_bytes()
    assert train(tmp_path, 4).record.best == {"epoch": 2, "val_loss": 0.5}
    assert (tmp_path / BEST).read_bytes() == best
    assert train(tmp_path, 5).record.best == {"epoch": 5, "val_loss": 0.4}
    assert (tmp_path / BEST).read_bytes() != best


@pytest.mark.parametrize("epochs", [5, 3, 1])
def test_a_finished_run_returns_at_once(folder, whole, epochs, monkeypatch):
    before, said = contents(folder), []
    monkeypatch.setattr(loop._Loop, "run_epoch", None)
    run = train(folder, epochs, report=said.append)
    assert contents(folder) == before
    assert run.record == whole.record
    assert values(run.model.weights) == values(whole.model.weights)
    assert said == [
        f"Resuming {folder} after epoch 5.",
        f"Finished: {folder} holds 5 epochs, {epochs} asked for.",
    ]


@pytest.mark.parametrize("older", [None, 3])
def test_a_record_that_was_not_written_is_written_on_resuming(folder, whole, older):
    if older is None:
        (folder / records.NAME).unlink()
    else:
        record = copy.deepcopy(whole.record)
        del record.epochs[older:]
        (folder / records.NAME).write_text(record.to_json(), encoding="utf-8")
    train(folder, 5)
    assert records.read(folder) == whole.record


def test_a_report_of_each_epoch(tmp_path):
    said = []
    run = train(tmp_path, 2, report=said.append)
    assert len(said) == 2
    assert said[1].startswith(
        f"Epoch 2/2  loss {run.record.epochs[1]['loss']:.4f}  accuracy "
    )
    assert f"val_loss {run.record.epochs[1]['val_loss']:.4f}" in said[1]


def test_silence_prints_nothing(tmp_path, capfd):
    train(tmp_path, 1)
    assert capfd.readouterr() == ("", "")


class Terminal(io.StringIO):
    """What is written to a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stderr", "report", "shown"),
    [(Terminal, print, True), (Terminal, None, False), (io.StringIO, print, False)],
)
def test_progress_is_shown_in_a_terminal_and_nowhere_else(
    tmp_path, monkeypatch, stderr, report, shown
):
    monkeypatch.setattr(sys, "stderr", stderr())
    train(tmp_path, 1, report=report)
    text = sys.stderr.getvalue()
    assert ("Epoch 1/1" in text and "0/18" in text) == shown
    assert shown or text == ""


def other_digits() -> data.Splits:
    """The small set with one pixel changed."""
    splits = small.splits()
    images = splits.train.images.copy()
    images[7, 3, 3] ^= 1
    return data.Splits(
        data.Digits(images, splits.train.labels),
        splits.validation,
        splits.test,
        splits.dataset_name,
    )


@pytest.mark.parametrize(
    ("changed", "lines"),
    [
        ({"batch_size": 16}, ["recipe.batch_size: 32 in the folder, 16 asked for"]),
        (
            {"learning_rate": 0.01},
            ["recipe.learning_rate: 0.001 in the folder, 0.01 asked for"],
        ),
        ({"seed": 4}, ["seed: 0 in the folder, 4 asked for"]),
        (
            {"architecture": RELU.change("C3", filters=8)},
            ["C3.filters: 16 in the folder, 8 asked for"],
        ),
        (
            {"architecture": RELU.change("C1", activation="tanh")},
            ["C1.activation: relu in the folder, tanh asked for"],
        ),
        (
            {"architecture": RELU.change("S2", mode="max")},
            ["S2.mode: average in the folder, max asked for"],
        ),
        (
            {"architecture": LENET5_32},
            [
                "architecture.name: modern LeNet-5 (28×28) in the folder, modern LeNet-5 (32×32)",
                "architecture.input_shape: [28, 28, 1] in the folder, [32, 32, 1] asked for",
            ],
        ),
        ({"splits": other_digits}, ["data.checksum: "]),
        (
            {"splits": lambda: small.splits().limit(100, 20)},
            [
                "data.dataset_name: the file small.npz in the folder, the first 100 training images of the file small.npz",
                "data.num_train: 550 in the folder, 100 asked for",
                "data.num_validation: 50 in the folder, 20 asked for",
            ],
        ),
        (
            {"seed": 4, "batch_size": 16},
            [
                "recipe.batch_size: 32 in the folder, 16 asked for",
                "seed: 0 in the folder, 4",
            ],
        ),
    ],
)
def test_another_configuration_is_refused_and_each_difference_named(
    folder, changed, lines
):
    before = contents(folder)
    options = {
        name: value() if name == "splits" else value
        for name, value in changed.items()
    }
    with pytest.raises(RunError) as refused:
        train(folder, 9, **options)
    text = str(refused.value)
    assert str(folder) in text
    for line in lines:
        assert line in text
    assert text.count(" in the folder, ") >= len(lines)
    assert "--no-resume" in text
    assert contents(folder) == before


def test_only_what_differs_is_named(folder):
    with pytest.raises(RunError) as refused:
        train(folder, 9, seed=4)
    assert str(refused.value).count(" in the folder, ") == 1


def test_architectures_of_other_layers_are_named_by_their_layers(folder):
    shorter = dataclasses.replace(RELU, layers=RELU.layers[:1] + RELU.layers[4:])
    with pytest.raises(RunError) as refused:
        train(folder, 9, architecture=shorter)
    line = (
        "C1, S2, C3, S4, Flatten, C5, F6, Output in the folder, C1, Flatten, C5, F6"
    )
    assert line in str(refused.value)


def test_numpy_numbers_are_taken_for_numbers(tmp_path, folder, whole):
    run = train(
        folder,
        np.int64(5),
        batch_size=np.int32(32),
        learning_rate=np.float64(0.001),
        seed=np.uint8(0),
    )
    assert run.record == whole.record
    first = train(
        tmp_path / "new",
        np.int64(1),
        batch_size=np.int64(32),
        learning_rate=np.float64(0.001),
    )
    assert small.metrics(first.record) == small.metrics(whole.record)[:1]


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [
        ("epochs", 0, "epochs is 0; expected 1 or more"),
        ("epochs", 1.5, "epochs is 1.5; expected a whole number"),
        ("epochs", True, "epochs is True"),
        ("batch_size", 0, "batch_size is 0; expected 1 or more"),
        ("batch_size", "32", "batch_size is '32'; expected a whole number"),
        ("seed", -1, "seed is -1; expected 0 or more"),
        ("seed", None, "seed is None"),
        ("learning_rate", 0, "learning_rate is 0; expected a number"),
        ("learning_rate", -0.1, "learning_rate is -0.1"),
        ("learning_rate", math.nan, "learning_rate is nan"),
        ("learning_rate", math.inf, "learning_rate is inf"),
        ("learning_rate", "fast", "learning_rate is 'fast'"),
    ],
)
def test_bad_options_are_refused_before_anything_is_written(
    tmp_path, option, value, named
):
    with pytest.raises(ValueError, match="expected") as refused:
        train(tmp_path / "run", **{"epochs": 1, option: value})
    assert named in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_starting_anew_moves_the_old_run_aside_and_deletes_nothing(folder, whole):
    before = contents(folder)
    (folder / "notes.txt").write_text("mine")
    said = []
    train(folder, 1, resume=False, report=said.append)
    assert said[0] == f"The old run is now in {folder}.1."
    assert contents(folder.with_name("run.1")) == {**before, "notes.txt": b"mine"}
    assert small.metrics(records.read(folder)) == small.metrics(whole.record)[:1]
    second = contents(folder)
    train(folder, 1, resume=False, seed=1)
    assert contents(folder.with_name("run.2")) == second
    assert contents(folder.with_name("run.1")) == {**before, "notes.txt": b"mine"}
    assert small.metrics(records.read(folder)) != small.metrics(whole.record)[:1]
    assert {path.name for path in folder.parent.iterdir()} == {
        "run",
        "run.1",
        "run.2",
    }


@pytest.mark.parametrize("name", [LAST, BEST, records.NAME])
def test_starting_anew_moves_even_a_part_of_a_run_aside(folder, name):
    for path in folder.iterdir():
        if path.name != name:
            path.unlink()
    before = contents(folder)
    run_folder.move_aside(folder, lambda line: None)
    assert contents(folder.with_name("run.1")) == before
    assert not folder.exists()


def test_starting_anew_in_a_folder_without_a_run_moves_nothing(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    train(tmp_path, 1, resume=False)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert not tmp_path.with_name(f"{tmp_path.name}.1").exists()


def test_foreign_files_in_the_folder_are_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "other.weights.h5").write_bytes(b"theirs")
    train(tmp_path, 1)
    train(tmp_path, 2)
    assert small.leftovers(tmp_path) == {"notes.txt", "other.weights.h5"}
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert (tmp_path / "other.weights.h5").read_bytes() == b"theirs"


def test_a_damaged_checkpoint_stops_the_run_and_stays(folder):
    (folder / PREVIOUS).unlink()
    damaged = (folder / LAST).read_bytes()[:-1000]
    (folder / LAST).write_bytes(damaged)
    before = contents(folder)
    with pytest.raises(checkpoint.CheckpointError, match="is damaged"):
        train(folder, 9)
    assert contents(folder) == before
    train(folder, 1, resume=False)
    assert contents(folder.with_name("run.1")) == before


@pytest.mark.parametrize("place", range(20))
def test_a_checkpoint_cut_short_anywhere_gives_way_to_the_previous(
    folder, whole, place
):
    contents = (folder / LAST).read_bytes()
    (folder / LAST).write_bytes(contents[: len(contents) * place // 20])
    epochs = len(whole.record.epochs)
    said = []
    train(folder, epochs, report=said.append)
    assert said[0].startswith("Notice: the checkpoint")
    assert f"Going on from {PREVIOUS}, after epoch {epochs - 1}." in said[0]
    assert said[1] == "The file is now damaged-1.weights.h5."
    assert (folder / "damaged-1.weights.h5").stat().st_size == len(
        contents
    ) * place // 20
    small.assert_same_run(folder, whole.run_dir)


def test_a_missing_checkpoint_gives_way_to_the_previous(folder, whole):
    (folder / LAST).unlink()
    said = []
    train(folder, len(whole.record.epochs), report=said.append)
    assert said[0].startswith(f"Notice: there is no {LAST} in {folder}. Going on")
    small.assert_same_run(folder, whole.run_dir)


def test_two_damaged_checkpoints_are_refused(folder):
    for name in (LAST, PREVIOUS):
        (folder / name).write_bytes((folder / name).read_bytes()[:-1])
    before = contents(folder)
    with pytest.raises(checkpoint.CheckpointError, match="is damaged"):
        train(folder, 9)
    assert contents(folder) == before


def test_a_second_damaged_checkpoint_does_not_replace_the_first(folder):
    (folder / "damaged-1.weights.h5").write_bytes(b"mine")
    (folder / LAST).write_bytes(b"")
    train(folder, 5)
    assert (folder / "damaged-1.weights.h5").read_bytes() == b"mine"
    assert (folder / "damaged-2.weights.h5").read_bytes() == b""


@pytest.mark.parametrize("epochs", [6, 7])
def test_one_file_under_both_names_is_parted_by_the_next_save(
    folder, tmp_path, epochs
):
    """A process may die between keeping the last checkpoint as the previous one and replacing it."""
    (folder / PREVIOUS).unlink()
    (folder / PREVIOUS).hardlink_to(folder / LAST)
    train(folder, epochs)
    assert small.leftovers(folder) == set()
    assert len(checkpoint.read_record(folder / PREVIOUS).epochs) == epochs - 1
    train(tmp_path / "whole", epochs)
    small.assert_same_run(folder, tmp_path / "whole")


def test_better_best_weights_than_the_record_knows_are_kept(folder):
    """The best weights may be an epoch ahead of a checkpoint that was fallen back to."""
    kept = checkpoint.read_record(folder / BEST)
    kept.best = {"epoch": 6, "val_loss": 0.001}
    model = checkpoint.load_model(folder)
    small.save(model, kept, folder / BEST, with_optimizer=False)
    before = (folder / BEST).read_bytes()
    assert train(folder, 7).record.best == {"epoch": 6, "val_loss": 0.001}
    assert (folder / BEST).read_bytes() == before


def test_the_seconds_of_an_epoch_are_those_of_training_and_validation(whole):
    for epoch in whole.record.epochs:
        assert 0 <= epoch["seconds"] - epoch["training_seconds"] < 5
        assert epoch["training_seconds"] < epoch["seconds"] + 0.01


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"save_steps": 0}, "save_steps is 0; expected 1 or more"),
        (
            {"save_minutes": -1},
            "save_minutes is -1; expected a number of 0 or more",
        ),
        ({"save_minutes": math.nan}, "save_minutes is nan; expected a number"),
        ({"save_minutes": "ten"}, "save_minutes is 'ten'; expected a number"),
    ],
)
def test_times_to_save_that_make_no_sense_are_refused(tmp_path, options, text):
    with pytest.raises(ValueError, match=text):
        train(tmp_path, 1, **options)


def test_a_part_of_an_epoch_of_another_rhythm_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Engine, "steps_per_execution", 2)
    interrupt(monkeypatch, 1)
    with pytest.raises(loop.Stopped):
        train(tmp_path, 1)
    monkeypatch.undo()
    with pytest.raises(RunError, match="2 steps per execution, this one has 100"):
        train(tmp_path, 1)


def test_handlers_are_put_back_and_an_ignored_signal_stays_ignored():
    former = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        with loop.Stop() as stop:
            signal.raise_signal(signal.SIGTERM)
            assert stop.requested is None
            assert signal.getsignal(signal.SIGINT) == stop._handle_signal
        assert signal.getsignal(signal.SIGINT) == interrupt
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, former)


def test_what_a_dead_process_left_is_cleaned_and_nothing_else(folder):
    left = [f".123-{name}" for name in (LAST, PREVIOUS, BEST, records.NAME)]
    foreign = [".123-notes.txt", f".x-{LAST}", f"123-{LAST}"]
    for name in left + foreign:
        (folder / name).write_bytes(b"part")
    train(folder, 9)
    assert small.leftovers(folder) == set(foreign)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_in_the_middle_of_an_epoch_and_the_end_is_the_same(
    tmp_path, monkeypatch, number
):
    monkeypatch.setattr(Engine, "steps_per_execution", 2)
    train(tmp_path / "whole", 3)
    # An epoch is 18 steps, 9 calls: in the first, at the end of it, in the second, at the end of the last.
    for after, place in (
        (4, "in epoch 1 after 8 steps"),
        (5, "in epoch 1 after 18 steps"),
        (3, "in epoch 2 after 6 steps"),
    ):
        interrupt(monkeypatch, after, number)
        with pytest.raises(loop.Stopped) as stopped:
            train(tmp_path / "parts", 3)
        name = signal.Signals(number).name
        assert f"{name} {place}, and saved" in str(stopped.value)
        assert stopped.value.signal == number
    said = []
    interrupt(monkeypatch, 0)
    run = train(tmp_path / "parts", 3, report=said.append)
    assert said[0] == f"Resuming {tmp_path / 'parts'} in epoch 2 after 6 steps."
    small.assert_same_run(tmp_path / "parts", tmp_path / "whole")
    assert run.record.unfinished_epoch is None
    starts = [(s["after_epoch"], s["after_steps"]) for s in run.record.sessions]
    assert starts == [(0, 0), (0, 8), (0, 18), (1, 6)]
    assert signal.getsignal(number) not in (None, signal.SIG_IGN)


def test_a_signal_during_validation_stops_before_the_next_epoch(
    tmp_path, monkeypatch
):
    measure = loop.mean_loss_and_accuracy

    def interrupted(*arguments):
        signal.raise_signal(signal.SIGTERM)
        return measure(*arguments)

    monkeypatch.setattr(loop, "mean_loss_and_accuracy", interrupted)
    with pytest.raises(loop.Stopped, match="SIGTERM after epoch 1, and saved"):
        train(tmp_path, 3)
    record = records.read(tmp_path)
    assert len(record.epochs) == 1
    assert record.unfinished_epoch is None
    # After the last epoch there is nothing to stop.
    assert len(train(tmp_path, 2).record.epochs) == 2


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_a_sigterm_after_another_signal_does_not_keep_training_from_saving(first):
    with loop.Stop() as stop:
        signal.raise_signal(first)
        signal.raise_signal(signal.SIGTERM)
        assert stop.requested == first
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_second_interrupt_ends_at_once():
    with loop.Stop() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.requested == signal.SIGINT
        with pytest.raises(KeyboardInterrupt) as ended:
            signal.raise_signal(signal.SIGINT)
    assert not isinstance(ended.value, loop.Stopped)


@pytest.mark.parametrize(
    ("options", "saves"),
    [
        ({}, 0),
        ({"save_steps": 4}, 4),
        ({"save_steps": 5}, 3),
        ({"save_minutes": 0}, 9),
    ],
)
def test_saves_within_an_epoch_change_nothing(
    tmp_path, monkeypatch, options, saves
):
    monkeypatch.setattr(Engine, "steps_per_execution", 2)
    count, save = [], run_folder.save_last
    monkeypatch.setattr(
        run_folder,
        "save_last",
        lambda engine, record, run_dir: (
            count.append(record.unfinished_epoch is not None)
            or save(engine, record, run_dir)
        ),
    )
    train(tmp_path / "one", 1, **options)
    assert sum(count) == saves
    monkeypatch.undo()
    monkeypatch.setattr(Engine, "steps_per_execution", 2)
    train(tmp_path / "other", 1)
    small.assert_same_run(tmp_path / "one", tmp_path / "other")


MOVED = Distortion(translation=2, scaling=0.1, shear=0.2, elastic=0.5)
RECIPES = {
    "distortions": Recipe(distortion=MOVED),
    "one cycle, weight decay": Recipe(32, OneCycle(0.003, epochs=3), 0.01),
    "stairs": Recipe(32, PiecewiseConstant(((1, 0.002), (1, 0.0005)))),
    # No epoch of this training gains so much: the rate halves after each but the first.
    "plateau": Recipe(32, ReduceOnPlateau(0.002, patience=1, min_delta=10)),
    "all": Recipe(25, OneCycle(0.003, epochs=2), 0.01, MOVED),
}
TODAY = dataclasses.replace(
    RECIPES["all"], kernel_initializer="he", label_smoothing=0.1, ema_decay=0.9
)

DROPOUT = dataclasses.replace(
    RELU, layers=(*RELU.layers[:-1], Dropout("Dropout", 0.5), RELU.layers[-1])
)
# Keras traces a small network faster.
SHALLOW = Architecture(
    "one convolution",
    (28, 28, 1),
    (
        Conv("C1", filters=2, kernel_size=5, activation="relu"),
        Pool("S2"),
        Flatten(),
        Dropout("Dropout", 0.5),
        Dense("Output", 10, "softmax"),
    ),
)
CASES = {
    **{name: (RELU, recipe, "loops") for name, recipe in RECIPES.items()},
    "momentum": (RELU, Recipe(optimizer="sgd", momentum=0.9), "loops"),
    "dropout": (DROPOUT, Recipe(), "loops"),
    "dropout and all, by Keras": (SHALLOW, RECIPES["all"], "keras"),
    "today": (RELU, TODAY, "loops"),
    "today, by Keras": (SHALLOW, TODAY, "keras"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_run_stopped_within_epochs_ends_the_same_with_any_recipe(
    tmp_path, monkeypatch, case
):
    architecture, recipe, engine = case
    monkeypatch.setattr(Engine, "steps_per_execution", 2)
    common = {"architecture": architecture, "recipe": recipe, "engine": engine}
    train(tmp_path / "whole", 3, **common)
    for execution in (4, 7, 8):
        interrupt(monkeypatch, execution)
        with pytest.raises(loop.Stopped):
            train(tmp_path / "parts", 3, **common)
    interrupt(monkeypatch, 0)
    train(tmp_path / "parts", 3, **common)
    small.assert_same_run(tmp_path / "parts", tmp_path / "whole")
    # And it is another training than the usual one: the recipe has been followed.
    usual = {"architecture": architecture, "engine": engine}
    train(tmp_path / "usual", 1, **(usual if engine == "keras" else {}))
    other = records.read(tmp_path / "usual").epochs[0]
    assert records.read(tmp_path / "whole").epochs[0]["loss"] != other["loss"]


PAPERS = Recipe(
    10, 2e-5, optimizer="levenberg-marquardt", distortion=MOVED, damping=0.02
)


@pytest.mark.slow
def test_the_network_and_the_optimizer_of_1998_resume_exactly(
    tmp_path, monkeypatch
):
    """Stopped at the end of an epoch and within one: the second derivatives are estimated anew, or in the checkpoint."""
    splits = small.splits().limit(200, 20)
    options = {"architecture": LENET5_1998, "splits": splits, "recipe": PAPERS}
    monkeypatch.setattr(Engine, "steps_per_execution", 4)
    train(tmp_path / "whole", 3, **options)
    train(tmp_path / "parts", 1, **options)
    interrupt(monkeypatch, 2)
    with pytest.raises(loop.Stopped):
        train(tmp_path / "parts", 3, **options)
    interrupt(monkeypatch, 0)
    run = train(tmp_path / "parts", 3, **options)
    whole = checkpoint.load_model(tmp_path / "whole", LAST)
    assert values(run.model.variables) == values(whole.variables)
    assert small.metrics(records.read(tmp_path / "parts")) == small.metrics(
        records.read(tmp_path / "whole")
    )
    losses = run.record.column("loss")
    assert losses[2] < losses[0]


def test_the_network_of_1998_is_measured_by_its_distances(tmp_path):
    run = train(tmp_path, 1, architecture=LENET5_1998, splits=small.splits())
    digits = small.splits().validation
    distances = np.asarray(run.model(models.prepared(run.model, digits.images)))
    each = [
        naive.maximum_a_posteriori(row, label, losses.RUBBISH_DISTANCE)
        for row, label in zip(distances, digits.labels, strict=True)
    ]
    last = run.record.epochs[-1]
    assert last["val_loss"] == pytest.approx(np.mean(each), rel=1e-4)
    right = (distances.argmin(axis=1) == digits.labels).mean()
    assert last["val_accuracy"] == right
    found = models.predict(run.model, digits.images)
    assert (found.argmax(axis=1) == distances.argmin(axis=1)).all()


@pytest.mark.parametrize(
    ("architecture", "loss", "text"),
    [
        (
            LENET5_1998,
            {"loss": "cross-entropy"},
            "loss is 'cross-entropy', but LeNet-5 .* gives distances; expected maximum a posteriori or maximum likelihood",
        ),
        (
            LENET5,
            {"loss": "maximum likelihood"},
            "gives probabilities; expected cross-entropy",
        ),
        (
            LENET5,
            {"rubbish_distance": 3.0},
            "rubbish_distance is 3.0, but cross-entropy has none",
        ),
    ],
)
def test_a_loss_that_does_not_fit_the_output_is_refused(
    tmp_path, architecture, loss, text
):
    with pytest.raises(ValueError, match=text):
        train(tmp_path, 1, architecture=architecture, **loss)


def note_after_each_step(monkeypatch, notes, look):
    """Let training take its steps one by one, and append what `look` sees of the engine after each."""
    monkeypatch.setattr(Engine, "steps_per_execution", 1)
    on_steps(monkeypatch, after=lambda engine: notes.append(look(engine)))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["one cycle, weight decay", "stairs", "plateau"])
def test_the_optimizer_takes_the_rate_of_each_step(tmp_path, monkeypatch, name):
    recipe, taken = RECIPES[name], []
    note_after_each_step(
        monkeypatch,
        taken,
        lambda engine: float(engine.model().optimizer.learning_rate),
    )
    run = train(tmp_path, 3, recipe=recipe, engine="keras")
    losses = run.record.column("val_loss")
    expected = [
        recipe.learning_rates(
            np.arange(18 * epoch, 18 * epoch + 18), 18, losses[:epoch]
        )
        for epoch in range(3)
    ]
    assert taken == np.concatenate(expected).tolist()
    assert len(set(taken)) > 1


def test_weight_decay_shrinks_kernels_and_not_biases(tmp_path):
    """Of two steps that differ in the decay alone, one ends smaller by rate times decay times the kernel before."""
    ends = [
        values_by_name(
            train(
                tmp_path / str(decay), 1, batch_size=550, weight_decay=decay
            ).model
        )
        for decay in (0.0, 0.5)
    ]
    start = values_by_name(models.build(RELU, seed=0))
    for name, before in start.items():
        plain, decayed = ends[0][name], ends[1][name]
        shrunk = 0.001 * 0.5 * before if name.endswith("kernel") else 0.0
        np.testing.assert_allclose(plain - decayed, shrunk, rtol=0, atol=2e-7)


def values_by_name(model: keras.Model) -> dict[str, np.ndarray]:
    return {weight.path: np.asarray(weight) for weight in model.weights}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (
            {"learning_rate": OneCycle(0.001, 3)},
            "learning_rate: 0.001 in the folder",
        ),
        ({"weight_decay": 0.1}, "weight_decay: 0.0 in the folder, 0.1 asked for"),
        ({"distortion": MOVED}, "distortion: None in the folder"),
        (
            {"kernel_initializer": "he"},
            "kernel_initializer: None in the folder, he asked for",
        ),
        (
            {"label_smoothing": 0.1},
            "label_smoothing: 0.0 in the folder, 0.1 asked for",
        ),
        ({"ema_decay": 0.99}, "ema_decay: 0.0 in the folder, 0.99 asked for"),
    ],
)
def test_another_recipe_is_refused_by_name(folder, changes, named):
    with pytest.raises(RunError) as refused:
        train(folder, 6, **changes)
    assert named in str(refused.value)


def raw(path: Path) -> dict[str, np.ndarray]:
    """Return the weights in a checkpoint's file as they lie there, whatever the optimizer beside them holds."""
    return checkpoint._arrays(path)["weights"]


@pytest.fixture(scope="module")
def averages(tmp_path_factory) -> tuple[Path, list[loop.Run]]:
    """Four epochs of 9 steps with averaged weights, each in a session of its own: the folder, the runs."""
    folder = tmp_path_factory.mktemp("averages") / "run"
    options = {"ema_decay": 0.8, "batch_size": 64, "learning_rate": 0.01}
    return folder, [train(folder, epochs, **options) for epochs in (1, 2, 3, 4)]


def test_averaging_changes_no_step_and_averages_the_weights_of_all(
    averages, tmp_path, monkeypatch
):
    """The witness is a run that keeps no average; its weights after each step are averaged in NumPy."""
    seen = []
    note_after_each_step(
        monkeypatch,
        seen,
        lambda engine: [
            weights.astype(float)
            for layer in engine.network.get_weights().values()
            for weights in layer
        ],
    )
    plain = train(tmp_path, 4, batch_size=64, learning_rate=0.01)
    folder, runs = averages
    assert len(seen) == 4 * 9
    for epoch, run in enumerate(runs, 1):
        average = seen[0]
        for step in seen[1 : 9 * epoch]:
            average = [
                0.8 * a + (1 - 0.8) * w for a, w in zip(average, step, strict=True)
            ]
        for found, expected, last in zip(
            run.model.weights, average, seen[9 * epoch - 1], strict=True
        ):
            np.testing.assert_allclose(found, expected, rtol=0, atol=2e-7)
            assert np.abs(found - last).max() > 1e-4
        mine, theirs = run.record.epochs[-1], plain.record.epochs[epoch - 1]
        assert mine["accuracy"] == theirs["accuracy"]
        assert mine["loss"] == pytest.approx(theirs["loss"], rel=1e-6)
    mine, theirs = raw(folder / LAST), raw(tmp_path / LAST)
    assert {name: w.tobytes() for name, w in mine.items()} == {
        name: w.tobytes() for name, w in theirs.items()
    }


def test_validation_and_the_best_weights_are_of_the_average(averages):
    folder, runs = averages
    validation = small.splits().validation
    for run in runs:
        loss, accuracy = loop.loss_and_accuracy(run.model, validation)
        assert loss == pytest.approx(run.record.epochs[-1]["val_loss"], rel=1e-6)
        assert accuracy == run.record.epochs[-1]["val_accuracy"]
    record = runs[-1].record
    lowest = int(np.argmin(record.column("val_loss")))
    assert record.best["epoch"] == 1 + lowest
    best = runs[-1].best_model()
    assert values(best.weights) == values(runs[lowest].model.weights)
    kept = sorted(w.tobytes() for w in raw(folder / BEST).values())
    assert kept == sorted(values(best.weights))
    assert checkpoint.contents(folder / BEST).loc["optimizer", "arrays"] == 0


def test_the_best_average_may_be_of_an_earlier_epoch(scripted, tmp_path):
    scripted(2.0, 1.0, 3.0)
    run = train(tmp_path / "run", 3, ema_decay=0.8)
    scripted(2.0, 1.0)
    two = train(tmp_path / "two", 2, ema_decay=0.8)
    assert values(run.best_model().weights) == values(two.model.weights)
    assert values(run.best_model().weights) != values(run.model.weights)


def test_the_last_weights_are_loaded_as_the_run_returned_them(averages, tmp_path):
    folder, runs = averages
    given = values(runs[-1].model.weights)
    assert values(checkpoint.load_model(folder, LAST).weights) == given
    own = sorted(w.tobytes() for w in raw(folder / LAST).values())
    assert own != sorted(given)
    before = contents(folder)
    again = train(folder, 4, ema_decay=0.8, batch_size=64, learning_rate=0.01)
    assert values(again.model.weights) == given
    assert contents(folder) == before
    # Saved alone, they are averaged already, and are not averaged again.
    small.save(
        runs[-1].model, runs[-1].record, tmp_path / LAST, with_optimizer=False
    )
    assert values(checkpoint.load_model(tmp_path, LAST).weights) == given


def test_a_resumed_average_is_that_of_one_go(averages, tmp_path):
    options = {"ema_decay": 0.8, "batch_size": 64, "learning_rate": 0.01}
    folder, runs = averages
    whole = train(tmp_path / "whole", 4, **options)
    small.assert_same_run(folder, tmp_path / "whole")
    assert values(whole.model.weights) == values(runs[-1].model.weights)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_average_is_the_same_by_both_engines_but_for_rounding(
    averages, tmp_path, engine
):
    _, runs = averages
    options = {"ema_decay": 0.8, "batch_size": 64, "learning_rate": 0.01}
    run = train(tmp_path, 1, engine=engine, **options)
    for one, other in zip(run.model.weights, runs[0].model.weights, strict=True):
        # Where a gradient is almost 0, Adam moves by its sign, which rounding decides.
        np.testing.assert_allclose(one, other, rtol=0, atol=5e-3)
        assert np.abs(one - other).mean() < 1e-4
    loss, _ = loop.loss_and_accuracy(run.model, small.splits().validation)
    assert loss == pytest.approx(run.record.epochs[-1]["val_loss"], rel=1e-5)


def test_a_watched_test_set_is_measured_with_the_average_too(tmp_path):
    run = train(tmp_path, 1, ema_decay=0.8, watch_test=True)
    loss, accuracy = loop.loss_and_accuracy(run.model, small.splits().test)
    assert run.record.epochs[-1]["test_loss"] == pytest.approx(loss, rel=1e-6)
    assert run.record.epochs[-1]["test_accuracy"] == accuracy


@pytest.mark.parametrize("smoothing", [0.1, 0.5])
def test_the_training_loss_is_smoothed_and_the_validation_loss_is_not(
    tmp_path, smoothing
):
    """With a rate too small to move a weight, both are those of the initial weights."""
    splits = small.splits().limit(11, 10)
    run = train(
        tmp_path,
        1,
        splits=splits,
        batch_size=4,
        learning_rate=1e-30,
        label_smoothing=smoothing,
    )
    logarithms = np.log(numpy_outputs()[:11])
    wanted = np.full((11, 10), smoothing / 10)
    wanted[np.arange(11), splits.train.labels[:11]] += 1 - smoothing
    line = run.record.epochs[0]
    expected = -(wanted * logarithms).sum(axis=1).mean()
    assert line["loss"] == pytest.approx(expected, rel=1e-5)
    loss, _ = loop.loss_and_accuracy(run.model, splits.validation)
    assert line["val_loss"] == pytest.approx(loss, rel=1e-6)


def test_initial_weights_are_those_of_the_recipe(tmp_path):
    he = train(
        tmp_path, 1, kernel_initializer="he", learning_rate=1e-30, batch_size=550
    )
    expected = models.build(RELU, 0, "he")
    for one, other in zip(he.model.weights, expected.weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-20)
    assert records.read(tmp_path).config.recipe.kernel_initializer == "he"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"architecture": LENET5_1998, "label_smoothing": 0.1},
            r"label_smoothing is 0\.1, but maximum a posteriori has none",
        ),
        (
            {"ema_decay": 1},
            "ema_decay is 1;",
        ),
    ],
)
def test_a_recipe_that_cannot_be_followed_leaves_no_folder(tmp_path, changes, text):
    with pytest.raises(ValueError, match=text):
        train(tmp_path / "run", 1, **changes)
    assert not (tmp_path / "run").exists()


def test_the_configuration_is_what_a_run_records(whole, averages):
    splits = small.splits()
    assert whole.record.config == loop.configuration(RELU, splits, Recipe(), 0)
    recipe = Recipe(64, 0.01, ema_decay=0.8)
    asked = loop.configuration(RELU, splits, recipe, 0)
    assert run_folder.conflicts(averages[1][-1].record.config, asked) == []
    assert run_folder.conflicts(whole.record.config, asked) == [
        "recipe.batch_size: 32 in the folder, 64 asked for",
        "recipe.learning_rate: 0.001 in the folder, 0.01 asked for",
        "recipe.ema_decay: 0.0 in the folder, 0.8 asked for",
    ]


def test_the_same_data_under_a_different_name_is_named_only_beside_a_conflict(
    whole,
):
    kept = whole.record.config
    data_info = dataclasses.replace(kept.data, dataset_name="b")
    renamed = dataclasses.replace(kept, data=data_info)
    assert run_folder.conflicts(kept, renamed) == []
    assert run_folder.conflicts(kept, dataclasses.replace(renamed, seed=1)) == [
        "seed: 0 in the folder, 1 asked for",
        "data.dataset_name: the file small.npz in the folder, b asked for",
    ]


def test_the_weights_to_use_are_the_best_unless_all_digits_were_trained_on(whole):
    assert whole.record.weights_name == BEST
    every = data.split(small.dataset(), train_on_all=True)
    config = loop.configuration(RELU, every, Recipe(), 0)
    assert records.Record(config).weights_name == LAST


def test_the_test_digits_are_watched_only_where_asked(tmp_path, whole):
    watched = train(tmp_path, 2, watch_test=True)
    assert watched.record.metrics == records.METRICS + records.TEST_METRICS
    assert list(watched.history()) == list(watched.record.metrics)
    loss, accuracy = loop.loss_and_accuracy(watched.model, small.splits().test)
    assert watched.record.epochs[-1]["test_accuracy"] == accuracy
    assert watched.record.epochs[-1]["test_loss"] == pytest.approx(loss, rel=1e-6)
    assert "test_loss" not in whole.history()
    for mine, theirs in zip(
        small.metrics(watched.record), small.metrics(whole.record), strict=False
    ):
        assert {**mine, **theirs} == mine  # Nothing else has changed.
    with pytest.raises(RunError, match="test_checksum: "):
        train(tmp_path, 3)


def test_a_second_process_is_refused_and_a_dead_ones_lock_is_not(tmp_path):
    code = (
        "import sys, time, pathlib; from lenet5lib import files\n"
        "with files.locked(pathlib.Path(sys.argv[1])):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout.readline() == "held\n"
    for resume in (True, False):
        with pytest.raises(files.LockedError) as refused:
            train(tmp_path, 1, resume=resume)
        assert str(tmp_path) in str(refused.value)
        assert f" {holder.pid}." in str(refused.value)
    holder.kill()
    holder.communicate()
    assert (tmp_path / files.LOCK).exists()
    train(tmp_path, 1)
    assert small.leftovers(tmp_path) == set()


def test_a_file_in_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(
        RunError, match=r"cannot make the folder .*run: File exists"
    ):
        train(tmp_path / "run", 1)


def test_the_record_says_what_was_trained_on_what_and_with_what(whole):
    values = json.loads((whole.run_dir / records.NAME).read_text(encoding="utf-8"))
    splits = small.splits()
    assert values["config"] == {
        "architecture": RELU.to_dict(),
        "recipe": {},
        "seed": 0,
        "data": {
            "dataset_name": "the file small.npz",
            "checksum": data.checksum(splits.train, splits.validation),
            "num_train": 550,
            "num_validation": 50,
        },
    }
    for number, epoch in enumerate(values["epochs"], 1):
        assert list(epoch) == [
            "epoch",
            "loss",
            "accuracy",
            "steps",
            "training_seconds",
            "val_loss",
            "val_accuracy",
            "seconds",
        ]
        assert epoch["epoch"] == number
        assert epoch["loss"] > 0 < epoch["val_loss"]
        assert 0 <= epoch["accuracy"] <= 1 >= epoch["val_accuracy"] >= 0
        assert 0 < epoch["seconds"] < 60
    (session,) = values["sessions"]
    assert session["after_epoch"] == 0
    assert session["engine"] == "loops"
    assert session["versions"]["numpy"] == np.__version__
    assert set(session["versions"]) == {"python", "numba", "numpy"}
    assert session["threads"] >= 1
    losses = [epoch["val_loss"] for epoch in values["epochs"]]
    assert values["best"] == {
        "epoch": 1 + losses.index(min(losses)),
        "val_loss": min(losses),
    }


def test_history_is_a_table_of_the_metrics(whole):
    table = whole.history()
    assert list(table.columns) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert table.index.tolist() == [1, 2, 3, 4, 5]
    assert table.index.name == "epoch"
    assert table["val_loss"].tolist() == whole.record.column("val_loss")
    pd.testing.assert_frame_equal(records.read(whole.run_dir).history(), table)


def test_load_model_builds_what_was_trained(folder, whole):
    best, last = (
        checkpoint.load_model(folder),
        checkpoint.load_model(str(folder), LAST),
    )
    assert values(last.weights) == values(whole.model.weights)
    assert values(best.weights) == values(whole.best_model().weights)
    assert best.get_layer("C1").activation is keras.activations.relu
    images = small.dataset().test.images
    assert (
        models.predict(last, images) == models.predict(whole.model, images)
    ).all()
    (folder / BEST).unlink()
    with pytest.raises(checkpoint.CheckpointError, match="no checkpoint at"):
        checkpoint.load_model(folder)


def test_the_32_pixel_form_trains_too(tmp_path):
    run = train(tmp_path, 1, architecture=LENET5_32)
    assert run.best_model().input_shape == (None, 32, 32, 1)
    assert (
        math.log(10) - 0.5 < run.record.epochs[0]["val_loss"] < math.log(10) + 0.5
    )


def test_a_record_without_its_checkpoint_is_not_overwritten(tmp_path):
    train(tmp_path, 1)
    (tmp_path / LAST).unlink()
    kept = contents(tmp_path)
    with pytest.raises(
        RunError, match="holds a run's record but no last"
    ) as caught:
        train(tmp_path, 2)
    assert "Restore the checkpoint" in str(caught.value)
    assert contents(tmp_path) == kept


def test_the_same_digits_under_another_name_are_the_same_run(tmp_path):
    train(tmp_path, 1)
    renamed = dataclasses.replace(small.splits(), dataset_name="the file copy.npz")
    assert len(train(tmp_path, 2, splits=renamed).record.epochs) == 2


@pytest.mark.parametrize("engines", [("loops", "keras"), ("keras", "loops")])
def test_a_run_goes_on_with_its_own_engine_only(tmp_path, engines):
    first, other = engines
    run = train(tmp_path / "run", 1, engine=first)
    assert run.record.sessions[0]["engine"] == first
    before = contents(tmp_path / "run")
    with pytest.raises(RunError, match=f"engine: {first} in the folder, {other}"):
        train(tmp_path / "run", 2, engine=other)
    assert contents(tmp_path / "run") == before


def test_an_engine_of_another_name_is_refused_before_a_folder_is_made(tmp_path):
    with pytest.raises(
        ValueError, match="engine is 'torch'; expected one of loops"
    ):
        train(tmp_path / "run", 1, engine="torch")
    assert not (tmp_path / "run").exists()


def test_the_optimizer_of_1998_is_trained_by_keras_and_refused_by_the_loops(
    tmp_path,
):
    options = {"architecture": LENET5_1998, "recipe": PAPERS}
    options["splits"] = small.splits().limit(60, 20)
    run = train(tmp_path / "run", 1, **options)
    assert run.record.sessions[0]["engine"] == "keras"
    with pytest.raises(ValueError, match="optimizer is 'levenberg-marquardt'"):
        train(tmp_path / "other", 1, engine="loops", **options)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("engine", [None, "loops"])
def test_without_numba_keras_trains_and_predicts_and_a_line_says_so(
    tmp_path, monkeypatch, capfd, engine
):
    monkeypatch.setattr(compiled, "available", lambda: False)
    compiled.say_missing.cache_clear()
    run = train(tmp_path / "run", 1, engine=engine)
    assert run.record.sessions[0]["engine"] == "keras"
    assert isinstance(checkpoint.load(tmp_path / "run"), keras.Model)
    notices = [
        line for line in capfd.readouterr().err.splitlines() if "numba" in line
    ]
    assert len(notices) == 1


def test_both_engines_load_what_either_saved(tmp_path):
    images = small.dataset().test.images
    for engine in ENGINES:
        train(tmp_path / engine, 1, engine=engine)
        found = [
            evaluation.predict(
                checkpoint.load(tmp_path / engine, engine=one), images
            )
            for one in ENGINES
        ]
        np.testing.assert_allclose(*found, rtol=0, atol=1e-6)


SMALL = Architecture(
    "small",
    (28, 28, 1),
    (Pool("S", size=7), Flatten(), Dense("Output", 10, "softmax")),
)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("activation", ["linear", "relu", "sigmoid", "tanh"])
def test_a_last_layer_without_probabilities_is_refused(
    tmp_path, activation, engine
):
    wrong = SMALL.change("Output", activation=activation)
    with pytest.raises(
        ValueError, match=f"Output, is dense.*{activation}.*softmax"
    ):
        train(tmp_path / "run", 1, wrong, engine=engine)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("layers", "named"),
    [
        (SMALL.layers[:2], "Flatten"),
        ((*SMALL.layers, Dropout("D", 0.5)), "D, is dropout"),
        ((Conv("C", 10, 28, activation="softmax"),), "C, is convolution"),
    ],
)
def test_a_last_layer_that_gives_no_classes_is_refused(tmp_path, layers, named):
    wrong = dataclasses.replace(SMALL, layers=layers)
    with pytest.raises(ValueError, match=named):
        train(tmp_path, 1, wrong)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_what_does_not_fit_the_network_is_refused_before_the_first_step(
    tmp_path, part, engine
):
    splits = small.splits()
    with pytest.raises(ValueError, match=r"train labels hold .*; expected 0 to 4"):
        train(tmp_path / "run", 1, SMALL.change("Output", units=5), engine=engine)
    whole = getattr(splits, part)
    larger = data.Digits(
        np.pad(whole.images, ((0, 0), (6, 6), (6, 6))), whole.labels
    )
    wrong = dataclasses.replace(splits, **{part: larger})
    with pytest.raises(ValueError, match=f"{part} images.*40×40"):
        train(tmp_path / "run", 1, SMALL, wrong, engine=engine)
    fives = {
        name: getattr(splits, name).select(getattr(splits, name).labels < 5)
        for name in ("train", "validation", "test")
        if name != part
    }
    wrong = dataclasses.replace(splits, **fives)
    with pytest.raises(ValueError, match=f"{part} labels hold .*; expected 0 to 4"):
        train(tmp_path / "run", 1, SMALL.change("Output", units=5), wrong)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_loss_that_is_no_number_stops_and_leaves_what_was_saved(tmp_path, engine):
    rates = PiecewiseConstant(((1, 0.001), (1, 1e36)))
    options = {"architecture": RELU, "engine": engine, "learning_rate": rates}
    train(tmp_path, 1, **options)
    kept = contents(tmp_path)
    for _ in range(2):  # Resumed, it stops there again.
        with pytest.raises(DivergedError, match="in epoch 2, steps 1 to 18"):
            train(tmp_path, 3, **options)
        assert contents(tmp_path) == kept


@pytest.mark.parametrize("engine", ENGINES)
def test_weights_that_are_no_numbers_stop_even_if_the_loss_is_one(
    tmp_path, monkeypatch, engine
):
    def spoil(engine):
        if engine.name == "loops":
            engine.network.weights[0] = np.inf
        else:
            kernel = engine.trained.trainable_variables[0]
            kernel.assign(np.full(kernel.shape, np.inf))

    on_steps(monkeypatch, after=spoil)
    with pytest.raises(DivergedError, match="a weight is nan in epoch 1"):
        train(tmp_path, 1, SMALL, engine=engine)
    assert contents(tmp_path) == {}


def test_a_validation_loss_that_is_no_number_stops(tmp_path, monkeypatch):
    measured = itertools.chain([(0.5, 0.5)], itertools.repeat((math.nan, 0.5)))
    monkeypatch.setattr(loop, "mean_loss_and_accuracy", lambda *_: next(measured))
    said = []
    with pytest.raises(DivergedError, match="val_loss is nan in epoch 2"):
        train(tmp_path, 3, SMALL, report=said.append)
    assert records.read(tmp_path).column("epoch") == [1]
    assert checkpoint.read_record(tmp_path / LAST).best["epoch"] == 1
    assert len(said) == 1


def test_weights_that_are_no_numbers_are_not_loaded(tmp_path):
    run = train(tmp_path, 1, SMALL)
    run.engine.network.weights[:] = np.nan
    checkpoint.write(run.engine.contents(False), run.record, tmp_path / BEST)
    for load in (checkpoint.load_network, checkpoint.load_model):
        with pytest.raises(checkpoint.CheckpointError, match="weights of Output"):
            load(tmp_path)


def remove(path):
    path.unlink()


def damage(path):
    one = bytearray(path.read_bytes())
    one[len(one) // 2] ^= 1
    path.write_bytes(one)


def exchange(path):
    other = train(path.parent / "other", 1, seed=5)
    path.write_bytes((other.run_dir / BEST).read_bytes())


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("spoil", [remove, damage, exchange])
def test_best_weights_that_are_lost_are_said_and_made_good(tmp_path, spoil, engine):
    options = {"engine": engine, "ema_decay": 0.9}
    train(tmp_path, 2, **options)
    spoil(tmp_path / BEST)
    said = []
    done = train(tmp_path, 2, report=said.append, **options)
    assert BEST in said[0]
    kept = checkpoint.read_record(tmp_path / BEST)
    assert kept.best == done.record.best == records.read(tmp_path).best
    assert kept.best["epoch"] == 2
    found = evaluation.evaluate(done.best_model(), small.splits().validation)
    assert 1 - found.error == pytest.approx(done.record.epochs[1]["val_accuracy"])
    said.clear()
    more = train(tmp_path, 4, report=said.append, **options)
    assert said[0].startswith("Resuming")
    losses = more.record.column("val_loss")[1:]
    assert more.record.best["epoch"] == 2 + int(np.argmin(losses))
    assert checkpoint.read_record(tmp_path / BEST).best == more.record.best


def test_without_best_weights_the_last_are_named(folder):
    (folder / BEST).unlink()
    with pytest.raises(checkpoint.CheckpointError, match=r"--last"):
        checkpoint.load_network(folder)


def test_best_weights_alone_are_not_overwritten(folder):
    for name in (LAST, PREVIOUS, records.NAME):
        (folder / name).unlink()
    kept = contents(folder)
    with pytest.raises(RunError, match="best weights but no last"):
        train(folder, 6)
    assert contents(folder) == kept


@pytest.mark.parametrize("place", [".", "..", "../run"])
def test_the_current_folder_is_not_moved_aside(folder, place, monkeypatch):
    inner = folder / "inner"
    inner.mkdir()
    monkeypatch.chdir(inner if place == ".." else folder)
    kept = {path.name for path in folder.iterdir()}
    with pytest.raises(RunError, match="current folder"):
        train(Path(place), 1, resume=False)
    assert {path.name for path in folder.iterdir()} == kept


def test_a_link_stays_a_link_when_the_old_run_is_moved_aside(folder, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(folder)
    train(link, 1, SMALL, resume=False)
    assert link.is_symlink()
    assert records.read(folder).config.architecture == SMALL
    assert records.read(tmp_path / "run.1").config.architecture == RELU


def test_what_the_output_cannot_show_of_a_folders_name_is_escaped(
    folder, tmp_path, monkeypatch
):
    run_dir = folder.rename(tmp_path / "\u6570\u5b57")
    output = io.TextIOWrapper(io.BytesIO(), "cp1252")
    monkeypatch.setattr(sys, "stdout", output)
    loop.train(SMALL, small.splits(), run_dir, epochs=1, resume=False)
    output.flush()
    assert b"\\u6570\\u5b57.1" in output.buffer.getvalue()


@pytest.mark.parametrize("name", ["", " "])
def test_a_folder_without_a_name_is_refused(name):
    with pytest.raises(RunError, match="run_dir is"):
        train(name, 1)


def test_a_cycles_length_is_said_to_be_fixed(tmp_path):
    train(tmp_path, 1, SMALL, learning_rate=OneCycle(0.01, 2))
    with pytest.raises(RunError, match=r"2 in the folder, 3 asked.*cycle is fixed"):
        train(tmp_path, 3, SMALL, learning_rate=OneCycle(0.01, 3))


@pytest.mark.parametrize("engine", ENGINES)
def test_numbers_of_numpy_train_and_resume_like_pythons(tmp_path, engine):
    mine = SMALL.change("S", size=np.int64(7)).change("Output", units=np.int32(10))
    options = {"engine": engine, "batch_size": np.int64(32), "seed": np.int64(1)}
    train(tmp_path, 1, mine, **options)
    run = train(tmp_path, 2, SMALL, engine=engine, batch_size=32, seed=1)
    assert run.record.config.architecture == SMALL


@pytest.mark.parametrize("engine", ENGINES)
def test_more_than_ten_classes_train(tmp_path, engine):
    splits = small.splits()
    parts = {
        name: data.Digits(part.images, part.labels + np.uint8(16))
        for name, part in (
            ("train", splits.train),
            ("validation", splits.validation),
        )
    }
    parts["test"] = parts["validation"]
    letters = data.Splits(dataset_name="letters", **parts)
    made = SMALL.change("Output", units=26)
    run = train(tmp_path, 2, made, letters, engine=engine, learning_rate=0.1)
    assert run.record.epochs[-1]["val_accuracy"] > 0.2
    network = checkpoint.load(tmp_path, engine=engine)
    found = evaluation.predict(network, letters.validation.images)
    assert found.shape == (len(letters.validation), 26)


def test_a_seed_of_any_size_trains_and_resumes(tmp_path):
    train(tmp_path, 1, SMALL, seed=2**70)
    assert len(train(tmp_path, 2, SMALL, seed=2**70).record.epochs) == 2
