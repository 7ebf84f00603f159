"""The benchmark: the operations that it counts, and one tiny run whose result has everything in it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def modules(monkeypatch):
    """Let the benchmark's modules be imported as `run.py` imports them."""
    monkeypatch.syspath_prepend(FOLDER)


def run(*arguments: object) -> subprocess.CompletedProcess:
    """Run the benchmark on the stand-in."""
    command = [sys.executable, FOLDER / "run.py", *arguments]
    return subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        env=os.environ | {"LENET5_MNIST": "stand-in"},
        timeout=120,
    )


@pytest.mark.usefixtures("modules")
def test_ratios_and_disturbance():
    import results

    def rounds(*seconds: float, others: float) -> list[dict]:
        first = {"seconds": 9.0, "validation_seconds": 1.0}
        return [
            {
                "epochs": [first, first | {"seconds": value}],
                "peak_memory_mib": 1.0,
                "other_cores": others,
            }
            for value in seconds
        ]

    programs = {
        "ours-32": results.program("ours-32", rounds(1, 2, 3, others=0), 10, None),
        "torch-32": results.program(
            "torch-32", rounds(4, 4, 9, others=1), 10, None
        ),
    }
    assert results.ratios(programs) == {
        "ours-32 vs torch-32": {"median": 2.0, "rounds": [4.0, 2.0, 3.0]}
    }
    assert programs["ours-32"]["first_epoch_seconds"] == [9.0, 9.0, 9.0]
    result = {"limit": None, "programs": programs, "accuracy": {}}
    assert results.disturbed(result) == ["torch-32"]


def test_tiny_run(tmp_path):
    out = tmp_path / "result.json"
    tiny = ("--digits", 640, "--rounds", 1, "--only", "ours-32", "--no-accuracy")
    done = run(*tiny, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "NOT MNIST" in done.stdout
    result = json.loads(out.read_text(encoding="utf-8"))
    assert set(result) == {
        *("data", "machine", "settings", "notes", "flop_a_training_image"),
        *("limit", "programs", "ratios", "accuracy", "disturbed"),
    }
    assert set(result["machine"]) == {"cpu", "threads", "system", "versions"}
    assert result["data"]["training_digits"] == 640
    (name, program), *others = result["programs"].items()
    assert (name, others) == ("ours-32", [])
    assert set(program) == {
        *(
            "seconds",
            "first_epoch_seconds",
            "validation_seconds",
            "images_a_second",
        ),
        *("gflops", "share_of_limit", "peak_memory_mib", "other_cores"),
    }
    seconds = program["seconds"]
    assert 0 < seconds["min"] <= seconds["median"] <= seconds["max"]
    assert len(seconds["rounds"]) == len(program["first_epoch_seconds"]) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("--rounds", 0),
        ("--only", "theirs-32"),
        ("--out", "no/such/folder/result.json"),
        ("--torch-python", "no-such-python"),
    ],
)
def test_refusal_is_one_line(arguments):
    done = run(*arguments)
    assert done.returncode in (1, 2)
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
