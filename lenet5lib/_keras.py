"""Keras and TensorFlow, imported only under the settings on which the library's numbers rest; modules take them from here.

Keras reads its settings once, when it is imported: from `keras.json` in the folder KERAS_HOME, by default ~/.keras, and from
the environment. A reader may have set them for other work; a network then fails late, or computes other numbers.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

NEEDED = {
    "backend": "tensorflow",
    "image_data_format": "channels_last",
    "floatx": "float32",
    "dtype_policy": "float32",
    "epsilon": 1e-7,
    "nnx_enabled": False,
    "max_epochs": None,
    "max_steps_per_epoch": None,
}
"""Keras's settings, and the value that each must have: Keras's own defaults."""
IN_FILE = ("backend", "image_data_format", "floatx", "epsilon", "nnx_enabled")
IN_ENVIRONMENT = ("backend", "nnx_enabled", "max_epochs", "max_steps_per_epoch")
"""Where a setting may stand; the environment comes first."""

Asked = dict[str, tuple[Any, str, str]]
"""A setting's name to its value, the place where it stands, and what to do if it is the wrong one."""


class KerasError(ValueError):
    """A setting that the library cannot work with; the text says which, where it stands, and how to change it."""


def require_settings() -> None:
    """Check Keras's settings: those in force once it is imported, otherwise those that it would read.

    Raises:
        KerasError: a setting has another value than in `NEEDED`.
    """
    loaded = sys.modules.get("keras")
    asked = _in_force(loaded.config) if loaded else _in_file() | _in_environment()
    for name, (value, place, remedy) in asked.items():
        needed = NEEDED[name]
        if value != needed:
            raise KerasError(
                f"{place} is {value!r}; expected {needed!r}, with which alone "
                f"lenet5lib works. {remedy}."
            )


def _in_file() -> Asked:
    """Return the settings in `keras.json`; none where it is missing, or is no JSON, as Keras does."""
    home = os.path.expanduser("~")
    home = home if os.access(home, os.W_OK) else "/tmp"  # As Keras does.
    folder = os.environ.get("KERAS_HOME", os.path.join(home, ".keras"))
    path = Path(os.path.expanduser(folder)) / "keras.json"
    elsewhere = "or name another folder, which may be empty, in KERAS_HOME"
    try:
        kept = json.loads(path.read_text()) if os.path.exists(path) else {}
    except OSError as error:
        raise KerasError(
            f"cannot read Keras's settings, {path}: {error.strerror}. Mend or "
            f"remove it, {elsewhere}."
        ) from None
    except ValueError:
        return {}
    if not isinstance(kept, dict):
        raise KerasError(
            f"{path} holds {kept!r}; expected a JSON object of Keras's settings. "
            f"Remove it, {elsewhere}."
        )
    remedy = f"Change or remove that line, {elsewhere}"
    return {
        name: (kept[name], f'Keras\'s setting "{name}" in {path}', remedy)
        for name in IN_FILE
        if name in kept
    }


def _in_environment() -> Asked:
    """Return the settings in environment variables."""
    asked: Asked = {}
    for name in IN_ENVIRONMENT:
        variable = f"KERAS_{name.upper()}"
        if value := os.environ.get(variable):
            found = value.lower() in ("true", "1") if "nnx" in name else value
            remedy = f"Set it to {NEEDED[name]}" if NEEDED[name] else "Unset it"
            asked[name] = found, f"the environment variable {variable}", remedy
    return asked


def _in_force(config: Any) -> Asked:
    """Return the settings of the Keras that has been imported, by this library or before it."""
    asked: Asked = {}
    for name, needed in NEEDED.items():
        if hasattr(config, name):
            value = getattr(config, name)()
            remedy = f"Call keras.config.set_{name}({needed!r}) before this"
            if name == "backend":
                remedy = f"Set KERAS_BACKEND to {needed} and start Python again"
            asked[name] = (
                getattr(value, "name", value),
                f"Keras has been imported; its keras.config.{name}()",
                remedy,
            )
    return asked


require_settings()

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402  # It imports Keras, too.

__all__ = ["NEEDED", "KerasError", "keras", "require_settings", "tf"]
