"""A step is the one that is written down: every draw, loss, gradient and update."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from discrete_vae.data import Split
from discrete_vae.latents.noise import Noise
from discrete_vae.runs import Run
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES
from discrete_vae.tasks import CriticConfig
from tests.training.written_down import (
    BATCH,
    CATEGORIES,
    LATENTS,
    RULES,
    STEPS,
    build,
    coded,
    copied,
    divergence,
    gradients,
    gumbel,
    network,
    nll,
    relaxed_parts,
)


@pytest.fixture(autouse=True)
def _short_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "steps_per_epoch", STEPS)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The uniform numbers that are handed out, in their order."""
    numbers: list[Tensor] = []
    uniform = Noise.uniform

    def record(self: Noise, *arguments: Any) -> Tensor:
        numbers.append(uniform(self, *arguments))
        return numbers[-1].clone()

    monkeypatch.setattr(Noise, "uniform", record)
    return numbers


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The batches that are gathered, in their order."""
    batches: list[Tensor] = []
    batch = Split.batch

    def record(self: Split, *arguments: Any) -> Tensor:
        batches.append(batch(self, *arguments))
        return batches[-1].clone()

    monkeypatch.setattr(Split, "batch", record)
    return batches


MEMBERS = [
    {"rate": (0.02, 1.0), "beta": (1.0, 0), "temperature": (0.5, 1.0)},
    {"rate": (0.05, 0.8), "beta": (0.3, 4), "temperature": (1.5, 0.7)},
    {"rate": (0.01, 1.0), "beta": (3.0, 2), "temperature": (1.0, 1.0)},
]


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("optimiser", RULES)
def test_an_epoch_is_the_one_written_down(
    drawn: list[Tensor], seen: list[Tensor], optimiser: str, samples: int
) -> None:
    """Six steps of three members, in rates, beta and temperature each by its own schedule, and the epoch's means."""
    options = STRATEGIES["gumbel-softmax"].Options
    trainer = build(
        *(
            {
                "strategy": "gumbel-softmax",
                "samples": samples,
                "optimiser": optimiser,
                "learning_rate": Schedule(own["rate"][0], decay=own["rate"][1], unit="step"),
                "auxiliary_learning_rate": Schedule(0.5),
                "beta": Schedule(own["beta"][0], warmup=own["beta"][1], unit="step"),
                "options": options(Schedule(own["temperature"][0], decay=own["temperature"][1], unit="step")),
            }
            for own in MEMBERS
        )
    )
    before = [copied(list(trainer.model.parameters()), p) for p in range(len(MEMBERS))]
    trainer.train_epoch(lambda: True)
    assert len(drawn) == len(seen) == STEPS
    for p, own in enumerate(MEMBERS):
        weights, totals = before[p], []
        rule = RULES[optimiser](weights)
        for step in range(STEPS):
            (rate, decay), (beta, warmup), (initial, cooling) = own["rate"], own["beta"], own["temperature"]
            uniform = drawn[step][p].unflatten(0, (samples, BATCH))
            reconstruction, kl = relaxed_parts(weights, seen[step][p], uniform, initial * cooling**step)
            loss = reconstruction + beta * (min(1.0, step / warmup) if warmup else 1.0) * kl
            totals.append([each.item() for each in (loss, reconstruction, kl)])
            rule.zero_grad()
            loss.backward()
            rule.param_groups[0]["lr"] = rate * decay**step
            rule.step()
        for found, expected in zip(trainer.model.parameters(), weights, strict=True):
            torch.testing.assert_close(found[p], expected.detach(), rtol=1e-4, atol=1e-5)
        means = torch.tensor(totals).mean(0)
        torch.testing.assert_close(torch.tensor([each[p] for each in trainer.means()]), means, rtol=1e-4, atol=1e-5)


def test_a_learned_baseline_has_a_loss_of_its_own(drawn: list[Tensor], seen: list[Tensor]) -> None:
    """NVIL's first step: neither beta nor the model's loss has a part in the baseline's gradient, nor it in theirs."""
    betas = [0.5, 2.0]
    trainer = build(*({"strategy": "nvil", "beta": Schedule(beta)} for beta in betas))
    statistics, model, own = gradients(trainer)
    for p, beta in enumerate(betas):
        weights = copied(list(trainer.model.parameters()), p)
        baseline = copied(list(trainer.population.strategies.parameters()), p)
        pixels, logits = seen[0][p], coded(weights, seen[0][p])
        taken = (logits + gumbel(drawn[0][p])).argmax(-1)
        sample = F.one_hot(taken, CATEGORIES).float()
        loss = nll(network(weights[4:], sample.flatten(-2)), pixels)
        predicted = network(baseline, pixels).squeeze(-1)
        residual = (loss - predicted).detach()
        others = [torch.cat([residual[:b], residual[b + 1 :]]) for b in range(BATCH)]
        mean = torch.stack([each.mean() for each in others])
        deviation = torch.stack([each.std(correction=0) for each in others]).clamp_min(1)
        log_q = (logits.log_softmax(-1) * sample).sum((-1, -2))
        encoder = ((residual - mean) * log_q + beta * divergence(logits)) / deviation  # all of it, the KL too
        total = (loss + encoder).mean()
        for found, expected in zip(model, torch.autograd.grad(total, weights, retain_graph=True), strict=True):
            torch.testing.assert_close(found[p], expected, rtol=1e-4, atol=1e-5)
        error = (loss.detach() - mean - predicted).square().mean()
        for found, expected in zip(own, torch.autograd.grad(error, baseline), strict=True):
            torch.testing.assert_close(found[p], expected, rtol=1e-4, atol=1e-5)
        values = [loss.mean() + beta * divergence(logits).mean(), loss.mean(), divergence(logits).mean()]
        torch.testing.assert_close(statistics[p], torch.stack(values).detach(), rtol=1e-4, atol=1e-5)


