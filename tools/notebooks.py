"""Run every chapter and store its outputs: `make notebooks`, or with names, `python tools/notebooks.py 02 05`.

What must not be stored is dropped (stderr, time stamps, editor state), and the rest is brought to one form, so that running
twice on one machine changes nothing. What cannot repeat stands in cells tagged `nbval-ignore-output`, or `measured` where a
figure shows such numbers; their stored output is kept, unless their source has changed or `--fresh` is given. Nothing is
stored if a cell fails or a claim is false.
"""

import copy
import hashlib
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import nbformat
import stamp
from nbclient import NotebookClient

BOOK = Path(__file__).resolve().parent.parent / "book"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
LANGUAGE = {"name": "python", "pygments_lexer": "ipython3"}
KEPT = {"nbval-ignore-output", "measured"}
"""The tags of cells whose output differs from run to run."""


def run(path: Path, folder: str, fresh: bool = False) -> list[str]:
    """Execute a chapter in a folder and store it; return what was wrong, and store nothing if anything was.

    Args:
        path: the chapter.
        folder: where it runs.
        fresh: also store outputs that differ from run to run.
    """
    notebook = nbformat.read(path, as_version=4)
    stored = {} if fresh else kept_outputs(notebook)
    NotebookClient(
        notebook,
        timeout=1200,
        kernel_name="python3",
        resources={"metadata": {"path": folder}},
        allow_errors=True,
    ).execute()
    normalise(notebook)
    wrong = [
        f"{path.name}, cell {n}: {fault}"
        for n, cell in enumerate(notebook.cells)
        for fault in faults(cell) + other_digits(cell)
    ]
    if not wrong:
        for cell in filter(varies, notebook.cells):
            cell.outputs = stored.get(digest(cell), cell.outputs)
            cell.metadata["output_of"] = digest(cell)
        normalise(notebook)
        nbformat.validate(notebook)
        nbformat.write(notebook, path)
    return wrong


def digest(cell: nbformat.NotebookNode) -> str:
    """Return a short digest of a cell's source, kept with its output so that a changed source is known."""
    return hashlib.sha256(cell.source.rstrip().encode()).hexdigest()[:16]


def varies(cell: nbformat.NotebookNode) -> bool:
    """Whether the cell's tags say that its output differs from run to run."""
    return bool(KEPT & set(cell.metadata.get("tags", [])))


def kept_outputs(notebook: nbformat.NotebookNode) -> dict[str, list]:
    """Return the stored outputs that differ from run to run, by the digest of the source that made them."""
    return {
        digest(cell): copy.deepcopy(cell.outputs)
        for cell in notebook.cells
        if varies(cell) and cell.metadata.get("output_of") == digest(cell)
    }


def normalise(notebook: nbformat.NotebookNode) -> None:
    """Drop what must not be stored, and number cells and runs in order."""
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": KERNEL, "language_info": LANGUAGE}
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    run_number = 0
    for position, cell in enumerate(notebook.cells):
        cell.id = f"cell-{position:02d}"
        cell.source = cell.source.rstrip()
        cell.metadata = nbformat.from_dict(
            {
                key: cell.metadata[key]
                for key in ("tags", "mystnb", "output_of")
                if key in cell.metadata and (key != "output_of" or varies(cell))
            }
        )
        if "notebook.setup()" in cell.source and not run_number:
            cell.metadata = nbformat.from_dict(stamp.SETUP)
        if cell.cell_type == "code":
            run_number += 1
            cell.execution_count = run_number
            cell.outputs = merged(
                clean(output, cell, run_number)
                for output in cell.outputs
                if output.get("name") != "stderr"
            )


def merged(
    outputs: Iterable[nbformat.NotebookNode],
) -> list[nbformat.NotebookNode]:
    """Join what was printed in a row: where the kernel parts it is a matter of chance."""
    joined: list[nbformat.NotebookNode] = []
    for output in outputs:
        if joined and "stream" == output.output_type == joined[-1].output_type:
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


def clean(
    output: nbformat.NotebookNode, cell: nbformat.NotebookNode, run_number: int
) -> nbformat.NotebookNode:
    """Give an output its run's number, and a figure the alternative text of its cell."""
    if output.output_type == "execute_result":
        output.execution_count = run_number
    alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt")
    if alt and "image/png" in output.get("data", {}):
        output.metadata.setdefault("image/png", {})["alt"] = alt
    return output


def faults(cell: nbformat.NotebookNode) -> list[str]:
    """Return what forbids storing a cell: an error, or a claim that does not hold."""
    found = []
    for output in cell.get("outputs", []):
        if output.output_type == "error":
            found.append(f"{output.ename}: {output.evalue}")
        if output.get("name") == "stdout":
            found += [
                line
                for line in output.text.splitlines()
                if line.endswith(": False") and "claim(" in cell.source
            ]
    return found


def other_digits(cell: nbformat.NotebookNode) -> list[str]:
    """Return what forbids storing a cell in the book: it was run on other digits than MNIST."""
    return [
        f"{line} Stored outputs come from MNIST: set LENET5_MNIST to its file."
        for output in cell.get("outputs", [])
        if output.get("name") == "stdout"
        for line in output.text.splitlines()
        if line.startswith("Data: ") and not line.startswith("Data: MNIST;")
    ]


def main(arguments: list[str]) -> int:
    """Run the chapters whose names begin so, or all; return 1 if anything was wrong."""
    names = [name for name in arguments if name != "--fresh"]
    chapters = [
        path
        for path in sorted(BOOK.glob("*.ipynb"))
        if not names or path.name.startswith(tuple(names))
    ]
    wrong = []
    os.environ.pop("LENET5_RUNS", None)
    with (
        tempfile.TemporaryDirectory() as folder
    ):  # Chapters share their runs in it.
        for path in chapters:
            print(path.name, flush=True)
            wrong += run(path, folder, fresh="--fresh" in arguments)
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
