"""The environment: one list of versions, every one pinned and hashed, and what Colab brings is enough."""

import re
import tomllib
from importlib import metadata
from pathlib import Path, PurePosixPath

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
