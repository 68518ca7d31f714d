"""Evaluation over many images in several batches and chunks, against sums over the images one by one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from discrete_vae.config import Config
from discrete_vae.data import DataConfig, Dataset, Split
from discrete_vae.evaluation import diagnostics, evaluate_population
from discrete_vae.evaluation import yardstick as evaluation
from discrete_vae.evaluation.diagnostics import diagnose
from discrete_vae.evaluation.population import Population
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.strategies import TargetPropagation
from discrete_vae.tasks import Architecture, CriticConfig, Task, generator
from tests.tiny_images import described

PIXELS = 8
CPU = torch.device("cpu")
BINARY = Architecture(3, 2, (5,))
CLASSES = Architecture(1, 4, (5,), style=2)
CASES: dict[str, dict[str, Any]] = {
    "two categories": {"strategy": "gumbel-softmax", "architecture": BINARY},
    "one-hot": {"strategy": "reinmax", "architecture": Architecture(2, 5, (6,))},
    "gaussian": {"strategy": "gaussian-reparameterisation", "architecture": BINARY},
    "auto-encoder": {"strategy": "auto-encoder", "architecture": BINARY},
    "two layers": {"strategy": "gumbel-softmax", "architecture": replace(BINARY, layers=2)},
    "prediction": {"strategy": "gumbel-softmax", "architecture": BINARY, "task": "structured-prediction"},
    "deep prediction": {
        "strategy": "reinmax",
        "architecture": replace(BINARY, layers=2),
        "task": "structured-prediction",
    },
    "semi-supervised": {"strategy": "marginalisation", "architecture": CLASSES, "task": "semi-supervised"},
    "labels alone": {"strategy": "gumbel-softmax", "architecture": CLASSES, "task": "labels-alone"},
    "adversarial": {"strategy": "gumbel-softmax", "architecture": BINARY, "task": "adversarial-vae"},
}
SIZES = [
    pytest.param(1037, 1, 4000, id="1037 images in batches of 1000 and 37"),
    pytest.param(1037, 7, 500, id="1037 images in eleven batches, samples in chunks of 5 and 2"),
    pytest.param(230, 3, 150, id="230 images in batches of 100, 100 and 30, samples one by one"),
    pytest.param(334, 12, 4000, id="334 images in batches of 333 and 1"),
]


def images(count: int, classes: int = 4) -> Dataset:
    """The later, the brighter, so that no batch is like another; two splits to tell apart."""

    def split(stream: str) -> Split:
        brightness = torch.linspace(0.05, 0.95, count).unsqueeze(1)
        pixels = torch.rand(count, PIXELS, generator=seeded(0, stream)) < brightness
        labels = torch.randint(0, classes, (count,), generator=seeded(1, stream))
        return Split(pixels.to(torch.uint8), labels)

    test, other = split("test"), split("other")
    return Dataset(DataConfig(), other, other, test)


def build(case: str, members: int = 2) -> Population:
    """Members whose posteriors follow the image: the encoder's weights are those of a trained one in size."""
    fields = {"batch_size": 10, "epochs": 1, "data": described(2, 4), **CASES[case]}
    population = Population.build([Config.fitting(**fields, seed=seed) for seed in range(members)], CPU)
    with torch.no_grad():
        for parameter in population.model.encoder.parameters():
            parameter.mul_(2.0)
        for parameter in population.model.decoder.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=seeded(2)))
    for name in population.strategy.scheduled():
        population.strategy.follow({name: torch.linspace(0.5, 1.5, members)})
    return population


class Recorder:
    """Notes each block of samples that evaluation weighs, and the loss of each relaxed sample."""

    def __init__(self, model: Task, monkeypatch: pytest.MonkeyPatch) -> None:
        self.blocks: list[tuple[Tensor, Tensor, Tensor]] = []
        self.relaxed: list[Tensor] = []
        log_weights, estimate = type(model).log_weights, type(model).estimate

        def weighed(task: Task, pixels: Tensor, parameters: Tensor, noise: Noise, samples: int) -> Any:
            log_prob, log_ratio = log_weights(task, pixels, parameters, noise, samples)
            self.blocks.append((pixels.clone(), log_prob.clone(), log_ratio.expand_as(log_prob).clone()))
            return log_prob, log_ratio

        def estimated(*arguments: Any) -> Any:
            found = estimate(*arguments)
            self.relaxed.append(found.loss.clone())
            return found

        monkeypatch.setattr(type(model), "log_weights", weighed)
        monkeypatch.setattr(type(model), "estimate", estimated)

    def samples_of(self, member: int, split: Split, samples: int) -> Iterator[list[tuple[float, float]]]:
        """The pairs of log-likelihood and log-ratio of each image's samples, in the order of the images."""
        pairs: list[list[tuple[float, float]]] = [[] for _ in range(len(split))]
        start = 0
        for pixels, log_prob, log_ratio in self.blocks:
            size = log_prob.shape[-1]
            assert pixels[member].equal(split.pixels[start : start + size].float())
            for b in range(size):
                found = zip(log_prob[member, :, b].tolist(), log_ratio[member, :, b].tolist(), strict=True)
                pairs[start + b].extend(found)
            if len(pairs[start]) == samples:
                start += size
        assert {len(each) for each in pairs} == {samples}, "each image has all of its samples"
        yield from pairs


def mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def log_mean_exp(values: list[float]) -> float:
    largest = max(values)
    return largest + math.log(mean([math.exp(value - largest) for value in values]))


def divergences(parameters: Tensor, family: str) -> list[list[float]]:
    """Exact KL of each variable of each image ``[M, N, ...]`` to the prior, in float64."""
    found = []
    for image in parameters.double().tolist():
        row = []
        for values in image:
            if family == "Gaussian":
                location, log_variance = values
                row.append((location**2 + math.exp(log_variance) - 1 - log_variance) / 2)
            elif family == "Deterministic":
                row.append(0.0)
            else:
                total = math.fsum(map(math.exp, values))
                shares = [math.exp(value) / total for value in values]
                row.append(math.fsum(p * math.log(p * len(values)) for p in shares))
        found.append(row)
    return found


def by_hand(population: Population, recorder: Recorder, split: Split, member: int, samples: int) -> dict[str, float]:
    """All metrics of one member by sums over the images, in Python's own numbers."""
    model = population.model
    with torch.no_grad():
        parameters = model.encode(split.pixels.float().expand(len(population.configs), -1, -1))[member]
    reconstructions, ratios, bounds = [], [], []
    for pairs in recorder.samples_of(member, split, samples):
        reconstructions.append(mean([log_prob for log_prob, _ in pairs]))
        ratios.append(mean([ratio for _, ratio in pairs]))
        bounds.append(log_mean_exp([sum(pair) for pair in pairs]))
    metrics = {"reconstruction_hard": mean(reconstructions)}
    if samples > 1:
        metrics["log_likelihood"] = mean(bounds)
    if population.strategy.claim.relaxed and model.exact:
        losses = [loss for batch in recorder.relaxed for loss in batch[member].tolist()]
        assert len(losses) == len(split)
        metrics["reconstruction_relaxed"] = -mean(losses)
    family = type(model.family).__name__
    each = divergences(parameters, family)
    averages = [mean([row[n] for row in each]) for n in range(model.family.latents)]
    if model.posterior:
        metrics["active_latents"] = sum(average > 0.01 for average in averages)
    exact = model.posterior and model.exact
    metrics["kl"] = math.fsum(averages) if exact else -mean(ratios)
    metrics["elbo"] = metrics["reconstruction_hard"] - metrics["kl"]
    if family == "Categorical":
        code = parameters.double().softmax(-1).mean(0)
        metrics["code_entropy"] = -math.fsum(p * math.log(p) for p in code.flatten().tolist())
    if model.scores(parameters[None], split.labels):
        right = [
            max(range(len(row[0])), key=row[0].__getitem__) == label
            for row, label in zip(parameters.tolist(), split.labels.tolist(), strict=True)
        ]
        metrics["accuracy"] = mean([float(each) for each in right])
    return metrics


@pytest.mark.parametrize(("count", "samples", "rows"), SIZES)
@pytest.mark.parametrize("case", CASES)
def test_every_metric_is_a_mean_over_all_images(
    monkeypatch: pytest.MonkeyPatch, case: str, count: int, samples: int, rows: int
) -> None:
    """To 1e-4 nats, at the samples that evaluation drew; in batches that differ by whole nats from each other."""
    monkeypatch.setitem(evaluation.ROWS, "cpu", rows)
    data, population = images(count), build(case)
    recorder, told = Recorder(population.model, monkeypatch), []
    found = evaluate_population(population, data, "test", samples, told.append, memory=2**40)
    assert len(recorder.blocks) > 1
    assert sum(told) == 2 * count
    for member in range(2):
        expected = by_hand(population, recorder, data.test, member, samples)
        assert {name: float(values[member]) for name, values in found.items()} == pytest.approx(expected, abs=1e-4)
    assert case == "labels alone" or not found["elbo"][0].isclose(found["elbo"][1]), "members differ"


