"""Pathwise strategies as functions, beside ``torch.nn.functional.gumbel_softmax``.

Each takes logits whose categories lie along ``dim`` and gives a sample of their shape and dtype with the strategy's
gradient::

    import discrete_vae.functional as F

    z = F.reinmax(logits, temperature=1.3)  # [..., N, K]
    z = F.gumbel_softmax(logits, tau=0.5, hard=True, dim=1)  # channel-first [B, K, H, W]

A temperature is a number above 0, or a tensor of one an example. A category is masked by a logit of -inf; logits that
are no distribution (NaN, +inf, or -inf alone) give NaN. Randomness comes from ``generator``, or from torch's global
generator of the logits' device. All raise ``InputError`` for logits that are no floating-point tensor, for an unknown
``dim`` and for a hyper-parameter out of its range. Each is the function of the class of the same name in
``discrete_vae.strategies``, which has the paper.

Under ``torch.utils.checkpoint`` leave the generator out: torch restores the state of the global one alone.
"""

from __future__ import annotations

import torch
from torch import Tensor

from discrete_vae import strategies
from discrete_vae.strategies.darn import Centre

Generator = torch.Generator | None
Number = float | Tensor


def _sample(strategy: strategies.Strategy, logits: Tensor, dim: int, generator: Generator) -> Tensor:
    sample: Tensor = strategy(logits, dim, generator)
    return sample


def gumbel_softmax(
    logits: Tensor,
    tau: Number = 1.0,
    hard: bool = False,
    eps: float = 1e-10,
    dim: int = -1,
    generator: Generator = None,
) -> Tensor:
    """Gumbel-Softmax (Jang et al. 2017; Maddison et al. 2017), with ``hard`` its straight-through form.

    The arguments are those of ``torch.nn.functional.gumbel_softmax``; ``eps`` has no effect there either.
    """
    kind = strategies.StraightThroughGumbelSoftmax if hard else strategies.GumbelSoftmax
    return _sample(kind(tau), logits, dim, generator)


def straight_through_gumbel_softmax(
    logits: Tensor, temperature: Number = 0.5, dim: int = -1, generator: Generator = None
) -> Tensor:
    """Straight-through Gumbel-Softmax (Jang et al. 2017): one-hot, differentiated as the relaxed sample."""
    return _sample(strategies.StraightThroughGumbelSoftmax(temperature), logits, dim, generator)


def softmax(logits: Tensor, dim: int = -1, generator: Generator = None) -> Tensor:
    """The probabilities in place of a sample (Gulrajani et al. 2017); it draws nothing."""
    return _sample(strategies.Softmax(), logits, dim, generator)


def straight_through(logits: Tensor, temperature: Number = 1.0, dim: int = -1, generator: Generator = None) -> Tensor:
    """Straight-through (Bengio et al. 2013): one-hot, differentiated as ``softmax(l / temperature)``."""
    return _sample(strategies.StraightThrough(temperature), logits, dim, generator)


def slope_annealed_straight_through(
    logits: Tensor, temperature: Number = 1.0, dim: int = -1, generator: Generator = None
) -> Tensor:
    """Straight-through whose slope, one over the temperature, is to grow while it trains (Chung et al. 2017)."""
    return _sample(strategies.SlopeAnnealedStraightThrough(temperature), logits, dim, generator)


def decoupled_straight_through(
    logits: Tensor,
    temperature: Number = 1.0,
    forward_temperature: Number = 1.0,
    dim: int = -1,
    generator: Generator = None,
) -> Tensor:
    """Straight-through with a temperature of its own for the sample (Shah et al. 2024)."""
    return _sample(strategies.DecoupledStraightThrough(temperature, forward_temperature), logits, dim, generator)


def gapped_straight_through(
    logits: Tensor, temperature: Number = 1.0, gap: float = 1.0, dim: int = -1, generator: Generator = None
) -> Tensor:
    """Gapped straight-through (Fan et al. 2022)."""
    return _sample(strategies.GappedStraightThrough(temperature, gap), logits, dim, generator)


def gumbel_rao(
    logits: Tensor, temperature: Number = 0.5, draws: int = 10, dim: int = -1, generator: Generator = None
) -> Tensor:
    """Gumbel-Rao (Paulus et al. 2021) with ``draws`` draws of the noise."""
    return _sample(strategies.GumbelRao(temperature, draws), logits, dim, generator)


def darn(logits: Tensor, centre: Centre = "mean", dim: int = -1, generator: Generator = None) -> Tensor:
    """DARN (Gregor et al. 2014; Shekhovtsov 2023)."""
    return _sample(strategies.Darn(centre), logits, dim, generator)


def zgr(logits: Tensor, dim: int = -1, generator: Generator = None) -> Tensor:
    """ZGR (Shekhovtsov 2023), the zero-temperature limit of Gumbel-Rao."""
    return _sample(strategies.Zgr(), logits, dim, generator)


def reinmax(logits: Tensor, temperature: Number = 1.0, dim: int = -1, generator: Generator = None) -> Tensor:
    """ReinMax (Liu et al. 2023)."""
    return _sample(strategies.ReinMax(temperature), logits, dim, generator)


def reinmax_rao(
    logits: Tensor, temperature: Number = 0.5, draws: int = 10, dim: int = -1, generator: Generator = None
) -> Tensor:
    """ReinMax-Rao (Wang and Bui 2026)."""
    return _sample(strategies.ReinMaxRao(temperature, draws), logits, dim, generator)


def minimum_variance(logits: Tensor, weight: Number = 1.0, dim: int = -1, generator: Generator = None) -> Tensor:
    """The minimum-variance estimator (Hooper and Shekhovtsov 2026) at a ``weight`` of its bias."""
    return _sample(strategies.MinimumVariance(weight), logits, dim, generator)
