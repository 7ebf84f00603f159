"""A Sphinx extension: what the pages load comes from the book's own folder.

Copies one file of MathJax out of the installed package `sphinx-mathjax-offline`, after checking its digest, and adds the
book's style sheet.
"""

import hashlib
import importlib.util
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.fileutil import copy_asset_file

MATHJAX = "static/mathjax/tex-svg-full.js"
MATHJAX_DIGEST = "a4354ff94fd868aea0cc6eaaa79a57fda0588646fc46ee3700a349ee0a11cbe6"


def copy_assets(app: Sphinx, error: Exception | None) -> None:
    """Put MathJax and the style sheet beside the other static files of an HTML build."""
    if error is not None or app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    (static / "mathjax").mkdir(parents=True, exist_ok=True)
    copy_asset_file(str(mathjax()), str(static / "mathjax"))
    copy_asset_file(str(Path(__file__).with_name("book.css")), str(static))


def mathjax() -> Path:
    """Return the path of MathJax in the installed package.

    Raises:
        ExtensionError: the package is missing, or its file is not the one that was checked.
    """
    spec = importlib.util.find_spec("sphinx-mathjax-offline")
    if spec is None or not spec.submodule_search_locations:
        raise ExtensionError(
            "sphinx-mathjax-offline is not installed; install requirements.txt"
        )
    path = Path(next(iter(spec.submodule_search_locations))) / MATHJAX
    if hashlib.sha256(path.read_bytes()).hexdigest() != MATHJAX_DIGEST:
        raise ExtensionError(
            f"{path.name} is not the file that was checked; install requirements.txt"
        )
    return path


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_css_file("book.css")
    app.connect("build-finished", copy_assets)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
