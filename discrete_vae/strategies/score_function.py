"""The score-function estimator (REINFORCE) with moving, and maybe learned, baselines.

R. J. Williams: Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning. 1992.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor, nn

from discrete_vae.errors import InputError, check_types
from discrete_vae.latents.categorical import log_prob
from discrete_vae.latents.noise import Noise
from discrete_vae.strategies.autograd import with_gradient_of
from discrete_vae.strategies.base import Claim, Estimate, NetworkFactory, Strategy, with_kl_term_scaled
from discrete_vae.strategies.hyperparameters import per_member
from discrete_vae.strategies.objective import Objective, one_prediction
from discrete_vae.strategies.pathwise import draw


class Moving(nn.Module):
    """Moving mean and variance of the values of the steps before.

    A step's own values would make the estimate biased, because they depend on its sample. In the first step each image
    gets the mean and variance of the others in its batch. Outside of ``training`` no values are taken in: they belong
    to the step before, and get what that got. Raises ``InputError`` for a decay outside [0, 1).
    """

    mean: Tensor
    square: Tensor
    weight: Tensor
    before: tuple[Tensor, ...] | None = None
    """Buffers as the last step that was taken in found them."""

    def __init__(self, decay: float, members: int | None = None) -> None:
        super().__init__()
        if not isinstance(decay, int | float) or not 0 <= decay < 1:
            raise InputError(f"decay is {decay}; give a share from 0 to below 1")
        self.decay = decay
        for name in ("mean", "square", "weight"):
            self.register_buffer(name, torch.zeros(()) if members is None else torch.zeros(members))

    @torch.no_grad()
    def forward(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Take in ``[..., B]``; give mean and variance of the values so far, shaped to broadcast against them."""
        over = tuple(range(self.mean.dim(), values.dim()))
        buffers = (self.mean, self.square, self.weight)
        if self.training or self.before is None:
            self.before = tuple(buffer.clone() for buffer in buffers)
        *sums, weight = self.before
        known = values.isfinite()  # an image whose loss is not finite is left out for the others
        others = (known.sum(over, keepdim=True) - known.to(values.dtype)).clamp_min(1)
        moments = []
        for total, new in zip(sums, (values, values.square()), strict=True):
            taken = new.where(known, 0.0)
            beside = (taken.sum(over, keepdim=True) - taken) / others
            before = per_member(total / weight.clamp_min(1 - self.decay), new).expand_as(new)
            moments.append(torch.where(per_member(weight, new) > 0, before, beside))
        mean, square = moments
        if self.training:
            seen = [new.mean(over).to(self.mean.dtype) for new in (values, values.square(), torch.ones_like(values))]
            sound = seen[1].isfinite()  # what is not would stay in the mean for good
            for buffer, new in zip(buffers, seen, strict=True):
                buffer.lerp_(torch.where(sound, new, buffer), 1 - self.decay)
        return mean, (square - mean.square()).clamp_min(0)


@dataclass(frozen=True)
class ScoreFunctionOptions:
    """Hyper-parameters of the score-function estimator; the defaults are NVIL's without the learned baseline."""

    decay: float = 0.8
    """Decay of the moving mean and variance of the learning signal."""
    normalise: bool = False
    """Whether the gradient is divided by the signal's moving standard deviation, where that is above 1."""

    def __post_init__(self) -> None:
        check_types(self)
        Moving(self.decay)


class ScoreFunction(Strategy):
    """``(f(z) - b) grad log q(z)`` with a moving mean as b, and maybe a network's prediction from the observation.

    With ``normalise`` the whole gradient in the logits, the KL's included, is divided by the deviation of the centred
    signal, where that is above 1 (Mnih and Gregor 2014, whose signal is all of ``log p(x, z) - log q(z | x)``). It
    keeps its direction, not its length. Raises ``InputError`` for a decay outside [0, 1).
    """

    claim = Claim("Williams 1992", unbiased=True, relaxed=False, evaluations=1)
    Options = ScoreFunctionOptions
    passes_gradients = False  # MuProp's mean field is nobody's estimate

    def __init__(
        self,
        decay: float = 0.8,
        normalise: bool = False,
        baseline: nn.Module | None = None,
        members: int | None = None,
    ) -> None:
        super().__init__()
        self.moving, self.baseline = Moving(decay, members), baseline
        self.normalise = self.rescales = normalise
        self.claim = replace(self.claim, unbiased=not normalise)

    @classmethod
    def revision(cls, options: ScoreFunctionOptions) -> int:
        return int(options.normalise)  # 1: divides the KL's gradient too

    @classmethod
    def rescaled_by(cls, options: ScoreFunctionOptions) -> str | None:
        return "normalise" if options.normalise else None

    @classmethod
    def build(cls, options: ScoreFunctionOptions, networks: NetworkFactory) -> Self:
        return cls(options.decay, options.normalise, members=networks.members)

    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        sample = draw(logits, noise)
        loss = objective(sample)
        signal, scale, strategy_loss = self.centre(loss.detach(), objective)
        loss = self.followed(loss, signal * log_prob(logits, sample), scale, logits, objective)
        return Estimate(loss, strategy_loss, sample)

    def followed(self, loss: Tensor, surrogate: Tensor, scale: Tensor, logits: Tensor, objective: Objective) -> Tensor:
        """The loss ``[..., B]`` with the surrogate's gradient in the logits, all of it times ``scale`` ``[..., B]``."""
        if not self.normalise:
            return with_gradient_of(loss, surrogate)
        loss = with_gradient_of(loss, scale * surrogate)
        return with_kl_term_scaled(loss, objective, logits, scale.unsqueeze(-1).unsqueeze(-1))

    def centre(self, signal: Tensor, objective: Objective) -> tuple[Tensor, Tensor, Tensor]:
        """The learning signal less its baselines, one over its deviation ``[..., B]`` each, and the baselines' loss."""
        strategy_loss = signal.new_zeros(signal.shape[:-1])
        if self.baseline is not None:
            if objective.context is None:
                raise InputError("a learned baseline needs a context; give estimate(..., context=x), or an Objective's")
            predicted = one_prediction(self.baseline(objective.context), signal, "baseline")
            residual = signal - predicted.detach()
            mean, variance = self.moving(residual)
            strategy_loss = (signal - mean - predicted).square().mean(-1)
        else:
            residual = signal
            mean, variance = self.moving(residual)
        return residual - mean, 1 / variance.sqrt().clamp_min(1), strategy_loss
