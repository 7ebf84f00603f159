"""The error and its interval, the mistakes, selection bias, tests of differences: on predictions made by hand."""

import random
from math import comb, sqrt

import keras
import made
import numpy as np
import pytest
import small
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from lenet5lib import data, evaluation, models, plots, records
from lenet5lib.data import Digits
from lenet5lib.evaluation import (
    Evaluation,
    McNemar,
    error_interval,
    mcnemar,
    paired_bootstrap,
)
from lenet5lib.records import Record, RecordError
from lenet5lib.spec import LENET5
from lenet5lib.training import augment, loop
from lenet5lib.training.recipe import Distortion, Recipe
from lenet5lib.training.schedules import OneCycle


def evaluated(labels, predictions, confidence=0.6):
    """Return an evaluation in which each prediction gets `confidence` and the other classes share the rest."""
    probabilities = np.full((len(labels), 10), (1 - confidence) / 9, np.float32)
    probabilities[np.arange(len(labels)), predictions] = confidence
    return Evaluation(probabilities, np.array(labels, np.uint8))


RANDOM = np.random.default_rng(0).integers(0, 256, (7, 28, 28)).astype(np.uint8)
LABELS = [0, 1, 2, 3, 4, 4, 4, 9, 9, 7]
PREDICTIONS = [0, 1, 2, 5, 9, 9, 4, 4, 9, 1]


@pytest.fixture
def ten():
    return evaluated(LABELS, PREDICTIONS)


def test_predictions_mistakes_and_error(ten):
    assert ten.predictions.tolist() == PREDICTIONS
    assert ten.mistakes.tolist() == [3, 4, 5, 7, 9]
    assert (ten.count, ten.error) == (10, 0.5)


NAMES = [chr(ord("a") + n) for n in range(26)]


def test_all_of_more_than_ten_classes_are_counted():
    result = Evaluation(np.eye(26), np.arange(26))
    assert result.confusion().to_numpy().sum() == 26
    assert result.confusion().shape == (26, 26)
    result = Evaluation(np.eye(26), np.arange(26)[::-1])
    assert result.confused_pairs(99)["count"].sum() == len(result.mistakes) == 26
    assert result.confused_pairs(1).to_numpy().tolist() == [[0, 25, 1]]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["loops", "keras"])
def test_a_network_of_26_classes_is_trained_and_evaluated(engine, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (78, 28, 28))
    letters = Digits(images, np.arange(78) % 26, NAMES)
    splits = data.Splits(letters, letters, letters, "letters")
    network = LENET5.change("Output", units=splits.train.num_classes)
    run = loop.train(
        network, splits, tmp_path, epochs=1, engine=engine, report=None
    )
    trained = evaluation.evaluate(run.model, splits.test)
    table = trained.confusion()
    assert (table.shape, table.to_numpy().sum()) == ((26, 26), 78)
    assert list(table.index) == list(table.columns) == NAMES
    for get in ("get_xticklabels", "get_yticklabels"):
        ticks = getattr(plots.confusion(table).axes[0], get)()
        assert [tick.get_text() for tick in ticks] == NAMES


def test_names_of_classes_stand_in_the_tables():
    result = Evaluation(np.eye(26), np.roll(np.arange(26), 1), NAMES)
    assert result.confusion().loc["z", "a"] == 1
    assert result.confused_pairs(1).to_numpy().tolist() == [["a", "b", 1]]
    digits = Digits(RANDOM, np.arange(7), NAMES[:10])
    found = evaluation.evaluate(models.build(LENET5), digits)
    assert list(found.confusion().columns) == NAMES[:10]


@pytest.mark.parametrize(
    ("probabilities", "labels"),
    [
        (np.full((2, 10), np.nan), [0, 1]),
        (np.where(np.eye(10) == 1, np.nan, 0.1), range(10)),
        (np.eye(10) * 48.1, range(10)),
        (-np.eye(10), range(10)),
        (np.eye(10)[0], [0]),
        (np.zeros((0, 10)), []),
        (np.zeros((3, 0)), [0, 0, 0]),
        (np.eye(10)[np.newaxis], [0]),
        (np.eye(10), range(9)),
        (np.eye(10), range(1, 11)),
        (np.eye(10), np.eye(10)),
        (np.eye(10), [0.5] * 10),
        (np.eye(10), [-1] * 10),
        (np.eye(10), ["1"] * 10),
    ],
)
def test_what_is_no_prediction_of_these_labels_is_refused(probabilities, labels):
    with pytest.raises(ValueError, match="expected"):
        Evaluation(probabilities, np.array(labels))


