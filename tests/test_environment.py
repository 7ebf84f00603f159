"""The environment: one list of versions, every one pinned and hashed, and what Colab brings is enough."""

import importlib.util
import os
import re
import runpy
import shutil
import subprocess
import tempfile
import tomllib
import warnings
from importlib import metadata
from pathlib import Path, PurePosixPath
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")

COLAB = {
    "tensorflow": "2.20.0",
    "keras": "3.13.2",
    "numba": "0.61.2",
    "numpy": "2.1.3",
    "matplotlib": "3.10.0",
    "pandas": "2.2.3",
    "scikit-learn": "1.6.1",
    "ipython": "7.34.0",
    "ipykernel": "6.17.1",
    "h5py": "3.16.0",
    "pillow": "11.3.0",
    "scipy": "1.16.3",
    "filelock": "3.32.7",
    "platformdirs": "4.11.15",
    "tqdm": "4.67.3",
}
"""What a Colab notebook finds installed."""


def entries(text: str) -> list[str]:
    """Return the entries of a requirements file: comments left out, continued lines joined."""
    lines = [
        line for line in text.splitlines() if not line.lstrip().startswith("#")
    ]
    return [
        " ".join(entry.split())
        for entry in "\n".join(lines).replace("\\\n", " ").splitlines()
        if entry.strip()
    ]


LOCK_TEXT = (ROOT / "requirements.txt").read_text(encoding="utf-8")
LOCK_ENTRIES = entries(LOCK_TEXT)
COLAB_LISTS = ROOT / "tools/colab"
LISTS = {"requirements": LOCK_TEXT} | {
    path.stem: path.read_text(encoding="utf-8")
    for path in sorted(COLAB_LISTS.glob("*.txt"))
}
"""Every list of versions, by the name of its file; those in tools/colab are for `make colab` and `make newest`."""


def locked() -> dict[str, set[Version]]:
    """Return the versions that the lock holds of each package; several where they differ by Python or system."""
    versions: dict[str, set[Version]] = {}
    for entry in LOCK_ENTRIES:
        requirement = Requirement(entry.split(" --hash")[0])
        (specifier,) = requirement.specifier
        versions.setdefault(canonicalize_name(requirement.name), set()).add(
            Version(specifier.version)
        )
    return versions


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]


def lower_bounds() -> dict[str, SpecifierSet]:
    """Return what pyproject.toml asks of each package."""
    requirements = map(Requirement, project()["dependencies"])
    return {
        canonicalize_name(requirement.name): requirement.specifier
        for requirement in requirements
    }


@pytest.mark.parametrize("name", LISTS)
def test_every_requirement_of_a_list_is_pinned_and_hashed(name):
    assert len(entries(LISTS[name])) > 50
    for entry in entries(LISTS[name]):
        requirement, *hashes = entry.split(" --hash")
        specifiers = list(Requirement(requirement).specifier)
        assert [specifier.operator for specifier in specifiers] == ["=="], entry
        assert "*" not in specifiers[0].version, entry
        assert hashes, f"{requirement} has no hash"
        assert all(HASH.fullmatch(f"--hash{rest}") for rest in hashes), entry


@pytest.mark.parametrize("name", LISTS)
def test_a_list_names_no_index_no_host_and_no_folder(name):
    rest = HASH.sub("", LISTS[name])
    for word in (
        "://",
        "--index",
        "--extra-index",
        "--find-links",
        "--trusted-host",
        "-e ",
        "--editable",
        "file:",
        " @ ",
    ):
        assert word not in rest, word
    assert not re.search(r"^\s*-", rest.replace("--hash", ""), re.MULTILINE)
    assert not re.search(r"\w\.(com|org|io|net|local)\b", rest)


def test_the_lock_holds_a_package_once_for_each_python_and_system():
    plain = [Requirement(entry.split(" --hash")[0]) for entry in LOCK_ENTRIES]
    without_marker = [
        canonicalize_name(requirement.name)
        for requirement in plain
        if requirement.marker is None
    ]
    assert len(without_marker) == len(set(without_marker))
    for name, versions in locked().items():
        if len(versions) > 1:
            assert name not in without_marker, name


