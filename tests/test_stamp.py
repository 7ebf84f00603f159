"""The public address: one place, written everywhere by one command, and nowhere before."""

import ast
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import stamp  # noqa: E402

OURS = stamp.Stamp("https://github.com/someone/their-book", "v0.1.0")

ADDRESSES = {
    "https://github.com/O/N": "https://github.com/O/N",
    "https://github.com/O/N/": "https://github.com/O/N",
    "https://github.com/O/N.git": "https://github.com/O/N",
    "https://github.com/O/N.git//": "https://github.com/O/N",
    "https://GitHub.com/O/N": "https://github.com/O/N",
    "HTTPS://GITHUB.COM/Owner/Name": "https://github.com/Owner/Name",
    "https://github.com/o-1/my_book.v2": "https://github.com/o-1/my_book.v2",
    "https://github.com/O/O.github.io": "https://github.com/O/O.github.io",
    "https://github.com/O/tree": "https://github.com/O/tree",
    "https://github.example.edu/O/N": "https://github.example.edu/O/N",
    "https://github.com/securities/features": "https://github.com/securities/features",
    "https://gitlab.com/O/N.git": "https://gitlab.com/O/N",
    "https://gitlab.uni.example/security/N": "https://gitlab.uni.example/security/N",
    "https://gitlab.com/group/sub/N": "https://gitlab.com/group/sub/N",
    "https://gitlab.gnome.org/a/b/c/N": "https://gitlab.gnome.org/a/b/c/N",
    "https://gitlab.com/network/raw": "https://gitlab.com/network/raw",
    "https://my-gitlab.uni.example/O/N": "https://my-gitlab.uni.example/O/N",
    "https://gitlab/O/N": "https://gitlab/O/N",
    "https://bitbucket.org/O/N": "https://bitbucket.org/O/N",
    "https://bitbucket.example.com/scm/p/N": "https://bitbucket.example.com/scm/p/N",
}
"""What is given, and the form in which it is written."""

UNKNOWN = [
    "https://codeberg.org/O/N",
    "https://git.uni-example.edu/O/N",
    "https://sr.ht/~o/N",
    "https://hub.ghe.com/O/N",
    "https://codeberg.org/O/github.com",
    "https://localhost/O/N",
]

NO_REPOSITORY = {
    "": "https://HOST/OWNER/NAME",
    "github.com/O/N": "https://HOST/OWNER/NAME",
    "http://github.com/O/N": "https://HOST/OWNER/NAME",
    "git@github.com:O/N.git": "https://HOST/OWNER/NAME",
    "ssh://git@github.com/O/N": "https://HOST/OWNER/NAME",
    "git+https://github.com/O/N": "https://HOST/OWNER/NAME",
    "file:///srv/book.git": "https://HOST/OWNER/NAME",
    "/srv/book.git": "https://HOST/OWNER/NAME",
    "https://user:word@github.com/O/N": "no user",
    "https://github.com:443/O/N": "port",
    "https://github.com:/O/N": "port",
    "https://gitlab.example.org:8443/O/N": "port",
    "https://github.com/O/N?tab=readme": "query",
    "https://github.com/O/N#readme": "query",
    "https://github.com/O/N /": "https://HOST/OWNER/NAME",
    "https://github.com/O/N\n": "https://HOST/OWNER/NAME",
    'https://github.com/O/N"': "https://HOST/OWNER/NAME",
    "https://github.com//O/N": "https://HOST/OWNER/NAME",
    "https://github.com/O/N\u00e9": "https://HOST/OWNER/NAME",
    "https://github.com": "https://HOST/OWNER/NAME",
    "https://github.com/O/.git": "https://HOST/OWNER/NAME",
    "https://github.com/O": "an owner and a name",
    "https://github.com/O/": "an owner and a name",
    "https://github.com/orgs/O": "an owner and a name",
    "https://gitlab.com/groups/O": "an owner and a name",
    "https://github.com/marketplace/actions": "an owner and a name",
    "https://github.com/features/copilot": "an owner and a name",
    "https://github.com/O/.git.git": "an owner and a name",
    "https://github.com/O/N.git.git": "Name https://github.com/O/N.",
    "https://github.com/O/..": "an owner and a name",
    "https://gitlab.com/O": "an owner and a name",
    "https://gitlab.com/O/-": "an owner and a name",
    "https://github.com/O/N/tree/main": "Name https://github.com/O/N.",
    "https://github.com/O/N/tree/main/": "Name https://github.com/O/N.",
    "https://github.com/O/N/blob/main/README.md": "Name https://github.com/O/N.",
    "https://github.com/O/N/issues": "Name https://github.com/O/N.",
    "https://github.com/O/N.git/tree": "Name https://github.com/O/N.",
    "https://gitlab.com/O/N/-/tree/main": "Name https://gitlab.com/O/N.",
    "https://gitlab.com/g/s/N/-/issues": "Name https://gitlab.com/g/s/N.",
    "https://gitlab.com/O/N/blob/main/README.md": "Name https://gitlab.com/O/N.",
    "https://bitbucket.org/O/N/src/main": "Name https://bitbucket.org/O/N.",
    "https://www.github.com/O/N": "https://github.com/OWNER/NAME, not www.github.com",
    "https://O.github.io/N": "not o.github.io",
    "https://O.github.io/N/book": "not o.github.io",
    "https://o.gitlab.io/N/book": "not o.gitlab.io",
    "https://gist.github.com/O/0123": "not gist.github.com",
    "https://raw.githubusercontent.com/O/N": "not raw.githubusercontent.com",
    "https://github.dev/O/N": "not github.dev",
}
"""Address that is none of a repository: words of what is said."""