def test_as_many_class_names_as_classes_are_expected():
    with pytest.raises(ValueError, match=r"are 2; expected 3, one .* Name each"):
        Evaluation(np.eye(3), np.arange(3), ["a", "b"])
    found = Evaluation(np.eye(2), np.arange(2), np.array(["a", "b"]))
    assert list(found.confusion().columns) == ["a", "b"]


def test_a_column_of_labels_is_compared_row_by_row():
    labels = np.array(LABELS)[:, np.newaxis]
    result = Evaluation(np.eye(10)[PREDICTIONS], labels)
    assert (result.error, result.labels.shape) == (0.5, (10,))


@pytest.mark.parametrize("confidence", [0, 1.0, 95, -0.5, np.nan, "0.95", True])
def test_a_confidence_lies_between_0_and_1(confidence):
    for interval in (
        lambda: error_interval(100, 10_000, confidence),
        lambda: evaluation.mean_interval([0.9, 1, 1.1], confidence),
        lambda: paired_bootstrap(np.eye(4) == 1, np.eye(4) == 0, confidence),
    ):
        with pytest.raises(ValueError, match="confidence"):
            interval()


def test_a_perfect_and_a_hopeless_model():
    assert evaluated([1, 2], [1, 2]).error == 0
    assert evaluated([1, 2], [2, 1]).error == 1


def test_the_confusion_matrix_has_labels_in_rows_and_predictions_in_columns(ten):
    matrix = ten.confusion()
    assert (matrix.shape, matrix.index.name, matrix.columns.name) == (
        (10, 10),
        "label",
        "prediction",
    )
    assert matrix.loc[4].tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0, 2]
    assert matrix.loc[9, 4] == 1
    assert matrix.to_numpy().sum() == 10
    assert np.trace(matrix.to_numpy()) == 5
    assert matrix.loc[8].sum() == 0


def test_confused_pairs_come_commonest_first_and_are_only_mistakes(ten):
    pairs = ten.confused_pairs(3)
    assert pairs.to_numpy().tolist() == [[4, 9, 2], [3, 5, 1], [7, 1, 1]]
    assert list(pairs.columns) == ["label", "prediction", "count"]
    assert ten.confused_pairs(1).to_numpy().tolist() == [[4, 9, 2]]


def test_confused_pairs_are_never_padded_with_pairs_that_nobody_confused(ten):
    assert ten.confused_pairs(50)["count"].tolist() == [2, 1, 1, 1]
    assert len(evaluated([1, 2], [1, 2]).confused_pairs(5)) == 0


def test_the_hardest_digits_are_those_whose_label_got_the_least():
    probabilities = np.full((4, 10), 0.1, np.float32)
    probabilities[np.arange(4), [0, 1, 2, 3]] = [0.9, 0.05, 0.5, 0.01]
    hard = Evaluation(probabilities, np.arange(4))
    assert hard.hardest(2).tolist() == [3, 1]
    assert hard.hardest(10).tolist() == [3, 1, 2, 0]


def test_digits_that_are_equally_hard_stand_in_the_order_of_the_file():
    assert evaluated([5] * 30, [5] * 30).hardest(30).tolist() == list(range(30))


def test_the_error_is_written_with_its_interval():
    result = evaluated([0] * 9_900 + [1] * 100, [0] * 10_000)
    for part in ("100 of 10,000", "1.00%", "0.82%", "1.21%"):
        assert part in str(result)
    assert result.interval() == error_interval(100, 10_000)
    assert result.interval(0.5) == error_interval(100, 10_000, 0.5)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.integers(1, 20_000), st.floats(0, 1))
def test_the_interval_is_wilsons(count, share):
    wrong = round(share * count)
    p, theirs = (
        wrong / count,
        binomtest(wrong, count).proportion_ci(method="wilson"),
    )
    low, high = error_interval(wrong, count)
    assert low == pytest.approx(theirs.low, abs=1e-9)
    assert high == pytest.approx(theirs.high, abs=1e-9)
    assert 0 <= low <= p <= high <= 1