def test_the_lock_keeps_what_is_asked_for():
    asked = [
        Requirement(entry)
        for entry in entries((ROOT / "requirements.in").read_text(encoding="utf-8"))
    ]
    assert {"tensorflow", "keras", "numpy"} <= {
        requirement.name for requirement in asked if requirement.specifier
    }
    for requirement in asked:
        versions = locked()[canonicalize_name(requirement.name)]
        for version in versions:
            assert requirement.specifier.contains(version), (
                f"{requirement}: the lock holds {version}"
            )
        for specifier in requirement.specifier:
            if specifier.operator == "==":
                assert versions == {Version(specifier.version)}


def test_make_colab_runs_on_colabs_own_versions():
    held = dict(
        entry.split(" ")[0].split("==") for entry in entries(LISTS["colab"])
    )
    assert COLAB.items() <= held.items()


@pytest.mark.parametrize("name", ["tensorflow", "keras"])
def test_make_newest_runs_on_newer_versions_than_colabs(name):
    held = dict(
        entry.split(" ")[0].split("==") for entry in entries(LISTS["newest"])
    )
    assert Version(held[name]) > Version(COLAB[name])


def test_the_lock_and_colab_satisfy_what_the_library_asks_for():
    bounds = lower_bounds()
    assert set(bounds) == set(COLAB) - {"ipykernel"}
    for name, bound in bounds.items():
        assert {specifier.operator for specifier in bound} == {">="}, (
            "lower bounds only, or Colab would reinstall"
        )
        assert bound.contains(COLAB[name]), (
            f"{name}{bound}: Colab has {COLAB[name]}"
        )
        for version in locked()[name]:
            assert bound.contains(version), f"{name}{bound}: the lock has {version}"


@pytest.mark.parametrize(
    "name", ["tensorflow", "keras", "numpy", "matplotlib", "pandas", "scikit-learn"]
)
def test_what_decides_the_results_is_colabs_own_version(name):
    assert locked()[name] == {Version(COLAB[name])}


def test_environment_yml_only_points_at_the_lock():
    lines = [
        line
        for line in (ROOT / "environment.yml")
        .read_text(encoding="utf-8")
        .splitlines()
        if line.strip()
    ]
    lines = [line.rstrip() for line in lines if not line.lstrip().startswith("#")]
    keys = [line.split(":")[0] for line in lines if not line.startswith(" ")]
    assert keys == ["name", "channels", "dependencies"]
    channels = lines[lines.index("channels:") + 1 : lines.index("dependencies:")]
    assert [line.strip(" -") for line in channels] == ["conda-forge"]
    items = [
        line.strip().removeprefix("- ")
        for line in lines[lines.index("dependencies:") + 1 :]
    ]
    assert items[1:] == ["pip", "pip:", "-r requirements.txt"]
    assert items[0].startswith("python")
    assert not any("==" in line or re.search(r"\w=\d", line) for line in items), (
        "versions stand in requirements.txt only"
    )


def test_environment_yml_takes_the_pythons_that_the_library_takes():
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    pythons = SpecifierSet(re.search(r"- python(.*)", text)[1])
    asked = SpecifierSet(project()["requires-python"])
    assert [minor for minor in range(8, 20) if pythons.contains(f"3.{minor}")] == [
        11,
        12,
        13,
    ]
    assert not asked.contains("3.10")
    assert all(asked.contains(f"3.{minor}") for minor in (11, 12, 13))


def installed(name: str) -> str | None:
    """Return the version of a package in the running environment, None where it is missing."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def test_the_tests_run_in_what_the_lock_describes():
    """Colab's environment and a reader's own are not made from the lock; what builds the book is."""
    if installed("jupyter-book") is None:
        pytest.skip("this environment was not made from requirements.txt")
    differing = {}
    for entry in LOCK_ENTRIES:
        requirement = Requirement(entry.split(" --hash")[0])
        if requirement.marker is None or requirement.marker.evaluate():
            version = installed(requirement.name)
            if version is None or not requirement.specifier.contains(
                version, prereleases=True
            ):
                differing[str(requirement)] = version
    assert differing == {}


def test_every_record_of_the_book_goes_into_the_package():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["lenet5lib"]
    library = ROOT / "lenet5lib"
    names = {
        path.relative_to(library).as_posix()
        for path in (library / "recorded").rglob("*")
        if path.is_file()
    }
    assert len(names) > 10
    # Of an experiment in several parts, too.
    for name in {*names, "recorded/one-change/relu/seed-0/best.weights.h5"}:
        found = [p for p in patterns if PurePosixPath(name).match(p)]
        assert found, f"{name} is in no pattern of package-data"


@pytest.fixture
def conftest(monkeypatch):
    """Return the root's conftest as a module of its own; what it sets in the environment is undone."""
    for name in ("LENET5_RUNS", "HOME", "TF_CPP_MIN_LOG_LEVEL"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    spec = importlib.util.spec_from_file_location("its", ROOT / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, None),  # Without xdist there is no such option.
        ({"numprocesses": None, "dist": "no"}, "no"),
        ({"numprocesses": 0, "dist": "no"}, "no"),
        ({"numprocesses": 2, "dist": "no"}, "loadscope"),
        ({"numprocesses": 2, "dist": "loadfile"}, "loadfile"),
        ({"numprocesses": 2, "dist": "load"}, "loadscope"),
        ({"numprocesses": 0, "tx": ["2*popen"], "dist": "load"}, "loadscope"),
    ],
)
def test_xdist_keeps_the_cells_of_a_chapter_together_unless_told_otherwise(
    conftest, options, expected
):
    config = SimpleNamespace(option=SimpleNamespace(**options))
    conftest.pytest_cmdline_main(config)
    assert getattr(config.option, "dist", None) == expected