TAGS = [
    *(
        "v0.1.0",
        "1.10",
        "1",
        "2026-11-25",
        "12_30",
        "true",
        "null",
        "yes",
        "No",
        "1e5",
    ),
    *(
        "0x10",
        "0b1",
        "007",
        "1_000",
        "0.5",
        "+1",
        "nan",
        "v1.0+build",
        "with/slash",
    ),
    *(
        "a/-b",
        "=",
        "!x",
        "&a",
        "|",
        ">",
        "{a}",
        "a,b",
        "v1-",
        "it's",
        'say"it',
        "'",
    ),
    *('"', "$HOME", "v$(x)", "`x`", "(a)", "](x)", "<b>", "_a_", "refs/tags/x"),
    *("t\u00e4g", "\u7248\u672c-1", "\U0001f600", "a\u0301", "x.locks"),
]
"""What git allows and pip installs; YAML would read many as a number, a date, a truth value or a list."""

NO_TAGS = [
    *("", " ", "v 1", "-x", "--", "/a", "a/", "a//b", ".a", "a/.b", "a.", "a..b"),
    *("a~1", "a^", "a:b", "a?", "a*", "a[b", "a\\b", "a@{1", "x.lock", "x.lock/y"),
    *("v1\n", "a\tb", "\x7f", "v1 --x"),
]
"""What git refuses as a tag."""


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


def test_a_stamped_chapter_differs_from_an_unstamped_one_in_setup_cell_and_links(
    tree,
):
    path = tree / "book/02_convolution.ipynb"
    before = json.loads(path.read_text(encoding="utf-8"))
    stamp.write(tree, OURS)
    after = json.loads(path.read_text(encoding="utf-8"))
    differing = [
        old["cell_type"]
        for old, new in zip(before["cells"], after["cells"], strict=True)
        if old != new and COLAB_FOLDER not in "".join(new["source"])
    ]
    assert differing == ["code"]


COLAB_FOLDER = f"{stamp.COLAB}/github/someone/their-book/blob/v0.1.0/book/"
FOLDERS = {
    OURS.url: COLAB_FOLDER,
    "https://github.example.edu/O/N": "https://github.example.edu/O/N/blob/v0.1.0/book/",
    "https://gitlab.com/g/s/N": "https://gitlab.com/g/s/N/-/blob/v0.1.0/book/",
    "https://bitbucket.org/O/N": "https://bitbucket.org/O/N/src/v0.1.0/book/",
    "https://bitbucket.example.com/scm/p/N": "",
}
"""Repository: what a link to a chapter begins with."""
LINKS = "[chapter 3](03_layer_by_layer.ipynb), [7](07_checkpoint_and_resume.ipynb)."


