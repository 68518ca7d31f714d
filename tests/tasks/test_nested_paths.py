"""Pathwise strategies through nested objectives: every path from the first logits to the loss, by plain autograd.

The same composition is written down without the library, with the same noise. The second layer's logits, objective and
penalty, and the first layer's output, all depend on the first sample; each of these paths is also cut by hand, to show
that its share in the gradient is seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from discrete_vae.latents.categorical import Categorical, log_prob
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.likelihoods import Bernoulli
from discrete_vae.strategies import (
    STRATEGIES,
    GappedStraightThrough,
    GumbelSoftmax,
    Objective,
    ReinMax,
    Softmax,
    StraightThrough,
    StraightThroughGumbelSoftmax,
    Strategy,
)
from discrete_vae.tasks import TASKS, Architecture
from discrete_vae.tasks.nesting import Layer, nested
from tests.tiny_images import blueprint

MEMBERS, BATCH, OUTPUTS = 2, 3, 5
SHAPES = [(2, 3), (4, 2), (3, 4)]
"""Variables and categories of the three layers: no two alike, so that noise and axes cannot be mixed up."""
TEMPERATURE = 0.75
"""Exact in single precision, which is how a strategy holds it."""


def normal(stream: str, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=seeded(0, stream), dtype=torch.float64)


class Fixed(Noise):
    """The same numbers for every request of a shape, whoever asks first."""

    def uniform(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.rand(*shape, generator=seeded(1, "uniform", *shape), dtype=dtype)


def gumbel(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    return -(-(1 - Fixed().uniform(shape, dtype)).log()).log()


def replaced(value: Tensor, surrogate: Tensor) -> Tensor:
    """The value with the surrogate's gradient, as the papers' code has it."""
    return value + surrogate - surrogate.detach()


def hard(logits: Tensor) -> Tensor:
    perturbed = logits.detach() + gumbel(logits.shape, logits.dtype)
    return F.one_hot(perturbed.argmax(-1), logits.shape[-1]).to(logits.dtype)


def relaxed(logits: Tensor) -> Tensor:
    return ((logits + gumbel(logits.shape, logits.dtype)) / TEMPERATURE).softmax(-1)


def reinmax(logits: Tensor) -> Tensor:
    """Algorithm 2 of Liu et al. 2023, line by line."""
    sample = hard(logits)
    middle = (sample + (logits / TEMPERATURE).softmax(-1)) / 2
    middle = ((middle.log() - logits).detach() + logits).softmax(-1)
    return replaced(sample, 2 * middle - logits.softmax(-1) / 2)


def gapped(logits: Tensor) -> Tensor:
    sample = hard(logits)
    largest = logits.amax(-1, keepdim=True)
    moved = torch.where(sample > 0, largest, torch.minimum(logits, largest - 1))
    return replaced(sample, ((logits + (moved - logits).detach()) / TEMPERATURE).softmax(-1))


SAMPLERS: dict[str, tuple[Callable[[], Strategy], Callable[[Tensor], Tensor]]] = {
    "softmax": (Softmax, lambda logits: logits.softmax(-1)),
    "gumbel-softmax": (lambda: GumbelSoftmax(TEMPERATURE), relaxed),
    "straight-through gumbel-softmax": (
        lambda: StraightThroughGumbelSoftmax(TEMPERATURE),
        lambda logits: replaced(hard(logits), relaxed(logits)),
    ),
    "straight-through": (
        lambda: StraightThrough(TEMPERATURE),
        lambda logits: replaced(hard(logits), (logits / TEMPERATURE).softmax(-1)),
    ),
    "reinmax": (lambda: ReinMax(TEMPERATURE), reinmax),
    "gapped straight-through": (lambda: GappedStraightThrough(TEMPERATURE), gapped),
}


def flat(layer: int) -> int:
    latents, categories = SHAPES[layer]
    return latents * categories


WEIGHTS = {
    "logits": normal("logits", MEMBERS, BATCH, *SHAPES[0]),
    **{f"decode {k}": normal(f"decode {k}", flat(k), OUTPUTS) for k in range(3)},
    **{f"up {k}": normal(f"up {k}", flat(k - 1), flat(k)) for k in (1, 2)},
    **{f"across {k}": normal(f"across {k}", OUTPUTS, flat(k)) for k in (1, 2)},
    **{f"into {k}": normal(f"into {k}", flat(k - 1), OUTPUTS) for k in (1, 2)},
    **{f"target {k}": normal(f"target {k}", flat(k - 1), OUTPUTS) for k in (1, 2)},
    **{f"cost {k}": normal(f"cost {k}", flat(k - 1), SHAPES[k][0]) for k in (1, 2)},
}
PATHS = [f"{path} {k}" for k in (1, 2) for path in ("logits", "output", "decode", "loss", "kl_term")]
"""Ways from the sample of layer k - 1, or its output, into what layer k costs."""

Cut = Callable[[str, Tensor], Tensor]


def logits_of(weights: dict[str, Tensor], k: int, below: Tensor, output: Tensor, cut: Cut) -> Tensor:
    direct = cut(f"logits {k}", below).flatten(-2) @ weights[f"up {k}"]
    through = cut(f"output {k}", output) @ weights[f"across {k}"]
    return (direct + through / 3).unflatten(-1, SHAPES[k])


def decode(weights: dict[str, Tensor], k: int, below: Tensor | None, sample: Tensor, cut: Cut) -> Tensor:
    """Not linear in the two samples: so the gradient in one needs the other."""
    own = sample.flatten(-2) @ weights[f"decode {k}"]
    if below is None:
        return own
    return own * (1 + (cut(f"decode {k}", below).flatten(-2) @ weights[f"into {k}"]).tanh())


def loss(weights: dict[str, Tensor], k: int, below: Tensor | None, output: Tensor, cut: Cut) -> Tensor:
    if below is None:
        return output.sin().sum(-1)
    target = cut(f"loss {k}", below).flatten(-2) @ weights[f"target {k}"]
    return (output - target).square().sum(-1) / 5


def kl_term(weights: dict[str, Tensor], k: int, below: Tensor, logits: Tensor, cut: Cut) -> Tensor:
    """A divergence that weighs each variable by the sample below."""
    weight = 1 + (cut(f"kl_term {k}", below).flatten(-2) @ weights[f"cost {k}"]).sigmoid()
    q = logits.softmax(-1)
    return (weight * (q * q.log()).sum(-1)).sum(-1)


def nothing(path: str, tensor: Tensor) -> Tensor:
    return tensor


def by_library(name: str, layers: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss ``[P, B]`` and gradients in the first logits and all weights, by nested estimates."""
    weights = {key: value.clone().requires_grad_() for key, value in WEIGHTS.items()}

    def layer(k: int) -> Layer:
        def objective(below: Tensor) -> Objective:
            return Objective(
                decode=lambda sample: decode(weights, k, below, sample, nothing),
                loss=lambda output: loss(weights, k, below, output, nothing),
                kl_term=lambda logits: kl_term(weights, k, below, logits, nothing),
                context=below.flatten(-2),
            )

        return Layer(lambda below, output: logits_of(weights, k, below, output, nothing), objective)

    first = Objective(
        decode=lambda sample: decode(weights, 0, None, sample, nothing),
        loss=lambda output: loss(weights, 0, None, output, nothing),
    )
    make, _ = SAMPLERS[name]
    strategies = [make().double() for _ in range(layers)]
    behind = [layer(k) for k in range(1, layers)]
    estimate = nested(strategies, weights["logits"], first, behind, Fixed())
    return estimate.loss, gradients(estimate.loss, weights)


