"""What runs on GitHub: least privilege, actions of GitHub's own, no known weakness, and only commands of the Makefile."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).resolve().parent.parent
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
TARGETS = set(
    re.findall(r"^([\w ]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
)
TARGETS = {name for line in TARGETS for name in line.split()}
ALLOWED = {"contents": "read", "pages": "write", "id-token": "write"}

workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def read(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps(path):
    return [step for job in read(path)["jobs"].values() for step in job["steps"]]


def commands(path):
    return "\n".join(step.get("run", "") for step in steps(path))


def actions(path):
    """Return the actions of a workflow as pairs of name and version."""
    return [step["uses"].split("@") for step in steps(path) if "uses" in step]


def test_there_are_tests_pages_and_a_weekly_run():
    assert [path.stem for path in WORKFLOWS] == ["pages", "tests", "weekly"]
    matrix = read(GITHUB / "workflows/tests.yml")["jobs"]["test"]["strategy"]
    assert matrix["matrix"]["python"] == ["3.11", "3.12", "3.13"]


@workflow
def test_a_job_may_do_what_it_needs_and_nothing_else(path):
    assert read(path)["permissions"] == {}
    for name, job in read(path)["jobs"].items():
        assert job["permissions"].items() <= ALLOWED.items(), name
        assert job["timeout-minutes"] <= 120, name
        if "pages" in job["permissions"]:
            (step,) = job["steps"]
            assert step["uses"].startswith("actions/deploy-pages@")
            assert job["if"] == "github.ref == 'refs/heads/main'"
    assert "secrets" not in path.read_text(encoding="utf-8")
    assert "pull_request_target" not in path.read_text(encoding="utf-8")


@workflow
def test_actions_are_githubs_own_and_keep_no_credentials(path):
    for name, version in actions(path):
        assert name.startswith("actions/")
        assert re.fullmatch(r"v\d+(\.\d+)*|[0-9a-f]{40}", version)
    for step in steps(path):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_an_action_has_one_version_in_all_workflows():
    used = {tuple(pair) for path in WORKFLOWS for pair in actions(path)}
    assert len(used) == len({name for name, _ in used})


@workflow
def test_no_step_puts_what_others_wrote_into_a_command(path):
    for step in steps(path):
        for inserted in re.findall(r"\$\{\{(.*?)\}\}", step.get("run", "")):
            assert inserted.strip() == "matrix.command"


def test_the_browsers_tests_run_before_a_change_lands():
    assert re.search(r"\bmake browser\b", commands(GITHUB / "workflows/tests.yml"))


def test_colabs_image_is_pulled_only_when_there_is_room_for_it():
    job = read(GITHUB / "workflows/weekly.yml")["jobs"]["colab-image"]
    assert "container" not in job
    runs = [step.get("run", "") for step in job["steps"]]
    freed, pulled, started = (
        next(n for n, run in enumerate(runs) if words in run)
        for words in ("sudo rm -rf", "docker pull", "docker run")
    )
    assert freed < pulled < started
    assert "tools/colab_like.py here" in runs[started]
    assert (ROOT / "tools/colab_like.py").exists()


def test_newer_versions_are_reported_for_actions_and_packages():
    updates = read(GITHUB / "dependabot.yml")["updates"]
    assert {each["package-ecosystem"] for each in updates} == {
        "github-actions",
        "pip",
    }


def test_what_is_pinned_on_purpose_is_not_reported_as_old():
    text = (ROOT / "requirements.in").read_text(encoding="utf-8")
    pinned = set(re.findall(r"^([\w-]+)(?:==|<)", text, re.MULTILINE))
    (pip,) = (
        each
        for each in read(GITHUB / "dependabot.yml")["updates"]
        if each["package-ecosystem"] == "pip"
    )
    assert {each["dependency-name"] for each in pip["ignore"]} == pinned


def run(program, *arguments):
    """Run a program of the environment; return its exit code and all that it says."""
    done = subprocess.run(
        [Path(sys.executable).parent / program, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("schema", "paths"),
    [
        ("github-workflows", WORKFLOWS),
        ("dependabot", [GITHUB / "dependabot.yml"]),
        ("citation-file-format", [ROOT / "CITATION.cff"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_file_follows_its_schema(schema, paths):
    code, said = run(
        "check-jsonschema", "--builtin-schema", f"vendor.{schema}", *paths
    )
    assert code == 0, said


@pytest.mark.slow
def test_a_schema_finds_a_misspelt_key(tmp_path):
    path = tmp_path / "tests.yml"
    text = (GITHUB / "workflows/tests.yml").read_text(encoding="utf-8")
    path.write_text(text.replace("runs-on:", "run-on:"), encoding="utf-8")
    code, said = run(
        "check-jsonschema", "--builtin-schema", "vendor.github-workflows", path
    )
    assert code == 1, said


@pytest.mark.slow
def test_no_known_weakness_is_found_in_the_workflows():
    code, said = run("zizmor", "--offline", "--no-progress", ".")
    assert code == 0, said


@pytest.mark.parametrize(
    "path",
    [*WORKFLOWS, ROOT / ".ci/run", ROOT / "README.md", ROOT / "CONTRIBUTING.md"],
    ids=lambda path: path.name,
)
def test_every_make_command_that_is_named_is_there(path):
    text = path.read_text(encoding="utf-8")
    quoted = path.suffix == ".md"
    found = re.findall(
        r"`make ([\w ]+)" if quoted else r"\bmake ([a-z][a-z ]*)", text
    )
    assert found
    for names in found:
        assert set(names.split()[:1]) <= TARGETS, names
