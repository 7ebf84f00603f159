"""The arithmetic, by witnesses that share nothing with it: printed constants, naive visits of every unit, Keras.

Also what the counting may cost and know: no heavy import, and imports inside the library that run only downwards.
"""

import itertools
from math import prod

import keras
import naive
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lenet5lib import arithmetic, models
from lenet5lib.arithmetic import (
    LayerRow,
    ReceptiveField,
    extend,
    output_size,
    receptive_field,
    same_padding,
)
from lenet5lib.spec import (
    KINDS,
    LENET5,
    LENET5_32,
    LENET5_1998,
    RBF,
    Architecture,
    Conv,
    Dense,
    Dropout,
    Flatten,
    Pool,
    Subsample,
    pair,
)

BOTH = pytest.mark.parametrize(
    "architecture", [LENET5, LENET5_32], ids=["28×28", "32×32"]
)
ALL = pytest.mark.parametrize(
    "architecture", [LENET5, LENET5_32, LENET5_1998], ids=["28×28", "32×32", "1998"]
)

BEFORE_C5 = [
    LayerRow("C1", "convolution", (28, 28, 6), 156, 122_304, 117_600, (5, 5)),
    LayerRow("S2", "pooling", (14, 14, 6), 0, 4_704, 0, (6, 6)),
    LayerRow("C3", "convolution", (10, 10, 16), 2_416, 241_600, 240_000, (14, 14)),
    LayerRow("S4", "pooling", (5, 5, 16), 0, 1_600, 0, (16, 16)),
]
AFTER_C5 = [
    LayerRow("F6", "dense", (84,), 10_164, 10_164, 10_080, (32, 32)),
    LayerRow("Output", "dense", (10,), 850, 850, 840, (32, 32)),
]
PRINTED = {
    LENET5.name: [
        *BEFORE_C5,
        LayerRow("Flatten", "flatten", (400,), 0, 0, 0, (16, 16)),
        LayerRow("C5", "dense", (120,), 48_120, 48_120, 48_000, (32, 32)),
        *AFTER_C5,
    ],
    LENET5_32.name: [
        *BEFORE_C5,
        LayerRow(
            "C5", "convolution", (1, 1, 120), 48_120, 48_120, 48_000, (32, 32)
        ),
        LayerRow("Flatten", "flatten", (120,), 0, 0, 0, (32, 32)),
        *AFTER_C5,
    ],
    LENET5_1998.name: [
        LayerRow("C1", "convolution", (28, 28, 6), 156, 122_304, 117_600, (5, 5)),
        LayerRow("S2", "subsampling", (14, 14, 6), 12, 5_880, 1_176, (6, 6)),
        LayerRow(
            "C3", "convolution", (10, 10, 16), 1_516, 151_600, 150_000, (14, 14)
        ),
        LayerRow("S4", "subsampling", (5, 5, 16), 32, 2_000, 400, (16, 16)),
        LayerRow(
            "C5", "convolution", (1, 1, 120), 48_120, 48_120, 48_000, (32, 32)
        ),
        LayerRow("Flatten", "flatten", (120,), 0, 0, 0, (32, 32)),
        LayerRow("F6", "dense", (84,), 10_164, 10_164, 10_080, (32, 32)),
        LayerRow("Output", "rbf", (10,), 0, 840, 840, (32, 32)),
    ],
}
"""The numbers of the 1998 paper and of the source article; connections of pooling as this book counts them.

In the network of 1998 the parameters and connections up to C5 and the parameters of F6 are printed in the paper; the two
connections after them are what its total, 340,908, leaves. MACs the paper does not count.
"""


def places(size, window, stride, padding):
    """Return the first cell of every window position along one side, found by trying one cell after another."""
    if padding == "same":
        return [cell for cell in range(size) if cell % stride == 0]
    cells = range(-padding, size + padding)
    return [
        cell
        for cell in cells
        if cell + window <= size + padding and (cell + padding) % stride == 0
    ]


def sliding(layer):
    """Return (window, stride, padding as `places` takes it) of a convolution or pooling, both as (height, width)."""
    padding = "same" if layer.padding == "same" else 0
    if isinstance(layer, Conv):
        return pair(layer.kernel_size), pair(layer.stride), padding
    if isinstance(layer, Subsample):
        return pair(layer.size), pair(layer.size), padding
    return (
        pair(layer.size),
        pair(layer.size if layer.stride is None else layer.stride),
        padding,
    )