def fixed(self: Noise, shape: Any, dtype: torch.dtype = torch.float32) -> Tensor:
    """Uniform numbers that depend on the member and the variable only, not on the image or the sample."""
    member, row, column = (torch.arange(size).to(dtype) for size in (shape[0], *shape[-2:]))
    place = 1 + 5 * member[:, None, None] + 3 * row[:, None] + 7 * column
    numbers = place * 0.6180339887 % 1
    return numbers.reshape(shape[0], *[1] * (len(shape) - 3), *shape[-2:]).expand(*shape).clone()


@pytest.mark.parametrize(("count", "samples", "rows"), SIZES)
@pytest.mark.parametrize("case", ["two categories", "one-hot"])
def test_batches_give_what_one_pass_over_all_images_gives(
    monkeypatch: pytest.MonkeyPatch, case: str, count: int, samples: int, rows: int
) -> None:
    """With noise that is the same for all images the whole evaluation is a formula, here in float64."""
    monkeypatch.setitem(evaluation.ROWS, "cpu", rows)
    monkeypatch.setattr(Noise, "uniform", fixed)
    data, population = images(count), build(case)
    found = evaluate_population(population, data, "test", samples, memory=2**40)
    model = population.model.double()
    pixels = data.test.pixels.double()
    latents, categories = model.family.parameter_shape
    with torch.no_grad():
        logits = model.encoder.network(pixels.expand(2, -1, -1)).view(2, count, latents, categories)
        probabilities = logits.softmax(-1)
        uniform = fixed(Noise(), (2, 1, latents, 1), torch.float64)
        index = (uniform >= probabilities.cumsum(-1)[..., :-1]).sum(-1)
        hard = F.one_hot(index, categories).double()

        def likelihood(sample: Tensor) -> Tensor:
            output = model.decoder(sample.flatten(-2))
            return torch.distributions.Bernoulli(logits=output).log_prob(pixels).sum((-1, -2)) / count

        taken = probabilities.gather(-1, index.unsqueeze(-1)).log().sum((-1, -2, -3)) / count
        kl = (probabilities * (probabilities * categories).log()).sum((-1, -2, -3)) / count
        reconstruction = likelihood(hard)
        expected = {"reconstruction_hard": reconstruction, "kl": kl, "elbo": reconstruction - kl}
        if samples > 1:
            expected["log_likelihood"] = reconstruction - latents * math.log(categories) - taken
        if population.strategy.claim.relaxed:
            gumbel = -(-(1 - fixed(Noise(), (2, 1, latents, categories), torch.float64)).log()).log()
            temperature = torch.tensor([0.5, 1.5]).double().view(2, 1, 1, 1)
            expected["reconstruction_relaxed"] = likelihood(((logits + gumbel) / temperature).softmax(-1))
    for name, values in expected.items():
        torch.testing.assert_close(found[name].double(), values, rtol=0, atol=1e-4, msg=name)


def test_relaxed_samples_are_the_same_however_many_hard_ones_are_drawn() -> None:
    """They have noise of their own, in the order of the images, so that batches of other sizes change nothing."""
    data, population = images(1037), build("two categories")
    found = [evaluate_population(population, data, "test", samples)["reconstruction_relaxed"] for samples in (1, 7, 40)]
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-6, atol=0)


def reader(gains: list[float]) -> Population:
    """An encoder that reads one-hot pixels: latent n has the logits of pixels 2 n and 2 n + 1 times its gain."""
    own = Config("reinmax", None, Architecture(len(gains), 2, ()), described(len(gains), 2), batch_size=10, epochs=1)
    population = Population.build([own], CPU)
    with torch.no_grad():
        (layer,) = population.model.encoder.network.layers
        layer.weight.copy_(torch.diag(torch.tensor(gains).repeat_interleave(2)))
    return population


def coded(codes: list[list[int]]) -> Dataset:
    split = Split(F.one_hot(torch.tensor(codes), 2).flatten(1).to(torch.uint8), torch.zeros(len(codes)).long())
    return Dataset(DataConfig(), split, split, split)


