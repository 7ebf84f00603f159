"""The ten codes: their pictures, the cells in doubt, and what is refused."""

import numpy as np
import pytest

from lenet5lib.lenet1998 import codes

TRANSCRIBED = """
 0111110 0000000 0011100 0110110 1100011 1100011 1100011 1100011 0110110 0011100 0000000 0000000
 0001100 0011100 0111100 0001100 0001100 0001100 0001100 0001100 0001100 0111111 0000000 0000000
 0111110 0000000 0111110 1100011 1000011 0000110 0011100 0110000 1100000 1111111 0000000 0000000
 1111111 0000011 0000110 0001100 0011110 0000011 0000011 0000011 1?00011 0111110 0000000 0000000
 0111110 0000000 0000000 0110011 0110011 1110011 1100011 1100011 1100111 0111111 0000011 0000011
 0111110 0000000 1111111 1100000 1100000 0111100 0011110 0000011 1100011 0111110 0000000 0000000
 0011110 0110000 1100000 1100000 1111110 1110011 1100011 1100011 1110011 0111110 0000000 0000000
 1111111 0000011 0000011 0000110 0001100 0001100 0011000 0011000 0011000 0011000 0000000 0000000
 0111110 1100011 1100011 1100011 0111110 1100011 1100011 1100011 1100011 0111110 0000000 0000000
 0111110 1100111 1100011 1100011 1100111 0111111 0000011 0000011 0000110 0111100 0000000 0000000
"""
"""Figure 3's digits as two public transcriptions agree on them, a digit a line, row by row; ? where they differ."""


def test_the_codes_are_what_two_transcriptions_agree_on_in_839_cells():
    cells = [
        list("".join(line.split())) for line in TRANSCRIBED.split("\n") if line
    ]
    cells = np.array(cells)
    agreed = cells != "?"
    assert cells.shape == (10, 84) == codes.DIGITS.shape
    assert agreed.sum() == 839
    np.testing.assert_array_equal(
        codes.DIGITS[agreed], np.where(cells == "1", 1, -1)[agreed]
    )


def test_the_cell_in_doubt_is_ink_and_as_in_the_five():
    doubtful = 8 * codes.WIDTH + 1
    assert codes.DIGITS[3, doubtful] == 1
    three, five = (
        codes.DIGITS[digit].reshape(codes.HEIGHT, codes.WIDTH) for digit in (3, 5)
    )
    np.testing.assert_array_equal(three[7:10], five[7:10])


def test_the_codes_are_plus_and_minus_one_differ_and_cannot_be_written_to():
    assert set(np.unique(codes.DIGITS)) == {-1, 1}
    assert len(np.unique(codes.DIGITS, axis=0)) == 10
    with pytest.raises(ValueError, match="read-only"):
        codes.DIGITS[0, 0] = 1


def test_distances_are_four_for_each_cell_that_differs():
    found = codes.distances()
    for i, j in np.ndindex(10, 10):
        difference = codes.DIGITS[i].astype(int) - codes.DIGITS[j]
        assert found[i, j] == (difference**2).sum()
    apart = found + np.diag([1000] * 10)
    assert apart.min() == found[6, 8] == 48


def test_codes_are_returned_as_numbers_that_a_layer_can_hold():
    found = codes.require_codes(codes.DIGITS.tolist())
    assert (found.dtype, found.shape) == (np.float32, (10, 84))
    assert codes.require_codes([[1, -1.0]], units=1, inputs=2).tolist() == [[1, -1]]


@pytest.mark.parametrize("shape", [(84, 10), (10, 12, 7), (9, 84), (10, 83), ()])
def test_codes_of_a_different_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected \(10, 84\)") as caught:
        codes.require_codes(np.ones(shape))
    assert f"codes have shape {shape}" in str(caught.value)


@pytest.mark.parametrize("value", [0, 0.5, 2, float("nan")])
def test_codes_that_are_not_plus_or_minus_one_are_refused(value):
    wrong = codes.DIGITS.astype(float)
    wrong[3, 57] = value
    with pytest.raises(ValueError, match="unit 3, cell 57") as caught:
        codes.require_codes(wrong)
    assert f"codes hold {float(value)} " in str(caught.value)


def test_the_first_codes_are_those_of_the_first_classes_and_there_are_ten():
    np.testing.assert_array_equal(codes.first_codes(3), codes.DIGITS[:3])
    assert len(codes.first_codes(10)) == 10
    with pytest.raises(ValueError, match="units of Output is 11"):
        codes.first_codes(11, "units of Output")