def test_the_error_of_each_class_with_its_interval():
    table = Evaluation(np.eye(3)[[0, 0, 1, 1]], [0, 0, 0, 1]).error_by_class()
    assert table["images"].tolist() == [3, 1, 0]
    assert table["errors"].tolist() == [1, 0, 0]
    assert table["error"].tolist()[:2] == [1 / 3, 0]
    assert tuple(table.loc[0, ["low", "high"]]) == error_interval(1, 3)
    assert tuple(table.loc[2, ["low", "high"]]) == (0, 1)


def test_a_higher_confidence_gives_a_wider_interval():
    (low, high), (lower, higher) = (
        error_interval(80, 10_000, 0.9),
        error_interval(80, 10_000, 0.99),
    )
    assert lower < low < high < higher


@pytest.mark.parametrize(("wrong", "count"), [(-1, 10), (11, 10), (0, 0)])
def test_an_impossible_count_is_refused(wrong, count):
    with pytest.raises(ValueError, match=f"errors is {wrong} of {count}"):
        error_interval(wrong, count)


def test_numbers_that_cannot_be_counted_are_refused():
    for errors, count in ((1.5, 10), (1, 10.7)):
        with pytest.raises(ValueError, match="expected a whole number"):
            error_interval(errors, count)
    for values in ([0.9, np.nan, 1.1], [0.9, np.inf], [[1.0, 2.0], [3.0, 4.0]]):
        with pytest.raises(ValueError, match="expected 2 or more finite"):
            evaluation.mean_interval(values)
    with pytest.raises(ValueError, match=r"int64.*expected bool"):
        mcnemar(np.array([3, 7, 12]), np.array([3, 8, 40]))
    found = Evaluation(np.eye(3)[[0, 1, 2, 0]], np.array([0, 1, 2, 1]))
    for ask in (found.hardest, found.confused_pairs):
        for count in (-1, 1.5):
            with pytest.raises(ValueError, match="count is "):
                ask(count)


def expected_lowest(error, count, candidates):
    """Return the expected lowest share of several binomial counts: the sum of the chances that all exceed k."""
    chance = [
        comb(count, k) * error**k * (1 - error) ** (count - k)
        for k in range(count + 1)
    ]
    return (
        sum(max(0.0, 1 - sum(chance[: k + 1])) ** candidates for k in range(count))
        / count
    )


@pytest.mark.parametrize("candidates", [1, 5, 20])
def test_selection_bias_is_the_expected_lowest_of_several_counts(candidates):
    found = evaluation.selection_bias(0.1, 200, candidates)
    assert found == pytest.approx(expected_lowest(0.1, 200, candidates), abs=0.002)
    assert found == evaluation.selection_bias(0.1, 200, candidates)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("error", -0.1),
        ("error", 5),
        ("count", 0),
        ("count", -1),
        ("candidates", 0),
        ("trials", 0),
    ],
)
def test_selection_bias_names_a_number_that_cannot_be(name, value):
    values = {"error": 0.1, "count": 200, "candidates": 5} | {name: value}
    with pytest.raises(ValueError, match=f"{name} is .*; expected"):
        evaluation.selection_bias(**values)


def test_selecting_among_more_candidates_flatters_more():
    found = [
        evaluation.selection_bias(0.01, 10_000, candidates)
        for candidates in (1, 3, 10, 50)
    ]
    assert found == sorted(found, reverse=True)
    assert found[0] == pytest.approx(0.01, abs=1e-4)
    assert found[3] < 0.0085


def test_evaluate_asks_the_model_and_keeps_the_files_labels():
    keras.utils.clear_session()
    digits = Digits(RANDOM, (np.arange(7) % 10).astype(np.uint8))
    model = models.build(LENET5)
    result = evaluation.evaluate(model, digits)
    np.testing.assert_array_equal(
        result.probabilities, models.predict(model, digits.images)
    )
    np.testing.assert_array_equal(result.labels, digits.labels)


def test_the_interval_of_a_mean_is_students():
    """Three values: t of 2 degrees of freedom at 97.5 % is 4.303."""
    low, high = evaluation.mean_interval([1.0, 2.0, 3.0])
    half = 4.302653 * 1 / sqrt(3)
    assert (low, high) == pytest.approx((2 - half, 2 + half), rel=1e-6)
    with pytest.raises(ValueError, match="1 values; expected 2 or more"):
        evaluation.mean_interval([1.0])


