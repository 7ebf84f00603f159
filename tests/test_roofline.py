"""The counting of work, the steps of chapter 15, the measuring, and the recorded benchmarks that the chapter reads."""

import subprocess
import sys
from pathlib import Path

import naive
import numpy as np
import pytest

from lenet5lib.loops import compiled, forward, parallel, steps
from lenet5lib.spec import LENET5
from lenet5lib.studies import roofline, speedrun


def test_macs_of_the_network():
    dense = {"C5": 400 * 120, "F6": 120 * 84, "Output": 84 * 10}
    assert roofline.macs(LENET5) == {"C1": 117_600, "C3": 240_000, **dense}
    assert sum(roofline.macs(LENET5).values()) == 416_520


def test_flop_of_a_training_step():
    assert roofline.training_flop(roofline.macs(LENET5)) == 2 * (
        3 * 416_520 - 117_600
    )


def test_work_counts_every_value_once():
    table = roofline.work(LENET5, batch_size=32)
    assert list(table.index) == ["C1", "C3", "C5", "F6", "Output"]
    c1 = table.loc["C1"]
    assert c1["MACs"] == 32 * 117_600
    assert c1["bytes"] == 4 * (32 * (28 * 28 + 28 * 28 * 6) + 156)
    assert c1["FLOP/byte"] == 2 * c1["MACs"] / c1["bytes"]
    f6 = table.loc["F6"]
    assert f6["bytes"] == 4 * (32 * (120 + 84) + 10_164)


def test_importing_it_does_not_import_tensorflow():
    code = "import sys; from lenet5lib.studies import roofline; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


EXAMPLES, IN, OUT, ROWS, COLUMNS = 4, 3, 4, 5, 6


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.slow
def test_all_steps_give_what_the_naive_loop_gives(size):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(EXAMPLES, IN, ROWS + size - 1, COLUMNS + size - 1))
    w, b = rng.normal(size=(OUT, IN, size, size)), rng.normal(size=OUT)
    reads = np.ones((OUT, IN), np.int64)
    expected = np.stack(
        [
            naive.convolve(one.transpose(1, 2, 0), w.transpose(2, 3, 1, 0), b)
            for one in x
        ]
    ).transpose(0, 3, 1, 2)
    inside = np.moveaxis(x, 0, -1).reshape(IN, ROWS + size - 1, -1).copy()
    sizes = {"KH": size, "KW": size, "SH": 1, "SW": 1, "B": EXAMPLES}
    y = np.empty(expected.shape)
    compiled.specialise(steps.plain, **sizes)(x, w, b, y)
    assert np.allclose(y, expected)
    for function, more in (
        (steps.innermost, ()),
        (forward.convolve, (reads,)),
        (steps.two_channels, ()),
    ):
        y = np.empty((OUT, ROWS, COLUMNS * EXAMPLES))
        compiled.specialise(function, **sizes)(inside, w, b, *more, y)
        found = np.moveaxis(y.reshape(OUT, ROWS, COLUMNS, EXAMPLES), -1, 0)
        assert np.allclose(found, expected), function
    y = np.empty((2, OUT, ROWS, COLUMNS * EXAMPLES))
    shared = compiled.specialise(steps.groups, "parallel", **sizes)
    shared(np.stack([inside, inside]), w, b, reads, y)
    found = np.moveaxis(y[1].reshape(OUT, ROWS, COLUMNS, EXAMPLES), -1, 0)
    assert (y[0] == y[1]).all()
    assert np.allclose(found, expected)


@pytest.mark.parametrize("layer", ["C1", "C3"])
@pytest.mark.slow
def test_measured_steps_are_correct_and_take_time(layer):
    names = [name for name in roofline.STEPS if name != "plain Python"]
    table = roofline.measure_steps(names, layer=layer, group=2)
    assert list(table.index) == names
    assert (table[["µs/example", "GFLOP/s"]] > 0).all(axis=None)
    assert (table["largest difference"] < 1e-4).all()


def test_arrays_to_be_measured_begin_at_a_cache_line():
    for size in (1, 7, 1000):
        array = roofline.random_array(size, 3)
        assert array.ctypes.data % parallel.LINE == 0
        assert array.shape == (size, 3)


def test_measured_rates_are_positive():
    assert roofline.matrix_rate(64) > 0
    assert roofline.matrix_rate(64, by="tensorflow") > 0
    assert roofline.memory_rate(1) > 0
    assert roofline.vector_width() in (1, 4, 8, 16)
    assert roofline.graph_operations() > 100


def test_group_sizes_give_the_time_of_an_example_and_the_bytes_of_a_group():
    table = roofline.group_sizes((1, 2))
    assert table["MB"].tolist() == [4e-6 * n * (32**2 + 6 * 28**2) for n in (1, 2)]
    assert (table["µs/example"] > 0).all()


