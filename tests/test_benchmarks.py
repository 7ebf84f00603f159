"""The benchmark: the operations that it counts, and one tiny run whose result has everything in it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lenet5lib.spec import LENET5

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
def test_every_name_is_a_program_and_every_comparison_is_of_names():
    import programs
    import results
    from run import MEASURED, NAMES

    for name in NAMES:
        kind = name if name in MEASURED else name.rpartition("-")[0]
        assert kind in programs.PROGRAMS
    compared = {
        name for pair in (*results.WANTED, *results.FURTHER) for name in pair
    }
    assert compared | set(results.DISTORTED) <= set(NAMES)


@pytest.mark.slow
@pytest.mark.usefixtures("modules")
def test_measured_layers_are_all_that_multiply():
    import layers

    found = layers.layer_rates(LENET5, batch_size=2)
    assert list(found) == ["C1", "C3", "C5", "F6", "Output"]
    for name, layer in found.items():
        kinds = {"forward", "weights", *(["inputs"] if name != "C1" else [])}
        assert set(layer["microseconds"]) == kinds
        assert min(layer["microseconds"].values()) > 0
        assert min(layer[engine]["gflops"] for engine in ("keras", "loops")) > 0
    assert layers.adam_seconds(100) > 0


@pytest.mark.usefixtures("modules")
def test_layers_of_several_rounds_are_their_best():
    import results

    def answer(rate: float) -> dict:
        point = {"intensity": 10.0, "gflops": rate}
        layer = {"kind": "dense", "keras": point, "loops": point}
        return {
            "gflops": rate,
            "gigabytes_per_second": 1.0,
            "layers": {"F6": layer | {"microseconds": {"forward": 1 / rate}}},
            "adam_microseconds": 1 / rate,
            "other_cores": 0.0,
        }

    found = results.layers([answer(2.0), answer(4.0)])
    assert found["gflops"] == found["layers"]["F6"]["loops"]["gflops"] == 4.0
    assert found["layers"]["F6"]["microseconds"] == {"forward": 0.25}
    assert found["adam_microseconds"] == 0.25
    assert results.layers([]) is None


@pytest.mark.usefixtures("modules")
def test_avx2_leaves_out_what_only_avx512_has():
    run = pytest.importorskip("run")
    pytest.importorskip("llvmlite")
    features = run.without_avx512().split(",")
    assert not [one for one in features if one.startswith("+avx512")]


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
        "loops-32": results.program(rounds(1, 2, 3, others=0), 10, None),
        "torch-32": results.program(rounds(4, 4, 9, others=1), 10, None),
        "loops-distorted-32": results.program(rounds(3, 3, 3, others=0), 10, None),
    }
    assert results.ratios(programs) == {
        "loops-32 vs torch-32": {
            "median": 2.0,
            "rounds": [4.0, 2.0, 3.0],
            "wanted": 3.0,
        }
    }
    assert [*results.goals(programs).values()] == [{"measured": 1.5, "wanted": 1.6}]
    assert programs["loops-32"]["first_epoch_seconds"] == [9.0, 9.0, 9.0]
    result = {"limit": None, "layers": None, "programs": programs, "accuracy": {}}
    assert results.disturbed(result) == ["torch-32"]


@pytest.mark.slow
def test_tiny_run(tmp_path):
    out = tmp_path / "result.json"
    tiny = ("--digits", 640, "--rounds", 1, "--only", "loops-32", "--no-accuracy")
    done = run(*tiny, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "NOT MNIST" in done.stdout
    result = json.loads(out.read_text(encoding="utf-8"))
    assert set(result) == {
        *("data", "machine", "settings", "notes", "flop_per_training_image"),
        *("limit", "layers", "programs", "ratios", "goals"),
        *("compile_seconds", "accuracy", "disturbed"),
    }
    facts = {"cpu", "threads", "system", "versions", "simulated"}
    assert set(result["machine"]) == facts
    assert result["data"]["num_train"] == 640
    (name, program), *others = result["programs"].items()
    assert (name, others) == ("loops-32", [])
    assert set(program) == {
        *(
            "seconds",
            "first_epoch_seconds",
            "validation_seconds",
            "images_per_second",
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
