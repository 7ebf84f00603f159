"""Write the repository's public address into the book: `make stamp REPOSITORY=https://github.com/OWNER/NAME TAG=v0.1.0`.

The address lives in one place, `repository` in `_config.yml`. From there it goes into the setup cell of every chapter and
its links to other chapters, the badges of README and CITATION.cff. `make stamp` alone writes it there again, or that there
is none, when a chapter was added.
`python tools/stamp.py --remove` takes it out everywhere. Needs nothing but Python.

Taken are the addresses with which `make book` builds, at the hosts that its theme knows, and the tags that git and pip take.
All others are refused before a file changes.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import signal
import sys
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

ROOT = Path(__file__).resolve().parent.parent
ADDRESS = re.compile(
    r"https://([a-z0-9-]+(?:\.[a-z0-9-]+)*)/([\w.~-]+(?:/[\w.~-]+)*)",
    re.ASCII | re.IGNORECASE,
)
HOSTS = {
    "github": "github.com",
    "gitlab": "gitlab.com",
    "bitbucket": "bitbucket.org",
}
"""Word in a host's name by which the book's theme knows it: the public host."""
PAGES = re.compile(
    r".+\.(github\.com|gitlab\.com|bitbucket\.org)"
    r"|(.+\.)?((github|gitlab|bitbucket)\.(io|dev)|github(usercontent|1s)\.com)"
)
"""Hosts that show pages, and by which nobody should clone."""
NO_OWNER = {
    "github": "about|account|apps|codespaces|collections|contact|customer-stories|dashboard|enterprises?|events|explore"
    "|features|issues|join|login|marketplace|new|notifications|organizations|orgs|pricing|projects|pulls|readme|resources"
    "|search|security|sessions|settings|signup|site|solutions|sponsors|stars|team|topics|trending|users|watching",
    "gitlab": "admin|api|dashboard|explore|groups|help|import|oauth|profile|projects|public|s|search|snippets|uploads"
    "|users|v2",
    "bitbucket": "account|dashboard|projects|repo|site|snippets|users",
}
"""What stands before a host's own pages, and can be the name of no owner there."""
NO_PROJECT = re.compile(
    "-|activity|blame|blob|branches|commits?|compare|edit|find_file|graphs|issues|jobs|merge_requests"
    "|milestones|network|pipelines|raw|releases|snippets|tags|tree|wikis"
)
"""What GitLab writes after a repository's address; any other part is the name of a subgroup or of the repository."""
NO_TAG = re.compile(
    r"^$|[\0-\x20\x7f~^:?*[\\]|^[-/.]|[/.]$|//|\.\.|/\.|@\{|\.lock(/|$)|^HEAD$"
)
"""What git allows in no tag: the rules of `git check-ref-format`, and of `git tag`."""
GITHUB = "https://github.com/"
COLAB = "https://colab.research.google.com"
BEGIN = "# Written by `make stamp`: the one place that holds the address."
END = "# End of what `make stamp` wrote."
SETUP = {
    "mystnb": {"code_prompt_hide": "Setup", "code_prompt_show": "Setup"},
    "tags": ["hide-input"],
}
"""The setup cell's metadata, which folds it on a built page."""
CHAPTER_LINK = re.compile(r"\]\((?:https://[^()\s]*/book/)?(\d\d_\w+\.ipynb)\)")
BADGES = "<!-- `make stamp` writes the badges below this line. -->\n"


class Stamp(NamedTuple):
    """Where the library is installed from: the repository's address, and the tag that is installed."""

    url: str
    tag: str


def repository(url: str) -> str:
    """Return the address of a repository in one form: host in lower case, no `.git` and no slash at its end.

    Raises:
        ValueError: `make book` cannot build with it, or it is not the address of a repository; the message says which.
    """
    found = ADDRESS.fullmatch(url.rstrip("/").removesuffix(".git"))
    if not found:
        raise ValueError(
            "expected https://HOST/OWNER/NAME, with no user, port or query, "
            "as in https://github.com/OWNER/NAME"
        )
    host, parts = found[1].lower(), found[2].split("/")
    known = next((word for word in HOSTS if word in host), None)
    if known is None:
        raise ValueError(
            f"the book's theme does not know {host}, only github.com, gitlab.com, bitbucket.org "
            "and hosts with github, gitlab or bitbucket in their names. Push a copy to one of them"
        )
    if PAGES.fullmatch(host):
        raise ValueError(
            f"expected the repository itself, as in https://{HOSTS[known]}/OWNER/NAME, not {host}"
        )
    length = 2  # Of what names the repository.
    if known == "gitlab":  # In a group, a subgroup, a subgroup of that.
        ends = [n for n in range(2, len(parts)) if NO_PROJECT.fullmatch(parts[n])]
        length = ends[0] if ends else max(2, len(parts))
    elif known == "bitbucket" and parts[0] == "scm" and host != HOSTS[known]:
        length = 3
    nameless = {".", "..", "-", ".git"} & {*parts[:length]}
    no_owner = re.fullmatch(NO_OWNER[known], parts[0], re.IGNORECASE)
    if len(parts) < length or nameless or no_owner:
        raise ValueError(f"expected https://{host}/OWNER/NAME, an owner and a name")
    whole = f"https://{host}/{'/'.join(parts[:length])}"
    address = re.sub(r"(\.git)+$", "", whole)  # In which no host lets a name end.
    if len(parts) > length or address != whole:
        raise ValueError(f"that is not the repository itself. Name {address}")
    return address