def watched_record(**changed) -> Record:
    columns = {
        "val_loss": [0.3, 0.2, 0.25, 0.4],
        "val_accuracy": [0.90, 0.91, 0.93, 0.93],
        "test_accuracy": [0.91, 0.92, 0.95, 0.94],
        "test_loss": [0.3] * 4,
    } | changed
    epochs = [
        made.epoch(n + 1, **{name: values[n] for name, values in columns.items()})
        for n in range(4)
    ]
    return Record(made.config(test_checksum="y"), epochs=epochs)


def test_each_rule_selects_its_epoch_and_all_are_judged_by_the_test_images():
    table = evaluation.epoch_by_selection_rule(watched_record())
    assert table["epoch"].tolist() == [3, 2, 3, 4]
    assert table["test error"].tolist() == pytest.approx([0.05, 0.08, 0.05, 0.06])
    # The test errors decide only what the first rule selects.
    record = watched_record(test_accuracy=[0.99, 0.5, 0.6, 0.7])
    table = evaluation.epoch_by_selection_rule(record)
    assert table["epoch"].tolist() == [1, 2, 3, 4]


def test_selection_rules_need_a_watched_test_set():
    record = Record(made.config(), epochs=watched_record().epochs)
    with pytest.raises(ValueError, match="--watch-test"):
        evaluation.epoch_by_selection_rule(record)


def networks(seeds, digits, error, seed, hard=None):
    """Return the errors of some networks, bool (seeds, digits); digits that are hard are hard for all of them."""
    rng = np.random.default_rng(seed)
    if hard is None:
        hard = np.random.default_rng(99).gamma(0.3, 1 / 0.3, digits)
    return rng.random((seeds, digits)) < np.minimum(error * hard, 1)


def naive_bootstrap(before, after, resamples, seed):
    """Return the changes of mean error on resamples of the digits, one digit drawn after another."""
    draw, digits = random.Random(seed), before.shape[1]
    changes = []
    for _ in range(resamples):
        drawn = draw.choices(range(digits), k=digits)
        changes.append(after[:, drawn].mean() - before[:, drawn].mean())
    return np.array(changes)


def test_the_paired_bootstrap_agrees_with_digits_drawn_one_by_one():
    before, after = networks(3, 250, 0.12, 1), networks(5, 250, 0.08, 2)
    changes = naive_bootstrap(before, after, 3000, 3)
    for confidence in (0.95, 0.5):
        found = paired_bootstrap(before, after, confidence)
        tail = (1 - confidence) / 2
        expected = np.quantile(changes, [tail, 1 - tail])
        # Of 3,000 and 10,000 resamples the quantiles vary by 0.06 deviations; these are three times that.
        np.testing.assert_allclose(
            found, expected, rtol=0, atol=0.18 * changes.std()
        )
    low, high = paired_bootstrap(before, after)
    each = after.mean(axis=0) - before.mean(axis=0)
    assert (low + high) / 2 == pytest.approx(each.mean(), abs=0.1 * changes.std())
    assert high - low == pytest.approx(2 * 1.96 * each.std() / sqrt(250), rel=0.05)


def test_pairing_takes_out_what_all_networks_find_hard():
    """The same digits are hard for both, so that the change is known far better than either error."""
    before, after = networks(5, 2000, 0.1, 1), networks(5, 2000, 0.1, 2)
    paired = np.subtract(*paired_bootstrap(before, after)[::-1])
    order = np.random.default_rng(0).permutation(2000)
    unpaired = np.subtract(*paired_bootstrap(before, after[:, order])[::-1])
    assert paired < unpaired / 1.5


def test_the_paired_bootstrap_of_equals_is_nothing_and_of_two_calls_the_same():
    before, after = networks(5, 400, 0.1, 1), networks(5, 400, 0.06, 2)
    assert paired_bootstrap(before, before) == (0.0, 0.0)
    # Other networks with the same mean on every digit are no change either.
    assert paired_bootstrap(before, before[::-1]) == (0.0, 0.0)
    first = paired_bootstrap(before, after)
    np.random.seed(7)
    assert paired_bootstrap(before, after) == first
    assert all(type(end) is float for end in first)
    low, high = first
    assert low <= after.mean() - before.mean() <= high
    back = paired_bootstrap(after, before)
    assert back == pytest.approx((-high, -low), abs=0.1 * (high - low))
    narrow = paired_bootstrap(before, after, confidence=0.5)
    assert low < narrow[0] < narrow[1] < high


