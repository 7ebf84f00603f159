"""Faults while saving: a full disk, a folder that cannot be written, a process killed. Nothing saved is lost, and the run
that goes on afterwards ends bit for bit where an undisturbed one ends."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import small

from lenet5lib import cli, data, files, records, spec
from lenet5lib.training import checkpoint, loop
from lenet5lib.training.checkpoint import BEST, LAST, PREVIOUS

pytestmark = pytest.mark.slow

resource = pytest.importorskip(
    "resource", reason="limits, mounts and signals of POSIX"
)
EPOCHS = 4


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a data file, and the undisturbed runs of 2 and of 4 epochs, `two` and `whole`."""
    folder = tmp_path_factory.mktemp("faults")
    small.save_npz(folder / "digits.npz")
    for name, epochs in (("two", 2), ("whole", EPOCHS)):
        assert cli.main(command(folder, folder / name, epochs)) == 0
    return folder


def command(place: Path, run_dir: Path, epochs: int = EPOCHS) -> list[str]:
    """Return the arguments that train in this folder."""
    return [
        "train",
        "--data",
        str(place / "digits.npz"),
        "--run-dir",
        str(run_dir),
        "--epochs",
        str(epochs),
    ]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def fill(run_dir: Path, earlier: Path | None) -> None:
    """Make a run folder, with the files of an earlier run if there is one."""
    run_dir.mkdir(exist_ok=True)
    for name, file in contents(earlier).items() if earlier else ():
        (run_dir / name).write_bytes(file)


def environment() -> dict[str, str]:
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("TF_", "LENET5_"))
    }
    return kept | {"PYTHONUNBUFFERED": "1"}


def assert_one_line(errors: str, named: str) -> None:
    (line,) = errors.splitlines()
    assert line.startswith("error: could not save ")
    assert f": {named}. What was saved before is whole." in line
    assert "start again with the same command" in line


def assert_nothing_lost(
    run_dir: Path, earlier: Path | None, may_be_newer: tuple[str, ...] = (BEST,)
) -> None:
    """Assert that a run folder holds the earlier checkpoint, whole, and no temporary file; best may be an epoch ahead."""
    assert small.leftovers(run_dir) == set()
    for name, file in contents(earlier).items() if earlier else ():
        assert name in may_be_newer or (run_dir / name).read_bytes() == file
    if (run_dir / BEST).exists():
        checkpoint.read_record(run_dir / BEST)
    if earlier:
        assert len(checkpoint.read_record(run_dir / LAST).epochs) == 2
        checkpoint.load_model(run_dir)
    else:
        assert not (run_dir / LAST).exists()


def assert_goes_on(place: Path, run_dir: Path) -> None:
    """Assert that the same command, nothing in its way, ends where the undisturbed run ended."""
    assert cli.main(command(place, run_dir)) == 0
    small.assert_same_run(run_dir, place / "whole")


LIMITED = """
import resource, sys
from lenet5lib.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
sys.exit(main(sys.argv[2:]))
"""


def test_a_process_that_cannot_save_ends_with_1_and_one_line(place, tmp_path):
    fill(tmp_path / "run", place / "two")
    arguments = [
        sys.executable,
        "-c",
        LIMITED,
        "1000",
        *command(place, tmp_path / "run"),
    ]
    done = subprocess.run(
        arguments, capture_output=True, text=True, env=environment(), timeout=120
    )
    assert done.returncode == 1
    assert_one_line(done.stderr, "File too large")
    assert_nothing_lost(tmp_path / "run", place / "two")
    assert_goes_on(place, tmp_path / "run")


