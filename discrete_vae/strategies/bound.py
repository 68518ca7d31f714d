"""The multi-sample bound as an objective: S samples of N variables are one sample of S N variables.

Y. Burda, R. Grosse, R. Salakhutdinov: Importance Weighted Autoencoders. ICLR 2016, arXiv 1509.00519.
A. Mnih, D. J. Rezende: Variational Inference for Monte Carlo Objectives. ICML 2016, arXiv 1602.06725.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from discrete_vae.errors import InputError, check_range

if TYPE_CHECKING:
    from discrete_vae.strategies.objective import Objective


def bound(losses: Tensor, dimension: int) -> Tensor:
    """The multi-sample bound ``-log mean_s exp(-l_s)`` over a dimension of the losses (Burda et al. 2016, eq. 8)."""
    return math.log(losses.shape[dimension]) - (-losses).logsumexp(dimension)


def leave_one_out(losses: Tensor) -> tuple[Tensor, Tensor]:
    """The bound of losses ``[S, ...]``, and what each sample changed in it ``[S, ...]``, as in VIMCO.

    In the bound without a sample, its log-weight is replaced by the mean of the others' (Mnih and Rezende 2016, eq. 9).
    """
    samples = len(losses)
    others = (losses.sum(0) - losses) / (samples - 1)
    # [S, S, ...]: in row s, the losses with that of s replaced.
    without = torch.where(_own(losses, 0), others, losses.unsqueeze(0))
    return bound(losses, 0), bound(losses, 0) - bound(without, 1)


def bound_change(losses: Tensor, change: Tensor) -> Tensor:
    """Change of the bound of losses ``[..., S]`` if the loss of one sample changes: ``[..., S, *]``.

    ``change`` ``[..., S, *]`` is that of the sample's whole loss, log q / p included. By its normalised weight ``w_s``
    the bound changes by ``-log(1 + w_s (exp(-change) - 1))``. It is computed from the losses, since ``1 - w_s`` of a
    weight near 1 is lost in ``w_s``, and is exact to rounding for changes of any size. Take it without a gradient.
    """
    extra = (None,) * (change.dim() - losses.dim())
    log_weights = (-losses).log_softmax(-1)
    others = torch.where(_own(losses, -1), -torch.inf, log_weights.unsqueeze(-2)).logsumexp(-1)  # log(1 - w_s)
    log_weights, others = log_weights[(..., *extra)], others[(..., *extra)]
    part = log_weights.exp() * torch.expm1(-change)
    # log1p loses 1 - w_s where only that is left; the other form loses a small change.
    return -torch.where(part.abs() < 0.5, part.log1p(), torch.logaddexp(others, log_weights - change))


def _own(losses: Tensor, dimension: int) -> Tensor:
    """The diagonal of two dimensions of samples, with the losses' other dimensions behind or before them."""
    own = torch.eye(losses.shape[dimension], dtype=torch.bool, device=losses.device)
    return own.view(*own.shape, *[1] * (losses.dim() - 1)) if dimension == 0 else own


@dataclass(frozen=True)
class Samples:
    """S samples in one of S N variables ``[..., B, S N, K]``, each decoded as an example of its own.

    The split shape is ``[..., B S, N, K]``, with the samples of an example side by side.
    """

    count: int
    """S."""
    each: Objective
    """The cost of one sample, ``[..., B S, N, K] -> [..., B S]`` nats: its loss and its ``log q(z) / p(z)``."""
    logits: Tensor
    """``[..., B, S N, K]``, in which each ``log q(z)`` has a gradient beside that through the sample."""

    def split(self, joint: Tensor) -> Tensor:
        """``[..., B, S N, K] -> [..., B S, N, K]``."""
        return torch.unflatten(joint, -2, (self.count, -1)).flatten(-4, -3)

    def join(self, split: Tensor) -> Tensor:
        """``[..., B S, N, K] -> [..., B, S N, K]``."""
        return torch.unflatten(split, -3, (-1, self.count)).flatten(-3, -2)

    def apart(self, numbers: Tensor) -> Tensor:
        """``[..., B S] -> [..., B, S]``."""
        return torch.unflatten(numbers, -1, (-1, self.count))

    def losses(self, sample: Tensor, output: Tensor) -> Tensor:
        """The cost of each sample, log q / p included: split samples and their output -> ``[..., B, S]`` nats."""
        return self.apart(self.each.loss_of(sample, output))

    def loss(self, sample: Tensor, output: Tensor) -> Tensor:
        """The bound, from split samples and their output: ``[..., B]`` nats."""
        return bound(self.losses(sample, output), -1)


def bound_of(each: Objective, logits: Tensor, count: int) -> Objective:
    """The objective of S N variables that is the bound of S samples of N variables.

    ``each`` is the objective of one sample for S copies of every example, side by side: ``[..., B S, N, K]``. The
    strategy is given the ``logits`` ``[..., B, S N, K]``. The bound includes the KL term, by ``sample_kl`` of each
    sample, so that the task adds none; a relaxed sample is charged by the same sum, which is linear in it. Without
    ``sample_kl`` it has none, as where samples are drawn from the prior. Raises ``InputError`` for an objective of
    several stochastic layers, with a critic, or that is a bound already, and where the logits are not of ``count``
    samples, at least 2.
    """
    if not hasattr(each, "deeper_loss"):
        raise InputError(f"the objective of one sample is a {type(each).__name__}; give an Objective")
    check_range("count", count, 2)
    shape = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if not isinstance(logits, Tensor) or logits.dim() < 3 or logits.shape[-2] % count:
        raise InputError(
            f"the logits are {shape}; give [..., B, S N, K], those of each example once for each of S = {count} "
            "samples, such as logits.repeat(1, S, 1)"
        )
    if each.samples is not None:
        raise InputError("the objective is a bound of several samples already; give that of one sample")
    if each.deeper_loss is not None:
        raise InputError(
            "the objective has layers or a critic behind its decoder; a bound of several samples is made of one "
            "stochastic layer"
        )
    sample_kl = each.sample_kl
    samples = Samples(count, each, logits)
    own = replace(each, kl_term=None, sample_kl=None)
    if sample_kl is not None:
        own = replace(own, deeper_loss=lambda sample, output: sample_kl(samples.split(logits), sample))
    samples = replace(samples, each=own)
    return replace(
        own,
        decode=lambda sample: own.decode(samples.split(sample)),
        context=None if each.context is None else each.context[..., ::count, :],
        deeper_loss=None,
        samples=samples,
    )
