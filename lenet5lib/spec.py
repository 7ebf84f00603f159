"""The architecture's specification: what the layers are, and nothing else.

One `Architecture` drives the counting (`arithmetic`), the Keras model (`models`), the diagram (`plots`) and every table.
This module holds no formula and imports nothing outside the standard library. It serves chapters 2 to 4.

Shapes are `(height, width, maps)`, channels last; a flat vector has the shape `(units,)`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

Pair = tuple[int, int]

PADDINGS = ("valid", "same")
POOL_MODES = ("average", "max")
ACTIVATIONS = ("linear", "sigmoid", "tanh", "relu", "softmax")


def pair(value: int | Pair) -> Pair:
    """Return `value` as (height, width): 5 becomes (5, 5).

    >>> pair(5), pair((3, 1))
    ((5, 5), (3, 1))
    """
    return (
        (value[0], value[1]) if isinstance(value, (tuple, list)) else (value, value)
    )


def require_size(what: str, value: Any, minimum: int = 1) -> int:
    """Return `value` if it is a whole number of at least `minimum`, else raise ValueError naming `what`."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ValueError(
            f"{what} is {value!r}; expected a whole number. Write it without a fraction or quotes."
        )
    if value.__index__() < minimum:
        raise ValueError(
            f"{what} is {value}; expected {minimum} or more. Choose a larger number."
        )
    return value.__index__()


def require_pair(what: str, value: Any) -> None:
    """Raise ValueError unless `value` is one size or a (height, width) of two sizes, each 1 or more."""
    if not isinstance(value, (tuple, list)):
        require_size(what, value)
    elif len(value) != 2:
        raise ValueError(
            f"{what} is {value!r}; expected one size or (height, width). Give one or two numbers."
        )
    else:
        for size in value:
            require_size(what, size)


