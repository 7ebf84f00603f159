"""What runs on GitHub: least privilege, pinned actions, and only commands that the Makefile has."""

import re
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
TARGETS = set(
    re.findall(r"^([\w ]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
)
TARGETS = {name for line in TARGETS for name in line.split()}
ALLOWED = {"contents": "read", "pages": "write", "id-token": "write"}

workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def read(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps(path):
    return [step for job in read(path)["jobs"].values() for step in job["steps"]]


def test_there_are_tests_pages_and_a_weekly_run():
    assert [path.stem for path in WORKFLOWS] == ["pages", "tests", "weekly"]
    matrix = read(ROOT / ".github/workflows/tests.yml")["jobs"]["test"]["strategy"]
    assert matrix["matrix"]["python"] == ["3.11", "3.12", "3.13"]


@workflow
def test_a_job_may_do_what_it_needs_and_nothing_else(path):
    assert read(path)["permissions"] == {}
    for name, job in read(path)["jobs"].items():
        assert job["permissions"].items() <= ALLOWED.items(), name
        assert job["timeout-minutes"] <= 120, name
        if "pages" in job["permissions"]:
            assert [step["uses"] for step in job["steps"]] == [
                "actions/deploy-pages@v4"
            ]
            assert job["if"] == "github.ref == 'refs/heads/main'"
    assert "secrets" not in path.read_text(encoding="utf-8")
    assert "pull_request_target" not in path.read_text(encoding="utf-8")


@workflow
def test_actions_are_githubs_own_and_pinned(path):
    for step in steps(path):
        if "uses" in step:
            assert re.fullmatch(
                r"actions/[\w-]+@(v\d+(\.\d+)*|[0-9a-f]{40})", step["uses"]
            )
        if step.get("uses", "").startswith("actions/checkout"):
            assert step["with"]["persist-credentials"] is False


@workflow
def test_no_step_puts_what_others_wrote_into_a_command(path):
    for step in steps(path):
        for inserted in re.findall(r"\$\{\{(.*?)\}\}", step.get("run", "")):
            assert inserted.strip() == "matrix.command"


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
