"""The modern LeNet-5 in ten lines of plain Keras, as chapter 4 shows and calls it.

It imports Keras alone, so that its lines can be copied; every import of it goes through the package, whose first module has
checked Keras's settings by then. It is not what the library trains: `build` makes the same network from its specification.
"""

import keras
from keras import layers


def lenet5() -> keras.Sequential:
    """Return the modern LeNet-5, untrained: float32 images (batch, 28, 28, 1) in, probabilities (batch, 10) out."""
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(6, 5, padding="same", activation="sigmoid", name="C1"),
            layers.AveragePooling2D(2, name="S2"),
            layers.Conv2D(16, 5, activation="sigmoid", name="C3"),
            layers.AveragePooling2D(2, name="S4"),
            layers.Flatten(name="Flatten"),
            layers.Dense(120, activation="sigmoid", name="C5"),
            layers.Dense(84, activation="sigmoid", name="F6"),
            layers.Dense(10, activation="softmax", name="Output"),
        ],
        name="LeNet-5",
    )
