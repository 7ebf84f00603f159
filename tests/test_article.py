"""What current Keras makes of the article's script: every message that the appendix prints is provoked here."""

import inspect
import math
import os
import re
import warnings
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from lenet5lib import data, models
from lenet5lib.data import Digits, Splits
from lenet5lib.studies import article
from lenet5lib.studies.article import ArticleLeNet5, ArticleModel
from lenet5lib.training import checkpoint

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "book/from_tensorflow_2_4.md").read_text(encoding="utf-8")
LINES = re.findall(r"```python\n(.+?)```", PAGE, re.DOTALL)
MESSAGES = re.findall(r"```text\n(\w+): (.+)\n```", PAGE)


def some_digits(count):
    rng = np.random.default_rng(count)
    images = rng.integers(0, 256, (count, 28, 28)).astype(np.uint8)
    return Digits(images, (np.arange(count) % 10).astype(np.uint8))


def printed(start):
    """Return the one message on the page that begins so."""
    found = [text for _, text in MESSAGES if text.startswith(start)]
    assert len(found) == 1
    return found[0]


def test_page_prints_four_messages():
    assert [kind for kind, _ in MESSAGES] == [
        "ValueError",
        "ValueError",
        "ValueError",
        "UserWarning",
    ]


def test_checkpoint_name_is_refused():
    with pytest.raises(ValueError, match="must end in") as caught:
        article.keep_best(article.FORMER_NAME)
    assert str(caught.value) == printed("When using `save_weights_only=True`")


def test_old_format_is_refused():
    model = ArticleLeNet5()
    model.build((None, 28, 28, 1))
    with pytest.raises(ValueError, match="not supported") as caught:
        model.load_weights(article.FORMER_NAME)
    assert str(caught.value) == printed("File format not supported")


def test_loading_before_building_is_refused(tmp_path):
    built = ArticleLeNet5()
    built.build((None, 28, 28, 1))
    built.save_weights(tmp_path / "a.weights.h5")
    with pytest.raises(ValueError, match="not yet been built") as caught:
        ArticleModel().load_weights(tmp_path / "a.weights.h5")
    assert str(caught.value) == printed("You are loading weights into a model")


def test_optimizer_is_left_behind_with_a_warning(tmp_path):
    splits = Splits(some_digits(64), some_digits(20), some_digits(20), "random")
    article.fit(splits, tmp_path / "a.weights.h5", epochs=1)
    model = ArticleLeNet5()
    model.build((None, 28, 28, 1))
    model.compile("adam", "sparse_categorical_crossentropy")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        model.load_weights(tmp_path / "a.weights.h5")
    assert printed("Skipping variable loading") in [
        str(warning.message).strip() for warning in caught
    ]
    assert int(model.optimizer.iterations.numpy()) == 0


def test_new_callback_knows_no_best_score():
    assert article.keep_best("a.weights.h5").best is None


def test_resuming_the_articles_way_loses_steps_history_and_weights(tmp_path):
    splits = Splits(some_digits(64), some_digits(20), some_digits(20), "random")
    table = article.compare_resumed(splits, tmp_path, before=1, epochs=3)
    assert table["steps counted"].tolist() == [6, 4, 6]
    assert table["epochs in the history"].tolist() == [3, 2, 2]
    differing = table["weights that differ"].tolist()
    assert differing[::2] == [0, 0]
    assert differing[1] > 0


def test_one_article_fit_writes_a_file_that_compares_equal_with_itself(tmp_path):
    splits = Splits(some_digits(64), some_digits(20), some_digits(20), "random")
    paths = [tmp_path / f"{name}.weights.h5" for name in "ab"]
    for path in paths:
        article.fit(splits, path, epochs=1)
    assert checkpoint.compare(*paths).loc["weights", "differing"] == 0


def test_fit_repeats_one_order_after_set_random_seed():
    seen = []

    class Watch(keras.Model):
        def train_step(self, data):
            seen.append(data[0].numpy().ravel().tolist())
            return {"loss": 0.0}

    keras.utils.set_random_seed(0)
    model = Watch()
    model.compile(optimizer="sgd", run_eagerly=True)
    model.fit(np.arange(40.0), np.zeros(40), batch_size=10, epochs=2, verbose=0)
    first, second = seen[:4], seen[4:8]
    assert first == second
    assert first != np.arange(40.0).reshape(4, 10).tolist()


