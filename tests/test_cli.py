"""The command line as a reader meets it: what it prints, what it leaves, its exit codes, one clear line when it refuses."""

import argparse
import csv
import dataclasses
import io
import json
import math
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import small
from PIL import Image

from lenet5lib import cli, data, records
from lenet5lib.data import pictures
from lenet5lib.training import checkpoint, loop, recipe
from lenet5lib.training.recipe import Recipe
from lenet5lib.training.schedules import OneCycle, PiecewiseConstant

COMMANDS = ("describe", "train", "evaluate", "predict", "plot", "speedrun")
OPTIONS = ["--learning-rate", "0.005", "--batch-size", "16"]


def environment(**changed: str) -> dict[str, str]:
    """Return the environment of a reader who has set nothing, so that no message is kept back by ours."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("TF_", "LENET5_", "PYTHONWARN"))
    }
    return kept | changed


def run(*arguments: object, **changed: str) -> subprocess.CompletedProcess:
    """Run `python -m lenet5lib` in a separate process."""
    command = [sys.executable, "-m", "lenet5lib", *map(str, arguments)]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=environment(**changed),
        timeout=120,
    )


def refused(done: subprocess.CompletedProcess) -> str:
    """Return the one line on stderr of a command that ended with exit code 1."""
    assert done.returncode == 1, done
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert done.stderr.endswith("\n")
    assert "Traceback" not in done.stdout
    return line


@pytest.fixture
def call(capsys, monkeypatch):
    """Return a function that runs the command line in this process and returns what a process would have."""
    monkeypatch.delenv("LENET5_MNIST", raising=False)

    def call(*arguments: object) -> subprocess.CompletedProcess:
        code = cli.main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return subprocess.CompletedProcess(
            arguments, code, printed.out, printed.err
        )

    return call


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with the file `letters.npz` of 1,200 + 100 digits."""
    folder = tmp_path_factory.mktemp("cli")
    small.save_npz(folder / "letters.npz", 1200, 100)
    return folder


@pytest.fixture(scope="module")
def sessions(place) -> dict[str, subprocess.CompletedProcess]:
    """Two epochs, then up to five in the folder `stopped`; five in one go in the folder `whole`."""
    options = ["--data", place / "letters.npz", *OPTIONS]
    return {
        "first": run(
            "train", "--run-dir", place / "stopped", "--epochs", 2, *options
        ),
        "second": run(
            "train", "--run-dir", place / "stopped", "--epochs", 5, *options
        ),
        "whole": run(
            "train", "--run-dir", place / "whole", "--epochs", 5, *options
        ),
    }


@pytest.fixture
def finished(place, sessions) -> Path:
    """The folder of the run that was trained in one go."""
    return place / "whole"


@pytest.fixture
def folder(finished, tmp_path) -> Path:
    """A copy of that folder, to be changed."""
    copy = tmp_path / "run"
    copy.mkdir()
    for file in finished.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    return copy


def test_describe_answers_fast():
    """On a machine that does other work too, some tries are slow."""
    seconds = [math.inf]
    while min(seconds) >= 0.3 and len(seconds) <= 25:
        start = time.perf_counter()
        done = run("describe")
        seconds.append(time.perf_counter() - start)
        assert done.returncode == 0
    assert min(seconds) < 0.3


def test_describe_loads_no_tensorflow():
    code = "import sys; from lenet5lib.cli import main; main(['describe']); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    loaded = done.stdout.splitlines()[-1].split()
    assert "lenet5lib.arithmetic" in loaded
    assert not {
        "tensorflow",
        "keras",
        "pandas",
        "h5py",
        "matplotlib",
    } & set(loaded)


