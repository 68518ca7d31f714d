"""ListOps with latent trees: grammar, network, what a strategy learns, and a report that trains nothing twice."""

from __future__ import annotations

import dataclasses
import random
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch

from discrete_vae.errors import InputError
from discrete_vae.strategies import STRATEGIES
from reports import listops
from reports.kit.context import ReportContext
from reports.listops import Preset
from reports.listops.grammar import Grammar, drawn, examples, parsed, tensors
from reports.listops.network import Composer, Parser, objective, possible
from reports.listops.training import Setting, flat, gold, train, uniform

SMALL = Grammar(depth=2, arguments=2, length=7)
"""Two operators of two arguments each: [MAX 1 [MIN 2 3 ] ]."""
DEEP = "[MIN 5 [MAX 1 [SM 7 8 ] ] ]"
FILES = {
    "results.csv",
    "provenance.json",
    "references.bib",
    "listops.tex",
    "results.tex",
    "results.md",
    "report.html",
    "accuracy_by_steps.pdf",
    "accuracy_by_steps.png",
}


@pytest.mark.parametrize(
    ("text", "value", "depth", "heads"),
    [
        ("[MAX 2 9 [MIN 4 7 ] 0 ]", 9, 2, (0, 0, 0, 0, 3, 3, 3, 0, 0)),
        (DEEP, 5, 3, (0, 0, 0, 2, 2, 4, 4, 4, 2, 0)),
        ("[SM 9 8 7 ]", 4, 1, (0, 0, 0, 0, 0)),
        ("[MED 1 9 4 ]", 4, 1, (0, 0, 0, 0, 0)),
        ("[MED 1 4 ]", 2, 1, (0, 0, 0, 0)),
    ],
)
def test_an_expression_has_its_value_and_tree(text: str, value: int, depth: int, heads: tuple[int, ...]) -> None:
    found = parsed(text.split())
    assert (found.value, found.depth, found.heads) == (value, depth, heads)


@pytest.mark.parametrize(
    "text",
    ["", "5", "[MAX ]", "[MAX 1 2", "1 2", "]", "[MAX 1 2 ] 3", "[MAX 1 2 ] [MIN 1 2 ]", "[ADD 1 2 ]", "[MAX 11 2 ]"],
)
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"give one of ListOps$"):
        parsed(text.split())


def test_drawn_expressions_keep_the_limits() -> None:
    grammar, source = Grammar(), random.Random(0)
    found = [drawn(grammar, source) for _ in range(300)]
    assert all(len(each.symbols) <= 20 and 2 <= each.depth <= 3 for each in found)
    assert {each.depth for each in found} == {2, 3}
    assert {each.value for each in found} == set(range(10))
    operators = [sum(symbol[0] == "[" for symbol in each.symbols) for each in found]
    assert max(operators) <= grammar.operators


