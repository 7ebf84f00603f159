"""The book's own rules: what a chapter may hold, and that its outputs are really compared."""

import ast
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lenet5lib import arithmetic, plots, spec

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "book"
LIBRARY = ROOT / "lenet5lib"
CHAPTERS = sorted(BOOK.glob("[0-9]*.ipynb"))
PAGES = sorted(BOOK.glob("*.md"))
IGNORE = "nbval-ignore-output"
FOLDED = {
    "mystnb": {"code_prompt_hide": "Setup", "code_prompt_show": "Setup"},
    "tags": ["hide-input"],
}
TAGS = {IGNORE, "exercise", "hide-input", "hide-output", "measured"}
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def cells(path, kind="code"):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def source(cell):
    return "".join(cell["source"])


def tags(cell):
    return cell["metadata"].get("tags", [])


def stdout(cell):
    texts = [
        output["text"]
        for output in cell["outputs"]
        if output.get("name") == "stdout"
    ]
    return "".join("".join(text) for text in texts)


def without_code(text):
    """Return markdown without its code, fenced or in a line."""
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)


def slug(heading):
    """Return the anchor of a heading."""
    return re.sub(r"[^\w -]", "", heading.strip().lower()).replace(" ", "-")


EQUATIONS = {
    number
    for path in CHAPTERS
    for cell in cells(path, "markdown")
    for number in re.findall(r"\\tag\{(.*?)\}", source(cell))
}


def has_compared_output(cell):
    """Whether a cell stores an output that nbval compares and that says more than that a figure was drawn."""
    kinds = {kind for output in cell["outputs"] for kind in output.get("data", {})}
    return (
        IGNORE not in tags(cell)
        and (bool(stdout(cell)) or bool(kinds - {"image/png"}))
        and "image/png" not in kinds
    )


chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)


