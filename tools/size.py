"""The size of the library, in lines of code: without blank lines, comments and docstrings."""

import ast
import io
import statistics
import subprocess
import tokenize
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
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in NOT_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, *FUNCTIONS)) and (
            ast.get_docstring(node) is not None
        ):
            docstring = node.body[0]
            lines -= set(range(docstring.lineno, docstring.end_lineno + 1))
    return lines


def function_sizes(text: str) -> dict[str, int]:
    """The lines of code of each function that is not inside another, by name."""
    lines = code_lines(text)
    sizes = {}

    def visit(node, prefix=""):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, FUNCTIONS):
                span = range(child.lineno, child.end_lineno + 1)
                sizes[prefix + child.name] = len(lines.intersection(span))
            elif isinstance(child, ast.ClassDef):
                visit(child, f"{prefix}{child.name}.")
            else:
                visit(child, prefix)

    visit(ast.parse(text))
    return sizes


def imported(text: str, package: str) -> set[str]:
    """The library's modules that a source imports directly, as dotted names."""
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".") if node.level else []
            base = base[: len(base) - node.level + 1] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            names.update(
                {start, *(f"{start}.{alias.name}" for alias in node.names)}
            )
    return names


def modules() -> dict[str, Path]:
    """The library's modules by dotted name."""
    found = {}
    for path in sorted(LIBRARY.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def chapter_source(path: Path) -> str:
    """The code of a chapter's cells, without lines that are IPython's."""
    import json

    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
    kept = [line for part in code for line in f"{part}\n".splitlines()]
    return "\n".join(
        line for line in kept if not line.lstrip().startswith(("%", "!", "?"))
    )


def chapter_modules(path: Path, known: dict[str, Path]) -> set[str]:
    """The library's modules that a chapter's own cells import."""
    return imported(chapter_source(path), "") & set(known) - {"lenet5lib"}


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


def main() -> None:
    known = modules()
    texts = {name: path.read_text(encoding="utf-8") for name, path in known.items()}
    sizes = {name: len(code_lines(text)) for name, text in texts.items()}
    functions = {
        f"{name}.{function}": lines
        for name, text in texts.items()
        for function, lines in function_sizes(text).items()
    }
    exercises = {name for name in known if ".exercises" in name}
    library = set(known) - exercises
    chapters = sorted((ROOT / "book").glob("[0-9][0-9]_*.ipynb"))
    early = [path for path in chapters if int(path.name[:2]) <= 10]
    met = reached(
        set().union(*(chapter_modules(path, known) for path in early)), known
    )
    entries = subprocess.run(
        ["git", "ls-files"], cwd=LIBRARY, capture_output=True, text=True, check=True
    )
    top = {line.split("/")[0] for line in entries.stdout.splitlines()}

    print(f"lines of code, without exercises  {sum(sizes[n] for n in library):6,}")
    print(
        f"lines of code of exercises        {sum(sizes[n] for n in exercises):6,}"
    )
    print(
        f"reached from chapters 1 to 10     {sum(sizes[n] for n in met - exercises):6,}"
    )
    print(f"modules, without exercises        {len(library):6,}")
    print(f"entries at the top level          {len(top):6,}")
    print(f"functions                         {len(functions):6,}")
    print(
        f"median lines of a function        {statistics.median(functions.values()):6.0f}"
    )
    print(f"modules over 300: {[f'{n} {s}' for n, s in sizes.items() if s > 300]}")
    print(
        f"functions over 40: {[f'{n} {s}' for n, s in functions.items() if s > 40]}"
    )
    for path in chapters:
        count = len(chapter_modules(path, known))
        print(f"modules imported by {path.name}: {count}")
    print("\n".join(f"{s:5} {n}" for n, s in sorted(sizes.items())))


if __name__ == "__main__":
    main()
