"""The block form: the same outputs, gradients and checkpoints as the plain form, on random shapes too."""

import dataclasses
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import small
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from lenet5lib import arithmetic, blocks, data, models, training
from lenet5lib.checkpoint import LAST
from lenet5lib.spec import (
    LENET5,
    LENET5_32,
    LENET5_1998,
    RBF,
    Architecture,
    Conv,
    Dense,
    Dropout,
    Flatten,
    Pool,
)

RELU_MAX = (
    LENET5.with_hidden_activation("relu")
    .change("S2", mode="max")
    .change("S4", mode="max")
)


BOTH = ("plain", "blocks")


def both(architecture, count=6, compiled=False):
    """Return (outputs, gradients) of the plain form and of the block form, on the same random images."""
    model = models.build(architecture, seed=1)
    rng = np.random.default_rng(0)
    shape = (count, *architecture.input_shape[:2])
    images = rng.integers(0, 256, shape).astype(np.uint8)
    found = []
    for name in BOTH:
        form = blocks.choose(model, architecture, name)

        def compute(arranged, form=form):
            with tf.GradientTape() as tape:
                outputs = form(arranged)
                scale = np.arange(1, outputs.shape[1] + 1, dtype="f4")
                loss = tf.reduce_mean(outputs**2 * scale)
            return outputs, tape.gradient(loss, model.trainable_variables)

        if compiled:
            compute = form.compile(compute)
        found.append(compute(tf.constant(form.arrange(images))))
    return found


def assert_equal(architecture, **options):
    (outputs, gradients), (other_outputs, other_gradients) = both(
        architecture, **options
    )
    np.testing.assert_allclose(outputs, other_outputs, rtol=0, atol=1e-6)
    for one, other in zip(gradients, other_gradients, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "architecture",
    [
        LENET5,
        LENET5_32,
        RELU_MAX,
        LENET5.change("C1", padding="valid"),
        LENET5.change("C3", padding="same"),
        LENET5.change("C1", kernel_size=(3, 7)).change("S2", size=(1, 2)),
        dataclasses.replace(LENET5_32, scale=(-0.1, 1.175)),
        LENET5_32.with_hidden_activation("scaled_tanh"),
    ],
)
def test_outputs_and_gradients_equal_the_plain_form(architecture):
    assert_equal(architecture)


@pytest.mark.parametrize("architecture", [LENET5, LENET5_32, RELU_MAX])
def test_what_xla_compiles_equals_the_plain_form(architecture):
    assert_equal(architecture, compiled=True)


@pytest.mark.parametrize("mode", ["average", "max"])
def test_equal_values_in_a_window_get_the_gradient_that_tensorflow_gives(mode):
    # Pixels of 0 and 1 under a kernel of one cell: many windows hold their largest value more than once.
    architecture = Architecture(
        "ties",
        (8, 8, 1),
        (
            Conv("C1", maps=1, kernel_size=1),
            Pool("S1", mode),
            Conv("C2", maps=2, kernel_size=3),
            Pool("S2", mode),
            Flatten(),
            Dense("Output", 3),
        ),
    )
    model = models.build(architecture, seed=1)
    images = np.random.default_rng(0).integers(0, 2, (5, 8, 8)).astype(np.uint8)
    found = []
    for name in BOTH:
        form = blocks.choose(model, architecture, name)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(form(form.arrange(images * 255)) ** 2)
        found.append(tape.gradient(loss, model.trainable_variables))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


