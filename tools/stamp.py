"""Write the repository's public address into the book: `make stamp REPOSITORY=https://github.com/OWNER/NAME TAG=v0.1.0`.

The address lives in one place, `repository` in `_config.yml`. From there it goes into the setup cell of every chapter, the
badges of README and CITATION.cff. `make stamp` alone writes it there again, or that there is none, when a chapter was added.
`python tools/stamp.py --remove` takes it out everywhere. Needs nothing but Python.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
ADDRESS = re.compile(
    r"https://[\w.-]+(:\d+)?(/[\w.~-]+)+|file://(/[\w.~-]+)+", re.ASCII
)
TAG = re.compile(r"\w[\w./-]*", re.ASCII)
GITHUB = "https://github.com/"
COLAB = "https://colab.research.google.com"
BEGIN = "# Written by `make stamp`: the one place that holds the address."
END = "# End of what `make stamp` wrote."
BADGES = "<!-- `make stamp` writes the badges below this line. -->\n"


class Stamp(NamedTuple):
    """Where the library is installed from: the repository's address, and the tag that is installed."""

    url: str
    tag: str


def checked(url: str, tag: str) -> Stamp:
    """Return the stamp if address and tag can be written into a URL as they are.

    Raises:
        ValueError: one of them cannot; the message names it.
    """
    url = url.rstrip("/").removesuffix(".git") if "://github" in url else url
    if not ADDRESS.fullmatch(url):
        raise ValueError(
            f"REPOSITORY is {url!r}; expected https://HOST/OWNER/NAME, or file:///FOLDER for a trial. "
            "Name the address of the repository that holds your copy."
        )
    if not TAG.fullmatch(tag):
        raise ValueError(
            f"TAG is {tag!r}; expected a tag such as v0.1.0. Name the tag that you set on the stamped commit."
        )
    return Stamp(url, tag)


def read(config: str) -> Stamp | None:
    """Return the stamp in the text of `_config.yml`; None if there is none."""
    found = re.search(
        r"^repository:\n  url: (\S+)\n  branch: (\S+)\n", config, re.MULTILINE
    )
    return Stamp(*found.groups()) if found else None


def setup_cell(stamp: Stamp | None) -> str:
    """Return the source of the setup cell, the same in every chapter."""
    if stamp is None:
        imports = ["import sys"]
        inside = [
            '    sys.exit("For Colab, this copy\'s owner must first run make stamp: see README.")'
        ]
    else:
        imports = ["import subprocess", "import sys"]
        inside = [
            f'    library = "lenet5lib @ git+{stamp.url}@{stamp.tag}"',
            '    pip = [sys.executable, "-m", "pip", "install", "-qq", "--no-deps"]',
            "    subprocess.run([*pip, library], check=True)",
        ]
    lines = [*imports, "", 'if "google.colab" in sys.modules:', *inside, ""]
    lines += ["from lenet5lib import notebook", "", "notebook.setup()"]
    return "\n".join(lines)


def config(text: str, stamp: Stamp | None) -> str:
    """Return `_config.yml` with the stamp at its end; the Colab button needs a repository on GitHub."""
    text = re.sub(
        rf"\n{re.escape(BEGIN)}\n.*?{re.escape(END)}\n", "", text, flags=re.DOTALL
    )
    if stamp is None:
        return text
    lines = [
        BEGIN,
        "repository:",
        f"  url: {stamp.url}",
        f"  branch: {stamp.tag}",
        '  path_to_book: ""',
    ]
    if stamp.url.startswith(GITHUB):
        lines += ["launch_buttons:", f"  colab_url: {COLAB}"]
    return text + "\n" + "\n".join([*lines, END]) + "\n"


def readme(text: str, stamp: Stamp | None) -> str:
    """Return README with the badges of a repository on GitHub, or with none."""
    before, rest = text.split(BADGES)
    rest = re.sub(r"\A\[!\[.*\n", "", rest)
    if stamp is None or not stamp.url.startswith(GITHUB):
        return before + BADGES + rest
    tests = f"{stamp.url}/actions/workflows/tests.yml"
    chapter = (
        f"{stamp.url.removeprefix(GITHUB)}/blob/{stamp.tag}/book/01_digits.ipynb"
    )
    badges = [
        f"[![Tests]({tests}/badge.svg)]({tests})",
        f"[![Open chapter 1 in Colab]({COLAB}/assets/colab-badge.svg)]({COLAB}/github/{chapter})",
    ]
    return before + BADGES + " ".join(badges) + "\n" + rest


def citation(text: str, stamp: Stamp | None) -> str:
    """Return CITATION.cff with the address at its end."""
    text = re.sub(r"^repository-code: .*\n", "", text, flags=re.MULTILINE)
    return text if stamp is None else f'{text}repository-code: "{stamp.url}"\n'


def chapter(text: str, stamp: Stamp | None) -> str:
    """Return a chapter, as JSON text, with its first code cell replaced by the setup cell.

    Raises:
        ValueError: the first code cell is not a setup cell.
    """
    notebook = json.loads(text)
    cell = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    source = "".join(cell["source"])
    if "notebook.setup()" not in source:
        raise ValueError(
            f"the first code cell is {source!r}; expected one that ends in notebook.setup(). Put the setup cell first."
        )
    cell["source"] = setup_cell(stamp).splitlines(keepends=True)
    return json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def write(root: Path, stamp: Stamp | None) -> list[Path]:
    """Write the stamp into the tree, or take it out; return the files that changed."""
    writers = {root / "_config.yml": config, root / "README.md": readme}
    writers[root / "CITATION.cff"] = citation
    writers |= dict.fromkeys(sorted((root / "book").glob("*.ipynb")), chapter)
    changed = {}
    for path, writer in writers.items():
        old = path.read_text(encoding="utf-8")
        try:
            new = writer(old, stamp)
        except ValueError as error:
            raise ValueError(f"{path.name}: {error}") from None
        if new != old:
            changed[path] = new
    for path, new in changed.items():
        path.write_text(new, encoding="utf-8", newline="\n")
    return list(changed)


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Stamp, or remove the stamp, and say what was written; return 2 if the address or the tag cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repository", default="")
    parser.add_argument("--tag", default="")
    parser.add_argument("--remove", action="store_true")
    options = parser.parse_args(arguments)
    known = read((root / "_config.yml").read_text(encoding="utf-8"))
    try:
        if options.remove:
            stamp = None
        elif not (options.repository or options.tag):
            stamp = known
        else:
            stamp = checked(options.repository, options.tag)
        changed = write(root, stamp)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{len(changed)} files changed.", end=" ")
    if stamp:
        print(f"The address is {stamp.url} at {stamp.tag}.")
    else:
        print("The book has no address; give it one with REPOSITORY=… TAG=….")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
