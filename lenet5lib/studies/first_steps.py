"""The first 300 steps of the modern LeNet-5 under five activation functions, from the same initial weights (chapter 6).

The recorded curves are made by `benchmarks/first_steps.py` on MNIST. It is an experiment on what holds training back at its
start, not a comparison of activation functions: nothing is trained to the end, and nothing is tested.
"""

from __future__ import annotations

import json

import numpy as np

from lenet5lib import models, records, spec
from lenet5lib._keras import keras
from lenet5lib.data import Digits
from lenet5lib.studies import learning_rate

sigmoid = keras.activations.sigmoid
ACTIVATIONS = {
    "sigmoid": sigmoid,
    "sigmoid − ½": lambda z: sigmoid(z) - 0.5,
    "sigmoid(4z)": lambda z: sigmoid(4 * z),
    "tanh": keras.activations.tanh,
    "ReLU": keras.activations.relu,
}
"""The activation functions that are compared, of C1, C3, C5 and F6."""
STEPS = 300


def build(activation: str, seed: int = 0) -> keras.Model:
    """Build the modern LeNet-5 with one of `ACTIVATIONS`; the initial weights are those of its seed with all of them."""
    model = models.build(spec.LENET5, seed)
    for name in ("C1", "C3", "C5", "F6"):
        model.get_layer(name).activation = ACTIVATIONS[activation]
    return model


def train(activation: str, seed: int, digits: Digits) -> np.ndarray:
    """Train for 300 steps of Adam on batches of 32 and return the mean loss of every ten, (30,), in nats."""
    model = build(activation, seed)
    found = learning_rate.losses_at(model, [0.001] * STEPS, digits, seed)
    return found.reshape(-1, 10).mean(axis=1)


def recorded() -> dict[str, np.ndarray]:
    """Return the recorded losses: activation function to (seeds, 30), each the mean of ten steps."""
    text = (records.RECORDED / "first_steps.json").read_text(encoding="utf-8")
    return {name: np.array(runs) for name, runs in json.loads(text)["runs"].items()}
