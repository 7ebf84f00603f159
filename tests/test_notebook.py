"""What the chapters call: sources, errors, claims and tables, inside a notebook and outside of one."""

import os
import shlex
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lenet5lib import arithmetic, data, models, notebook, plots, records, spec
from lenet5lib.data import mnist
from lenet5lib.loops import backward, forward, plain, update
from lenet5lib.spec import LENET5, LENET5_32
from lenet5lib.studies import article


@pytest.fixture
def shown(monkeypatch):
    """Return the list of what was displayed, as (text, other representation)."""
    found = []

    def display(data, raw):
        assert raw
        found.append(
            (
                data["text/plain"],
                next(value for kind, value in data.items() if kind != "text/plain"),
            )
        )

    monkeypatch.setattr(notebook, "display", display)
    return found


def documented(x):
    """Explain.

    At length.
    """
    return x + 1


def with_formula(x):
    """Return the successor, with a sentence that is so long that it does not fit into one line of a page.

    The formula:

        f(x) = x + 1
        f(0) = 1

    Args:
        x: a number.

    Source: chapter 1,
    equation (1.1).
    """
    return x + 1


def undocumented(x):
    return "a string that is no docstring" * x


def test_show_source_names_the_module_and_shortens_the_docstring(shown):
    notebook.show_source(documented)
    expected = '# test_notebook.py\ndef documented(x):\n    """Explain."""\n    return x + 1'
    assert shown == [(expected, f"```python\n{expected}\n```")]


def test_show_source_keeps_formula_and_source_and_wraps_long_lines(shown):
    notebook.show_source(with_formula)
    assert shown[0][0].splitlines()[1:] == [
        "def with_formula(x):",
        '    """Return the successor, with a sentence that is so long that it does not fit',
        "    into one line of a page.",
        "",
        "        f(x) = x + 1",
        "        f(0) = 1",
        "",
        "    Source: chapter 1, equation (1.1).",
        '    """',
        "    return x + 1",
    ]


def test_show_source_keeps_a_function_without_a_docstring_whole(shown):
    notebook.show_source(undocumented)
    assert shown[0][0].endswith(
        'def undocumented(x):\n    return "a string that is no docstring" * x'
    )


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (arithmetic.output_size, "arithmetic"),
        (models.build, "models/build"),
        (spec.pair, "spec"),
        (article.ArticleLeNet5.build, "studies/article"),
        (article.ArticleLeNet5, "studies/article"),
        (plots.curves, "plots/lines"),
        (forward.convolve, "loops/forward"),
        (backward.convolve_weights, "loops/backward"),
        (update.adam, "loops/update"),
        (plain.forward, "loops/plain"),
    ],
)
def test_show_source_shows_functions_methods_and_classes_of_the_library(
    function, name, shown
):
    notebook.show_source(function)
    first, *rest = shown[0][0].splitlines()
    assert first == f"# lenet5lib/{name}.py"
    whole = Path(f"{Path(spec.__file__).parent / name}.py").read_text(
        encoding="utf-8"
    )
    assert all(line.replace('"""', "").strip() in whole for line in rest)
    assert rest[0].startswith(("def ", "class ", "@"))
    assert " ".join(rest).count('"""') >= 2
    assert "Args:" not in rest
    assert not rest[-1].startswith(" " * 40)


def test_show_error_prints_the_kind_and_the_text(capsys):
    notebook.show_error(arithmetic.output_size, 3, 5)
    printed = capsys.readouterr().out
    with pytest.raises(ValueError, match="kernel_size 5") as caught:
        arithmetic.output_size(3, 5)
    assert " ".join(printed.split()) == f"ValueError: {caught.value}"
    assert len(printed.splitlines()) > 1
    assert max(len(line) for line in printed.splitlines()) <= 84


def test_show_error_prints_an_unknown_name_too(capsys):
    notebook.show_error(arithmetic.receptive_field, LENET5, layer_name="C9")
    assert "KeyError" in capsys.readouterr().out


def test_show_error_says_so_if_there_was_none(capsys):
    notebook.show_error(arithmetic.output_size, 28, kernel_size=5)
    assert capsys.readouterr().out == "No error.\n"


def test_show_error_lets_other_kinds_of_errors_pass():
    with pytest.raises(TypeError):
        notebook.show_error(arithmetic.output_size)


