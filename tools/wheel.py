"""Build the library as a package and try the wheel in an empty environment: `make wheel`.

The wheel is built from the source package, so both are whole. The environment holds nothing but pip: the package itself,
the specification and the arithmetic have to be importable in it, and importing them must load nothing from outside.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LARGEST = 5_000_000
TRIAL = """
import json, sys
from importlib import metadata, resources
before = set(sys.modules)
import lenet5lib
from lenet5lib import arithmetic, spec

assert lenet5lib.__version__ == metadata.version("lenet5lib")
assert sum(row.params for row in arithmetic.table(spec.LENET5)) == 61_706
recorded = {path.name: path for path in resources.files(lenet5lib).joinpath("recorded").iterdir()}
assert all(json.loads(path.read_text()) for name, path in recorded.items() if name.endswith(".json"))
assert {"runs.csv", "epochs.csv", "test_errors.csv"} <= set(recorded)
assert resources.files(lenet5lib).joinpath("exercises", "chapter_01.py").is_file()
loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
assert loaded - sys.stdlib_module_names == {"lenet5lib"}, loaded
print(f"lenet5lib {lenet5lib.__version__} with {len(recorded)} recorded files and folders, from {lenet5lib.__file__}")
"""


def build(folder: Path) -> Path:
    """Build source package and wheel in a folder; return the wheel."""
    options = ["--no-isolation", "--outdir", str(folder), str(ROOT)]
    command = [sys.executable, "-m", "build", *options]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


def trial(wheel: Path, folder: Path) -> str:
    """Install the wheel alone in a new environment in a folder, import it there, and return what that prints."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    name = "Scripts/python.exe" if os.name == "nt" else "bin/python"
    python = [str(folder / name), "-I"]
    install = [*python, "-m", "pip", "install", "-qq", "--no-deps", "--no-index"]
    subprocess.run([*install, str(wheel)], check=True)
    return subprocess.run(
        [*python, "-c", TRIAL],
        check=True,
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


def main() -> int:
    """Build into dist and try the wheel; return 1 if it is too large."""
    with tempfile.TemporaryDirectory() as folder:
        wheel = build(Path(folder))
        print(trial(wheel, Path(folder) / "empty"), end="")
        size = wheel.stat().st_size
        print(f"{wheel.name}: {size:,} bytes")
        (ROOT / "dist").mkdir(exist_ok=True)
        for path in (wheel, *Path(folder).glob("*.tar.gz")):
            (ROOT / "dist" / path.name).write_bytes(path.read_bytes())
    if size > LARGEST:
        print(f"{size:,} bytes; expected at most {LARGEST:,}. Take records out.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