@pytest.mark.parametrize(
    ("architecture", "totals"),
    [
        ("lenet5", ["61,706", "429,342", "416,520"]),
        ("lenet5-32", ["61,706", "429,342", "416,520"]),
        ("lenet5-1998", ["60,000", "340,908", "328,096"]),
    ],
)
def test_describe_prints_the_derived_totals(call, architecture, totals):
    done = call("describe", "--architecture", architecture)
    assert (done.returncode, done.stderr) == (0, "")
    total = next(
        line for line in done.stdout.splitlines() if line.startswith("Total")
    )
    assert total.split() == ["Total", *totals]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(command, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main([command, "--help"])
    assert end.value.code == 0
    printed = capsys.readouterr()
    assert printed.out.startswith(f"usage: lenet5lib {command}")
    assert printed.err == ""


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["--help"])
    assert end.value.code == 0
    printed = capsys.readouterr().out
    assert all(
        re.search(rf"^    {command}( |$)", printed, re.MULTILINE)
        for command in COMMANDS
    )


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("", "required: COMMAND"),
        ("learn", "invalid choice: 'learn'"),
        ("train --epochs 1", "required: --run-dir"),
        ("train --run-dir r", "required: --epochs"),
        (
            "train --run-dir r --epochs 0",
            "--epochs: expected a whole number of 1 or more, got '0'",
        ),
        (
            "train --run-dir r --epochs x",
            "--epochs: expected a whole number of 1 or more, got 'x'",
        ),
        ("train --run-dir r --epochs 1.5", "got '1.5'"),
        ("train --run-dir r --epochs 1 --batch-size 1.5", "--batch-size"),
        ("train --run-dir r --epochs 1 --momentum much", "'much'"),
        ("train --run-dir r --epochs 1 --learning-rate fast", "'fast'"),
        ("train --run-dir r --epochs 1 --learning-rate OneCycle(0.1)", "epochs"),
        ("train --run-dir r --epochs 1 --learning-rate Cycle(1)", "OneCycle(…)"),
        ("train --run-dir r --epochs 1 --learning-rate OneCycle(-1,2)", "max_lr"),
        ("train --run-dir r --epochs 1 --learning-rate OneCycle(f(),2)", "f()"),
        ("train --run-dir r --epochs 1 --distortion 0.5", "Distortion(…)"),
        ("train --run-dir r --epochs 1 --distortion Distortion(bend=1)", "bend"),
        ("train --run-dir r --epochs 1 --optimizer lion", "'lion'"),
        (
            "train --run-dir r --epochs 1 --architecture alexnet",
            "invalid choice: 'alexnet'",
        ),
        (
            "train --run-dir r --epochs 1 --colour",
            "unrecognized arguments: --colour",
        ),
        ("train --run-dir r --epochs 1 --limit 30", "--limit"),
        ("speedrun --seeds 0", "'0'"),
        ("predict --run-dir r", "required: IMAGE"),
        ("predict", "required: IMAGE"),
        ("plot --run-dir r", "required: --out"),
        ("evaluate", "required: --run-dir"),
        ("train --epochs 1 --run-dir=", "--run-dir"),
        ("train --epochs 1 --run-dir r --data=", "--data"),
        ("evaluate --run-dir=", "--run-dir"),
        ("predict --run-dir= a.png", "--run-dir"),
        ("predict --save-seen= a.png", "--save-seen"),
        ("plot --run-dir r --out=", "--out"),
    ],
)
def test_a_command_line_that_cannot_be_parsed_ends_with_2(line, named, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(line.split())
    assert end.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert named in printed.err.splitlines()[-1]


def test_sessions_print_their_epochs_and_nothing_on_stderr(sessions, place):
    for done in sessions.values():
        assert (done.returncode, done.stderr) == (0, "")
    first, second, whole = (done.stdout.splitlines() for done in sessions.values())
    source = "Data: the file letters.npz; 1,200 training and 100 test images."
    assert [first[0], second[0], whole[0]] == [source] * 3
    assert second[1] == f"Resuming {place / 'stopped'} after epoch 2."
    epochs = [
        [line.rsplit("  ", 1)[0] for line in lines if line.startswith("Epoch ")]
        for lines in (second, whole)
    ]
    assert [line.split("  ")[0] for line in epochs[1]] == [
        f"Epoch {number}/5" for number in range(1, 6)
    ]
    assert epochs[0] == epochs[1][2:]
    best = records.read(place / "whole").best
    last = f"Best on validation: epoch {best['epoch']}, val_loss {best['val_loss']:.4f}. Saved in {place / 'whole'}"
    assert whole[-1] == last


def test_a_run_whose_best_weights_are_lost_says_so_at_its_end(
    monkeypatch, capsys, tmp_path
):
    """No epoch has ended since, so that there is no loss to print."""
    record = SimpleNamespace(best={"epoch": 0, "val_loss": None}, epochs=[{}, {}])
    run = SimpleNamespace(record=record, run_dir=tmp_path)
    monkeypatch.setattr(loop, "train", lambda *_, **__: run)
    path = small.save_npz(tmp_path / "small.npz")
    line = ["train", "--run-dir", str(tmp_path), "--data", str(path), "--epochs=2"]
    assert not cli.main(line)
    assert "--last" in capsys.readouterr().out


def test_two_then_five_epochs_equal_five_in_one_go_bit_for_bit(sessions, place):
    small.assert_same_run(place / "stopped", place / "whole")
    assert records.read(place / "stopped").resume_points == [2]
    for name in ("stopped", "whole"):
        assert small.leftovers(place / name) == set()


def test_a_finished_run_says_so(call, finished, place):
    before = {path.name: path.read_bytes() for path in finished.iterdir()}
    done = call(
        "train",
        "--run-dir",
        finished,
        "--epochs",
        5,
        "--data",
        place / "letters.npz",
        *OPTIONS,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Finished: {finished} holds 5 epochs, 5 asked for." in done.stdout
    assert {path.name: path.read_bytes() for path in finished.iterdir()} == before


def test_no_resume_moves_the_old_run_aside(call, folder, place):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    options = [
        "--run-dir",
        folder,
        "--epochs",
        1,
        "--data",
        place / "letters.npz",
        "--seed",
        3,
        "--no-resume",
    ]
    done = call("train", *options)
    assert (done.returncode, done.stderr) == (0, "")
    aside = folder.with_name("run.1")
    assert f"The old run is now in {aside}." in done.stdout
    assert {path.name: path.read_bytes() for path in aside.iterdir()} == before
    assert len(records.read(folder).epochs) == 1
    assert records.read(folder).config.seed == 3


def test_plot_writes_a_picture(finished, tmp_path):
    picture = tmp_path / "curves.png"
    done = run("plot", "--run-dir", finished, "--out", picture)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"Curves of 5 epochs on the file letters.npz: {picture}\n"
    with Image.open(picture) as image:
        assert image.format == "PNG"
        assert image.width > image.height > 300
        assert np.asarray(image.convert("L")).std() > 10, "the picture is empty"


def test_plot_needs_no_tensorflow(finished, tmp_path):
    code = "import sys; from lenet5lib.cli import main; main(sys.argv[1:]); print(*sys.modules)"
    command = [
        sys.executable,
        "-c",
        code,
        "plot",
        "--run-dir",
        finished,
        "--out",
        tmp_path / "curves.png",
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=environment()
    )
    assert "tensorflow" not in done.stdout.splitlines()[-1].split()


def test_evaluate_prints_error_and_interval(call, finished, place):
    done = call("evaluate", "--run-dir", finished, "--data", place / "letters.npz")
    assert (done.returncode, done.stderr) == (0, "")
    _, about, tested, result = done.stdout.splitlines()
    assert about == checkpoint.read_record(finished / checkpoint.BEST).about()
    assert tested == "Tested on the file letters.npz."
    wrong, error, low, high = map(
        float,
        re.fullmatch(
            r"(\d+) of 100 \D+([\d.]+)%, 95 \D+([\d.]+)%\D+([\d.]+)%.*",
            result,
        ).groups(),
    )
    assert wrong == error
    assert low < error < high
    assert wrong < 50, "the small run learns more than half of the digits"


def test_evaluate_finds_the_data_that_the_run_was_trained_on(
    call, finished, place, monkeypatch
):
    named = call("evaluate", "--run-dir", finished, "--data", place / "letters.npz")
    monkeypatch.setenv("LENET5_MNIST", str(place / "letters.npz"))
    assert call("evaluate", "--run-dir", finished).stdout == named.stdout


def test_evaluate_takes_the_last_weights_where_asked(call, finished, place):
    data = "--data", place / "letters.npz"
    done = call("evaluate", "--run-dir", finished, *data, "--last")
    about = checkpoint.read_record(finished / checkpoint.LAST).about()
    assert done.stdout.splitlines()[1] == about


def test_evaluate_on_other_digits_that_are_named(call, finished, tmp_path):
    small.save_npz(tmp_path / "garments.npz", 12, 30)
    done = call(
        "evaluate", "--run-dir", finished, "--data", tmp_path / "garments.npz"
    )
    assert done.returncode == 0
    assert "Trained on the file letters.npz" in done.stdout
    assert "Tested on the file garments.npz." in done.stdout
    assert " of 30 " in done.stdout


def test_evaluate_refuses_data_that_nobody_named(
    call, finished, tmp_path, monkeypatch
):
    other = small.save_npz(tmp_path / "other.npz")
    monkeypatch.setenv("LENET5_MNIST", str(other))
    line = refused(call("evaluate", "--run-dir", finished))
    assert (
        "was trained on the file letters.npz, but the data found is the file other.npz."
        in line
    )
    assert "--data" in line


def test_evaluate_refuses_other_digits_under_the_same_name(
    call, finished, tmp_path, monkeypatch
):
    monkeypatch.setenv(
        "LENET5_MNIST", str(small.save_npz(tmp_path / "letters.npz", 1199, 100))
    )
    line = refused(call("evaluate", "--run-dir", finished))
    assert "but the data found is the file letters.npz, with other " in line


def test_predict_reads_large_drawings_dark_on_light(finished, tmp_path):
    """Ten of the test digits as a reader would bring them: 280 pixels wide, dark ink on light paper, off centre."""
    digits = data.stand_in().test.select(slice(10))
    paths = []
    for number, image in enumerate(digits.images):
        page = Image.new("L", (420, 300), 245)
        page.paste(
            Image.fromarray(
                245 - (image.astype(int) * 235 // 255).astype(np.uint8)
            ).resize((280, 280)),
            (130, 10),
        )
        paths.append(tmp_path / f"{number}.png")
        page.save(paths[-1])
    done = run("predict", "--run-dir", finished, *paths)
    assert (done.returncode, done.stderr) == (0, "")
    first, head, *lines = done.stdout.splitlines()
    assert first.startswith(
        "modern LeNet-5 (28×28). Trained on the file letters.npz (1,100 images, 100 held out) with seed 0; these "
    )
    assert first.endswith(", the best on validation.")
    assert head.split() == ["picture", "digit", "probability", "warnings"]
    right = 0
    for path, label, line in zip(paths, digits.labels, lines, strict=True):
        name, answer, share, *_ = line.split()
        assert name == str(path)
        assert 10 <= float(share.removesuffix("%")) <= 100
        right += answer == str(label)
    assert right >= 6


@pytest.fixture
def digit(tmp_path) -> Path:
    """A picture of a digit."""
    path = tmp_path / "digit.png"
    Image.fromarray(data.stand_in().test.images[0]).save(path)
    return path


def test_predict_without_a_run_uses_the_recorded_network(call, digit):
    done = call("predict", digit)
    assert (done.returncode, done.stderr) == (0, "")
    about, _, answer = done.stdout.splitlines()
    path = records.weights()
    assert about == checkpoint.read_record(path).about()
    assert "Trained on MNIST (" in about
    assert answer.split()[:2] == [str(digit), str(data.stand_in().test.labels[0])]


@pytest.fixture
def scans(digit, tmp_path) -> Path:
    """A folder: two pictures, one of which cannot be read, and files that are passed over."""
    folder = tmp_path / "scans"
    (folder / "more.png").mkdir(parents=True)
    (folder / "b.PNG").write_bytes(digit.read_bytes())
    (folder / "a.jpg").write_text("not an image")
    (folder / "._b.png").write_text("notes of another system")
    (folder / "notes.txt").write_text("none")
    return folder


def test_predict_goes_on_after_a_bad_picture(call, scans, digit, tmp_path):
    (tmp_path / "empty").mkdir()
    done = call(
        "predict", tmp_path / "no.png", scans, tmp_path / "empty", digit, "x" * 999
    )
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    named = ["no.png", scans / "a.jpg", "empty", "x" * 999]
    for line, name in zip(lines, named, strict=True):
        assert line.startswith("error: ")
        assert str(name) in line
    answers = [line.split()[0] for line in done.stdout.splitlines()[2:]]
    assert answers == [str(scans / "b.PNG"), str(digit)]


@pytest.mark.parametrize("form", ["csv", "json"])
def test_predict_for_a_program(call, scans, digit, form):
    done = call("predict", "--format", form, scans, digit)
    assert done.returncode == 1
    label = int(data.stand_in().test.labels[0])
    if form == "json":
        bad, *good = json.loads(done.stdout, parse_constant=pytest.fail)
        shares = [one["probabilities"] for one in good]
        assert (bad["digit"], bad["probabilities"]) == (None, [])
    else:
        bad, *good = csv.DictReader(io.StringIO(done.stdout))
        shares = [[float(one[f"p{n}"]) for n in range(10)] for one in good]
        assert (bad["digit"], bad["p0"]) == ("", "")
    assert bad["error"] in done.stderr
    assert [one["picture"] for one in good] == [str(scans / "b.PNG"), str(digit)]
    for one, numbers in zip(good, shares, strict=True):
        assert int(one["digit"]) == np.argmax(numbers) == label
        assert float(one["probability"]) == max(numbers)
        assert sum(numbers) == pytest.approx(1, abs=1e-5)
        assert not one["error"]


@pytest.mark.parametrize("form", ["text", "csv", "json"])
def test_predict_with_bad_pictures_only(call, tmp_path, form):
    done = call("predict", "--format", form, tmp_path / "no.png")
    assert "no.png" in refused(done)
    assert len(done.stdout.splitlines()) == {"text": 0, "csv": 2, "json": 1}[form]


def test_predict_saves_what_the_network_saw(call, scans, digit, tmp_path):
    """Pictures of one name, and a picture in the folder itself, keep their files; a second call adds none."""
    seen = tmp_path / "seen"
    other = tmp_path / "b.png"
    Image.fromarray(data.stand_in().test.images[1]).resize((90, 90)).save(other)
    before = other.read_bytes()
    options = "--format", "json", scans / "b.PNG", digit, other, other
    for folder in (seen, seen, tmp_path, tmp_path):
        done = call("predict", "--save-seen", folder, *options)
        assert done.returncode == 0
        names = [Path(one["seen"]) for one in json.loads(done.stdout)]
        assert {name.parent for name in names} == {folder}
        for name, source in zip(names, [digit, digit, other, other], strict=True):
            image = np.asarray(Image.open(name))
            assert image.dtype == np.uint8
            assert (image == pictures.read_digit(source)).all()
        assert len(set(names)) == 4
    assert len(list(seen.iterdir())) == 4
    assert other.read_bytes() == before
    assert len([*tmp_path.glob("*.png")]) == 2 + 4


def test_images_that_cannot_be_saved_are_named(call, digit):
    done = call("predict", "--save-seen", digit, digit)
    assert str(digit) in refused(done)
    assert str(digit) in done.stdout.splitlines()[-1]


def test_predict_takes_the_last_weights_of_a_run_on_all_digits(
    call, place, tmp_path, digit
):
    folder = tmp_path / "run"
    options = "--data", place / "letters.npz", "--run-dir", folder, *OPTIONS
    done = call("train", *options, "--epochs", 3, "--train-on-all")
    assert done.returncode == 0
    (folder / checkpoint.BEST).unlink()
    assert "validation" not in done.stdout.splitlines()[-1]
    (folder / records.NAME).unlink()
    test = "--data", place / "letters.npz"
    predicted = call("predict", "--run-dir", folder, digit).stdout.splitlines()
    evaluated = call("evaluate", "--run-dir", folder, *test).stdout.splitlines()
    assert predicted[0] == evaluated[1]
    assert predicted[0] == (
        "modern LeNet-5 (28×28). Trained on the file letters.npz (1,200 images, none held out) with seed 0; "
        "these are the weights of epoch 3, the last."
    )


def test_the_help_says_which_network_predict_uses_by_default(capsys):
    with pytest.raises(SystemExit):
        cli.main(["predict", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "the run's folder; default: the book's recorded network" in text


def test_a_file_of_garments_is_never_called_by_another_name(call, tmp_path):
    rng = np.random.default_rng(0)
    garments = tmp_path / "garments-2017.npz"
    small.save_npz(
        garments, 60, 20, x_train=rng.integers(0, 256, (60, 28, 28), dtype=np.uint8)
    )
    done = call(
        "train", "--data", garments, "--run-dir", tmp_path / "run", "--epochs", 1
    )
    assert done.returncode == 0
    assert done.stdout.startswith(
        "Data: the file garments-2017.npz; 60 training and 20 test images.\n"
    )
    assert "MNIST" not in done.stdout
    assert (
        records.read(tmp_path / "run").dataset_name == "the file garments-2017.npz"
    )
    picture = tmp_path / "curves.png"
    assert call(
        "plot", "--run-dir", tmp_path / "run", "--out", picture
    ).stdout.endswith(f"on the file garments-2017.npz: {picture}\n")


def test_a_missing_data_file_in_a_process_of_its_own(tmp_path):
    done = run(
        "train",
        "--data",
        tmp_path / "no.npz",
        "--run-dir",
        tmp_path / "run",
        "--epochs",
        1,
    )
    line = refused(done)
    assert (
        f"cannot read the data file {tmp_path / 'no.npz'}: No such file or directory."
        in line
    )
    assert not (tmp_path / "run").exists()


def test_another_configuration_is_refused(call, finished, place):
    options = [
        "--data",
        place / "letters.npz",
        "--run-dir",
        finished,
        "--epochs",
        9,
        "--batch-size",
        16,
    ]
    line = refused(call("train", *options))
    assert "learning_rate: 0.005 in the folder, 0.001 asked for" in line
    assert "batch_size" not in line
    assert "--no-resume" in line


def test_a_damaged_checkpoint_is_refused(call, folder, place):
    path = folder / checkpoint.LAST
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    (folder / checkpoint.PREVIOUS).unlink(missing_ok=True)
    done = call(
        "train",
        "--data",
        place / "letters.npz",
        "--run-dir",
        folder,
        "--epochs",
        9,
        *OPTIONS,
    )
    line = refused(done)
    assert f"the checkpoint {path} is damaged" in line
    assert path.read_bytes() == damaged


def cut(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-200])
    return path


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda path: path, "cannot read the data file"),
        (lambda path: path.mkdir() or path, "no x_train"),
        (lambda path: cut(small.save_npz(path)), ".npz"),
        (lambda path: path.write_text("x,y") and path, ".npz"),
        (lambda path: small.save_npz(path, y_test=None), "y_test"),
        (
            lambda path: small.save_npz(
                path, x_train=np.eye(28)[[range(28)] * 600] / 2
            ),
            "float64",
        ),
        (
            lambda path: small.save_npz(
                path, x_test=np.zeros((60, 32, 32), np.uint8)
            ),
            "(60, 32, 32)",
        ),
        (
            lambda path: small.save_npz(path, y_train=np.arange(600) % 11 - 1),
            "y_train",
        ),
        (
            lambda path: small.save_npz(path, y_test=np.arange(60) % 10 - 1),
            "y_test",
        ),
        (lambda path: small.save_npz(path, 11), "expected 12 or more"),
    ],
)
@pytest.mark.parametrize("by", ["option", "variable"])
def test_data_that_cannot_be_used_is_refused(
    call, tmp_path, monkeypatch, make, named, by
):
    path = make(tmp_path / "bad.npz")
    option = ["--data", path] if by == "option" else []
    if by == "variable":
        monkeypatch.setenv("LENET5_MNIST", str(path))
    line = refused(
        call("train", *option, "--run-dir", tmp_path / "run", "--epochs", 1)
    )
    assert named in line
    assert path.name in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("option", "named"),
    [
        (
            ["--learning-rate", "0"],
            "learning_rate is 0.0",
        ),
        (["--learning-rate", "nan"], "learning_rate is nan"),
        (["--seed", "-1"], "seed is -1"),
        (["--batch-size", "0"], "batch_size is 0"),
        (["--momentum", "0.9"], "momentum is 0.9"),
    ],
)
def test_values_out_of_range_are_refused(call, place, tmp_path, option, named):
    options = [
        "--data",
        place / "letters.npz",
        "--run-dir",
        tmp_path / "run",
        "--epochs",
        1,
        *option,
    ]
    assert named in refused(call("train", *options))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["evaluate", "predict", "plot"])
