"""Keras's settings: others than the library's are refused before anything is computed, by name, place and remedy."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from lenet5lib import _keras, models
from lenet5lib.spec import LENET5

OTHERS = {
    "backend": ["jax", "torch", "numpy", "openvino", "TensorFlow", None, 5],
    "image_data_format": ["channels_first", "", None, 1],
    "floatx": ["float64", "float16", "bfloat16", None, 32],
    "epsilon": [1e-3, 1, "1e-7", None],
    "nnx_enabled": [True],
}
"""Values that are wrong, some of a type of which Keras itself makes an AssertionError."""


@pytest.fixture
def keras_home(monkeypatch, tmp_path):
    """Return an empty folder of Keras's settings, in a Python that has not imported Keras yet."""
    monkeypatch.delitem(sys.modules, "keras")
    for name in [name for name in os.environ if name.startswith("KERAS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    return tmp_path


def write(folder, **settings):
    (folder / "keras.json").write_text(json.dumps(settings))


def test_without_settings_with_keras_own_and_with_no_json_at_all_nothing_is_refused(
    keras_home, monkeypatch
):
    _keras.require_settings()
    write(keras_home, **{name: _keras.NEEDED[name] for name in _keras.IN_FILE})
    _keras.require_settings()
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    monkeypatch.setenv("KERAS_NNX_ENABLED", "false")
    _keras.require_settings()
    for text in ("", "{", "\ufeff{}", "backend: jax"):  # Keras passes these over.
        (keras_home / "keras.json").write_text(text, encoding="utf-8")
        _keras.require_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, values in OTHERS.items() for value in values],
)
def test_a_setting_in_the_file_is_refused_with_its_place_and_the_value_needed(
    keras_home, name, value
):
    write(keras_home, **{name: value})
    with pytest.raises(_keras.KerasError) as caught:
        _keras.require_settings()
    said = str(caught.value)
    assert "\n" not in said
    words = (f'"{name}"', repr(value), repr(_keras.NEEDED[name]), "KERAS_HOME")
    for word in (*words, str(keras_home / "keras.json")):
        assert word in said


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("KERAS_BACKEND", "jax"),
        ("KERAS_BACKEND", " tensorflow"),
        ("KERAS_NNX_ENABLED", "True"),
        ("KERAS_MAX_EPOCHS", "1"),
        ("KERAS_MAX_STEPS_PER_EPOCH", "3"),
    ],
)
def test_a_setting_in_the_environment_is_refused_by_the_variables_name(
    keras_home, monkeypatch, variable, value
):
    monkeypatch.setenv(variable, value)
    with pytest.raises(_keras.KerasError, match=rf"{variable} is .*; expected"):
        _keras.require_settings()


def test_the_environments_backend_comes_before_the_files(keras_home, monkeypatch):
    write(keras_home, backend="jax")
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    _keras.require_settings()


@pytest.mark.parametrize("contents", ["[]", '"jax"', "3"])
def test_a_file_that_holds_no_object_is_named(keras_home, contents):
    (keras_home / "keras.json").write_text(contents)
    with pytest.raises(_keras.KerasError, match=r"keras\.json holds .*expected"):
        _keras.require_settings()


def test_a_file_that_cannot_be_read_is_named(keras_home):
    (keras_home / "keras.json").mkdir()
    with pytest.raises(_keras.KerasError, match=r"cannot read .*keras\.json: "):
        _keras.require_settings()


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("backend", "jax", "KERAS_BACKEND"),
        ("image_data_format", "channels_first", "set_image_data_format"),
        ("floatx", "float64", "set_floatx"),
        ("dtype_policy", SimpleNamespace(name="mixed_float16"), "set_dtype_policy"),
        ("epsilon", 1e-3, "set_epsilon"),
        ("max_steps_per_epoch", 2, "set_max_steps_per_epoch"),
    ],
)
def test_once_keras_is_imported_the_settings_in_force_count(
    monkeypatch, name, value, remedy
):
    monkeypatch.setenv("KERAS_BACKEND", "jax")  # Too late to matter.
    _keras.require_settings()
    monkeypatch.setattr(_keras.keras.config, name, lambda: value)
    for make in (
        models.lenet5,
        lambda: models.keras_layer(LENET5["C1"]),
        lambda: models.build(LENET5),
    ):
        with pytest.raises(_keras.KerasError, match="has been imported") as caught:
            make()
    assert remedy in str(caught.value)
    assert str(getattr(value, "name", value)) in str(caught.value)


PROGRAM = "from lenet5lib import models, spec; models.build(spec.LENET5)"


def run(arguments, **environment):
    return subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | {"LENET5_MNIST": "stand-in"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_command_line_says_it_in_one_line_and_commands_without_keras_work(
    tmp_path,
):
    write(tmp_path, backend="jax", floatx="float64")
    home = {"KERAS_HOME": str(tmp_path)}
    train = ["-m", "lenet5lib", "train", "--run-dir", str(tmp_path / "run")]
    train += ["--epochs", "1", "--limit", "50", "10", "--engine"]
    refused = run([*train, "keras"], **home)
    assert refused.returncode == 1
    (line,) = refused.stderr.splitlines()
    assert line.startswith("error: ")
    assert '"backend"' in line
    assert str(tmp_path / "keras.json") in line
    assert run(["-m", "lenet5lib", "describe"], **home).returncode == 0
    assert run([*train, "loops"], **home).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("first", ["", "import tensorflow; ", "import keras; "])
def test_whatever_is_imported_first_the_setting_is_named_and_not_a_consequence(
    tmp_path, first
):
    write(tmp_path, image_data_format="channels_first")
    done = run(["-c", first + PROGRAM], KERAS_HOME=str(tmp_path))
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "KerasError" in last
    assert "channels_first" in last
    assert "channels_last" in last