def test_the_time_of_a_step_follows_from_two_batch_sizes():
    steps_, digits = (1875, 469), 60_000
    epochs = [1e-4 * n + digits * 1e-5 for n in steps_]
    programs = {
        f"keras-{size}": {"seconds": {"median": epoch}}
        for size, epoch in zip((32, 128), epochs, strict=True)
    }
    result = {
        "data": {"num_train": digits},
        "programs": programs | {"article-32": {"seconds": {"median": 7.0}}},
    }
    table = roofline.overheads(result)
    assert list(table.index) == ["keras"]
    assert table.loc["keras"].tolist() == pytest.approx([100.0, 10.0, 100 / 4.2])


def test_records_become_tables():
    point = {"intensity": 10.0, "gflops": 50.0}
    layer = {"kind": "dense", "keras": point, "loops": point}
    result = {
        "layers": {"layers": {"F6": layer | {"microseconds": {"forward": 5.0}}}}
    }
    expected = {
        "TensorFlow, GFLOP/s": 50.0,
        "loops, GFLOP/s": 50.0,
        "forward, µs": 5.0,
    }
    assert roofline.recorded_layers(result).loc["F6"].to_dict() == expected
    points = roofline.recorded_points(result)
    assert points["F6", "loops"] == ("dense", 10.0, 5e10)
    runs = [{"test_accuracy": n, "seconds": 5.0 + n} for n in (0.25, 0.75, 0.5)]
    recipe = {"epochs": 4, "loops": runs, "keras": runs[:1]}
    table = speedrun.recorded_table({"recipes": {"short": recipe}})
    assert table.loc["short, loops"].tolist() == [4, 3, 50.0, 25.0, 5.5]
    assert table.loc["short, keras"].tolist() == [4, 1, 25.0, 25.0, 5.25]


def test_a_recorded_benchmark_is_whole_and_undisturbed():
    result = roofline.recorded()
    assert result["data"] == {"dataset_name": "MNIST", "num_train": 60_000}
    assert result["disturbed"] == []
    assert result["settings"]["rounds"] >= 3
    assert result["machine"]["simulated"] == ""
    counted = roofline.training_flop(roofline.macs(LENET5))
    assert result["flop_per_training_image"] == counted
    for numbers in result["programs"].values():
        assert len(numbers["seconds"]["rounds"]) == result["settings"]["rounds"]
        assert numbers["peak_memory_mib"] > 0
    # Training takes less than 1.5 GB.
    assert result["programs"]["loops-32"]["peak_memory_mib"] < 1430


def test_the_table_of_a_record_is_computed_from_its_measurements():
    result = roofline.recorded()
    table = roofline.recorded_table(result)
    for program, row in table.iterrows():
        seconds = [
            s for r in result["programs"][program]["seconds"]["rounds"] for s in r
        ]
        assert row["s/epoch"] == pytest.approx(np.median(seconds))
        flop = 60_000 * result["flop_per_training_image"]
        rate = flop / row["s/epoch"] / 1e9
        assert row["GFLOP/s"] == pytest.approx(rate)
        share = 100 * rate / result["limit"]["gflops"]
        assert row["% of limit"] == pytest.approx(share)


def test_what_is_wanted_is_reached_in_the_record():
    result = roofline.recorded()
    for pair, ratio in result["ratios"].items():
        assert ratio["median"] >= (ratio["wanted"] or 0), pair
    share, distorted = result["goals"].values()
    assert share["measured"] >= share["wanted"]
    assert distorted["measured"] <= distorted["wanted"]


def test_a_recorded_speedrun_reaches_its_goal():
    result = roofline.recorded("speedrun")
    assert result["data"] == {"dataset_name": "MNIST", "num_train": 55_000}
    assert speedrun.recorded_table(result)["test accuracy, %"].max() >= 99
    assert result["other_cores"] < 0.2
    for recipe in result["recipes"].values():
        for run in [*recipe["loops"], *recipe["keras"]]:
            assert len(run["curve"]) == recipe["epochs"]
            assert run["curve"][-1][0] <= run["seconds"]


def test_ratios_on_a_page_are_the_records():
    text = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    ratios = roofline.recorded()["ratios"]
    quoted = [
        f"{ratios[f'loops-{pair}']['median']:.1f}"
        for pair in ("32 vs article-32", "32 vs torch-32", "128 vs torch-128")
    ]
    assert f"{quoted[0]}, {quoted[1]} and {quoted[2]} times as fast" in text


def test_saving_after_every_epoch_costs_less_than_the_two_per_cent_that_chapter_7_says():
    result = roofline.recorded("saving")
    assert result["data"] == "MNIST"
    assert result["cores kept busy by others"] < 0.2
    for batch in ("batch 32", "batch 128"):
        for name in ("saving", "saving at 200"):
            share = result[batch][f"share of {name}"]
            assert 0.001 < share < 0.02
            ratio = result[batch][name] / result[batch]["epoch"]
            assert share == pytest.approx(ratio, rel=0.2)


def test_the_curve_of_a_speedrun_is_that_of_its_median_run():
    runs = [{"seconds": n, "curve": [[n, 0.9]]} for n in (7.0, 5.0, 6.0)]
    recipe = {"epochs": 1, "loops": runs, "keras": runs[:1]}
    result = {"recipes": {"six": recipe}}
    assert speedrun.recorded_curves(result) == {
        "six, loops": [[6.0, 0.9]],
        "six, keras": [[7.0, 0.9]],
    }
