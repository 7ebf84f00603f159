"""The architecture's specification: what the layers are, and nothing else.

One `Architecture` drives the counting (`arithmetic`), the Keras model (`models`), the diagram (`plots`) and every table.
This module holds no formula and imports nothing outside the standard library. It serves chapters 2 to 4, and 11 to 13.

Shapes are `(height, width, channels)`, channels last; a flat vector has the shape `(units,)`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, assert_never, get_args

from lenet5lib import _checks
from lenet5lib._checks import (
    ONE,
    from_plain,
    is_number,
    make,
    put,
    require_choice,
    require_int,
    require_name,
    require_number,
    require_pair,
    require_table,
    to_plain,
)

Pair = tuple[int, int]
Table = tuple[tuple[int, ...], ...]

PADDINGS = ("valid", "same")
POOL_MODES = ("average", "max")
ACTIVATIONS = ("linear", "sigmoid", "tanh", "scaled_tanh", "relu", "softmax")


def pair(value: int | Pair) -> Pair:
    """Return `value` as (height, width): 5 becomes (5, 5).

    >>> pair(5), pair((3, 1))
    ((5, 5), (3, 1))
    """
    if isinstance(value, tuple | list):
        return value[0], value[1]
    return value, value


class Checked(_checks.Checked):
    """A layer, whose values become Python's own numbers; `CHECKS` names a check for each field of any kind of layer."""

    CHECKS: ClassVar = {
        "name": require_name,
        **dict.fromkeys(("filters", "units"), require_int),
        **dict.fromkeys(("kernel_size", "size", "stride"), require_pair),
        "padding": partial(require_choice, choices=PADDINGS),
        "activation": partial(require_choice, choices=ACTIVATIONS),
        "mode": partial(require_choice, choices=POOL_MODES),
        "rate": partial(require_number, below=ONE),
    }


@dataclass(frozen=True)
class Conv(Checked):
    """A convolution: `filters` kernels of `kernel_size` over all input channels, a bias each, then the activation.

    A `table` lists for each filter the input channels that it reads, numbered from 0. Then there is one kernel for each
    entry, and no other.
    """

    name: str
    filters: int
    kernel_size: int | Pair
    stride: int | Pair = 1
    padding: str = "valid"
    activation: str = "linear"
    table: Table | None = None
    kind: ClassVar[str] = "convolution"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.table is not None:
            what = f"the table of {self.name}"
            table = require_table(what, self.table, self.filters)
            put(self, table=table)


@dataclass(frozen=True)
class Pool(Checked):
    """Average or max pooling over windows of `size`; the default of `stride` is the size."""

    name: str
    mode: str = "average"
    size: int | Pair = 2
    stride: int | Pair | None = None
    padding: str = "valid"
    kind: ClassVar[str] = "pooling"

    @property
    def step(self) -> Pair:
        """The stride in force, as (height, width)."""
        return pair(self.size if self.stride is None else self.stride)


@dataclass(frozen=True)
class Subsample(Checked):
    """Trainable subsampling: the sum of each window, times a coefficient, plus a bias; then the activation.

    Each channel has one coefficient and one bias. Windows of `size` do not overlap; rows and columns beyond the last whole
    window are dropped.
    """

    name: str
    size: int | Pair = 2
    activation: str = "scaled_tanh"
    kind: ClassVar[str] = "subsampling"
    padding: ClassVar[str] = "valid"

    @property
    def step(self) -> Pair:
        """The stride, which is the size, as (height, width)."""
        return pair(self.size)


@dataclass(frozen=True)
class Flatten(Checked):
    """Reshape feature maps of (height, width, channels) into one vector."""

    name: str = "Flatten"
    kind: ClassVar[str] = "flatten"


@dataclass(frozen=True)
class Dense(Checked):
    """A dense (fully connected) layer: each unit reads every input, adds a bias, then the activation."""

    name: str
    units: int
    activation: str = "linear"
    kind: ClassVar[str] = "dense"


@dataclass(frozen=True)
class RBF(Checked):
    """Output units that each compute the squared distance of their input from a fixed code; none of it is trained."""

    name: str
    units: int = 10
    kind: ClassVar[str] = "rbf"


