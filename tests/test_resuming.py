"""Ways of resuming: the table says what it found, and a killed training is really killed."""

import signal

import pytest
import small

from lenet5lib import records
from lenet5lib.spec import LENET5
from lenet5lib.studies import resuming
from lenet5lib.training import loop

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return resuming.compare_resume_methods(
        small.splits().limit(100, 20), tmp_path_factory.mktemp("ways") / "new"
    )


def test_this_library_keeps_everything_and_no_other_way_does(table):
    assert (table["lenet5lib"] == "kept").all()
    others = table.drop(columns="lenet5lib")
    assert len(others.columns) == 4
    assert (others.loc[resuming.CRITERIA[-1]] == "lost").all()


def test_what_keras_says_it_keeps_is_found_kept(table):
    """The trial itself works: it finds more than losses."""
    assert (
        table.loc[["weights", "the optimizer's averages and steps"]] == "kept"
    ).all(axis=None)
    epochs = table.loc["how many epochs are done"]
    assert epochs["BackupAndRestore"] == "kept"
    assert epochs["save_weights"] == "lost"


def test_without_a_stop_nothing_would_be_lost(tmp_path):
    """The order and the end differ for no other reason than the stop: two trainings that run through are equal."""
    splits = small.splits().limit(100, 20)
    runs = [resuming._KerasRun(splits, tmp_path) for _ in range(2)]
    assert [run.fit() for run in runs] == [resuming.EPOCHS] * 2
    first, second = (run.model.history.history["loss"] for run in runs)
    assert first == second
    assert runs[0].order[-100:] == runs[1].order[-100:]
    assert sorted(runs[0].order[-100:]) == list(range(100))
    first, second = (resuming._bytes(run.model.trainable_variables) for run in runs)
    assert first == second


def test_a_killed_training_goes_on_and_ends_like_another(tmp_path):
    data = small.save_npz(tmp_path / "small.npz")
    arguments = ["--data", str(data), "--epochs", "500", "--save-steps", "100"]
    run_dir = tmp_path / "killed"
    assert (
        resuming.train_and_kill(run_dir, arguments, after_epoch=1)
        == -signal.SIGKILL
    )
    epochs = len(records.read(run_dir).epochs)
    assert 1 <= epochs < 500
    splits = small.splits()
    for folder in (run_dir, tmp_path / "whole"):
        loop.train(LENET5, splits, folder, epochs=epochs + 1, report=None)
    small.assert_same_run(run_dir, tmp_path / "whole")


def test_a_training_that_ends_before_it_is_killed_is_an_error(tmp_path):
    data = small.save_npz(tmp_path / "small.npz")
    with pytest.raises(ValueError, match="ended with 0 "):
        resuming.train_and_kill(
            tmp_path / "run", ["--data", str(data), "--epochs", "1"], after_epoch=2
        )
    with pytest.raises(ValueError, match=r"ended with 1 .* error: .*nowhere\.npz"):
        resuming.train_and_kill(
            tmp_path / "other", ["--data", "nowhere.npz", "--epochs", "1"], 1
        )
