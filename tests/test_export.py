"""Export: what the drawing page loads is a network's own specification and weights, whole, and can be read back."""

import base64
import dataclasses
import json
import re
from pathlib import Path

import export
import made
import numpy as np
import pytest
from export import ExportError

from lenet5lib import arithmetic, models, plots, records, spec
from lenet5lib.spec import (
    LENET5,
    LENET5_32,
    LENET5_RELU_MAX,
    Architecture,
    Conv,
    Pool,
)
from lenet5lib.training import checkpoint, keras_engine
from lenet5lib.training.recipe import DEFAULT_RECIPE, Recipe

ROOT = Path(__file__).resolve().parent.parent
STATIC = ROOT / "book/_static"
ABOUT = {"dataset_name": "MNIST", "text": "three epochs"}
BOTH = pytest.mark.parametrize(
    "architecture", [LENET5, LENET5_32], ids=["28×28", "32×32"]
)


def values_of(script, name):
    """Read a script's value as a browser would: one assignment of one object, strings joined by +."""
    found = re.fullmatch(
        rf"(?://.*\n)?window\.{name} = (\{{.*\}});\n", script, re.DOTALL
    )
    return json.loads(re.sub(r'" \+\n"', "", found[1]))


def exported(architecture):
    weights = models.build(architecture, seed=2).get_weights()
    return weights, export.network_script(architecture, weights, ABOUT)


