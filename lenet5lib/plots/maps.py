"""One image on its way through a network: the feature maps and vectors of all layers, from top to bottom (chapter 4),
and what its channels respond to (chapter 9)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from lenet5lib import arithmetic
from lenet5lib.plots import style
from lenet5lib.spec import Architecture


@style.styled
def network_maps(
    architecture: Architecture, image: np.ndarray, outputs: Mapping[str, np.ndarray]
) -> Figure:
    """Draw what the layers of a network make of one image, each on a scale from its lowest value (white) to its highest.

    Args:
        architecture: of the network.
        image: (height, width).
        outputs: layer name to (height, width, channels) or (units,), as `models.activations` returns them.
    """
    figure, ax = style.single(4.9, width=4.2)
    kinds = {"Input": "input"} | {one.name: one.kind for one in architecture.layers}
    drawn = {"Input": image[:, :, np.newaxis], **outputs}
    y, right = 0.0, 7.92
    for name, values in drawn.items():
        if kinds[name] in ("flatten", "dropout"):
            continue
        colour, units = style.COLOURS[kinds[name]], values.shape[-1]
        scale = LinearSegmentedColormap.from_list("", ["white", colour])
        low, high = values.min(), values.max()
        is_vector = values.size == units
        width, height = (right, 0.5) if is_vector else (0.92, 0.92)
        maps = values.reshape((1, -1, 1) if is_vector else values.shape)
        text = f"{name}\n{arithmetic.shape_text(values.shape)}"
        style.write(ax, -0.2, y + height / 2, text, ha="right", color=colour)
        for n in range(maps.shape[-1]):
            x, top = n % 8, y + n // 8
            edges = x, x + width, top + height, top
            ax.imshow(maps[..., n], scale, extent=edges, vmin=low, vmax=high)
            style.box(ax, x, top, width, height, fill=False, edgecolor=colour)
        y += (maps.shape[-1] - 1) // 8 + height + 0.3
        for n in range(units if name == architecture.layers[-1].name else 0):
            style.write(
                ax, right * (n + 0.5) / units, y - 0.05, str(n), color=colour
            )
    ax.set(xlim=(-2, 8), ylim=(y + 0.1, 0))
    style.blank(ax)
    return figure


@style.styled
def patches(values: np.ndarray) -> Figure:
    """Draw many small pictures as one, ink dark on light: a column for each channel with its number below.

    Args:
        values: uint8 (count, channels, height, width).
    """
    gaps = (0, 0), (0, 0), (1, 1), (1, 1)
    rows, columns, height, width = np.pad(values, gaps).shape
    figure, ax = style.single(7.0 * rows * height / (columns * width) + 0.4)
    mosaic = np.pad(values, gaps, constant_values=128).transpose(0, 2, 1, 3)
    style.ink(ax, mosaic.reshape(rows * height, columns * width))
    names = [str(n) for n in range(columns)]
    ax.set_xticks(width * (np.arange(columns) + 0.5) - 0.5, names)
    ax.tick_params(length=0)
    return figure
