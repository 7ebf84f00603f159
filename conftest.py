"""Runs that a test session trains go to a folder of that session, so that no result depends on an earlier one.

A folder that the environment names in LENET5_RUNS is kept: then the chapters meet what an earlier session left.
"""

import os
import tempfile

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Let pytest-xdist, where it is installed and asked for, keep the cells of a chapter together: they share a kernel."""
    option = config.option
    is_parallel = getattr(option, "numprocesses", None) or getattr(
        option, "tx", None
    )
    if is_parallel and option.dist not in ("loadfile", "each"):
        option.dist, option.distload = "loadscope", False


def pytest_configure(config: pytest.Config) -> None:
    """Point the chapters' runs at a fresh folder, or leave them in the named one; kernels inherit the variable."""
    config.lenet5_folder = tempfile.TemporaryDirectory(
        prefix="lenet5-runs-", ignore_cleanup_errors=True
    )
    folder = config.lenet5_folder.name
    # Two of xdist's workers must not train in one folder.
    if "LENET5_RUNS" not in os.environ or hasattr(config, "workerinput"):
        os.environ["LENET5_RUNS"] = folder
    # Jupyter needs a home, and IPython and Matplotlib complain about one that they cannot write to.
    home = os.path.expanduser("~")
    if not (os.path.isdir(home) and os.access(home, os.W_OK)):
        os.environ["HOME"] = folder
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the session's runs."""
    config.lenet5_folder.cleanup()