def test_a_missing_run_folder_is_named(call, place, tmp_path, command):
    Image.fromarray(data.stand_in().test.images[0]).save(tmp_path / "digit.png")
    rest = {
        "evaluate": ["--data", place / "letters.npz"],
        "predict": [tmp_path / "digit.png"],
        "plot": ["--out", tmp_path / "curves.png"],
    }
    line = refused(call(command, "--run-dir", tmp_path / "nowhere", *rest[command]))
    assert str(tmp_path / "nowhere") in line
    assert "Name the folder of a run that was trained." in line
    assert not (tmp_path / "curves.png").exists()
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("spoil", [cut, Path.unlink])
@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_without_best_weights_the_last_are_named_and_taken(
    call, folder, place, tmp_path, command, spoil
):
    spoil(folder / checkpoint.BEST)
    Image.fromarray(data.stand_in().test.images[0]).save(tmp_path / "digit.png")
    rest = {
        "evaluate": ["--data", place / "letters.npz"],
        "predict": [tmp_path / "digit.png"],
    }
    words = [command, "--run-dir", folder, *rest[command]]
    line = refused(call(*words))
    assert str(folder / checkpoint.BEST) in line
    assert "Take last.weights.h5 with --last, or train on" in line
    assert call(*words, "--last").returncode == 0