def visit(layer, input_shape):
    """Count a layer by visiting every output unit and every cell that it reads: (units, params, connections, macs)."""
    if isinstance(layer, (Flatten, Dropout)):
        return prod(input_shape), 0, 0, 0
    if isinstance(layer, RBF):
        pairs = list(itertools.product(range(layer.units), range(*input_shape)))
        return layer.units, 0, len(pairs), len(pairs)
    if isinstance(layer, Dense):
        input_shape, window, stride, padding, maps = (
            (1, 1, *input_shape),
            (1, 1),
            (1, 1),
            0,
            layer.units,
        )
    else:
        window, stride, padding = sliding(layer)
        maps = layer.filters if isinstance(layer, Conv) else input_shape[2]
    rows, columns = (
        places(i, k, s, padding)
        for i, k, s in zip(input_shape[:2], window, stride, strict=True)
    )
    trained, units, connections, macs = set(), 0, 0, 0
    for _, _, unit in itertools.product(rows, columns, range(maps)):
        units += 1
        if isinstance(layer, (Pool, Subsample)):
            connections += sum(
                1 for _ in itertools.product(range(window[0]), range(window[1]))
            )
            if isinstance(layer, Subsample):
                trained |= {("coefficient", unit), ("bias", unit)}
                connections += 1
                macs += 1
            continue
        trained.add(("bias", unit))
        connections += 1
        sources = range(input_shape[2])
        if isinstance(layer, Conv) and layer.table:
            sources = layer.table[unit]
        for weight in itertools.product(
            range(window[0]), range(window[1]), sources
        ):
            trained.add((*weight, unit))
            connections += 1
            macs += 1
    return units, len(trained), connections, macs


def visits(architecture):
    """Return the witness `visit` of every layer, by name."""
    shape, counted = architecture.input_shape, {}
    for layer, inputs, outputs in arithmetic.walk(architecture):
        assert inputs == shape
        counted[layer.name] = visit(layer, inputs)
        shape = outputs
    return counted


@ALL
def test_every_count_is_the_printed_one(architecture):
    assert arithmetic.table(architecture) == PRINTED[architecture.name]


@BOTH
def test_the_totals_are_the_printed_ones(architecture):
    rows = arithmetic.table(architecture)
    assert sum(row.params for row in rows) == 61_706
    assert sum(row.macs for row in rows) == 416_520
    assert sum(row.connections for row in rows) == 429_342


def test_the_totals_of_1998_are_the_papers():
    rows = arithmetic.table(LENET5_1998)
    assert sum(row.params for row in rows) == 60_000
    assert sum(row.connections for row in rows) == 340_908


@ALL
def test_every_count_is_what_visiting_each_unit_finds(architecture):
    derived = {
        row.layer: (prod(row.output_shape), row.params, row.connections, row.macs)
        for row in arithmetic.table(architecture)
    }
    assert derived == visits(architecture)


@BOTH
def test_every_count_is_what_keras_holds(architecture):
    model = models.build(architecture)
    for row in arithmetic.table(architecture):
        layer = model.get_layer(row.layer)
        assert tuple(layer.output.shape[1:]) == row.output_shape
        assert layer.count_params() == row.params
        positions = prod(layer.output.shape[1:-1])
        sizes = [prod(weight.shape) for weight in layer.weights]
        if row.params:
            kernel, bias = sizes
            assert row.macs == positions * kernel
            assert row.connections == positions * (kernel + bias)
        elif row.kind == "pooling":
            assert row.connections == prod(layer.output.shape[1:]) * prod(
                layer.pool_size
            )
    assert model.count_params() == 61_706


def ones_added(layer, inputs):
    """Return the sum of a Keras layer's outputs where inputs, weights and biases (1 or 0) are such that it counts."""
    return round(float(keras.ops.sum(layer(np.ones((1, *inputs), np.float32)))))


