"""Records: what was written is read back, and a file that is not a record is refused in one clear sentence."""

import dataclasses
import json
import math
import subprocess
import sys

import made
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lenet5lib import records, spec
from lenet5lib.records import Config, Record, RecordError
from lenet5lib.spec import LENET5, LENET5_RELU_MAX
from lenet5lib.training.recipe import AFFINE, DEFAULT_RECIPE, Recipe
from lenet5lib.training.schedules import OneCycle

CONFIG = made.config(3, Recipe(learning_rate=OneCycle(0.1, 4), distortion=AFFINE))


def session(after_epoch: int) -> dict:
    return {"after_epoch": after_epoch, "versions": {"keras": "3"}, "threads": 2}


@pytest.fixture
def record() -> Record:
    """A run of three epochs that was resumed twice."""
    losses = (2.3, 0.1 + 0.2, 1e-17)
    return Record(
        CONFIG,
        "lenet5lib train --epochs 3",
        [made.epoch(n, loss=loss, seconds=0.1) for n, loss in enumerate(losses, 1)],
        [session(0), session(1), session(2)],
        {"epoch": 2, "val_loss": 0.5},
    )


def test_json_round_trip_keeps_everything(record):
    assert Record.from_json(record.to_json(), "memory") == record


@pytest.mark.parametrize(
    "architecture", [*spec.ARCHITECTURES.values(), *spec.VARIANTS.values()]
)
def test_a_configuration_comes_back_from_plain_values(architecture):
    config = dataclasses.replace(CONFIG, architecture=architecture)
    plain = json.loads(json.dumps(config.to_dict()))
    assert Config.from_dict(plain) == config


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=5))
def test_json_round_trip_keeps_every_bit_of_a_metric(losses):
    epochs = [
        made.epoch(number, loss=loss) for number, loss in enumerate(losses, 1)
    ]
    back = Record.from_json(Record(CONFIG, epochs=epochs).to_json(), "memory")
    assert list(map(repr, back.column("loss"))) == list(map(repr, losses))


def test_the_json_is_plain_text_that_names_its_format(record):
    text = record.to_json()
    assert "28×28" in text
    values = json.loads(text)
    assert values["format"] == records.FORMAT
    fields = [field.name for field in dataclasses.fields(Record)]
    assert list(values) == ["format", *fields]


def test_a_new_record_has_no_epoch_and_no_best():
    record = Record(CONFIG)
    assert (record.epochs, record.sessions) == ([], [])
    assert record.best == {"epoch": 0, "val_loss": None}
    record.epochs.append(made.epoch(1))
    record.best["epoch"] = 1
    assert Record(CONFIG).epochs == []
    assert Record(CONFIG).best["epoch"] == 0


def test_dataset_name_columns_and_resume_points(record):
    assert record.dataset_name == "the file small.npz"
    assert record.column("loss") == [2.3, 0.1 + 0.2, 1e-17]
    assert record.column("epoch") == [1, 2, 3]
    assert record.resume_points == [1, 2]
    assert Record(CONFIG).resume_points == []


def test_metrics_and_weights_that_count_follow_from_the_data():
    def of(**data):
        return Record(made.config(**data))

    assert of().metrics == records.METRICS
    watched = of(test_checksum="11").metrics
    assert watched == records.METRICS + records.TEST_METRICS
    assert of().weights_name == "best.weights.h5"
    assert of(train_on_all=True).weights_name == "last.weights.h5"


def test_the_history_is_a_table_of_the_metrics(record):
    history = record.history()
    assert history.index.tolist() == [1, 2, 3]
    assert history.columns.tolist() == list(records.METRICS)
    assert history["loss"].tolist() == [2.3, 0.1 + 0.2, 1e-17]


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
        (lambda record: broken(record, format=1), "format 1"),
        (lambda record: broken(record, format=99), "format 99"),
        (lambda record: broken(record, colour="blue"), "colour"),
        (lambda record: f'{{"format": {records.FORMAT}, "epochs": []}}', "config"),
        (lambda record: broken(record, config={}), "architecture"),
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
    assert str(path) in text
    assert f"format {records.FORMAT}" in text
    assert named in text
    assert path.read_bytes() == before


def test_a_record_that_is_not_text_is_refused(tmp_path):
    (tmp_path / records.NAME).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecordError) as refused:
        records.read(tmp_path)
    assert str(tmp_path / records.NAME) in str(refused.value)


def test_a_missing_record_is_named(tmp_path):
    with pytest.raises(RecordError) as refused:
        records.read(tmp_path / "nowhere")
    assert str(tmp_path / "nowhere" / records.NAME) in str(refused.value)
    assert "No such file or directory" in str(refused.value)


@pytest.fixture
def shelf(record, tmp_path, monkeypatch):
    """A folder that stands for the package's own, with runs of experiments in one part and in several."""
    monkeypatch.setattr(records, "RECORDED", tmp_path)
    names = ["plain/b", "plain/a", "cut/relu/1", "cut/relu/0", "cut/max/0"]
    runs = dict.fromkeys(names, record)
    runs["plain/a"] = Record(CONFIG, None, [made.epoch(1, test_loss=0.25)])
    made.write_tables(tmp_path, runs)
    yield tmp_path
    records.table.cache_clear()


def test_experiments_have_the_names_of_their_runs_without_the_last_part(shelf):
    assert records.experiments() == ["cut/max", "cut/relu", "plain"]
    assert list(records.recorded("cut/relu")) == ["0", "1"]
    assert list(records.rows("plain")["run"]) == ["plain/a", "plain/b"]
    assert list(records.rows("plain").index) == ["a", "b"]


