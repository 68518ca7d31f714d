"""Codes without noise against their papers' formulas: value, gradients in encoder, decoder and codebook, to 1e-9.

Each reference is the paper's own code line for one image, ``q = e + sg(q - e)`` and its kin, left to plain automatic
differentiation, with loops over members, images and variables.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from discrete_vae.config import Config
from discrete_vae.errors import InputError
from discrete_vae.evaluation.population import Population
from discrete_vae.latents.noise import Noise
from discrete_vae.strategies import STRATEGIES, Fsq, Objective, RotatedVqVae, VqVae
from discrete_vae.tasks import Architecture
from tests.strategies.oracles import POPULATION, Posed, Problem, close, normal

COMMITMENT = 0.7
Through = Callable[[Tensor, Tensor], Tensor]


def straight(e: Tensor, q: Tensor) -> Tensor:
    """van den Oord et al. 2017, section 3.2."""
    return e + (q - e).detach()


def rotated(e: Tensor, q: Tensor) -> Tensor:
    """Fifty et al. 2024: ``[|q| / |e| R]_sg e``, R a matrix that turns e to q in their plane and nothing else.

    By the general formula ``I + sin (b a^T - a b^T) + (cos - 1)(a a^T + b b^T)`` with an orthonormal basis a, b.
    """
    start, end = e.detach() / e.detach().norm(), q.detach() / q.detach().norm()
    cosine = start @ end
    other = end - cosine * start
    sine = other.norm()
    other = other / sine
    plane = torch.outer(start, start) + torch.outer(other, other)
    turn = sine * (torch.outer(other, start) - torch.outer(start, other)) + (cosine - 1) * plane
    rotation = torch.eye(len(e), dtype=e.dtype) + turn
    return (q.detach().norm() / e.detach().norm() * rotation) @ e


def test_the_rotation_turns_one_vector_to_the_other() -> None:
    e, q = normal("rotation", shape=(2, 6))
    torch.testing.assert_close(rotated(e, q), q)


@pytest.mark.parametrize("population", [False, True], ids=["plain", "population"])
@pytest.mark.parametrize(("kind", "through"), [(VqVae, straight), (RotatedVqVae, rotated)])
def test_vector_quantisation_is_the_papers(kind: type[VqVae], through: Through, population: bool) -> None:
    """``f(q) + 1/N sum_n |sg(e) - q|^2 + beta 1/N sum_n |e - sg(q)|^2`` (van den Oord et al. 2017, eq. 3)."""
    batch, latents, size = POPULATION
    members = 2 if population else 1
    problems = [Problem(p, batch, (latents, size)) for p in range(members)]
    posed = Posed(problems, plain=not population)
    books = [torch.eye(size, dtype=torch.float64) + normal(p, "book", shape=(size, size)) / 3 for p in range(members)]
    values = [normal(p, "vectors", shape=(batch, latents, size)) for p in range(members)]
    strategy = kind(size, COMMITMENT, members if population else None).double()
    with torch.no_grad():
        strategy.vectors.copy_(torch.stack(books) if population else books[0])
    logits = (torch.stack(values) if population else values[0]).requires_grad_()
    estimate = strategy.estimate(logits, posed.objective(False), Noise([None] * members))
    gradient, *decoder = torch.autograd.grad(estimate.loss.sum(), (logits, *posed.decoder))
    (learned,) = torch.autograd.grad(estimate.strategy_loss.sum(), strategy.vectors)
    assert posed.decoded == batch * members
    for p, problem in enumerate(problems):

        def own(tensor: Tensor, p: int = p) -> Tensor:
            return tensor[p] if population else tensor

        e, book = values[p].clone().requires_grad_(), books[p].clone().requires_grad_()
        codes, rows = torch.zeros_like(e), []
        code_loss = commitment = torch.zeros((), dtype=torch.float64)
        for b in range(batch):
            for n in range(latents):
                distances = [float((e[b, n] - vector).detach().square().sum()) for vector in book]
                q = book[distances.index(min(distances))]
                codes[b, n] = q.detach()
                rows.append(through(e[b, n], q.detach()))
                code_loss = code_loss + (e[b, n].detach() - q).square().sum() / latents / batch
                commitment = commitment + (e[b, n] - q.detach()).square().sum() / latents
        decoded = torch.stack(rows).view_as(e)
        close(own(estimate.sample), codes, "sample")
        close(own(estimate.loss), problem.f(codes), "value")
        total = problem.f(decoded).sum() + COMMITMENT * commitment
        slopes = torch.autograd.grad(total, (e, *problem.decoder))
        close(own(gradient), slopes[0], "gradient in the encoder's vectors")
        for actual, expected in zip(decoder, slopes[1:], strict=True):
            close(own(actual), expected, "gradient in the decoder")
        close(own(estimate.strategy_loss), code_loss.detach(), "codebook loss")
        close(own(learned), torch.autograd.grad(code_loss, book)[0], "gradient in the codebook")


@pytest.mark.parametrize("levels", [2, 4, 5])
def test_scalar_quantisation_is_the_papers(levels: int) -> None:
    """``z + sg(round(z) - z)`` of the bounded z, over ``L // 2`` (Mentzer et al. 2023, appendix A.1)."""
    batch, latents, _ = POPULATION
    problem = Problem(0, batch, (latents, 1))
    values = 2 * normal("numbers", shape=(batch, latents, 1))
    logits = values.clone().requires_grad_()
    estimate = Fsq(levels).estimate(logits, Posed([problem], plain=True).objective(False), Noise())
    (gradient,) = torch.autograd.grad(estimate.loss.sum(), logits)
    z = values.clone().requires_grad_()
    half = (levels - 1) * (1 - 1e-3) / 2
    offset = 0.5 if levels % 2 == 0 else 0.0
    bounded = torch.tanh(z + math.tan(offset / half)) * half - offset
    code = (bounded + (bounded.round() - bounded).detach()) / (levels // 2)
    loss = problem.f(code)
    close(estimate.sample, code.detach(), "sample")
    close(estimate.loss.detach(), loss.detach(), "value")
    close(gradient, torch.autograd.grad(loss.sum(), z)[0], "gradient")
    assert code.unique().numel() == levels


def test_a_rotation_has_its_edges() -> None:
    """A vector of 0, and one opposite to its code, give finite gradients."""
    strategy = RotatedVqVae(2)
    with torch.no_grad():
        strategy.vectors.copy_(torch.tensor([[-1.0, 0.0], [-9.0, 0.0]]))
    logits = torch.tensor([[[0.0, 0.0]], [[1.0, 0.0]]]).requires_grad_()
    estimate = strategy.estimate(logits, Objective(lambda sample: sample, lambda output: output.sum((-1, -2))))
    assert torch.autograd.grad(estimate.loss.sum(), logits)[0].isfinite().all()


@pytest.mark.parametrize("value", [-0.1, float("inf"), float("nan")])
def test_a_commitment_below_0_is_refused(value: float) -> None:
    with pytest.raises(InputError, match="commitment is"):
        VqVae(3, value)
    with pytest.raises(InputError, match="commitment is"):
        STRATEGIES["vq-vae"].Options(commitment=value)


def test_codebooks_are_built_for_the_model() -> None:
    """One for each member, of as many vectors as there are categories, which start at the simplex' corners."""
    configs = [Config.fitting("vq-vae", architecture=Architecture(5, 6, (7,)), seed=seed) for seed in range(3)]
    population = Population.build(configs, torch.device("cpu"))
    (vectors,) = population.strategies.parameters()
    assert vectors.equal(torch.eye(6).expand(3, 6, 6))
    assert population.model.family.vectors is vectors