def test_the_paired_bootstraps_interval_holds_the_truth_about_as_often_as_it_says():
    hard = np.random.default_rng(5).gamma(0.5, 2, 100_000)
    # The change that the two recipes make on all the digits that there are.
    truth = (np.minimum(0.06 * hard, 1) - np.minimum(0.1 * hard, 1)).mean()
    draw, held = np.random.default_rng(6), 0
    for trial in range(200):
        some = draw.choice(hard, 500)
        before = networks(3, 500, 0.10, 2 * trial, some)
        after = networks(3, 500, 0.06, 2 * trial + 1, some)
        low, high = paired_bootstrap(before, after, resamples=500)
        held += low <= truth <= high
    # Binomial, 200 trials at 0.95: 190 ± 3.1.
    assert 178 <= held <= 199


def test_one_digit_of_two_hundred_changes_the_error_by_half_a_percent():
    """By hand: one digit in n, drawn k times with the chance of Poisson(1): 0 to 3 times in the middle 95 %."""
    before, after = np.zeros((2, 200), bool), np.zeros((2, 200), bool)
    after[:, 17] = True
    assert paired_bootstrap(before, after) == (0.0, 3 / 200)


@pytest.mark.parametrize(
    ("before", "after"),
    [((5, 10), (5, 9)), ((10,), (10,)), ((5, 10), (10,)), ((2, 5, 10), (2, 5, 10))],
)
def test_a_bootstrap_of_other_digits_is_refused(before, after):
    with pytest.raises(ValueError, match="shapes") as refused:
        paired_bootstrap(np.zeros(before, bool), np.zeros(after, bool))
    assert str(before) in str(refused.value)
    assert str(after) in str(refused.value)
    assert "(networks, images)" in str(refused.value)


def wrong(digits, *positions):
    """Return errors at these positions, bool (digits,)."""
    found = np.zeros(digits, bool)
    found[list(positions)] = True
    return found


def test_mcnemars_test_by_hand():
    """Of five digits that differ, one fell to the one side: 2 · (1 + 5) / 2⁵; both wrong at 9 says nothing."""
    before, after = wrong(1000, 9, 100), wrong(1000, 9, 1, 2, 3, 4)
    assert mcnemar(before, after) == McNemar(1, 4, pytest.approx(12 / 32))
    assert mcnemar(after, before) == McNemar(4, 1, pytest.approx(12 / 32))
    assert mcnemar(before, before) == McNemar(0, 0, 1.0)
    # As many on either side: nothing could be less surprising.
    assert mcnemar(wrong(9, 0, 1), wrong(9, 2, 3)) == McNemar(2, 2, 1.0)
    found = mcnemar(before, after)
    assert [type(value) for value in found] == [int, int, float]


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 20))
def test_mcnemars_p_is_the_binomial_tests_and_the_tails_of_a_fair_coin(
    one, other, both
):
    before = np.array([True] * one + [False] * other + [True] * both + [False] * 3)
    after = np.array([False] * one + [True] * other + [True] * both + [False] * 3)
    found = mcnemar(before, after)
    assert found[:2] == (one, other)
    count = one + other
    if count:
        assert found.p == binomtest(one, count, 0.5).pvalue
    tail = sum(comb(count, k) for k in range(min(one, other) + 1)) / 2**count
    assert found.p == pytest.approx(min(1.0, 2 * tail))


@pytest.mark.parametrize(
    ("before", "after"), [((10,), (9,)), ((2, 10), (2, 10)), ((10,), (1, 10))]
)
def test_mcnemars_test_of_other_digits_is_refused(before, after):
    with pytest.raises(ValueError, match="shapes") as refused:
        mcnemar(np.zeros(before, bool), np.zeros(after, bool))
    assert str(before) in str(refused.value)
    assert str(after) in str(refused.value)
    assert "(images,)" in str(refused.value)


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """A folder that stands for the package's records, with two runs of `cut/step` and their test errors."""
    monkeypatch.setattr(records, "RECORDED", tmp_path)
    runs = dict.fromkeys(["cut/step/b", "cut/step/a", "other/a"], watched_record())
    errors = {
        ("cut/step/b", 1): [2],
        ("cut/step/a", 1): [0, 4],
        ("cut/step/a", 16): [5],
        ("other/a", 1): [1],
    }
    made.write_tables(tmp_path, runs, errors, num_test=6)
    yield tmp_path
    records.table.cache_clear()


