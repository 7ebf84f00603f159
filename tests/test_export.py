"""Export: what the drawing page loads is a network's own specification and weights, whole, and can be read back."""

import base64
import dataclasses
import json
import re
from pathlib import Path

import export
import numpy as np
import pytest
from export import ExportError

from lenet5lib import arithmetic, data, models, plots, records, spec
from lenet5lib.lenet1998 import optimizer as lenet1998_optimizer
from lenet5lib.spec import LENET5, LENET5_32, Architecture, Conv, Pool
from lenet5lib.studies import ablation
from lenet5lib.training import checkpoint, keras_engine
from lenet5lib.training.recipe import Recipe

ROOT = Path(__file__).resolve().parent.parent
STATIC = ROOT / "book/_static"
ABOUT = {"source": "MNIST", "epoch": 3, "seed": 0}
TODAYS = (
    LENET5.with_hidden_activation("relu")
    .change("S2", mode="max")
    .change("S4", mode="max")
)
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
    with pytest.raises(ExportError) as caught:
        export.network_script(LENET5.change("F6", units=80), weights, ABOUT)
    assert str(caught.value) == (
        "there are 61,706 weights for modern LeNet-5 (28×28); expected 61,182. Export the weights of this "
        "network."
    )


def test_a_layer_that_the_page_cannot_compute_is_refused(monkeypatch):
    @dataclasses.dataclass(frozen=True)
    class Other:
        name: str = "X1"
        kind: str = "gaussian"

    row = arithmetic.table(LENET5)[0]
    monkeypatch.setattr(arithmetic, "table", lambda architecture: [row])
    monkeypatch.setattr(
        arithmetic, "walk", lambda architecture: [(Other(), (28, 28, 1), (10,))]
    )
    with pytest.raises(ExportError) as caught:
        export.layers(LENET5)
    assert str(caught.value) == (
        "X1 is of the kind 'gaussian'; expected convolution, pooling, flatten or dense. The drawing page computes no "
        "other; export another network."
    )


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


def record_of(architecture=LENET5, epochs=4, best=4, whole=False, **config):
    """Return a record of so many epochs on 50 digits with seed 5."""
    made = {
        "architecture": architecture.to_dict(),
        "seed": 5,
        "data": {
            "source": "the file small.npz",
            "training digits": 50,
            "validation digits": 10,
        },
    }
    if whole:
        made["data"]["all digits"] = True
    lines = [
        dict.fromkeys(("epoch", *records.METRICS), n + 1) for n in range(epochs)
    ]
    found = {"epoch": best, "val_loss": 0.5}
    return records.Record(made | config, lines, best=found)


def save(folder, name, record):
    """Save weights with their record in a run folder, as training leaves them at its end; return the model."""
    folder.mkdir(parents=True, exist_ok=True)
    architecture = Architecture.from_dict(record.config["architecture"])
    model = models.build(architecture, seed=5)
    checkpoint.save(model, record, folder / name)
    (folder / records.NAME).write_text(record.to_json(), encoding="utf-8")
    return model


def test_a_checkpoint_is_exported_with_its_origin(tmp_path):
    model = save(tmp_path, checkpoint.BEST, record_of())
    architecture, weights, about = export.from_checkpoint(
        tmp_path / checkpoint.BEST
    )
    assert architecture == LENET5
    assert about == {
        "source": "the file small.npz",
        "epoch": 4,
        "seed": 5,
        "text": "modern LeNet-5 (28×28). Trained on the file small.npz (50 digits, 10 held out) with seed 5; "
        "these are the weights of epoch 4, the best on validation.",
    }
    for mine, theirs in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (
            record_of(best=3),
            "(50 digits, 10 held out) with seed 5; these are the weights of epoch 4, the last.",
        ),
        (
            record_of(whole=True),
            "(50 digits, none held out) with seed 5; these are the weights of epoch 4, the last.",
        ),
        (
            record_of(whole=True, ema_decay=0.9),
            "(50 digits, none held out) with seed 5; these are the averaged weights of epoch 4, the last.",
        ),
        (
            dataclasses.replace(record_of(), partial={"epoch": 5}),
            "these are the weights of epoch 4 and a part of the next.",
        ),
    ],
)
def test_it_is_said_which_weights_these_are(tmp_path, record, said):
    save(tmp_path, checkpoint.LAST, record)
    assert export.about(tmp_path / checkpoint.LAST)["text"].endswith(said)


