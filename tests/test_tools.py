"""What `make notebooks` stores: one form, the same again on every run, nothing that must not be stored; and the wheel."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import colab_like  # noqa: E402
import notebooks  # noqa: E402

CHAPTERS = sorted((ROOT / "book").glob("[0-9]*.ipynb"))
VARYING = "import os\nprint(os.urandom(8).hex())"


def write(path, *sources, tags=None):
    """Write a notebook of code cells; `tags` gives those of some, by their position."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    for position, names in (tags or {}).items():
        cells[position].metadata["tags"] = names
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def printed(path):
    cells = nbformat.read(path, as_version=4).cells
    return [
        "".join(item.get("text", "") for item in cell.outputs) for cell in cells
    ]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_chapter_is_in_its_normal_form(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    notebooks.normalise(notebook)
    nbformat.write(notebook, tmp_path / path.name)
    assert (tmp_path / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_outputs_that_vary_belong_to_the_source_that_stands_there(path):
    for cell in filter(notebooks.varies, nbformat.read(path, as_version=4).cells):
        assert cell.metadata.get("output_of") == notebooks.digest(cell), (
            f"run tools/notebooks.py {path.stem[:2]}: {cell.source}"
        )


def test_normalising_twice_is_normalising_once(tmp_path):
    path = write(
        tmp_path / "a.ipynb", "print(1)   \n\n", "2 + 2", tags={1: ["exercise"]}
    )
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata["colab"] = {"provenance": []}
    notebook.cells[0].metadata["collapsed"] = True
    notebooks.normalise(notebook)
    once = nbformat.writes(notebook)
    notebooks.normalise(notebook)
    assert nbformat.writes(notebook) == once
    assert "colab" not in once
    assert "collapsed" not in once
    assert '"print(1)"' in once


@pytest.mark.slow
def test_running_a_chapter_anew_changes_nothing(tmp_path):
    """Where MNIST is named, all of chapter 2; elsewhere what comes before it loads the digits."""
    path = Path(shutil.copy(ROOT / "book/02_convolution.ipynb", tmp_path))
    if os.environ.get("LENET5_MNIST", "stand-in") == "stand-in":
        chapter = nbformat.read(path, as_version=4)
        loads = ["load_digits" in cell.source for cell in chapter.cells]
        chapter.cells = chapter.cells[: loads.index(True)]
        assert sum(cell.cell_type == "code" for cell in chapter.cells) > 5
        nbformat.write(chapter, path)
    before = path.read_bytes()
    assert notebooks.run(path, str(tmp_path)) == []
    assert path.read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("tag", ["nbval-ignore-output", "measured"])
def test_what_varies_is_kept_until_its_source_changes_or_all_is_asked_for(
    tmp_path, tag
):
    path = write(tmp_path / "a.ipynb", VARYING, VARYING + "\n", tags={0: [tag]})
    assert notebooks.run(path, str(tmp_path)) == []
    first = printed(path)
    assert notebooks.run(path, str(tmp_path)) == []
    second = printed(path)
    assert second[0] == first[0]
    assert second[1] != first[1], "an untagged cell is stored anew"
    assert notebooks.run(path, str(tmp_path), fresh=True) == []
    third = printed(path)
    assert third[0] != first[0]
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0].source += "  # changed"
    nbformat.write(notebook, path)
    assert notebooks.run(path, str(tmp_path)) == []
    assert printed(path)[0] != third[0]


def test_stderr_is_dropped_and_what_is_printed_in_a_row_is_one_output(tmp_path):
    source = "import sys\nprint(1)\nprint(2, file=sys.stderr)\nprint(3)"
    path = write(tmp_path / "a.ipynb", source)
    assert notebooks.run(path, str(tmp_path)) == []
    (cell,) = nbformat.read(path, as_version=4).cells
    assert [item.name for item in cell.outputs] == ["stdout"]
    assert printed(path) == ["1\n3\n"]
    assert cell.execution_count == 1
    assert cell.id == "cell-00"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("1 / 0", "a.ipynb, cell 0: ZeroDivisionError: division by zero"),
        (
            "from lenet5lib import notebook\nnotebook.claim('six is odd', 6 % 2)",
            "a.ipynb, cell 0: six is odd: False",
        ),
        (
            "print('Data: stand-in; 9 digits.')",
            "a.ipynb, cell 0: Data: stand-in; 9 digits. Stored outputs come from MNIST: "
            "set LENET5_MNIST to its file.",
        ),
    ],
)
def test_nothing_is_stored_if_a_cell_fails_or_a_claim_is_false(
    tmp_path, source, fault
):
    path = write(tmp_path / "a.ipynb", source, tags={0: ["nbval-ignore-output"]})
    before = path.read_bytes()
    assert notebooks.run(path, str(tmp_path)) == [fault]
    assert path.read_bytes() == before


