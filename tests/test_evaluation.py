"""The error and its interval, the mistakes, and what choosing the best candidate does, on answers made by hand."""

from math import comb, sqrt

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lenet5lib import evaluation, models
from lenet5lib.data import Digits
from lenet5lib.evaluation import Evaluation, error_interval
from lenet5lib.records import Record
from lenet5lib.spec import LENET5


def answers(labels, predictions, confidence=0.6):
    """Return an evaluation in which each prediction gets `confidence` and the other classes share the rest."""
    probabilities = np.full((len(labels), 10), (1 - confidence) / 9, np.float32)
    probabilities[np.arange(len(labels)), predictions] = confidence
    return Evaluation(probabilities, np.array(labels, np.uint8))


LABELS = [0, 1, 2, 3, 4, 4, 4, 9, 9, 7]
PREDICTIONS = [0, 1, 2, 5, 9, 9, 4, 4, 9, 1]


@pytest.fixture
def ten():
    return answers(LABELS, PREDICTIONS)


def test_predictions_mistakes_and_error(ten):
    assert ten.predictions.tolist() == PREDICTIONS
    assert ten.mistakes.tolist() == [3, 4, 5, 7, 9]
    assert (ten.count, ten.error) == (10, 0.5)


def test_a_perfect_and_a_hopeless_model():
    assert answers([1, 2], [1, 2]).error == 0
    assert answers([1, 2], [2, 1]).error == 1


def test_the_confusion_matrix_has_labels_in_rows_and_answers_in_columns(ten):
    matrix = ten.confusion()
    assert (matrix.shape, matrix.index.name, matrix.columns.name) == (
        (10, 10),
        "label",
        "answer",
    )
    assert matrix.loc[4].tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0, 2]
    assert matrix.loc[9, 4] == 1
    assert matrix.to_numpy().sum() == 10
    assert np.trace(matrix.to_numpy()) == 5
    assert matrix.loc[8].sum() == 0


def test_confused_pairs_come_commonest_first_and_are_only_mistakes(ten):
    pairs = ten.confused_pairs(3)
    assert pairs.to_numpy().tolist() == [[4, 9, 2], [3, 5, 1], [7, 1, 1]]
    assert list(pairs.columns) == ["label", "answer", "digits"]
    assert ten.confused_pairs(1).to_numpy().tolist() == [[4, 9, 2]]


def test_confused_pairs_are_never_padded_with_pairs_that_nobody_confused(ten):
    assert ten.confused_pairs(50)["digits"].tolist() == [2, 1, 1, 1]
    assert len(answers([1, 2], [1, 2]).confused_pairs(5)) == 0


def test_the_hardest_digits_are_those_whose_label_got_the_least():
    probabilities = np.full((4, 10), 0.1, np.float32)
    probabilities[np.arange(4), [0, 1, 2, 3]] = [0.9, 0.05, 0.5, 0.01]
    hard = Evaluation(probabilities, np.arange(4))
    assert hard.hardest(2).tolist() == [3, 1]
    assert hard.hardest(10).tolist() == [3, 1, 2, 0]


def test_digits_that_are_equally_hard_stand_in_the_order_of_the_file():
    assert answers([5] * 30, [5] * 30).hardest(30).tolist() == list(range(30))


def test_the_error_is_written_with_its_interval():
    result = answers([0] * 9_900 + [1] * 100, [0] * 10_000)
    assert (
        str(result)
        == "100 of 10,000 wrong: error 1.00%, 95 % interval 0.82% to 1.21%"
    )
    assert result.interval() == error_interval(100, 10_000)
    assert result.interval(0.5) == error_interval(100, 10_000, 0.5)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.integers(1, 20_000), st.floats(0, 1))
def test_the_interval_is_wilsons(count, share):
    wrong = round(share * count)
    z, p = 1.959963984540054, wrong / count
    middle = (p + z * z / (2 * count)) / (1 + z * z / count)
    half = (
        z
        * sqrt(p * (1 - p) / count + z * z / (4 * count * count))
        / (1 + z * z / count)
    )
    low, high = error_interval(wrong, count)
    assert low == pytest.approx(middle - half, abs=1e-9)
    assert high == pytest.approx(middle + half, abs=1e-9)
    assert 0 <= low <= p <= high <= 1


def test_a_higher_confidence_gives_a_wider_interval():
    (low, high), (lower, higher) = (
        error_interval(80, 10_000, 0.9),
        error_interval(80, 10_000, 0.99),
    )
    assert lower < low < high < higher


@pytest.mark.parametrize(("wrong", "count"), [(-1, 10), (11, 10), (0, 0)])
def test_an_impossible_count_is_refused(wrong, count):
    with pytest.raises(ValueError, match="wrong is") as caught:
        error_interval(wrong, count)
    assert str(caught.value) == (
        f"wrong is {wrong} of {count}; expected 0 to the count, and a count above 0. Check the order."
    )


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
    rng = np.random.default_rng(0)
    digits = Digits(
        rng.integers(0, 256, (7, 28, 28)).astype(np.uint8),
        (np.arange(7) % 10).astype(np.uint8),
    )
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
    } | changed
    lines = [
        {"epoch": n + 1, "loss": 0.1, "accuracy": 0.9, "test_loss": 0.3}
        | {name: values[n] for name, values in columns.items()}
        for n in range(4)
    ]
    return Record({"data": {"source": "x", "watched test digits": "y"}}, lines)


def test_each_rule_chooses_its_epoch_and_all_are_judged_by_the_test_digits():
    table = evaluation.choices(watched_record())
    assert table["epoch"].tolist() == [3, 2, 3, 4]
    assert table["test error"].tolist() == pytest.approx([0.05, 0.08, 0.05, 0.06])
    # The test errors decide nothing but the first rule's choice.
    other = evaluation.choices(watched_record(test_accuracy=[0.99, 0.5, 0.6, 0.7]))
    assert other["epoch"].tolist() == [1, 2, 3, 4]


def test_choices_need_a_watched_test_set():
    record = watched_record()
    del record.config["data"]["watched test digits"]
    with pytest.raises(ValueError, match="the record has no test errors"):
        evaluation.choices(record)