def test_only_the_pooling_layers_of_the_former_class_print_no_shape():
    model = ArticleModel()
    model(np.zeros((1, 28, 28, 1), np.float32))
    rows = models.summary_text(model).splitlines()
    shapes = {
        row.split()[1]: row.split("│")[2].strip() for row in rows if "│" in row
    }
    assert [name for name, shape in shapes.items() if shape == "?"] == ["S2", "S4"]
    assert "`?` for S2 and S4" in PAGE
    for name in ("C1", "Flatten"):
        assert f"`{shapes[name]}` for {name}" in PAGE


def test_pooling_counts_as_built_from_the_start_and_flatten_does_not():
    pool, flatten = keras.layers.AveragePooling2D(2), keras.layers.Flatten()
    assert (pool.built, flatten.built) == (True, False)
    for layer in (pool, flatten):
        layer(np.zeros((1, 4, 4, 1), np.float32))
    recorded = [layer.get_build_config() for layer in (pool, flatten)]
    assert recorded == [None, {"input_shape": (1, 4, 4, 1)}]


def run_the_pages_lines(digits, epochs):
    """Run every line that the page tells to write, one after the other, in the working folder; return what they made."""
    keras.utils.set_random_seed(0)
    model = ArticleLeNet5()
    model.compile("adam", "sparse_categorical_crossentropy")
    x, y = data.prepare(digits.images), digits.labels
    made = {"keras": keras, "os": os, "np": np, "pd": pd, "tf": tf, "model": model}
    made |= {"x_train": x[20:], "y_train": y[20:], "x_val": x[:20], "y_val": y[:20]}
    lines = "".join(text for text in LINES if not text.startswith("def "))
    assert "range(done, 5)" in lines
    exec(lines.replace("range(done, 5)", f"range(done, {epochs})"), made)
    return made


def test_the_pages_lines_resume_to_the_same_weights(tmp_path, monkeypatch):
    ends = []
    for name, stops in {"whole": [3], "resumed": [1, 3]}.items():
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.chdir(folder)
        for epochs in stops:
            made = run_the_pages_lines(some_digits(116), epochs)
        ends.append(made)
    whole, resumed = ends
    assert whole["model"].optimizer.iterations == 9
    assert article.num_differing(whole["model"], resumed["model"]) == 0
    assert resumed["done"] == 1
    scores = pd.read_csv("history.csv")["val_loss"]
    assert len(scores) == 3
    assert resumed["best"].best == pytest.approx(scores.min(), abs=1e-6)


def test_the_pages_pipeline_reshuffles_and_starts_over(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, second = (
        [
            [labels.numpy().tolist() for _, labels in made["batches"]]
            for _ in range(2)
        ]
        for made in (run_the_pages_lines(some_digits(52), 0) for _ in range(2))
    )
    assert first == second
    assert first[0] != first[1]


def test_the_page_prints_the_fixed_build():
    source = inspect.getsource(ArticleLeNet5.build)
    (body,) = re.findall(r"self\.call.*\Z", source, re.DOTALL)
    shown = re.search(
        r"def build\(self, input_shape\):\n    (.*?)```", PAGE, re.DOTALL
    )
    assert shown[1].split() == body.split()


def test_the_optimizers_numbers_on_the_page_are_those_that_keras_counts():
    model = ArticleLeNet5()
    model.build((None, 28, 28, 1))
    model.compile("adam", "sparse_categorical_crossentropy")
    model.optimizer.build(model.trainable_variables)
    shapes = {one.name: one.shape for one in model.optimizer.variables}
    arrays = [name for name in shapes if name.endswith(("_momentum", "_velocity"))]
    assert (len(arrays), len(model.weights)) == (20, 10)
    assert set(shapes) - set(arrays) == {"iteration", "learning_rate"}
    params, state = model.count_params(), sum(math.prod(s) for s in shapes.values())
    assert f"2 · {params:,} + 2 = {state:,}." in PAGE
    assert f"`Total params` is then {params + state:,}," in PAGE
    text = models.summary_text(model)
    for line in (f"Trainable params: {params:,}", f"Optimizer params: {state:,}"):
        assert line in text
        assert f"`{line}`" in PAGE


def test_float64_pixels_take_376_megabytes():
    assert f"{60_000 * 28 * 28 * 8 // 10**6} MB" in PAGE
