"""Chapter 5's experiment with the learning rate takes the steps that it says."""

import numpy as np
import small

from lenet5lib import models
from lenet5lib.spec import LENET5
from lenet5lib.studies import learning_rate


def test_a_step_at_each_rate_from_the_same_start():
    train = small.splits().train
    count = len(train) // 32
    none, some = (
        learning_rate.losses_at(models.build(LENET5), [rate] * count, train)
        for rate in (0.0, 0.01)
    )
    assert len(none) == len(some) == count
    assert none[0] == some[0]
    assert (none[1:] != some[1:]).any()
    assert np.isfinite(some).all()
