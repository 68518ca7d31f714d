"""Each part learns by its own optimiser and rate; an epoch in parts is one; preparation; failures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from discrete_vae.latents.noise import Noise
from discrete_vae.runs import Run
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES
from discrete_vae.tasks import CriticConfig
from discrete_vae.training.step import Trainer
from tests.training.written_down import BATCH, OWN, POINTS, RULES, STEPS, build, copied


@pytest.fixture(autouse=True)
def _short_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "steps_per_epoch", STEPS)


SHARES: dict[str, tuple[dict[str, Any], str, str]] = {
    "no parameters of its own": ({"strategy": "reinmax", "optimiser": "sgd"}, "sgd", "adam"),
    "baseline beside adam": ({"strategy": "nvil"}, "adam", "adam"),
    "baseline beside sgd": ({"strategy": "nvil", "optimiser": "sgd"}, "sgd", "adam"),
    "baseline beside adam without momentum": (
        {"strategy": "nvil", "optimiser": "adam-0-0.9"},
        "adam-0-0.9",
        "adam",
    ),
    "learned inverse": ({"strategy": "target-propagation", "options": OWN("network")}, "adam", "adam"),
    "mirror beside sgd": (
        {"strategy": "target-propagation", "options": OWN("mirror", geometry="second-order"), "optimiser": "sgd"},
        "sgd",
        "sgd",
    ),
    "critic": (
        {"strategy": "reinmax", "task": "adversarial-vae", "criticism": CriticConfig(critic_learning_rate=0.03)},
        "adam",
        "adam",
    ),
    "critic of points": (
        {
            "strategy": "backpropagation",
            "task": "generator",
            "data": POINTS,
            "optimiser": "sgd",
            "criticism": CriticConfig(critic_steps=3, critic_learning_rate=0.03, critic_optimiser="adam-0.5-0.9"),
        },
        "sgd",
        "adam",
    ),
}


@pytest.mark.parametrize("case", SHARES)
def test_each_part_learns_by_its_own_optimiser_and_rate(case: str) -> None:
    """Model, strategy and critic from the gradients that a step finds, by torch's optimisers with literal numbers."""
    fields, for_model, for_strategy = SHARES[case]
    rates = [(0.02, 0.005), (0.05, 0.03)]
    mirror = "mirror" in case
    decay = 1.0 if mirror else 0.5
    if mirror:  # which the model's optimiser updates
        rates = [(rate, rate) for rate, _ in rates]
    trainer = build(
        *(
            {**fields, "learning_rate": Schedule(rate), "auxiliary_learning_rate": Schedule(other, decay=decay)}
            for rate, other in rates
        )
    )
    critic = list(trainer.game.model.critic.parameters()) if trainer.game else []
    parts = [trainer.model.own_parameters(), list(trainer.population.strategies.parameters()), critic]
    assert len(parts[0]) + len(critic) == len(list(trainer.model.parameters()))
    assert bool(parts[1]) == any(name in case for name in ("baseline", "inverse", "mirror"))
    given: list[list[Tensor]] = []
    judged: list[list[Tensor]] = []
    corrected: list[list[Tensor]] = []
    differentiate, criticise = trainer.differentiate, trainer.game and trainer.game.differentiate

    def differentiated(*arguments: Tensor) -> tuple[Tensor, ...]:
        found = differentiate(*arguments)
        given.append([each.clone() for each in found[2:]])
        corrected.append([each.detach().clone() for each in parts[1]])
        return found

    def criticised(*arguments: Tensor) -> tuple[Tensor, ...]:
        found = criticise(*arguments)
        judged.append([each.clone() for each in found[1:]])
        return found

    trainer.differentiate = differentiated
    if trainer.game:
        trainer.game.differentiate = criticised
    copies = [[copied(part, p) for part in parts] for p in range(2)]
    for _ in range(2):  # epochs
        trainer.train_epoch(lambda: True)
    steps = 2 * STEPS
    assert len(given) == steps
    assert len(judged) == (steps * trainer.config.criticism.critic_steps if critic else 0)
    names = (for_model, for_strategy, trainer.config.criticism.critic_optimiser)
    count = len(parts[0])
    for p in range(2):
        found = [[each[:count] for each in given], [each[count:] for each in given], judged]
        for which, (own, name) in enumerate(zip(copies[p], names, strict=True)):
            if not own:
                continue
            rule = RULES[name](own)
            for step, each in enumerate(found[which]):
                if mirror and which == 1:  # its probes move it beside the optimiser
                    for parameter, value in zip(own, corrected[step], strict=True):
                        parameter.data.copy_(value[p])
                rule.param_groups[0]["lr"] = (rates[p][0], rates[p][1] * decay ** (step // STEPS), 0.03)[which]
                for parameter, gradient in zip(own, each, strict=True):
                    parameter.grad = gradient[p].clone()
                rule.step()
            for parameter, expected in zip(parts[which], own, strict=True):
                torch.testing.assert_close(parameter[p], expected.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("task", ["vae", "adversarial-vae"])
def test_an_epoch_in_two_parts_is_one(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on with its order, noise and schedules, and its means are of this epoch's steps, all of them."""
    monkeypatch.setattr("discrete_vae.training.step.LOOK_EVERY", 1)
    fields: dict[str, Any] = {
        "strategy": "gumbel-softmax",
        "task": task,
        "learning_rate": Schedule(0.02, decay=0.8, unit="step"),
        "criticism": CriticConfig(critic_steps=2),
    }

    def recorded(function: Callable[..., tuple[Tensor, ...]], into: list[Tensor]) -> Callable[..., tuple[Tensor, ...]]:
        def called(*arguments: Tensor) -> tuple[Tensor, ...]:
            found = function(*arguments)
            into.append(found[0].clone())
            return found

        return called

    def trained(stop: int) -> tuple[Trainer, list[Tensor]]:
        trainer, losses, judgements = build(fields, fields), list[Tensor](), list[Tensor]()
        trainer.differentiate = recorded(trainer.differentiate, losses)
        if trainer.game:
            trainer.game.differentiate = recorded(trainer.game.differentiate, judgements)
        while trainer.step < 2 * STEPS:
            trainer.train_epoch(lambda: trainer.step != stop)
            since = (trainer.step - 1) // STEPS * STEPS
            torch.testing.assert_close(torch.tensor(trainer.means()).T, torch.stack(losses[since:]).mean(0))
        return trainer, judgements

    (whole, judgements), (parted, _) = trained(0), trained(STEPS + 2)
    for name, value in whole.state().items():
        assert parted.state()[name].equal(value), name
    assert parted.means() == whole.means()
    if task == "adversarial-vae":
        found = torch.tensor(list(whole.criticism().values())).T
        torch.testing.assert_close(found, torch.stack(judgements[2 * STEPS :]).mean(0))


def test_preparation_is_at_the_strategys_own_rate() -> None:
    """Adam's first update is as long as its rate, in every weight that has a gradient."""
    rates = (0.02, 0.003)
    fields: dict[str, Any] = {
        "strategy": "target-propagation",
        "options": OWN("network", warmup=1),
        "learning_rate": Schedule(0.5),
    }
    trainer = build(*({**fields, "auxiliary_learning_rate": Schedule(rate)} for rate in rates))
    model, own = list(trainer.model.parameters()), list(trainer.strategy.parameters())
    before = [each.detach().clone() for each in (*model, *own)]
    trainer.begin_epoch()
    for p, rate in enumerate(rates):
        moved = [float((new.detach() - old)[p].abs().max()) for new, old in zip((*model, *own), before, strict=True)]
        assert moved == pytest.approx([0.0] * len(model) + [rate] * len(own), rel=1e-2)


def test_members_of_which_some_share_a_rate_learn_at_their_own() -> None:
    """Adam's first update is as long as its rate."""
    rates = (0.02, 0.02, 0.003)
    trainer = build(*({"strategy": "reinmax", "learning_rate": Schedule(rate)} for rate in rates))
    before = [each.detach().clone() for each in trainer.model.parameters()]
    trainer.begin_epoch()
    trainer.advance()
    for new, old in zip(trainer.model.parameters(), before, strict=True):
        moved = (new.detach() - old).flatten(1).abs().amax(1).tolist()
        assert moved == pytest.approx(rates, rel=1e-2)


def test_a_checkpoint_in_the_middle_of_an_epoch_has_each_members_noise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loaded into a fresh trainer, the rest of the epoch has the bits of one that did not stop."""
    monkeypatch.setattr("discrete_vae.training.step.LOOK_EVERY", 1)
    fields: dict[str, Any] = {"strategy": "nvil", "learning_rate": Schedule(0.02)}
    whole = build(fields, fields)
    stopped, resumed = (build(fields, fields, folder=tmp_path) for _ in range(2))
    for run in stopped.runs:
        run.folder.mkdir()
    whole.train_epoch(lambda: True)
    stopped.train_epoch(lambda: stopped.step < 2)
    stopped.save()
    resumed.load(2)
    resumed.train_epoch(lambda: True)
    for name, value in whole.state().items():
        assert resumed.state()[name].equal(value), name


def test_a_member_fails_at_the_step_whose_loss_is_not_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted from 0 over all epochs, once, however long the others go on."""
    monkeypatch.setattr("discrete_vae.training.step.LOOK_EVERY", 1)
    trainer = build(*[{"strategy": "reinmax"}] * 3)

    def look() -> bool:
        if trainer.step == STEPS + 2:
            next(iter(trainer.model.parameters())).detach()[1].fill_(torch.nan)
        return True

    trainer.train_epoch(look)
    assert trainer.failed() == {}
    trainer.train_epoch(look)
    assert trainer.failed() == {1: STEPS + 2}
    assert trainer.healthy() == [0, 2]


def test_preparation_has_the_first_steps_beta_and_schedules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each member's own, before its first step."""
    told: list[tuple[Tensor, Tensor]] = []
    strategy = STRATEGIES["target-propagation"]

    def note(self: Any, logits: Tensor, objective: Any, noise: Noise, learning_rates: Tensor) -> None:
        told.append((objective.kl_term(torch.ones_like(logits).cumsum(-1)), self.step.clone()))

    monkeypatch.setattr(strategy, "prepare", note)
    steps, betas = (0.3, 0.7), (0.5, 4.0)
    trainer = build(
        *(
            {
                "strategy": "target-propagation",
                "options": strategy.Options("network", warmup=2, step=Schedule(step)),
                "beta": Schedule(beta),
            }
            for step, beta in zip(steps, betas, strict=True)
        )
    )
    trainer.begin_epoch()
    ((kl_term, followed),) = told
    torch.testing.assert_close(kl_term[1] / kl_term[0], torch.full((BATCH,), 8.0))
    assert followed.tolist() == pytest.approx(steps)


def test_a_member_whose_critic_fails_is_not_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model's own loss may be finite in that step."""
    own = {"task": "critic", "data": POINTS, "strategy": "backpropagation", "criticism": CriticConfig(critic_steps=2)}
    trainer = build(own, own | {"seed": 1})
    criticise = trainer.game.differentiate

    def broken(*arguments: Any) -> tuple[Tensor, ...]:
        judgement, *gradients = criticise(*arguments)
        return judgement * torch.tensor([[1.0], [float("nan")]]), *gradients

    monkeypatch.setattr(trainer.game, "differentiate", broken)
    trainer.train_epoch(lambda: True)
    assert trainer.healthy() == [0]