def require_choice(what: str, value: Any, choices: tuple[str, ...]) -> None:
    """Raise ValueError unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(
            f"{what} is {value!r}; expected one of {', '.join(choices)}. Choose one of these."
        )


@dataclass(frozen=True)
class Conv:
    """A convolution: `maps` kernels of `kernel_size` over all input maps, a bias each, then the activation."""

    name: str
    maps: int
    kernel_size: int | Pair
    stride: int | Pair = 1
    padding: str = "valid"
    activation: str = "linear"
    kind: ClassVar[str] = "convolution"

    def __post_init__(self) -> None:
        require_size(f"maps of {self.name}", self.maps)
        require_pair(f"kernel_size of {self.name}", self.kernel_size)
        require_pair(f"stride of {self.name}", self.stride)
        require_choice(f"padding of {self.name}", self.padding, PADDINGS)
        require_choice(f"activation of {self.name}", self.activation, ACTIVATIONS)


@dataclass(frozen=True)
class Pool:
    """Average or max pooling over windows of `size`; `stride` is the size where none is given."""

    name: str
    mode: str = "average"
    size: int | Pair = 2
    stride: int | Pair | None = None
    padding: str = "valid"
    kind: ClassVar[str] = "pooling"

    def __post_init__(self) -> None:
        require_choice(f"mode of {self.name}", self.mode, POOL_MODES)
        require_pair(f"size of {self.name}", self.size)
        if self.stride is not None:
            require_pair(f"stride of {self.name}", self.stride)
        require_choice(f"padding of {self.name}", self.padding, PADDINGS)

    @property
    def step(self) -> Pair:
        """The stride in force, as (height, width)."""
        return pair(self.size if self.stride is None else self.stride)


@dataclass(frozen=True)
class Flatten:
    """Lay maps of (height, width, maps) out as one vector."""

    name: str = "Flatten"
    kind: ClassVar[str] = "flatten"


@dataclass(frozen=True)
class Dense:
    """A dense (fully connected) layer: each unit reads every input, adds a bias, then the activation."""

    name: str
    units: int
    activation: str = "linear"
    kind: ClassVar[str] = "dense"

    def __post_init__(self) -> None:
        require_size(f"units of {self.name}", self.units)
        require_choice(f"activation of {self.name}", self.activation, ACTIVATIONS)


Layer = Conv | Pool | Flatten | Dense
KINDS: dict[str, type] = {
    layer.kind: layer for layer in (Conv, Pool, Flatten, Dense)
}


def require_layer(layer: Any) -> None:
    """Raise ValueError unless `layer` is of a kind that this module defines."""
    if not isinstance(layer, tuple(KINDS.values())):
        raise ValueError(
            f"unknown layer kind {type(layer).__name__!r}; expected one of "
            f"{', '.join(k.__name__ for k in KINDS.values())}. Build the layer from lenet5lib.spec."
        )


@dataclass(frozen=True)
class Architecture:
    """A network: its name, the shape of one input (height, width, maps), and its layers in order.

    Raises:
        ValueError: a layer of unknown kind, two layers of one name, an input shape that is not three sizes.
    """

    name: str
    input_shape: tuple[int, int, int]
    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        if (
            not isinstance(self.input_shape, (tuple, list))
            or len(self.input_shape) != 3
        ):
            raise ValueError(
                f"input_shape is {self.input_shape!r}; expected (height, width, maps). A grey image has 1 map."
            )
        for size in self.input_shape:
            require_size("input_shape", size)
        for layer in self.layers:
            require_layer(layer)
        names = [layer.name for layer in self.layers]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(
                    f"{names.count(name)} layers are named {name!r}; expected each name once. Rename one."
                )

    def __getitem__(self, name: str) -> Layer:
        """Return the layer called `name`."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(
            f"no layer {name!r} in {self.name}; it has {', '.join(layer.name for layer in self.layers)}"
        )

    def change(self, layer_name: str, **changes: Any) -> Architecture:
        """Return a copy in which one layer has other values: ``LENET5.change("C3", maps=32)``.

        >>> LENET5.change("C3", maps=32)["C3"].maps
        32
        """
        changed = dataclasses.replace(self[layer_name], **changes)
        layers = tuple(
            changed if layer.name == layer_name else layer for layer in self.layers
        )
        return dataclasses.replace(self, layers=layers)

    def with_hidden_activation(self, activation: str) -> Architecture:
        """Return a copy in which every layer but the last uses `activation`."""
        layers = tuple(
            dataclasses.replace(layer, activation=activation)
            if hasattr(layer, "activation")
            else layer
            for layer in self.layers[:-1]
        )
        return dataclasses.replace(self, layers=(*layers, self.layers[-1]))

    def to_dict(self) -> dict[str, Any]:
        """Return the architecture as plain JSON values; `from_dict` reads them back."""
        layers = [
            {"kind": layer.kind}
            | {
                key: list(value) if isinstance(value, tuple) else value
                for key, value in vars(layer).items()
            }
            for layer in self.layers
        ]
        return {
            "name": self.name,
            "input_shape": list(self.input_shape),
            "layers": layers,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Architecture:
        """Build the architecture that `to_dict` wrote.

        >>> Architecture.from_dict(LENET5.to_dict()) == LENET5
        True

        Raises:
            ValueError: a layer of unknown kind.
        """
        layers = []
        for entry in values["layers"]:
            fields = {
                key: tuple(value) if isinstance(value, list) else value
                for key, value in entry.items()
            }
            kind = fields.pop("kind", None)
            require_choice("layer kind", kind, tuple(KINDS))
            layers.append(KINDS[kind](**fields))
        return cls(values["name"], tuple(values["input_shape"]), tuple(layers))


def _lenet5(
    name: str, side: int, padding: str, c5: tuple[Layer, ...]
) -> Architecture:
    """The article's layers for a `side`×`side` input; only C1's padding and the form of C5 differ."""
    return Architecture(
        name,
        (side, side, 1),
        (
            Conv(
                "C1", maps=6, kernel_size=5, padding=padding, activation="sigmoid"
            ),
            Pool("S2"),
            Conv("C3", maps=16, kernel_size=5, activation="sigmoid"),
            Pool("S4"),
            *c5,
            Dense("F6", units=84, activation="sigmoid"),
            Dense("Output", units=10, activation="softmax"),
        ),
    )


LENET5 = _lenet5(
    "LeNet-5, the article's 28×28 form",
    28,
    "same",
    (Flatten(), Dense("C5", units=120, activation="sigmoid")),
)
"""The article's network as its code builds it: 28×28 input, padded C1, C5 as a dense layer; 61,706 parameters."""

LENET5_32 = _lenet5(
    "LeNet-5, the article's 32×32 form",
    32,
    "valid",
    (Conv("C5", maps=120, kernel_size=5, activation="sigmoid"), Flatten()),
)
"""The article's network as its text describes it: 32×32 input, no padding, C5 as a convolution; 61,706 parameters."""

ARCHITECTURES = {"lenet5": LENET5, "lenet5-32": LENET5_32}
"""The architectures that the command line knows by name."""
