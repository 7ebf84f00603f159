"""Checksums of everything that the recorded runs rest on.

They were written before the library was rearranged: a change of one of them makes the recorded runs what the present code
would not compute. `python tests/test_golden.py` prints them.
"""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

from lenet5lib import data, evaluation, records, spec
from lenet5lib.loops import initial
from lenet5lib.training import augment, checkpoint, loop
from lenet5lib.training.recipe import AFFINE, INITIALIZERS, Distortion

GOLDEN = Path(__file__).with_name("golden.json")
KINDS = {
    "translation": Distortion(translation=2),
    "scaling": Distortion(scaling=0.1),
    "squeezing": Distortion(squeezing=0.1),
    "shear": Distortion(shear=0.2),
    "rotation": Distortion(rotation=10),
    "elastic": Distortion(elastic=0.7),
    "affine": AFFINE,
    "all": Distortion(2, 0.1, 0.1, 0.2, 10, 0.7),
}
WITHOUT_AVX512 = {"distortions": {"elastic": "f93ec5d62f91d01f"}}
"""What was computed on a processor without AVX-512, where that differs."""
WITH_MNIST = pytest.mark.skipif(
    not Path(os.environ.get("LENET5_MNIST", "")).is_file(),
    reason="recorded networks were trained on MNIST: set LENET5_MNIST",
)


def checksum(*arrays: np.ndarray) -> str:
    """The SHA-256 of arrays, their types and shapes included; its first 16 digits."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{array.dtype.str}{array.shape}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:16]


def batch() -> np.ndarray:
    """A fixed batch, uint8 (200, 28, 28), more than the distortions take at once."""
    return np.random.default_rng(5).integers(0, 256, (200, 28, 28), np.uint8)


def orders() -> dict[str, str]:
    """The order of the images, for three seeds and three epochs."""
    return {
        f"seed {seed}, epoch {epoch}": checksum(
            loop.epoch_order(seed, epoch, 55_000)
        )
        for seed in (0, 1, 2)
        for epoch in (1, 2, 3)
    }


def distorted() -> dict[str, str]:
    """One batch distorted, each kind alone and all together."""
    return {
        name: checksum(augment.distort(batch(), kind, seed=3, epoch=2))
        for name, kind in KINDS.items()
    }


def initial_weights() -> dict[str, str]:
    """The initial weights of the three networks, by each initializer."""
    found = {}
    for name, architecture in spec.ARCHITECTURES.items():
        for kind in (None, *INITIALIZERS):
            weights = initial.initial_weights(architecture, 7, kind)
            arrays = [array for layer in weights.values() for array in layer]
            found[f"{name}, {kind}"] = checksum(*arrays)
    return found


def stand_in() -> dict[str, str]:
    """The stand-in's arrays, and how they are split."""
    dataset = data.stand_in()
    splits = data.split(dataset)
    parts = {
        "training": dataset.train,
        "test": dataset.test,
        "split: training": splits.train,
        "split: validation": splits.validation,
    }
    return {
        name: checksum(part.images, part.labels) for name, part in parts.items()
    }


def test_errors() -> dict[str, int]:
    """The test errors of every recorded network whose weights are kept."""
    test = data.load_digits(report=lambda line: None).test
    found = {}
    for path in sorted(records.RECORDED.rglob("*.weights.h5")):
        model = checkpoint.load(path.parent, path.name)
        predictions = evaluation.predict(model, test.images).argmax(axis=1)
        name = path.parent.relative_to(records.RECORDED).as_posix()
        found[name] = int((predictions != test.labels).sum())
    return found


test_errors.__test__ = False
STREAMS = {
    "order": orders,
    "distortions": distorted,
    "initial weights": initial_weights,
    "stand-in": stand_in,
}


@pytest.mark.parametrize("name", STREAMS)
def test_the_streams_that_recorded_runs_rest_on_are_as_they_were(name):
    expected = json.loads(GOLDEN.read_text())[name]
    assert STREAMS[name]() in (expected, expected | WITHOUT_AVX512.get(name, {}))


@WITH_MNIST
def test_recorded_networks_make_as_many_errors_as_they_did():
    assert test_errors() == json.loads(GOLDEN.read_text())["test errors"]


if __name__ == "__main__":
    everything = STREAMS | {"test errors": test_errors}
    print(json.dumps({name: make() for name, make in everything.items()}, indent=1))
