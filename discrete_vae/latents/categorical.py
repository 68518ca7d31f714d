"""One-hot latent variables: samples, densities, divergences, enumeration. Everything is in nats.

Shapes: logits ``[..., N, K]`` of N variables with K categories each; a sample has the shape of its logits. Logits need
not be normalised anywhere in this module.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from discrete_vae.errors import InputError
from discrete_vae.latents.noise import Noise

MAXIMUM_STATES = 2**20
SHORT_ROW = 16
"""On a CPU torch computes the softmax of shorter rows one number at a time, four times as slowly as is possible."""


MASKED = 1e9
"""How far below the largest logit a masked category is put: its probability is exactly 0 at every temperature below a
million, and no formula that subtracts logits meets ``inf - inf``."""


def one_hot(index: Tensor, categories: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Index ``[...]`` -> one-hot ``[..., K]`` in a floating dtype, without the int64 detour of ``F.one_hot``."""
    zeros = torch.zeros(*index.shape, categories, dtype=dtype, device=index.device)
    return zeros.scatter(-1, index.unsqueeze(-1), 1.0)


def finite(logits: Tensor) -> Tensor:
    """Logits ``[..., K]`` whose masked categories, such as those of -inf, lie ``MASKED`` below the largest.

    These get no gradient. NaN stays NaN, and so does a row of -inf alone, which has no probabilities.
    """
    lowest = logits.detach().amax(-1, keepdim=True) - MASKED
    return torch.where(logits < lowest, lowest, logits)


def possible(logits: Tensor) -> Tensor:
    """Which categories of ``finite`` logits ``[..., K]`` are not masked."""
    return logits >= logits.amax(-1, keepdim=True) - MASKED / 2


def at_least_float32(tensor: Tensor) -> Tensor:
    """Half precision as float32: its sums and differences would be wrong by tenths of a nat."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def hard_sample(logits: Tensor, gumbel: Tensor) -> Tensor:
    """Exact one-hot sample by the Gumbel-max trick (Gumbel 1954): ``[..., N, K]``, no gradient.

    A variable whose logits are no distribution (NaN, +inf, or -inf alone) is NaN.
    """
    with torch.no_grad():
        # Half precision would round the sum, and so the frequencies, to the grid of the larger term.
        top, index = (at_least_float32(logits) + gumbel).max(-1, keepdim=True)
        sample = one_hot(index.squeeze(-1), logits.shape[-1], logits.dtype)
        return sample + (top - top).to(logits.dtype)


def softmax(logits: Tensor) -> Tensor:
    """Probabilities of the categories: ``[..., K]``; the same as ``logits.softmax(-1)``, faster for few categories."""
    if logits.device.type == "cpu" and logits.shape[-1] < SHORT_ROW:
        return _Softmax.apply(logits)  # type: ignore[no-any-return, no-untyped-call]
    return logits.softmax(-1)


class _Softmax(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(logits: Tensor) -> Tensor:  # type: ignore[override]
        weights = (logits - logits.amax(-1, keepdim=True)).exp_()
        return weights.div_(weights.sum(-1, keepdim=True))

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Tensor], output: Tensor) -> None:  # type: ignore[override]
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        (probabilities,) = ctx.saved_tensors
        return jacobian_product(probabilities, gradient)


def softmax_through(logits: Tensor, probabilities: Tensor) -> Tensor:
    """The given probabilities, differentiated as if they were ``softmax(logits + constant)``: ``[..., K]``.

    Some published estimators take the softmax' derivative at another point than its own.
    """
    return _SoftmaxThrough.apply(logits, probabilities)  # type: ignore[no-any-return, no-untyped-call]


class _SoftmaxThrough(_Softmax):
    @staticmethod
    def forward(logits: Tensor, probabilities: Tensor) -> Tensor:  # type: ignore[override]
        return probabilities.detach().clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (through,) = ctx.saved_tensors
        return jacobian_product(through, gradient), None


def jacobian_product(probabilities: Tensor, vector: Tensor) -> Tensor:
    """``J v`` with the softmax' Jacobian ``J = diag(p) - p p^T`` of each variable: ``[..., N, K]``."""
    weighted = probabilities * vector
    return torch.addcmul(weighted, probabilities, weighted.sum(-1, keepdim=True), value=-1)


