"""A network as a script for the book's drawing page; `make draw` writes it, and the page's samples, by `draw.py`.

The script holds the specification, and every weight as it was trained. It is a classic script that sets one global name,
because a page opened from a folder may load neither modules nor data files. Its numbers are float32, so the page computes
with the numbers that Keras has. Nothing is computed here; the page's own forward pass is `book/_static/engine.js`, and the
browser's tests compare it with Keras.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never

import numpy as np

from lenet5lib import arithmetic, records
from lenet5lib.spec import (
    PIXELS,
    RBF,
    Architecture,
    Conv,
    Dense,
    Dropout,
    Flatten,
    Pool,
    Subsample,
    pair,
)
from lenet5lib.studies import ablation
from lenet5lib.training import checkpoint

if TYPE_CHECKING:
    import keras

FORMAT = 1
NETWORK, SAMPLES = "LENET5_NETWORK", "LENET5_SAMPLES"
"""The global names that the two scripts set."""
LINE = 1000
"""Characters of base64 in a line of a script."""
CHAPTERS = {"lenet5-200": 10, ablation.NAME: 14}
"""For each recorded experiment whose networks can be exported, the chapter about it."""


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
        entry: dict[str, Any] = {
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
            case Conv() | Subsample() | RBF() | Dropout():
                raise ExportError(
                    f"{layer.name} is of the kind {layer.kind!r}; expected a "
                    "convolution without a table, pooling, flatten or dense. The "
                    "drawing page computes no other; export a different network."
                )
            case _:
                assert_never(layer)
        entries.append(entry)
    return entries


def _window(
    size: Any, stride: Any, layer: Conv | Pool, inputs: Sequence[int]
) -> dict[str, Any]:
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
            (height, width, input channels, filters), a dense layer's (inputs, units).
        about: where the weights come from, plain JSON values that the page shows.

    Raises:
        ExportError: a layer or a pixel range that the page does not compute, or weights of a different number than the
            architecture's.
    """
    if architecture.pixel_range != PIXELS:
        raise ExportError(
            f"{architecture.name} reads pixels in the range "
            f"{architecture.pixel_range}; expected {PIXELS}. The drawing page "
            "computes no other; export a different network."
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
            f"there are {found:,} weights for {architecture.name}; expected "
            f"{first:,}. Export the weights of this network."
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
        ExportError: a different script.
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
            f"this is not a network's script of format {FORMAT} ({error}). Write it "
            "again with `make draw`."
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
    return (
        "// Written by tools/export.py: `make draw`.\n"
        f"window.{name} = {{\n{body}\n}};\n"
    )


def from_checkpoint(
    path: Path,
) -> tuple[Architecture, list[np.ndarray], dict[str, Any]]:
    """Return architecture, weights and origin of a weights file that training wrote.

    Where the recipe asks for the moving average of the weights, they are that. The origin is a dictionary: `dataset_name`;
    `text`, sentences that say what the file holds; `label_smoothing`, if there was any; for the book's recorded runs
    `chapter`, the number of the chapter about them.

    Raises:
        CheckpointError: missing or damaged.
    """
    record = checkpoint.read_record(path)
    about: dict[str, Any] = {"dataset_name": record.dataset_name}
    about["text"] = record.about()
    if record.config.recipe.label_smoothing:
        about["label_smoothing"] = record.config.recipe.label_smoothing
    recorded = records.RECORDED.resolve()
    if path.resolve().is_relative_to(recorded):
        experiment = path.resolve().relative_to(recorded).parts[0]
        about |= {"chapter": CHAPTERS[experiment]} if experiment in CHAPTERS else {}
    architecture, weights = checkpoint.load_weights(path)
    names = [layer.name for layer in architecture.layers if layer.name in weights]
    return architecture, [array for name in names for array in weights[name]], about


def model_of(script_text: str) -> keras.Model:
    """Return the Keras model of an exported network.

    Raises:
        ExportError: a different script.
    """
    from lenet5lib import models

    architecture, weights, _ = read_script(script_text)
    model = models.build(architecture)
    model.set_weights(weights)
    return model


def samples_script(kernels: np.ndarray, biases: np.ndarray) -> str:
    """Write what the convolution stepper works on beside its own: a first layer's kernels.

    Args:
        kernels: float32 (height, width, 1, filters).
        biases: float32 (filters,).
    """
    head = {"format": FORMAT, "kernelShape": list(kernels.shape)}
    arrays = {"kernels": kernels.astype("<f4"), "biases": biases.astype("<f4")}
    return script(SAMPLES, head, arrays)