@dataclass(frozen=True)
class Dropout(Checked):
    """While training, set each value to 0 with probability `rate` and divide the others by 1 − rate; else do nothing."""

    name: str
    rate: float
    kind: ClassVar[str] = "dropout"


Layer = Conv | Pool | Subsample | Flatten | Dense | RBF | Dropout
"""All kinds of layer. Every `match` over them ends in `assert_never`, so that mypy names what lacks a new kind."""
KINDS: dict[str, type] = {layer.kind: layer for layer in get_args(Layer)}
"""The kinds of layer by the name that `Architecture.to_dict` writes."""
PIXELS = (0.0, 1.0)
"""The values that background and ink become unless an architecture says otherwise."""


def require_pixel_range(pair: Any) -> tuple[float, float]:
    """Return a pair of finite numbers, the value of background and a larger one of ink."""
    pair = pair.tolist() if hasattr(pair, "tolist") else pair
    if (
        not isinstance(pair, (tuple, list))
        or len(pair) != 2
        or not all(is_number(value) for value in pair)
        or pair[0] >= pair[1]
    ):
        raise ValueError(
            f"pixel_range is {pair!r}; expected the value of background and a larger "
            f"one of ink. The usual range is {PIXELS}."
        )
    return float(pair[0]), float(pair[1])


def require_layer(layer: Any) -> None:
    """Raise ValueError unless `layer` is of a kind that this module defines."""
    if not isinstance(layer, Layer):
        names = ", ".join(kind.__name__ for kind in KINDS.values())
        raise ValueError(
            f"unknown layer kind {type(layer).__name__!r}; expected one of {names}. "
            "Build the layer from lenet5lib.spec."
        )


@dataclass(frozen=True)
class Architecture:
    """A network: its name, the shape of one input (height, width, channels), its layers in order, and its pixel range.

    `pixel_range` is the pair of values that background (0 in the file) and ink (255) become.

    Raises:
        ValueError: a layer of unknown kind, two layers of one name, an input shape that is not three sizes, a pixel range
            that is not two rising numbers.
    """

    name: str
    input_shape: tuple[int, int, int]
    layers: tuple[Layer, ...]
    pixel_range: tuple[float, float] = PIXELS

    def __post_init__(self) -> None:
        shape = self.input_shape
        if not isinstance(shape, (tuple, list)) or len(shape) != 3:
            raise ValueError(
                f"input_shape is {shape!r}; expected (height, width, channels). A "
                "greyscale image has 1 channel."
            )
        sizes = tuple(require_int("input_shape", size) for size in shape)
        range_ = require_pixel_range(self.pixel_range)
        put(self, input_shape=sizes, pixel_range=range_, layers=tuple(self.layers))
        for layer in self.layers:
            require_layer(layer)
        if not self.layers:
            raise ValueError(
                f"{self.name} has no layers; expected some. List them."
            )
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"name is {self.name!r}; expected a text. Give one.")
        names = [layer.name for layer in self.layers]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(
                    f"{names.count(name)} layers are named {name!r}; expected each name "
                    "once. Rename one."
                )

    def __getitem__(self, name: str) -> Layer:
        """Return the layer called `name`."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        names = ", ".join(layer.name for layer in self.layers)
        raise KeyError(f"no layer {name!r} in {self.name}; it has {names}")

    def change(self, layer_name: str, **changes: Any) -> Architecture:
        """Return a copy in which one layer has other values: ``LENET5.change("C3", filters=32)``.

        >>> LENET5.change("C3", filters=32)["C3"].filters
        32
        """
        changed = dataclasses.replace(self[layer_name], **changes)
        layers = tuple(
            changed if layer.name == layer_name else layer for layer in self.layers
        )
        return dataclasses.replace(self, layers=layers)

    def with_hidden_activation(self, activation: str) -> Architecture:
        """Return a copy in which every layer but the last uses `activation`."""
        hidden = (with_activation(layer, activation) for layer in self.layers[:-1])
        return dataclasses.replace(self, layers=(*hidden, self.layers[-1]))

    def to_dict(self) -> dict[str, Any]:
        """Return the architecture as plain JSON values, defaults left out; `from_dict` reads them."""
        return to_plain(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Architecture:
        """Build the architecture that `to_dict` wrote.

        >>> Architecture.from_dict(LENET5.to_dict()) == LENET5
        True

        Raises:
            ValueError: a layer of unknown kind, or a field that this version does not know.
        """
        plain = {key: from_plain(one, KINDS) for key, one in values.items()}
        return make(cls, plain)


def activation_of(layer: Layer) -> str:
    """Return the name of a layer's activation function, "linear" if it has none."""
    match layer:
        case Conv() | Subsample() | Dense():
            return layer.activation
        case Pool() | Flatten() | RBF() | Dropout():
            return "linear"
        case _:
            assert_never(layer)


