"""Write the drawings of the network that the cover shows, from the specification: `make draw` runs this too."""

from pathlib import Path
from typing import Any

from lenet5lib import plots, spec

IMAGES = Path(__file__).resolve().parent.parent / "book/images"
DRAWINGS: dict[str, dict[str, Any]] = {
    "network": {},
    "network_dark": {"dark": True},
    "network_narrow": {"rows": 2},
    "network_narrow_dark": {"rows": 2, "dark": True},
}
"""File name to the arguments of `plots.network`."""


def main() -> None:
    """Write every drawing."""
    for name, options in DRAWINGS.items():
        drawing = plots.svg(plots.network(spec.LENET5, **options))
        (IMAGES / f"{name}.svg").write_bytes(drawing)


if __name__ == "__main__":
    main()
