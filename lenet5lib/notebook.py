"""What a chapter does in its notebook: show a function's source, a table, an error, a checked claim.

The only module that imports IPython. A chapter defines nothing and patches nothing: it calls the library and shows it.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import logging
import os
import platform
import re
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from IPython import get_ipython
from IPython.display import display

from lenet5lib import __version__, arithmetic
from lenet5lib.spec import Architecture

WIDTH = 84
"""Characters that a page of the book shows without scrolling."""


def setup() -> None:
    """Prepare a chapter: figures as sharp PNG, TensorFlow's start-up messages off; in Colab, print the environment."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    shell = get_ipython()
    if shell is not None:
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        shell.run_line_magic("matplotlib", "inline")
        set_matplotlib_formats("retina", bbox_inches=None)
    if "google.colab" in sys.modules:
        print(environment())


def environment() -> str:
    """Return one line: the versions that decide the results, and the device."""
    try:
        with _without_stderr():
            import keras
            import tensorflow as tf

            from lenet5lib import _keras  # noqa: F401  # Checks Keras's settings.

            device = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    except ModuleNotFoundError as error:
        return (
            f"This runtime has no {error.name}; expected TensorFlow and Keras. "
            "Choose another runtime type: CPU or GPU."
        )
    return (
        f"lenet5lib {__version__}, TensorFlow {tf.__version__}, "
        f"Keras {keras.__version__}, Python {platform.python_version()}; "
        f"device: {device}"
    )


@contextlib.contextmanager
def _without_stderr() -> Iterator[None]:
    """Discard the process's error output inside the block, that of C code included.

    TensorFlow writes its first lines there before it reads any setting.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "w", encoding="utf-8") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def keep_on_drive(folder: str = "lenet5-runs") -> None:
    """Keep the runs of a notebook in Colab in a folder of the reader's Google Drive, which outlives the machine.

    Colab asks for permission. An interrupted run continues from there when the notebook is run again. Drive is written with
    a delay: `google.colab.drive.flush_and_unmount()` waits for it, before the machine is stopped.

    Raises:
        ValueError: this is not Colab.
    """
    if "google.colab" not in sys.modules:
        raise ValueError(
            "google.colab is not loaded; expected a notebook in Colab. Elsewhere, set "
            "LENET5_RUNS to a folder."
        )
    from google.colab import drive

    drive.mount("/content/drive")
    os.environ["LENET5_RUNS"] = f"/content/drive/MyDrive/{folder}"


def show_source(function: Callable) -> None:
    """Show a function's source as the library runs it, under the name of its file, with a short docstring."""
    lines = textwrap.dedent(inspect.getsource(function)).splitlines()
    definition: Any = ast.parse("\n".join(lines)).body[0]
    docstring = ast.get_docstring(definition)
    if docstring:
        first = definition.body[0]
        short = _short_docstring(docstring, " " * first.col_offset)
        lines[first.lineno - 1 : first.end_lineno] = short
    source = "\n".join([f"# {function.__module__.replace('.', '/')}.py", *lines])
    shown = {"text/plain": source, "text/markdown": f"```python\n{source}\n```"}
    display(shown, raw=True)


def _short_docstring(docstring: str, indent: str) -> list[str]:
    """Return the lines of a docstring's first paragraph, its formulas and the source that it cites."""
    first, *others = docstring.split("\n\n")
    # A paragraph that is indented and has no heading, as Args has, is a formula.
    kept = [first, *(one for one in others if one.startswith(("    ", "Source:")))]
    width = WIDTH - len(indent) - 6
    text = "\n\n".join(
        one if one.startswith(" ") else textwrap.fill(one, width) for one in kept
    )
    end = "\n" if "\n" in text else ""
    return textwrap.indent(f'"""{text}{end}"""', indent).splitlines()


def error_text(function: Callable, *args: Any, **kwargs: Any) -> str:
    """Call a function that is expected to raise an error, and return the error's text; "" if there is none.

    The folder of the chapters' runs is written as `runs`.
    """
    try:
        function(*args, **kwargs)
    except (ValueError, KeyError) as error:
        return f"{type(error).__name__}: {error}".replace(str(run_dir("")), "runs")
    return ""


def show_error(function: Callable, *args: Any, **kwargs: Any) -> None:
    """Call a function that is expected to raise an error, and print the error, or "No error."."""
    print(
        textwrap.fill(error_text(function, *args, **kwargs), WIDTH) or "No error."
    )


def claim(text: str, condition: Any) -> None:
    """Print a claim and whether it holds: the line that the book's tests compare.

    >>> claim("six is even", 6 % 2 == 0)
    six is even: True
    """
    print(f"{text}: {bool(condition)}")


def summary_text(model: Any) -> str:
    """Return `model.summary()` as plain text; without this, Keras also displays an empty frame in a notebook."""
    from IPython.utils.capture import capture_output

    from lenet5lib import models

    with capture_output():
        return models.summary_text(model)


def run_dir(name: str) -> Path:
    """Return the folder for a chapter's run: `runs/name` beside the chapter, or `name` in the folder LENET5_RUNS.

    If the chapter has loaded other data than MNIST, its runs are in a folder of that data: `runs/stand-in/name`.
    """
    from lenet5lib.data import mnist

    folder = Path(os.environ.get("LENET5_RUNS", "runs"))
    if mnist.loaded_name != "MNIST":
        short = mnist.loaded_name.partition(" (")[0]
        folder /= re.sub(r"[^\w.-]+", " ", short).strip(" .") or "data"
    return folder / name


def layer_table(architecture: Architecture) -> pd.DataFrame:
    """Return the derived table of an architecture, a row for each layer and one for the totals."""
    table = pd.DataFrame(arithmetic.table(architecture)).set_index("layer")
    for column in ("output_shape", "receptive_field"):
        table[column] = table[column].map(arithmetic.shape_text)
    totals = table[["params", "connections", "macs"]].sum()
    table.loc["Total"] = dict.fromkeys(table.columns, "") | dict(totals)
    names = {"params": "parameters", "macs": "MACs"}
    return table.rename(
        columns=lambda name: names.get(name, name.replace("_", " "))
    )


def show(table: pd.DataFrame, decimals: int = 4) -> None:
    """Show a table in page and terminal, with thousands separated and fractions to `decimals` places."""
    text = table.astype(object).map(lambda value: _cell(value, decimals))
    text.index = [_cell(value, decimals) for value in table.index]
    text.columns = [str(column) for column in table.columns]
    corner = table.index.name or table.columns.name or ""
    html = text.rename_axis(index=None, columns=corner).to_html(border=0)
    plain = text.rename_axis(index=table.index.name, columns=None).to_string()
    display({"text/plain": plain, "text/html": html}, raw=True)


def _cell(value: Any, decimals: int) -> str:
    """Return one value of a table as text; "" for a missing one."""
    if isinstance(value, bool | str | list | tuple):
        return str(value)
    if pd.isna(value):
        return ""
    if hasattr(value, "__index__"):
        return f"{int(value):,}"
    return f"{value:.{decimals}f}" if isinstance(value, float) else str(value)


def show_command(command: str, width: int = WIDTH) -> None:
    """Print a command line, broken as a shell allows so that a page shows it whole."""
    parts = textwrap.wrap(
        command,
        width - 2,
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    print(" \\\n".join(parts))
