"""What the library's modules may import: only what stands above them in `ORDER`, and nothing heavy where none is needed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import size

import lenet5lib

LIBRARY = Path(lenet5lib.__file__).parent

ORDER = [
    "files",
    "_checks",
    "_keras",
    "spec",
    "arithmetic",
    "training.losses",
    "training.schedules",
    "training.recipe",
    "records",
    "data.formats",
    "data.splits",
    "data.readers",
    "data.standin",
    "data.mnist",
    "data.inputs",
    "data.pictures",
    "data",
    "lenet1998.codes",
    "lenet1998.paper",
    "loops.first",
    "loops.philox",
    "loops.initial",
    "loops.compiled",
    "loops.parallel",
    "loops.forward",
    "loops.backward",
    "loops.operations",
    "loops.plan",
    "loops.update",
    "loops.network",
    "loops.trainer",
    "loops.plain",
    "loops.steps",
    "lenet1998.layers",
    "lenet1998.optimizer",
    "training.augment",
    "models.build",
    "models.confirm",
    "models.plain",
    "models",
    "training.engine",
    "training.weights_file",
    "training.checkpoint",
    "training.step",
    "training.keras_engine",
    "training.loops_engine",
    "training.folder",
    "training.loop",
    "evaluation",
    "cli.reading",
    "plots.style",
    "plots.images",
    "plots.architecture",
    "plots.maps",
    "plots.lines",
    "plots.backwards",
    "plots.statistics",
    "plots.speed",
    "plots",
    "studies.article",
    "studies.learned_kernel",
    "studies.backwards",
    "studies.inside",
    "studies.learning_rate",
    "studies.first_steps",
    "studies.plain_resume",
    "studies.resuming",
    "studies.symmetry",
    "studies.ablation",
    "studies.roofline",
    "studies.speedrun",
    "exercises",
    "notebook",
    "cli.options",
    "cli",
    "__main__",
]
"""The library's modules; each may import those before it, and a package's `__init__` counts by the package's name."""

EMPTY = {"lenet1998", "loops", "recorded", "studies", "training", ""}
"""Packages whose `__init__` holds a docstring and imports nothing."""

WITH_TENSORFLOW = {
    "_keras",
    *("lenet1998.layers", "lenet1998.optimizer", "models.build", "models.confirm"),
    *("models.plain", "models", "training.step", "training.keras_engine"),
    *("studies.article", "studies.first_steps", "studies.plain_resume"),
    "studies.learning_rate",
    "studies.resuming",
    "studies.symmetry",
}
"""Modules that load TensorFlow or Keras when they are imported; all others load it when a function needs it."""

HEAVY = {
    *("numpy", "pandas", "tensorflow", "keras", "matplotlib", "scipy", "sklearn"),
    *("IPython", "PIL", "h5py", "numba", "tqdm", "filelock"),
}


def module_name(path: Path) -> str:
    """A file's module, without the library's name."""
    parts = path.relative_to(LIBRARY).with_suffix("").parts
    if parts[0] == "exercises":
        return "exercises"
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = [(module_name(path), path) for path in sorted(LIBRARY.rglob("*.py"))]
KNOWN = {name for name, _ in SOURCES} - {""}


def imports(path: Path) -> tuple[set[str], set[str]]:
    """What a file imports at its top or inside functions: (modules of the library, packages that it loads at its top)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside, outside = set(), set()
    for node, names in size.import_statements(tree, ""):
        own = [name.removeprefix("lenet5lib.") for name in names]
        found = [name for name in own if name in KNOWN]
        inside.update(found[-1:] if len(found) > 1 and len(names) == 2 else found)
        if node in tree.body:
            outside.update(name.partition(".")[0] for name in names[:1])
    return inside - EMPTY, outside


def test_the_order_names_every_module_and_nothing_else():
    assert len(ORDER) == len(set(ORDER))
    assert set(ORDER) == KNOWN - EMPTY
    assert set(ORDER) >= WITH_TENSORFLOW


@pytest.mark.parametrize(("name", "path"), SOURCES, ids=lambda value: str(value))
def test_imports_run_only_downwards(name, path):
    inside, outside = imports(path)
    if name in EMPTY:
        assert not inside
        return
    before = set(ORDER[: ORDER.index(name)])
    assert inside - {name} <= before
    if name not in WITH_TENSORFLOW:
        assert not outside & {"keras", "tensorflow"}


def test_the_reader_of_imports_sees_imports_inside_functions_too():
    inside, _ = imports(LIBRARY / "cli/__init__.py")
    assert {"spec", "training.loop", "plots"} <= inside


def loaded(module: str) -> set[str]:
    """The packages that importing a module of the library loads."""
    code = f"import sys, {module}; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stderr == ""
    return {name.partition(".")[0] for name in result.stdout.split()}


@pytest.mark.parametrize("module", ["arithmetic", "cli", "spec"])
def test_counting_and_the_command_line_load_nothing_heavy(module):
    assert not loaded(f"lenet5lib.{module}") & HEAVY


@pytest.mark.parametrize(
    "module", ["lenet1998.codes", "loops.plain", "plots", "training.loop"]
)
def test_drawing_loops_and_training_by_them_need_no_tensorflow(module):
    names = loaded(f"lenet5lib.{module}")
    assert not names & {"tensorflow", "keras", "IPython"}
