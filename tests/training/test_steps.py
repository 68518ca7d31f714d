"""A training step against the same step written down in plain torch: losses, gradients, optimisers and their rates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from discrete_vae.config import Config
from discrete_vae.data import DataConfig, Dataset, Split
from discrete_vae.latents.noise import Noise
from discrete_vae.runs import Run
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES
from discrete_vae.tasks import Architecture, CriticConfig
from discrete_vae.training.step import Trainer
from tests.tiny_images import described

PIXELS, IMAGES, BATCH, STEPS = 7, 100, 5, 6
LATENTS, CATEGORIES = 3, 2
SHAPE = Architecture(LATENTS, CATEGORIES, (4,))
POINTS = DataConfig("8-gaussians")
TINY = described(PIXELS, 1)

RULES: dict[str, Callable[[Sequence[Tensor]], torch.optim.Optimizer]] = {
    "adam": lambda own: torch.optim.Adam(own, lr=9.0, betas=(0.9, 0.999), eps=1e-8),
    "adam-0-0.9": lambda own: torch.optim.Adam(own, lr=9.0, betas=(0.0, 0.9), eps=1e-8),
    "sgd": lambda own: torch.optim.SGD(own, lr=9.0, momentum=0.9),
}


@pytest.fixture(autouse=True)
def _short_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "steps_per_epoch", STEPS)


def dataset(config: DataConfig) -> Dataset:
    drawn = torch.Generator().manual_seed(0)
    if config == POINTS:
        pixels = torch.randn(IMAGES, 2, generator=drawn)
    else:
        pixels = torch.randint(0, 2, (IMAGES, PIXELS), generator=drawn, dtype=torch.uint8)
    split = Split(pixels, torch.zeros(IMAGES, dtype=torch.int64))
    return Dataset(config, split, split, split)


def build(*fields: dict[str, Any], folder: Path | None = None) -> Trainer:
    """A trainer of members that have these fields of their own, before its first step."""
    shared = {"architecture": SHAPE, "batch_size": BATCH, "data": TINY}
    configs = [Config.fitting(**{**shared, "seed": seed, **own}) for seed, own in enumerate(fields)]
    # Nothing is written without a folder.
    runs = [Run(folder / str(p) if folder else Path(), config) for p, config in enumerate(configs)]
    return Trainer(runs, dataset(configs[0].data), torch.device("cpu"), warn=pytest.fail)


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


def gumbel(uniform: Tensor) -> Tensor:
    return -(-(1 - uniform).log().clamp_max(-1e-9)).log()


def network(weights: Sequence[Tensor], inputs: Tensor) -> Tensor:
    """Two affine maps with a softplus between them."""
    first, first_bias, second, second_bias = weights
    return F.softplus(inputs @ first + first_bias) @ second + second_bias


def copied(parameters: Sequence[nn.Parameter], member: int) -> list[Tensor]:
    return [parameter[member].detach().clone().requires_grad_() for parameter in parameters]


def nll(output: Tensor, pixels: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(output, pixels.expand_as(output), reduction="none").sum(-1)


def divergence(logits: Tensor) -> Tensor:
    """Of each image's posterior to the uniform prior, summed over its variables: ``[B]``."""
    q = logits.softmax(-1)
    return (q * (q * CATEGORIES).log()).sum((-1, -2))


def coded(weights: Sequence[Tensor], pixels: Tensor) -> Tensor:
    return network(weights[:4], pixels).unflatten(-1, (LATENTS, CATEGORIES))


def relaxed_parts(
    weights: Sequence[Tensor], pixels: Tensor, uniform: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """Reconstruction loss of Gumbel-Softmax, a mean over samples ``[S, B, N, K]`` and images, and the KL once."""
    logits = coded(weights, pixels)
    losses = []
    for numbers in uniform:
        sample = ((logits + gumbel(numbers)) / temperature).softmax(-1)
        losses.append(nll(network(weights[4:], sample.flatten(-2)), pixels).mean())
    return torch.stack(losses).mean(), divergence(logits).mean()


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


def gradients(trainer: Trainer) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Statistics of the first step, and gradients of the model's and the strategies' own parameters."""
    trainer.begin_epoch()
    observation = trainer.model.train_batch(trainer.data.train, trainer.order[0], trainer.generators)
    if trainer.game:
        _, observation = trainer.game.model.critic_batches(observation)
    statistics, finite, *found = trainer.gradients(observation, trainer.values[0], trainer.noise)
    assert finite.all()
    count = len(trainer.optimisers[0].parameters)
    return statistics, found[:count], found[count:]


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


OWN = STRATEGIES["target-propagation"].Options
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
            "criticism": CriticConfig(critic_steps=3, critic_learning_rate=0.03),
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
    names = (for_model, for_strategy, "adam-0-0.9")
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