def test_error_text_writes_the_folder_of_the_runs_as_runs(monkeypatch, tmp_path):
    monkeypatch.setattr(mnist, "loaded_name", "MNIST")
    monkeypatch.setenv("LENET5_RUNS", str(tmp_path))

    def refuse():
        raise ValueError(f"{tmp_path / 'first'} holds another run")

    assert notebook.error_text(refuse) == "ValueError: runs/first holds another run"
    assert notebook.error_text(lambda: None) == ""


@pytest.mark.parametrize(
    ("condition", "printed"),
    [(True, "True"), (np.bool_(True), "True"), (0, "False"), ([], "False")],
)
def test_claim_prints_whether_it_holds(condition, printed, capsys):
    notebook.claim("the claim", condition)
    assert capsys.readouterr().out == f"the claim: {printed}\n"


def test_run_dir_stands_beside_the_chapter_unless_told_otherwise(
    monkeypatch, tmp_path
):
    monkeypatch.setattr(mnist, "loaded_name", "MNIST")
    monkeypatch.delenv("LENET5_RUNS", raising=False)
    assert notebook.run_dir("first") == Path("runs/first")
    monkeypatch.setenv("LENET5_RUNS", str(tmp_path))
    assert notebook.run_dir("first") == tmp_path / "first"


@pytest.mark.parametrize(
    "architecture", [LENET5, LENET5_32], ids=["28×28", "32×32"]
)
def test_layer_table_ends_with_the_totals(architecture):
    table = notebook.layer_table(architecture)
    assert list(table.columns) == [
        "kind",
        "output shape",
        "parameters",
        "connections",
        "MACs",
        "receptive field",
    ]
    assert list(table.index) == [
        *(layer.name for layer in architecture.layers),
        "Total",
    ]
    assert table.loc["Total"].tolist() == ["", "", 61_706, 429_342, 416_520, ""]
    assert table.loc["C3"].tolist() == [
        "convolution",
        "10×10×16",
        2_416,
        241_600,
        240_000,
        "14×14",
    ]


@pytest.mark.parametrize(
    ("loaded", "folder"),
    [
        ("MNIST", ""),
        (data.STAND_IN, "stand-in"),
        ("the file my digits.npz", "the file my digits.npz"),
        ("the folder ../a:b", "the folder .. a b"),
        ("…", "data"),
    ],
)
def test_runs_on_other_data_are_kept_apart_and_named_alike(
    monkeypatch, tmp_path, loaded, folder
):
    monkeypatch.setenv("LENET5_RUNS", str(tmp_path))
    monkeypatch.setattr(mnist, "loaded_name", loaded)
    assert notebook.run_dir("first") == tmp_path / folder / "first"

    def refuse():
        raise ValueError(f"{notebook.run_dir('first')} holds another run")

    assert notebook.error_text(refuse) == "ValueError: runs/first holds another run"


def test_the_data_loaded_last_decides_where_runs_are_kept(monkeypatch):
    monkeypatch.setattr(mnist, "loaded_name", "MNIST")
    data.load_digits("stand-in", report=None)
    assert notebook.run_dir("first").parent.name == "stand-in"


TABLE = pd.DataFrame(
    {
        "count": [1_234_567, 89],
        "share": [0.123456, 0.5],
        "word": ["one", "two"],
        "whole": [True, False],
    },
    index=pd.Index(["a", "b"], name="layer"),
)


def test_show_separates_thousands_and_rounds_fractions(shown):
    notebook.show(TABLE)
    text, html = shown[0]
    for written in (text, html):
        for cell in (
            "1,234,567",
            "89",
            "0.1235",
            "0.5000",
            "one",
            "True",
            "False",
            "layer",
            "count",
        ):
            assert cell in written
    assert html.startswith("<table")
    assert text.splitlines()[-1].split() == ["b", "89", "0.5000", "two", "False"]


def test_show_takes_the_number_of_decimals(shown):
    notebook.show(TABLE, decimals=1)
    assert "0.1 " in shown[0][0]
    assert "0.12" not in shown[0][0]


def test_show_leaves_cells_without_a_value_empty(shown):
    table = pd.DataFrame(
        {"derived": [1, None], "built": [None, 2_000]},
        dtype="Int64",
        index=["C1", "Total"],
    )
    notebook.show(table)
    assert "NA" not in shown[0][0]
    assert shown[0][0].splitlines()[-1].split() == ["Total", "2,000"]
    notebook.show(pd.DataFrame({"loss": [0.25, float("nan")], "name": ["x", None]}))
    assert shown[1][0].splitlines()[-1].split() == ["1"]


