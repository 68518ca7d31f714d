"""Polynomial programming: the exact loss, each strategy's bias against it, and a report that trains nothing twice."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

from discrete_vae.errors import InputError
from discrete_vae.runs import environment
from discrete_vae.strategies import STRATEGIES
from reports import polynomial
from reports.kit import own_loops
from reports.kit.context import ReportContext
from reports.polynomial import Preset, StrategyRow
from reports.polynomial.problem import Problem, train

POWERS = (1.5, 2.0, 3.0)
DRAWS = 20_000
LOGITS = torch.tensor([[0.0, 0.0], [1.5, 0.0], [-1.0, 0.5]])
TINY = Preset(20, 10, (2.0, 3.0), (0, 1), polynomial.ROWS[2:5])
FILES = {
    "results.csv",
    "provenance.json",
    "references.bib",
    "polynomial.tex",
    "results.tex",
    "results.md",
    "report.html",
    "loss_by_iterations.pdf",
    "loss_by_iterations.png",
}


def exact_gradient(problem: Problem) -> torch.Tensor:
    logits = LOGITS.double().requires_grad_()
    (gradient,) = torch.autograd.grad(problem.expected(logits), logits)
    return gradient


def slopes(problem: Problem) -> torch.Tensor:
    """The loss' derivative in a variable at 0 and at 1."""
    values = torch.tensor([0.0, 1.0], dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(problem.distances(values).sum(), values)
    return found


def pulled(steps: torch.Tensor) -> torch.Tensor:
    """What change of the loss from 0 to 1 a gradient in the logits stands for, one a variable."""
    chances = LOGITS.double().softmax(-1)
    return steps[:, 0] / chances.prod(-1)


def sampled(problem: Problem, name: str, **options: object) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean of many draws of a gradient, and its standard error."""
    logits = LOGITS.repeat(DRAWS, 1, 1).requires_grad_()
    strategy = STRATEGIES[name](**options)
    estimate = strategy.estimate(logits, problem.objective, generator=torch.Generator().manual_seed(0))
    (found,) = torch.autograd.grad(estimate.loss.sum(), logits)
    return found.double().mean(0), found.double().std(0) / DRAWS**0.5


@pytest.mark.parametrize("power", POWERS)
def test_the_exact_loss_is_the_sum_over_all_states(power: float) -> None:
    problem = Problem(power, variables=3)
    states = torch.tensor(list(itertools.product((0, 1), repeat=3)))
    one_hot = torch.stack([states, 1 - states], -1).float()  # the first category stands for 1
    chances = (LOGITS.softmax(-1) * one_hot).sum(-1).prod(-1)
    summed = (chances * problem.objective(one_hot)).sum()
    torch.testing.assert_close(problem.expected(LOGITS), summed)
    assert problem.least == pytest.approx(0.45**power, rel=1e-5)
    assert problem.objective(one_hot).min().item() == pytest.approx(problem.least, rel=1e-5)


@pytest.mark.parametrize("power", POWERS)
@pytest.mark.parametrize(
    ("name", "options"), [("rloo", {"draws": 4}), ("rebar", {}), ("score-function", {}), ("local-expectation", {})]
)
def test_unbiased_strategies_have_the_exact_gradient(power: float, name: str, options: dict[str, object]) -> None:
    """18 numbers in 12 tests within 5 standard errors: a false alarm in 10,000 runs at most."""
    problem = Problem(power, variables=3)
    mean, error = sampled(problem, name, **options)
    assert ((mean - exact_gradient(problem)).abs() < 5 * error + 1e-6).all()


def test_local_expectation_needs_no_batch() -> None:
    """The row of it has one sample a step: no sample's gradient differs from another's."""
    for power in POWERS:
        mean, error = sampled(Problem(power, variables=3), "local-expectation")
        assert (error * DRAWS**0.5 < 1e-6).all()
        torch.testing.assert_close(mean, exact_gradient(Problem(power, variables=3)), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("power", POWERS)
def test_biased_strategies_have_the_bias_of_their_paper(power: float) -> None:
    """For the change of the loss straight-through takes the sample's slope, ReinMax the mean of both ends' slopes."""
    problem = Problem(power, variables=3)
    at_0, at_1 = slopes(problem)
    chance = LOGITS.double().softmax(-1)[:, 0]
    change = pulled(exact_gradient(problem))
    for name, told in (
        ("straight-through", chance * at_1 + (1 - chance) * at_0),
        ("reinmax", ((at_0 + at_1) / 2).expand(3)),
    ):
        mean, error = sampled(problem, name)
        assert ((pulled(mean) - told).abs() < 5 * pulled(error) + 1e-6).all()
        second_order = name == "reinmax" and power == 2
        assert bool(((pulled(mean) - change).abs() < 5 * pulled(error) + 1e-6).all()) == second_order


def test_gauss_newton_is_exact_for_a_square() -> None:
    problem = Problem(2.0, variables=3)
    mean, error = sampled(problem, "gauss-newton-local-expectation")
    assert ((mean - exact_gradient(problem)).abs() < 5 * error + 1e-6).all()
    assert (error * DRAWS**0.5 < 1e-4).all()


def test_the_loss_has_a_second_derivative_where_a_relaxed_sample_hits_the_target() -> None:
    problem = Problem(1.5, variables=3)
    values = torch.tensor([0.45, 0.0, 1.0], requires_grad=True)
    (first,) = torch.autograd.grad(problem.distances(values).sum(), values, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), values)
    assert first.isfinite().all()
    assert second.isfinite().all()
    assert first[0] == 0.0


def test_training_lowers_the_loss_and_a_seed_decides_it() -> None:
    problem = Problem(2.0, variables=8, rate=0.1)
    one, again, other = (train(problem, STRATEGIES["reinmax"](), 40, 20, seed).lines for seed in (0, 0, 1))
    losses = [value for _, metric, _, value in one if metric == "loss"]
    assert losses[2] - problem.least < (losses[0] - problem.least) / 4
    assert one[:-1] == again[:-1]  # the last one is a time
    assert one[:-1] != other[:-1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Problem(1.0), "power is 1.0"),
        (lambda: Problem(2.0, target=1.0), "target is 1.0"),
        (lambda: Preset(100, 30, (2.0,), (0,)), "every is 30"),
    ],
)
def test_bad_settings_are_named(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def context(folder: Path) -> ReportContext:
    return ReportContext("polynomial", "tiny", folder / "out", folder / "runs")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("polynomial")
    polynomial.make(TINY, context(folder))
    return folder


def test_every_file_is_written(made: Path) -> None:
    assert {path.name for path in (made / "out").iterdir()} - {"polynomial.pdf"} == FILES
    results = pd.read_csv(made / "out" / "results.csv")
    assert len(results.groupby(["row", "seed"])) == len(TINY.rows) * len(TINY.powers) * len(TINY.seeds)
    assert set(results[results["metric"] == "loss"]["step"]) == {0, 10, 20}
    told = json.loads((made / "out" / "provenance.json").read_text())["training_seconds"]
    assert told == round(own_loops.seconds_of(results), 1) > 0


@pytest.mark.parametrize("kept", ["runs", "out"])
def test_a_second_call_trains_nothing(made: Path, tmp_path: Path, monkeypatch, kept: str) -> None:
    """It has its numbers from the runs' folder, or from the report's own tables alone; a row may change its label."""
    monkeypatch.setattr(polynomial, "train", lambda *args: pytest.fail("trained again"))
    (tmp_path / kept).symlink_to(made / kept)
    before = {name: (made / "out" / name).read_bytes() for name in FILES}
    polynomial.make(TINY, context(tmp_path))
    assert {name: (tmp_path / "out" / name).read_bytes() for name in FILES} == before
    renamed = dataclasses.replace(TINY, rows=[dataclasses.replace(TINY.rows[0], label="other")])
    own = own_loops.collected(renamed.runs(), context(tmp_path))[0]
    assert set(own["row"]) == {"other, p = 2", "other, p = 3"}


def test_runs_in_two_processes_have_the_same_numbers(made: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(polynomial, "train", lambda *args: pytest.fail("trained in this process"))
    bench = dataclasses.replace(context(tmp_path), jobs=2)
    found, _ = own_loops.collected(TINY.runs(), bench)
    assert len(list((bench.runs / "own").glob("*.json"))) == len(TINY.runs())
    results = pd.read_csv(made / "out" / "results.csv")
    columns = ["row", "parameters", "seed", "step", "value"]
    one, other = (each[each["metric"] == "loss"][columns].reset_index(drop=True) for each in (found, results))
    pd.testing.assert_frame_equal(one, other, check_dtype=False)


def test_a_report_that_was_being_written_goes_on_from_its_runs(made: Path, tmp_path: Path, monkeypatch) -> None:
    """Its table is there, its provenance claims the folder only."""
    monkeypatch.setattr(polynomial, "train", lambda *args: pytest.fail("trained again"))
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    (tmp_path / "out" / "provenance.json").write_text(json.dumps({"report": "polynomial", "preset": "tiny"}))
    found, _ = own_loops.collected(TINY.runs(), context(tmp_path))
    assert len(found) == len(pd.read_csv(made / "out" / "results.csv"))


def test_other_settings_are_trained(made: Path, monkeypatch) -> None:
    def trained(*args: object) -> None:
        raise InterruptedError

    monkeypatch.setattr(polynomial, "train", trained)
    for changed in (
        dataclasses.replace(TINY, seeds=(2,)),
        dataclasses.replace(TINY, steps=40),
        dataclasses.replace(TINY, powers=(1.5,)),
        dataclasses.replace(TINY, rows=[StrategyRow("cold", "gumbel-softmax", {"temperature": 0.5})]),
    ):
        with pytest.raises(InterruptedError):
            own_loops.collected(changed.runs(), context(made))


def test_a_damaged_table_is_named(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "out", tmp_path / "out")
    text = (tmp_path / "out" / "results.csv").read_text()
    (tmp_path / "out" / "results.csv").write_text(text.replace("strategy", "way", 1))
    with pytest.raises(InputError, match="restore it, or delete its folder"):
        own_loops.collected(TINY.runs(), context(tmp_path))


def test_a_table_that_is_cut_off_lends_no_number(made: Path, tmp_path: Path) -> None:
    """Neither the part of a number, nor a run without its last steps."""
    shutil.copytree(made / "out", tmp_path / "out")
    path = tmp_path / "out" / "results.csv"
    whole = path.read_text()
    lines = whole.splitlines(keepends=True)
    known, _ = own_loops._known(context(tmp_path))
    for left in range(2, len(lines)):
        path.write_text("".join(lines[:left]))
        for identity, own in own_loops._known(context(tmp_path))[0].items():
            pd.testing.assert_frame_equal(own, known[identity])
    path.write_text(whole[:-3])
    with pytest.raises(InputError, match="cut off in its last line"):
        own_loops.collected(TINY.runs(), context(tmp_path))


def test_own_loops_are_of_the_processor(tmp_path: Path) -> None:
    """Whatever the report's device: their provenance names what they ran on."""
    bench = dataclasses.replace(context(tmp_path), report="mine", device=torch.device("cuda"))
    run = own_loops.OwnRun("row", "reinmax", {}, 0, lambda: own_loops.Numbers([("train", "loss", 1, 2.0)]))
    results, (place,) = own_loops.collected([run], bench)
    assert list(results["value"]) == [2.0]
    assert place["device"] == environment(torch.device("cpu"))["device"]