def test_recorded_errors_are_a_row_for_each_run(recorded):
    found = evaluation.recorded_misclassified("cut/step")
    assert found.dtype == bool
    assert found.astype(int).tolist() == [[1, 0, 0, 0, 1, 0], [0, 0, 1, 0, 0, 0]]
    errors = evaluation.recorded_errors("cut/step")
    assert errors.to_dict() == {"a": 2 / 6, "b": 1 / 6}


def test_recorded_mistakes_are_those_of_one_run_with_its_views(recorded):
    table = evaluation.recorded_mistakes("cut/step/a")
    assert table.to_dict("list") == {
        "position": [0, 4],
        "label": [1, 1],
        "prediction": [7, 7],
    }
    table = evaluation.recorded_mistakes("cut/step/a", views=16)
    assert table["position"].tolist() == [5]


def test_recorded_errors_need_runs_that_were_tested_with_these_views(recorded):
    with pytest.raises(RecordError) as refused:
        evaluation.recorded_misclassified("cut/step", views=16)
    assert "'cut/step/b'" in str(refused.value)
    assert "16 views" in str(refused.value)
    with pytest.raises(RecordError, match="'cut'"):
        evaluation.recorded_misclassified("cut")


def test_trials_are_what_was_tried_and_the_last_validation(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "RECORDED", tmp_path)
    recipe = Recipe(
        learning_rate=OneCycle(0.006, 2),
        weight_decay=0.1,
        distortion=Distortion(rotation=1),
    )
    epochs = [made.epoch(1), made.epoch(2, val_loss=0.25, val_accuracy=0.75)]
    runs = {
        "tried/one": Record(made.config(recipe=recipe), epochs=epochs),
        "tried/two": Record(made.config(), epochs=epochs[:1]),
    }
    made.write_tables(tmp_path, runs)
    table = evaluation.trials("tried")
    records.table.cache_clear()
    assert table.loc["one"].tolist() == ["adam", 0.006, 0.1, True, 2, 0.25, 0.25]
    assert table.loc["two"].tolist() == ["adam", 0.001, 0.0, False, 1, 0.5, 0.5]


def test_test_time_augmentation_is_the_mean_over_distorted_copies():
    digits = small.dataset().test
    model = models.build(LENET5, seed=1)
    distortion = Distortion(translation=2.0, rotation=20.0)
    once = evaluation.evaluate(model, digits)
    found = evaluation.evaluate(model, digits, 3, distortion)
    copies = [
        augment.distort(digits.images, distortion, 0, view) for view in (1, 2, 3)
    ]
    outputs = [model(data.prepare(images)).numpy() for images in copies]
    assert found.probabilities == pytest.approx(np.mean(outputs, axis=0), abs=1e-5)
    assert found.probabilities.sum(axis=1) == pytest.approx(1.0, abs=1e-5)
    assert np.abs(found.probabilities - once.probabilities).max() > 1e-4
    assert found.labels is digits.labels
    again = evaluation.evaluate(model, digits, 3, distortion)
    assert (again.probabilities == found.probabilities).all()
    one = evaluation.evaluate(model, digits, 1, distortion)
    assert (one.probabilities == once.probabilities).all()


def test_several_views_need_a_distortion_and_a_number():
    digits, model = small.dataset().test, models.build(LENET5)
    with pytest.raises(ValueError, match="views is 3 and distortion is None"):
        evaluation.evaluate(model, digits, 3)
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="views is"):
            evaluation.evaluate(model, digits, wrong, Distortion(translation=1.0))


def test_the_standard_error_is_the_spread_of_the_difference_of_two_means():
    """Against what drawing many pairs of samples of five gives."""
    rng = np.random.default_rng(0)
    before = rng.normal(1.0, 0.3, (20_000, 5))
    after = rng.normal(0.7, 0.4, (20_000, 5))
    seen = (after.mean(axis=1) - before.mean(axis=1)).std()
    standard_error = evaluation.standard_error_of_difference
    told = [standard_error(*pair) ** 2 for pair in zip(before, after, strict=True)]
    assert np.sqrt(np.mean(told)) == pytest.approx(seen, rel=0.02)
    assert standard_error(np.full(5, 2.0), np.full(5, 1.0)) == 0