@pytest.mark.parametrize("worker", [False, True])
def test_the_chapters_runs_go_to_the_named_folder_but_for_workers_of_their_own(
    conftest, monkeypatch, tmp_path, worker
):
    monkeypatch.setenv("LENET5_RUNS", str(tmp_path))
    config = SimpleNamespace(**({"workerinput": {}} if worker else {}))
    conftest.pytest_configure(config)
    assert (os.environ["LENET5_RUNS"] == str(tmp_path)) is not worker
    conftest.pytest_unconfigure(config)
    assert tmp_path.is_dir()
    monkeypatch.delenv("LENET5_RUNS")
    conftest.pytest_configure(config)
    fresh = Path(os.environ["LENET5_RUNS"])
    assert fresh.is_dir()
    conftest.pytest_unconfigure(config)
    assert not fresh.exists()


def test_a_home_that_cannot_be_written_to_is_replaced_for_the_session(
    conftest, monkeypatch, tmp_path
):
    for home, is_kept in ((tmp_path, True), (tmp_path / "missing", False)):
        monkeypatch.setenv("HOME", str(home))
        config = SimpleNamespace()
        conftest.pytest_configure(config)
        assert (os.environ["HOME"] == str(home)) is is_kept
        assert os.access(os.environ["HOME"], os.W_OK)
        conftest.pytest_unconfigure(config)


def test_a_cache_that_cannot_be_written_is_no_error_and_other_warnings_are():
    with pytest.raises(UserWarning, match="something"):
        warnings.warn("something", UserWarning, stacklevel=1)
    warnings.warn("unwritable", pytest.PytestCacheWarning, stacklevel=1)


def test_without_a_home_the_library_names_one_for_matplotlib_and_keras(monkeypatch):
    path = ROOT / "lenet5lib" / "__init__.py"
    monkeypatch.setenv("HOME", "/somewhere")
    runpy.run_path(path)
    assert os.environ["HOME"] == "/somewhere"
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    runpy.run_path(path)
    assert os.environ["HOME"] == tempfile.gettempdir()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("git") is None, reason="git is missing")
def test_a_clone_with_windows_line_ends_has_none_in_what_a_shell_reads(tmp_path):
    def git(*arguments, where=ROOT):
        command = ["git", *arguments]
        done = subprocess.run(command, cwd=where, capture_output=True, check=True)
        return done.stdout

    if not (ROOT / ".git").exists():
        pytest.skip("not a clone")
    listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    source, clone = tmp_path / "source", tmp_path / "clone"
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    git("init", "--quiet", where=source)
    git("add", "--all", where=source)
    who = ["-c", "user.name=trial", "-c", "user.email=trial@localhost"]
    git(*who, "commit", "--quiet", "--message", "Trial", where=source)
    git("clone", "--quiet", "-c", "core.autocrlf=true", source, clone)
    compared = 0
    for path in source.rglob("*"):
        name = path.relative_to(source)
        if path.is_file() and name.parts[0] != ".git":
            assert (clone / name).read_bytes() == path.read_bytes(), name
            compared += 1
    assert compared > 200
    for name in ("Makefile", ".ci/run", "tools/find_python.sh"):
        assert b"\r" not in (clone / name).read_bytes()
