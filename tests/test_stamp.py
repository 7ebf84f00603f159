"""The public address: one place, written everywhere by one command, and nowhere before."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import stamp  # noqa: E402

OURS = stamp.Stamp("https://github.com/someone/their-book", "v0.1.0")


@pytest.fixture
def tree(tmp_path):
    """Return a copy of the files that stamping writes, without a stamp."""
    for name in ("_config.yml", "README.md", "CITATION.cff"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "book", tmp_path / "book")
    stamp.write(tmp_path, None)
    return tmp_path


def texts(tree):
    return {
        path.relative_to(tree): path.read_text(encoding="utf-8")
        for path in sorted(tree.rglob("*"))
        if path.suffix in (".yml", ".md", ".cff", ".ipynb")
    }


def setup_cells(tree):
    found = []
    for path in sorted((tree / "book").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        first = next(cell for cell in cells if cell["cell_type"] == "code")
        found.append("".join(first["source"]))
    return found


def test_stamping_writes_address_and_tag_into_everything_that_holds_them(tree):
    assert not any("someone" in text for text in setup_cells(tree))
    changed = stamp.write(tree, OURS)
    chapters = list((tree / "book").glob("*.ipynb"))
    assert len(changed) == 3 + len(chapters)
    for path in changed:
        assert OURS.url in path.read_text(encoding="utf-8"), path.name
    (cell,) = set(setup_cells(tree))
    assert f'"lenet5lib @ git+{OURS.url}@{OURS.tag}"' in cell
    assert '"--no-deps"' in cell
    config = (tree / "_config.yml").read_text(encoding="utf-8")
    assert stamp.read(config) == OURS
    assert "colab_url: https://colab.research.google.com\n" in config
    readme = (tree / "README.md").read_text(encoding="utf-8")
    assert "someone/their-book/blob/v0.1.0/book/01_digits.ipynb)" in readme


def test_stamping_twice_changes_nothing_more(tree):
    stamp.write(tree, OURS)
    first = texts(tree)
    assert stamp.write(tree, OURS) == []
    assert texts(tree) == first


def test_another_address_takes_the_place_of_the_first_and_removing_leaves_none(
    tree,
):
    before = texts(tree)
    stamp.write(tree, OURS)
    stamp.write(tree, stamp.Stamp("https://github.com/ELSE/OTHER", "v2"))
    assert not [
        name for name, text in texts(tree).items() if "someone/their-book" in text
    ]
    stamp.write(tree, None)
    assert texts(tree) == before


def test_a_stamped_chapter_differs_from_an_unstamped_one_in_its_setup_cell_only(
    tree,
):
    path = tree / "book/02_convolution.ipynb"
    before = json.loads(path.read_text(encoding="utf-8"))
    stamp.write(tree, OURS)
    after = json.loads(path.read_text(encoding="utf-8"))
    differing = [
        old["cell_type"]
        for old, new in zip(before["cells"], after["cells"], strict=True)
        if old != new
    ]
    assert differing == ["code"]


def test_a_folder_can_be_the_address_and_then_there_is_no_button(tree):
    stamp.write(tree, stamp.checked(f"file://{tree.as_posix()}/book.git", "v1"))
    config = (tree / "_config.yml").read_text(encoding="utf-8")
    assert f"url: file://{tree.as_posix()}/book.git\n" in config
    assert "launch_buttons" not in config
    assert "badge" not in (tree / "README.md").read_text(encoding="utf-8").split(
        "\n## "
    )[0].replace("badges", "")


def test_what_stands_after_the_stamp_in_the_configuration_is_kept(tree):
    stamp.write(tree, OURS)
    path = tree / "_config.yml"
    path.write_text(path.read_text(encoding="utf-8") + "added: true\n")
    stamp.write(tree, None)
    assert path.read_text(encoding="utf-8").endswith("added: true\n")


def test_without_an_address_the_known_one_is_written_again(tree, capsys):
    stamp.write(tree, OURS)
    chapter = tree / "book/02_convolution.ipynb"
    shutil.copy(ROOT / "book/02_convolution.ipynb", chapter)
    chapter.write_text(
        stamp.chapter(chapter.read_text(encoding="utf-8"), None), encoding="utf-8"
    )
    assert stamp.main([], tree) == 0
    said = capsys.readouterr().out
    assert said == f"1 files changed. The address is {OURS.url} at v0.1.0.\n"
    assert len(set(setup_cells(tree))) == 1


def test_without_any_address_a_new_chapter_gets_the_cell_that_says_so(tree, capsys):
    path = tree / "book/02_convolution.ipynb"
    old = stamp.chapter(path.read_text(encoding="utf-8"), OURS)
    path.write_text(old, encoding="utf-8")
    assert stamp.main([], tree) == 0
    assert capsys.readouterr().out.startswith(
        "1 files changed. The book has no address"
    )
    assert set(setup_cells(tree)) == {stamp.setup_cell(None)}


@pytest.mark.parametrize(
    ("url", "tag", "words"),
    [
        ("", "v1", ["REPOSITORY is ''", "expected https://HOST/OWNER/NAME"]),
        ("github.com/a/b", "v1", ["REPOSITORY is 'github.com/a/b'"]),
        ("http://github.com/a/b", "v1", ["expected https://"]),
        ("https://user:word@github.com/a/b", "v1", ["REPOSITORY is"]),
        ('https://github.com/a/b"', "v1", ["REPOSITORY is"]),
        (
            "https://github.com/a/b",
            "",
            ["TAG is ''", "expected a tag such as v0.1.0"],
        ),
        ("https://github.com/a/b", "v1 --x", ["TAG is 'v1 --x'"]),
        ("https://github.com/a/b", "-x", ["TAG is '-x'"]),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_and_nothing_is_written(
    tree, capsys, url, tag, words
):
    before = texts(tree)
    assert stamp.main([f"--repository={url}", f"--tag={tag}"], tree) == 2
    said = capsys.readouterr().err
    assert all(word in said for word in words), said
    assert texts(tree) == before


def test_github_addresses_are_brought_to_one_form():
    for url in (OURS.url, f"{OURS.url}/", f"{OURS.url}.git"):
        assert stamp.checked(url, "v0.1.0") == OURS


def test_a_chapter_without_a_setup_cell_is_named_and_nothing_is_written(
    tree, capsys
):
    path = tree / "book/03_layer_by_layer.ipynb"
    path.write_text(
        path.read_text(encoding="utf-8").replace("notebook.setup()", "pass")
    )
    before = texts(tree)
    assert stamp.main(["--repository", OURS.url, "--tag", "v1"], tree) == 2
    said = capsys.readouterr().err
    assert said.startswith("03_layer_by_layer.ipynb: the first code cell is")
    assert "Put the setup cell first" in said
    assert texts(tree) == before


def run_cell(source, folder):
    """Run a setup cell where google.colab is loaded and the library is not installed; return what it says."""
    program = f"import sys\nsys.modules['google.colab'] = sys\n{source}"
    return subprocess.run(
        [sys.executable, "-S", "-I", "-c", program],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_until_stamped_the_setup_cell_says_in_colab_what_its_owner_has_to_do(
    tmp_path,
):
    done = run_cell(stamp.setup_cell(None), tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "owner must first run make stamp" in done.stderr


def test_the_setup_cell_is_short():
    for cell in (stamp.setup_cell(None), stamp.setup_cell(OURS)):
        assert len(cell.splitlines()) <= 11
        assert max(map(len, cell.splitlines())) <= 84


def test_the_tree_holds_the_stamp_that_its_configuration_names():
    known = stamp.read((ROOT / "_config.yml").read_text(encoding="utf-8"))
    assert set(setup_cells(ROOT)) == {stamp.setup_cell(known)}
    for name, writer in (
        ("_config.yml", stamp.config),
        ("README.md", stamp.readme),
        ("CITATION.cff", stamp.citation),
    ):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert writer(text, known) == text, f"run make stamp: {name}"


def test_the_version_to_cite_is_the_librarys():
    import lenet5lib

    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert (
        re.search(r"^version: (.*)$", text, re.MULTILINE)[1]
        == lenet5lib.__version__
    )


def build(tree):
    """Build the pages of a tree strictly; return them by their names."""
    for name in ("_toc.yml", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    sources = shutil.ignore_patterns("recorded", "__pycache__")
    shutil.copytree(
        ROOT / "lenet5lib", tree / "lenet5lib", ignore=sources, dirs_exist_ok=True
    )
    program = "import sys; from jupyter_book.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "build", ".", "-W", "-n"]
    done = subprocess.run(
        [*command, "--keep-going"],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    book = tree / "_build/html/book"
    pages = {p.relative_to(book).as_posix(): p for p in book.rglob("*.html")}
    assert len(pages) >= 30
    assert "api/index.html" in pages
    return {name: path.read_text("utf-8") for name, path in sorted(pages.items())}


@pytest.mark.slow
def test_built_pages_have_no_button_and_no_address_until_stamped_and_the_owners_after(
    tree,
):
    pytest.importorskip("jupyter_book")
    for name, page in build(tree).items():
        assert "colab.research" not in page, name
        # What a page itself links to, such as the sources on the page of references, is no address of the book.
        own = re.sub(r'<a class="reference external"[^>]*>.*?</a>', "", page)
        assert not re.search(r"github\.com|gitlab\.com", own), name
    stamp.write(tree, OURS)
    shutil.rmtree(tree / "_build")
    for name, page in build(tree).items():
        buttons = set(re.findall(r'https://colab\.research[^"]*', page))
        if name[0].isdigit():
            ending = f"/book/{name.replace('.html', '.ipynb')}"
            assert buttons == {
                f"{stamp.COLAB}/github/someone/their-book/blob/v0.1.0{ending}"
            }
        else:
            assert not buttons