@pytest.mark.parametrize(
    ("architecture", "title"),
    [
        (LENET5, LENET5.name),
        (TODAYS, f"{LENET5.name}, but with ReLU and max pooling"),
        (LENET5.change("S4", mode="max"), f"{LENET5.name}, but with max pooling"),
        (
            LENET5.with_hidden_activation("scaled_tanh"),
            f"{LENET5.name}, but with scaled tanh",
        ),
        (
            LENET5.change("F6", units=80),
            f"{LENET5.name}, but with layers of other sizes",
        ),
        (spec.LENET5_1998, spec.LENET5_1998.name),
        (dataclasses.replace(TODAYS, name="mine"), "mine"),
    ],
)
def test_an_architecture_is_called_by_what_it_has(architecture, title):
    assert export.title(architecture) == title


@pytest.mark.parametrize("with_optimizer", [True, False])
def test_averaged_weights_are_exported_whether_the_optimizer_is_saved_or_not(
    tmp_path, with_optimizer
):
    """With its optimizer a checkpoint holds the weights and their average, without it the average alone."""
    recipe = Recipe(ema_decay=0.5)
    record = record_of(TODAYS, whole=True, **recipe.to_dict())
    model = models.build(TODAYS, seed=5)
    first = model.get_weights()
    keras_engine.compile_model(model, recipe)
    for _ in range(2):  # After one step the average is that step's weights.
        model.optimizer.apply([np.ones_like(w) for w in first])
    moved = model.get_weights()
    path = tmp_path / checkpoint.LAST
    if not with_optimizer:
        keras_engine.use_ema_weights(model)
    checkpoint.save(model, record, path, with_optimizer)
    architecture, weights, about = export.from_checkpoint(path)
    assert architecture == TODAYS
    assert "averaged weights of epoch 4, the last" in about["text"]
    keras_engine.use_ema_weights(model)
    for mine, average, own in zip(weights, model.get_weights(), moved, strict=True):
        np.testing.assert_array_equal(mine, average)
        assert (average != own).all()


def test_the_books_network_is_what_the_exporter_writes_and_was_trained_on_mnist():
    committed = (STATIC / "network.js").read_text(encoding="utf-8")
    architecture, weights, about = export.read_script(committed)
    assert export.network_script(architecture, weights, about) == committed
    assert architecture in (LENET5, TODAYS)
    assert about["source"] == "MNIST"
    recorded = export.recorded()
    assert export.network_script(*export.from_checkpoint(recorded)) == committed
    experiment = recorded.relative_to(records.RECORDED).parts[0]
    assert about["chapter"] == export.CHAPTERS[experiment]


def test_one_network_of_chapter_13_is_recorded_and_it_is_the_one_that_is_used():
    experiment = export.BEST_RUN.split("/")[0]
    weights = [*(records.RECORDED / experiment).rglob("*.weights.h5")]
    assert weights == [export.recorded()]
    assert weights[0].parent.name == "seed-0"
    assert weights[0].parent.parent.name == ablation.FINAL.name


def test_of_the_best_run_the_weights_that_its_record_asks_for_are_used(tmp_path):
    best, record = tmp_path / export.BEST_RUN, record_of(TODAYS, 3, whole=True)
    best.mkdir(parents=True)
    (best / records.NAME).write_text(record.to_json(), encoding="utf-8")
    for name in (best.name, "seed-1"):
        save(best.with_name(name), checkpoint.BEST, record)
    with pytest.raises(ExportError, match="there are no weights in"):
        export.recorded(
            tmp_path
        )  # All digits were trained on: none was held out to say which is best.
    save(best, checkpoint.LAST, record)
    assert export.recorded(tmp_path) == best / checkpoint.LAST


def test_where_no_weights_are_recorded_one_is_told_to_name_some(tmp_path):
    with pytest.raises(ExportError) as caught:
        export.recorded(tmp_path)
    assert str(caught.value) == (
        f"there are no weights in {tmp_path / export.BEST_RUN}; expected a weights file beside its record. Name a run: "
        "predict --run-dir runs/mine, make draw WEIGHTS=runs/mine/best.weights.h5"
    )


def test_the_drawing_page_is_small():
    files = [*STATIC.glob("*.js"), *STATIC.glob("*.css")]
    assert sum(path.stat().st_size for path in files) < 500_000


def test_the_samples_are_the_stand_ins_and_the_books_first_kernels():
    values = values_of(
        (STATIC / "samples.js").read_text(encoding="utf-8"), "LENET5_SAMPLES"
    )
    assert values["source"] == data.STAND_IN
    assert values["labels"] == list(range(10))
    images = np.frombuffer(base64.b64decode(values["images"]), np.uint8)
    test = data.stand_in().test
    for label, image in enumerate(images.reshape(10, 28, 28)):
        first = test.images[np.flatnonzero(test.labels == label)[0]]
        assert np.abs(image.astype(int) - first).max() <= 1
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
