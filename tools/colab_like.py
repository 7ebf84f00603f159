"""Run chapters as Colab would, as nearly as can be had elsewhere: `make colab`, `make newest`, or with `CHAPTERS="01 05"`.

Each chapter is executed alone in an empty folder, by a fresh kernel of an environment that was not made for this book: the
versions that Colab publishes, or the newest ones. A stand-in for `google.colab` is loaded. The tree is stamped with the
address of a local bare repository, so that the setup cell installs the library just as a reader's does. What is asked: every
cell runs, every claim holds, the setup cell prints one line, and no package of the environment has changed.

`make colab` then does the same once as Kaggle would, in the same environment, and once as plain Jupyter would, in a new
environment that holds nothing but a kernel: there the setup cell installs all that the library needs.

Colab publishes an image of its machines too; in it, `python3 tools/colab_like.py here` takes the environment that is there.

Environments are kept in `_build/colab-like`, by a digest of what was asked for. This script itself runs in `.venv`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import notebooks
import stamp
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
LISTS = ROOT / "tools" / "colab"
KEPT = ROOT / "_build" / "colab-like"
TAG = "v0.0.0-trial"
STAND_IN = '"""A stand-in: Colab loads its module before the first cell, and the book asks only whether it is loaded."""\n'


def environment(versions: str, base: str, latest: bool = False) -> Path:
    """Return the Python of an environment with the versions of a list, made if it is not there.

    Args:
        versions: "colab" or "newest", a list in tools/colab.
        base: the Python to make it with.
        latest: take what is newest today instead of the locked versions.
    """
    lock = LISTS / f"{versions}.{'in' if latest else 'txt'}"
    version = output([base, "-c", "import sys; print(sys.version)"])
    key = f"{version}{lock.read_text(encoding='utf-8')}{STAND_IN}"
    key += time.strftime("%Y-%m-%d") if latest else ""
    digest = hashlib.sha256(key.encode()).hexdigest()
    folder = KEPT / f"{versions}-{digest[:12]}"
    python = python_in(folder)
    if not (folder / "ready").exists():
        print(
            f"Making {folder.relative_to(ROOT)}; this takes some minutes.",
            flush=True,
        )
        run([base, "-m", "venv", "--clear", str(folder)])
        hashes = [] if latest else ["--require-hashes"]
        pip(python, "install", *hashes, "--requirement", str(lock))
        packages = output(
            [
                str(python),
                "-c",
                "import sysconfig; print(sysconfig.get_path('purelib'))",
            ]
        )
        module = Path(packages.strip()) / "google" / "colab" / "__init__.py"
        module.parent.mkdir(parents=True, exist_ok=True)
        module.write_text(STAND_IN, encoding="utf-8")
        (folder / "ready").touch()
    return python


def python_in(folder: Path) -> Path:
    """Return the Python of the environment in a folder."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def run(command: list[str], **options) -> None:
    """Run a command; raise CalledProcessError if it fails."""
    subprocess.run(command, check=True, **options)


def output(command: list[str], **options) -> str:
    """Return what a command prints; raise CalledProcessError if it fails."""
    return subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, **options
    ).stdout


def pip(python: Path, *arguments: str) -> None:
    """Run pip in an environment; it prints errors only."""
    run([str(python), "-m", "pip", *arguments, "-qq"])


def packages(python: Path) -> dict[str, str]:
    """Return name and version of every package in an environment but the book's own."""
    command = [str(python), "-m", "pip", "list", "--format=json"]
    command += ["--disable-pip-version-check"]
    found = {
        entry["name"]: entry["version"] for entry in json.loads(output(command))
    }
    return {name: found[name] for name in found if name != "lenet5lib"}


def published(folder: Path) -> Path:
    """Publish the tree as it is now, stamped, in a bare repository in `folder`; return the stamped tree."""
    tree, bare = folder / "tree", folder / "book.git"
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in output(listed, cwd=ROOT).split("\0"):
        if name and (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tree / name)
    stamp.write(tree, stamp.Stamp(bare.as_uri(), TAG))
    who = ["-c", "user.name=trial", "-c", "user.email=trial@localhost"]
    run(["git", "init", "--quiet", str(tree)])
    run(["git", *who, "add", "--all"], cwd=tree)
    run(["git", *who, "commit", "--quiet", "--message", "Trial"], cwd=tree)
    run(["git", *who, "tag", TAG], cwd=tree)
    run(["git", "clone", "--quiet", "--bare", str(tree), str(bare)])
    return tree