def test_a_bound_over_samples_has_the_kl_in_it_once(drawn: list[Tensor], seen: list[Tensor]) -> None:
    """VIMCO's loss is ``-log mean exp(log p(x | z) - beta log q(z) / p(z))``, and nothing is added to it."""
    betas = [0.5, 2.0]
    trainer = build(*({"strategy": "vimco", "beta": Schedule(beta)} for beta in betas))
    statistics, model, own = gradients(trainer)
    assert own == []
    samples = len(drawn)
    assert samples == trainer.config.options.draws > 1
    for p, beta in enumerate(betas):
        weights = copied(list(trainer.model.parameters()), p)
        pixels, logits = seen[0][p], coded(weights, seen[0][p])
        uniform = torch.stack([each[p] for each in drawn])  # [S, B, N, K]
        sample = F.one_hot((logits + gumbel(uniform)).argmax(-1), CATEGORIES).float()
        log_q = (logits.log_softmax(-1) * sample).sum((-1, -2))
        ratio = log_q + LATENTS * torch.tensor(float(CATEGORIES)).log()
        losses = nll(network(weights[4:], sample.flatten(-2)), pixels) + beta * ratio.detach()
        bound = (torch.tensor(float(samples)).log() - (-losses).logsumexp(0)).mean()
        torch.testing.assert_close(statistics[p, :2], torch.stack([bound, bound]).detach(), rtol=1e-4, atol=1e-5)
        for found, expected in zip(model[4:], torch.autograd.grad(bound, weights[4:]), strict=True):
            torch.testing.assert_close(found[p], expected, rtol=1e-4, atol=1e-5)


def test_a_critics_gradient_and_its_models_are_those_written_down(drawn: list[Tensor], seen: list[Tensor]) -> None:
    """``mean D(fake) - mean D(real) + lambda mean (|grad D| - 1)^2``; the model's ``-log p(x | z) - beta D(z)``."""
    betas, temperature, penalty = [0.5, 2.0], 0.7, 3.0
    fields: dict[str, Any] = {
        "strategy": "gumbel-softmax",
        "task": "adversarial-vae",
        "options": STRATEGIES["gumbel-softmax"].Options(Schedule(temperature)),
        "criticism": CriticConfig(gradient_penalty=penalty, critic_steps=2),
    }
    trainer = build(*({**fields, "beta": Schedule(beta)} for beta in betas))
    statistics, model, own = gradients(trainer)
    assert own == []
    (for_model,) = drawn
    judgement, *critics = trainer.game.gradients(seen[0], trainer.values[0], trainer.noise)
    for_prior, for_posterior, places = drawn[1:]
    for p, beta in enumerate(betas):
        weights = copied(trainer.model.own_parameters(), p)
        critic = copied(list(trainer.model.critic.parameters()), p)
        pixels, logits = seen[0][p], coded(weights, seen[0][p])
        sample = ((logits + gumbel(for_model[p])) / temperature).softmax(-1).flatten(-2)
        reconstruction = nll(network(weights[4:], sample), pixels).mean()
        loss = reconstruction - beta * network(critic, sample).mean()
        for found, expected in zip(model, torch.autograd.grad(loss, weights, retain_graph=True), strict=True):
            torch.testing.assert_close(found[p], expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(statistics[p], torch.stack([loss, loss, 0 * loss]).detach(), rtol=1e-4, atol=1e-5)

        real = (gumbel(for_prior[p]) / temperature).softmax(-1).flatten(-2)
        fake = ((logits + gumbel(for_posterior[p])) / temperature).softmax(-1).flatten(-2).detach()
        between = (real + places[p] * (fake - real)).requires_grad_()
        (slope,) = torch.autograd.grad(network(critic, between).sum(), between, create_graph=True)
        distance = network(critic, real).mean() - network(critic, fake).mean()
        total = -distance + penalty * (slope.square().sum(-1).sqrt() - 1).square().mean()
        for found, expected in zip(critics, torch.autograd.grad(total, critic, materialize_grads=True), strict=True):
            torch.testing.assert_close(found[p], expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(judgement[p], torch.stack([total, distance]).detach(), rtol=1e-4, atol=1e-5)
