"""The recorded network that is used where none is named, and any network as a script for the book's drawing page.

The script holds the specification, and every weight as it was trained. It is a classic one that sets one global name,
because a page opened from a folder may load neither modules nor data files. Its numbers are float32, so the page computes
with the numbers that Keras has. Nothing is computed here; the page's own forward pass is `book/_static/engine.js`, and the
browser's tests compare it with Keras.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lenet5lib import arithmetic, records
from lenet5lib.spec import (
    ARCHITECTURES,
    PIXELS,
    Architecture,
    Conv,
    Dense,
    Flatten,
    Pool,
    pair,
)
from lenet5lib.studies import ablation
from lenet5lib.training import checkpoint, loop

if TYPE_CHECKING:
    import keras

FORMAT = 1
NETWORK, SAMPLES = "LENET5_NETWORK", "LENET5_SAMPLES"
"""The global names that the two scripts set."""
LINE = 1000
"""Characters of base64 in a line of a script."""
BEST_RUN = f"{ablation.NAME}/{ablation.FINAL.name}/seed-0"
"""The recorded run of chapter 14's last training that is used; its seed was fixed before the run was tested."""
CHAPTERS = {"lenet5-200": 10, ablation.NAME: 14}
"""For each recorded experiment whose networks can be exported, the chapter about it."""
WORDS = {"relu": "ReLU", "scaled_tanh": "scaled tanh"}
"""Activations that are written in another way in a sentence than in a specification."""


class ExportError(ValueError):
    """A network that cannot be exported; the text says what came, what was expected, what to do."""


def layers(architecture: Architecture) -> list[dict[str, Any]]:
    """Return for each layer what a forward pass must know, as plain JSON values.

    "same" padding is written as the zeros (before, after) along height and width, so that its rule stands in one place.

    Raises:
        ExportError: a layer of a kind that the page does not compute.
    """
    entries = []
    for row, (layer, inputs, outputs) in zip(
        arithmetic.table(architecture), arithmetic.walk(architecture), strict=True
    ):
        entry = {
            "name": layer.name,
            "kind": layer.kind,
            "inputShape": list(inputs),
            "outputShape": list(outputs),
            "parameters": row.params,
            "macs": row.macs,
            "receptiveField": list(row.receptive_field),
        }
        match layer:
            case Conv(table=None):
                entry |= _window(layer.kernel_size, layer.stride, layer, inputs)
                entry["activation"] = layer.activation
            case Pool():
                entry |= _window(layer.size, layer.step, layer, inputs)
                entry["mode"] = layer.mode
            case Dense():
                entry["activation"] = layer.activation
            case Flatten():
                pass
            case _:
                raise ExportError(
                    f"{layer.name} is of the kind {layer.kind!r}; expected convolution, pooling, flatten or dense. "
                    "The drawing page computes no other; export another network."
                )
        entries.append(entry)
    return entries


def _window(size: Any, stride: Any, layer: Conv | Pool, inputs: Sequence[int]):
    """Return window, stride and padding of a layer that slides a window, each (height, width)."""
    window, step = pair(size), pair(stride)
    zeros = [
        list(arithmetic.same_padding(i, k, s))
        if layer.padding == "same"
        else [0, 0]
        for i, k, s in zip(inputs[:2], window, step, strict=True)
    ]
    return {"window": list(window), "stride": list(step), "padding": zeros}


