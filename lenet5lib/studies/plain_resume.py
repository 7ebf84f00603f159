"""Exact resume in plain Keras: a training run that may be killed at any moment and goes on by the same command.

Chapter 7 is about this file. It imports nothing of the library, so it can be copied. To run it by itself:
`python plain_resume.py FOLDER EPOCHS IMAGES.npz`, where the arrays are `x`, (n, 28, 28) from 0 to 1, and `y`, (n,).
"""

import json
import os
import sys

import h5py
import keras
import numpy as np
from keras import layers


def train(
    folder: str, epochs: int, x: np.ndarray, y: np.ndarray, seed: int = 0
) -> keras.Model:
    """Train up to an epoch, from the folder's checkpoint if there is one.

    Args:
        folder: an existing one, which gets `last.weights.h5`.
        epochs: in all, those in the checkpoint included.
        x: images, (n, 28, 28), from 0 to 1.
        y: labels, (n,), from 0 to 9.
        seed: of the initial weights, the orders and the dropout.

    Returns:
        The trained model.
    """
    keras.utils.set_random_seed(seed)
    dropout = layers.Dropout(0.5)
    hidden, output = layers.Dense(32, "relu"), layers.Dense(10, "softmax")
    model = keras.Sequential(
        [keras.Input((28, 28)), layers.Flatten(), hidden, dropout, output]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    model.optimizer.build(model.trainable_variables)

    last = os.path.join(folder, "last.weights.h5")
    new = os.path.join(folder, "new.weights.h5")
    losses = []
    if os.path.exists(last):
        model.load_weights(last)
        with h5py.File(last) as file:
            losses = json.loads(file.attrs["losses"])

    for epoch in range(len(losses), epochs):
        order = np.random.default_rng([seed, epoch]).permutation(len(x))
        dropout.seed_generator.state.assign([seed, epoch * 1_000_000])
        result = model.fit(
            x[order], y[order], batch_size=32, shuffle=False, verbose=0
        )
        losses.append(result.history["loss"][0])
        model.save_weights(new)
        with h5py.File(new, "a") as file:
            file.attrs["losses"] = json.dumps(losses)
        with open(new, "r+b") as file:
            os.fsync(file.fileno())
        os.replace(new, last)
    return model


if __name__ == "__main__":
    arrays = np.load(sys.argv[3])
    os.makedirs(sys.argv[1], exist_ok=True)
    train(sys.argv[1], int(sys.argv[2]), arrays["x"], arrays["y"])