def test_predict_takes_the_last_weights_of_a_run_only(call, tmp_path):
    assert "expected --run-dir" in refused(call("predict", "--last", "1.png"))


def test_a_broken_record_is_refused(call, folder, tmp_path):
    (folder / records.NAME).write_text('{"format": 1, "config": {}}')
    line = refused(
        call("plot", "--run-dir", folder, "--out", tmp_path / "curves.png")
    )
    assert f"{folder / records.NAME} is not a run's record" in line


def blank(path: Path) -> Path:
    Image.new("L", (50, 50), 255).save(path)
    return path


def half(path: Path) -> Path:
    Image.fromarray(data.stand_in().test.images[0]).resize((400, 400)).save(path)
    path.write_bytes(path.read_bytes()[:400])
    return path


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda path: path, "there is no image"),
        (lambda path: path.write_text("not an image") and path, "as an image"),
        (lambda path: path.mkdir() or path, "no pictures in the folder"),
        (half, "as an image"),
        (blank, "found no digit"),
    ],
)
def test_an_image_that_cannot_be_read_is_refused(
    call, finished, tmp_path, make, named
):
    path = make(tmp_path / "digit.png")
    line = refused(call("predict", "--run-dir", finished, path))
    assert named in line
    assert str(path) in line


@pytest.mark.parametrize("out", ["nowhere/c.png", "folder.svg", "file/c.pdf"])
def test_a_picture_that_cannot_be_written_is_refused(call, finished, tmp_path, out):
    (tmp_path / "folder.svg").mkdir()
    (tmp_path / "file").write_text("")
    line = refused(call("plot", "--run-dir", finished, "--out", tmp_path / out))
    assert line.startswith(f"error: cannot write {tmp_path / out}: ")
    assert {path.name for path in tmp_path.rglob("*")} == {"folder.svg", "file"}