def with_links(path):
    """Put links into a chapter: where they count, in code and beside others; return a function that reads them."""
    notebook = json.loads(path.read_text("utf-8"))
    others = " [x](https://example.org/a_b.ipynb) [y](#z) [z](index.md)"
    notebook["cells"] = [
        notebook["cells"][0],
        {"cell_type": "markdown", "source": [LINKS + others], "metadata": {}},
        next(cell for cell in notebook["cells"] if cell["cell_type"] == "code"),
        {"cell_type": "code", "source": [f"# {LINKS}"], "metadata": {}},
    ]
    path.write_text(json.dumps(notebook), encoding="utf-8")

    def links():
        cells = json.loads(path.read_text("utf-8"))["cells"]
        assert "".join(cells[1]["source"]).endswith(others)
        assert "".join(cells[3]["source"]) == f"# {LINKS}"
        return "".join(cells[1]["source"]).removesuffix(others)

    return links


@pytest.mark.parametrize("url", FOLDERS)
def test_links_to_chapters_have_the_address_of_the_tag_and_none_after_removing(
    small, url
):
    stamp.write(small, None)
    links = with_links(small / "book/01_digits.ipynb")
    stamp.write(small, stamp.checked(url, "v0.1.0"))
    assert links() == LINKS.replace("](", f"]({FOLDERS[url]}")
    assert stamp.write(small, stamp.checked(url, "v0.1.0")) == []
    stamp.write(small, stamp.checked("https://gitlab.com/O/OTHER", "v2"))
    assert links().count("](https://gitlab.com/O/OTHER/-/blob/v2/book/0") == 2
    stamp.write(small, None)
    assert links() == LINKS


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
    assert said.startswith(f"1 files changed. The address is {OURS.url} at v0.1.0.")
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


def themes_view(address):
    """Return what the book's theme reads from an address; it raises SphinxError at those that it does not know."""
    buttons = pytest.importorskip("sphinx_book_theme.header_buttons")
    options = {"repository_url": address}
    config = SimpleNamespace(html_theme_options=options, html_context={})
    buttons.update_context_with_repository_info(SimpleNamespace(config=config))
    return buttons.get_repo_url(config.html_context)[0]


@pytest.mark.parametrize("given", ADDRESSES)
def test_an_address_with_which_the_book_builds_is_brought_to_one_form(given):
    assert stamp.checked(given, "v1") == (ADDRESSES[given], "v1")
    assert stamp.checked(ADDRESSES[given], "v1").url == ADDRESSES[given]
    assert themes_view(ADDRESSES[given]) == ADDRESSES[given]


@pytest.mark.parametrize("url", UNKNOWN)
def test_a_host_that_the_theme_does_not_know_is_refused(url):
    errors = pytest.importorskip("sphinx.errors")
    with pytest.raises(errors.SphinxError):
        themes_view(url)
    with pytest.raises(
        ValueError, match=re.escape(f"not know {urlsplit(url).netloc}")
    ):
        stamp.checked(url, "v1")


@pytest.mark.parametrize("url", NO_REPOSITORY)
def test_what_is_no_address_of_a_repository_is_refused(url):
    with pytest.raises(ValueError, match="REPOSITORY is") as caught:
        stamp.checked(url, "v1")
    assert repr(url) in str(caught.value)
    assert NO_REPOSITORY[url] in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("tag", [*NO_TAGS, "HEAD", "\u202ea", "a\u00a0b", "\udcff"])
def test_a_tag_that_git_refuses_or_nobody_can_read_is_refused(tag):
    with pytest.raises(ValueError, match="TAG is") as caught:
        stamp.checked(OURS.url, tag)
    assert repr(tag) in str(caught.value)


@pytest.mark.parametrize("tag", ["v1#2", "v1@2", "@", "100%", "v1%2F2", "a;b"])
def test_a_tag_that_pip_reads_as_something_else_is_refused(tag):
    with pytest.raises(ValueError, match=r"TAG is .* pip"):
        stamp.checked(OURS.url, tag)


@pytest.mark.slow
def test_git_allows_the_same_tags():
    for tag in [*TAGS, *NO_TAGS]:
        command = ["git", "check-ref-format", f"refs/tags/{tag}"]
        allowed = subprocess.run(command, check=False).returncode == 0
        assert allowed == (tag not in NO_TAGS or tag.startswith("-")), tag