def test_codes_that_change_in_the_last_batch_count_by_their_share() -> None:
    """1,000 images of category 0 and 37 of category 1: certain in each batch, 0.154 nats over all of them."""
    found = evaluate_population(reader([99.0]), coded([[0]] * 1000 + [[1]] * 37), "test", 1)
    share = 37 / 1037
    expected = -(share * math.log(share) + (1 - share) * math.log(1 - share))
    assert found["code_entropy"].item() == pytest.approx(expected, rel=1e-4)
    assert found["kl"].item() == pytest.approx(math.log(2), rel=1e-5)


def test_a_latent_is_active_by_its_mean_over_all_images() -> None:
    """Two latents move in all but the last batch and are active; one moves in the last alone and is not; one never."""
    population = reader([0.0] * 4)
    (layer,) = population.model.encoder.network.layers
    with torch.no_grad():
        for latent in range(3):  # its second pixel moves its logit by one, its first by nothing
            layer.weight[0, 2 * latent + 1, 2 * latent] = 1.0
    found = evaluate_population(population, coded([[1, 1, 0, 0]] * 1000 + [[0, 0, 1, 0]] * 37), "test", 1)
    share = 1 / (1 + math.e)
    moved = share * math.log(2 * share) + (1 - share) * math.log(2 * (1 - share))
    assert moved * 37 / 1037 < evaluation.ACTIVE < moved * 1000 / 1037
    assert found["active_latents"].tolist() == [2]
    assert found["kl"].item() == pytest.approx(moved * 2037 / 1037, rel=1e-5)


@pytest.mark.parametrize("count", [150, 1037])
def test_diagnostics_see_the_first_images_of_the_validation_split(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """200 of them at most, each once, for every member; and not those of another split."""
    data = images(count)
    monkeypatch.setitem(CASES, "told", {"strategy": "target-propagation", "architecture": BINARY})
    monkeypatch.setattr(TargetPropagation, "diagnose", lambda self, logits, objective, noise: {"seen": objective})
    population = build("told")
    seen = diagnose(population, data)["seen"].model.observation  # type: ignore[attr-defined]
    first = min(count, 200)
    assert diagnostics.IMAGES == 200
    assert seen.equal(data.validation.pixels[:first].float().expand(2, -1, -1))


def test_diagnostics_are_means_over_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve images at once and one at a time, by noise that is the same for every image; a correction by squares."""
    monkeypatch.setattr(Noise, "uniform", fixed)
    monkeypatch.setitem(CASES, "targets", {"strategy": "target-propagation", "architecture": BINARY})
    population, data = build("targets"), images(12)

    def alone(i: int) -> dict[str, Tensor]:
        validation = replace(data.validation, pixels=data.validation.pixels[i : i + 1])
        return diagnose(population, replace(data, validation=validation))

    together, apart = diagnose(population, data), [alone(i) for i in range(12)]
    assert len(together) == 7
    for name, values in together.items():
        power = 2 if name == "mean_correction" else 1
        for member in range(2):
            expected = mean([float(each[name][member]) ** power for each in apart])
            assert float(values[member]) ** power == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_a_critics_distance_is_a_mean_over_all_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """237 points judged 100 at a time: mean value of the data less mean value of as many samples."""
    monkeypatch.setattr(generator, "ROWS", 100)
    points = torch.randn(237, 2, generator=seeded(0)) + torch.linspace(-3, 3, 237).unsqueeze(1)
    split = Split(points, torch.zeros(237).long())
    data = Dataset(DataConfig("8-gaussians"), split, split, split)
    configs = [
        Config(
            "backpropagation",
            task="critic",
            data=data.config,
            architecture=Architecture(hidden=(6,)),
            batch_size=10,
            criticism=CriticConfig(critic_steps=1),
            seed=seed,
        )
        for seed in range(2)
    ]
    population = Population.build(configs, CPU)
    pairs, kind = [], type(population.model)
    original = kind.pairs

    def recorded(*arguments: Any) -> tuple[Tensor, Tensor]:
        pairs.append(original(*arguments))
        return pairs[-1]

    monkeypatch.setattr(kind, "pairs", recorded)
    told: list[int] = []
    found = evaluate_population(population, data, "test", 1, told.append, memory=2**40)
    assert sum(told) == 2 * 237
    real, fake = (torch.cat(part, 1) for part in zip(*pairs, strict=True))
    assert real.equal(points.expand(2, -1, -1))
    with torch.no_grad():
        values = [[population.model.value(part)[p].double().tolist() for part in (real, fake)] for p in range(2)]
    expected = [mean(one) - mean(other) for one, other in values]
    assert found["wasserstein"].tolist() == pytest.approx(expected, abs=1e-5)
