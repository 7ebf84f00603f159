"""Every figure of the book. Each function takes data and returns a Matplotlib figure; none trains, loads, seeds or shows.

`style` has the look, `images` arrays and pictures, `architecture` what a specification gives, `lines` training runs and
functions, `statistics` test results, `speed` time.
"""

from lenet5lib.plots.architecture import (
    connection_table,
    layer_shares,
    network,
    receptive_fields,
)
from lenet5lib.plots.images import (
    digits,
    feature_maps,
    kernels,
    pictures,
    pixels,
    vectors,
    windows,
    worked_convolution,
)
from lenet5lib.plots.lines import (
    activation_functions,
    curves,
    first_epoch,
    learning_rates,
    long_run,
    rubbish_class,
)
from lenet5lib.plots.speed import (
    accuracy_over_seconds,
    epoch_seconds,
    roofline,
    throughput,
)
from lenet5lib.plots.statistics import confusion, cumulative_ablation, intervals
from lenet5lib.plots.style import COLOURS, DARK_COLOURS, SIGNED, STYLE, png, svg

__all__ = [
    "COLOURS",
    "DARK_COLOURS",
    "SIGNED",
    "STYLE",
    "accuracy_over_seconds",
    "activation_functions",
    "confusion",
    "connection_table",
    "cumulative_ablation",
    "curves",
    "digits",
    "epoch_seconds",
    "feature_maps",
    "first_epoch",
    "intervals",
    "kernels",
    "layer_shares",
    "learning_rates",
    "long_run",
    "network",
    "pictures",
    "pixels",
    "png",
    "receptive_fields",
    "roofline",
    "rubbish_class",
    "svg",
    "throughput",
    "vectors",
    "windows",
    "worked_convolution",
]