def by_hand(name: str, layers: int, broken: str | None = None) -> tuple[Tensor, dict[str, Tensor]]:
    """The same in one pass, with one path cut or none."""
    weights = {key: value.clone().requires_grad_() for key, value in WEIGHTS.items()}
    _, sampler = SAMPLERS[name]

    def cut(path: str, tensor: Tensor) -> Tensor:
        return tensor.detach() if path == broken else tensor

    logits, below, total = weights["logits"], None, torch.zeros(MEMBERS, BATCH, dtype=torch.float64)
    for k in range(layers):
        if below is not None:
            total = total + kl_term(weights, k, below, logits, cut)
        sample = sampler(logits)
        output = decode(weights, k, below, sample, cut)
        total = total + loss(weights, k, below, output, cut)
        if k + 1 < layers:
            logits, below = logits_of(weights, k + 1, sample, output, cut), sample
    return total, gradients(total, weights)


def gradients(total: Tensor, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    found = torch.autograd.grad(total.sum(), list(weights.values()), materialize_grads=True, allow_unused=True)
    return dict(zip(weights, found, strict=True))


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("name", SAMPLERS)
def test_nested_gradients_are_those_of_one_pass_through_all_layers(name: str, layers: int) -> None:
    """Of the first logits and of every weight, to the rounding of double precision."""
    (found, given), (expected, exact) = by_library(name, layers), by_hand(name, layers)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    for key, each in exact.items():
        torch.testing.assert_close(given[key], each, rtol=1e-7, atol=1e-9, msg=key)


@pytest.mark.parametrize("broken", PATHS)
@pytest.mark.parametrize("name", SAMPLERS)
def test_every_path_has_a_share_in_the_first_gradient(name: str, broken: str) -> None:
    """With one path cut, the value stays and the first logits' gradient moves by more than 0.1%."""
    (found, given), (expected, exact) = by_library(name, 3), by_hand(name, 3, broken)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    assert (given["logits"] - exact["logits"]).norm() > 1e-3 * given["logits"].norm()


PIXELS, LATENTS, CATEGORIES = 8, 3, 2
BETA = [0.5, 2.0]


def network(module: Any, inputs: Tensor) -> Tensor:
    """Affine maps with a softplus between them, for all members at once."""
    hidden = inputs
    for depth, layer in enumerate(module.layers):
        hidden = torch.einsum("pbi,pio->pbo", F.softplus(hidden) if depth else hidden, layer.weight) + layer.bias
    return hidden


def variables(outputs: Tensor) -> Tensor:
    return outputs.unflatten(-1, (LATENTS, CATEGORIES))


def divergence(logits: Tensor) -> Tensor:
    q = logits.softmax(-1)
    return (q * (CATEGORIES * q).log()).sum((-1, -2))


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("task", ["vae", "structured-prediction"])
def test_layers_of_a_task_are_one_pass_by_relaxed_samples(task: str, depth: int) -> None:
    """Loss and gradients of a model's weights by Gumbel-Softmax, with a beta for each member."""
    architecture = Architecture(LATENTS, CATEGORIES, (5,), layers=depth)
    family = Categorical(LATENTS, CATEGORIES)
    model = TASKS[task](blueprint(architecture, family, 2, PIXELS // 2), [seeded(p, "weights") for p in range(MEMBERS)])
    for parameter in model.parameters():
        parameter.data *= 2  # so that upper layers matter
    pixels = torch.rand(MEMBERS, BATCH, PIXELS, generator=seeded(3)).round()
    beta = torch.tensor(BETA)
    logits = model.encode(pixels)
    strategies = [GumbelSoftmax(TEMPERATURE) for _ in range(depth)]
    estimate = model.estimate(strategies, pixels, logits, beta, Fixed())
    found = estimate.loss + beta.unsqueeze(-1) * model.kl(logits)
    given = torch.autograd.grad(found.sum(), list(model.parameters()))

    upwards: Any = model.up if task == "vae" else model.between
    below, total = None, torch.zeros(MEMBERS, BATCH)
    weight, samples = beta.unsqueeze(-1), []
    for k in range(depth):
        if below is None:
            seen = pixels if task == "vae" else pixels[..., : PIXELS // 2]
            logits = variables(network(model.encoder.network, seen))
        else:
            logits = variables(network(upwards[k - 1], below.flatten(-2)))
        sample = relaxed(logits)
        if task == "vae":
            total = total + weight * divergence(logits)
            if below is not None:
                prior = variables(network(model.down[k - 1], sample.flatten(-2))).log_softmax(-1)  # type: ignore[index]
                cross = (below * prior).sum((-1, -2))
                total = total - weight * (cross + LATENTS * torch.tensor(float(CATEGORIES)).log())
        below = sample
        samples.append(sample)
    code = samples[0 if task == "vae" else -1].flatten(-2)
    target = pixels if task == "vae" else pixels[..., PIXELS // 2 :]
    total = total + Bernoulli().nll(network(model.decoder, code), target)
    torch.testing.assert_close(found, total, rtol=1e-5, atol=1e-5)
    exact = torch.autograd.grad(total.sum(), list(model.parameters()))
    for (name, _), one, other in zip(model.named_parameters(), given, exact, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5, msg=name)


def test_a_bound_of_two_layers_weighs_each_samples_kl_by_beta() -> None:
    """``Objective.sample_kl`` of a layer behind is ``beta log q(z) / p(z)``, whose mean is its KL term."""
    vae = TASKS["vae"](blueprint(Architecture(2, 3, (4,), layers=2), Categorical(2, 3), 1, 5), [seeded(0)])
    images = torch.zeros(1, 4, 5)
    (one,), (three,) = (vae.layers(images, beta) for beta in (1.0, 3.0))
    sample = Categorical(2, 3).sample(torch.zeros(1, 4, 2, 3), Noise([seeded(1)])).squeeze(1)
    logits = torch.randn(1, 4, 2, 3, generator=seeded(2))
    costs = [layer.objective(sample).sample_kl(logits, sample) for layer in (one, three)]
    torch.testing.assert_close(costs[1], 3 * costs[0])
    expected = log_prob(logits, sample) + 2 * torch.tensor(3.0).log()
    torch.testing.assert_close(costs[0], expected)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize(
    "name", [name for name, kind in STRATEGIES.items() if kind.categorical() and kind.categories is None]
)
def test_layers_mask_categories_and_come_in_half_precision(name, dtype) -> None:
    kind, seen = STRATEGIES[name], []
    if name in ("nvil", "relax", "target-propagation"):
        pytest.skip("it is built from networks")
    mask = torch.tensor([0, -math.inf, 0, -math.inf], dtype=dtype)
    weights = torch.randn(8, 8, generator=seeded(0, "between"), dtype=torch.float64).to(dtype).requires_grad_()
    logits = torch.randn(5, 2, 4, generator=seeded(0, "first"), dtype=torch.float64).to(dtype).requires_grad_()

    def decode(z: Tensor) -> Tensor:
        seen.append(z)
        return z.flatten(-2)

    objective = Objective(
        decode=decode,
        loss=lambda output: (output @ weights[0]).square(),
        curvature=lambda output: 2 * weights[0].square().expand_as(output),
    )
    layer = Layer(
        logits=lambda z, _: (z.flatten(-2) @ weights).unflatten(-1, (2, 4)) + mask, objective=lambda _: objective
    )
    strategies = [kind().to(torch.promote_types(dtype, torch.float32)) for _ in range(2)]
    estimate = nested(strategies, logits + mask, objective, [layer], Noise([seeded(1)]))
    (estimate.loss.sum() + estimate.strategy_loss.sum()).backward()
    assert all(each.isfinite().all() for each in (estimate.loss, weights.grad, logits.grad))
    assert not logits.grad[..., [1, 3]].any()
    assert not any(z[..., [1, 3]].any() for z in seen)