@pytest.mark.parametrize(
    ("url", "tag"),
    [
        ("https://codeberg.org/O/N", "v1"),
        ("https://github.com/O/N/issues", "v1"),
        (OURS.url, "v 1"),
        (OURS.url, "v1#2"),
        (OURS.url, ""),
        ("", "v1"),
    ],
)
def test_what_is_refused_is_said_in_one_line_and_nothing_is_written(
    tree, capsys, url, tag
):
    before = texts(tree)
    assert stamp.main([f"--repository={url}", f"--tag={tag}"], tree) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert texts(tree) == before


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Return a copy of the tree with one chapter only."""
    folder = tmp_path_factory.mktemp("small")
    for name in ("_config.yml", "README.md", "CITATION.cff"):
        shutil.copy(ROOT / name, folder)
    (folder / "book").mkdir()
    notebook = json.loads((ROOT / "book/01_digits.ipynb").read_text("utf-8"))
    notebook["cells"] = notebook["cells"][:3]
    path = folder / "book/01_digits.ipynb"
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return folder


def badge(folder):
    """Return the address in README that opens chapter 1 in Colab, as Markdown reads it."""
    text = (folder / "README.md").read_text("utf-8")
    (found,) = re.findall(r"\[!\[Open.*?\]\([^()\s]*\)\]\(([^()\s<>]*)\)\n", text)
    return found


def module(path):
    """Import a file of the project that is in no package."""
    found = importlib.util.spec_from_file_location(path.stem, path)
    loaded = importlib.util.module_from_spec(found)
    found.loader.exec_module(loaded)
    return loaded


class Config(dict):
    """Settings that are read as attributes and as items, as Sphinx's own are."""

    __getattr__ = dict.__getitem__


def button(url, branch):
    """Return the address that the theme's button opens in Colab."""
    launch = pytest.importorskip("sphinx_book_theme.header_buttons.launch")
    options = {"repository_url": url, "repository_branch": branch}
    options["launch_buttons"] = {"colab_url": stamp.COLAB}
    app = SimpleNamespace(config=Config(html_theme_options=options))
    app.env = SimpleNamespace(metadata={"book/01_digits": {"kernelspec": ""}})
    app.env.doc2path = "{}.ipynb".format
    module(ROOT / "book/_ext/pages.py").encode_tag(app)
    context = {"header_buttons": [], "sourcename": "01.ipynb"}
    context |= {"pagename": "book/01_digits", "page_source_suffix": ".ipynb"}
    context |= dict(
        zip(("github_user", "github_repo"), url.split("/")[-2:], strict=True)
    )
    context["github_url"] = "https://github.com"
    launch.add_launch_buttons(app, "book/01_digits", "", context, None)
    return context["header_buttons"][0]["buttons"][0]["url"]