def test_the_toc_lists_every_chapter_once_and_every_page():
    listed = re.findall(
        r"(?:file|root): book/(\w+)$",
        (ROOT / "_toc.yml").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert sorted(listed) == sorted(
        path.stem for path in [*CHAPTERS, *BOOK.glob("*.md")]
    )


@chapter
def test_every_code_cell_was_run_in_order(path):
    assert [cell["execution_count"] for cell in cells(path)] == list(
        range(1, len(cells(path)) + 1)
    )


@chapter
def test_no_error_no_stderr_and_no_svg_is_stored(path):
    outputs = [output for cell in cells(path) for output in cell["outputs"]]
    assert not [
        output
        for output in outputs
        if output["output_type"] == "error" or output.get("name") == "stderr"
    ]
    assert not [
        output for output in outputs if "image/svg+xml" in output.get("data", {})
    ]
    assert "WARNING" not in "".join(stdout(cell) for cell in cells(path))


@chapter
def test_what_is_printed_in_a_row_is_one_output(path):
    for cell in cells(path):
        kinds = [output["output_type"] for output in cell["outputs"]]
        assert ("stream", "stream") not in itertools.pairwise(kinds), source(cell)


@chapter
def test_no_function_or_class_is_defined(path):
    defining = re.compile(r"^\s*(def|class|async def) |\blambda\b", re.MULTILINE)
    assert not [
        source(cell)
        for cell in cells(path)
        if "exercise" not in tags(cell) and defining.search(source(cell))
    ]


@chapter
def test_setup_cell_is_the_same_everywhere_and_folded_alone(path):
    setup, *others = cells(path)
    assert source(setup) == source(cells(CHAPTERS[0])[0])
    assert setup["metadata"] == FOLDED, "run make stamp"
    assert not [source(cell) for cell in others if "hide-input" in tags(cell)]


@chapter
def test_an_ignored_cell_is_followed_by_a_checked_claim(path):
    code = cells(path)
    for n, cell in enumerate(code):
        if IGNORE in tags(cell):
            following = code[n + 1]
            assert not tags(following), source(following)
            assert "notebook.claim(" in source(following)
            assert stdout(following).rstrip().endswith(": True")


@chapter
def test_every_stored_claim_holds(path):
    for cell in cells(path):
        if "notebook.claim(" in source(cell):
            lines = stdout(cell).splitlines()
            assert len(lines) == source(cell).count("notebook.claim(")
            assert all(line.endswith(": True") for line in lines)


@chapter
def test_kernel_and_lexer_are_right_and_nothing_else_is_stored(path):
    metadata = json.loads(path.read_text(encoding="utf-8"))["metadata"]
    language = {"name": "python", "pygments_lexer": "ipython3"}
    assert metadata == {"kernelspec": KERNEL, "language_info": language}


@chapter
def test_no_cell_calls_the_shell(path):
    commands = re.compile(r"^\s*[!%]|get_ipython\(|\bos\.system\(", re.MULTILINE)
    assert not [
        source(cell) for cell in cells(path) if commands.search(source(cell))
    ]


@chapter
def test_tags_are_known_and_a_cell_has_one_at_most(path):
    for cell in cells(path):
        assert len(tags(cell)) <= 1, source(cell)
        assert set(tags(cell)) <= TAGS, source(cell)
    assert not any(tags(cell) for cell in cells(path, "markdown"))


@chapter
def test_a_cell_tagged_measured_is_a_figure_and_there_is_one_at_most(path):
    measured = [cell for cell in cells(path) if "measured" in tags(cell)]
    assert len(measured) <= 1
    for cell in measured:
        kinds = {kind for output in cell["outputs"] for kind in output["data"]}
        assert kinds == {"image/png", "text/plain"}


@chapter
def test_exercises_are_tagged_and_nothing_else_checks_them(path):
    for cell in cells(path):
        assert ("exercise" in tags(cell)) == ("exercises.check(" in source(cell))


def test_at_most_one_cell_in_six_is_ignored():
    code = [cell for path in CHAPTERS for cell in cells(path)]
    ignored = [cell for cell in code if IGNORE in tags(cell)]
    assert 0 < len(ignored) <= len(code) / 6


def test_at_least_half_of_all_cells_store_an_output_that_is_compared():
    code = [cell for path in CHAPTERS for cell in cells(path)]
    assert sum(has_compared_output(cell) for cell in code) >= len(code) / 2


@chapter
def test_every_figure_has_alt_text_and_a_caption(path):
    for cell in cells(path):
        pictures = [
            output
            for output in cell["outputs"]
            if "image/png" in output.get("data", {})
        ]
        if pictures:
            assert len(cell["metadata"]["mystnb"]["image"]["alt"]) > 40
            assert len(cell["metadata"]["mystnb"]["figure"]["caption"]) > 40
            alt = cell["metadata"]["mystnb"]["image"]["alt"]
            assert all(
                picture["metadata"]["image/png"]["alt"] == alt
                for picture in pictures
            )


@chapter
def test_markdown_is_plain(path):
    text = "\n".join(source(cell) for cell in cells(path, "markdown"))
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1
    assert not re.search(r"^(```|:::)\{", text, re.MULTILINE)
    assert "![" not in text
    assert not re.search(r"!(?=\s|$)", text.replace("!=", "")), (
        "no exclamation marks"
    )


@chapter
def test_headings_go_down_by_one_level_and_the_first_is_the_title(path):
    text = "\n".join(source(cell) for cell in cells(path, "markdown"))
    levels = [
        len(marks)
        for marks in re.findall(r"^(#+) ", without_code(text), re.MULTILINE)
    ]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert source(cells(path, "markdown")[0]).startswith(
        f"# {int(path.stem[:2])} · "
    )


@chapter
def test_markdown_needs_nothing_beside_it_and_nothing_of_myst(path):
    text = without_code("\n".join(source(cell) for cell in cells(path, "markdown")))
    assert not re.search(r"\{[a-z:-]+\}`", text), "a MyST role"
    assert not re.search(r"^:::|^\+\+\+|^%|^\(.+\)=$", text, re.MULTILINE)
    assert not re.search(r"<(img|script|style|iframe|video|object)\b", text)
    there = [path.name for path in CHAPTERS]  # `make stamp` gives them an address.
    for target in re.findall(r"\]\(([^)]*)\)", text):
        known = target.startswith(("https://", "#")) or target in there
        assert known, f"Colab has no file {target}"


@pytest.mark.parametrize(
    "page",
    [
        *CHAPTERS,
        *sorted(BOOK.glob("*.md")),
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
    ],
    ids=lambda path: path.name,
)
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".ipynb":
        text = "\n".join(source(cell) for cell in cells(page, "markdown"))
    text = without_code(text)
    for target in re.findall(r"\]\(([^)\s]*)\)", text):
        if target.startswith("#"):
            headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
            assert target[1:] in [slug(heading) for heading in headings], target
        elif not target.startswith("https://"):
            assert (page.parent / target.partition("#")[0]).is_file(), target


@pytest.mark.parametrize(
    "page", [*CHAPTERS, *sorted(BOOK.glob("*.md"))], ids=lambda path: path.name
)
def test_chapters_and_equations_that_are_named_are_there(page):
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".ipynb":
        text = "\n".join(source(cell) for cell in cells(page, "markdown"))
    there = {int(path.stem[:2]) for path in CHAPTERS}
    for first, second in re.findall(
        r"\b[Cc]hapters? (\d+)(?: (?:and|to) (\d+))?", text
    ):
        assert {int(number) for number in (first, second) if number} <= there
    for number in re.findall(r"(?<![\w)])\((\d+\.\d+)\)", text):
        assert number in EQUATIONS, f"there is no equation ({number})"


def named_chapters(text: str) -> set[int]:
    """The chapters that a text names, in words, as an exercise's key or as a module."""
    lists = re.findall(
        r"\b[Cc]hapters?\s(\d{1,2}(?:(?:, | and |–| to )\d{1,2})*)\b", text
    )
    found = [number for one in lists for number in re.findall(r"\d+", one)]
    found += re.findall(r"chapter_(\d+)\b", text)
    found += re.findall(r"""(?:exercise|check|FOUND)\(\s*["'](\d\d)\.\d""", text)
    return set(map(int, found))


@pytest.mark.parametrize(
    "path",
    [
        path
        for pattern in ("lenet5lib/**/*.py", "tools/*.py", "benchmarks/*.py")
        for path in sorted(ROOT.glob(pattern))
    ]
    + [*sorted(ROOT.glob("*.md")), *sorted(BOOK.glob("_*/*.[jp][sy]")), *CHAPTERS],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_no_text_key_or_docstring_names_a_chapter_that_is_not_there(path):
    there = {int(path.stem[:2]) for path in CHAPTERS}
    assert named_chapters(path.read_text(encoding="utf-8")) <= there


@chapter
def test_equations_are_numbered_in_order(path):
    text = "\n".join(source(cell) for cell in cells(path, "markdown"))
    numbers = re.findall(r"\\tag\{(.*?)\}", text)
    assert numbers == [f"{int(path.stem[:2])}.{n + 1}" for n in range(len(numbers))]


@pytest.mark.parametrize("path", CHAPTERS + PAGES, ids=lambda path: path.stem)
def test_every_symbol_of_the_library_named_in_the_text_exists(path):
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        text = "\n".join(source(cell) for cell in cells(path, "markdown"))
    for module, name in re.findall(r"`(\w+)\.(\w+)`", text):
        sources = [*LIBRARY.rglob(f"{module}.py"), *LIBRARY.glob(f"{module}/*.py")]
        code = "\n".join(path.read_text(encoding="utf-8") for path in sources)
        if code and not (LIBRARY / module / f"{name}.py").exists():
            pattern = rf"^(def|class) {name}\b|^{name}\b"
            assert re.search(pattern, code, re.MULTILINE), f"{module}.{name}"


VOCABULARY = {
    r"\b(?:plain|block) form\b|\bon blocks\b|BlockForm|MNIST's form": "engine, format",
    r"\blaid out flat\b|\blaying out flat\b": "flattening",
    r"\brungs?\b|\bladders?\b": "step of a cumulative ablation",
    r"\bsixteen looks\b": "test-time augmentation, 16 views",
    r"\bshare right\b|\bhits\b": "accuracy, num_correct",
    r"\b(?:right|wrong) (?:answers?|class(?:es)?|digits?|images?|predictions?)\b": "correct, misclassified",
    r"\b(?:class|label) that is right\b": "correct class, label",
    r"\bnetwork's answers?\b|\banswers? of the network\b": "prediction",
    r"\bleast_(?:gain|rate)\b|\bStairs\b|\bPlateau\b": "min_delta, min_lr; Keras's schedules",
    r"\bSTEPS_A_CALL\b|\w_an?_(?:epoch|step|call)\b": "steps_per_execution, steps_per_epoch",
    r"\b(?:bytes?|epochs?|FLOP|lines?|numbers?|seconds?|steps?|weights?) an? "
    r"(?:byte|cell|digit|epoch|image|line|second|step)\b": "per, or for each",
    r"\baverage_decay\b|\btake_average\b|\baveraged weights\b": "EMA of the weights",
    r"\bUSUAL\b|\bfirst weights\b": "initial weights",
    r"\bPartialConv2D\b": "TableConv2D",
    r"\bhold_out\b": "stratified split",
    r"\bsums? before (?:an?|the|its) (?:activation|softmax|sigmoid)\b": "pre-activations, logits",
    r"\b(?:a|all|each|every|last|many|of|the|which|\d+|two|three|twelve) stops?\b|\bstops\s*=": "positions; to stop is fine",
    r"\(?height, width, maps\b|\bmaps, height, width\b": "channels, as an axis",
    r"\(digits, |\bnumber of digits in front\b": "batch, as an axis",
    r"\bwithout (?:a|the) network\b|\bon the network[.,;]": "internet connection; ours is a network too",
    r"\btrainings\b|\b[Aa] training(?=[.,;:)]| (?:as|can|goes|has|in|is|of|that|which|with)\b)": "training run",
    r"\bmend(?:s|ed)?\b": "fix",
    r"\bway (?:back|forward)\b": "forward pass, backward pass",
    r"\b95\s?% intervals?\b": "95 % confidence interval",
    r"\bdigests?\b": "checksum",
    r"\banew\b|\balike\b|\bof its own\b|\bshall\b": "not what a technical editor prints",
    r"\b[Ww]hoever\b(?! reports the best of them reports luck as skill)": "the one sentence apart",
    r"\bto hold on to\b|\bparameters has it\b|\b[Ff]rom before you\b": "not what a technical editor prints",
}
"""Words that the field has better ones for: what is written instead, or why only these forms are sought."""
OLD = [
    *(
        "in plain form",
        "laid out flat",
        "a rung higher",
        "sixteen looks",
        "share right",
    ),
    *(
        "two wrong digits",
        "the class that is right",
        "the network's answer",
        "least_rate",
    ),
    *(
        "steps_an_epoch",
        "one number a digit",
        "averaged weights",
        "the first weights",
    ),
    *("PartialConv2D", "hold_out", "the sum before the softmax", "at each stop"),
    *("stops = 3", "height, width, maps", "(digits, 28, 28)", "without a network."),
    *(
        "A training is kept",
        "the mend",
        "on the way back",
        "the 95 % interval",
        "a digest",
    ),
    *("drawn anew", "Whoever reads it", "How many parameters has it?"),
]
"""What `VOCABULARY` finds, at least a word for each of its patterns."""
FINE = """the right edge stops the window; training stops; a training set, a training run; a step a reader can take;
a 95 % confidence interval; the network answers; a network without a bias; in a new form;
Whoever reports the best of them reports luck as skill; feature maps of height 14"""


def test_old_words_are_found_and_false_friends_are_not():
    for text in OLD:
        assert any(re.search(pattern, text) for pattern in VOCABULARY), text
    for pattern in VOCABULARY:
        assert any(re.search(pattern, text) for text in OLD), pattern
        assert not re.search(pattern, FINE), pattern


NO_ARTICLE = ["01", "02", "03", "04", "draw", "notation"]
"""The pages that do not speak of the article; the cover introduces it, and its matters have a page."""


@pytest.mark.parametrize(
    "page",
    [
        *CHAPTERS[:4],
        *(
            BOOK / f"{name}.md"
            for name in ("draw", "glossary", "index", "notation", "running")
        ),
    ],
    ids=lambda path: path.name,
)
def test_the_words_are_those_of_the_field(page):
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".ipynb":
        both = cells(page, "markdown") + cells(page, "code")
        text = "\n".join(source(cell) for cell in both)
    sought = [*VOCABULARY]
    if page.name.startswith(tuple(NO_ARTICLE)):
        sought.append(r"\b[Tt]he article\b")
    found = [
        text[max(0, one.start() - 30) : one.end() + 20]
        for pattern in sought
        for one in re.finditer(pattern, text)
    ]
    assert found == []


def named(node):
    """Return the names that a statement at the top of a module defines."""
    targets = getattr(node, "targets", [node])
    return [getattr(one, "name", getattr(one, "id", "")) for one in targets]


def assumptions():
    """Return the place of each comment that begins with "Assumption": module.name, the last name defined up to there."""
    found = []
    for path in sorted(LIBRARY.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        tops = [node for node in ast.parse(text).body if any(named(node))]
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip().startswith("# Assumption"):
                node = [top for top in tops if top.lineno <= number][-1]
                found.append(f"{path.stem}.{named(node)[0]}")
    return found


def test_every_assumption_in_the_code_stands_on_its_page():
    page = (BOOK / "what_the_paper_does_not_say.md").read_text(encoding="utf-8")
    assert len(assumptions()) >= 8
    assert [place for place in assumptions() if f"`{place}`" not in page] == []


def test_every_source_shown_is_stored():
    shown = [
        cell
        for path in CHAPTERS
        for cell in cells(path)
        if "notebook.show_source(" in source(cell)
    ]
    assert len(shown) >= 15
    assert all(
        IGNORE not in tags(cell) and "text/plain" in cell["outputs"][0]["data"]
        for cell in shown
    )


def test_stored_outputs_come_from_mnist():
    loading = [
        cell
        for path in CHAPTERS
        for cell in cells(path)
        if "data.load_digits(" in source(cell)
    ]
    assert len(loading) >= 6
    assert all("Data: MNIST;" in stdout(cell) for cell in loading)


def test_the_drawing_on_the_cover_is_the_librarys():
    assert (BOOK / "images/network.svg").read_bytes() == plots.svg(
        plots.network(spec.LENET5)
    )


@pytest.mark.parametrize("page", ["README.md", "book/index.md"])
def test_totals_on_a_page_are_the_librarys(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert f"{sum(row.params for row in arithmetic.table(spec.LENET5)):,}" in text


def test_nothing_speaks_of_a_machine():
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if tracked.returncode:
        pytest.skip("not a git checkout")
    for name in tracked.stdout.split():
        text = (ROOT / name).read_bytes() if name != "tests/test_book.py" else b""
        assert not re.search(rb"/(work|root|home)/\w|/tmp/bash", text), name


def run_chapter(folder, chapter_name):
    """Run nbval on one chapter against the copy of the library in `folder`; return the exit code and what it printed."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--nbval",
        chapter_name,
    ]
    # Python puts PYTHONPATH before installed packages, an editable install included.
    environment = os.environ | {
        "PYTHONPATH": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.slow
def test_a_chapter_fails_when_its_library_function_changes_its_result(tmp_path):
    shutil.copytree(
        ROOT / "lenet5lib",
        tmp_path / "lenet5lib",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    shutil.copy(BOOK / "02_convolution.ipynb", tmp_path)
    code, printed = run_chapter(tmp_path, "02_convolution.ipynb")
    assert code == 0, printed
    broken = tmp_path / "lenet5lib/arithmetic.py"
    text = broken.read_text(encoding="utf-8")
    assert text.count("// s + 1") == 1
    broken.write_text(text.replace("// s + 1", "// s + 2"), encoding="utf-8")
    code, printed = run_chapter(tmp_path, "02_convolution.ipynb")
    assert code == 1, printed
    assert "CELL ERROR" in printed or "mismatch" in printed
