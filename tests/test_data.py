"""The data: which source is taken, what a bad file is told, the stand-in, the division into sets, and scaling.

Nothing here reaches the network. What needs MNIST itself reads the file that LENET5_MNIST names, or is skipped.
"""

import contextlib
import errno
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

from lenet5lib import data
from lenet5lib.data import DataError, Dataset, Digits, formats, mnist, standin

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
    """Return the text with which `read` refuses a file with some arrays replaced, without the file's name."""
    path = tmp_path / "bad.npz"
    path.write_bytes(packed(**changes))
    text = refusal(path)
    assert text.startswith(f"{path}")
    return text.removeprefix(f"{path}")


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
    def fall_through():
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


def test_a_folder_is_refused(tmp_path):
    assert f"{tmp_path}: Is a directory" in refusal(tmp_path)


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
        expected = f"{path} is not a complete .npz file ({length:,} bytes read): "
        assert refusal(path).startswith(expected)


@settings(max_examples=400, derandomize=True, deadline=None)
@given(
    st.sampled_from([np.savez, np.savez_compressed]),
    st.floats(-0.1, 1),
    st.integers(1, 255),
)
def test_a_file_with_one_altered_byte_is_read_or_refused_but_never_breaks(
    save, share, change
):
    contents = bytearray(packed(save, x_train=np.zeros((24, 28, 28), np.uint8)))
    position = int(share * (len(contents) - 1)) if share >= 0 else int(share * 8000)
    contents[position] ^= change
    with contextlib.suppress(DataError):
        train, _ = formats.parse_npz(bytes(contents), "altered.npz")
        assert train.images.shape == (24, 28, 28)


def test_a_text_file_is_refused(tmp_path):
    path = tmp_path / "notes.npz"
    path.write_text("these are not digits\n" * 20)
    assert f"{path} is not a complete .npz file (420 bytes" in refusal(path)


def test_a_missing_array_is_named(tmp_path):
    text = refused(tmp_path, y_train=None, x_test=None)
    assert text.startswith(" has no array y_train, x_test; it has x_train, y_test.")


def test_a_file_without_arrays_is_refused(tmp_path):
    text = refused(tmp_path, x_train=None, y_train=None, x_test=None, y_test=None)
    assert "no array x_train, y_train, x_test, y_test; it has none." in text


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
    assert text.startswith(" is not a complete .npz file (")
    assert "pickled objects" in text
    assert not (tmp_path / "sprung").exists()


def test_a_member_that_is_no_array_is_refused(tmp_path):
    path = tmp_path / "text.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name in formats.ARRAYS:
            archive.writestr(f"{name}.npy", "a text")
    assert f"{path} is not a complete .npz file" in refusal(path)
    assert "x_train is not an array" in refusal(path)


def test_images_of_another_type_are_refused(tmp_path):
    text = refused(tmp_path, x_test=arrays()["x_test"] / np.float32(255))
    assert text.startswith(
        ": x_test is float32 of shape (12, 28, 28); expected uint8"
    )


def test_nan_pixels_are_counted_and_refused(tmp_path):
    images = arrays()["x_train"].astype(np.float64)
    images[3, 4:6] = np.nan
    text = refused(tmp_path, x_train=images)
    assert text.startswith(
        ": x_train is float64 of shape (24, 28, 28) with 56 NaN "
    )


@pytest.mark.parametrize(
    "shape", [(24, 784), (24, 28, 28, 1), (24, 27, 28), (24, 28, 32), (0, 28, 28)]
)
def test_images_of_another_shape_are_refused(tmp_path, shape):
    text = refused(tmp_path, x_train=np.zeros(shape, np.uint8))
    assert text.startswith(
        f": x_train is uint8 of shape {shape}; expected uint8 (n, "
    )


@pytest.mark.parametrize(("worst", "low", "high"), [(10, 0, 10), (-1, -1, 9)])
def test_labels_out_of_range_are_refused(tmp_path, worst, low, high):
    labels = arrays()["y_train"].astype(np.int64)
    labels[7] = worst
    text = refused(tmp_path, y_train=labels)
    assert text.startswith(": y_train is int64 of shape (24,)")
    assert f" from {low} to {high}; expected whole numbers from 0 to 9" in text


def test_labels_that_are_not_whole_numbers_are_refused(tmp_path):
    text = refused(tmp_path, y_test=np.zeros(12, np.float32))
    assert text.startswith(": y_test is float32 of shape (12,); expected whole ")


@pytest.mark.parametrize("shape", [(23,), (25,), (24, 10), (24, 1)])
def test_labels_that_do_not_match_the_images_are_refused(tmp_path, shape):
    text = refused(tmp_path, y_train=np.zeros(shape, np.uint8))
    assert text.startswith(f": y_train is uint8 of shape {shape}; expected ")
    assert "(24,)" in text


def digits(count, value=0):
    return Digits(
        np.full((count, 28, 28), value, np.uint8), np.full(count, value, np.uint8)
    )


def test_the_checksum_depends_on_every_array_and_their_shapes_but_not_on_storage():
    one = Digits(arrays()["x_train"], arrays()["y_train"])
    same = Digits(np.asfortranarray(one.images), one.labels.repeat(2)[::2])
    assert data.checksum(one) == data.checksum(same)
    others = [
        one.select(slice(23)),
        one.select(np.arange(24)[::-1]),
        Digits(one.images, one.labels[::-1]),
        Digits(one.images.reshape(24, 14, 56), one.labels),
    ]
    assert (
        len({data.checksum(one), *(data.checksum(other) for other in others)}) == 5
    )
    assert data.checksum(one, digits(1)) != data.checksum(digits(1), one)


def test_auto_tries_keras_then_the_network_then_the_stand_in(monkeypatch):
    tried = []
    sources = {
        name: Dataset(digits(12), digits(2), name)
        for name in ("_kept_by_keras", "_download", "stand_in")
    }
    absent = {"_kept_by_keras", "_download"}
    for name, dataset in sources.items():
        monkeypatch.setattr(
            mnist,
            name,
            lambda name=name, dataset=dataset: (
                tried.append(name) or (None if name in absent else dataset)
            ),
        )
    assert data.load_digits(report=None).dataset_name == "stand_in"
    assert tried == ["_kept_by_keras", "_download", "stand_in"]
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
        "auto" if by_variable else "stand-in", report=lines.append
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
    "response",
    [
        Response(packed()),
        Response(packed()[:5000]),
        Response(b"<html>please log in</html>"),
        Response(b"", TimeoutError("timed out")),
        Response(b"", http.client.IncompleteRead(b"", 5000)),
        urllib.error.URLError("no route to host"),
        urllib.error.HTTPError(mnist.URL, 404, "Not Found", None, None),
        ConnectionResetError(errno.ECONNRESET, "reset"),
        http.client.BadStatusLine("?"),
    ],
    ids=[
        "wrong checksum",
        "cut short",
        "a page",
        "timeout",
        "incomplete",
        "no route",
        "404",
        "reset",
        "no status",
    ],
)
def test_a_download_that_fails_or_is_not_mnist_is_refused_and_not_kept(
    response, monkeypatch
):
    serve(monkeypatch, response)
    assert mnist._download() is None
    assert not mnist._keras_path().exists()


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
        assert mnist._download() is None
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
    images[:, 0, 0] = labels
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