@st.composite
def architectures(draw):
    """Draw a network of one to three convolutions, each with a pooling, that always fits its input."""
    input_shape = (draw(st.integers(8, 24)), draw(st.integers(8, 24)), 1)
    layers, shape = [], input_shape
    for n in range(draw(st.integers(1, 3))):
        kernel_size = tuple(
            draw(st.integers(1, min(5, side))) for side in shape[:2]
        )
        conv = Conv(
            f"C{n}",
            maps=draw(st.integers(1, 4)),
            kernel_size=kernel_size,
            padding=draw(st.sampled_from(["valid", "same"])),
            activation=draw(st.sampled_from(["sigmoid", "tanh", "relu"])),
        )
        shape = arithmetic.output_shape(conv, shape)
        size = tuple(draw(st.integers(1, min(3, side))) for side in shape[:2])
        pool = Pool(f"S{n}", draw(st.sampled_from(["average", "max"])), size)
        shape = arithmetic.output_shape(pool, shape)
        layers += [conv, pool]
    dense = Dense("Output", 5, activation="softmax")
    return Architecture("random", input_shape, (*layers, Flatten(), dense))


SERVED = []


@settings(max_examples=60, derandomize=True, deadline=None, database=None)
@given(architectures())
def compare_random(architecture):
    keras.utils.clear_session()
    try:
        blocks.plan(architecture)
    except blocks.BlockError:
        return
    SERVED.append(architecture)
    assert_equal(architecture)


def test_random_networks_equal_the_plain_form():
    compare_random()
    assert len(SERVED) >= 30


def test_the_articles_network_is_seven_by_seven_blocks_of_four():
    sides = [stage.sides[0] for stage in blocks.plan(LENET5)]
    assert [(side.blocks, side.taps, side.block) for side in sides] == [
        (7, 2, 4),
        (5, 3, 2),
    ]


@pytest.mark.parametrize(
    ("architecture", "text"),
    [
        (LENET5.change("C1", stride=2), "C1 has stride 2; blocks need stride 1."),
        (
            LENET5.change("C3", activation="softmax"),
            "C3 has softmax over its maps, which blocks keep apart.",
        ),
        (
            LENET5.change("S2", stride=1),
            "S2 has windows that overlap or are padded",
        ),
        (
            Architecture("flat", (8, 8, 1), (Flatten(), Dense("Output", 10))),
            "flat has no pooling after a convolution",
        ),
        (
            Architecture(
                "pool", (8, 8, 1), (Pool("S1"), Flatten(), Dense("O", 10))
            ),
            "S1 does not follow a convolution",
        ),
        (
            LENET5_1998,
            "S2 is a subsampling layer before the Flatten, which blocks do not know.",
        ),
        (
            LENET5.change("C3", table=LENET5_1998["C3"].table),
            "C3 has a connection table, which blocks do not know.",
        ),
        (
            Architecture(
                "drop",
                (8, 8, 1),
                (Conv("C1", 2, 3), Dropout("D", 0.1), Pool("S1"), Flatten()),
            ),
            "D is a dropout layer before the Flatten, which blocks do not know.",
        ),
        (
            dataclasses.replace(LENET5, scale=(-0.1, 1.175)),
            "C1 pads with zeros, but background is -0.1; blocks cannot tell them apart.",
        ),
    ],
)
def test_what_blocks_cannot_serve_is_refused_by_name(architecture, text):
    with pytest.raises(blocks.BlockError) as caught:
        blocks.plan(architecture)
    assert text in str(caught.value)
    assert str(caught.value).endswith("Use the plain form.")


def test_auto_is_blocks_where_they_serve_and_plain_elsewhere(monkeypatch):
    strided = LENET5.change("C1", stride=2)
    for architecture, expected in ((LENET5, "blocks"), (strided, "plain")):
        form = blocks.choose(models.build(architecture), architecture, "auto")
        assert form.name == expected
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    assert blocks.choose(models.build(LENET5), LENET5, "auto").name == "plain"


@pytest.mark.parametrize(
    ("digits", "works", "expected"),
    [(20_000, True, "blocks"), (19_999, True, "plain"), (60_000, False, "plain")],
)
def test_auto_trains_on_blocks_from_20_000_digits_where_xla_works(
    monkeypatch, digits, works, expected
):
    monkeypatch.setattr(blocks, "compiles", lambda: works)
    model = models.build(LENET5)
    said = []
    form = training._form(model, LENET5, "auto", digits, said.append)
    assert (form.name, said) == (expected, [])