def with_activation(layer: Layer, activation: str) -> Layer:
    """Return a copy of a layer with this activation, or the layer itself if it has none."""
    match layer:
        case Conv() | Subsample() | Dense():
            return dataclasses.replace(layer, activation=activation)
        case Pool() | Flatten() | RBF() | Dropout():
            return layer
        case _:
            assert_never(layer)


def _lenet5(
    name: str, side: int, padding: str, c5: tuple[Layer, ...]
) -> Architecture:
    """The article's layers for a `side`×`side` input; only C1's padding and the kind of C5 differ."""
    return Architecture(
        name,
        (side, side, 1),
        (
            Conv("C1", 6, kernel_size=5, padding=padding, activation="sigmoid"),
            Pool("S2"),
            Conv("C3", filters=16, kernel_size=5, activation="sigmoid"),
            Pool("S4"),
            *c5,
            Dense("F6", units=84, activation="sigmoid"),
            Dense("Output", units=10, activation="softmax"),
        ),
    )


LENET5 = _lenet5(
    "modern LeNet-5 (28×28)",
    28,
    "same",
    (Flatten(), Dense("C5", units=120, activation="sigmoid")),
)
"""The article's network as its code builds it: 28×28 input, padded C1, C5 as a dense layer; 61,706 parameters."""

LENET5_32 = _lenet5(
    "modern LeNet-5 (32×32)",
    32,
    "valid",
    (Conv("C5", filters=120, kernel_size=5, activation="sigmoid"), Flatten()),
)
"""The article's network as its text describes it: 32×32 input, no padding, C5 as a convolution; 61,706 parameters."""

TABLE_I: Table = (
    (0, 1, 2),
    (1, 2, 3),
    (2, 3, 4),
    (3, 4, 5),
    (0, 4, 5),
    (0, 1, 5),
    (0, 1, 2, 3),
    (1, 2, 3, 4),
    (2, 3, 4, 5),
    (0, 3, 4, 5),
    (0, 1, 4, 5),
    (0, 1, 2, 5),
    (0, 1, 3, 4),
    (1, 2, 4, 5),
    (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)
"""The channels of S2 that each filter of C3 reads. Source: the 1998 paper, table I."""

LENET5_1998 = Architecture(
    "LeNet-5 (1998)",
    (32, 32, 1),
    (
        Conv("C1", filters=6, kernel_size=5, activation="scaled_tanh"),
        Subsample("S2"),
        Conv(
            "C3", filters=16, kernel_size=5, activation="scaled_tanh", table=TABLE_I
        ),
        Subsample("S4"),
        Conv("C5", filters=120, kernel_size=5, activation="scaled_tanh"),
        Flatten(),
        Dense("F6", units=84, activation="scaled_tanh"),
        RBF("Output"),
    ),
    # Assumption: grey levels are linear between the paper's two values, of background and of ink.
    pixel_range=(-0.1, 1.175),
)
"""The network of the paper: 60,000 parameters, 340,908 connections. Source: the 1998 paper, section II.B."""

ARCHITECTURES = {
    "lenet5": LENET5,
    "lenet5-32": LENET5_32,
    "lenet5-1998": LENET5_1998,
}
"""The architectures that the command line knows by name."""

LENET5_TANH = LENET5.with_hidden_activation("scaled_tanh")
LENET5_RELU = LENET5.with_hidden_activation("relu")
LENET5_RELU_MAX = LENET5_RELU.change("S2", mode="max").change("S4", mode="max")
VARIANTS = {
    "lenet5-tanh": LENET5_TANH,
    "lenet5-relu": LENET5_RELU,
    "lenet5-relu-max": LENET5_RELU_MAX,
}
"""The modern LeNet-5 with other activations and pooling, by the names of the command line; chapter 14 trains them."""
