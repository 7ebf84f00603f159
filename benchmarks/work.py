"""How many operations a training step takes: the network's own, and those that the block form executes.

One multiply–accumulate is 2 FLOP. The backward pass computes for each layer the gradient of its weights and the gradient of
its input, each as many multiply–accumulates as the forward pass; the first layer's input gradient is not needed. Biases,
activations, pooling, Adam, and the block form's making of its kernels are left out.
"""

from __future__ import annotations

from math import prod

from lenet5lib import arithmetic
from lenet5lib.spec import Architecture


def useful_macs(architecture: Architecture) -> dict[str, int]:
    """Return each layer's forward multiply–accumulates for one image, of the layers that have any."""
    return {
        row.layer: row.macs for row in arithmetic.table(architecture) if row.macs
    }


def executed_macs(architecture: Architecture) -> dict[str, int]:
    """Return the same for the block form, which multiplies by the zeros of its kernels too."""
    # Imported here because TensorFlow comes with it, for which a refused option should not wait.
    from lenet5lib import blocks

    inputs = {
        layer.name: shape for layer, shape, _ in arithmetic.walk(architecture)
    }
    found = useful_macs(architecture)
    for conv, _, sides in blocks.plan(architecture):
        positions = prod(side.blocks * side.taps for side in sides)
        pixels = prod(side.block for side in sides)
        maps_in = inputs[conv.name][2]
        found[conv.name] = positions * (pixels * maps_in) * (pixels * conv.maps)
    return found


def training_flop(macs: dict[str, int]) -> int:
    """Return the FLOP of one image's training, forward and backward, from the layers' forward counts in order."""
    first = next(iter(macs.values()))
    return 2 * (3 * sum(macs.values()) - first)