def test_auto_says_why_a_network_is_trained_in_the_plain_form():
    strided, said = LENET5.change("C1", stride=2), []
    model = models.build(strided)
    form = training._form(model, strided, "auto", 20_000, said.append)
    assert form.name == "plain"
    assert said == [
        "Notice: C1 has stride 2; blocks need stride 1. It is trained in the plain form, which is slower."
    ]


def test_blocks_without_xla_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "compiles", lambda: False)
    with pytest.raises(
        training.RunError, match=r"XLA, TensorFlow's compiler, does"
    ):
        training.train(LENET5, small.splits(), tmp_path, epochs=1, form="blocks")


def test_xla_works_here_and_says_nothing():
    code = "from lenet5lib import blocks; print(blocks.compiles())"
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "True\n"
    assert "XLA" not in done.stderr


def test_predictions_are_computed_on_blocks_and_equal_those_of_keras():
    model = models.build(LENET5)
    images = np.random.default_rng(0).integers(0, 256, (23, 28, 28), np.uint8)
    plain = model(data.prepare(images))
    np.testing.assert_allclose(
        models.predict(model, images, batch_size=10), plain, rtol=0, atol=1e-6
    )


def test_dropout_and_rbf_after_the_flatten_are_computed_on_blocks_too():
    before, after = LENET5_32.layers[:-1], (Dropout("D", 0.4), RBF("Output"))
    architecture = Architecture("both", (32, 32, 1), (*before, *after))
    model = models.build(architecture, seed=1)
    images = np.random.default_rng(0).integers(0, 256, (6, 28, 28), np.uint8)
    model.get_layer("D").step.assign(9)
    found = []
    for name in BOTH:
        form = blocks.choose(model, architecture, name)
        compute = form.compile(lambda x, form=form: form(x, training=True))
        found.append(compute(tf.constant(form.arrange(images))).numpy())
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)
    assert not np.allclose(found[0], form(form.arrange(images)), rtol=1e-3)


def test_many_models_predict_without_a_warning(capfd):
    images = np.zeros((3, 28, 28), np.uint8)
    for _ in range(8):
        form = blocks.PlainForm(models.build(LENET5))
        form.predict(form.arrange(images))
    assert "WARNING" not in "".join(capfd.readouterr())


def test_an_unknown_form_is_refused():
    with pytest.raises(
        ValueError, match="form is 'fast'; expected one of auto, pl"
    ):
        blocks.choose(models.build(LENET5), LENET5, "fast")


def test_a_checkpoint_of_one_form_goes_on_in_the_other(tmp_path):
    options = {"splits": small.splits(), "report": None}
    for first, then in (("plain", "blocks"), ("blocks", "plain")):
        folder = tmp_path / first
        training.train(RELU_MAX, run_dir=folder, epochs=1, form=first, **options)
        run = training.train(
            RELU_MAX, run_dir=folder, epochs=2, form=then, **options
        )
        assert [session["form"] for session in run.record.sessions] == [first, then]
        model = models.build(RELU_MAX)
        model.load_weights(folder / LAST)


def test_the_loss_curves_agree_to_four_decimals_over_three_epochs(tmp_path):
    curves = [
        training.train(
            LENET5,
            small.splits(),
            tmp_path / form,
            epochs=3,
            form=form,
            report=None,
        ).record
        for form in BOTH
    ]
    for metric in ("loss", "val_loss"):
        one, other = (record.column(metric) for record in curves)
        np.testing.assert_allclose(one, other, rtol=0, atol=5e-5)


def test_a_resumed_block_run_is_exact(tmp_path):
    options = {"splits": small.splits(), "report": None, "form": "blocks"}
    training.train(RELU_MAX, run_dir=tmp_path / "whole", epochs=3, **options)
    training.train(RELU_MAX, run_dir=tmp_path / "parts", epochs=1, **options)
    training.train(RELU_MAX, run_dir=tmp_path / "parts", epochs=3, **options)
    small.assert_same_run(tmp_path / "parts", tmp_path / "whole")