@pytest.mark.parametrize("tag", TAGS)
def test_a_tag_of_any_shape_stays_the_same_text_everywhere(small, tag):
    given = stamp.checked(OURS.url, tag)
    links = with_links(small / "book/01_digits.ipynb")
    stamp.write(small, given)
    text = (small / "_config.yml").read_text("utf-8")
    assert stamp.read(text) == given
    repository = yaml.safe_load(text)["repository"]
    assert (repository["url"], repository["branch"]) == given
    (cell,) = setup_cells(small)
    strings = [
        node.value
        for node in ast.walk(ast.parse(cell))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert f"lenet5lib @ git+{OURS.url}@{tag}" in strings
    citation = yaml.safe_load((small / "CITATION.cff").read_text("utf-8"))
    assert citation["repository-code"] == OURS.url
    link = re.search(r"\[chapter 3\]\((.*?)\),", links())[1]
    link = link.replace("03_layer_by_layer", "01_digits")
    for address in (badge(small), button(*given), link):
        parts = urlsplit(address)
        assert parts.query + parts.fragment == ""
        path = f"/github/someone/their-book/blob/{tag}/book/01_digits.ipynb"
        assert unquote(parts.path) == path
        assert address.isascii()
        assert not set("\"'<>`() ") & set(address)


def test_a_stamp_of_an_earlier_version_is_read_as_text_and_written_with_quotes(
    small,
):
    stamp.write(small, None)
    path = small / "_config.yml"
    old = f"\n{stamp.BEGIN}\nrepository:\n  url: {OURS.url}\n  branch: 1.10\n"
    path.write_text(
        f"{path.read_text('utf-8')}{old}{stamp.END}\n", encoding="utf-8"
    )
    assert stamp.main([], small) == 0
    repository = yaml.safe_load(path.read_text("utf-8"))["repository"]
    assert repository["branch"] == "1.10"


def test_an_address_of_an_earlier_version_that_does_not_build_is_refused(
    small, capsys
):
    stamp.write(small, stamp.Stamp("https://codeberg.org/O/N", "v1"))
    assert stamp.main([], small) == 2
    assert "codeberg.org" in capsys.readouterr().err
    assert stamp.main(["--remove"], small) == 0


@pytest.mark.parametrize(
    ("url", "buttons"),
    [
        (OURS.url, "open it in Colab"),
        ("https://gitlab.com/O/N", "need a github.com"),
    ],
)
def test_it_says_which_buttons_there_will_be(small, capsys, url, buttons):
    assert stamp.main([f"--repository={url}", "--tag=v1"], small) == 0
    assert buttons in capsys.readouterr().out
    on_github = url.startswith(stamp.GITHUB)
    assert ("launch_buttons" in (small / "_config.yml").read_text()) == on_github
    assert ("colab-badge" in (small / "README.md").read_text("utf-8")) == on_github


def test_a_readme_without_the_line_for_badges_is_named_and_nothing_is_written(
    tree, capsys
):
    path = tree / "README.md"
    text = path.read_text("utf-8").replace(stamp.BADGES, "")
    path.write_text(text, encoding="utf-8")
    before = texts(tree)
    assert stamp.main(["--repository", OURS.url, "--tag", "v1"], tree) == 2
    assert capsys.readouterr().err.startswith("README.md: ")
    assert texts(tree) == before


def test_a_file_that_cannot_be_written_leaves_the_tree_as_it_was(
    tree, capsys, monkeypatch
):
    before, opened = texts(tree), Path.open

    def refuse(path, mode="r", *args, **kwargs):
        if path.name == "README.md" and mode not in ("r", "rb"):
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refuse)
    assert stamp.main(["--repository", OURS.url, "--tag", "v1"], tree) == 2
    assert "README.md" in capsys.readouterr().err
    assert texts(tree) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "tag", ["v$HOME", "`pwd`", "$(x)", "v$(x", "$(TAG)", 'a"b', "it's", "1.10"]
)
def test_make_passes_a_tag_on_as_it_was_typed(small, tag):
    shutil.copy(ROOT / "Makefile", small)
    shutil.copytree(ROOT / "tools", small / "tools", dirs_exist_ok=True)
    command = ["make", "stamp", f"PYTHON={sys.executable}"]
    command += [f"REPOSITORY={OURS.url}", f"TAG={tag}"]
    subprocess.run(command, cwd=small, check=True, capture_output=True)
    text = (small / "_config.yml").read_text("utf-8")
    assert stamp.read(text) == (OURS.url, tag)


def test_a_tag_that_python_read_as_ascii_is_the_tag_that_was_typed(small):
    asked = ["--repository", OURS.url, "--tag", "t\udcc3\udca4g"]
    assert stamp.main(asked, small) == 0
    assert stamp.read((small / "_config.yml").read_text("utf-8")).tag == "t\u00e4g"


@pytest.mark.skipif(os.name == "nt", reason="Windows has other pipes")
def test_nobody_has_to_read_what_it_says(small):
    shutil.copytree(ROOT / "tools", small / "tools", dirs_exist_ok=True)
    command = [sys.executable, "-u", "tools/stamp.py"]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        command, cwd=small, check=False, stdout=writing, stderr=subprocess.PIPE
    )
    os.close(writing)
    assert done.stderr == b""


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


def run_cell(source, folder, before="", **environment):
    """Run a setup cell where the library is not installed and pip is a stand-in that fails; return what it says."""
    pip = (
        "lambda command: print(*command[1:]) or types.SimpleNamespace(returncode=1)"
    )
    program = f"import subprocess, sys, types\n{before}\nsubprocess.run = {pip}\n"
    kept = {k: v for k, v in os.environ.items() if not k.startswith("KAGGLE")}
    return subprocess.run(
        [sys.executable, "-S", "-I", "-c", program + source],
        cwd=folder,
        env=kept | environment,
        capture_output=True,
        text=True,
        check=False,
    )


IN_COLAB = "sys.modules['google.colab'] = sys"


