"""Quantised latents: which value is taken, what the decoder sees, and what the code costs."""

import math

import pytest
import torch
from torch import Tensor

from discrete_vae.config import Config
from discrete_vae.errors import InputError
from discrete_vae.evaluation.population import Population
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.latents.quantised import Codebook, Grid
from discrete_vae.strategies import Fsq, Objective, RotatedVqVae, SumAndSample, VqVae
from discrete_vae.tasks import Architecture


def normal(stream: str, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=seeded(0, "quantised", stream), dtype=torch.float64)


@pytest.mark.parametrize("leading", [(), (2,)], ids=["plain", "population"])
def test_the_nearest_vector_is_taken(leading) -> None:
    """By a loop over images, variables and vectors; members have codebooks of their own."""
    vectors, points = normal("vectors", *leading, 4, 4), normal("points", *leading, 5, 3, 4)
    family = Codebook(3, 4, vectors)
    sample = family.sample(points, Noise([None] * max(1, sum(leading))), 2)
    assert sample.shape == (*leading, 2, 5, 3, 4)
    index = family.index(points)
    assert index.unique().numel() == 4, "every vector is taken"
    for own, book, found, taken in zip(
        points.view(-1, 5, 3, 4), vectors.view(-1, 4, 4), sample.view(-1, 2, 5, 3, 4), index.view(-1, 5, 3), strict=True
    ):
        for b in range(5):
            for n in range(3):
                distances = [math.dist(own[b, n].tolist(), vector.tolist()) for vector in book]
                nearest = distances.index(min(distances))
                assert taken[b, n] == nearest
                assert found[0, b, n].equal(book[nearest])
                assert found[1, b, n].equal(book[nearest])


@pytest.mark.parametrize("levels", [2, 3, 5, 8, 10])
def test_a_grid_has_its_levels(levels: int) -> None:
    """Those of the published code, ``round(bound(z)) / (L // 2)``, and all of them are reached."""
    points = torch.linspace(-9, 9, 2001, dtype=torch.float64)
    family = Grid(1, levels)
    parameters = points.view(-1, 1, 1)
    sample, index = family.sample(parameters, Noise()).flatten(), family.index(parameters).flatten()
    half = (levels - 1) * (1 - 1e-3) / 2
    offset = 0.5 if levels % 2 == 0 else 0.0
    for z, found in zip(points.tolist(), sample.tolist(), strict=True):
        bounded = math.tanh(z + math.tan(offset / half)) * half - offset
        assert found == pytest.approx(round(bounded) / (levels // 2), abs=1e-12)
    assert index.unique().tolist() == list(range(levels))
    assert sample.unique().tolist() == pytest.approx([(k - levels // 2) / (levels // 2) for k in range(levels)])
    assert family.bounded(torch.tensor(0.0)) == pytest.approx(0, abs=0.06 if levels > 2 else 0.3)


@pytest.mark.parametrize("family", [Codebook(3, 4, normal("cost", 4, 4)), Grid(3, 4)], ids=["codebook", "grid"])
def test_a_code_costs_log_k_of_each_variable(family) -> None:
    points = normal("cost points", 2, 5, *family.parameter_shape)
    assert family.kl(points).equal(torch.full((2, 5, 3), math.log(4), dtype=torch.float64))
    sample = family.sample(points, Noise([seeded(0), seeded(1)]), 6)
    assert family.log_ratio(points.unsqueeze(1), sample).equal(
        torch.full((2, 6, 5), -3 * math.log(4), dtype=torch.float64)
    )
    mean = family.mean(points)
    assert mean.shape == (2, 5, 3, 4)
    assert mean.argmax(-1).equal(family.index(points))
    assert mean.sum(-1).eq(1).all()
    counts = mean.mean(1)
    expected = -torch.special.xlogy(counts, counts).sum((-1, -2))
    torch.testing.assert_close(family.code_entropy(counts), expected)


@pytest.mark.parametrize("family", [Codebook(3, 4, torch.eye(4)), Grid(3, 4)], ids=["codebook", "grid"])
def test_the_prior_is_uniform(family) -> None:
    """Counts of each value of each variable, within 5 standard errors."""
    sample = family.prior_sample(4000, Noise([seeded(1)]))
    assert sample.shape == (4000, *family.sample_shape)
    values = family.code(torch.arange(4).view(1, 1, 4)).squeeze()  # [K, ...]
    taken = sample.unsqueeze(-2).eq(values.view(4, -1)).all(-1)  # [count, N, K]
    assert ((taken.sum(0) - 1000).abs() < 5 * math.sqrt(4000 * 3 / 16)).all()


def test_a_codebook_without_vectors_says_so() -> None:
    with pytest.raises(InputError, match="build a strategy"):
        Codebook(3, 4).index(torch.zeros(1, 3, 4))


@pytest.mark.parametrize("name", ["vq-vae", "vq-vae-rotation", "fsq"])
def test_evaluation_quantises_as_training_does(name: str) -> None:
    """Each member by its own codebook, also in a part of the population."""
    configs = [Config.fitting(name, architecture=Architecture(5, 6, (7,)), seed=seed) for seed in range(3)]
    population = Population.build(configs, torch.device("cpu"))
    with torch.no_grad():
        for parameter in population.strategies.parameters():
            parameter += torch.linspace(-1, 1, parameter.numel()).view_as(parameter)
    logits = torch.randn(3, 8, *population.model.family.parameter_shape, generator=seeded(1))
    objective = Objective(lambda sample: sample.flatten(-2), lambda output: output.sum(-1))
    trained = population.strategy.estimate(logits, objective, Noise([None] * 3)).sample
    assert population.model.family.sample(logits, Noise([None] * 3)).squeeze(1).equal(trained)
    part = population.part(slice(1, 3))
    assert part.model.family.sample(logits[1:], Noise([None] * 2)).squeeze(1).equal(trained[1:])
    alone = population.part(slice(2, 3)).model
    assert alone.draw(4, Noise([seeded(2)])).shape == (1, 4, 784)


@pytest.mark.parametrize("length", [1, 5])
@pytest.mark.parametrize("kind", [VqVae, RotatedVqVae])
def test_vectors_of_another_length_than_the_codebooks_are_refused(kind, length) -> None:
    with pytest.raises(InputError, match=f"the encoder's vectors have {length} numbers each, and the codebook's 4"):
        kind(4).estimate(torch.zeros(2, 3, length), lambda z: z.sum((-1, -2)))


@pytest.mark.parametrize("strategy", [VqVae(4), RotatedVqVae(4), Fsq(3)], ids=lambda each: type(each).__name__)
def test_a_black_box_is_refused(strategy) -> None:
    """Its commitment loss has a gradient in the encoder's vectors, which would hide that the cost has none."""
    logits = torch.randn(2, 3, 4, generator=seeded(1)).requires_grad_()
    with pytest.raises(InputError, match="needs a cost that has a gradient in the sample"):
        strategy.estimate(logits, lambda z: (z > 0).sum((-1, -2)))


def test_bad_levels_and_weights_are_refused_wherever_they_are_set() -> None:
    with pytest.raises(InputError, match="levels is 1; give at least 2"):
        Fsq(1)
    with pytest.raises(InputError, match=r"levels is 2\.5; give a whole number"):
        Fsq(2.5)
    with pytest.raises(InputError, match="categories is 0; give at least 1"):
        VqVae(0)
    strategy = VqVae(4)
    with pytest.raises(InputError, match="commitment is nan; give a finite number of at least 0"):
        strategy.commitment = float("nan")
    summed = SumAndSample()
    with pytest.raises(InputError, match="states is 0; give at least 1"):
        summed.summed = 0
