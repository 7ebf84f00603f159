"""The counting of work, the measuring, and the recorded benchmarks that chapter 14 reads."""

from pathlib import Path

import naive
import numpy as np
import pytest

from lenet5lib import blocks, speed
from lenet5lib.spec import LENET5, LENET5_32, Architecture, Conv, Flatten, Pool

RECORDS = ("benchmark", "benchmark_without_onednn")


def test_macs_of_the_network_and_those_that_blocks_execute():
    dense = {"C5": 400 * 120, "F6": 120 * 84, "Output": 84 * 10}
    assert speed.macs(LENET5) == {"C1": 117_600, "C3": 240_000, **dense}
    assert sum(speed.macs(LENET5).values()) == 416_520
    assert speed.macs(LENET5, "blocks") == {
        "C1": 7 * 7 * 2 * 2 * 16 * 96,
        "C3": 5 * 5 * 3 * 3 * 24 * 64,
        **dense,
    }


def test_flop_of_a_training_step():
    assert speed.training_flop(speed.macs(LENET5)) == 2 * (3 * 416_520 - 117_600)
    assert speed.training_flop(speed.macs(LENET5, "blocks")) == 3_631_344


def test_an_unknown_form_is_refused():
    with pytest.raises(
        ValueError, match="form is 'fast'; expected one of plain, b"
    ):
        speed.macs(LENET5, "fast")


def test_work_counts_every_value_once():
    table = speed.work(LENET5, batch_size=32)
    assert list(table.index) == ["C1", "C3", "C5", "F6", "Output"]
    c1 = table.loc["C1"]
    assert c1["MACs"] == 32 * 117_600
    assert c1["bytes"] == 4 * (32 * (28 * 28 + 28 * 28 * 6) + 156)
    assert c1["FLOP a byte"] == 2 * c1["MACs"] / c1["bytes"]
    f6 = table.loc["F6"]
    assert f6["bytes"] == 4 * (32 * (120 + 84) + 10_164)


@pytest.mark.parametrize("architecture", [LENET5, LENET5_32])
def test_gathering_agrees_with_the_counts_and_with_the_arranged_pixels(
    architecture,
):
    table = speed.gathering(architecture)
    for form in ("plain", "blocks"):
        counted = speed.macs(architecture, form)
        for layer in ("C1", "C3"):
            row = table.loc[f"{layer}, {form}"]
            assert row["MACs"] == counted[layer]
            assert row["gathered"] == row["windows"] * row["values a window"]
    assert table.loc["C1, plain", "gathered"] == 28 * 28 * 25
    assert table.loc["C1, blocks"].tolist() == [49, 64, 3136, 96, 301_056]
    assert table.loc["C3, blocks"].tolist() == [25, 216, 5400, 64, 345_600]


def test_the_counted_product_is_the_matrix_that_is_multiplied():
    kernel = np.zeros((5, 5, 1, 6))
    rows, columns = blocks.kernel_matrix(LENET5, "C1", kernel).shape
    row = speed.gathering(LENET5).loc["C1, blocks"]
    assert (rows, columns) == (row["times used"], row["values a window"])


TINY = Architecture("tiny", (4, 4, 1), (Conv("C1", 1, 3), Pool("S2"), Flatten()))


def test_the_kernel_matrix_times_the_window_is_the_convolution():
    rng = np.random.default_rng(0)
    image, kernel = rng.integers(0, 9, (4, 4)), rng.integers(-3, 4, (3, 3))
    matrix = blocks.kernel_matrix(TINY, "C1", kernel[..., None, None])
    assert matrix.shape == (4, 16)
    assert (matrix != 0).sum() == 4 * (kernel != 0).sum()
    # Two blocks of two by two pixels above two more.
    window = image.reshape(2, 2, 2, 2).swapaxes(1, 2).ravel()
    expected = naive.convolve(
        image[..., None].astype(float), kernel[..., None, None], np.zeros(1)
    )
    assert (matrix @ window == expected.ravel()).all()


def test_a_kernel_matrix_of_an_unknown_layer_is_refused():
    with pytest.raises(KeyError, match="no convolution 'C9' in tiny; it has C1"):
        blocks.kernel_matrix(TINY, "C9", np.zeros((3, 3, 1, 1)))


def test_measured_rates_are_positive_and_name_every_layer():
    assert speed.matrix_rate(64, 1) > 0
    assert speed.memory_rate(1, 1) > 0
    table = speed.layer_rates(LENET5, batch_size=2, repeats=1)
    assert list(table.index) == [
        "C1",
        "C1 on blocks",
        "C3",
        "C3 on blocks",
        "C5",
        "F6",
        "Output",
    ]
    assert (table[["FLOP a byte", "useful", "executed"]] > 0).all(axis=None)
    on_blocks = table.loc["C1 on blocks"]
    assert on_blocks["executed"] / on_blocks["useful"] == pytest.approx(2.56)


@pytest.mark.parametrize("name", RECORDS)
def test_a_recorded_benchmark_is_whole_and_undisturbed(name):
    result = speed.recorded(name)
    assert result["data"] == {"source": "MNIST", "training_digits": 60_000}
    assert result["disturbed"] == []
    assert result["settings"]["rounds"] >= 3
    counted = speed.training_flop(speed.macs(LENET5))
    assert result["flop_a_training_image"]["useful"] == counted
    for numbers in result["programs"].values():
        assert len(numbers["seconds"]["rounds"]) == result["settings"]["rounds"]
        assert numbers["peak_memory_mib"] > 0
    # Training takes less than 1.5 GB.
    assert result["programs"]["ours-32"]["peak_memory_mib"] < 1430


@pytest.mark.parametrize("name", RECORDS)
def test_the_table_of_a_record_is_computed_from_its_measurements(name):
    result = speed.recorded(name)
    table = speed.recorded_table(result)
    for program, row in table.iterrows():
        seconds = [
            s for r in result["programs"][program]["seconds"]["rounds"] for s in r
        ]
        assert row["seconds an epoch"] == pytest.approx(np.median(seconds))
        flop = 60_000 * result["flop_a_training_image"]["useful"]
        rate = flop / row["seconds an epoch"] / 1e9
        assert row["useful GFLOP/s"] == pytest.approx(rate)
        share = 100 * rate / result["limit"]["gflops"]
        assert row["useful, % of limit"] == pytest.approx(share)


def test_ratios_on_a_page_are_the_records():
    text = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    ratios = speed.recorded()["ratios"]
    quoted = [
        f"{ratios[f'ours-{pair}']['median']:.1f}"
        for pair in ("32 vs article-32", "32 vs torch-32", "128 vs torch-128")
    ]
    assert f"{quoted[0]}, {quoted[1]} and {quoted[2]} times as fast" in text


def test_saving_after_every_epoch_costs_less_than_the_two_per_cent_that_chapter_6_says():
    result = speed.recorded("saving")
    assert result["data"] == "MNIST"
    assert result["cores kept busy by others"] < 0.2
    for batch in ("batch 32", "batch 128"):
        for name in ("saving", "saving at 200"):
            share = result[batch][f"share of {name}"]
            assert 0.001 < share < 0.02
            ratio = result[batch][name] / result[batch]["epoch"]
            assert share == pytest.approx(ratio, rel=0.2)