def test_show_escapes_text_in_the_page(shown):
    notebook.show(pd.DataFrame({"text": ["<b>bold</b>"]}))
    assert "&lt;b&gt;" in shown[0][1]


def test_show_leaves_its_table_alone(shown):
    before = TABLE.copy()
    notebook.show(TABLE)
    pd.testing.assert_frame_equal(TABLE, before)


def test_show_writes_a_layer_table_and_a_table_with_numbers_as_names(shown):
    notebook.show(notebook.layer_table(LENET5))
    assert shown[0][0].splitlines()[-1].split() == [
        "Total",
        "61,706",
        "429,342",
        "416,520",
    ]
    matrix = pd.DataFrame(
        [[1_000, 2], [3, 4]],
        pd.Index([0, 1], name="label"),
        pd.Index([0, 1], name="answer"),
    )
    notebook.show(matrix)
    assert shown[1][0].splitlines()[-1].split() == ["1", "3", "4"]
    assert "1,000" in shown[1][1]


def test_everything_can_be_called_outside_a_notebook():
    code = (
        "from lenet5lib import arithmetic, notebook, spec\n"
        "notebook.setup()\n"
        "notebook.show_source(arithmetic.params)\n"
        "notebook.show_error(arithmetic.output_size, 3, 5)\n"
        "notebook.claim('three networks by name', len(spec.ARCHITECTURES) == 3)\n"
        "notebook.show(notebook.layer_table(spec.LENET5))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    for expected in (
        "lenet5lib/arithmetic.py",
        "ValueError: kernel_size 5",
        "three networks by name: True",
        "61,706",
    ):
        assert expected in result.stdout
    assert result.stderr == ""


def test_setup_inside_ipython_draws_inline_and_keeps_quiet():
    code = (
        "from IPython.terminal.interactiveshell import TerminalInteractiveShell\n"
        "TerminalInteractiveShell.instance()\n"
        "import os, logging, warnings\n"
        "os.environ.pop('TF_CPP_MIN_LOG_LEVEL', None)\n"
        "from lenet5lib import notebook\n"
        "notebook.setup()\n"
        "import matplotlib\n"
        "print(matplotlib.get_backend(), os.environ['TF_CPP_MIN_LOG_LEVEL'], logging.getLogger('tensorflow').level)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    backend, level, logged = result.stdout.split()[-3:]
    assert "inline" in backend
    assert (level, logged) == ("3", "40")


def test_setup_prints_nothing_outside_colab(capsys):
    notebook.setup()
    assert capsys.readouterr() == ("", "")


def test_setup_prints_one_line_in_colab(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "google.colab", sys)
    notebook.setup()
    (line,) = capsys.readouterr().out.splitlines()
    assert line == notebook.environment()
    for name in ("lenet5lib", "TensorFlow", "Keras", "Python"):
        assert f"{name} " in line
    assert line.endswith(("device: CPU", "device: GPU"))


def test_a_runtime_without_tensorflow_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    said = notebook.environment()
    assert said.startswith("This runtime has no ")
    assert "Choose another runtime type" in said


def test_runs_are_kept_on_drive_in_colab_only(monkeypatch):
    monkeypatch.setenv("LENET5_RUNS", "elsewhere")
    with pytest.raises(ValueError, match=r"expected .* Colab.*LENET5_RUNS"):
        notebook.keep_on_drive()
    mounted = []
    colab = types.ModuleType("google.colab")
    colab.drive = types.SimpleNamespace(mount=mounted.append)
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    monkeypatch.setattr(mnist, "loaded_name", "MNIST")
    notebook.keep_on_drive()
    assert mounted == ["/content/drive"]
    assert notebook.run_dir("a") == Path("/content/drive/MyDrive/lenet5-runs/a")


def test_what_c_code_writes_to_stderr_is_dropped_and_errors_are_not(capfd):
    def fail():
        with notebook._without_stderr():
            os.write(2, b"within\n")
            raise ZeroDivisionError

    os.write(2, b"before\n")
    with pytest.raises(ZeroDivisionError):
        fail()
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "before\nafter\n"


def test_a_command_line_is_shown_whole_and_a_shell_reads_the_same(capsys):
    for run in records.table("runs").to_dict("records")[::20]:
        notebook.show_command(run["command"], width=84)
        shown = capsys.readouterr().out
        assert max(map(len, shown.splitlines())) <= 84
        words = shlex.split(shown.replace("\\\n", ""))
        expected = shlex.split(run["command"])
        assert [" ".join(word.split()) for word in words] == expected