def kernel(folder: Path, name: str, python: Path, **environment: str) -> None:
    """Make a kernel of this name known that belongs to the Python and has these variables."""
    spec = folder / "jupyter" / "kernels" / name / "kernel.json"
    spec.parent.mkdir(parents=True)
    arguments = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    contents = {"argv": arguments, "display_name": "", "language": "python"}
    spec.write_text(json.dumps(contents | {"env": environment}))
    for inherited in (
        "PYTHONPATH",
        "VIRTUAL_ENV",
        "LENET5_RUNS",
        "TF_CPP_MIN_LOG_LEVEL",
    ):
        os.environ.pop(inherited, None)
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    os.environ["JUPYTER_PATH"] = str(folder / "jupyter")


def execute(chapter: Path, kernel_name: str, prints: str = "") -> list[str]:
    """Execute a chapter alone in an empty folder; return what was wrong.

    Args:
        chapter: a stamped one.
        kernel_name: of `kernel`.
        prints: with what the one line of the setup cell begins; "" if it prints none.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = shutil.copy(chapter, folder)
        notebook = nbformat.read(path, as_version=4)
        NotebookClient(
            notebook,
            timeout=1800,
            kernel_name=kernel_name,
            resources={"metadata": {"path": folder}},
            allow_errors=True,
        ).execute()
    wrong = [
        f"cell {n}: {fault}"
        for n, cell in enumerate(notebook.cells)
        for fault in notebooks.faults(cell)
    ]
    cell = next(cell for cell in notebook.cells if cell.cell_type == "code")
    said = "".join(item.get("text", "") for item in cell.outputs)
    if said.count("\n") != bool(prints) or not said.startswith(prints):
        wrong.append(
            f"the setup cell printed {said!r}; expected {prints or 'nothing'}"
        )
    print(said, end="", flush=True)
    return wrong


def timed(chapter: Path, kernel_name: str, prints: str = "") -> list[str]:
    """Execute a chapter as `execute` does, and print the time; each fault names the chapter and the kernel."""
    start = time.monotonic()
    faults = execute(chapter, kernel_name, prints)
    seconds = time.monotonic() - start
    print(f"{chapter.name}, {kernel_name}: {seconds:.0f} s", flush=True)
    return [f"{chapter.name}, {kernel_name}, {fault}" for fault in faults]


def trial(python: Path, names: list[str], base: str | None) -> list[str]:
    """Run the chapters whose names begin so, or all; return what was wrong.

    Args:
        python: of the environment.
        names: beginnings of chapters' names.
        base: the Python for a new environment that is no Colab's; None for no such trial.
    """
    wrong = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tree = published(folder)
        startup = folder / "ipython/profile_default/startup/colab.py"
        startup.parent.mkdir(parents=True)
        startup.write_text("import google.colab\n")
        kernel(folder, "colab-like", python, IPYTHONDIR=str(folder / "ipython"))
        chapters = sorted((tree / "book").glob("[0-9]*.ipynb"))
        chosen = [
            path
            for path in chapters
            if not names or path.name.startswith(tuple(names))
        ]
        if not chosen:
            return [f"no chapter begins with {' or '.join(names)}"]
        before = packages(python)
        for path in chosen:
            pip(python, "uninstall", "--yes", "lenet5lib")
            wrong += timed(path, "colab-like", "lenet5lib ")
        if base:
            pip(python, "uninstall", "--yes", "lenet5lib")
            wrong += elsewhere(folder, python, base, chosen[0])
        after = packages(python)
    wrong += [
        f"{name} was {before.get(name)} and is {after.get(name)}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
    return wrong


def elsewhere(folder: Path, python: Path, base: str, chapter: Path) -> list[str]:
    """Run a chapter as Kaggle would, and as plain Jupyter would in a new environment; return what was wrong."""
    home = str(folder / "plain-ipython")
    kaggle = {"IPYTHONDIR": home, "KAGGLE_KERNEL_RUN_TYPE": "Batch"}
    kernel(folder, "kaggle-like", python, **kaggle)
    wrong = timed(chapter, "kaggle-like")
    fresh = python_in(folder / "plain")
    run([base, "-m", "venv", str(folder / "plain")])
    # Before 24.1, pip takes no address that is a folder.
    pip(fresh, "install", "--upgrade", "pip", "ipykernel")
    kernel(folder, "plain", fresh, IPYTHONDIR=home)
    return wrong + timed(chapter, "plain")


def main(arguments: list[str]) -> int:
    """Run the trial and say what was wrong; return 1 if anything was."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("versions", choices=["colab", "newest", "here"])
    parser.add_argument("chapters", nargs="*")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--latest", action="store_true")
    options = parser.parse_args(arguments)
    if options.versions == "here":  # In Colab's own image, for instance.
        python = Path(sys.executable)
    else:
        python = environment(options.versions, options.python, options.latest)
    base = options.python if options.versions == "colab" else None
    wrong = trial(python, options.chapters, base)
    print("\n".join(wrong) or "Everything ran, and no package changed.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
