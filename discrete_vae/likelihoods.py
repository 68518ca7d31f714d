"""Likelihoods ``p(x | z)`` of an observation under the decoder's output, independent over the D numbers of an image.

A likelihood takes so many numbers a pixel, which stand side by side: an output is ``[..., B, D numbers]``. Observations
are intensities in [0, 1], ``[..., B, D]``. Everything is in nats. Leading dimensions broadcast.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.nn import functional as F

from discrete_vae.errors import InputError
from discrete_vae.latents.noise import Noise

LEVELS = 256
"""Values that a grayscale pixel, or a channel of a colour one, may take."""
FIRST_LOG_SCALE = -2.0
"""Learned log scales at a decoder output of 0, its mean before training."""
LEAST_LOG_SCALE = -7.0
"""Least log scale of a logistic: a quarter of a level, so all of its weight is on one (Salimans et al. 2017)."""
MOST_LOG_SCALE = 5.0
"""Largest log scale of a logistic: nearly all of its weight is on the two ends; float32 loses the levels beyond it."""


@dataclass(frozen=True)
class Likelihood:
    """A row of ``LIKELIHOODS``."""

    numbers: ClassVar[int] = 1
    """Numbers that the decoder puts out for a pixel, or for a channel of a colour one."""
    reads: ClassVar[frozenset[str]] = frozenset()
    """Options of a run that it takes."""
    binary: ClassVar[bool] = False
    """Whether it explains binary pixels; others explain the 256 levels of grayscale or colour."""
    canonical: ClassVar[bool] = False
    """Whether the derivative of ``nll`` in the output is the mean observation less the observation."""

    def nll(self, output: Tensor, observation: Tensor) -> Tensor:
        """``-log p(x)``, summed over D: ``[..., B]``."""
        raise NotImplementedError

    def curvature(self, output: Tensor, observation: Tensor) -> Tensor:
        """The second derivative of ``nll`` in each number of the output, at least 0: ``[..., B, D numbers]``.

        Where that depends on the observation and can be negative, its expectation is given. Raises ``InputError`` for a
        likelihood that does not define it.
        """
        raise InputError(
            f"{type(self).__name__} states no curvature, which a Gauss-Newton model needs; give it one, or take "
            "another strategy or geometry"
        )

    def constant(self, observations: Tensor) -> Tensor:
        """One output ``[D numbers]`` for all observations ``[M, D]``: that of their mean, deviation or frequencies.

        Raises ``InputError`` for a likelihood that does not define it.
        """
        raise InputError(f"{type(self).__name__} has no constant output, which data bias needs; leave that out")

    def mean(self, output: Tensor) -> Tensor:
        """The mean observation ``[..., B, D]``."""
        raise NotImplementedError

    def sample(self, output: Tensor, noise: Noise) -> Tensor:
        """An observation ``[..., B, D]``."""
        raise NotImplementedError

    def bits(self, nats: Tensor, size: int) -> Tensor | None:
        """Bits a dimension of ``nats`` for an image of so many numbers; None for binary pixels."""
        return None if self.binary else nats / size / math.log(2)

    def _apart(self, output: Tensor) -> Tensor:
        """``[..., D numbers] -> [..., D, numbers]``."""
        return torch.unflatten(output, -1, (-1, self.numbers))


@dataclass(frozen=True)
class Bernoulli(Likelihood):
    """Binary pixels from their logits; grayscale intensities are taken for means of binary pixels."""

    binary = canonical = True

    def nll(self, output: Tensor, observation: Tensor) -> Tensor:
        return _BernoulliNLL.apply(output, observation)  # type: ignore[no-any-return, no-untyped-call]

    def curvature(self, output: Tensor, observation: Tensor) -> Tensor:
        return bernoulli_variance(torch.sigmoid(output))

    def constant(self, observations: Tensor) -> Tensor:
        """The logits of the means, which are kept within 0.001 of 0 and 1, as in the code of Burda et al. (2016)."""
        return torch.logit(observations.mean(0), 0.001)

    def mean(self, output: Tensor) -> Tensor:
        return torch.sigmoid(output)

    def sample(self, output: Tensor, noise: Noise) -> Tensor:
        mean = self.mean(output)
        return (noise.uniform(mean.shape) < mean).to(mean.dtype)


def bernoulli_variance(mean: Tensor) -> Tensor:
    """``p (1 - p)``, the second derivative of a Bernoulli likelihood's loss in its logit."""
    return mean * (1 - mean)


