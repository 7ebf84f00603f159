"""The data: which source is taken, what a bad file is told, the stand-in, the division into sets, and scaling.

Nothing here reaches the network. What needs MNIST itself reads the file that LENET5_MNIST names, or is skipped.
"""

import contextlib
import errno
import gzip
import http.client
import io
import os
import re
import socket
import threading
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lenet5lib import data, evaluation
from lenet5lib.data import (
    DataError,
    Dataset,
    Digits,
    Splits,
    mnist,
    readers,
    standin,
)

NAMED = os.environ.get("LENET5_MNIST", "")
URLOPEN = urllib.request.urlopen


@pytest.fixture(autouse=True)
def nothing_at_hand(monkeypatch, tmp_path):
    """Take away every source of MNIST: the variable, Keras's copy, the network; point caches at an empty folder."""

    def refuse(*args, **kwargs):
        raise AssertionError("a test reached for the network")

    monkeypatch.delenv("LENET5_MNIST", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(urllib.request, "urlopen", refuse)


@pytest.fixture(scope="module")
def mnist_itself():
    if NAMED in ("", "stand-in"):
        pytest.skip("needs MNIST: set LENET5_MNIST to its .npz file")
    dataset = data.read(Path(NAMED))
    if dataset.dataset_name != "MNIST":
        pytest.skip(f"needs MNIST: LENET5_MNIST names {dataset.dataset_name}")
    return dataset


def arrays(**changes):
    """Return 24 training and 12 test digits as the four arrays of a file, some of them replaced."""
    rng = np.random.default_rng(0)
    good = {
        "x_train": rng.integers(0, 256, (24, 28, 28)).astype(np.uint8),
        "y_train": (np.arange(24) % 10).astype(np.uint8),
        "x_test": rng.integers(0, 256, (12, 28, 28)).astype(np.uint8),
        "y_test": (np.arange(12) % 10).astype(np.uint8),
    }
    return good | changes


def packed(save=np.savez, **changes):
    """Return the bytes of a file of `arrays`; a change to None leaves an array out."""
    buffer = io.BytesIO()
    save(
        buffer,
        **{
            name: array
            for name, array in arrays(**changes).items()
            if array is not None
        },
    )
    return buffer.getvalue()


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.npz"
    path.write_bytes(packed())
    return path


def refusal(path):
    """Return the text with which `read` refuses a file."""
    with pytest.raises(DataError) as caught:
        data.read(path)
    return str(caught.value)


def refused(tmp_path, **changes):
    """Return the text with which `read` refuses a file with some arrays replaced."""
    path = tmp_path / "bad.npz"
    path.write_bytes(packed(**changes))
    text = refusal(path)
    assert "bad.npz" in text
    assert "\n" not in text
    return text


def test_a_named_file_is_read_as_it_is(small):
    dataset = data.load_digits(small, report=None)
    expected = arrays()
    np.testing.assert_array_equal(dataset.train.images, expected["x_train"])
    np.testing.assert_array_equal(dataset.train.labels, expected["y_train"])
    np.testing.assert_array_equal(dataset.test.images, expected["x_test"])
    np.testing.assert_array_equal(dataset.test.labels, expected["y_test"])
    assert (len(dataset.train), len(dataset.test), dataset.dataset_name) == (
        24,
        12,
        "the file small.npz",
    )


def test_the_variable_names_a_file_and_the_line_names_the_source(
    small, monkeypatch, capsys
):
    monkeypatch.setenv("LENET5_MNIST", str(small))
    data.load_digits()
    assert (
        capsys.readouterr().out
        == "Data: the file small.npz; 24 training and 12 test images.\n"
    )
    data.load_digits(report=None)
    assert capsys.readouterr().out == ""


def test_a_few_images_of_255_levels_do_not_hide_pixels_of_0_and_1():
    images = np.random.default_rng(0).integers(0, 2, (200, 28, 28), np.uint8)
    images[7] *= 255
    with pytest.raises(
        DataError, match=r"at most 1 of 255.*x.clip\(max=1\) \* 255"
    ):
        data.formats.require_ink(images, "mixed")


def test_a_path_as_the_name_of_data_becomes_text(small):
    kept = data.read(small)
    made = data.Dataset(kept.train, kept.test, Path("somewhere"))
    assert made.dataset_name == "somewhere"


def test_a_named_file_comes_before_the_variable(small, monkeypatch, tmp_path):
    monkeypatch.setenv("LENET5_MNIST", str(tmp_path / "other.npz"))
    assert (
        data.load_digits(str(small), report=None).dataset_name
        == "the file small.npz"
    )


def test_other_digits_are_called_by_their_file_even_if_it_is_named_like_mnist(
    tmp_path,
):
    path = tmp_path / "mnist.npz"
    path.write_bytes(packed())
    assert data.read(path).dataset_name == "the file mnist.npz"


def test_a_compressed_file_and_wide_labels_are_read_too(tmp_path):
    path = tmp_path / "wide.npz"
    path.write_bytes(
        packed(np.savez_compressed, y_train=np.arange(24, dtype=">i8") % 10)
    )
    labels = data.read(path).train.labels
    assert labels.dtype == np.uint8
    assert labels.tolist() == [n % 10 for n in range(24)]


@pytest.mark.parametrize("by_variable", [True, False])
def test_a_named_file_that_is_missing_falls_through_to_nothing_else(
    by_variable, monkeypatch, tmp_path
):
    def fall_through(*args):
        raise AssertionError("another source was tried")

    for source in ("_kept_by_keras", "_download", "stand_in"):
        monkeypatch.setattr(mnist, source, fall_through)
    missing = tmp_path / "missing.npz"
    monkeypatch.setenv("LENET5_MNIST", str(missing))
    with pytest.raises(DataError, match=re.escape(f"{missing}: No such file")):
        data.load_digits("auto" if by_variable else missing)


def test_a_named_file_that_is_damaged_falls_through_to_nothing_else(
    monkeypatch, small
):
    monkeypatch.setattr(
        mnist, "stand_in", lambda: pytest.fail("another source was tried")
    )
    small.write_bytes(small.read_bytes()[:-40])
    monkeypatch.setenv("LENET5_MNIST", str(small))
    with pytest.raises(DataError, match="is not a complete"):
        data.load_digits()


def test_an_empty_folder_is_refused_and_what_is_missing_named(tmp_path):
    text = refusal(tmp_path)
    assert "no x_train, y_train, x_test, y_test; it has none" in text


def test_a_truncated_file_is_refused_at_every_length(tmp_path):
    path, whole = tmp_path / "short.npz", packed()
    for length in [
        0,
        1,
        3,
        4,
        10,
        100,
        *range(500, len(whole), 1500),
        len(whole) - 22,
        len(whole) - 1,
    ]:
        path.write_bytes(whole[:length])
        text = refusal(path)
        assert text.startswith(f"{path} is ")
        assert f"({length:,} bytes read)" in text


@settings(max_examples=400, derandomize=True, deadline=None)
@given(
    st.sampled_from([np.savez, np.savez_compressed]),
    st.floats(-0.1, 1),
    st.integers(1, 255),
)
def test_a_file_with_one_altered_byte_is_read_or_refused_but_never_breaks(
    save, share, change
):
    images = np.zeros((24, 28, 28), np.uint8)
    images[:, 9] = np.arange(28) * 9
    images[3] = 0
    contents = bytearray(packed(save, x_train=images))
    position = int(share * (len(contents) - 1)) if share >= 0 else int(share * 8000)
    contents[position] ^= change
    with contextlib.suppress(DataError):
        found = readers.parse(bytes(contents), "altered.npz")
        dataset = readers.make_dataset(found, "altered.npz")
        assert dataset.train.images.shape == (24, 28, 28)


def test_a_text_file_is_refused(tmp_path):
    path = tmp_path / "notes.npz"
    path.write_text("these are not digits\n" * 20)
    text = refusal(path)
    assert f"{path} is not a complete CSV file (420 bytes" in text
    assert "1 columns" in text


def test_a_missing_array_is_named(tmp_path):
    text = refused(tmp_path, y_train=None, x_test=None)
    assert "has no y_train, x_test; it has x_train, y_test." in text


def test_a_file_without_arrays_is_refused(tmp_path):
    text = refused(tmp_path, x_train=None, y_train=None, x_test=None, y_test=None)
    assert "no x_train, y_train, x_test, y_test; it has none." in text


def test_a_bare_array_is_refused(tmp_path):
    path = tmp_path / "bare.npz"
    with path.open("wb") as file:
        np.save(file, arrays()["x_train"])
    assert "x_train, y_train, x_test, y_test; it has one bare array" in refusal(
        path
    )


def test_pickled_objects_are_not_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    text = refused(tmp_path, y_test=np.array([Trap()] * 12, dtype=object))
    assert "bad.npz: y_test holds Python objects" in text
    assert not (tmp_path / "sprung").exists()


def test_a_member_that_is_no_array_is_refused(tmp_path):
    path = tmp_path / "text.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name in readers.ARRAYS:
            archive.writestr(f"{name}.npy", "a text")
    assert "x_train: |S6 of shape ()" in refusal(path)


def test_images_of_another_type_are_refused(tmp_path):
    text = refused(tmp_path, x_test=arrays()["x_test"] / np.float32(255))
    assert ": x_test: float32 of shape (12, 28, 28), 0 to 1; expected uint8" in text
    assert ": ((x - 0) * 255).round()." in text


def test_nan_pixels_are_refused(tmp_path):
    images = arrays()["x_train"].astype(np.float64)
    images[3, 4:6] = np.nan
    text = refused(tmp_path, x_train=images)
    assert ": x_train: float64 of shape (24, 28, 28), nan to nan; expected" in text


@pytest.mark.parametrize(
    "shape",
    [(24, 784), (24, 28, 28, 3), (24, 27, 28), (24, 28, 32), (0, 28, 28), (28, 28)],
)
def test_images_of_another_shape_are_refused(tmp_path, shape):
    text = refused(tmp_path, x_train=np.zeros(shape, np.uint8))
    assert "x_train" in text
    assert f"shape {shape}" in text
    assert "expected" in text


@pytest.mark.parametrize("change", [-1, 1.5, np.nan, np.inf, -np.inf])
def test_a_label_that_is_no_class_is_refused(tmp_path, change):
    labels = arrays()["y_train"].astype(float)
    labels[7] = change
    text = refused(tmp_path, y_train=labels)
    assert "y_train: float64 of shape (24,)" in text
    assert f"{labels.min():g} to {labels.max():g}; expected whole numbers" in text


@pytest.mark.parametrize(
    ("labels", "remedy"),
    [
        (np.zeros(23, np.uint8), "Give 24, the labels of"),
        (np.zeros((25, 10), np.uint8), "Give 24, the labels of"),
        (np.zeros((1, 23), np.uint8), "Give 24, the labels of"),
        (np.uint8(3), "Give 24, the labels of"),
        (np.zeros((24, 10), np.uint8), "labels.argmax(axis=1)"),
        (np.eye(10)[np.arange(24) % 10], "labels.argmax(axis=1)"),
        (np.array(["three"] * 24), "np.unique(labels"),
        (np.zeros(24, bool), "np.unique(labels"),
    ],
)
def test_labels_that_are_not_one_number_per_image_are_refused(
    tmp_path, labels, remedy
):
    text = refused(tmp_path, y_train=labels)
    assert f"y_train: {labels.dtype} of shape {labels.shape}" in text
    assert "(24,)" in text
    assert remedy in text
    with pytest.raises(DataError):
        Digits(arrays()["x_train"], labels)


@pytest.mark.parametrize(
    "kind", [np.int64, np.float32, np.float64, ">i4", np.uint16]
)
def test_conversions_that_lose_nothing_are_made(kind):
    good = arrays()
    images, labels = good["x_train"].astype(kind), good["y_train"].astype(kind)
    found = Digits(images[..., np.newaxis], labels[:, np.newaxis])
    assert (found.images.dtype, found.labels.dtype) == (np.uint8, np.uint8)
    np.testing.assert_array_equal(found.images, good["x_train"])
    np.testing.assert_array_equal(found.labels, good["y_train"])
    assert Digits(good["x_train"], good["y_train"]).images is good["x_train"]
    flat = Digits(good["x_train"], labels[np.newaxis]).labels
    np.testing.assert_array_equal(flat, good["y_train"])


@pytest.mark.parametrize(
    ("convert", "back"),
    [
        (lambda x: x / 255, "((x - 0) * 255).round()"),
        (lambda x: x / np.float32(127.5) - 1, "((x - -1) * 127.5).round()"),
        (lambda x: x.astype(np.uint16) * 257, "((x - 0) * 0.00389105).round()"),
        (lambda x: np.stack([x] * 3, axis=-1), "x.mean(axis=-1).round()"),
        (lambda x: x.reshape(len(x), 784), "x.reshape(-1, 28, 28)"),
    ],
)
def test_the_line_that_a_refusal_gives_converts_the_images(convert, back):
    images = arrays()["x_train"]
    images[0, 0, :2] = 0, 255
    with pytest.raises(DataError) as caught:
        Digits(convert(images), arrays()["y_train"])
    assert back in str(caught.value)
    again = Digits(eval(back, {"x": convert(images)}), arrays()["y_train"])
    np.testing.assert_array_equal(again.images, images)


def handwriting(count=24):
    """Return images that look like MNIST's: mostly 0, some strokes, nothing at the border."""
    images = np.zeros((count, 28, 28), np.uint8)
    images[:, 6:22, 8:20] = np.random.default_rng(0).integers(
        0, 2, (count, 16, 12)
    ) * np.uint8(250)
    return images


SPECK = np.zeros((28, 28), np.uint8)
SPECK[3, 3] = 255


def framed(images):
    """Return images with a black frame, 2 pixels wide."""
    return np.pad(images[:, 2:-2, 2:-2], ((0, 0), (2, 2), (2, 2)))


def ways_in(images):
    """Yield the ways in which images come to a network: a data set, splits made by hand, an evaluation."""
    labels = np.arange(len(images)) % 10
    good, bad = Digits(handwriting(len(images)), labels), Digits(images, labels)
    yield lambda: Dataset(bad, good, "a set")
    yield lambda: Dataset(good, bad, "a set")
    yield lambda: Splits(bad, good, good, "a set")
    yield lambda: Splits(good, bad, good, "a set")
    yield lambda: Splits(good, good, bad, "a set")
    yield lambda: evaluation.evaluate(None, bad)


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (handwriting() // 250, "x.clip(max=1) * 255"),
        ((handwriting() // 250).astype(bool).astype(float), "x.clip(max=1) * 255"),
        (handwriting() // 15, "x.clip(max=16) * 15"),
        (np.maximum(handwriting() // 250, SPECK), "x.clip(max=1) * 255"),
        (255 - handwriting(), "255 - x"),
        (230 - handwriting() // 2, "230 - x"),
        (framed(230 - handwriting() // 2), "in a frame 2 wide"),
        (190 + handwriting() // 4, "x.clip(190) - 190"),
        (handwriting() * 0, "all the same"),
        (np.repeat(handwriting(1), 24, axis=0), "all the same"),
        (handwriting(0), "none"),
    ],
    ids=[
        "0/1",
        "0/1 floats",
        "0/16",
        "0/1 and a speck",
        "dark",
        "grey paper",
        "paper in a frame",
        "light ink on grey",
        "blank",
        "equal",
        "none",
    ],
)
def test_images_that_are_no_light_ink_are_refused_whatever_way_they_enter(
    images, found
):
    for enter in ways_in(images):
        with pytest.raises(DataError, match=re.escape(found)):
            enter()


@pytest.mark.parametrize("n", [1, 2, 24])
def test_images_of_garments_are_light_on_dark_though_they_fill_the_image(n):
    """Fashion-MNIST's are half dark and often touch the border."""
    images = np.zeros((n, 28, 28), np.uint8)
    levels = np.random.default_rng(0).integers(60, 256, (n, 28, 18))
    images[:, :, 5:23] = levels
    found = Dataset(
        Digits(images, np.zeros(n)), Digits(images, np.zeros(n)), "coats"
    )
    assert len(found.train) == n


def idx(array):
    """Return the bytes of an IDX file."""
    kinds = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}
    start = bytes([0, 0, kinds[array.dtype.str[1:]], array.ndim])
    sizes = np.array(array.shape, ">u4").tobytes()
    return start + sizes + array.astype(array.dtype.newbyteorder(">")).tobytes()


def csv(images, labels, header=True, end=False):
    """Return the text of a CSV file, the label in the first or the last column."""
    rows = np.insert(images.reshape(-1, 784).astype(int), 784 * end, labels, axis=1)
    names = [f"pixel{n}" for n in range(784)]
    names.insert(784 * end, "class" if end else "label")
    lines = [",".join(map(str, row)) for row in rows]
    return "\n".join(([",".join(names)] if header else []) + lines) + "\n"


IDX_FILES = {
    "train-images-idx3-ubyte": "x_train",
    "train-labels-idx1-ubyte": "y_train",
    "t10k-images-idx3-ubyte": "x_test",
    "t10k-labels-idx1-ubyte": "y_test",
}


def write_idx(folder, prefix="", end="", names=IDX_FILES, **changes):
    """Write MNIST's four files into a folder and return their paths."""
    paths = []
    for name, key in names.items():
        paths.append(folder / f"{prefix}{name}{end}")
        contents = idx(arrays(**changes)[key])
        paths[-1].write_bytes(gzip.compress(contents) if ".gz" in end else contents)
    return paths


def assert_read(dataset, **changes):
    """Assert that a data set holds the arrays of `arrays`."""
    expected = arrays(**changes)
    for part, digits in (("train", dataset.train), ("test", dataset.test)):
        np.testing.assert_array_equal(digits.images, expected[f"x_{part}"])
        np.testing.assert_array_equal(digits.labels, expected[f"y_{part}"])


@pytest.mark.parametrize("end", ["", ".gz", ".dat", ".gz.part"])
def test_idx_files_are_read_as_a_folder_and_by_any_of_the_four(tmp_path, end):
    paths = write_idx(tmp_path, end=end)
    (tmp_path / "README.md").write_text("the latest digits")
    (tmp_path / "train").mkdir()
    dataset = data.read(tmp_path)
    assert_read(dataset)
    assert dataset.dataset_name == f"the folder {tmp_path.name}"
    for path in paths:
        dataset = data.read(str(path))
        assert_read(dataset)
        assert dataset.dataset_name == f"the file {path.name}"


def test_mnist_is_known_in_its_own_files_too(tmp_path, small_is_mnist, monkeypatch):
    write_idx(tmp_path, end=".gz")
    monkeypatch.setenv("LENET5_MNIST", str(tmp_path))
    assert data.load_digits(report=None).dataset_name == "MNIST"


def test_a_file_and_its_gzipped_twin_count_once(tmp_path):
    write_idx(tmp_path)
    write_idx(tmp_path, end=".gz")
    assert_read(data.read(tmp_path))


def test_idx_files_of_several_sets_are_kept_apart_by_the_beginning_of_their_names(
    tmp_path,
):
    names = {name.replace("t10k", "test"): key for name, key in IDX_FILES.items()}
    other = 255 - arrays()["x_train"]
    paths = write_idx(tmp_path, "emnist-digits-", ".gz", names)
    write_idx(tmp_path, "emnist-mnist-", ".gz", names, x_train=other)
    write_idx(tmp_path, "", ".gz", x_train=other)
    assert_read(data.read(paths[2]))
    assert "both hold x_t" in refusal(tmp_path)


@pytest.mark.parametrize("gone", [0, 1, 2, 3])
def test_an_idx_file_that_is_missing_is_named(tmp_path, gone):
    paths = write_idx(tmp_path)
    paths[gone].unlink()
    missing = list(IDX_FILES.values())[gone]
    assert f"no {missing}; it has " in refusal(tmp_path)
    assert f"no {missing}; it has " in refusal(paths[gone - 1])


def test_an_idx_file_whose_name_does_not_tell_its_partners_is_not_guessed(tmp_path):
    write_idx(tmp_path)
    path = tmp_path / "images"
    path.write_bytes(idx(arrays()["x_train"]))
    assert "no x_train, y_train, x_test, y_test" in refusal(path)


@pytest.mark.parametrize("kind", ["i1", "i2", "i4", "f4", "f8"])
def test_idx_labels_of_every_type_are_read(tmp_path, kind):
    write_idx(tmp_path, y_train=arrays()["y_train"].astype(kind))
    assert_read(data.read(tmp_path))


@pytest.mark.parametrize(
    "contents",
    [
        idx(arrays()["x_train"])[:-1],
        idx(arrays()["x_train"]) + b"0",
        idx(arrays()["x_train"])[:9],
        b"\0\0",
        b"\0\0\x08",
        b"\0\0\x07\x03" + bytes(12),
        gzip.compress(idx(arrays()["x_train"]))[:-9],
        gzip.compress(b"")[:5],
        gzip.compress(bytes(99))[:12] + b"\xff\xff" + gzip.compress(bytes(99))[14:],
    ],
)
def test_a_damaged_idx_file_is_refused(tmp_path, contents):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(contents)
    text = refusal(path)
    assert f"{path} is not a complete " in text
    assert "\n" not in text


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("end", [True, False])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv_is_read_with_the_label_first_or_last(
    tmp_path, header, end, pack, separator
):
    for name, part in (("train", "train"), ("my_test", "test")):
        given = arrays()
        labels = np.arange(len(given[f"y_{part}"])) % 10
        text = csv(given[f"x_{part}"], labels, header, end).replace(",", separator)
        (tmp_path / f"{name}.csv").write_bytes(pack(text.encode()))
    assert_read(data.read(tmp_path))


def test_of_two_rows_one_is_held_out(tmp_path):
    (tmp_path / "train.csv").write_text(csv(handwriting()[:2], [5, 0]))
    dataset = data.read(tmp_path / "train.csv")
    assert {*dataset.train.labels, *dataset.test.labels} == {5, 0}


def test_a_csv_file_alone_holds_a_seventh_out_and_its_name_says_so(tmp_path):
    images, labels = handwriting(70), np.arange(70) % 10
    images[:, 14, 14] = np.arange(70)
    path = tmp_path / "digits.txt"
    path.write_text("\ufeff" + csv(images, labels), encoding="utf-8")
    dataset = data.read(path)
    assert (len(dataset.train), len(dataset.test)) == (60, 10)
    assert np.bincount(dataset.test.labels).tolist() == [1] * 10
    assert "digits.txt" in dataset.dataset_name
    assert "10 of its 70 images for testing" in dataset.dataset_name
    for part in (dataset.train, dataset.test):
        rows = part.images[:, 14, 14]
        np.testing.assert_array_equal(part.images, images[rows])
        np.testing.assert_array_equal(part.labels, labels[rows])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (csv(handwriting(), np.arange(24)).replace("label", "first"), "label"),
        (csv(handwriting(), [5] * 24, header=False), "label"),
        (csv(handwriting()[:1], [3]), "(0, 28, 28)"),
        (csv(handwriting()[:0], []), "No columns"),
        (csv(handwriting(), np.arange(24))[:-40], "nan"),
        (csv(handwriting(), np.arange(24)).replace("\n3,", "\nthree,"), "three"),
        ("\n".join([",".join(["0"] * 784)] * 24), "784 columns"),
        ("label|pixel0\n3|0\n", "1 columns, not"),
    ],
    ids=[
        "header",
        "no header",
        "one",
        "only a header",
        "cut",
        "word",
        "unlabelled",
        "bars",
    ],
)
def test_csv_that_does_not_tell_labels_from_pixels_is_refused(
    tmp_path, text, found
):
    path = tmp_path / "train.csv"
    path.write_text(text)
    message = refusal(path)
    assert "train.csv" in message
    assert found in message


@pytest.mark.parametrize(
    ("contents", "kind"),
    [
        (b"\x80\x04\x95 pickled", "Python pickle"),
        (gzip.compress(b"\x80\x02}q\x00"), "Python pickle"),
        (b"\x89PNG\r\n\x1a\n", "picture"),
        (b"\xff\xd8\xff\xe0", "picture"),
        (b"\x89HDF\r\n", "HDF5"),
        (b"MATLAB 5.0 MAT-file", "MATLAB"),
        (b"PAR1\x15", "Parquet"),
        (b"\x01\x00\x02", "no known format"),
        (b"", "no known format"),
    ],
)
def test_other_formats_are_named_with_the_line_that_converts(
    tmp_path, contents, kind
):
    path = tmp_path / "digits.npz"
    path.write_bytes(contents)
    text = refusal(path)
    assert kind in text
    assert "np.savez('digits.npz', x_train=" in text


def letters(count=78, first=0):
    """Return images of 26 classes, each of whose labels comes equally often."""
    return Digits(handwriting(count), np.arange(count) % 26 + first)


def test_more_than_ten_classes_come_with_their_names(tmp_path):
    names = [chr(ord("a") + n) for n in range(26)]
    path, part = tmp_path / "letters.npz", letters()
    given = {"x_train": part.images, "y_train": part.labels}
    given |= {"x_test": part.images[:30], "y_test": part.labels[:30]}
    path.write_bytes(packed(**given, class_names=np.array(names)))
    splits = data.split(data.read(path))
    assert splits.train.num_classes == splits.limit(5, 1).test.num_classes == 26
    assert splits.test.class_names == tuple(names)
    path.write_bytes(packed(**given))
    assert data.read(path).test.num_classes == 26
    assert data.read(path).test.class_names is None
    path.write_bytes(packed(**given, class_names=np.array(names[:25])))
    with pytest.raises(DataError, match="0 to 24"):
        data.read(path)


def test_classes_numbered_from_1_are_refused(tmp_path):
    part = letters(first=1)
    for enter in (
        lambda: Dataset(part, part.select(slice(3)), "letters"),
        lambda: Splits(part, part, part, "letters"),
    ):
        with pytest.raises(DataError, match=r"from 1 to 26.*labels - 1"):
            enter()
    # Digits without a 0 are no such case, nor is a part of a set.
    few = letters().select(slice(1, 26))
    Dataset(letters(), few, "letters")
    nines = Digits(handwriting(), np.arange(24) % 9 + 1)
    Dataset(nines, nines, "digits without 0")


def test_more_than_256_classes_are_kept():
    labels = np.arange(300)
    found = Digits(np.zeros((300, 28, 28), np.uint8), labels)
    np.testing.assert_array_equal(found.labels, labels)
    assert found.num_classes == 300


@pytest.fixture
def homeless(monkeypatch):
    """Take away the home folder, as in a container with an unknown user id."""
    for name in ("HOME", "USERPROFILE", "KERAS_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def unknown(*args):
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr("pwd.getpwuid", unknown)
    with pytest.raises(RuntimeError):
        Path.home()


@pytest.mark.usefixtures("homeless")
def test_without_a_home_folder_the_stand_in_is_made_and_nothing_is_left(
    quick_stand_in, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    serve(monkeypatch, urllib.error.URLError("no route"))
    assert data.load_digits(report=None).dataset_name == data.STAND_IN
    assert data.load_digits("stand-in", report=None).dataset_name == data.STAND_IN
    assert len(quick_stand_in) == 2
    # Older versions of platformdirs return a path that begins with ~.
    monkeypatch.setattr(
        standin.platformdirs, "user_cache_path", lambda *_, **__: Path("~/.cache")
    )
    assert data.stand_in().dataset_name == data.STAND_IN
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("homeless")
def test_without_a_home_folder_a_download_is_taken(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(mnist, "CHECKSUM", data.checksum(*split_arrays()))
    serve(monkeypatch, Response(packed()))
    assert data.load_digits(report=None).dataset_name == "MNIST"
    assert list(tmp_path.iterdir()) == []


def split_arrays():
    good = arrays()
    return [
        Digits(good[f"x_{part}"], good[f"y_{part}"]) for part in ("train", "test")
    ]


def digits(count, value=0):
    """Return images that differ, all with the same label."""
    images = np.zeros((count, 28, 28), np.uint8)
    images[:, 9, 9], images[:, 3, 3] = 255, np.arange(count) % 256
    images[:, 4, 4], images[0, 5, 5] = value, 99
    return Digits(images, np.full(count, value, np.uint8))


def test_the_checksum_depends_on_every_array_and_their_shapes_but_not_on_storage():
    one = Digits(arrays()["x_train"], arrays()["y_train"])
    same = Digits(np.asfortranarray(one.images), one.labels.repeat(2)[::2])
    assert data.checksum(one) == data.checksum(same)
    others = [
        one.select(slice(23)),
        one.select(np.arange(24)[::-1]),
        Digits(one.images, one.labels[::-1]),
        Digits(one.images.reshape(24, 14, 56), one.labels),  # As many bytes.
    ]
    assert (
        len({data.checksum(one), *(data.checksum(other) for other in others)}) == 5
    )
    assert data.checksum(one, digits(1)) != data.checksum(digits(1), one)


def test_auto_tries_keras_then_the_network_then_the_stand_in(monkeypatch):
    tried, lines = [], []
    absent = {"_kept_by_keras", "_download"}

    def source(name):
        def look():
            tried.append(name)
            if name not in absent:
                return Dataset(digits(12), digits(2), name)
            if name == "_download":
                raise DataError("no cable")
            return None

        monkeypatch.setattr(mnist, name, look)

    for name in ("_kept_by_keras", "_download", "stand_in"):
        source(name)
    found = data.load_digits(report=lines.append)
    assert found.dataset_name == "stand_in"
    assert tried == ["_kept_by_keras", "_download", "stand_in"]
    assert "no cable" in lines[0]
    absent.remove("_download")
    assert data.load_digits(report=None).dataset_name == "_download"
    assert tried[3:] == ["_kept_by_keras", "_download"]
    absent.remove("_kept_by_keras")
    assert data.load_digits(report=None).dataset_name == "_kept_by_keras"
    assert tried[5:] == ["_kept_by_keras"]


@pytest.mark.parametrize("by_variable", [True, False])
def test_the_stand_in_can_be_asked_for(by_variable, monkeypatch):
    monkeypatch.setattr(standin, "_make", lambda *counts: (digits(12), digits(2)))
    monkeypatch.setenv("LENET5_MNIST", "stand-in" if by_variable else "missing.npz")
    lines = []
    dataset = data.load_digits(
        "auto" if by_variable else Path("stand-in"), report=lines.append
    )
    assert dataset.dataset_name == data.STAND_IN
    assert lines == [f"Data: {data.STAND_IN}; 12 training and 2 test images."]


@pytest.fixture
def small_is_mnist(monkeypatch, small):
    """Let the small file's arrays count as MNIST."""
    dataset = data.read(small)
    monkeypatch.setattr(
        mnist, "CHECKSUM", data.checksum(dataset.train, dataset.test)
    )


def keep_with_keras(contents):
    path = Path(os.environ["KERAS_HOME"]) / "datasets" / "mnist.npz"
    path.parent.mkdir(parents=True)
    path.write_bytes(contents)


@pytest.mark.usefixtures("small_is_mnist")
def test_the_copy_that_keras_keeps_is_taken():
    keep_with_keras(packed())
    dataset = data.load_digits(report=None)
    assert (dataset.dataset_name, len(dataset.train)) == ("MNIST", 24)


@pytest.mark.parametrize("contents", [None, b"", packed()[:-30], packed()])
def test_what_keras_keeps_is_taken_only_if_it_is_whole_and_mnist(contents):
    if contents is not None:
        keep_with_keras(contents)
    assert mnist._kept_by_keras() is None


def test_keras_keeps_its_data_in_the_home_folder_unless_told_otherwise(
    monkeypatch, tmp_path
):
    assert mnist._keras_path() == tmp_path / "keras" / "datasets" / "mnist.npz"
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert mnist._keras_path() == tmp_path / ".keras" / "datasets" / "mnist.npz"


class Response(io.BytesIO):
    """What `urlopen` returns; `error`, if given, is raised while reading."""

    def __init__(self, contents, error=None):
        super().__init__(contents)
        self.error = error

    def read(self, *args):
        if self.error is not None:
            raise self.error
        return super().read(*args)


def serve(monkeypatch, response):
    """Answer the next download with a response, or raise it if it is an error; return the list of calls."""
    calls = []

    def answer(url, timeout):
        calls.append((url, timeout))
        if isinstance(response, Exception):
            raise response
        return response

    monkeypatch.setattr(urllib.request, "urlopen", answer)
    return calls


@pytest.mark.usefixtures("small_is_mnist")
def test_a_download_with_the_right_checksum_is_taken_and_kept(monkeypatch):
    calls = serve(monkeypatch, Response(packed()))
    dataset = data.load_digits(report=None)
    assert (dataset.dataset_name, len(dataset.train)) == ("MNIST", 24)
    assert calls == [(mnist.URL, mnist.SOCKET_SECONDS)]
    assert mnist._keras_path().read_bytes() == packed()
    assert data.load_digits(report=None).dataset_name == "MNIST"
    assert len(calls) == 1


@pytest.mark.usefixtures("small_is_mnist")
def test_a_download_that_cannot_be_kept_is_taken_all_the_same(
    monkeypatch, tmp_path
):
    (tmp_path / "keras").write_text("a file where the folder should be")
    serve(monkeypatch, Response(packed()))
    assert mnist._download().dataset_name == "MNIST"


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (Response(packed()), "bytes that came are not MNIST"),
        (Response(packed()[:5000]), "the 5,000 bytes that came are not MNIST"),
        (Response(b"<html>please log in</html>"), "the 26 bytes that came"),
        (Response(b"", TimeoutError("timed out")), "timed out"),
        (Response(b"", http.client.IncompleteRead(b"", 5000)), "IncompleteRead"),
        (urllib.error.URLError("no route to host"), "(no route to host)"),
        (
            urllib.error.HTTPError(mnist.URL, 404, "Not Found", None, None),
            "HTTP Error 404: Not Found",
        ),
        (ConnectionResetError(errno.ECONNRESET, "reset"), "reset"),
        (http.client.BadStatusLine("?"), "?"),
        (http.client.RemoteDisconnected(), "RemoteDisconnected"),
        (ValueError("unknown url type:\n'x'"), "unknown url type: 'x'"),
    ],
    ids=lambda value: "" if isinstance(value, str) else repr(value)[:30],
)
def test_a_download_that_fails_or_is_not_mnist_leaves_the_stand_in_and_says_why(
    response, reason, monkeypatch, quick_stand_in
):
    serve(monkeypatch, response)
    lines = []
    dataset = data.load_digits(report=lines.append)
    assert dataset.dataset_name == data.STAND_IN
    assert not mnist._keras_path().exists()
    assert len(lines) == 1
    for part in (data.STAND_IN, reason, "LENET5_MNIST"):
        assert part in lines[0]
    assert "\n" not in lines[0]


def drip(server, message, enough):
    """Answer one request with a message, a byte at a time, until it is enough."""
    with contextlib.suppress(OSError), server.accept()[0] as client:
        client.recv(65536)
        for n in range(len(message)):
            client.sendall(message[n : n + 1])
            if enough.wait(0.002):
                return


HEADERS = b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"


@pytest.mark.parametrize(
    "message", [HEADERS + bytes(9999), b"HTTP/1.1 200 OK\r\nX: " + b"x" * 9999]
)
def test_a_download_that_drips_is_given_up_at_its_deadline(message, monkeypatch):
    """No wait for a byte is long: only the deadline of the whole ends it."""
    monkeypatch.setattr(urllib.request, "urlopen", URLOPEN)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(mnist, "DOWNLOAD_SECONDS", 0.5)
    before, enough = set(threading.enumerate()), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(
            mnist, "URL", f"http://127.0.0.1:{server.getsockname()[1]}"
        )
        serving = threading.Thread(target=drip, args=[server, message, enough])
        serving.daemon = True
        serving.start()
        start = time.monotonic()
        with pytest.raises(DataError, match=r"timed out after 0\.5 s"):
            mnist._download()
        assert time.monotonic() - start < 4
        assert serving.is_alive()  # The download had not ended by itself.
        enough.set()
    for thread in set(threading.enumerate()) - before:
        thread.join()
    assert not mnist._keras_path().exists()


@pytest.fixture(scope="module")
def full_stand_in(tmp_path_factory):
    """The stand-in made whole and the stand-in read from its cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        made = data.stand_in()
        patch.setattr(
            standin, "_make", lambda *counts: pytest.fail("made a second time")
        )
        return made, data.stand_in()


def test_the_stand_in_has_mnists_format(full_stand_in):
    made, _ = full_stand_in
    for part, count in ((made.train, 60_000), (made.test, 10_000)):
        assert (part.images.shape, part.images.dtype) == ((count, 28, 28), np.uint8)
        assert (part.labels.shape, part.labels.dtype) == ((count,), np.uint8)
        assert np.bincount(part.labels, minlength=10).min() > 0.09 * count
        assert part.images.max() > 250
        assert part.images[:, [0, -1]].any(axis=(1, 2)).mean() < 0.1


def test_the_stand_in_says_that_it_is_not_mnist(full_stand_in):
    made, kept = full_stand_in
    assert "not MNIST" in made.dataset_name
    assert made.dataset_name == kept.dataset_name == data.STAND_IN


def test_the_stand_in_from_the_cache_is_the_one_that_was_made(full_stand_in):
    made, kept = full_stand_in
    assert data.checksum(made.train, made.test) == data.checksum(
        kept.train, kept.test
    )


def test_the_stand_in_is_the_same_every_time():
    first, again = (standin._make(50, 20) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.labels, other.labels)


def test_no_test_image_of_the_stand_in_comes_from_a_training_original(monkeypatch):
    monkeypatch.setattr(
        standin, "_warp", lambda images, rng: np.rint(255 * images).astype(np.uint8)
    )
    train, test = standin._make(3000, 1000)
    originals = [
        {image.tobytes() for image in part.images} for part in (train, test)
    ]
    assert (len(originals[0]), len(originals[1])) == (1797 - 1797 // 7, 1797 // 7)
    assert not originals[0] & originals[1]


def test_warping_differs_from_image_to_image_and_keeps_the_digit_in_place():
    canvas = np.zeros((20, 28, 28), np.float32)
    canvas[:, 8:20, 12:16] = 1
    warped = standin._warp(canvas, np.random.default_rng(0))
    assert len({image.tobytes() for image in warped}) == 20
    ink = warped / warped.sum(axis=(1, 2), keepdims=True)
    for axis in (1, 2):
        centres = (ink.sum(axis=3 - axis) * np.arange(28)).sum(axis=1)
        assert (np.abs(centres - 13.5) < 2).all()


@pytest.fixture
def quick_stand_in(monkeypatch):
    """Let the stand-in be 24 + 12 digits; return the list of times that it was made."""
    made = []
    monkeypatch.setattr(
        standin,
        "_make",
        lambda *counts: made.append(1) or (digits(24, 3), digits(12, 4)),
    )
    return made


def stand_in_cache():
    return (
        Path(os.environ["XDG_CACHE_HOME"])
        / "lenet5lib"
        / f"stand-in-{standin.VERSION}.npz"
    )


def test_the_stand_in_is_made_once_and_then_read_from_the_cache(quick_stand_in):
    first, second = data.stand_in(), data.stand_in()
    assert len(quick_stand_in) == 1
    assert stand_in_cache().exists()
    assert first.dataset_name == second.dataset_name == data.STAND_IN
    assert data.checksum(first.train, first.test) == data.checksum(
        second.train, second.test
    )


@pytest.mark.parametrize(
    "damage", [b"", b"no archive", packed()[:-30], packed(x_train=None)]
)
def test_a_damaged_cache_is_made_again(damage, quick_stand_in):
    stand_in_cache().parent.mkdir(parents=True)
    stand_in_cache().write_bytes(damage)
    assert data.stand_in().train.labels.tolist() == [3] * 24
    assert len(quick_stand_in) == 1
    assert data.read(stand_in_cache()).test.labels.tolist() == [4] * 12


def test_without_a_cache_the_stand_in_is_made_every_time(quick_stand_in, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    for _ in range(2):
        assert data.stand_in().train.labels.tolist() == [3] * 24
    assert len(quick_stand_in) == 2


def test_a_full_disk_costs_only_the_cache(quick_stand_in, monkeypatch):
    def full(path, contents):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(standin.files, "write", full)
    assert data.stand_in().dataset_name == data.STAND_IN
    assert not stand_in_cache().exists()


LABELS = st.lists(st.integers(0, 9), max_size=300).map(
    lambda labels: np.array(labels, int)
)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(LABELS, st.integers(1, 15))
def test_the_stratified_split_divides_every_class_in_proportion(labels, parts):
    rest, held = data.stratified_split(labels, parts)
    assert len(held) == len(labels) // parts
    assert sorted([*rest, *held]) == list(range(len(labels)))
    assert rest.tolist() == sorted(rest)
    assert held.tolist() == sorted(held)
    for label in range(10):
        assert (
            abs((labels[held] == label).sum() - (labels == label).sum() // parts)
            <= 1
        )


def test_the_stratified_split_is_the_division_that_the_printed_results_were_made_with():
    labels = np.arange(60) % 5
    assert data.stratified_split(labels, 12)[1].tolist() == [6, 9, 22, 25, 48]


def test_split_holds_a_twelfth_out_and_leaves_the_test_digits_alone():
    labels = (np.arange(60_000) % 10).astype(np.uint8)
    images = np.zeros((60_000, 28, 28), np.uint8)
    images[:, 0, 0], images[:, 9, 9] = labels, 255
    dataset = Dataset(Digits(images, labels), digits(10_000), "a source")
    splits = data.split(dataset)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (
        55_000,
        5_000,
        10_000,
    )
    assert splits.dataset_name == "a source"
    assert splits.test is dataset.test
    assert np.bincount(splits.validation.labels).tolist() == [500] * 10
    for part in (splits.train, splits.validation):
        np.testing.assert_array_equal(part.images[:, 0, 0], part.labels)


def test_split_needs_twelve_digits():
    dataset = Dataset(digits(11), digits(2), "the file few.npz")
    with pytest.raises(DataError, match=r"few\.npz has 11 training .* 12 or more"):
        data.split(dataset)
    twelve = data.split(Dataset(digits(12), digits(2), "twelve"))
    assert (len(twelve.train), len(twelve.validation)) == (11, 1)


def test_limits_keep_the_first_images_and_says_so(small):
    splits = data.split(data.read(small))
    few = splits.limit(5, 1)
    assert (len(few.train), len(few.validation), few.test) == (5, 1, splits.test)
    np.testing.assert_array_equal(few.train.images, splits.train.images[:5])
    assert few.dataset_name == "the first 5 training images of the file small.npz"


def test_limits_beyond_the_images_are_those_that_there_are(small):
    splits = data.split(data.read(small))
    assert splits.limit(100_000, 100_000) is splits
    one = splits.limit(100_000, 1)
    assert (len(one.train), len(one.validation)) == (22, 1)
    assert one.dataset_name.startswith("the first 22 training images of ")


@pytest.mark.parametrize("limits", [(0, 1), (-5, 1), (5, 0), (5, -1), (2.5, 1)])
def test_limits_are_whole_numbers_above_0(small, limits):
    with pytest.raises(ValueError, match="expected"):
        data.split(data.read(small)).limit(*limits)


def test_prepare_scales_to_one_and_adds_an_axis():
    images = np.zeros((2, 28, 28), np.uint8)
    images[0, 3, 4], images[1, 27, 27] = 255, 128
    values = data.prepare(images)
    assert (values.shape, values.dtype) == ((2, 28, 28, 1), np.float32)
    assert values[0, 3, 4, 0] == 1
    assert values[1, 27, 27, 0] == np.float32(128) / np.float32(255)
    assert np.count_nonzero(values) == 2


@pytest.mark.parametrize(
    ("shape", "above", "left"),
    [((32, 32, 1), 2, 2), ((31, 29, 1), 1, 0), ((28, 40, 1), 0, 6)],
)
def test_prepare_pads_with_background_to_the_networks_input(shape, above, left):
    images = arrays()["x_test"]
    values = data.prepare(images, shape)
    assert values.shape == (12, *shape)
    inside = values[:, above : above + 28, left : left + 28]
    np.testing.assert_array_equal(inside, data.prepare(images))
    assert np.count_nonzero(values) == np.count_nonzero(inside)


@pytest.mark.parametrize("shape", [(27, 28, 1), (28, 14, 1), (32, 32, 3)])
def test_prepare_refuses_an_input_that_cannot_hold_the_images(shape):
    with pytest.raises(ValueError, match=re.escape(f"reads {shape}")) as caught:
        data.prepare(np.zeros((1, 28, 28), np.uint8), shape)
    assert "images are 28×28 with 1 channel" in str(caught.value)
    assert "input_shape" in str(caught.value)


def test_prepare_follows_a_pixel_range_and_pads_with_background():
    images = np.zeros((2, 28, 28), np.uint8)
    images[0, 3, 4], images[1, 27, 27] = 255, 128
    values = data.prepare(images, (32, 32, 1), pixel_range=(-0.1, 1.175))
    assert values.dtype == np.float32
    assert values[0, 5, 6, 0] == pytest.approx(1.175, abs=1e-6)
    assert values[1, 29, 29, 0] == pytest.approx(-0.1 + 1.275 * 128 / 255)
    values[[0, 1], [5, 29], [6, 29]] = -0.1
    assert (values == np.float32(-0.1)).all()


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 28, 28)),
        np.zeros((2, 28, 28), int),
        np.zeros((28, 28), np.uint8),
        np.zeros((2, 28, 28, 1), np.uint8),
    ],
)
def test_prepare_refuses_what_is_no_uint8_image(images):
    found = (
        f"images are {images.dtype} of shape {images.shape}; expected uint8 (n, "
    )
    with pytest.raises(ValueError, match=re.escape(found)):
        data.prepare(images)


PIXEL_RANGE = (-0.1, 1.175)


def test_what_prepare_returns_is_accepted_as_inputs():
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28)).astype(np.uint8)
    for shape, pair in (((28, 28, 1), (0, 1)), ((32, 32, 1), PIXEL_RANGE)):
        values = data.prepare(images, shape, pair)
        data.require_inputs(values, shape, pair)
        data.require_inputs(values[:0], shape, pair)
        data.require_inputs(values.astype(float), shape, pair)


@pytest.mark.parametrize(
    "values",
    [
        np.zeros((2, 28, 28, 1)),
        np.zeros((2, 32, 32)),
        np.zeros((32, 32, 1)),
        np.zeros((2, 1, 32, 32)),
        np.zeros((2, 32, 32, 1), np.uint8),
    ],
)
def test_inputs_of_another_type_or_shape_are_refused(values):
    found = f"inputs are {values.dtype} of shape {values.shape}; expected float (n, 32, "
    with pytest.raises(ValueError, match=re.escape(found)):
        data.require_inputs(values, (32, 32, 1), PIXEL_RANGE)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (255, "0 and 255"),
        (-0.11, "-0.11 and 0"),
        (1.18, "0 and 1.18"),
        (np.nan, "nan"),
    ],
)
def test_inputs_outside_the_pixel_range_are_refused(value, found):
    values = np.zeros((2, 32, 32, 1), np.float32)
    values[1, 2, 3] = value
    with pytest.raises(ValueError, match="inputs lie between") as caught:
        data.require_inputs(values, (32, 32, 1), PIXEL_RANGE)
    assert f"between {found}" in str(caught.value)
    assert "-0.1 (background) to 1.175 (ink)" in str(caught.value)


def test_mnists_facts_are_those_of_its_arrays(mnist_itself):
    pixels = mnist_itself.train.images / np.float32(255)
    assert (
        round(float(pixels.mean(dtype=float)), 4) == data.MNIST_FACTS["mean pixel"]
    )
    assert round(float(pixels.std()), 4) == data.MNIST_FACTS["standard deviation"]
    assert (
        tuple(np.bincount(mnist_itself.train.labels))
        == data.MNIST_FACTS["digits of each class"]
    )
    assert (
        tuple(np.bincount(mnist_itself.test.labels))
        == data.MNIST_FACTS["test digits of each class"]
    )


def test_mnists_sets_have_the_sizes_that_the_book_names(mnist_itself):
    splits = data.split(mnist_itself)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (
        55_000,
        5_000,
        10_000,
    )
    shares = (
        np.bincount(splits.validation.labels)
        - np.bincount(mnist_itself.train.labels) / 12
    )
    assert np.abs(shares).max() < 1


def test_mnist_is_known_by_its_arrays_under_any_file_name(mnist_itself, tmp_path):
    other = tmp_path / "digits.npz"
    other.write_bytes(Path(NAMED).read_bytes())
    assert data.read(other).dataset_name == "MNIST"
    images = mnist_itself.train.images.copy()
    images[59_999, 0, 0] ^= 1
    assert (
        data.checksum(Digits(images, mnist_itself.train.labels), mnist_itself.test)
        != mnist.CHECKSUM
    )


def test_the_questioned_labels_are_positions_in_the_test_set():
    positions = data.MNIST_LABEL_ERRORS
    assert list(positions) == sorted(set(positions))
    assert 0 <= positions[0] <= positions[-1] < 10_000


def test_with_train_on_all_the_validation_images_are_trained_on_too(small):
    dataset, some = data.read(small), data.split(data.read(small))
    every = data.split(dataset, train_on_all=True)
    assert every.train is dataset.train
    np.testing.assert_array_equal(every.validation.images, some.validation.images)
    assert (every.train_on_all, some.train_on_all) == (True, False)
    assert every.limit(10, 1).train_on_all
    assert not some.limit(10, 1).train_on_all
