"""``python -m discrete_vae.conformance``: what it prints, and one clear line for what cannot be measured."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import pytest
from torch import Tensor

from discrete_vae.conformance import __main__ as command
from discrete_vae.conformance.capabilities import COLUMNS
from discrete_vae.conformance.choice import accepted, read_options
from discrete_vae.conformance.figures import DRAWS, Figures, contract, judged, measured, name_of
from discrete_vae.conformance.problem import BINARY, SHAPES, Problem
from discrete_vae.conformance.subject import Subject
from discrete_vae.latents.categorical import Categorical, log_prob, softmax
from discrete_vae.latents.noise import Noise
from discrete_vae.strategies import (
    STRATEGIES,
    Claim,
    Estimate,
    Objective,
    OneHotPathwise,
    ReinMax,
    ScoreFunction,
    StraightThrough,
    TargetPropagation,
)
from discrete_vae.strategies.autograd import with_gradient_of
from discrete_vae.strategies.pathwise import TemperatureOptions, draw

OWN = '''
from discrete_vae.latents.categorical import log_prob
from discrete_vae.errors import InputError
from discrete_vae.strategies import Claim, Estimate, ReinMax, Strategy
from discrete_vae.strategies.autograd import with_gradient_of
from discrete_vae.strategies.pathwise import draw


class Binary(Strategy):
    """The score function of two samples, for two categories."""

    claim = Claim("nobody", unbiased=True, relaxed=False, evaluations=2)

    def compute(self, logits, objective, noise):
        if logits.shape[-1] != 2:
            raise InputError("Binary takes 2 categories")
        one, other = draw(logits, noise), draw(logits, noise)
        loss = objective(one)
        signal = (loss - objective(other)).detach()
        return Estimate(with_gradient_of(loss, signal * log_prob(logits, one)), loss.new_zeros(loss.shape[:-1]), one)


class Boasting(ReinMax):
    claim = Claim("nobody", unbiased=True, relaxed=True, evaluations=3)


class Demanding(Binary):
    def __init__(self, network):
        super().__init__()


class Silent(Strategy):
    claim = Binary.claim


class Undecided(Binary):
    claim = Claim("nobody", unbiased="perhaps", relaxed=False, evaluations=2)


class Free(Binary):
    claim = Claim("nobody", unbiased=True, relaxed=False, evaluations=lambda latents, categories: 0)


class Scalar(Binary):
    def compute(self, logits, objective, noise):
        estimate = super().compute(logits, objective, noise)
        return Estimate(estimate.loss.mean(), estimate.strategy_loss, estimate.sample)


class Column(Binary):
    def compute(self, logits, objective, noise):
        estimate = super().compute(logits, objective, noise)
        return Estimate(estimate.loss, estimate.loss, estimate.sample)


class Indices(Binary):
    def compute(self, logits, objective, noise):
        estimate = super().compute(logits, objective, noise)
        return Estimate(estimate.loss, estimate.strategy_loss, estimate.sample.argmax(-1))


class Pair(Binary):
    def compute(self, logits, objective, noise):
        return super().compute(logits, objective, noise).loss, logits


class Broken(Binary):
    def compute(self, logits, objective, noise):
        raise KeyError("no such\\nthing")


class Diverged(ReinMax):
    def compute(self, logits, objective, noise):
        estimate = super().compute(logits, objective, noise)
        return Estimate(estimate.loss * float("nan"), estimate.strategy_loss, estimate.sample)


class Unset(Binary):
    Options = dict


class Claimless(Strategy):
    pass


class Other:
    pass
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a file of one's own strategies in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_strategies.py").write_text(OWN)
    (tmp_path / "broken_strategies.py").write_text("import own_strategies\nraise RuntimeError('out of order')\n")
    (tmp_path / "missing_strategies.py").write_text("import no_such_package\n")
    return tmp_path


def call(*words: str) -> int:
    with pytest.raises(SystemExit) as left:
        command.main(words)
    return int(left.value.code or 0)


def pasted(text: str, table: str) -> list[dict[str, str]]:
    """The lines that are printed for a table."""
    return list(csv.DictReader(text.partition(f"{table}:\n")[2].partition("\n\n")[0].splitlines()))


def test_a_strategy_of_the_library_is_printed_ready_to_paste(capsys) -> None:
    """Its capabilities are the line of the table, and its figures near those of the table with 20,000 draws."""
    assert call("rloo", "--draws", "20000") == 0
    text = capsys.readouterr().out
    figures = pasted(text, "conformance.csv")
    assert [(line["row"], line["problem"]) for line in figures] == [("rloo", "ternary"), ("rloo", "binary")]
    assert [float(line["spread"]) for line in figures] == pytest.approx([1.263, 1.07], rel=0.03)
    here = Path(__file__).with_name("capabilities.csv")
    assert pasted(text, "capabilities.csv")[0] in list(csv.DictReader(here.read_text().splitlines()))
    assert "unbiased" in text
    assert "holds" in text
    assert "does not hold" not in text


def test_an_estimator_of_ones_own_has_its_own_number_of_categories(folder, capsys, monkeypatch) -> None:
    monkeypatch.setattr(command, "COLUMNS", {"second": COLUMNS["second"]})
    assert call("own_strategies:Binary", "--draws", "20000") == 0
    text = capsys.readouterr().out
    assert "left out: ternary: own_strategies:Binary refuses 2 variables of 3 categories (Binary takes 2" in text
    assert [line["problem"] for line in pasted(text, "conformance.csv")] == ["binary"]
    assert call("own_strategies:Binary", "--draws", "200", "--shape", "4", "2") == 0
    assert pasted(capsys.readouterr().out, "conformance.csv")[0]["problem"] == "4 x 2"


def test_a_claim_that_does_not_hold_is_said_and_is_the_exit_code(folder, capsys, monkeypatch) -> None:
    monkeypatch.setattr(command, "COLUMNS", {})
    assert call("own_strategies:Boasting", "--shape", "2", "3", "--draws", "20000") == 1
    text = " ".join(capsys.readouterr().out.split())
    assert text.count("does not hold") == 3
    for reason in ("the mean differs", "decoded samples differ", "the other"):
        assert reason in text


def test_a_gradient_of_nan_holds_no_claim(folder, capsys, monkeypatch) -> None:
    monkeypatch.setattr(command, "COLUMNS", {})
    assert call("./own_strategies.py:Diverged", "--shape", "2", "3", "--draws", "20") == 1
    text = " ".join(capsys.readouterr().out.split())
    assert "z = nan │ does not hold │ the gradients are not" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("rlo", "unknown strategy 'rlo'; did you mean 'rloo'?"),
        ("rloo --set draw=3", "unknown option of Rloo 'draw'; did you mean 'draws'?"),
        ("rloo --set draws", "--set 'draws' has no value; give name=value"),
        ("rloo --set draws=few", "draws is 'few'; give a whole number"),
        ("rloo --set draws=1", "draws is 1; give at least 2"),
        ("rloo --set draws=3 --set draws=4", "option draws is given twice"),
        ("zgr --set draws=3", "Zgr has no options; leave --set draws=3 off"),
        ("rebar --set coupled=perhaps", "coupled is 'perhaps'; give true or false"),
        ("rloo --shape 20 9", "9^20 states are too many"),
        ("rloo --shape 2 1", "shape is 2 1; give at least 2 categories"),
        ("vimco --shape 4 4", "too many tuples for the exact bound"),
        ("disarm --shape 2 3", "disarm is for 2 categories, and there are 3"),
        ("own_strategies:", "give module:Class"),
        ("own_strategies:Binari", "unknown class of own_strategies 'Binari'; did you mean 'Binary'?"),
        ("own_strategies:Binary --shape 2 3", "refuses 2 variables of 3 categories (Binary takes 2 categories)"),
        (
            "gauss-newton-local-expectation --set moves=9",
            "moves is 9, of 4 that there are: 2 variables of 3 categories",
        ),
        ("own_strategies:Other", "is no Strategy; derive it from"),
        ("own_strategies:Claimless", "has no claim"),
        (
            "own_strategies:Undecided --shape 3 2",
            "own_strategies:Undecided claims unbiased='perhaps'; give True or False",
        ),
        ("own_strategies:Free --shape 3 2", "claims evaluations=0; give the samples that a step decodes"),
        ("own_strategies:Scalar --shape 3 2", "loss has shape []; give one number an example, [2]"),
        ("own_strategies:Column --shape 3 2", "strategy_loss has shape [2]; give a tensor of one number, []"),
        ("own_strategies:Indices --shape 3 2", "sample has shape [2, 3]; give the decoded one, [2, 3, 2]"),
        (
            "own_strategies:Pair --shape 3 2",
            "gives a tuple; give an Estimate(loss, strategy_loss, sample)",
        ),
        ("own_strategies:Broken", "own_strategies:Broken fails in own_strategies.py, line "),
        ("own_strategies:Unset", "Unset.Options is <class 'dict'>; give a frozen dataclass"),
        ("../own_strategies:Binary", "is not in this folder; run the command in the module's own"),
        ("own_strategies:Silent", "has no compute"),
        ("own_strategies:Demanding", "cannot be built"),
        ("other_strategies:Mine", "there is no module other_strategies"),
        ("broken_strategies:Mine", "broken_strategies cannot be imported (RuntimeError: out of order)"),
        ("missing_strategies:Mine", "missing_strategies imports no_such_package"),
    ],
)
def test_what_cannot_be_measured_is_one_line_and_exit_code_2(folder, capsys, words, said) -> None:
    assert call(*words.split()) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1
    assert said in shown.err


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_can_be_built_and_judged_by_its_name(name) -> None:
    """Nothing that it claims is refuted by 2,000 draws, and its parts may learn first."""
    subjects, refused = accepted(name, STRATEGIES[name], STRATEGIES[name].Options(), None)
    assert bool(refused) == (STRATEGIES[name].categories is not None)
    expected = [each for each, (_, size) in SHAPES.items() if STRATEGIES[name].categories in (None, size)]
    assert [name_of(subject.shape) for subject in subjects] == expected[: None if STRATEGIES[name].categorical() else 1]
    for subject in subjects:
        problem = subject.problem()
        strategy = problem.learn(problem.build(subject.kind), 2)
        error, found, detectable = measured(strategy, problem, problem.exact(strategy), 2000)
        assert not [line for line in judged(strategy, problem, error, found, detectable) if line.holds is False]


@pytest.mark.parametrize("inverse", ["network", "drl", "l-drl", "mirror", "probes", "random"])
def test_feedback_is_built_from_the_problems_networks_and_learns(inverse) -> None:
    options = read_options(TargetPropagation, [f"inverse={inverse}", "geometry=second-order"])
    problem = Subject(TargetPropagation, options, SHAPES["ternary"]).problem()
    strategy = problem.build(TargetPropagation, options)
    before = [each.clone() for each in strategy.state_dict().values()]
    problem.learn(strategy, 5)
    changed = any(not each.equal(was) for each, was in zip(strategy.state_dict().values(), before, strict=True))
    assert changed == (inverse != "random")


def test_probes_find_the_decoders_weights() -> None:
    """A mirror that has only probed, for the model's optimiser updates it, gives ReinMax' gradient."""
    options = read_options(TargetPropagation, ["inverse=mirror", "geometry=second-order"])
    problem = Subject(TargetPropagation, options, SHAPES["ternary"]).problem()
    strategy = problem.learn(problem.build(TargetPropagation, options), 200)
    _, found, _ = measured(strategy, problem, problem.exact(strategy), DRAWS // 10)
    assert found == pytest.approx(Figures(0.9927, 0.7738, 1.866), rel=0.03)


class Shifted(ScoreFunction):
    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        estimate = super().compute(logits, objective, noise)
        return dataclasses.replace(estimate, loss=estimate.loss + 5)


class Unlearning(ScoreFunction):
    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        sample = draw(logits, noise)
        loss = objective(sample).detach()
        score = with_gradient_of(loss, loss * log_prob(logits, sample))
        return Estimate(score, loss.new_zeros(loss.shape[:-1]), sample)


class Loud(ReinMax):
    def draw(self, logits: Tensor, noise: Noise) -> Tensor:
        return draw(logits, Noise())


class Broadcast(StraightThrough):
    """Its temperature meets the categories, as that of a class that does not know of members."""

    def surrogate(self, logits: Tensor, sample: Tensor, noise: Noise) -> Tensor:
        return softmax(logits / self.temperature)


class Plain(OneHotPathwise):
    """Its schedule is a plain number, which nothing anneals."""

    claim = Claim("nobody", unbiased=False, relaxed=False, evaluations=1)
    Options = TemperatureOptions

    def surrogate(self, logits: Tensor, sample: Tensor, noise: Noise) -> Tensor:
        return softmax(logits)


@pytest.mark.parametrize(
    ("kind", "broken"),
    [
        (Broadcast, {"members"}),
        (Plain, {"members"}),
        (Shifted, {"value"}),
        (Unlearning, {"decoder"}),
        (Loud, {"noise", "members"}),
        (ReinMax, set()),
    ],
)
def test_what_estimates_are_built_on_is_held(kind, broken) -> None:
    problem = Problem(Categorical(*BINARY))
    assert {line.what for line in contract(kind().double(), problem) if not line.holds} == broken
