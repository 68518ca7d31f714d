"""The README's examples and commands run, and its table of strategies has them all."""

from __future__ import annotations

import re
import shlex
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from discrete_vae.cli import command as cli
from discrete_vae.cli.options import configuration, parameters, suited, task_of
from discrete_vae.cli.own_images import own_images
from discrete_vae.cli.train import varied
from discrete_vae.errors import InputError
from discrete_vae.progress import terminal_progress
from discrete_vae.strategies import STRATEGIES
from reports import __main__ as reports_command
from studies import __main__ as studies_command
from tests.readme import ROOT, TEXT

EXAMPLES = [
    textwrap.dedent(found)
    for found in re.findall(r"```python\n(.*?)```", TEXT + (ROOT / "CONTRIBUTING.md").read_text(), flags=re.DOTALL)
]


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_examples_run(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(EXAMPLES[number], "README.md", "exec"), {})


def test_the_strategy_of_the_contributors_guide_holds_its_claim() -> None:
    """It is biased, and its second derivative is the surrogate's; options and a population's values go through."""
    names: dict[str, Any] = {}
    (block,) = (example for example in EXAMPLES if "OneHotPathwise" in example)
    exec(compile(block, "CONTRIBUTING.md", "exec"), names)
    smooth = names["Smooth"]
    logits = torch.randn(3, 4, 2, 5, requires_grad=True)
    strategy = smooth(torch.tensor([0.5, 1.0, 2.0]))
    assert strategy.scheduled() == ("temperature",)
    estimate = strategy.estimate(logits, lambda z: (z * torch.arange(5)).sum((-1, -2)).square())
    (first,) = torch.autograd.grad(estimate.loss.sum(), logits, create_graph=True)
    assert torch.autograd.grad(first.square().sum(), logits)[0].any()
    with pytest.raises(InputError, match="temperature is 0"):
        smooth(0.0)


def test_there_are_examples() -> None:
    assert EXAMPLES


COMMANDS = {
    "discrete-vae": cli.application,
    "python -m studies": lambda task: studies_command.app,
    "python -m reports": lambda task: reports_command.app,
}


def commands() -> list[str]:
    """The commands in the README's blocks, their lines joined and without what the shell makes of them."""
    blocks = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.partition(" #")[0].strip() for line in lines if line.startswith(tuple(COMMANDS))]


@pytest.mark.parametrize("command", commands())
def test_commands_are_understood(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every option is there and its value is taken; those of a training make a configuration."""
    if (path := "path/to/images") in command:
        monkeypatch.chdir(tmp_path)
        (tmp_path / path).mkdir(parents=True)
        for seed in range(140):
            pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / path / f"{seed}.png")
    start = next(each for each in COMMANDS if command.startswith(each))
    words = shlex.split(command.removeprefix(start))
    task = task_of(words)
    _, bound, _ = COMMANDS[start](task).parse_args(words, exit_on_error=False, print_error=False)
    if words[0] == "train":
        values = {each.name: each.default for each in parameters(words[1], task)} | suited(bound.kwargs) | bound.kwargs
        with terminal_progress() as progress:
            own = own_images(values, None, False, torch.device("cpu"), progress)
        made = configuration(words[1], task, values, None if own is None else own.config)
        assert varied(made, bound.kwargs.get("vary", ()))


def test_the_table_of_strategies_has_them_all_with_their_papers() -> None:
    lines = TEXT.partition("| strategy | paper |")[2].splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    rows = rows[2 : rows.index([])]
    assert {row[0].strip("`") for row in rows} == set(STRATEGIES)
    for name, paper, sample, _ in rows:
        claim = STRATEGIES[name.strip("`")].claim
        papers = claim.paper.replace("Lazaro", "L\N{LATIN SMALL LETTER A WITH ACUTE}zaro").split("; ")
        assert papers == ["textbook"] or any(each in paper for each in papers), name
        assert claim.relaxed == sample.startswith(("relaxed", "the probabilities")), name
