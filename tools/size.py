"""Print the size of the library beside its limits: `make size`.

Lines of code are lines without blank ones, comments and docstrings.
"""

import ast
import io
import json
import statistics
import subprocess
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
LIBRARY = ROOT / "lenet5lib"
NOT_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def code_lines(text: str) -> set[int]:
    """The numbers of the lines that hold code."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in NOT_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, *FUNCTIONS)) and (
            ast.get_docstring(node) is not None
        ):
            docstring = node.body[0]
            lines -= set(_span(docstring))
    return lines


def _span(node: ast.stmt) -> range:
    """The numbers of a statement's lines."""
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


def function_sizes(text: str) -> dict[str, int]:
    """The lines of code of each function that is not inside another, by name."""
    lines = code_lines(text)
    sizes = {}

    def visit(node, prefix=""):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, FUNCTIONS):
                sizes[prefix + child.name] = len(lines.intersection(_span(child)))
            elif isinstance(child, ast.ClassDef):
                visit(child, f"{prefix}{child.name}.")
            else:
                visit(child, prefix)

    visit(ast.parse(text))
    return sizes


def import_statements(
    tree: ast.Module, package: str
) -> Iterator[tuple[ast.stmt, list[str]]]:
    """Each statement of a source that imports, inside functions too, and the dotted names of what it may mean."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield node, [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".") if node.level else []
            base = base[: len(base) - node.level + 1] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            yield node, [start, *(f"{start}.{alias.name}" for alias in node.names)]


def imported(text: str, package: str) -> set[str]:
    """The library's modules that a source imports directly, as dotted names."""
    statements = import_statements(ast.parse(text), package)
    return {name for _, names in statements for name in names}


def modules() -> dict[str, Path]:
    """The library's modules by dotted name."""
    found = {}
    for path in sorted(LIBRARY.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def chapter_source(path: Path) -> str:
    """The code of a chapter's cells, without lines that are IPython's."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
    kept = [line for part in code for line in f"{part}\n".splitlines()]
    return "\n".join(
        line for line in kept if not line.lstrip().startswith(("%", "!", "?"))
    )


def chapter_modules(path: Path, known: dict[str, Path]) -> set[str]:
    """The library's modules that a chapter's own cells import; not a package of which they only import a module."""
    found = imported(chapter_source(path), "") & set(known)
    return {one for one in found if not any(n.startswith(f"{one}.") for n in found)}


def reached(start: set[str], known: dict[str, Path]) -> set[str]:
    """Those modules and all that they import, directly or not."""
    seen, left = set(), set(start)
    while left:
        name = left.pop()
        seen.add(name)
        package = (
            name if known[name].name == "__init__.py" else name.rpartition(".")[0]
        )
        text = known[name].read_text(encoding="utf-8")
        left |= (imported(text, package) & set(known)) - seen
    return seen - {"lenet5lib"}


def public_names(text: str) -> set[str]:
    """The functions and classes at a module's top level whose names begin without an underscore."""
    return {
        node.name
        for node in ast.parse(text).body
        if isinstance(node, (ast.ClassDef, *FUNCTIONS))
        and not node.name.startswith("_")
    }


def top_level() -> set[str]:
    """The entries at the top level of the library that git knows."""
    entries = subprocess.run(
        ["git", "ls-files"], cwd=LIBRARY, capture_output=True, text=True, check=True
    )
    return {line.split("/")[0] for line in entries.stdout.splitlines()}


def dependencies() -> list[str]:
    """What the library needs at run time."""
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return tomllib.loads(settings)["project"]["dependencies"]


def show(what: str, figure: float, limit: int | None = None) -> None:
    """Print a figure beside its limit."""
    bound = "" if limit is None else f"  of {limit:5,}"
    over = "  OVER" if limit is not None and figure > limit else ""
    print(f"{what:42}{figure:7,.0f}{bound}{over}")


def show_largest(what: str, sizes: dict[str, int], limit: int) -> None:
    """Print the largest of several sizes beside the limit, then all that are over it."""
    name = max(sizes, key=sizes.__getitem__)
    show(f"{what}: {name.removeprefix('lenet5lib.')}"[:41], sizes[name], limit)
    for name, size in sorted(sizes.items()):
        if size > limit:
            print(f"    over: {name} {size}")


def main() -> None:
    """Print every figure."""
    known = modules()
    texts = {name: path.read_text(encoding="utf-8") for name, path in known.items()}
    sizes = {name: len(code_lines(text)) for name, text in texts.items()}
    exercises = {name for name in known if ".exercises" in name}
    library = set(known) - exercises
    functions = {
        f"{name}.{function}": lines
        for name in known
        for function, lines in function_sizes(texts[name]).items()
    }
    chapters = sorted((ROOT / "book").glob("[0-9][0-9]_*.ipynb"))
    met = {path.stem: chapter_modules(path, known) for path in chapters}
    early = set().union(*(met[stem] for stem in met if int(stem[:2]) <= 10))
    first = {stem: len(found) for stem, found in met.items() if int(stem[:2]) <= 5}

    show("lines of code, without exercises", sum(sizes[n] for n in library), 5500)
    read = reached(early, known) - exercises
    show("reached from chapters 1 to 10", sum(sizes[n] for n in read), 3500)
    show_largest("largest module", sizes, 300)
    show_largest("longest function", functions, 40)
    show("median function", statistics.median(functions.values()), 12)
    show("entries at the top level", len(top_level()), 20)
    show_largest("modules imported by a chapter, 1 to 5", first, 7)
    show("lines of code of the exercises", sum(sizes[n] for n in exercises))
    show("modules, without exercises", len(library))
    show("functions and methods", len(functions))
    names = sum(len(public_names(texts[name])) for name in library)
    show("public functions and classes", names)
    show("dependencies", len(dependencies()))
    print("\nmodules imported by each chapter:")
    print("\n".join(f"{len(found):5} {stem}" for stem, found in met.items()))
    print("\nlines of code of each module:")
    print("\n".join(f"{size:5} {name}" for name, size in sorted(sizes.items())))


if __name__ == "__main__":
    main()
