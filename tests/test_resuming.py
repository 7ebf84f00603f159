"""Ways of resuming: the table says what it found, and a killed training is really killed."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import small

from lenet5lib import records
from lenet5lib.spec import LENET5
from lenet5lib.studies import resuming
from lenet5lib.training import checkpoint, loop

pytestmark = pytest.mark.slow
BOOK = Path(__file__).parent.parent / "book"


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return resuming.compare_resume_methods(
        small.splits().limit(100, 20), tmp_path_factory.mktemp("ways") / "new"
    )


def test_what_an_earlier_call_left_in_the_folder_changes_nothing(table, tmp_path):
    for name in ("best.weights.h5", "backup/latest", "ours/record.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("left by somebody")
    splits = small.splits().limit(100, 20)
    assert resuming.compare_resume_methods(splits, tmp_path).equals(table)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["backup", "best.weights.h5", "ours"]


def test_this_library_keeps_everything_and_no_other_way_does(table):
    assert (table["lenet5lib"] == "✓").all()
    others = table.drop(columns="lenet5lib")
    assert len(others.columns) == 4
    assert (others.loc[resuming.CRITERIA[-1]] == "–").all()


def test_what_keras_says_it_keeps_is_found_kept(table):
    """The trial itself works: it finds more than losses."""
    assert (table.loc[["weights", "optimizer"]] == "✓").all(axis=None)
    epochs = table.loc["epoch"]
    assert epochs["BackupAndRestore"] == "✓"
    assert epochs["save_weights"] == "–"


def test_lenet5_fed_with_arrays_ends_the_same_by_each_of_keras_s_methods(tmp_path):
    splits = small.splits().limit(100, 20)
    found = resuming.differing_with_arrays(splits, tmp_path)
    assert found.to_dict() == dict.fromkeys(resuming.METHODS, 0)


def test_plain_keras_killed_and_resumed_ends_as_if_it_had_not_been(tmp_path):
    train = small.splits().train
    np.savez(tmp_path / "images.npz", x=train.images / 255, y=train.labels)
    images, killed = tmp_path / "images.npz", tmp_path / "killed"
    assert resuming.run_plain(killed, 300, images, kill_after=2) == -signal.SIGKILL
    done = resuming.plain_epochs(killed)
    assert 2 <= done < 300
    for folder in (killed, tmp_path / "whole"):
        assert resuming.run_plain(folder, done + 2, images) == 0
    paths = [path / "last.weights.h5" for path in (killed, tmp_path / "whole")]
    assert checkpoint.compare(*paths)["differing"].sum() == 0
    with pytest.raises(ValueError, match="ended with 0 "):
        resuming.run_plain(killed, 1, images, kill_after=1_000)
    with pytest.raises(ValueError, match="failed"):
        resuming.run_plain(killed, 1, tmp_path / "nowhere.npz")


def test_plain_resume_imports_nothing_of_the_library():
    source = Path(resuming.__file__).with_name("plain_resume.py").read_text("utf-8")
    assert "import lenet5lib" not in source
    assert "from lenet5lib" not in source


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


def test_a_training_is_killed_again_in_a_folder_that_holds_a_whole_one(tmp_path):
    data, run_dir = small.save_npz(tmp_path / "small.npz"), tmp_path / "run"
    loop.train(LENET5, small.splits(), run_dir, epochs=3, report=None)
    arguments = ["--data", str(data), "--epochs", "500", "--save-steps", "100"]
    code = resuming.train_and_kill(run_dir, arguments, after_epoch=1)
    assert code == -signal.SIGKILL
    record = records.read(run_dir)
    assert record.resume_points == []
    assert len(records.read(tmp_path / "run.1").epochs) == 3


def executed(name, folder, share=1.0):
    """Run the first cells of a chapter, in a folder; return what the cells printed whose output does not vary."""
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    import notebooks

    chapter = nbformat.read(BOOK / name, as_version=4)
    chapter.cells = chapter.cells[: int(share * len(chapter.cells))]
    place = {"metadata": {"path": str(folder)}}
    nbclient.NotebookClient(
        chapter, timeout=1200, resources=place, allow_errors=True
    ).execute()
    notebooks.normalise(chapter)
    assert [
        notebooks.faults(cell) for cell in chapter.cells if notebooks.faults(cell)
    ] == []
    return [
        [output.get("text") or output.data["text/plain"] for output in cell.outputs]
        for cell in chapter.cells
        if cell.cell_type == "code" and not notebooks.varies(cell)
    ]


@pytest.mark.parametrize(
    ("name", "cut_off"),
    [("05_training.ipynb", 0), ("07_checkpoint_and_resume.ipynb", 0.75)],
)
def test_a_chapter_run_twice_in_one_folder_prints_the_same(
    name, cut_off, tmp_path, monkeypatch
):
    """The folder is the chapter's own, as a reader has it; before, a run that is cut off leaves its part there."""
    monkeypatch.delenv("LENET5_RUNS", raising=False)
    monkeypatch.setenv(
        "PYTHONPATH",
        str(BOOK.parent) + os.pathsep + os.environ.get("PYTHONPATH", ""),
    )
    if cut_off:
        executed(name, tmp_path, cut_off)
    first = executed(name, tmp_path)
    assert (tmp_path / "runs").is_dir()
    assert executed(name, tmp_path) == first
    assert len(first) > 10
