"""The examples run as they stand, and learn; each shows what it is there to show."""

import re
import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
WAYS = {
    "pathwise": ("",),
    "score_function": ("",),
    "target_propagation": ("",),
    "image_vae": ("", "gumbel_softmax", "zgr", "rloo"),
    "hard_attention": ("", "nvil", "rebar"),
    "masked_policy": ("",),
    "gradient_penalty": ("",),
    "polynomial": ("", "rloo", "local_expectation"),
}
"""Of each example, what may stand behind its name on the command line."""
SHOWN = {
    "masked_policy": r"(step \d+: [\d.]+ hours, 0 illegal actions\n){5}",
    "gradient_penalty": r"second derivatives are those of finite differences: True\n"
    r"ScoreFunction gives no second derivatives; .*pathwise strategy.*\n$",
}
"""What an example prints beside its losses."""


@pytest.mark.parametrize(("name", "way"), [(name, way) for name, ways in WAYS.items() for way in ways])
def test_example_lowers_its_loss(name, way, capsys, monkeypatch) -> None:
    path = str(EXAMPLES / f"{name}.py")
    monkeypatch.setattr(sys, "argv", [path, way][: 1 + bool(way)])
    runpy.run_path(path)
    printed = capsys.readouterr().out
    losses = [float(found) for found in re.findall(r"step \d+: ([\d.]+)", printed)]
    assert len(losses) == 5
    assert losses[-1] < losses[0] / 4
    assert re.search(SHOWN.get(name, ""), printed)
    assert "nan" not in printed


def test_every_example_is_run() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(WAYS)