@pytest.mark.parametrize(
    ("earlier", "limit"),
    [
        ("two", 200_000),
        ("two", 300_000),
        ("two", 782_000),
        (None, 1_000),
        (None, 300_000),
    ],
)
def test_no_size_at_which_saving_stops_loses_anything(
    place, tmp_path, capsys, earlier, limit
):
    """The best weights take 279 KB, the checkpoint 783: the limits stop the one, the other, or its last bytes."""
    earlier = place / earlier if earlier else None
    fill(tmp_path / "run", earlier)
    capsys.readouterr()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        code = cli.main(command(place, tmp_path / "run"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert code == 1
    assert_one_line(capsys.readouterr().err, "File too large")
    assert_nothing_lost(tmp_path / "run", earlier)
    assert (tmp_path / "run" / BEST).exists() == (
        earlier is not None or limit > 280_000
    )
    assert_goes_on(place, tmp_path / "run")


@pytest.fixture
def disk(tmp_path):
    """Return a function that mounts a disk of so many KB at a folder, or gives the mounted one that size."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = False

    def resize(kilobytes: int) -> Path:
        nonlocal mounted
        options = f"{'remount,' if mounted else ''}size={kilobytes}k"
        try:
            mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
            done = subprocess.run(
                mount, capture_output=True, text=True, check=False
            )
        except FileNotFoundError:
            pytest.skip("there is no program `mount` here")
        if done.returncode:
            pytest.skip(f"a disk cannot be mounted here: {done.stderr.strip()}")
        mounted = True
        return folder

    yield resize
    if mounted:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_process_on_a_full_disk_ends_with_1_and_one_line(place, disk):
    run_dir = disk(2000) / "run"
    fill(run_dir, place / "two")
    arguments = [sys.executable, "-m", "lenet5lib", *command(place, run_dir)]
    done = subprocess.run(
        arguments, capture_output=True, text=True, env=environment(), timeout=120
    )
    assert done.returncode == 1
    assert_one_line(done.stderr, "No space left on device")
    assert_nothing_lost(run_dir, place / "two")
    disk(8000)
    assert_goes_on(place, run_dir)


@pytest.mark.parametrize("kilobytes", [100, 400])
def test_a_disk_full_from_the_start_keeps_nobody_from_starting_again(
    place, disk, capsys, kilobytes
):
    run_dir = disk(kilobytes) / "run"
    capsys.readouterr()
    assert cli.main(command(place, run_dir)) == 1
    assert_one_line(capsys.readouterr().err, "No space left on device")
    assert_nothing_lost(run_dir, None)
    disk(8000)
    assert_goes_on(place, run_dir)


def test_a_lock_on_a_disk_without_room_holds(disk):
    folder = disk(16)
    with pytest.raises(OSError, match="No space left"):
        (folder / "filler").write_bytes(bytes(1 << 20))
    with files.locked(folder) as alone:
        assert alone
        with pytest.raises(files.LockedError), files.locked(folder):
            pass
    assert {path.name for path in folder.iterdir()} == {"filler"}


READ_ONLY = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # As the command line does.
from pathlib import Path
from lenet5lib import data, spec
from lenet5lib.training import checkpoint, loop

digits = data.split(data.read(Path("digits.npz")))
loop.train(spec.LENET5, digits, "warm-up", epochs=1, report=None)  # Loads all that is loaded late.
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
Path("run").mkdir()

def report(line):
    if line.startswith("Epoch 2/"):
        os.chmod("run", 0o555)

try:
    loop.train(spec.LENET5, digits, "run", epochs=4, report=report)
except checkpoint.CheckpointError as error:
    sys.exit(f"error: {error}")
"""


def test_a_folder_made_read_only_between_epochs_loses_nothing(place, tmp_path):
    """Root may write anywhere, so the child becomes nobody once it has loaded what nobody may not read."""
    small.save_npz(tmp_path / "digits.npz")
    tmp_path.chmod(0o777)
    arguments = [sys.executable, "-c", READ_ONLY]
    done = subprocess.run(
        arguments,
        capture_output=True,
        text=True,
        env=environment(),
        cwd=tmp_path,
        timeout=120,
    )
    run_dir = tmp_path / "run"
    assert done.returncode == 1, done.stderr
    assert_one_line(done.stderr, "Permission denied")
    assert run_dir.stat().st_mode & 0o777 == 0o555
    run_dir.chmod(0o755)
    # A lock file that could not be removed blocks nobody.
    (run_dir / files.LOCK).unlink(missing_ok=True)
    assert_nothing_lost(
        run_dir, place / "two", may_be_newer=(LAST, PREVIOUS, BEST, records.NAME)
    )
    assert small.arrays(run_dir / LAST) == small.arrays(place / "two" / LAST)
    assert small.arrays(run_dir / BEST) == small.arrays(place / "two" / BEST)
    assert_goes_on(place, run_dir)


def start(
    place: Path, run_dir: Path, epochs: int, *options: str, **variables: str
) -> subprocess.Popen:
    arguments = [
        sys.executable,
        "-m",
        "lenet5lib",
        *command(place, run_dir, epochs),
        *options,
    ]
    return subprocess.Popen(
        arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment() | variables,
        # A shell starts what it puts in the background with Ctrl-C ignored, the tests included.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for_epoch(process: subprocess.Popen) -> None:
    """Wait until a training process has said that an epoch is done."""
    assert any(line.startswith("Epoch ") for line in process.stdout), (
        process.stderr.read()
    )


@pytest.mark.parametrize("set_back", [False, True])
def test_the_clock_decides_nothing(place, tmp_path, monkeypatch, set_back):
    """With the clock set back (or on) by years between sessions, file times are in the wrong order; the end is the same."""
    run_dir = tmp_path / "run"
    fill(run_dir, place / "two")
    day = 86_400
    now = time.time()
    for age, name in enumerate((LAST, PREVIOUS, BEST, records.NAME)):
        # Set back: all files are from the future, and the last checkpoint seems older than the one before it.
        then = now + (4000 + age if set_back else -4000 + age) * day
        os.utime(run_dir / name, (then, then))
    monkeypatch.setattr(time, "time", lambda: now - 9000 * day)
    assert cli.main(command(place, run_dir)) == 0
    small.assert_same_run(run_dir, place / "whole")
    assert records.read(run_dir).resume_points == [2]


def test_the_library_never_asks_for_the_time_of_day():
    """Durations come from clocks that cannot be set; no decision can follow one that can."""
    asking = re.compile(r"time\.time\(|datetime|st_mtime|getmtime|time_ns\(")
    library = Path(files.__file__).parent
    found = [
        p.name for p in library.rglob("*.py") if asking.search(p.read_text("utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(("engine", "usual"), [("loops", 5), ("keras", 2)])
def test_a_process_killed_at_any_moment_loses_nothing(tmp_path, engine, usual):
    """Epochs of some milliseconds, so that a good part of the time goes into saving, where a kill might do harm.

    LENET5_KILLS sets how often; 5 in a usual run, 2 by Keras. Every second start of the loops has one thread.
    """
    small.save_npz(tmp_path / "digits.npz", 60, 20)
    kills = int(os.environ.get("LENET5_KILLS", usual))
    run_dir, epochs, moments = tmp_path / "run", 20 * kills, random.Random(5)
    chosen, done = ("--engine", engine), 0
    for number in range(kills):
        threads = {"NUMBA_NUM_THREADS": "1"} if number % 2 else {}
        process = start(tmp_path, run_dir, epochs, *chosen, **threads)
        wait_for_epoch(process)
        time.sleep(moments.uniform(0, 0.15))
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        reached = len(checkpoint.read_record(run_dir / LAST).epochs)
        assert done < reached < epochs
        done = reached
        assert 0 <= done - len(records.read(run_dir).epochs) <= 1
        assert len(checkpoint.read_record(run_dir / BEST).epochs) <= done + 1
        checkpoint.load_network(run_dir)
    whole = tmp_path / "whole"
    assert cli.main([*command(tmp_path, run_dir, epochs), *chosen]) == 0
    assert cli.main([*command(tmp_path, whole, epochs), *chosen]) == 0
    small.assert_same_run(run_dir, whole)
    assert len(records.read(run_dir).resume_points) == kills


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_process_that_is_asked_to_stop_saves_and_says_how_to_go_on(
    place, tmp_path, number, code
):
    process = start(place, tmp_path / "run", 2000)
    wait_for_epoch(process)
    time.sleep(0.3)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    name = signal.Signals(number).name
    assert errors.startswith(f"Stopped by {name} ")
    assert ", and saved." in errors
    assert small.leftovers(tmp_path / "run") == set()
    reached = checkpoint.read_record(tmp_path / "run" / LAST)
    assert (
        small.metrics(reached)[:EPOCHS]
        == small.metrics(records.read(place / "whole"))[: len(reached.epochs)]
    )


def test_a_record_that_cannot_be_written_is_written_by_the_next_start(
    place, tmp_path, monkeypatch
):
    """The disk may fill up between the checkpoint and the record, even in the last epoch."""
    write = files.write

    def full(path: Path, contents: bytes) -> None:
        if path.name == records.NAME and b'"epoch": 4' in contents:
            raise OSError(28, os.strerror(28))
        write(path, contents)

    fill(tmp_path, place / "two")
    monkeypatch.setattr(files, "write", full)
    splits = data.split(data.read(place / "digits.npz"))
    with pytest.raises(checkpoint.CheckpointError) as refused:
        loop.train(spec.LENET5, splits, tmp_path, epochs=EPOCHS, report=None)
    assert (
        f"could not save {tmp_path / records.NAME}: No space left on device."
        in str(refused.value)
    )
    assert "The checkpoint of epoch 4 is whole." in str(refused.value)
    assert len(records.read(tmp_path).epochs) == 3
    monkeypatch.undo()
    assert_goes_on(place, tmp_path)
