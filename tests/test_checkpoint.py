"""Checkpoints: what is saved comes back bit for bit, Keras itself reads it, and damage is found before it is used."""

import errno
import os
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import small

from lenet5lib import files, models, records
from lenet5lib.spec import LENET5, LENET5_32, Architecture, Conv, Dense
from lenet5lib.training import checkpoint, keras_engine, loop
from lenet5lib.training.checkpoint import BEST, LAST, CheckpointError
from lenet5lib.training.recipe import DEFAULT_RECIPE, Recipe


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> loop.Run:
    """A run of two epochs; tests leave its folder as it is."""
    folder = tmp_path_factory.mktemp("checkpoint") / "run"
    return loop.train(LENET5, small.splits(), folder, epochs=2, report=None)


@pytest.fixture
def copy(run, tmp_path) -> Path:
    """A copy of the run's last checkpoint, to be damaged."""
    path = tmp_path / LAST
    path.write_bytes((run.run_dir / LAST).read_bytes())
    return path


def values(variables) -> list[bytes]:
    return [np.asarray(variable).tobytes() for variable in variables]


def refusal(path: Path) -> str:
    """Return what reading a checkpoint is refused with; the file must stay as it is, loading must be refused too."""
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(CheckpointError) as refused:
        checkpoint.read_record(path)
    model = models.build(LENET5, seed=9)
    fresh = values(model.weights)
    with pytest.raises(CheckpointError) as refused_again:
        checkpoint.restore(model, path)
    assert str(refused.value) == str(refused_again.value)
    assert values(model.weights) == fresh
    assert before is None or path.read_bytes() == before
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_load_restores_weights_optimizer_and_record(run):
    model = models.build(LENET5, seed=7)
    model.compile(keras.optimizers.Adam(0.5), "sparse_categorical_crossentropy")
    assert values(model.weights) != values(run.model.weights)
    record = checkpoint.restore(model, run.run_dir / LAST)
    assert values(model.weights) == values(run.model.weights)
    assert values(model.optimizer.variables) == values(
        run.model.optimizer.variables
    )
    assert int(model.optimizer.iterations) == 2 * 18
    assert record == run.record


def test_load_into_a_model_that_is_not_compiled_restores_the_weights(run):
    model = models.build(LENET5, seed=7)
    checkpoint.restore(model, run.run_dir / LAST)
    assert values(model.weights) == values(run.model.weights)


def test_keras_itself_loads_the_checkpoint(run):
    model = models.build(LENET5, seed=7)
    model.load_weights(run.run_dir / LAST)
    assert values(model.weights) == values(run.model.weights)
    compiled = models.build(LENET5, seed=7)
    compiled.compile(keras.optimizers.Adam(0.5), "sparse_categorical_crossentropy")
    compiled.optimizer.build(compiled.trainable_variables)
    compiled.load_weights(run.run_dir / LAST)
    assert values(compiled.optimizer.variables) == values(
        run.model.optimizer.variables
    )


def test_the_file_holds_what_keras_would_save(run, tmp_path):
    run.model.save_weights(tmp_path / "keras.weights.h5")
    assert small.arrays(run.run_dir / LAST) == small.arrays(
        tmp_path / "keras.weights.h5"
    )


def test_best_weights_hold_no_optimizer(run):
    names = {name.split("/")[0] for name in small.arrays(run.run_dir / BEST)}
    assert names == {"layers"}
    assert (run.run_dir / BEST).stat().st_size < (
        run.run_dir / LAST
    ).stat().st_size / 2
    assert run.model.optimizer is not None, (
        "saving the best weights must leave the model compiled"
    )


def test_saving_again_replaces_the_file_and_leaves_no_other(run, tmp_path):
    for seed in (1, 2):
        model = models.build(LENET5, seed)
        small.save(model, run.record, tmp_path / LAST)
        loaded = models.build(LENET5, seed=7)
        checkpoint.restore(loaded, tmp_path / LAST)
        assert values(loaded.weights) == values(model.weights)
    assert small.leftovers(tmp_path) == set()