@pytest.mark.parametrize(
    ("name", "starts"),
    [("c.png", b"\x89PNG"), ("c.PDF", b"%PDF"), ("c.svg", b"<?xml")],
)
def test_plot_writes_the_format_of_the_name(call, finished, tmp_path, name, starts):
    for path in (tmp_path / name, tmp_path / f"again_{name}"):
        assert call("plot", "--run-dir", finished, "--out", path).returncode == 0
        assert path.read_bytes().startswith(starts)
    assert path.read_bytes() == (tmp_path / name).read_bytes()


@pytest.mark.parametrize("name", ["c.jpg", "c", "c.svgz"])
def test_plot_refuses_other_formats_by_name(call, finished, tmp_path, name):
    line = refused(call("plot", "--run-dir", finished, "--out", tmp_path / name))
    assert name in line
    assert ".pdf" in line
    assert not (tmp_path / name).exists()


def test_an_interrupt_says_how_to_go_on(call, place, tmp_path, monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "train", interrupt)
    done = call(
        "train",
        "--data",
        place / "letters.npz",
        "--run-dir",
        tmp_path,
        "--epochs",
        1,
    )
    assert done.returncode == 130
    assert (
        done.stderr
        == "interrupted; the same command goes on from what was saved last\n"
    )


def parsed(*words: str) -> argparse.Namespace:
    """The options of a command line for one epoch in the folder `r`."""
    line = ["train", "--run-dir", "r", "--epochs", "1", *words]
    return cli.parser().parse_args(line)