def network_script(
    architecture: Architecture,
    weights: Sequence[np.ndarray],
    about: dict[str, Any],
) -> str:
    """Write a network as a script that sets `window.LENET5_NETWORK`.

    Args:
        architecture: what the weights belong to.
        weights: float32, in Keras's order: for each layer that has any, kernel then bias. A convolution's kernel is
            (height, width, maps in, maps out), a dense layer's (inputs, units).
        about: where the weights come from, plain JSON values that the page shows.

    Raises:
        ExportError: a layer or a scale that the page does not compute, or weights of another number than the architecture's.
    """
    if architecture.scale != PIXELS:
        raise ExportError(
            f"{architecture.name} reads pixels from {architecture.scale[0]:g} to {architecture.scale[1]:g}; expected 0 to "
            "1. The drawing page computes no other; export another network."
        )
    entries, first = layers(architecture), 0
    for entry in entries:
        if entry["parameters"]:
            entry["weights"] = first
            first += entry["parameters"]
            entry["biases"] = first - entry["outputShape"][-1]
    found = sum(array.size for array in weights)
    if found != first:
        raise ExportError(
            f"there are {found:,} weights for {architecture.name}; expected {first:,}. Export the weights of this network."
        )
    flat = np.concatenate([np.ravel(array) for array in weights])
    head = {
        "format": FORMAT,
        "about": about,
        "architecture": architecture.to_dict(),
        "layers": entries,
    }
    return script(NETWORK, head, {"weights": flat.astype("<f4")})


def read_script(
    text: str,
) -> tuple[Architecture, list[np.ndarray], dict[str, Any]]:
    """Return architecture, weights and origin from what `network_script` wrote.

    Raises:
        ExportError: another script.
    """
    try:
        body = text[text.index("= {") + 2 : text.rindex(";")]
        values = json.loads(body.replace('" +\n"', ""))
        if values["format"] != FORMAT:
            raise ValueError(f"format {values['format']}")
        flat = np.frombuffer(base64.b64decode(values["weights"]), "<f4")
        architecture = Architecture.from_dict(values["architecture"])
    except (ValueError, KeyError) as error:
        raise ExportError(
            f"this is not a network's script of format {FORMAT} ({error}). Write it anew with `make draw`."
        ) from None
    arrays = []
    for entry in values["layers"]:
        if entry["parameters"]:
            end = entry["weights"] + entry["parameters"]
            units = entry["outputShape"][-1]
            shape = (*entry.get("window", ()), entry["inputShape"][-1], units)
            arrays.append(flat[entry["weights"] : entry["biases"]].reshape(shape))
            arrays.append(flat[entry["biases"] : end])
    return architecture, arrays, values["about"]


def script(name: str, head: dict[str, Any], arrays: dict[str, np.ndarray]) -> str:
    """Write plain values and arrays (base64 of their bytes) as a script that sets the global `name`."""
    parts = [
        f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}"
        for key, value in head.items()
    ]
    for key, array in arrays.items():
        text = base64.b64encode(array.tobytes()).decode()
        pieces = [
            f'"{text[at : at + LINE]}"' for at in range(0, len(text), LINE)
        ] or ['""']
        parts.append(f"{json.dumps(key)}:\n" + " +\n".join(pieces))
    body = ",\n".join(parts)
    return f"// Written by tools/export.py: `make draw`.\nwindow.{name} = {{\n{body}\n}};\n"


def recorded(folder: Path | None = None) -> Path:
    """Return the recorded weights that are used where none are named, by `predict` and on the drawing page.

    Args:
        folder: where to look for `BEST_RUN` instead of `lenet5lib/recorded`.

    Raises:
        ExportError: they are not there.
    """
    best = (folder or records.RECORDED) / BEST_RUN
    if (best / records.NAME).exists():
        path = best / loop.weights_to_use(records.read(best))
        if path.exists():
            return path
    raise ExportError(
        f"there are no weights in {best}; expected a weights file beside its record. Name a run: "
        "predict --run-dir runs/mine, make draw WEIGHTS=runs/mine/best.weights.h5"
    )


def title(architecture: Architecture) -> str:
    """Return the name of an architecture, and what it has instead of that of its name.

    >>> from lenet5lib.spec import LENET5
    >>> title(LENET5), title(LENET5.with_hidden_activation("relu"))
    ("modern LeNet-5 (28×28)", "modern LeNet-5 (28×28), but with ReLU")
    """
    named = {one.name: one for one in ARCHITECTURES.values()}
    usual = named.get(architecture.name, architecture)
    if architecture == usual:
        return architecture.name
    other = [
        word for word in _functions(architecture) if word not in _functions(usual)
    ]
    if _shapes(architecture) != _shapes(usual):
        other.append("layers of other sizes")
    return f"{architecture.name}, but with {' and '.join(other) or 'other layers'}"