@pytest.fixture
def pretended(monkeypatch, tmp_path):
    """Let a Colab-like run do nothing; return the package lists that it sees, to be filled, and the chapters it ran."""
    (tmp_path / "book").mkdir()
    for name in ("01_a.ipynb", "02_b.ipynb", "14_c.ipynb"):
        (tmp_path / "book" / name).touch()
    lists, ran = [], []
    monkeypatch.setattr(colab_like, "published", lambda folder: tmp_path)
    monkeypatch.setattr(
        colab_like, "kernel", lambda *arguments, **environment: None
    )
    monkeypatch.setattr(colab_like, "pip", lambda python, *arguments: None)
    monkeypatch.setattr(colab_like, "packages", lambda python: lists.pop(0))
    monkeypatch.setattr(
        colab_like,
        "execute",
        lambda path, *rest: ran.append((path.name, *rest)) or [],
    )
    return lists, ran


def test_a_colab_like_run_names_every_package_that_changed(pretended):
    lists, ran = pretended
    lists += [
        {"numpy": "2.1.3", "keras": "3.13.2"},
        {"numpy": "2.4.0", "toml": "1"},
    ]
    assert colab_like.trial(Path("python"), [], None) == [
        "keras was 3.13.2 and is None",
        "numpy was 2.1.3 and is 2.4.0",
        "toml was None and is 1",
    ]
    names = ("01_a.ipynb", "02_b.ipynb", "14_c.ipynb")
    assert ran == [(name, "colab-like", "lenet5lib ") for name in names]


def test_a_chapter_is_tried_as_on_kaggle_and_in_plain_jupyter_too(
    pretended, monkeypatch, tmp_path
):
    lists, ran = pretended
    lists += [{}, {}]
    commands = []
    monkeypatch.setattr(colab_like, "run", commands.append)
    assert colab_like.trial(Path("python"), ["02"], "base") == []
    assert [kernel for _, kernel, _ in ran] == [
        "colab-like",
        "kaggle-like",
        "plain",
    ]
    assert {name for name, _, _ in ran} == {"02_b.ipynb"}
    assert [said for _, _, said in ran] == ["lenet5lib ", "", ""]
    ((base, *venv),) = commands
    assert (base, venv[:2]) == ("base", ["-m", "venv"])


def test_a_colab_like_run_takes_the_chapters_named_and_says_what_was_wrong(
    pretended, monkeypatch
):
    lists, _ = pretended
    lists += [{}, {}]
    monkeypatch.setattr(
        colab_like, "execute", lambda path, *rest: ["cell 3: six is odd: False"]
    )
    assert colab_like.trial(Path("python"), ["02"], None) == [
        "02_b.ipynb, colab-like, cell 3: six is odd: False"
    ]
    assert colab_like.trial(Path("python"), ["77"], None) == [
        "no chapter begins with 77"
    ]


def test_the_tree_that_is_published_is_stamped_with_its_own_address(tmp_path):
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    tree = colab_like.published(tmp_path)
    address = (tmp_path / "book.git").as_uri()
    config = (tree / "_config.yml").read_text(encoding="utf-8")
    assert f'url: "{address}"\n' in config
    tags = subprocess.run(
        ["git", "ls-remote", "--tags", address],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert tags.endswith(f"refs/tags/{colab_like.TAG}\n")


@pytest.mark.slow
def test_the_wheel_is_importable_where_nothing_else_is_installed():
    pytest.importorskip("build")
    command = [sys.executable, ROOT / "tools" / "wheel.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("lenet5lib ")