class _BernoulliNLL(torch.autograd.Function):
    """``softplus(l) - l x``, whose gradient is ``sigmoid(l) - x``: fewer passes than through its two terms."""

    @staticmethod
    def forward(logits: Tensor, observation: Tensor) -> Tensor:  # type: ignore[override]
        return F.softplus(logits).sum(-1) - (logits * observation).sum(-1)

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:  # type: ignore[override]
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        logits, observation = ctx.saved_tensors
        each = (torch.sigmoid(logits) - observation) * gradient.unsqueeze(-1)
        return each.sum_to_size(logits.shape), None  # logits may be those of many images


class Density(Likelihood):
    """A likelihood that is a density of the intensities: its bits are those of a level of 1 / 255."""

    def bits(self, nats: Tensor, size: int) -> Tensor | None:
        return nats / size / math.log(2) + math.log2(LEVELS - 1)


@dataclass(frozen=True)
class FixedGaussian(Density):
    """Normal pixels of one standard deviation around the output: squared error, in nats of a density.

    A density has no bound: its bits a dimension, of a level of 1 / 255, may lie below 0.
    """

    reads = frozenset({"pixel_scale"})
    pixel_scale: float = 0.1
    """Standard deviation of a pixel."""

    def nll(self, output: Tensor, observation: Tensor) -> Tensor:
        return _normal_nll((observation - output) / self.pixel_scale, math.log(self.pixel_scale))

    def curvature(self, output: Tensor, observation: Tensor) -> Tensor:
        return torch.full_like(output, self.pixel_scale**-2)

    def constant(self, observations: Tensor) -> Tensor:
        return observations.mean(0)

    def mean(self, output: Tensor) -> Tensor:
        return output

    def sample(self, output: Tensor, noise: Noise) -> Tensor:
        return output + self.pixel_scale * noise.normal(output.shape, output.dtype)


