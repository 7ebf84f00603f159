"""The short loops of chapter 2 give the numbers of the compiled ones; the learned kernel is the true one."""

import numpy as np
import pytest

from lenet5lib.loops import first, plain
from lenet5lib.studies import learned_kernel

RNG = np.random.default_rng(2)
EDGES = np.array([[-1, 0, 1]] * 3)


@pytest.mark.parametrize(("shape", "k"), [((5, 5), 3), ((7, 4), 2), ((3, 6), 3)])
def test_one_map_is_the_compiled_loop_with_one_channel(shape, k):
    x, w = RNG.normal(size=shape), RNG.normal(size=(k, k))
    expected = plain.convolve(x[np.newaxis], w[np.newaxis, np.newaxis], np.ones(1))
    np.testing.assert_allclose(first.convolve(x, w, 1), expected[0])


@pytest.mark.parametrize(("maps", "filters"), [(1, 1), (2, 3), (6, 4)])
def test_several_maps_are_the_compiled_loop(maps, filters):
    x, w = RNG.normal(size=(6, 5, maps)), RNG.normal(size=(3, 3, maps, filters))
    b = RNG.normal(size=filters)
    expected = plain.convolve(x.transpose(2, 0, 1), w.transpose(3, 2, 0, 1), b)
    found = first.convolve_maps(x, w, b)
    np.testing.assert_allclose(found, expected.transpose(1, 2, 0))


def test_a_kernel_is_found_and_the_loss_falls():
    x = RNG.integers(0, 2, (9, 9))
    wanted = first.convolve(x, EDGES, 0)
    kernels, losses = learned_kernel.learn(x, wanted, learning_rate=0.01, steps=400)
    assert len(kernels) == len(losses) == 401
    assert not kernels[0].any()
    assert losses[0] == 0.5 * np.sum(wanted**2)
    assert all(np.diff(losses) <= 0)
    np.testing.assert_allclose(kernels[-1], EDGES, atol=1e-3)


def test_a_step_goes_against_the_gradient_of_finite_differences():
    x, target = RNG.normal(size=(5, 5)), RNG.normal(size=(3, 3))
    kernels, losses = learned_kernel.learn(x, target, learning_rate=1e-3, steps=2)
    gradient = (kernels[1] - kernels[2]) / 1e-3
    for u, v in np.ndindex(3, 3):
        moved = kernels[1].copy()
        moved[u, v] += 1e-6
        loss = 0.5 * np.sum((first.convolve(x, moved, 0) - target) ** 2)
        assert (loss - losses[1]) / 1e-6 == pytest.approx(gradient[u, v], abs=1e-4)
