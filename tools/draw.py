"""Write what the drawing page and the stepper load from a trained network: `make draw`, or WEIGHTS=FILE for a chosen one.

Writes book/_static/network.js and samples.js, and the still picture that stands in the page without scripts and in print.
The 3 in the picture is the stand-in's, never MNIST's.
"""

import sys
from pathlib import Path

import export
import numpy as np

from lenet5lib import data, models, plots, records
from lenet5lib._checks import say

BOOK = Path(__file__).resolve().parent.parent / "book"
STATIC = BOOK / "_static"


def a_three() -> np.ndarray:
    """Return the image of the stand-in's first 3 in the test set."""
    test = data.stand_in().test
    return test.images[test.labels == 3][0]


def main(arguments: list[str]) -> int:
    """Write the two scripts and the picture."""
    try:
        path = Path(arguments[0]) if arguments else records.weights()
        architecture, weights, about = export.from_checkpoint(path)
        network = export.network_script(architecture, weights, about)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    samples = export.samples_script(weights[0], weights[1])
    (STATIC / "network.js").write_text(network, encoding="utf-8")
    (STATIC / "samples.js").write_text(samples, encoding="utf-8")
    values = models.activations(export.model_of(network), a_three())
    maps = {name: values[name] for name in ("C1", "S2", "C3", "S4")}
    (BOOK / "images/draw.png").write_bytes(plots.png(plots.feature_maps(maps)))
    say(f"{path}: {len(network):,} bytes. {about['text']}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
