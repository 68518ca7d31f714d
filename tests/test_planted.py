"""The catalogue of mistakes fits the source, and its runner tells a caught mistake from one that survives."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.planted import run as planted

CATALOGUE = planted.ROOT / "tests" / "planted" / "catalogue"

SOURCE = """
def mean(values):
    return sum(values) / len(values)


def wait():
    return 0
"""
TESTS = """
from discrete_vae.sums import mean


def test_mean_of_one_number():
    assert mean([3]) == 3
"""
ENTRIES = """
tests = ["tests/test_sums.py"]

[[mistake]]
what = "the mean is the sum"
before = "sum(values) / len(values)"
after = "sum(values)"

[[mistake]]
what = "the mean is the negative sum"
before = "sum(values) / len(values)"
after = "-sum(values)"
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A project of one function, whose test sees one of two mistakes."""
    for name, content in {
        "pyproject.toml": '[tool.pytest.ini_options]\naddopts = "--import-mode=importlib"\n',
        "discrete_vae/__init__.py": "",
        "discrete_vae/sums.py": SOURCE,
        "tests/test_sums.py": TESTS,
        "tests/planted/catalogue/sums.toml": ENTRIES,
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return tmp_path


def catalogue(tree: Path, before: str, after: str) -> None:
    """Leave one mistake in the tree's catalogue."""
    entry = f'[[mistake]]\nwhat = "the mistake"\nbefore = "{before}"\nafter = "{after}"\n'
    (tree / "tests/planted/catalogue/sums.toml").write_text(f'tests = ["tests/test_sums.py"]\n{entry}')


def run(tree: Path, *arguments: str, slack: float = 20.0) -> subprocess.CompletedProcess[str]:
    """The runner on a tree, without the time to import torch; in a process of its own, for it forks."""
    code = f"import sys, run; run.PRELOADED, run.SLACK = (), {slack}; sys.exit(run.main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "--root", str(tree), *arguments]
    return subprocess.run(command, cwd=Path(planted.__file__).parent, capture_output=True, text=True, timeout=100)


def test_every_mistake_applies_to_the_source_and_compiles() -> None:
    planted.check(planted.load(CATALOGUE), planted.ROOT)


def test_every_selection_names_tests_that_are_there() -> None:
    for mistake in planted.load(CATALOGUE):
        for selection in mistake.tests:
            assert (planted.ROOT / selection.split()[0]).is_file(), f"{mistake.module}: {selection}"


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_caught_and_a_surviving_mistake_are_told_apart(tree: Path, jobs: int) -> None:
    ended = run(tree, "--jobs", str(jobs), "--out", str(tree / "results.json"))
    assert ended.returncode == 1, ended.stdout + ended.stderr  # 50 % is less than 95 %
    rows = {row["what"]: row for row in json.loads((tree / "results.json").read_text())}
    assert rows["the mean is the sum"]["outcome"] == "survived"
    assert rows["the mean is the negative sum"]["outcome"] == "caught"
    assert rows["the mean is the negative sum"]["by"] == "tests/test_sums.py::test_mean_of_one_number"
    assert (tree / "discrete_vae" / "sums.py").read_text() == SOURCE


def test_a_full_score_ends_with_success(tree: Path) -> None:
    ended = run(tree, "--only", "negative", "--out", str(tree / "results.csv"))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert (tree / "results.csv").read_text().startswith("module,what,before,after,outcome,seconds,by\n")


def test_a_mistake_that_hangs_is_a_timeout(tree: Path) -> None:
    catalogue(tree, "return sum(values)", "while True:\\n        sum(values)")
    ended = run(tree, slack=1.0)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "timeout" in ended.stdout


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("len(values)", "0", "occurs 0 times"),  # the source has changed
        ("values", "value", "occurs 3 times"),
        ("return 0", "return 0", "the text after is the text before"),
        ("return 0", "return (", "does not compile"),
    ],
)
def test_an_entry_that_does_not_fit_is_named(tree: Path, before: str, after: str, complaint: str) -> None:
    if complaint == "occurs 0 times":
        (tree / "discrete_vae" / "sums.py").write_text(SOURCE.replace("len(values)", "len([*values])"))
    catalogue(tree, before, after)
    ended = run(tree)
    assert ended.returncode == 2
    assert "sums: the mistake" in ended.stdout
    assert complaint in ended.stdout


def test_a_selection_that_fails_without_a_mistake_is_named(tree: Path) -> None:
    (tree / "tests" / "test_sums.py").write_text(TESTS.replace("== 3", "== 4"))
    ended = run(tree)
    assert ended.returncode == 2
    assert "without a mistake, pytest tests/test_sums.py ends with status 1" in ended.stdout