def _functions(architecture: Architecture) -> list[str]:
    """Return the activations and ways of pooling of an architecture in words, in order."""
    found = []
    for layer in architecture.layers:
        activation = getattr(layer, "activation", None)
        found.append(WORDS.get(activation, activation))
        if isinstance(layer, Pool):
            found.append(f"{layer.mode} pooling")
    return [*dict.fromkeys(filter(None, found))]


def _shapes(architecture: Architecture) -> list[tuple]:
    """Return name, output shape and parameters of each layer."""
    rows = arithmetic.table(architecture)
    return [(row.layer, row.output_shape, row.params) for row in rows]


def about(path: Path) -> dict[str, Any]:
    """Return where the weights in a file come from, as plain JSON values.

    Returns:
        The data's `source`, the `epoch` and the `seed`; `text`, sentences that say these, which network it is and how many
        digits it was trained on; for the book's recorded runs `chapter`, the number of the chapter about them.

    Raises:
        CheckpointError: missing or damaged.
    """
    record = checkpoint.read_record(path)
    config, epoch = record.config, len(record.epochs)
    source, seed = record.source, config["seed"]
    held = f"{config['data']['validation digits']:,}"
    if config["data"].get("all digits"):
        held = "none"
    name = title(Architecture.from_dict(config["architecture"]))
    averaged = "averaged " if config.get("ema_decay") else ""
    found = {"source": source, "epoch": epoch, "seed": seed}
    found["text"] = (
        f"{name}. Trained on {source} ({config['data']['training digits']:,} digits, {held} held out) with seed {seed}; "
        f"these are the {averaged}weights of {_epoch(record)}."
    )
    if path.resolve().is_relative_to(records.RECORDED.resolve()):
        parts = path.resolve().relative_to(records.RECORDED.resolve()).parts
        if parts[0] in CHAPTERS:
            found["chapter"] = CHAPTERS[parts[0]]
    return found


def _epoch(record: records.Record) -> str:
    """Say which epoch a checkpoint is of, by its own record, which ends where it was saved."""
    epoch = len(record.epochs)
    if record.partial:
        return f"epoch {epoch} and a part of the next"
    if record.config["data"].get("all digits") or record.best["epoch"] != epoch:
        return f"epoch {epoch}, the last"
    return f"epoch {epoch}, the best on validation"


def from_checkpoint(
    path: Path,
) -> tuple[Architecture, list[np.ndarray], dict[str, Any]]:
    """Return architecture, weights and origin of a weights file that training wrote.

    Where the recipe asks for averaged weights, they are that.

    Raises:
        CheckpointError: missing or damaged.
    """
    origin = about(path)
    architecture, weights = loop.load_weights(path)
    found = [
        array
        for layer in architecture.layers
        for array in weights.get(layer.name, ())
    ]
    return architecture, found, origin


def model_of(script_text: str) -> keras.Model:
    """Return the Keras model of an exported network.

    Raises:
        ExportError: another script.
    """
    from lenet5lib import models

    architecture, weights, _ = read_script(script_text)
    model = models.build(architecture)
    model.set_weights(weights)
    return model


def samples_script(
    images: np.ndarray,
    labels: np.ndarray,
    source: str,
    kernels: np.ndarray,
    biases: np.ndarray,
) -> str:
    """Write what the convolution stepper works on: some digits, and a first layer's kernels.

    Args:
        images: uint8 (n, 28, 28); labels: (n,); source: the name of their data.
        kernels: float32 (height, width, 1, maps); biases: float32 (maps,).
    """
    head = {
        "format": FORMAT,
        "source": source,
        "labels": [int(label) for label in labels],
        "kernelShape": list(kernels.shape),
    }
    arrays = {
        "images": images,
        "kernels": kernels.astype("<f4"),
        "biases": biases.astype("<f4"),
    }
    return script(SAMPLES, head, arrays)