def test_a_long_record_and_letters_of_all_alphabets_come_back(run, tmp_path):
    steps = [[step, 1 / step] for step in range(1, 40_000)]
    record = records.Record(run.record.config, "Größe 28×28, цифра 5, 数字")
    record.epochs.append(run.record.epochs[0] | {"steps": steps})
    assert len(record.to_json()) > 1_000_000
    small.save(run.model, record, tmp_path / LAST)
    assert checkpoint.read_record(tmp_path / LAST) == record


@pytest.mark.parametrize(
    "what",
    [
        "layers/conv2d/vars/0",
        "layers/dense/vars/0",
        "optimizer/vars/1",
        "record",
        "checksum",
    ],
)
def test_one_flipped_bit_is_found(copy, what):
    contents = bytearray(copy.read_bytes())
    if what == "record":
        position = contents.index(b'"kernel_size"') + 3
    elif what == "checksum":
        position = len(contents) - 5
    else:
        with h5py.File(copy, "r") as file:
            position = file[what].id.get_offset() + 1
    contents[position] ^= 1
    copy.write_bytes(contents)
    text = refusal(copy)
    assert str(copy) in text
    assert "is damaged: its contents have checksum" in text
    assert "expected" in text
    assert "restore it from a copy" in text


def test_a_flipped_bit_anywhere_is_found(copy):
    contents = copy.read_bytes()
    for position in np.random.default_rng(0).integers(len(contents), size=100):
        damaged = bytearray(contents)
        damaged[position] ^= 1 << int(position % 8)
        copy.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="is damaged"):
            checkpoint.read_record(copy)


@pytest.mark.parametrize(
    "share", [0, 1e-5, 1e-4, 0.001, 0.01, 0.1, 0.3, 0.6, 0.9, 0.999999]
)
def test_a_file_cut_short_is_refused(copy, share):
    contents = copy.read_bytes()
    copy.write_bytes(contents[: int(share * len(contents))])
    text = refusal(copy)
    assert (
        f"{int(share * len(contents)):,} bytes, expected a checksum at the end; it was cut short"
        in text
    )
    assert "It is left as it is" in text


def test_a_file_with_something_behind_its_end_is_refused(copy):
    copy.write_bytes(copy.read_bytes() + b"\n")
    assert "is damaged" in refusal(copy)


def test_a_missing_file_is_named(tmp_path):
    text = refusal(tmp_path / "nowhere" / LAST)
    assert f"no checkpoint at {tmp_path / 'nowhere' / LAST}" in text
    assert "Name the folder of a run" in text


def test_a_folder_in_its_place_is_refused(tmp_path):
    (tmp_path / LAST).mkdir()
    assert (
        f"cannot read the checkpoint {tmp_path / LAST}: Is a directory"
        in refusal(tmp_path / LAST)
    )


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "foreign.weights.h5"
    with h5py.File(path, "w") as file:
        file["temperatures"] = np.arange(5)
    assert "another program wrote it" in refusal(path)
    path.write_text("not HDF5 at all")
    assert "another program wrote it" in refusal(path)
    path.unlink()
    models.build(LENET5).save_weights(path)
    assert "another program wrote it" in refusal(path)


@pytest.mark.parametrize(
    ("architecture", "named"),
    [
        (
            LENET5.change("C3", filters=8),
            "C3: derived 10×10×16 and 2,416 parameters, built 10×10×8 and 1,208 parameters",
        ),
        (
            LENET5.change("F6", units=90),
            "F6: derived 84 and 10,164 parameters, built",
        ),
        (LENET5_32, "C5: derived 120, built 1×1×120"),
        (
            Architecture(
                "short", (28, 28, 1), (*LENET5.layers[:-2], Dense("Output", 10))
            ),
            "F6: derived 84 and 10,164 parameters, built nothing",
        ),
        (
            Architecture("long", (28, 28, 1), (Conv("C0", 1, 1), *LENET5.layers)),
            "C0: derived nothing, built 28×28×1",
        ),
    ],
)
def test_weights_of_another_architecture_are_refused(copy, architecture, named):
    contents = copy.read_bytes()
    model = models.build(architecture)
    fresh = values(model.weights)
    with pytest.raises(CheckpointError) as refused:
        checkpoint.restore(model, copy)
    assert f"{copy} does not fit: the model is not {LENET5.name}" in str(
        refused.value
    )
    assert named in str(refused.value)
    assert values(model.weights) == fresh
    assert copy.read_bytes() == contents