@pytest.mark.parametrize("before", ["", IN_COLAB])
def test_until_stamped_the_setup_cell_says_in_two_lines_how_to_get_the_library(
    tmp_path, before
):
    done = run_cell(stamp.setup_cell(None), tmp_path, before)
    assert done.returncode == 1
    assert done.stdout == ""
    first, second = done.stderr.splitlines()
    assert "lenet5lib is not installed" in first
    assert "make lab" in second
    assert "book/running.md" in second
    assert (ROOT / "book/running.md").exists()


@pytest.mark.parametrize(
    ("before", "environment", "is_alone"),
    [
        ("", {}, False),
        ("", {"KAGGLE_USERNAME": "somebody"}, False),  # Of Kaggle's command line.
        ("", {"KAGGLE_KERNEL_RUN_TYPE": "Interactive"}, True),
        ("", {"KAGGLE_KERNEL_RUN_TYPE": "Batch"}, True),
        (IN_COLAB, {}, True),
    ],
)
def test_where_the_packages_are_given_the_library_is_installed_alone(
    tmp_path, before, environment, is_alone
):
    done = run_cell(stamp.setup_cell(OURS), tmp_path, before, **environment)
    (command,) = done.stdout.splitlines()
    library = f"lenet5lib @ git+{OURS.url}@{OURS.tag}"
    assert command.startswith("-m pip install ")
    assert command.endswith(library)
    assert ("--no-deps" in command) is is_alone
    (said,) = done.stderr.splitlines()
    assert said.startswith(library)
    assert "book/running.md" in said
    assert done.returncode == 1


def test_a_folder_that_is_left_of_the_library_is_not_taken_for_it(tmp_path):
    (tmp_path / "lenet5lib" / "__pycache__").mkdir(parents=True)
    on_path = f"sys.path.insert(0, {str(tmp_path)!r})"
    done = run_cell(stamp.setup_cell(OURS), tmp_path, on_path)
    assert "pip install" in done.stdout


@pytest.mark.parametrize("known", [None, OURS])
def test_where_the_library_is_found_the_setup_cell_says_and_installs_nothing(
    known, capfd, monkeypatch
):
    monkeypatch.setattr(subprocess, "run", None)
    exec(stamp.setup_cell(known), {})
    assert capfd.readouterr() == ("", "")


def test_a_chapter_of_another_edition_says_which_it_needs(capsys, monkeypatch):
    import lenet5lib

    needed = lenet5lib.__version__
    monkeypatch.setattr(lenet5lib, "__version__", "0.0.9")
    exec(stamp.setup_cell(OURS), {})
    (said,) = capsys.readouterr().out.splitlines()
    assert "lenet5lib 0.0.9" in said
    assert needed in said
    assert said.endswith(f"git+{OURS.url}@{OURS.tag}")


def test_the_setup_cell_is_short():
    for cell in (stamp.setup_cell(None), stamp.setup_cell(OURS)):
        assert len(cell.splitlines()) <= 20
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
    path = tree / "book/05_training.ipynb"
    notebook = json.loads(path.read_text("utf-8"))
    notebook["cells"][-1]["source"] += ["\n\n", LINKS]
    path.write_text(json.dumps(notebook), encoding="utf-8")
    for name, page in build(tree).items():
        assert "colab.research" not in page, name
        # What a page itself links to, such as the sources on the page of references, is no address of the book.
        own = re.sub(r'<a class="reference external"[^>]*>.*?</a>', "", page)
        assert not re.search(r"github\.com|gitlab\.com", own), name
    stamp.write(tree, OURS._replace(tag="1.10"))
    shutil.rmtree(tree / "_build")
    assert f"{stamp.COLAB}/github/someone/their-book/blob/1.10/book/03_" in (
        path.read_text("utf-8")
    )
    for name, page in build(tree).items():
        if name == "05_training.html":
            assert re.search(
                r'internal" href="03_layer_by_layer.html">.*chapter 3', page
            )
        buttons = set(re.findall(r'https://colab\.research[^"]*', page))
        if name[0].isdigit():
            ending = f"/book/{name.replace('.html', '.ipynb')}"
            assert buttons == {
                f"{stamp.COLAB}/github/someone/their-book/blob/1.10{ending}"
            }
        else:
            assert not buttons