@dataclass(frozen=True)
class Gaussian(Density):
    """Normal pixels; the mean is the first number, the log standard deviation the second less 2.

    The deviation is at least one level, 1 / 255: a pixel that is the same in all images would have an infinite density.
    """

    numbers = 2

    def nll(self, output: Tensor, observation: Tensor) -> Tensor:
        mean, log_scale = self._parts(output)
        return _normal_nll((observation - mean) * (-log_scale).exp(), log_scale)

    def curvature(self, output: Tensor, observation: Tensor) -> Tensor:
        """The expected one, Fisher's information: that of the deviation is 2 whatever the observation."""
        precision = (-2 * self._parts(output)[1]).exp()
        return _side_by_side(precision, torch.full_like(precision, 2.0))

    def constant(self, observations: Tensor) -> Tensor:
        return _side_by_side(observations.mean(0), _log_deviation(observations) - FIRST_LOG_SCALE)

    def mean(self, output: Tensor) -> Tensor:
        return self._parts(output)[0]

    def sample(self, output: Tensor, noise: Noise) -> Tensor:
        mean, log_scale = self._parts(output)
        return mean + log_scale.exp() * noise.normal(mean.shape, mean.dtype)

    def _parts(self, output: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_scale = self._apart(output).unbind(-1)
        return mean, (log_scale + FIRST_LOG_SCALE).clamp_min(-math.log(LEVELS - 1))


def _log_deviation(observations: Tensor) -> Tensor:
    """Log standard deviation of each of D numbers ``[M, D] -> [D]``, at least that of an output of 0.

    A new decoder's outputs vary by more than, say, a pixel that is the same in all images: narrower, it would cost
    thousands of nats at first.
    """
    return observations.std(0, correction=0).log().clamp_min(FIRST_LOG_SCALE)


def _side_by_side(first: Tensor, second: Tensor) -> Tensor:
    """``[..., D]`` and ``[..., D]`` -> ``[..., 2 D]``, the two numbers of a pixel beside each other."""
    return torch.stack([first, second], -1).flatten(-2)


def _normal_nll(standardised: Tensor, log_scale: Tensor | float) -> Tensor:
    return (standardised.square() / 2 + log_scale + math.log(2 * math.pi) / 2).sum(-1)


@dataclass(frozen=True)
class DiscretisedLogistic(Likelihood):
    """A logistic distribution rounded to the 256 levels (Kingma et al. 2016, IAF; Salimans et al. 2017, one component).

    Its location is the first number plus one half, its scale the exponential of the second less 2. The lowest and the
    highest level take all that lies beyond them. The mean is that before rounding, within half a level of it.
    """

    numbers = 2

    def nll(self, output: Tensor, observation: Tensor) -> Tensor:
        location, log_scale = self._parts(output)
        inverse = (-log_scale).exp()
        centred, half = (observation - location) * inverse, inverse * (0.5 / (LEVELS - 1))
        # log(sigmoid(b) - sigmoid(a)) = log sigmoid(b) + log sigmoid(-a) + log(1 - exp(a - b)), b - a = 2 half.
        below, above = F.logsigmoid(centred + half), F.logsigmoid(half - centred)
        between = below + above + torch.log(-torch.expm1(-2 * half))
        edge = 0.5 / (LEVELS - 1)
        each = torch.where(observation < edge, below, torch.where(observation > 1 - edge, above, between))
        return -each.sum(-1)

    def curvature(self, output: Tensor, observation: Tensor) -> Tensor:
        """The expected one before rounding, Fisher's information of a logistic distribution."""
        precision = (-2 * self._parts(output)[1]).exp() / 3
        return _side_by_side(precision, torch.full_like(precision, (math.pi**2 + 3) / 9))

    def constant(self, observations: Tensor) -> Tensor:
        """That of the observations' mean and deviation, before rounding."""
        log_scale = _log_deviation(observations) + math.log(math.sqrt(3) / math.pi)
        return _side_by_side(observations.mean(0) - 0.5, log_scale - FIRST_LOG_SCALE)

    def mean(self, output: Tensor) -> Tensor:
        location, log_scale = self._parts(output)
        scale = (
            log_scale.exp()
        )  # the integral over t in [0, 1] of P(x > t), of which the levels' sum is the midpoint rule
        return scale * (F.softplus(location / scale) - F.softplus((location - 1) / scale))

    def sample(self, output: Tensor, noise: Noise) -> Tensor:
        location, log_scale = self._parts(output)
        uniform = noise.uniform(location.shape, location.dtype).clamp_min(torch.finfo(location.dtype).eps / 4)
        drawn = location + log_scale.exp() * torch.logit(uniform)
        return (drawn.clamp(0, 1) * (LEVELS - 1)).round() / (LEVELS - 1)

    def _parts(self, output: Tensor) -> tuple[Tensor, Tensor]:
        location, log_scale = self._apart(output).unbind(-1)
        return location + 0.5, (log_scale + FIRST_LOG_SCALE).clamp(LEAST_LOG_SCALE, MOST_LOG_SCALE)


@dataclass(frozen=True)
class CategoricalPixels(Likelihood):
    """Logits of all 256 levels of every pixel (van den Oord et al. 2016, PixelRNN)."""

    numbers = LEVELS

    def nll(self, output: Tensor, observation: Tensor) -> Tensor:
        logits, level = self._apart(output), (observation * (LEVELS - 1)).round().long()
        shape = torch.broadcast_shapes(logits.shape[:-1], level.shape)  # type: ignore[no-untyped-call]
        chosen = logits.expand(*shape, LEVELS).gather(-1, level.expand(shape).unsqueeze(-1))
        return (logits.logsumexp(-1) - chosen.squeeze(-1)).sum(-1)

    def curvature(self, output: Tensor, observation: Tensor) -> Tensor:
        return bernoulli_variance(self._apart(output).softmax(-1)).flatten(-2)

    def constant(self, observations: Tensor) -> Tensor:
        """The log frequencies of the levels, each counted once more."""
        columns = ((each * (LEVELS - 1)).round().long().bincount(minlength=LEVELS) for each in observations.unbind(-1))
        counts = torch.stack(list(columns)).double() + 1  # float32 would stop counting at 2^24
        return (counts / counts.sum(-1, keepdim=True)).log().flatten().to(observations.dtype)

    def mean(self, output: Tensor) -> Tensor:
        levels = torch.linspace(0, 1, LEVELS, device=output.device, dtype=output.dtype)
        return torch.matmul(self._apart(output).softmax(-1), levels)

    def sample(self, output: Tensor, noise: Noise) -> Tensor:
        logits = self._apart(output)
        return (logits + noise.gumbel(logits.shape, logits.dtype)).argmax(-1).to(output.dtype) / (LEVELS - 1)


LIKELIHOODS: dict[str, type[Likelihood]] = {
    "bernoulli": Bernoulli,
    "gaussian": Gaussian,
    "gaussian-fixed": FixedGaussian,
    "discretised-logistic": DiscretisedLogistic,
    "categorical": CategoricalPixels,
}


def likelihood(name: str, **options: float) -> Likelihood:
    """The likelihood of a row, with those of the options that it takes."""
    kind = LIKELIHOODS[name]
    return kind(**{option: value for option, value in options.items() if option in kind.reads})