def relaxed_sample(logits: Tensor, gumbel: Tensor, temperature: Tensor | float) -> Tensor:
    """Gumbel-Softmax sample (Jang et al. 2017, eq. 2): ``[..., N, K]`` inside the simplex, differentiable."""
    return softmax((logits + gumbel) / temperature)


def log_taken(logits: Tensor, sample: Tensor) -> Tensor:
    """Log-probability of the category that a one-hot sample takes: ``[..., N, 1]``.

    A category that is not taken adds 0, also where its logit is -inf. Its gradient in the logits is ``z - pi``.
    """
    return _LogTaken.apply(logits, sample)  # type: ignore[no-any-return, no-untyped-call]


class _LogTaken(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(logits: Tensor, sample: Tensor) -> Tensor:  # type: ignore[override]
        return (sample * logits.log_softmax(-1).clamp_min(torch.finfo(logits.dtype).min)).sum(-1, keepdim=True)

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:  # type: ignore[override]
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        logits, sample = ctx.saved_tensors
        return gradient * (sample - softmax(logits)), None


def log_prob(logits: Tensor, sample: Tensor) -> Tensor:
    """Log-probability of a one-hot sample, summed over the N variables: ``[...]``; -inf where it is impossible.

    In float32 where the logits are in half precision.
    """
    logits = at_least_float32(logits)
    # A finite stand-in for -inf, so that a category that was not taken adds 0 times it, without a mask on every sample.
    lowest = torch.finfo(logits.dtype).min
    total = (sample * logits.log_softmax(-1).clamp_min(lowest)).sum((-1, -2))
    return total.masked_fill(total <= lowest, -math.inf)


def entropy(logits: Tensor) -> Tensor:
    """Entropy of each variable: ``[..., N]``, between 0 and log K.

    In float32 where the logits are in half precision.
    """
    value: Tensor = _Entropy.apply(at_least_float32(logits))[0]  # type: ignore[no-untyped-call]
    return value


class _Entropy(torch.autograd.Function):
    """``log sum_k e^{l_k} - <pi, l>``, whose gradient is ``-pi (l - <pi, l>)``: half the passes of its composition."""

    generate_vmap_rule = True

    @staticmethod
    def forward(logits: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        probabilities, shifted, mean, total = _moments(logits)
        return (total.log() - mean).squeeze(-1), probabilities, shifted, mean

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, ...]) -> None:  # type: ignore[override]
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(*inputs, *output[1:])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *others: Tensor) -> Tensor:  # type: ignore[override]
        logits, probabilities, shifted, mean = ctx.saved_tensors
        if torch.is_grad_enabled():  # for a second derivative, whose graph leads back to the logits
            probabilities, shifted, mean, _ = _moments(logits)
        pulled: Tensor = (mean - shifted) * probabilities * gradient.unsqueeze(-1)
        return pulled