def test_without_options_the_recipe_is_the_default():
    assert cli.recipe_of(parsed()) == recipe.DEFAULT_RECIPE


EVERY_FIELD = {
    "batch_size": 10,
    "learning_rate": OneCycle(0.01, epochs=3, pct_start=0.25),
    "weight_decay": 0.1,
    "distortion": recipe.Distortion(translation=2, elastic=0.5),
    "loss": "maximum a posteriori",
    "rubbish_distance": 4.0,
    "optimizer": "sgd",
    "damping": 0.05,
    "kernel_initializer": "he",
    "label_smoothing": 0.1,
    "ema_decay": 0.99,
    "momentum": 0.9,
}


def test_every_field_of_a_recipe_can_be_given():
    assert list(EVERY_FIELD) == [one.name for one in dataclasses.fields(Recipe)]
    words = [
        f"--{name.replace('_', '-')}={value}" for name, value in EVERY_FIELD.items()
    ]
    options = vars(parsed(*words))
    assert {name: options[name] for name in EVERY_FIELD} == EVERY_FIELD


def test_a_schedule_of_pieces_can_be_given():
    text = "PiecewiseConstant(((2, 5e-4), (3, 2e-4)))"
    pieces = PiecewiseConstant(((2, 5e-4), (3, 2e-4)))
    assert parsed("--learning-rate", text).learning_rate == pieces
    assert parsed("--learning-rate", " 1e-3 ").learning_rate == 0.001