def checked(url: str, tag: str) -> Stamp:
    """Return the stamp if the book can be built with this address and installed from this tag.

    Raises:
        ValueError: it cannot; the message names the one or the other.
    """
    try:
        address = repository(url)
    except ValueError as error:
        raise ValueError(f"REPOSITORY is {url!r}; {error}.") from None
    if NO_TAG.search(tag) or not tag.isprintable():
        raise ValueError(
            f"TAG is {tag!r}, which git does not allow or nobody can read. "
            "Name the tag that you set on the stamped commit, such as v0.1.0."
        )
    if re.search("[#%;@]", tag):
        raise ValueError(
            f"TAG is {tag!r}; the chapters install the library with pip, and before version 26 pip "
            "cannot read a tag with #, %, ; or @. Choose a tag without, such as v0.1.0."
        )
    return Stamp(address, tag)


def quoted(text: str) -> str:
    """Return the text between double quotes, as Python, YAML and JSON all read it: `1.10` stays text."""
    return json.dumps(text, ensure_ascii=False)


def read(config: str) -> Stamp | None:
    """Return the stamp in the text of `_config.yml`; None if there is none."""
    found = re.search(
        r"^repository:\n  url: (\S+)\n  branch: (\S+)\n", config, re.MULTILINE
    )
    if found is None:
        return None
    url, tag = (  # Earlier versions wrote both without quotes.
        json.loads(value) if value[0] == '"' else value.strip("'")
        for value in found.groups()
    )
    return Stamp(url, tag)


def setup_cell(stamp: Stamp | None) -> str:
    """Return the source of the setup cell, the same in every chapter: without the library it installs it, or says how."""
    # What remains of a library that was uninstalled, or any folder of its name, has no origin.
    look = 'found = importlib.util.find_spec("lenet5lib")'
    missing = [look, "if found is None or found.origin is None:"]
    if stamp is None:
        head = ["import importlib.util", "import sys", "", *missing]
        inside = [
            "    sys.exit(",
            '        "lenet5lib is not installed; this copy names no address to get it from.\\n"',
            '        "Take the whole project and run `make lab`: see its page book/running.md."',
            "    )",
        ]
    else:
        imports = ["importlib.util", "os", "subprocess", "sys"]
        library = quoted(f"lenet5lib @ git+{stamp.url}@{stamp.tag}")
        head = [*(f"import {name}" for name in imports), "", f"library = {library}"]
        head += missing
        inside = [
            '    kaggle = "KAGGLE_KERNEL_RUN_TYPE" in os.environ',
            '    hosted = kaggle or "google.colab" in sys.modules  # They have what it needs.',
            '    pip = [sys.executable, "-m", "pip", "install", "-qq"]',
            '    pip += ["--no-deps"] if hosted else []  # Elsewhere it takes some minutes.',
            "    if subprocess.run([*pip, library]).returncode:",
            '        sys.exit(f"{library}: not installed. Other ways: its book/running.md.")',
        ]
    last = ["", "from lenet5lib import notebook", ""]
    if stamp:  # A downloaded chapter may meet the library of another edition.
        cited = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
        version = re.findall(r"^version: (.*)$", cited, re.MULTILINE)[0]
        last[1] = "from lenet5lib import __version__, notebook"
        last += [
            f'if __version__ != "{version}":',
            f'    print(f"lenet5lib {{__version__}} is found; expected {version}. Install {{library}}")',
        ]
    return "\n".join([*head, *inside, *last, "notebook.setup()"])


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
        f"  url: {quoted(stamp.url)}",
        f"  branch: {quoted(stamp.tag)}",
        '  path_to_book: ""',
    ]
    if stamp.url.startswith(GITHUB):
        lines += ["launch_buttons:", f"  colab_url: {COLAB}"]
    return text + "\n" + "\n".join([*lines, END]) + "\n"