@BOTH
def test_what_is_written_can_be_read_back_bit_for_bit(architecture):
    weights, script = exported(architecture)
    found, arrays, about = export.read_script(script)
    assert (found, about) == (architecture, ABOUT)
    for mine, theirs in zip(weights, arrays, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert export.network_script(found, arrays, about) == script


@BOTH
def test_every_layer_stands_in_the_script_with_its_counts(architecture):
    values = values_of(exported(architecture)[1], "LENET5_NETWORK")
    for row, entry in zip(
        arithmetic.table(architecture), values["layers"], strict=True
    ):
        assert (entry["name"], entry["kind"]) == (row.layer, row.kind)
        assert tuple(entry["outputShape"]) == row.output_shape
        assert (entry["parameters"], entry["macs"]) == (row.params, row.macs)
    weights = base64.b64decode(values["weights"])
    assert len(weights) == 4 * sum(
        row.params for row in arithmetic.table(architecture)
    )


def test_padding_is_written_as_the_zeros_that_the_arithmetic_finds():
    layers = (
        Conv("A", filters=2, kernel_size=(5, 2), stride=(1, 2), padding="same"),
        Pool("B", size=3, stride=2, padding="same"),
        Pool("C"),
    )
    a, b, c = export.layers(Architecture("padded", (28, 27, 1), layers))
    assert a["padding"] == [[2, 2], [0, 1]]
    assert b["padding"] == [
        list(arithmetic.same_padding(28, 3, 2)),
        list(arithmetic.same_padding(14, 3, 2)),
    ]
    assert (c["window"], c["stride"], c["padding"]) == (
        [2, 2],
        [2, 2],
        [[0, 0]] * 2,
    )


def test_the_keras_model_of_a_script_has_its_weights():
    weights, script = exported(LENET5)
    for mine, theirs in zip(
        weights, export.model_of(script).get_weights(), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)


def test_weights_of_another_network_are_refused():
    weights = models.build(LENET5).get_weights()
    with pytest.raises(ExportError, match=r"61,706 .*61,182"):
        export.network_script(LENET5.change("F6", units=80), weights, ABOUT)


@pytest.mark.parametrize(
    "layer",
    [
        *(Conv("X1", 1, 1, table=((0,),)), spec.Subsample("X1")),
        *(spec.RBF("X1"), spec.Dropout("X1", 0.5)),
    ],
    ids=lambda layer: layer.kind,
)
def test_a_layer_that_the_page_cannot_compute_is_refused(layer):
    layers = (Conv("A", 1, 27), layer)
    if layer.kind in ("rbf", "dropout"):
        layers = (spec.Flatten(), spec.Dense("A", 84), layer)
    with pytest.raises(ExportError, match=f"X1 .*{layer.kind!r}"):
        export.layers(Architecture("mine", (28, 28, 1), layers))


@pytest.mark.parametrize(
    "text",
    ["", "window.LENET5_NETWORK = {};", 'window.X = {"format": 9};', "= { ;"],
)
def test_another_script_is_refused(text):
    with pytest.raises(ExportError, match=r"is not a network's script of format 1"):
        export.read_script(text)


def test_a_different_pixel_range_is_refused():
    other = dataclasses.replace(LENET5, pixel_range=(-0.1, 1.175))
    weights = models.build(LENET5).get_weights()
    with pytest.raises(ExportError, match=r"modern LeNet-5 .*\(-0\.1, 1\.175\)"):
        export.network_script(other, weights, ABOUT)


def test_the_page_knows_every_activation_of_the_specification():
    engine = (STATIC / "engine.js").read_text(encoding="utf-8")
    table = re.search(r"var ACTIVATIONS = \{(.*?)\};", engine, re.DOTALL)[1]
    known = set(re.findall(r"^  (\w+):", table, re.MULTILINE))
    assert known | {"softmax"} == set(spec.ACTIVATIONS)


def record_of(architecture=LENET5, recipe=DEFAULT_RECIPE, **data):
    """Return a record of four epochs, the last of which is the best, on 50 images."""
    config = made.config(5, recipe, architecture, **data)
    epochs = [made.epoch(n + 1) for n in range(4)]
    best = {"epoch": 4, "val_loss": 0.5}
    return records.Record(config, epochs=epochs, best=best)


def save(folder, name, record):
    """Save weights with their record in a run folder, as training leaves them at its end; return the model."""
    folder.mkdir(parents=True, exist_ok=True)
    model = models.build(record.config.architecture, seed=5)
    checkpoint.write(checkpoint.keras_contents(model), record, folder / name)
    (folder / records.NAME).write_text(record.to_json(), encoding="utf-8")
    return model


def test_a_checkpoint_is_exported_with_its_origin(tmp_path):
    model = save(tmp_path, checkpoint.BEST, record_of())
    architecture, weights, about = export.from_checkpoint(
        tmp_path / checkpoint.BEST
    )
    assert architecture == LENET5
    text = record_of().about()
    assert about == {"dataset_name": "the file small.npz", "text": text}
    for mine, theirs in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("with_optimizer", [True, False])
def test_averaged_weights_are_exported_whether_the_optimizer_is_saved_or_not(
    tmp_path, with_optimizer
):
    """With its optimizer a checkpoint holds the weights and their average, without it the average alone."""
    recipe = Recipe(ema_decay=0.5)
    record = record_of(LENET5_RELU_MAX, recipe, train_on_all=True)
    model = models.build(LENET5_RELU_MAX, seed=5)
    first = model.get_weights()
    keras_engine.compile_model(model, recipe)
    for _ in range(2):  # After one step the average is that step's weights.
        model.optimizer.apply([np.ones_like(w) for w in first])
    moved = model.get_weights()
    path = tmp_path / checkpoint.LAST
    if not with_optimizer:
        keras_engine.use_ema_weights(model)
    contents = checkpoint.keras_contents(model, with_optimizer)
    checkpoint.write(contents, record, path)
    architecture, weights, about = export.from_checkpoint(path)
    assert architecture == LENET5_RELU_MAX
    assert "averaged weights (EMA) of epoch 4, the last" in about["text"]
    keras_engine.use_ema_weights(model)
    for mine, average, own in zip(weights, model.get_weights(), moved, strict=True):
        np.testing.assert_array_equal(mine, average)
        assert (average != own).all()


def test_the_books_network_is_what_the_exporter_writes_and_was_trained_on_mnist():
    committed = (STATIC / "network.js").read_text(encoding="utf-8")
    architecture, weights, about = export.read_script(committed)
    assert export.network_script(architecture, weights, about) == committed
    assert architecture in (LENET5, LENET5_RELU_MAX)
    assert about["dataset_name"] == "MNIST"
    path = records.weights()
    assert export.network_script(*export.from_checkpoint(path)) == committed
    experiment = path.relative_to(records.RECORDED).parts[0]
    assert about["chapter"] == export.CHAPTERS[experiment]


def test_the_drawing_page_is_small():
    files = [*STATIC.glob("*.js"), *STATIC.glob("*.css")]
    assert sum(path.stat().st_size for path in files) < 500_000


def test_the_samples_are_the_books_first_kernels():
    values = values_of(
        (STATIC / "samples.js").read_text(encoding="utf-8"), "LENET5_SAMPLES"
    )
    _, weights, _ = export.read_script(
        (STATIC / "network.js").read_text(encoding="utf-8")
    )
    kernels = np.frombuffer(base64.b64decode(values["kernels"]), "<f4")
    np.testing.assert_array_equal(
        kernels.reshape(values["kernelShape"]), weights[0]
    )
    biases = np.frombuffer(base64.b64decode(values["biases"]), "<f4")
    np.testing.assert_array_equal(biases, weights[1])


def test_colours_of_the_pages_are_those_of_the_figures():
    style = (ROOT / "book/_ext/book.css").read_text(encoding="utf-8")
    for selector, colours in ((":root", plots.COLOURS), ('html[data-theme="dark"]', plots.DARK_COLOURS)):  # fmt: skip
        rule = re.search(rf"^{re.escape(selector)} \{{ (--kind-input.*?) \}}", style, re.MULTILINE)[1]  # fmt: skip
        found = dict(re.findall(r"--kind-(\w+): (#\w{6})", rule))
        assert found == {kind: colours[kind] for kind in found}
        assert {"convolution", "pooling", "dense", "input"} <= set(found)
