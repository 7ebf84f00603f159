"""Run chapters as Colab would, as nearly as can be had elsewhere: `make colab`, `make newest`, or with `CHAPTERS="01 05"`.

Each chapter is executed alone in an empty folder, by a fresh kernel of an environment that was not made for this book: the
versions that Colab publishes, or the newest ones. A stand-in for `google.colab` is loaded. The tree is stamped with the
address of a local bare repository, so that the setup cell installs the library just as a reader's does. What is asked: every
cell runs, every claim holds, the setup cell prints one line, and no package of the environment has changed.

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
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
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
    stamp.write(tree, stamp.checked(bare.as_uri(), TAG))
    who = ["-c", "user.name=trial", "-c", "user.email=trial@localhost"]
    run(["git", "init", "--quiet", str(tree)])
    run(["git", *who, "add", "--all"], cwd=tree)
    run(["git", *who, "commit", "--quiet", "--message", "Trial"], cwd=tree)
    run(["git", *who, "tag", TAG], cwd=tree)
    run(["git", "clone", "--quiet", "--bare", str(tree), str(bare)])
    return tree


def kernel(folder: Path, python: Path) -> None:
    """Make a kernel `colab-like` known that belongs to the environment and loads the stand-in before the first cell."""
    spec = folder / "jupyter" / "kernels" / "colab-like" / "kernel.json"
    startup = folder / "ipython" / "profile_default" / "startup" / "colab.py"
    for path in (spec, startup):
        path.parent.mkdir(parents=True)
    arguments = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec.write_text(
        json.dumps({"argv": arguments, "display_name": "", "language": "python"})
    )
    startup.write_text("import google.colab\n")
    for name in (
        "PYTHONPATH",
        "VIRTUAL_ENV",
        "LENET5_RUNS",
        "TF_CPP_MIN_LOG_LEVEL",
    ):
        os.environ.pop(name, None)
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    os.environ["JUPYTER_PATH"] = str(folder / "jupyter")
    os.environ["IPYTHONDIR"] = str(folder / "ipython")


def execute(chapter: Path) -> list[str]:
    """Execute a chapter alone in an empty folder; return what was wrong."""
    with tempfile.TemporaryDirectory() as folder:
        path = shutil.copy(chapter, folder)
        notebook = nbformat.read(path, as_version=4)
        NotebookClient(
            notebook,
            timeout=1800,
            kernel_name="colab-like",
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
    if said.count("\n") != 1 or not said.startswith("lenet5lib "):
        wrong.append(f"the setup cell printed {said!r}; expected one line")
    else:
        print(said, end="", flush=True)
    return wrong


def trial(python: Path, names: list[str]) -> list[str]:
    """Run the chapters whose names begin so, or all; return what was wrong."""
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        tree = published(Path(folder))
        kernel(Path(folder), python)
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
            start = time.monotonic()
            pip(python, "uninstall", "--yes", "lenet5lib")
            faults = execute(path)
            print(f"{path.name}: {time.monotonic() - start:.0f} s", flush=True)
            wrong += [f"{path.name}, {fault}" for fault in faults]
        after = packages(python)
    wrong += [
        f"{name} was {before.get(name)} and is {after.get(name)}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
    return wrong


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
    wrong = trial(python, options.chapters)
    print("\n".join(wrong) or "Everything ran, and no package changed.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