def test_every_option_of_training_has_a_help_text():
    for action in _actions("train"):
        assert action.help


def _actions(command: str) -> list[argparse.Action]:
    """The options of a command."""
    commands = next(
        action.choices
        for action in cli.parser()._actions
        if isinstance(action.choices, dict)
    )
    return commands[command]._actions


def test_choices_are_those_that_a_recipe_takes():
    offered = {action.dest: action.choices for action in _actions("train")}
    assert tuple(offered["loss"]) == recipe.LOSSES
    assert tuple(offered["optimizer"]) == recipe.OPTIMIZERS
    assert tuple(offered["kernel_initializer"]) == recipe.INITIALIZERS


def test_a_run_keeps_the_line_that_started_it(finished):
    line = shlex.split(records.read(finished).command)
    options = cli.parser().parse_args(line[1:])
    assert (line[0], options.run_dir, options.epochs) == ("lenet5lib", finished, 5)
    assert cli.recipe_of(options) == records.read(finished).config.recipe


@pytest.mark.parametrize("source", ["stand-in", "./stand-in", "digits.csv"])
def test_data_are_passed_on_as_they_are_named(call, monkeypatch, source):
    def load(found):
        raise ValueError(f"asked for {found!r}")

    monkeypatch.setattr(data, "load_digits", load)
    options = "--run-dir", "r", "--epochs", 1, "--data", source
    assert f"asked for {source!r}" in refused(call("train", *options))