def _moments(logits: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Probabilities, logits less their maximum, these logits' mean under them, and the sum of their exponentials."""
    # The lower bound makes 0 log 0 equal 0; no finite logit comes near it.
    shifted = (logits - logits.detach().amax(-1, keepdim=True)).clamp_min(torch.finfo(logits.dtype).min)
    weights = shifted.exp()
    total = weights.sum(-1, keepdim=True)
    probabilities = weights / total
    return probabilities, shifted, (probabilities * shifted).sum(-1, keepdim=True), total


def kl_to_uniform(logits: Tensor) -> Tensor:
    """KL(q || uniform) of each variable, ``sum_k pi_k log(K pi_k)`` (thesis, section 4.4): ``[..., N]``."""
    return math.log(logits.shape[-1]) - entropy(logits)


def kl(logits: Tensor, prior_logits: Tensor) -> Tensor:
    """KL(q || p) of each variable between categoricals that broadcast against each other: ``[..., N]``.

    In float32 where the logits are in half precision.
    """
    log_q, log_p = (at_least_float32(each).log_softmax(-1) for each in (logits, prior_logits))
    # A category that q never takes adds nothing, also where p excludes it (0 log 0/0 = 0).
    log_ratio = torch.where(log_q == -torch.inf, 0.0, log_q - log_p)
    return (log_q.exp() * log_ratio).sum(-1)


def exp_concrete_log_density(logits: Tensor, temperature: Tensor | float, log_sample: Tensor) -> Tensor:
    """Log-density of ``log z`` for a relaxed sample z, each variable: ``[..., N]``.

    The temperature is a number or ``[..., 1, 1]``. Maddison et al. 2017, appendix C.3: working in log space keeps it
    finite where z underflows to 0. Subtract ``log_sample.sum(-1)`` for the density of z itself on the simplex (their
    definition 1).
    """
    categories = logits.shape[-1]
    temperature = torch.as_tensor(temperature, dtype=logits.dtype, device=logits.device)
    scores = logits - temperature * log_sample
    return (
        math.lgamma(categories)
        + (categories - 1) * temperature.log().reshape(temperature.shape[:-1] or ())
        + scores.sum(-1)
        - categories * scores.logsumexp(-1)
    )


def enumerate_states(
    latents: int, categories: int, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> Tensor:
    """All K^N one-hot states, in counting order: ``[K^N, N, K]``.

    Raises ``InputError`` above 2^20 states: enumeration is for small problems.
    """
    if categories**latents > MAXIMUM_STATES:
        raise InputError(
            f"{categories}^{latents} states are too many to enumerate (at most {MAXIMUM_STATES}); "
            "take fewer latents or categories"
        )
    digits = torch.cartesian_prod(*[torch.arange(categories, device=device)] * latents).reshape(-1, latents)
    return one_hot(digits, categories, dtype)


@dataclass(frozen=True)
class Categorical:
    """The family of N independent K-way variables with a uniform prior; its parameters are logits ``[..., N, K]``."""

    latents: int
    categories: int

    @property
    def parameter_shape(self) -> tuple[int, int]:
        """Shape of one observation's parameters, which the encoder puts out."""
        return self.latents, self.categories

    sample_shape = parameter_shape

    def sample(self, parameters: Tensor, noise: Noise, samples: int = 1) -> Tensor:
        """Hard one-hot samples of each observation: ``[..., B, N, K] -> [..., S, B, N, K]``.

        By inverting the cumulative sum, which needs one uniform number a variable and one softmax an observation.
        """
        cumulative = softmax(at_least_float32(parameters)).cumsum(-1).unsqueeze(-4)
        *population, observations, latents, _ = parameters.shape
        shape = (*population, samples, observations, latents, 1)
        uniform = noise.on(parameters.device).uniform(shape, cumulative.dtype)
        # Times the total, which rounding may leave below 1: the last category gets no more than its share.
        total = cumulative[..., -1:]
        below = uniform * total >= cumulative[..., :-1]
        sample = one_hot(below.sum(-1), self.categories, parameters.dtype)
        return sample + (total - total).to(sample.dtype)  # NaN where the logits are no distribution

    def prior_sample(self, count: int, noise: Noise) -> Tensor:
        """``[count, N, K]`` drawn from the uniform prior."""
        return self.sample(torch.zeros(count, *self.parameter_shape, device=noise.device), noise).squeeze(0)

    def kl(self, parameters: Tensor) -> Tensor:
        """Exact KL(q || prior) of each variable: ``[..., N]``."""
        return kl_to_uniform(parameters)

    def log_ratio(self, parameters: Tensor, sample: Tensor) -> Tensor:
        """log p(z) - log q(z | x), the latent part of an importance weight: ``[...]``."""
        return -self.latents * math.log(self.categories) - log_prob(parameters, sample)

    def mean(self, parameters: Tensor) -> Tensor:
        """E_q[z], here the probabilities: ``[..., N, K]``."""
        return softmax(parameters)

    def code_entropy(self, mean: Tensor) -> Tensor:
        """Entropy of the variables under the averaged posterior ``[..., N, K]``, summed over N: ``[...]``."""
        return -torch.xlogy(mean, mean).sum((-1, -2))