def test_splits_share_no_expression() -> None:
    splits = examples(SMALL, [200, 100], seed=0)
    rows = [tuple(row) for split in splits for row in split.symbols.tolist()]
    assert len(set(rows)) == len(rows) == 300
    again = examples(SMALL, [200, 100], seed=0)
    assert torch.equal(again[1].symbols, splits[1].symbols)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Grammar(depth=2, least_depth=3), "least_depth is 3; give 1 to depth, 2"),
        (lambda: Grammar(arguments=1), "arguments is 1; give 2 or more"),
        (lambda: Grammar(nested=1.0), "nested is 1.0; give a chance between 0 and 1"),
        (lambda: drawn(Grammar(length=6), random.Random(0)), "at most 6 symbols was found; give a greater length"),
        (lambda: Setting(100, 30), "every is 30; give a divisor of the steps, 100"),
    ],
)
def test_bad_settings_are_named(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_the_right_tree_is_possible_and_every_choice_is_an_operator_to_the_left() -> None:
    (split,) = examples(Grammar(), [200], seed=0)
    allowed = possible(split)
    assert allowed.gather(-1, split.heads[..., None]).all()
    places = split.operators[:, None].expand_as(allowed)
    here = torch.arange(split.symbols.shape[1])[:, None]
    assert ((places < here) | (here == 0))[allowed & (split.symbols < 15)[..., None]].all()
    assert (allowed[:, 0].sum(-1) == 1).all()
    logits = Parser(8)(split)
    assert torch.equal(logits.isfinite(), allowed)


@pytest.fixture
def composed() -> tuple[Composer, Grammar]:
    torch.manual_seed(0)
    return Composer(8, rounds=3), Grammar()


def test_a_value_depends_on_the_tree_to_its_depth_and_not_on_what_fills_up(composed) -> None:
    composer, grammar = composed

    def logits(text: str, own: Grammar = grammar) -> torch.Tensor:
        batch = tensors([parsed(text.split())], own)
        return composer(batch, gold(batch, torch.Generator()))

    whole = logits(DEEP)
    torch.testing.assert_close(logits(DEEP, Grammar(length=30)), whole)
    torch.testing.assert_close(logits("[MIN 5 [MAX 1 [SM 8 7 ] ] ]"), whole)  # a sum of messages has no order
    assert not torch.allclose(logits("[MIN 5 [MAX 1 [SM 7 9 ] ] ]"), whole)  # the third operator inside
    batch = tensors([parsed(DEEP.split())], grammar)
    assert not torch.allclose(composer(batch, flat(batch, torch.Generator())), whole)


def test_several_samples_are_composed_as_each_alone(composed) -> None:
    composer, grammar = composed
    (batch,) = examples(grammar, [10], seed=1)
    trees = torch.stack([uniform(batch, torch.Generator().manual_seed(i)) for i in range(3)])
    together = objective(composer, batch)(trees)
    assert together.shape == (3, 10)
    torch.testing.assert_close(together, torch.stack([objective(composer, batch)(tree) for tree in trees]))


@pytest.mark.parametrize(
    ("name", "options"),
    [(row.strategy, dict(row.options)) for row in (*listops.ROWS, listops.LOCAL, listops.GAUSS_NEWTON)],
)
def test_every_row_pulls_at_the_parser_and_at_nothing_impossible(
    composed, name: str, options: dict[str, object]
) -> None:
    composer, grammar = composed
    (batch,) = examples(grammar, [6], seed=1)
    logits = Parser(8)(batch).detach().requires_grad_()
    estimate = STRATEGIES[name](**options).estimate(logits, objective(composer, batch))
    assert estimate.loss.shape == (6,)
    (pull,) = torch.autograd.grad(estimate.loss.sum(), logits)
    assert pull.isfinite().all()
    assert not pull[~possible(batch)].any()
    assert pull[possible(batch)].any()


def test_curvature_is_the_second_derivative_of_the_loss(composed) -> None:
    composer, grammar = composed
    (batch,) = examples(grammar, [2], seed=1)
    own, output = objective(composer, batch), torch.randn(2, 10)
    whole = torch.func.hessian(lambda flat: own.loss(flat.view(2, 10)).sum())(output.flatten())
    torch.testing.assert_close(own.curvature(output).flatten(), whole.diagonal())


def test_a_parser_finds_the_trees_from_the_values_alone() -> None:
    """Beside trees that are drawn: half of the symbols that have two operators to their left are then right."""
    setting = Setting(300, 300, train=2000, held_out=300, grammar=SMALL, width=16, batch=50, rate=1e-2)
    last = dict[str, dict[str, float]]()
    for name, build, trees in (("reinmax", STRATEGIES["reinmax"], None), ("uniform", None, uniform)):
        lines = train(setting, build, trees, seed=0).lines
        last[name] = {metric: value for split, metric, _, value in lines if split == "test"}
    assert last["reinmax"]["arcs"] > last["uniform"]["arcs"] + 0.1
    assert last["reinmax"]["accuracy"] > last["uniform"]["accuracy"] + 0.05


TINY = Preset(
    Setting(4, 2, train=40, held_out=20, grammar=SMALL, width=4, batch=5), (0, 1), listops.ROWS[3:5], listops.GIVEN
)


def context(folder: Path) -> ReportContext:
    return ReportContext("listops", "tiny", folder / "out", folder / "runs")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("listops")
    listops.make(TINY, context(folder))
    return folder


def test_every_file_is_written(made: Path) -> None:
    assert {path.name for path in (made / "out").iterdir()} - {"listops.pdf"} == FILES
    results = pd.read_csv(made / "out" / "results.csv")
    assert len(results.groupby(["row", "seed"])) == 5 * 2
    gold_arcs = results[(results["row"] == "gold trees") & (results["metric"] == "arcs")]
    assert (gold_arcs["value"] == 1).all()


def test_a_second_call_trains_nothing(made: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(listops, "train", lambda *args: pytest.fail("trained again"))
    (tmp_path / "out").symlink_to(made / "out")
    before = {name: (made / "out" / name).read_bytes() for name in FILES}
    listops.make(TINY, context(tmp_path))
    assert {name: (tmp_path / "out" / name).read_bytes() for name in FILES} == before
    assert not (tmp_path / "runs").exists()


def test_a_seed_decides_a_run() -> None:
    own = partial(train, TINY.setting, STRATEGIES["rloo"], None)
    one, again, other = ([line for line in own(seed).lines if line[0] != "train"] for seed in (0, 0, 1))
    assert one == again
    assert one != other
    assert dataclasses.asdict(TINY.setting)["grammar"]["length"] == 7  # the whole setting is in a run's identity