def test_a_record_comes_back_from_the_tables(shelf, record):
    plain = records.recorded("plain")
    assert plain["b"] == record
    assert plain["a"].command is None
    assert plain["a"].epochs == [made.epoch(1, test_loss=0.25)]


@pytest.mark.parametrize("name", ["cut", "cut/he", "empty", "plain/a"])
def test_an_experiment_that_is_not_recorded_is_refused_with_all_that_are(
    shelf, name
):
    with pytest.raises(RecordError) as refused:
        records.recorded(name)
    assert repr(name) in str(refused.value)
    assert "cut/max, cut/relu, plain" in str(refused.value)


def test_every_recorded_experiment_can_be_read():
    for name in records.experiments():
        for record in records.recorded(name).values():
            assert record.epochs
            assert Record.from_json(record.to_json(), name) == record


def test_the_weights_of_a_run_are_found_and_those_of_others_refused(shelf):
    path = shelf / "cut/max/0/last.weights.h5"
    path.parent.mkdir(parents=True)
    path.touch()
    assert records.weights("cut/max/0") == path
    with pytest.raises(RecordError) as refused:
        records.weights("plain/a")
    assert "'plain/a'" in str(refused.value)
    assert "cut/max/0" in str(refused.value)


def test_the_default_networks_weights_are_those_that_its_record_asks_for():
    path = records.weights()
    experiment, _, name = records.DEFAULT_RUN.rpartition("/")
    assert path.parent == records.RECORDED / experiment / name
    assert path.name == records.recorded(experiment)[name].weights_name


def about(epochs=4, best=4, unfinished=None, recipe=DEFAULT_RECIPE, **data) -> str:
    found = Record(made.config(5, recipe, **data), unfinished_epoch=unfinished)
    found.epochs = [made.epoch(n + 1) for n in range(epochs)]
    found.best = {"epoch": best, "val_loss": 0.5}
    return found.about()


def test_a_record_says_what_its_checkpoint_holds():
    text = about()
    assert text.startswith(f"{LENET5.name}. ")
    for part in ("the file small.npz", "50 images", "10 held out", "seed 5"):
        assert part in text
    assert "weights of epoch 4, the best on validation" in text
    assert "EMA" not in text


def test_the_best_since_better_weights_were_lost_are_not_the_best_of_all():
    found = Record(made.config(), best={"epoch": 2, "val_loss": 0.5})
    found.epochs = [made.epoch(1, val_loss=0.4), made.epoch(2)]
    assert "epoch 2, the best on validation since better" in found.about()
    found.best["val_loss"] = 0.4
    assert "epoch 2, the best on validation." in found.about()


@pytest.mark.parametrize(
    ("run", "said"),
    [
        ({"best": 3}, "epoch 4, the last"),
        ({"train_on_all": True}, "none held out"),
        ({"train_on_all": True}, "epoch 4, the last"),
        ({"recipe": Recipe(ema_decay=0.9)}, "averaged weights (EMA) of epoch 4"),
        ({"unfinished": {"epoch": 5}}, "epoch 4, and part of the next"),
    ],
)
def test_a_record_says_which_weights_these_are(run, said):
    assert said in about(**run)


@pytest.mark.parametrize(
    ("architecture", "words"),
    [
        (LENET5, ""),
        (LENET5_RELU_MAX, " with ReLU and max pooling"),
        (LENET5.change("S4", mode="max"), " with max pooling"),
        (LENET5.with_hidden_activation("scaled_tanh"), " with scaled tanh"),
        (LENET5.change("F6", units=80), " with different layers"),
        (spec.LENET5_1998, ""),
        (dataclasses.replace(LENET5_RELU_MAX, name="mine"), ""),
    ],
)
def test_a_title_says_how_an_architecture_differs(architecture, words):
    assert records.title(architecture) == architecture.name + words


def test_reading_a_record_needs_neither_tensorflow_nor_pandas(record, tmp_path):
    (tmp_path / records.NAME).write_text(record.to_json(), encoding="utf-8")
    code = "import sys; from lenet5lib import records; records.read(sys.argv[1]); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not {"tensorflow", "keras", "pandas", "h5py"} & set(done.stdout.split())


def test_a_record_is_json_that_every_reader_takes(record, tmp_path):
    record.best = {"epoch": 1, "val_loss": math.nan}
    with pytest.raises(ValueError, match="JSON"):
        record.to_json()
    for word in ("NaN", "Infinity", "-Infinity"):
        text = f'{{"format": 2, "epochs": [{word}]}}'
        (tmp_path / records.NAME).write_text(text)
        with pytest.raises(RecordError, match=word):
            records.read(tmp_path)


@pytest.mark.parametrize(
    "path",
    [
        ("architecture", "layers", 0, "dilation"),
        ("architecture", "colour"),
        ("recipe", "warmup"),
        ("recipe", "distortion", "blur"),
        ("data", "licence"),
        ("device",),
    ],
)
def test_a_field_of_a_newer_version_is_named(record, path):
    recipe = dataclasses.replace(record.config.recipe, distortion=AFFINE)
    config = dataclasses.replace(record.config, recipe=recipe)
    record = dataclasses.replace(record, config=config)
    values = json.loads(record.to_json())
    place = values["config"]
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = 1
    with pytest.raises(RecordError, match=f"'{path[-1]}'"):
        records.Record.from_json(json.dumps(values), "the record")
