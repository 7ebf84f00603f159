"""Random numbers without TensorFlow: those of TensorFlow and Keras, bit for bit; by NumPy and compiled by numba."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from lenet5lib.lenet1998 import layers
from lenet5lib.loops import philox

SHAPES = [(1,), (3,), (4,), (0, 5), (5, 5, 1, 6), (400, 120), (2**16 + 3,)]
"""Of numbers that four divides and does not, none, and more than 2^16."""


def test_known_answers_of_the_authors():
    """Source: kat_vectors of the authors' Random123, philox4x32 of 10 rounds."""
    ones = np.uint64(2**32 - 1)
    found = philox.philox_4x32(*[np.uint64(0)] * 6)
    assert [hex(word) for word in found] == [
        "0x6627e8d5",
        "0xe169c58d",
        "0xbc57ac4c",
        "0x9b00dbd8",
    ]
    found = philox.philox_4x32(*[ones] * 6)
    assert [hex(word) for word in found] == [
        "0x408f276d",
        "0x41c83b0e",
        "0xa20bc7c6",
        "0x6d5451fd",
    ]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seeds", [(0, 0), (1, 0), (7, 123_456), (2**31 - 1, 3)])
def test_random_bits_are_tensorflow_s(shape, seeds):
    expected = tf.random.stateless_uniform(
        shape, seeds, None, None, tf.uint32, alg="philox"
    )
    found = philox.random_bits(shape, *seeds)
    assert found.dtype == np.uint32
    np.testing.assert_array_equal(found, expected.numpy())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", [0, 1, 3003, 2**31 - 3, 2**31 - 2, 2**31 + 5])
def test_uniform_numbers_are_keras_s(shape, seed):
    expected = keras.random.uniform(shape, -0.3, 0.7, seed=seed).numpy()
    found = philox.uniform(shape, -0.3, 0.7, seed)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def dropout_mask(shape, rate, seed, step):
    """The values that `layers.Dropout` keeps, by NumPy."""
    bits = philox.random_bits(shape, seed % 2**31, step)
    return bits.view(np.int32) >= philox.dropout_threshold(rate)


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("seed", [0, 5, 2**31 + 3])
@pytest.mark.parametrize("compiled", [False, True])
def test_a_mask_keeps_what_the_dropout_layer_keeps(rate, seed, compiled):
    layer = layers.Dropout(rate, seed)
    call = tf.function(layer, jit_compile=compiled)
    for step, shape in ((0, (3, 5)), (1, (33, 7, 3)), (123_456, (600, 120))):
        layer.step.assign(step)
        expected = call(tf.ones(shape), training=True).numpy() != 0
        found = dropout_mask(shape, rate, seed, step)
        assert found.dtype == bool
        np.testing.assert_array_equal(found, expected)


def test_a_rate_of_zero_keeps_all():
    assert dropout_mask((1000,), 0, 1, 2).all()


def test_a_negative_seed_is_refused():
    with pytest.raises(OverflowError):
        philox.key_and_counter(-1, 0)


def test_compiled_by_numba_the_numbers_are_the_same():
    numba = pytest.importorskip("numba")
    four = numba.njit(philox.philox_4x32)

    @numba.njit
    def fill(key0, key1, c2, c3, words):
        for n in range(len(words)):
            zero, one, two, three = four(
                key0, key1, np.uint64(n), np.uint64(0), c2, c3
            )
            words[n, 0], words[n, 1] = np.uint32(zero), np.uint32(one)
            words[n, 2], words[n, 3] = np.uint32(two), np.uint32(three)

    words = np.empty((20_000, 4), np.uint32)
    fill(*philox.key_and_counter(7, 9), words)
    expected = philox.random_bits(words.shape, 7, 9)
    np.testing.assert_array_equal(words, expected)
    # A mask as such a loop makes it, one comparison of whole numbers for each value.
    kept = words.ravel().view(np.int32) >= philox.dropout_threshold(0.4)
    mask = dropout_mask((80_000,), 0.4, seed=7, step=9)
    np.testing.assert_array_equal(kept, mask)
