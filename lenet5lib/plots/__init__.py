"""Every figure of the book. Each function takes data and returns a Matplotlib figure; none trains, loads, seeds or shows.

`style` has the look, `images` arrays and pictures, `architecture` what a specification gives, `maps` an image inside a
network, `backwards` its gradients, `lines` training runs and functions, `statistics` test results, `speed` time.
"""

from lenet5lib.plots.architecture import (
    connection_table,
    layer_shares,
    network,
    receptive_fields,
)
from lenet5lib.plots.backwards import two_passes
from lenet5lib.plots.images import (
    digits,
    feature_maps,
    kernels,
    pictures,
    pixels,
    signed_maps,
    vectors,
    windows,
    worked_channels,
    worked_convolution,
)
from lenet5lib.plots.lines import (
    activation_functions,
    borders,
    curves,
    first_steps,
    learning_rates,
    long_run,
    range_test,
    rubbish_class,
)
from lenet5lib.plots.maps import network_maps, patches
from lenet5lib.plots.speed import (
    accuracy_over_seconds,
    epoch_seconds,
    roofline,
    throughput,
)
from lenet5lib.plots.statistics import confusion, cumulative_ablation, intervals
from lenet5lib.plots.style import (
    COLOURS,
    DARK_COLOURS,
    SIGNED,
    STYLE,
    pdf,
    png,
    svg,
)

__all__ = [
    "COLOURS",
    "DARK_COLOURS",
    "SIGNED",
    "STYLE",
    "accuracy_over_seconds",
    "activation_functions",
    "borders",
    "confusion",
    "connection_table",
    "cumulative_ablation",
    "curves",
    "digits",
    "epoch_seconds",
    "feature_maps",
    "first_steps",
    "intervals",
    "kernels",
    "layer_shares",
    "learning_rates",
    "long_run",
    "network",
    "network_maps",
    "patches",
    "pdf",
    "pictures",
    "pixels",
    "png",
    "range_test",
    "receptive_fields",
    "roofline",
    "rubbish_class",
    "signed_maps",
    "svg",
    "throughput",
    "two_passes",
    "vectors",
    "windows",
    "worked_channels",
    "worked_convolution",
]
