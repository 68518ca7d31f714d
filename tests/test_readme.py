"""The README's examples and commands run, and its table of strategies has them all."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from discrete_vae.errors import InputError
from discrete_vae.strategies import STRATEGIES
from tests.readme import PAGES, ROOT, TEXT, blocks, commands, understand

EXAMPLES = blocks(TEXT, "python")


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_examples_run(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(EXAMPLES[number], "README.md", "exec"), {})


def test_the_strategy_of_its_guide_holds_its_claim() -> None:
    """It is biased, and its second derivative is the surrogate's; options and a population's values go through."""
    names: dict[str, Any] = {}
    block, *_ = blocks(PAGES["guides/own-strategy.md"], "python")
    exec(compile(block, "own-strategy.md", "exec"), names)
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


@pytest.mark.parametrize("command", commands(TEXT))
def test_commands_are_understood(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    understand(command, tmp_path)


def test_the_readme_is_short_and_its_links_lead_somewhere() -> None:
    assert len(TEXT.splitlines()) <= 150
    links = re.findall(r"\]\(([^)#]+)", TEXT)
    assert links
    assert not [link for link in links if not (ROOT / link).exists()]


def test_the_table_of_strategies_has_them_all_with_their_papers() -> None:
    lines = TEXT.partition("| strategy | paper |")[2].splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    rows = rows[2 : rows.index([])]
    links = [re.fullmatch(r"\[`(.+)`\]\((.+)\)", row[0]) for row in rows]
    assert {link[1] for link in links if link} == set(STRATEGIES)
    for link, (_, paper, sample, _) in zip(links, rows, strict=True):
        assert link
        name, page = link.groups()
        assert f"`{name}`" in (ROOT / page).read_text()
        claim = STRATEGIES[name].claim
        papers = claim.paper.replace("Lazaro", "L\N{LATIN SMALL LETTER A WITH ACUTE}zaro").split("; ")
        assert papers == ["textbook"] or any(each in paper for each in papers), name
        assert claim.relaxed == sample.startswith(("relaxed", "the probabilities")), name