@pytest.mark.slow
def test_seeds_have_no_upper_limit(place, tmp_path):
    """Both engines take any seed of 0 or more."""
    options = parsed("--seed", str(2**70), "--data", str(place / "letters.npz"))
    splits = data.split(data.read(options.data)).limit(8, 8)
    for engine in ("loops", "keras"):
        run = loop.train(
            cli.NETWORKS["lenet5"],
            splits,
            tmp_path / engine,
            epochs=1,
            seed=options.seed,
            engine=engine,
            report=None,
        )
        assert records.read(run.run_dir).config.seed == 2**70


ENCODINGS = ("cp1252", "cp932", "gbk", "latin-1", "ascii", "cp437")


def output(monkeypatch, encoding: str) -> io.BytesIO:
    """Let both streams write in an encoding, to what is returned."""
    written = io.BytesIO()
    for name in ("stdout", "stderr"):
        stream = io.TextIOWrapper(written, encoding, write_through=True)
        monkeypatch.setattr(sys, name, stream)
    return written


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("command", COMMANDS)
def test_help_in_any_encoding(monkeypatch, encoding, command):
    written = output(monkeypatch, encoding)
    with pytest.raises(SystemExit) as end:
        cli.main([command, "--help"])
    assert end.value.code == 0
    assert written.getvalue().startswith(b"usage: lenet5lib ")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_an_encoding_lacks_ends_no_command(
    monkeypatch, place, digit, tmp_path, encoding
):
    written = output(monkeypatch, encoding)
    assert cli.main(["describe"]) == 0
    scans = tmp_path / "数字 é"
    scans.mkdir()
    (scans / "ü数.png").write_bytes(digit.read_bytes())
    for form in ("text", "csv", "json"):
        assert cli.main(["predict", "--format", form, str(scans)]) == 0
    assert cli.main(["predict", str(scans / "没有.png")]) == 1
    line = ["--run-dir", str(scans / "run"), "--data", str(place / "letters.npz")]
    for epochs in ("1", "2"):
        train = ["train", *line, "--limit", "8", "8", "--epochs", epochs]
        assert cli.main(train) == 0
    assert cli.main(["evaluate", *line]) == 0
    assert len(records.read(scans / "run").epochs) == 2
    assert b"Resuming" in written.getvalue()


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_a_folder_whose_name_is_no_text(call, place):
    folder = os.fsdecode(os.fsencode(place) + b"/run\xff")
    options = "--limit", 8, 8, "--data", place / "letters.npz"
    done = call("train", "--run-dir", folder, "--epochs", 1, *options)
    assert done.returncode == 0
    assert len(records.read(folder).epochs) == 1


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["cp932", "ascii"])
def test_a_redirected_process_in_another_encoding(place, tmp_path, encoding):
    redirected = {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "LC_ALL": "C"}
    folder = tmp_path / "数字"
    options = "--run-dir", folder, "--limit", 8, 8, "--data", place / "letters.npz"
    for line in (["train", "--help"], ["train", *options, "--epochs", 1]):
        command = [sys.executable, "-m", "lenet5lib", *map(str, line)]
        done = subprocess.run(
            command, capture_output=True, env=environment(**redirected), timeout=120
        )
        assert (done.returncode, done.stderr) == (0, b"")
    assert len(records.read(folder).epochs) == 1


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="a pipe is closed otherwise there")
@pytest.mark.parametrize(
    "line",
    [
        ["describe"],
        ["train", "--help"],
        ["predict", "--format", "csv", "digit.png"],
    ],
)
def test_a_closed_pipe_ends_quietly(digit, line):
    """As before `| head -0`: nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "lenet5lib", *line],
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            cwd=digit.parent,
            env=environment(PYTHONPATH=str(Path(cli.__file__).parents[1])),
            timeout=120,
        )
    # argparse does not ask whether its help arrives.
    assert done.returncode in ({0, 141} if "--help" in line else {141})
    assert "error" not in done.stderr.lower()
    assert "Traceback" not in done.stderr
