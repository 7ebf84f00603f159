"""What a chapter needs from the notebook: show a function's source, a table, an error, a checked claim.

The only module that imports IPython. A chapter defines nothing and patches nothing: it calls the library and shows it.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import logging
import os
import platform
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


def setup() -> None:
    """Prepare a chapter: figures as sharp PNG, TensorFlow's start-up messages off; in Colab, print what it runs on."""
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
    """Return one line: the versions that decide the results, and the device that computes."""
    try:
        with _without_stderr():
            import keras
            import tensorflow as tf

            found = tf.config.list_physical_devices()
    except ModuleNotFoundError as error:
        return (
            f"This runtime has no {error.name}; expected TensorFlow and Keras. "
            "Choose another runtime type: CPU or GPU."
        )
    devices = [device.device_type for device in found]
    return (
        f"lenet5lib {__version__}, TensorFlow {tf.__version__}, Keras {keras.__version__}, "
        f"Python {platform.python_version()}; device: {'GPU' if 'GPU' in devices else devices[0]}"
    )


@contextlib.contextmanager
def _without_stderr() -> Iterator[None]:
    """Drop what is written to the process's error output: TensorFlow's first lines come before it reads any setting."""
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
    """Let the runs of a notebook in Colab be kept in a folder of the reader's Google Drive, which outlives the machine.

    Colab asks for permission. A training that was cut off goes on from there when the notebook is run again.

    Raises:
        ValueError: this is not Colab.
    """
    if "google.colab" not in sys.modules:
        raise ValueError(
            "google.colab is not loaded; expected a notebook in Colab. Elsewhere, set LENET5_RUNS to a folder of yours."
        )
    from google.colab import drive

    drive.mount("/content/drive")
    os.environ["LENET5_RUNS"] = f"/content/drive/MyDrive/{folder}"


def show_source(function: Callable) -> None:
    """Show a function's source as the library runs it, without its docstring, under the name of its module."""
    lines = textwrap.dedent(inspect.getsource(function)).splitlines()
    node = ast.parse("\n".join(lines)).body[0]
    first = node.body[0]
    if (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    ):
        del lines[first.lineno - 1 : first.end_lineno]
    source = "\n".join(
        [f"# {function.__module__.replace('.', '/')}.py", *lines]
    ).rstrip()
    display(
        {"text/plain": source, "text/markdown": f"```python\n{source}\n```"},
        raw=True,
    )


def error_text(function: Callable, *args: Any, **kwargs: Any) -> str:
    """Call a function that is expected to refuse, and return its error's text; "" if it does not refuse.

    The folder of the chapters' runs is written `runs`, wherever it is.
    """
    try:
        function(*args, **kwargs)
    except (ValueError, KeyError) as error:
        return f"{type(error).__name__}: {error}".replace(str(run_dir("")), "runs")
    return ""


def show_error(function: Callable, *args: Any, **kwargs: Any) -> None:
    """Call a function that is expected to refuse, and print its error; say so if it does not refuse."""
    print(textwrap.fill(error_text(function, *args, **kwargs), 84) or "No error.")


def claim(text: str, condition: Any) -> None:
    """Print a claim and whether it holds: the line that the book's test compares.

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
    """Return the folder for a chapter's run: `runs/name` beside the chapter, or under LENET5_RUNS where that is set."""
    return Path(os.environ.get("LENET5_RUNS", "runs")) / name


def layer_table(architecture: Architecture) -> pd.DataFrame:
    """Return the derived table of an architecture with its totals, a row a layer."""
    rows = arithmetic.table(architecture)
    table = pd.DataFrame(rows, columns=arithmetic.Row._fields).set_index("layer")
    counts = ["params", "connections", "macs"]
    table.loc["Total"] = {
        "kind": "",
        "output_shape": "",
        "receptive_field": "",
        **table[counts].sum(),
    }
    for column in ("output_shape", "receptive_field"):
        table[column] = [arithmetic.shape_text(shape) for shape in table[column]]
    table = table.rename(
        columns={
            "output_shape": "output shape",
            "params": "parameters",
            "macs": "MACs",
            "receptive_field": "receptive field",
        }
    )
    return table


def show(table: pd.DataFrame, decimals: int = 4) -> None:
    """Show a table in page and terminal: thousands separated, fractions to `decimals` places."""
    text = table.astype(object).map(lambda value: _cell(value, decimals))
    text.index = [_cell(value, decimals) for value in table.index]
    text.columns = [str(column) for column in table.columns]
    html = text.rename_axis(
        index=None, columns=table.index.name or table.columns.name or ""
    ).to_html(border=0)
    plain = text.rename_axis(index=table.index.name, columns=None).to_string()
    display({"text/plain": plain, "text/html": html}, raw=True)


def _cell(value: Any, decimals: int) -> str:
    """Write one value of a table for a reader."""
    if value is None or (
        not isinstance(value, (str, list, tuple)) and pd.isna(value)
    ):
        return ""
    if isinstance(value, bool):
        return str(value)
    if hasattr(value, "__index__"):
        return f"{int(value):,}"
    return f"{value:.{decimals}f}" if isinstance(value, float) else str(value)