def test_best_weights_do_not_restore_an_optimizer(run):
    with pytest.raises(CheckpointError, match="does not fit"):
        checkpoint.restore(
            keras_engine.compile_model(models.build(LENET5), DEFAULT_RECIPE),
            run.run_dir / BEST,
        )


def test_a_save_that_fails_leaves_the_earlier_checkpoint(run, copy, monkeypatch):
    contents = copy.read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(CheckpointError) as refused:
        small.save(models.build(LENET5, seed=3), run.record, copy)
    assert f"could not save {copy}: No space left on device." in str(refused.value)
    assert "What was saved before is whole. Free space" in str(refused.value)
    assert copy.read_bytes() == contents
    assert small.leftovers(copy.parent) == set()


def test_a_save_into_a_missing_folder_says_so(run, tmp_path):
    with pytest.raises(CheckpointError, match="No such file or directory"):
        small.save(run.model, run.record, tmp_path / "nowhere" / LAST)


def test_compare_counts_the_numbers_that_differ(run, tmp_path):
    same = checkpoint.compare(run.run_dir / LAST, run.run_dir / LAST)
    assert same["differing"].to_list() == [0, 0]
    assert same["numbers"].to_list() == [61_706, 2 * 61_706 + 2]
    model = keras_engine.compile_model(models.build(LENET5), DEFAULT_RECIPE)
    checkpoint.restore(model, run.run_dir / LAST)
    bias = model.get_layer("C1").bias
    bias.assign(np.nextafter(np.asarray(bias), np.float32(9)))
    small.save(model, run.record, tmp_path / LAST)
    assert checkpoint.compare(run.run_dir / LAST, tmp_path / LAST)[
        "differing"
    ].to_list() == [6, 0]


def test_contents_counts_arrays_and_numbers(run):
    assert checkpoint.contents(run.run_dir / LAST)["numbers"].to_list() == [
        61_706,
        2 * 61_706 + 2,
    ]
    assert checkpoint.contents(run.run_dir / BEST)["arrays"].to_list() == [10, 0]


def test_a_model_without_an_optimizer_is_saved_without(run, tmp_path):
    path = tmp_path / "plain.weights.h5"
    small.save(models.build(LENET5), run.record, path)
    assert checkpoint.contents(path)["arrays"].to_list() == [10, 0]


def test_an_average_is_saved_with_the_optimizer_and_only_there(run, tmp_path):
    model = models.build(LENET5, seed=3)
    keras_engine.compile_model(model, Recipe(ema_decay=0.5))
    averages = model.optimizer._model_variables_moving_average
    for n, average in enumerate(averages):
        average.assign(np.full(average.shape, n + 0.1))
    small.save(model, run.record, tmp_path / LAST)
    numbers = checkpoint.contents(tmp_path / LAST)["numbers"]
    assert numbers.to_list() == [61_706, 3 * 61_706 + 2]
    again = models.build(LENET5, seed=4)
    checkpoint.restore(
        keras_engine.compile_model(again, Recipe(ema_decay=0.5)),
        tmp_path / LAST,
    )
    assert values(again.optimizer.variables) == values(model.optimizer.variables)
    assert values(again.weights) == values(model.weights) != values(averages)
    small.save(model, run.record, tmp_path / BEST, with_optimizer=False)
    assert checkpoint.contents(tmp_path / BEST)["arrays"].to_list() == [10, 0]