def test_keras_performs_the_macs_and_connections_that_are_derived():
    linear = LENET5_32.with_hidden_activation("linear").change(
        "Output", activation="linear"
    )
    model = models.build(linear)
    for layer, inputs, _ in arithmetic.walk(linear):
        if isinstance(layer, (Conv, Dense)):
            built = model.get_layer(layer.name)
            kernel, bias = (
                np.ones(weight.shape, np.float32) for weight in built.weights
            )
            built.set_weights([kernel, 0 * bias])
            assert ones_added(built, inputs) == arithmetic.macs(layer, inputs)
            built.set_weights([kernel, bias])
            assert ones_added(built, inputs) == arithmetic.connections(
                layer, inputs
            )


def test_keras_performs_the_connections_of_1998_that_are_derived():
    linear = LENET5_1998.with_hidden_activation("linear")
    model = models.build(linear)
    for layer, inputs, _ in arithmetic.walk(linear):
        built = model.get_layer(layer.name)
        first = 0 if isinstance(layer, RBF) else 1
        built.set_weights(
            [np.full(w.shape, first, np.float32) for w in built.weights]
        )
        if built.weights:
            found = ones_added(built, inputs)
            assert found == arithmetic.connections(layer, inputs)


@pytest.mark.parametrize("architecture", [LENET5_32, LENET5_1998])
def test_receptive_fields_are_the_pixels_that_keras_has_a_gradient_for(
    architecture,
):
    model = models.build(architecture)
    image = tf.constant(np.random.default_rng(0).random((1, 32, 32, 1), np.float32))
    for name in ("C1", "S2", "C3", "S4", "C5"):
        probe = keras.Model(model.inputs, model.get_layer(name).output)
        with tf.GradientTape() as tape:
            tape.watch(image)
            output = probe(image)
            unit = output[0, output.shape[1] // 2, output.shape[2] // 2, 0]
        read = np.flatnonzero(
            tape.gradient(unit, image).numpy()[0, ..., 0].any(axis=1)
        )
        assert read[-1] - read[0] + 1 == receptive_field(architecture, name)[0]


SIDES, WINDOWS, STEPS = st.integers(1, 30), st.integers(1, 9), st.integers(1, 5)


@settings(max_examples=400, derandomize=True, deadline=None)
@given(
    SIDES,
    WINDOWS,
    STEPS,
    st.one_of(st.integers(0, 4), st.sampled_from(["valid", "same"])),
)
@example(1, 2, 1, 0)
@example(1, 3, 1, 1)
@example(2, 3, 5, "same")
def test_output_size_is_the_number_of_window_positions(
    size, window, stride, padding
):
    positions = places(size, window, stride, 0 if padding == "valid" else padding)
    if positions:
        assert output_size(size, window, stride, padding) == len(positions)
    else:
        with pytest.raises(
            ValueError,
            match=f"kernel_size {window} is larger than the padded input, {size} ",
        ):
            output_size(size, window, stride, padding)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(SIDES, WINDOWS, STEPS)
def test_same_padding_follows_the_rule_that_tensorflow_prints(size, window, stride):
    total = (
        max(window - stride, 0)
        if size % stride == 0
        else max(window - size % stride, 0)
    )
    before = total // 2
    assert same_padding(size, window, stride) == (before, total - before)


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize("window", [1, 2, 3, 4, 5])
def test_same_padding_places_windows_where_tensorflow_places_them(window, stride):
    for size in range(1, 10):
        powers = 2.0 ** np.arange(size, dtype=np.float32).reshape(1, size, 1)
        sums = keras.ops.conv(
            powers,
            np.ones((window, 1, 1), np.float32),
            strides=stride,
            padding="same",
        )
        before, after = same_padding(size, window, stride)
        padded = [0.0] * before + powers.ravel().tolist() + [0.0] * after
        starts = range(0, len(padded) - window + 1, stride)
        assert np.ravel(sums).tolist() == [
            sum(padded[start : start + window]) for start in starts
        ]


def test_extend_adds_the_window_in_jumps_and_multiplies_the_jump():
    assert extend(ReceptiveField(1, 1), 5) == ReceptiveField(5, 1)
    assert extend(ReceptiveField(5, 1), 2, 2) == ReceptiveField(6, 2)
    assert extend(ReceptiveField(6, 2), 3, 4) == ReceptiveField(10, 8)


@pytest.mark.parametrize("sizes", [(0,), (-3,), (5, 0), (5, 1, -1), (2.5,)])
def test_extend_refuses_a_window_that_cannot_be(sizes):
    with pytest.raises(
        ValueError, match=r"(kernel_size|stride|padding) is .*expected"
    ):
        extend(ReceptiveField(6, 2), *sizes)


@st.composite
def tables(draw, in_maps, maps):
    """Draw a connection table that names each input map at least once."""
    sources = st.lists(
        st.integers(0, in_maps - 1), min_size=1, max_size=in_maps, unique=True
    )
    rows = [draw(sources) for _ in range(maps)]
    for source in range(in_maps):
        if not any(source in row for row in rows):
            rows[draw(st.integers(0, maps - 1))].append(source)
    return tuple(tuple(row) for row in rows)


@st.composite
def layers_with_windows(draw, name, height, width, in_maps):
    """Draw a convolution, pooling or subsampling whose window fits maps of height×width; sizes may be one number or two."""
    padding = draw(st.sampled_from(["valid", "same"]))
    most = (min(6, height), min(6, width)) if padding == "valid" else (6, 6)
    sizes = st.one_of(
        st.integers(1, min(most)),
        st.tuples(st.integers(1, most[0]), st.integers(1, most[1])),
    )
    strides = st.one_of(
        st.integers(1, 3), st.tuples(st.integers(1, 4), st.integers(1, 4))
    )
    kind = draw(st.sampled_from([Conv, Conv, Pool, Pool, Subsample]))
    activation = draw(
        st.sampled_from(["linear", "sigmoid", "tanh", "relu", "scaled_tanh"])
    )
    if kind is Conv:
        maps = draw(st.integers(1, 4))
        return Conv(
            name,
            maps,
            draw(sizes),
            draw(strides),
            padding,
            activation,
            draw(st.none() | tables(in_maps, maps)),
        )
    if kind is Subsample and padding == "valid":
        return Subsample(name, draw(sizes), activation)
    return Pool(
        name,
        draw(st.sampled_from(["average", "max"])),
        draw(sizes),
        draw(st.none() | strides),
        padding,
    )


@st.composite
def architectures(draw, largest=20):
    """Draw an architecture that is valid by construction; sides of maps are found by `places`, not by the library."""
    height, width = draw(st.integers(1, largest)), draw(st.integers(1, largest))
    shape, layers = (height, width, draw(st.integers(1, 3))), []
    maps = shape[2]
    for n in range(draw(st.integers(0, 4))):
        layer = draw(layers_with_windows(f"L{n}", height, width, maps))
        maps = getattr(layer, "filters", maps)
        window, stride, padding = sliding(layer)
        height, width = (
            len(places(i, k, s, padding))
            for i, k, s in zip((height, width), window, stride, strict=True)
        )
        layers.append(layer)
    if draw(st.booleans()):
        layers.append(Dropout("drop", draw(st.floats(0, 0.9))))
    if not layers or draw(st.booleans()):
        layers.append(Flatten())
        for n in range(draw(st.integers(0, 2))):
            layers.append(
                Dense(
                    f"D{n}",
                    draw(st.integers(1, 9)),
                    draw(st.sampled_from(["linear", "tanh", "relu"])),
                )
            )
        if draw(st.integers(0, 3)) == 0:
            units = draw(st.integers(1, 10))
            layers += [Dense("D84", 84, "scaled_tanh"), RBF("R", units)]
    return Architecture("random", shape, tuple(layers))


def traits(architecture):
    """Return in words what is special about an architecture's layers."""
    found = set()
    for layer, inputs, _ in arithmetic.walk(architecture):
        if isinstance(layer, (Flatten, Dense, RBF, Dropout)):
            found.add(layer.kind)
            continue
        if isinstance(layer, Subsample):
            found.add(layer.kind)
            if layer.step[0] != layer.step[1]:
                found.add(f"{layer.kind}, rectangular window")
            continue
        if isinstance(layer, Conv) and layer.table:
            found.add("convolution, table")
        kind = "convolution" if isinstance(layer, Conv) else layer.mode
        window, stride, _ = sliding(layer)
        found.add(f"{kind}, {layer.padding}")
        if window[0] != window[1]:
            found.add(f"{kind}, rectangular window")
        if stride[0] != stride[1]:
            found.add(f"{kind}, rectangular stride")
        if layer.padding == "same":
            zeros = [
                same_padding(i, k, s)
                for i, k, s in zip(inputs[:2], window, stride, strict=True)
            ]
            if any(before != after for before, after in zeros):
                found.add(f"{kind}, uneven padding")
            if max(stride) > 1:
                found.add(f"{kind}, same with a stride")
    return found


EVERY_TRAIT = {
    "flatten",
    "dense",
    "rbf",
    "dropout",
    "subsampling",
    "subsampling, rectangular window",
    "convolution, table",
} | {
    f"{kind}, {trait}"
    for kind in ("convolution", "average", "max")
    for trait in (
        "valid",
        "same",
        "rectangular window",
        "rectangular stride",
        "uneven padding",
        "same with a stride",
    )
}


def test_the_traits_name_every_kind_of_layer():
    assert set(KINDS) - {"convolution", "pooling"} <= EVERY_TRAIT


@pytest.mark.slow
def test_derived_shapes_and_parameters_agree_with_keras_on_200_random_architectures():
    seen, special = set(), set()

    @settings(max_examples=300, derandomize=True, deadline=None)
    @given(architectures())
    def agrees(architecture):
        if len(seen) % 40 == 0:
            keras.utils.clear_session()
        model = models.build(architecture)
        models.confirm(model, architecture)
        built = [
            (
                layer.name,
                tuple(layer.output.shape[1:]),
                sum(prod(weight.shape) for weight in layer.trainable_weights),
            )
            for layer in model.layers[1:]
        ]
        assert built == [
            (row.layer, row.output_shape, row.params)
            for row in arithmetic.table(architecture)
        ]
        seen.add(architecture)
        special.update(traits(architecture))

    agrees()
    assert len(seen) >= 200
    assert special == EVERY_TRAIT


@pytest.mark.slow
def test_values_of_keras_agree_with_the_loops_on_random_architectures():
    seen, special = set(), set()

    @settings(max_examples=120, derandomize=True, deadline=None)
    @given(architectures(largest=7), st.integers(0, 99))
    def agrees(architecture, seed):
        if len(seen) % 20 == 0:
            keras.utils.clear_session()
        rng = np.random.default_rng(seed)
        image = rng.normal(size=architecture.input_shape)
        weights, values, found = {}, image[np.newaxis].astype(np.float32), {}
        for layer in models.build(architecture).layers[1:]:
            fan_in = prod(layer.weights[0].shape[:-1]) if layer.weights else 1
            weights[layer.name] = [
                rng.normal(0, fan_in**-0.5, weight.shape)
                if weight.trainable
                else rng.choice([-1.0, 1.0], weight.shape)
                for weight in layer.weights
            ]
            layer.set_weights(weights[layer.name])
            values = layer(values)
            found[layer.name] = values[0]
        expected = naive.forward(architecture, weights, image)
        assert list(found) == list(expected)
        for name, output in expected.items():
            assert found[name].shape == output.shape
            np.testing.assert_allclose(
                found[name],
                output,
                rtol=1e-4,
                atol=1e-4,
                err_msg=str(architecture[name]),
            )
        seen.add(architecture)
        special.update(traits(architecture))

    agrees()
    assert len(seen) >= 40
    assert special == EVERY_TRAIT


@settings(max_examples=120, derandomize=True, deadline=None)
@given(architectures(largest=7))
def test_counts_of_random_architectures_are_what_visiting_each_unit_finds(
    architecture,
):
    derived = {
        row.layer: (prod(row.output_shape), row.params, row.connections, row.macs)
        for row in arithmetic.table(architecture)
    }
    assert derived == visits(architecture)


def pixels_read(architecture, layer_name, axis, unit):
    """Return the set of input positions along one axis that one unit depends on, none cut off at an edge.

    Goes back from the unit, layer by layer, through the set of positions that each layer reads.
    """
    steps, extent = [], architecture.input_shape[axis]
    for layer in architecture.layers:
        if isinstance(layer, (Conv, Pool, Subsample)):
            windows, strides, padding = sliding(layer)
            window, stride = windows[axis], strides[axis]
            before = (
                same_padding(extent, window, stride)[0] if padding == "same" else 0
            )
            steps.append((window, stride, before))
            extent = len(places(extent, window, stride, padding))
        elif isinstance(layer, (Dense, RBF)):
            steps.append((extent, 0, 0))
            extent = 1
        if layer.name == layer_name:
            break
    positions = {unit}
    for window, stride, before in reversed(steps):
        positions = {
            p * stride - before + cell for p in positions for cell in range(window)
        }
    return positions


@settings(max_examples=250, derandomize=True, deadline=None)
@given(architectures(), st.integers(0, 5))
def test_receptive_field_spans_the_pixels_that_a_unit_reads(architecture, unit):
    for layer in architecture.layers:
        for axis, size in enumerate(receptive_field(architecture, layer.name)):
            read = pixels_read(architecture, layer.name, axis, unit)
            assert max(read) - min(read) + 1 == size


def test_receptive_field_of_an_unknown_layer_is_refused():
    with pytest.raises(KeyError, match="no layer 'C9'"):
        receptive_field(LENET5, "C9")


def message(function, *args, **kwargs):
    """Return the text of the ValueError that a call raises."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        function(*args, **kwargs)
    return str(caught.value)


def test_a_window_larger_than_its_padded_input_is_refused():
    text = message(output_size, 4, 7, padding=1)
    assert "kernel_size 7 is larger than the padded input, 4 + 2·1 = 6; " in text
    assert output_size(4, 6, padding=1) == 1


@pytest.mark.parametrize("function", [output_size, same_padding])
@pytest.mark.parametrize("what", ["input_size", "kernel_size", "stride"])
@pytest.mark.parametrize("value", [0, -2, 1.5])
def test_sizes_that_are_none_are_refused(function, what, value):
    sizes = {"input_size": 28, "kernel_size": 5, "stride": 1, what: value}
    assert f"{what} is {value}; " in message(function, **sizes)


def test_a_padding_of_an_unknown_name_is_refused():
    text = message(output_size, 28, 5, 1, "SAME")
    assert "'SAME'; expected one of valid, same" in text


@pytest.mark.parametrize("shape", [(-400,), (400.5,), (0,), (True,), 400, "400"])
def test_an_input_shape_of_impossible_sizes_is_refused(shape):
    for count in ("output_shape", "params", "connections", "macs"):
        text = message(getattr(arithmetic, count), LENET5["C5"], shape)
        assert "of C5 is " in text or "C5 receives" in text


def test_an_image_without_the_axis_of_channels_is_told_to_add_it():
    assert "add the axis of channels" in message(
        arithmetic.output_shape, LENET5["C1"], (28, 28)
    )


def seen_rows(height, windows):
    """Return the input rows that each unit reads, layer by layer: the plain way to do it."""
    rows = [{n} for n in range(height)]
    for size, stride, padding in windows:
        before = same_padding(len(rows), size, stride)[0] * (padding == "same")
        starts = range(
            -before,
            output_size(len(rows), size, stride, padding) * stride - before,
            stride,
        )
        rows = [
            set().union(
                *(rows[n] for n in range(s, s + size) if 0 <= n < len(rows))
            )
            for s in starts
        ]
    return rows


def test_receptive_windows_hold_the_rows_that_a_unit_reads_in_random_stacks():
    rng, tried = np.random.default_rng(0), 0
    while tried < 300:
        height = int(rng.integers(1, 30))
        windows = [
            (int(k), int(s), str(rng.choice(["valid", "same"])))
            for k, s in rng.integers(1, 6, (rng.integers(1, 5), 2))
        ]
        try:
            rows = seen_rows(height, windows)
        except ValueError:  # A window that does not fit.
            continue
        tried += 1
        layers = [Pool(f"L{n}", "max", *one) for n, one in enumerate(windows)]
        made, last = net((height, height, 1), *layers), layers[-1].name
        for unit, read in enumerate(rows):
            found, _ = arithmetic.receptive_window(made, last, row=unit)
            inside = max(found.start, 0), min(found.stop, height)
            assert inside == (min(read), max(read) + 1), (height, windows, unit)


def test_rows_that_a_layer_drops_are_not_seen_through_later_padding():
    made = net((5, 5, 1), Pool("S"), Conv("C", 1, 3, padding="same"))
    rows, columns = arithmetic.receptive_window(made, "C", 1, 1)
    assert (rows.stop, columns.stop) == (4, 4)


@pytest.mark.parametrize(
    ("layer", "row"), [("C1", 99), ("C1", 28), ("C1", -1), ("C1", 1.5), ("F6", 5)]
)
def test_a_unit_that_does_not_exist_has_no_receptive_window(layer, row):
    text = message(arithmetic.receptive_window, LENET5, layer, row)
    assert f"row of a unit of {layer} is {row}; expected " in text
    with pytest.raises(KeyError):
        arithmetic.receptive_window(LENET5, "C9")


def test_a_negative_padding_is_refused():
    assert "padding is -1; expected 0" in message(output_size, 28, 5, padding=-1)


def net(shape, *layers):
    """A network of these layers."""
    return Architecture("net", shape, layers)


IMAGE = (28, 28, 1)
WRONG_ORDER = {
    "a window that does not fit": (
        LENET5.change("C3", kernel_size=(5, 15)),
        ("C3: kernel_size 15 ", "14 + 2·0 = 14"),
    ),
    "pooling that does not fit": (
        net((3, 8, 1), Pool("S2", size=4)),
        ("S2: kernel_size 4 ", "3 + 2·0 = 3"),
    ),
    "subsampling that does not fit": (
        net((3, 8, 1), Subsample("S2", size=4)),
        ("S2: kernel_size 4 ", "3 + 2·0 = 3"),
    ),
    "dense before flatten": (
        net(IMAGE, Dense("F6", 84), Flatten()),
        ("F6 receives", "(28, 28, 1)", "(units,)", "Put a Flatten before"),
    ),
    "an RBF output before flatten": (
        net(IMAGE, RBF("Output")),
        ("Output receives", "(28, 28, 1)", "(units,)", "Put a Flatten before"),
    ),
    "convolution after flatten": (
        net(IMAGE, Flatten(), Conv("C1", 6, 5)),
        ("C1 receives", "(784,)", "(height, width, channels)"),
    ),
    "pooling after flatten": (
        net(IMAGE, Flatten(), Pool("S2")),
        ("S2 receives", "(784,)", "(height, width, channels)"),
    ),
    "a second flatten": (
        net(IMAGE, Flatten(), Flatten("Again")),
        ("Again receives", "(784,)", "(height, width, channels)"),
    ),
    "a table that names a channel too many": (
        LENET5_1998.change("C1", filters=5),
        ("C3: row 3 of its table names input channel 5; expected 0 to 4", " 5 "),
    ),
    "a table that leaves channels out": (
        LENET5_1998.change("C1", filters=8),
        ("C3: its table", "[6, 7]", "8 channels"),
    ),
}
"""A network with a layer that cannot read its input, and what the error names."""


@pytest.mark.parametrize(
    "function", [arithmetic.table, arithmetic.describe, models.build]
)
@pytest.mark.parametrize("case", WRONG_ORDER)
def test_a_layer_that_cannot_read_its_input_is_named(case, function):
    architecture, named = WRONG_ORDER[case]
    text = message(function, architecture)
    assert [words for words in named if words not in text] == []


COUNTS = [
    arithmetic.output_shape,
    arithmetic.params,
    arithmetic.connections,
    arithmetic.macs,
]


@pytest.mark.parametrize("function", COUNTS)
def test_every_count_refuses_a_layer_of_unknown_kind(function):
    assert "'str'" in message(function, "C1", (28, 28, 1))


@BOTH
def test_describe_ends_with_the_totals_and_lists_every_layer(architecture):
    lines = arithmetic.describe(architecture).splitlines()
    assert lines[:2] == [architecture.name, ""]
    assert lines[-1].split() == ["Total", "61,706", "429,342", "416,520"]
    assert lines[3].split() == [
        "Input",
        arithmetic.shape_text(architecture.input_shape),
    ]
    names = [line.split()[0] for line in lines[4:-1]]
    assert names == [layer.name for layer in architecture.layers]
    assert lines[4].split() == [
        "C1",
        "convolution",
        "28×28×6",
        "156",
        "122,304",
        "117,600",
        "5×5",
    ]


def test_describe_aligns_its_columns():
    header, *rows = arithmetic.describe(LENET5).splitlines()[2:]
    for column in ("parameters", "connections", "MACs"):
        end = header.index(column) + len(column)
        for line in rows[1:]:
            assert line[end - 1].isdigit()
            assert line[end : end + 1] in ("", " ")
