"""Runs that a test session trains go to a folder of that session, so that no result depends on an earlier one."""

import os
import tempfile

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Point the chapters' runs at a fresh folder; kernels inherit the variable."""
    config.lenet5_runs = tempfile.TemporaryDirectory(
        prefix="lenet5-runs-", ignore_cleanup_errors=True
    )
    os.environ["LENET5_RUNS"] = config.lenet5_runs.name
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the session's runs."""
    config.lenet5_runs.cleanup()
