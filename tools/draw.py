"""Write what the drawing page and the stepper load from a trained network: `make draw`, or WEIGHTS=FILE for a chosen one.

Writes book/_static/network.js and samples.js, and the still picture that stands in the page without scripts and in print.
The digits in them are the stand-in's, never MNIST's.
"""

import sys
from pathlib import Path

import export
import numpy as np

from lenet5lib import data, models, plots, records

BOOK = Path(__file__).resolve().parent.parent / "book"
STATIC = BOOK / "_static"


def one_of_each() -> data.Digits:
    """Return the stand-in's first test digit of each class, in order."""
    test = data.stand_in().test
    rows = [np.flatnonzero(test.labels == digit)[0] for digit in range(10)]
    return test.select(np.array(rows))


def main(arguments: list[str]) -> int:
    """Write the two scripts and the picture."""
    try:
        path = Path(arguments[0]) if arguments else records.weights()
        architecture, weights, about = export.from_checkpoint(path)
        network = export.network_script(architecture, weights, about)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    digits = one_of_each()
    samples = export.samples_script(
        digits.images, digits.labels, data.STAND_IN, weights[0], weights[1]
    )
    (STATIC / "network.js").write_text(network, encoding="utf-8")
    (STATIC / "samples.js").write_text(samples, encoding="utf-8")
    values = models.activations(export.model_of(network), digits.images[3])
    maps = {name: values[name] for name in ("C1", "S2", "C3", "S4")}
    (BOOK / "images/draw.png").write_bytes(plots.png(plots.feature_maps(maps)))
    print(f"{path}: {len(network):,} bytes. {about['text']}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
