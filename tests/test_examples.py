"""The examples run as they stand, and learn."""

import re
import runpy
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_lowers_its_loss(path, capsys) -> None:
    runpy.run_path(str(path))
    losses = [float(found) for found in re.findall(r"step \d+: ([\d.]+)", capsys.readouterr().out)]
    assert len(losses) == 5
    assert losses[-1] < losses[0] / 4


def test_there_is_one_of_each_kind() -> None:
    assert {path.stem for path in EXAMPLES} == {"pathwise", "score_function", "target_propagation"}
