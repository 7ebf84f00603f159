"""Records: what was written is read back, and a file that is not a record is refused in one clear sentence."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lenet5lib import records
from lenet5lib.records import Record, RecordError

CONFIG = {
    "architecture": {"name": "LeNet-5, 28×28", "layers": []},
    "batch_size": 32,
    "data": {"source": "the file small.npz", "digest": "00"},
}


def epoch(number: int, loss: float = 2.0) -> dict:
    return {
        "epoch": number,
        "loss": loss,
        "accuracy": 0.5,
        "val_loss": 1.5,
        "val_accuracy": 0.6,
        "seconds": 0.1,
    }


def session(after_epoch: int) -> dict:
    return {"after_epoch": after_epoch, "versions": {"keras": "3"}, "threads": 2}


@pytest.fixture
def record() -> Record:
    """A run of three epochs that was resumed twice."""
    epochs = [epoch(1, loss=2.3), epoch(2, loss=0.1 + 0.2), epoch(3, loss=1e-17)]
    return Record(
        CONFIG,
        epochs,
        [session(0), session(1), session(2)],
        {"epoch": 2, "val_loss": 1.5},
    )


def test_json_round_trip_keeps_everything(record):
    assert Record.from_json(record.to_json(), "memory") == record


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=5))
def test_json_round_trip_keeps_every_bit_of_a_metric(losses):
    record = Record(
        CONFIG, [epoch(number, loss=loss) for number, loss in enumerate(losses, 1)]
    )
    assert list(
        map(repr, Record.from_json(record.to_json(), "memory").column("loss"))
    ) == list(map(repr, losses))


def test_the_json_is_plain_text_that_names_its_format(record):
    text = record.to_json()
    assert "28×28" in text
    assert json.loads(text)["format"] == records.FORMAT
    assert list(json.loads(text)) == [
        "format",
        "config",
        "epochs",
        "sessions",
        "best",
        "partial",
    ]


def test_a_new_record_has_no_epoch_and_no_best():
    record = Record(CONFIG)
    assert (record.epochs, record.sessions, record.best) == (
        [],
        [],
        {"epoch": 0, "val_loss": None},
    )
    record.epochs.append(epoch(1))
    record.best["epoch"] = 1
    assert Record(CONFIG).epochs == []
    assert Record(CONFIG).best["epoch"] == 0


def test_source_columns_and_resume_points(record):
    assert record.source == "the file small.npz"
    assert record.column("loss") == [2.3, 0.1 + 0.2, 1e-17]
    assert record.column("epoch") == [1, 2, 3]
    assert record.resume_points == [1, 2]
    assert Record(CONFIG).resume_points == []


def test_read_returns_what_the_folder_holds(record, tmp_path):
    (tmp_path / records.NAME).write_text(record.to_json(), encoding="utf-8")
    assert records.read(tmp_path) == record
    assert records.read(str(tmp_path)) == record


def broken(record: Record, **changed) -> str:
    return json.dumps({**json.loads(record.to_json()), **changed})


@pytest.mark.parametrize(
    ("contents", "named"),
    [
        (lambda record: "", "Expecting value"),
        (lambda record: record.to_json()[:200], "line"),
        (lambda record: "[1, 2]", ""),
        (lambda record: "3", ""),
        (lambda record: "{}", "format"),
        (lambda record: broken(record, format=99), "another format"),
        (lambda record: broken(record, colour="blue"), "colour"),
        (lambda record: '{"format": 1, "epochs": []}', "config"),
        (lambda record: broken(record, config={}), "data"),
        (lambda record: broken(record, config=None), ""),
        (lambda record: broken(record, best={}), "val_loss"),
        (lambda record: broken(record, epochs=[{"epoch": 1}]), "loss"),
        (lambda record: broken(record, epochs=7), ""),
        (lambda record: broken(record, sessions=[{}, {}]), "after_epoch"),
    ],
)
def test_a_broken_record_is_refused(record, tmp_path, contents, named):
    path = tmp_path / records.NAME
    path.write_text(contents(record), encoding="utf-8")
    before = path.read_bytes()
    with pytest.raises(RecordError) as refused:
        records.read(tmp_path)
    text = str(refused.value)
    assert text.startswith(f"{path} is not a run's record of format 1 (")
    assert named in text
    assert text.endswith("Restore it, or name another run's folder.")
    assert path.read_bytes() == before


def test_a_record_that_is_not_text_is_refused(tmp_path):
    (tmp_path / records.NAME).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecordError, match="is not text") as refused:
        records.read(tmp_path)
    assert str(tmp_path / records.NAME) in str(refused.value)


def test_a_missing_record_is_named(tmp_path):
    with pytest.raises(RecordError) as refused:
        records.read(tmp_path / "nowhere")
    expected = f"no record at {tmp_path / 'nowhere' / records.NAME}: No such file or directory."
    assert (
        str(refused.value)
        == f"{expected} Name the folder of a run that was trained."
    )


@pytest.fixture
def shelf(record, tmp_path, monkeypatch):
    """A folder that stands for the package's own, with runs of experiments in one part and in several."""
    monkeypatch.setattr(records, "RECORDED", tmp_path)
    for name in (
        "plain/a",
        "plain/b",
        "ladder/relu/1",
        "ladder/relu/0",
        "ladder/max/0",
    ):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / records.NAME).write_text(record.to_json())
    (tmp_path / "benchmark.json").write_text("{}")
    (tmp_path / "empty" / "run").mkdir(parents=True)
    return tmp_path


def test_experiments_have_the_names_of_their_folders_however_deep(shelf):
    assert records.experiments() == ["ladder/max", "ladder/relu", "plain"]
    assert records.recorded("plain") == {
        "a": shelf / "plain" / "a",
        "b": shelf / "plain" / "b",
    }
    assert list(records.recorded("ladder/relu")) == ["0", "1"]
    assert records.recorded("ladder/max") == {"0": shelf / "ladder" / "max" / "0"}


@pytest.mark.parametrize("name", ["ladder", "ladder/he", "empty", "plain/a"])
def test_an_experiment_that_is_not_recorded_is_refused_with_all_that_are(
    shelf, name
):
    with pytest.raises(RecordError) as refused:
        records.recorded(name)
    assert str(refused.value) == (
        f"no recorded experiment {name!r}; expected one of ladder/max, ladder/relu, plain. Name one of these."
    )


def test_every_recorded_experiment_can_be_read():
    for name in records.experiments():
        for folder in records.recorded(name).values():
            assert records.read(folder).epochs


def test_reading_a_record_needs_neither_tensorflow_nor_numpy(record, tmp_path):
    (tmp_path / records.NAME).write_text(record.to_json(), encoding="utf-8")
    code = "import sys; from lenet5lib import records; records.read(sys.argv[1]); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not {"tensorflow", "keras", "numpy", "h5py"} & set(done.stdout.split())
