"""The specification: what it accepts, what it refuses and what the error names, and its way to JSON and back."""

import json
import re
from typing import get_args

import numpy as np
import pytest

from lenet5lib._checks import require_int
from lenet5lib.spec import (
    ACTIVATIONS,
    ARCHITECTURES,
    KINDS,
    LENET5,
    LENET5_32,
    LENET5_1998,
    PADDINGS,
    POOL_MODES,
    RBF,
    TABLE_I,
    Architecture,
    Conv,
    Dense,
    Dropout,
    Flatten,
    Layer,
    Pool,
    Subsample,
    pair,
    require_layer,
)


def message(function, *args, **kwargs):
    """Return the text of the ValueError that a call raises."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        function(*args, **kwargs)
    return str(caught.value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(5, (5, 5)), ((3, 1), (3, 1)), ([2, 4], (2, 4)), (np.int64(5), (5, 5))],
)
def test_pair_doubles_one_size_and_keeps_two(value, expected):
    assert pair(value) == expected


@pytest.mark.parametrize("value", [2.5, True, "5", None, 2.0, 0, -1])
def test_a_size_that_is_no_positive_whole_number_is_refused(value):
    text = message(require_int, "stride of C1", value)
    assert f"stride of C1 is {value!r}; expected " in text


def test_a_size_is_returned_as_a_plain_int_and_the_minimum_can_be_zero():
    assert type(require_int("seed", np.int64(7))) is int
    assert require_int("seed", 0, minimum=0) == 0
    assert "seed is -1; expected 0" in message(require_int, "seed", -1, minimum=0)


SIZES = {
    "filters of C1": lambda value: Conv("C1", filters=value, kernel_size=5),
    "kernel_size of C1": lambda value: Conv("C1", filters=6, kernel_size=value),
    "stride of C1": lambda value: Conv(
        "C1", filters=6, kernel_size=5, stride=value
    ),
    "size of S2": lambda value: Pool("S2", size=value),
    "stride of S2": lambda value: Pool("S2", stride=value),
    "units of F6": lambda value: Dense("F6", units=value),
    "size of S4": lambda value: Subsample("S4", size=value),
    "units of Output": lambda value: RBF("Output", units=value),
}


@pytest.mark.parametrize("what", SIZES)
@pytest.mark.parametrize("value", [0, -3, 2.5, True, "5"])
def test_every_layer_refuses_a_bad_size_and_names_itself(what, value):
    assert f"{what} is {value!r}; " in message(SIZES[what], value)


PAIRS = ["kernel_size of C1", "stride of C1", "size of S2", "stride of S2"]


@pytest.mark.parametrize("what", PAIRS)
@pytest.mark.parametrize("value", [(3, 0), (2.5, 3), (3, "5")])
def test_a_pair_with_a_bad_size_is_refused(what, value):
    bad = next(size for size in value if size != 3)
    assert f"{what} is {bad!r}; " in message(SIZES[what], value)


@pytest.mark.parametrize("what", PAIRS)
@pytest.mark.parametrize("value", [(), (3,), (3, 3, 3)])
def test_a_pair_of_another_length_is_refused(what, value):
    assert f"{what} is {value!r}; " in message(SIZES[what], value)


@pytest.mark.parametrize(
    ("layer", "what", "choices"),
    [
        (lambda: Conv("C1", 6, 5, padding="full"), "padding of C1", PADDINGS),
        (
            lambda: Conv("C1", 6, 5, activation="elu"),
            "activation of C1",
            ACTIVATIONS,
        ),
        (lambda: Pool("S2", mode="sum"), "mode of S2", POOL_MODES),
        (lambda: Pool("S2", padding="SAME"), "padding of S2", PADDINGS),
        (lambda: Dense("F6", 84, activation=None), "activation of F6", ACTIVATIONS),
        (
            lambda: Subsample("S2", activation="elu"),
            "activation of S2",
            ACTIVATIONS,
        ),
    ],
)
def test_an_unknown_padding_mode_or_activation_is_refused(layer, what, choices):
    text = message(layer)
    assert re.match(f"{what} is ('(full|elu|sum|SAME)'|None); ", text)
    assert ", ".join(choices) in text


@pytest.mark.parametrize(
    ("layer", "step"),
    [
        (Pool("S2"), (2, 2)),
        (Pool("S2", size=3), (3, 3)),
        (Pool("S2", size=(3, 2)), (3, 2)),
        (Pool("S2", size=3, stride=1), (1, 1)),
        (Pool("S2", size=3, stride=(1, 2)), (1, 2)),
    ],
)
def test_pooling_steps_by_its_size_unless_a_stride_is_given(layer, step):
    assert layer.step == step


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 1, 1), (), 28])
def test_an_input_shape_that_is_not_three_sizes_is_refused(shape):
    text = message(Architecture, "net", shape, ())
    assert f"input_shape is {shape!r}; expected (height, width, channels)" in text


@pytest.mark.parametrize(
    ("shape", "bad"),
    [((0, 28, 1), 0), ((28, -1, 1), -1), ((28, 28, 0), 0), ((28, 2.5, 1), 2.5)],
)
def test_an_input_shape_with_a_bad_size_is_refused(shape, bad):
    assert f"input_shape is {bad}; " in message(Architecture, "net", shape, ())


def test_two_layers_of_one_name_are_refused():
    layers = (Conv("C1", 6, 5), Pool("S2"), Conv("C1", 16, 5))
    assert "2 layers are named 'C1'" in message(
        Architecture, "net", (28, 28, 1), layers
    )


def test_a_layer_object_of_unknown_kind_is_refused():
    layers = (Conv("C1", 6, 5), "S2")
    text = message(Architecture, "net", (28, 28, 1), layers)
    assert text == message(require_layer, "S2")
    assert "'str'" in text
    assert all(kind.__name__ in text for kind in get_args(Layer))


@pytest.mark.parametrize("kind", ["lstm", "Conv", None])
def test_a_layer_entry_of_unknown_kind_is_refused(kind):
    values = LENET5.to_dict()
    values["layers"][0]["kind"] = kind
    text = message(Architecture.from_dict, values)
    assert f"kind is {kind!r}; " in text
    assert all(known in text for known in KINDS)


def test_a_layer_entry_without_a_kind_is_refused():
    values = LENET5.to_dict()
    del values["layers"][0]["kind"]
    assert "kind is None; " in message(Architecture.from_dict, values)


def test_from_dict_checks_sizes_too():
    values = LENET5.to_dict()
    values["layers"][2]["filters"] = 0
    assert "filters of C3 is 0; " in message(Architecture.from_dict, values)


def test_every_kind_of_layer_is_in_the_union_and_has_a_name_of_its_own():
    assert list(KINDS.values()) == list(get_args(Layer))


def test_a_layer_is_found_by_its_name():
    assert LENET5["C3"].filters == 16


def test_an_unknown_layer_name_lists_the_names_there_are():
    with pytest.raises(KeyError) as caught:
        LENET5["C9"]
    text = caught.value.args[0]
    assert "'C9'" in text
    assert all(layer.name in text for layer in LENET5.layers)


def test_change_gives_a_copy_in_which_only_one_layer_differs():
    changed = LENET5.change("C3", filters=32, kernel_size=(3, 5))
    assert changed["C3"] == Conv(
        "C3", filters=32, kernel_size=(3, 5), activation="sigmoid"
    )
    assert [
        a.name for a, b in zip(changed.layers, LENET5.layers, strict=True) if a != b
    ] == ["C3"]
    assert (changed.name, changed.input_shape) == (LENET5.name, LENET5.input_shape)
    assert LENET5["C3"].filters == 16


def test_change_checks_the_new_values_and_names():
    assert "filters of C3 is 0; " in message(LENET5.change, "C3", filters=0)
    assert "layers are named 'C1'" in message(LENET5.change, "C3", name="C1")
    with pytest.raises(KeyError, match="'C9'"):
        LENET5.change("C9", filters=1)


def test_with_hidden_activation_leaves_the_last_layer_alone():
    changed = LENET5.with_hidden_activation("tanh")
    hidden = {
        layer.name: layer.activation
        for layer in changed.layers
        if hasattr(layer, "activation")
    }
    assert hidden == {
        "C1": "tanh",
        "C3": "tanh",
        "C5": "tanh",
        "F6": "tanh",
        "Output": "softmax",
    }
    assert changed.with_hidden_activation("sigmoid") == LENET5


ODD = Architecture(
    "rectangles",
    (9, 7, 2),
    (
        Conv("A", 3, (3, 1), stride=(1, 2), padding="same", activation="tanh"),
        Pool("B", mode="max", size=(2, 3), stride=(1, 2), padding="same"),
        Flatten("D"),
        Dense("E", 4),
    ),
)


@pytest.mark.parametrize(
    "architecture",
    [LENET5, LENET5_32, LENET5_1998, ODD],
    ids=lambda architecture: architecture.name,
)
def test_to_dict_and_from_dict_are_inverse_through_json(architecture):
    values = architecture.to_dict()
    assert json.loads(json.dumps(values)) == values
    assert Architecture.from_dict(json.loads(json.dumps(values))) == architecture


def test_to_dict_spells_the_layers_out():
    assert ODD.to_dict()["layers"][1] == {
        "kind": "pooling",
        "name": "B",
        "mode": "max",
        "size": [2, 3],
        "stride": [1, 2],
        "padding": "same",
    }


def test_the_two_forms_differ_in_input_c1_and_c5_only():
    assert ARCHITECTURES == {
        "lenet5": LENET5,
        "lenet5-32": LENET5_32,
        "lenet5-1998": LENET5_1998,
    }
    assert (LENET5.input_shape, LENET5_32.input_shape) == ((28, 28, 1), (32, 32, 1))
    assert [layer.name for layer in LENET5_32.layers] == [
        "C1",
        "S2",
        "C3",
        "S4",
        "C5",
        "Flatten",
        "F6",
        "Output",
    ]
    assert (LENET5["C1"].padding, LENET5_32["C1"].padding) == ("same", "valid")
    for name in ("S2", "C3", "S4", "Flatten", "F6", "Output"):
        assert LENET5[name] == LENET5_32[name]


def test_defaults_are_left_out_of_the_plain_values():
    values = LENET5.to_dict()
    assert "pixel_range" not in values
    assert not [entry for entry in values["layers"] if None in entry.values()]
    assert values["layers"][1] == {"kind": "pooling", "name": "S2"}
    assert LENET5_1998.to_dict()["pixel_range"] == [-0.1, 1.175]
    assert LENET5_1998.to_dict()["layers"][2]["table"] == [
        list(row) for row in TABLE_I
    ]


def test_values_written_before_there_were_tables_and_scales_are_read_as_before():
    values = LENET5.to_dict()
    for entry in values["layers"]:
        if entry["kind"] == "pooling":
            entry["stride"] = None
    assert Architecture.from_dict(values) == LENET5


def test_a_table_is_kept_as_tuples_so_that_layers_can_be_compared_and_hashed():
    layer = Conv("C3", 2, 3, table=[[0, 1], [1]])
    assert layer.table == ((0, 1), (1,))
    assert layer == Conv("C3", 2, 3, table=((0, 1), (1,)))
    assert len({layer, LENET5_1998["C3"]}) == 2


TABLES = {
    "a row too few": (((0, 1),), "1 rows; expected 2"),
    "an empty row": (((0, 1), ()), "row 1 of the table of C3 is ()"),
    "a channel twice": (((0, 1, 0), (1,)), "row 0 of the table of C3 is (0, 1, 0)"),
    "a negative channel": (((0, 1), (-1,)), "row 1 of the table of C3 is -1"),
    "half a channel": (((0, 1.5), (1,)), "row 0 of the table of C3 is 1.5"),
    "no rows": ((0, 1), "the table of C3 is (0, 1)"),
    "no table": (5, "the table of C3 is 5"),
}
"""A wrong table, and what the error names."""


@pytest.mark.parametrize("case", TABLES)
def test_a_wrong_table_is_refused(case):
    table, named = TABLES[case]
    text = message(Conv, "C3", 2, 3, table=table)
    assert "the table of C3" in text
    assert named in text


@pytest.mark.parametrize("rate", [-0.1, 1, 1.5, float("nan"), True, "0.5", None])
def test_a_rate_of_dropout_that_is_no_fraction_is_refused(rate):
    assert f"rate of D is {rate!r}; " in message(Dropout, "D", rate)


@pytest.mark.parametrize(
    "scale", [(1, 0), (0, 0), (0,), (0, 1, 2), 5, (0, "1"), (0, float("inf"))]
)
def test_a_wrong_pixel_range_is_refused(scale):
    text = message(Architecture, "net", (8, 8, 1), (), scale)
    assert f"pixel_range is {scale!r}; " in text


def test_subsampling_steps_by_its_size():
    assert (Subsample("S2").step, Subsample("S2", (3, 1)).step) == ((2, 2), (3, 1))


def test_table_one_is_the_papers():
    triples, quadruples = TABLE_I[:6], TABLE_I[6:12]
    assert [set(row) for row in triples] == [
        {n, (n + 1) % 6, (n + 2) % 6} for n in range(6)
    ]
    assert [set(row) for row in quadruples] == [
        {n, (n + 1) % 6, (n + 2) % 6, (n + 3) % 6} for n in range(6)
    ]
    assert TABLE_I[12:15] == ((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5))
    assert TABLE_I[15] == tuple(range(6))
    assert all(list(row) == sorted(row) for row in TABLE_I)
    assert sum(len(row) for row in TABLE_I) == 60
    assert [sum(n in row for row in TABLE_I) for n in range(6)] == [10] * 6


def test_the_network_of_1998_squashes_up_to_f6_and_measures_distances_after_it():
    assert LENET5_1998.input_shape == (32, 32, 1)
    assert LENET5_1998.pixel_range == (-0.1, 1.175)
    assert [layer.name for layer in LENET5_1998.layers] == [
        layer.name for layer in LENET5_32.layers
    ]
    squashed = [
        layer.name
        for layer in LENET5_1998.layers
        if getattr(layer, "activation", None) == "scaled_tanh"
    ]
    assert squashed == ["C1", "S2", "C3", "S4", "C5", "F6"]
    assert LENET5_1998["C3"].table == TABLE_I
    assert LENET5_1998["C1"].table is None is LENET5_1998["C5"].table
    assert LENET5_1998["Output"] == RBF("Output", units=10)


NO_NAMES = [
    "Faltung 1",
    "é",
    "C3:0",
    "C/3",
    None,
    "",
    "_C3",
    "C3\n",
    3,
    "Input",
    "Total",
]


@pytest.mark.parametrize("name", NO_NAMES)
def test_a_name_that_tensorflow_or_a_table_cannot_take_is_refused(name):
    for kind, *needed in ((Conv, 6, 5), (Flatten,), (Pool,), (Dropout, 0.5)):
        assert f" is {name!r}; expected " in message(kind, name, *needed)


def test_a_name_of_numpy_becomes_pythons_own():
    assert type(LENET5.change("F6", name=np.str_("F7"))["F7"].name) is str


def test_numbers_of_numpy_become_pythons_own_where_they_enter():
    table = np.array([[0, 1], [1, 2]])
    layers = [
        Conv("C1", np.int64(2), np.array([3, 3]), [np.int32(1), 1], table=table),
        Dropout("D", np.float32(0.5)),
        Flatten(),
        Dense("Output", np.array(10), "softmax"),
    ]
    made = Architecture("net", [np.int64(8), 8, 3], layers, np.array([0, 1]))
    wanted = Architecture(
        "net",
        (8, 8, 3),
        (
            Conv("C1", 2, (3, 3), (1, 1), table=((0, 1), (1, 2))),
            Dropout("D", 0.5),
            Flatten(),
            Dense("Output", 10, "softmax"),
        ),
    )
    assert made == wanted
    assert json.dumps(made.to_dict()) == json.dumps(wanted.to_dict())
    assert Architecture.from_dict(json.loads(json.dumps(made.to_dict()))) == made


@pytest.mark.parametrize("value", [5.5, 5.0, np.float64(5), np.True_, "5", (5,)])
def test_a_number_of_numpy_that_is_no_whole_number_is_refused(value):
    for make in (lambda: Conv("C1", 6, value), lambda: Dense("C1", value)):
        assert " of C1 is " in message(make)


def test_an_architecture_without_layers_or_without_a_name_is_refused():
    assert "net has no layers" in message(Architecture, "net", (8, 8, 1), ())
    assert "name is None" in message(Architecture, None, (8, 8, 1), (Flatten(),))


def test_a_field_of_a_newer_version_is_named():
    values = LENET5.to_dict()
    values["layers"][0]["dilation"] = 2
    assert "'dilation'" in message(Architecture.from_dict, values)
    values = LENET5.to_dict() | {"colour": "red"}
    assert "'colour'" in message(Architecture.from_dict, values)