def readme(text: str, stamp: Stamp | None) -> str:
    """Return README with the badges of a repository on GitHub, or with none.

    Raises:
        ValueError: README lacks the line below which the badges stand.
    """
    before, line, rest = text.partition(BADGES)
    if not line:
        raise ValueError(
            f"expected the line {BADGES.strip()!r}, below which the badges stand. Put it back."
        )
    rest = re.sub(r"\A\[!\[.*\n", "", rest)
    if stamp is None or not stamp.url.startswith(GITHUB):
        return before + BADGES + rest
    tests = f"{stamp.url}/actions/workflows/tests.yml"
    tag = quote(stamp.tag, safe="/+")
    chapter = f"{stamp.url.removeprefix(GITHUB)}/blob/{tag}/book/01_digits.ipynb"
    badges = [
        f"[![Tests]({tests}/badge.svg)]({tests})",
        f"[![Open chapter 1 in Colab]({COLAB}/assets/colab-badge.svg)]({COLAB}/github/{chapter})",
    ]
    return before + BADGES + " ".join(badges) + "\n" + rest


def citation(text: str, stamp: Stamp | None) -> str:
    """Return CITATION.cff with the address at its end."""
    text = re.sub(r"^repository-code: .*\n", "", text, flags=re.MULTILINE)
    if stamp is None:
        return text
    return f"{text.rstrip()}\nrepository-code: {quoted(stamp.url)}\n"


def chapters_address(stamp: Stamp | None) -> str:
    """Return what stands before a chapter's file name in a link: "" in a copy without an address.

    With a repository on GitHub a link opens the next chapter in Colab, elsewhere the file's page at the host. Servers of
    Bitbucket, other than bitbucket.org, have the tag behind the file's name, and links stay between files there.
    """
    host = stamp.url.split("/")[2] if stamp else ""
    known = next((word for word in HOSTS if word in host), None)
    if stamp is None or known is None or "/scm/" in stamp.url:
        return ""
    tag = quote(stamp.tag, safe="/+")
    if stamp.url.startswith(GITHUB):
        return f"{COLAB}/github/{stamp.url.removeprefix(GITHUB)}/blob/{tag}/book/"
    page = {"github": "blob", "gitlab": "-/blob", "bitbucket": "src"}[known]
    return f"{stamp.url}/{page}/{tag}/book/"


def chapter(text: str, stamp: Stamp | None) -> str:
    """Return a chapter, as JSON text, with the setup cell in place of its first code cell, and its links to chapters.

    Raises:
        ValueError: the first code cell is not a setup cell.
    """
    notebook = json.loads(text)
    code = (cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    cell: dict = next(code, {"source": ""})
    source = "".join(cell["source"])
    if "notebook.setup()" not in source:
        raise ValueError(
            f"the first code cell is {source!r}; expected one that ends in notebook.setup(). Put the setup cell first."
        )
    cell["metadata"] = SETUP
    cell["source"] = setup_cell(stamp).splitlines(keepends=True)
    before = chapters_address(stamp)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            text = CHAPTER_LINK.sub(rf"]({before}\1)", "".join(cell["source"]))
            cell["source"] = text.splitlines(keepends=True)
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
    for path in changed:
        path.open(
            "r+"
        ).close()  # What cannot be written is found before anything is.
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
    try:
        known = read((root / "_config.yml").read_text(encoding="utf-8"))
        if options.remove:
            stamp = None
        elif options.repository or options.tag:
            # Python may have read the tag as ASCII.
            tag = options.tag.encode(errors="surrogateescape")
            stamp = checked(
                options.repository, tag.decode(errors="surrogateescape")
            )
        else:
            stamp = checked(*known) if known else None
        changed = write(root, stamp)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{len(changed)} files changed.", end=" ")
    if stamp:
        print(f"The address is {stamp.url} at {stamp.tag}.")
    else:
        print("The book has no address; give it one with REPOSITORY and TAG.")
    if stamp and stamp.url.startswith(GITHUB):
        print(
            "Each chapter has two buttons, which open it in Colab and download it;"
        )
        print("README has two badges, for the tests and for chapter 1 in Colab.")
    else:
        print("Each chapter has one button, which downloads it;")
        print("the button for Colab and README's badges need a github.com address.")
    return 0


if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):  # A tag may have any letters.
        sys.stdout.reconfigure(errors="backslashreplace")
    if hasattr(signal, "SIGPIPE"):  # Nothing is left to do once it prints.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main(sys.argv[1:]))
