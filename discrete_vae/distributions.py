"""Categorical variables as ``torch.distributions`` has them, whose ``rsample`` has a strategy's gradient.

For example::

    q = OneHotCategorical(ReinMax(1.3), logits=encoder(x))  # batch shape [B, N], event shape [K]
    z = q.rsample()
    loss = nll(decoder(z), x) + kl_divergence(q, prior).sum(-1)
"""

from __future__ import annotations

import math
from typing import Any, Self

import torch
from torch import Tensor, distributions
from torch.distributions.kl import register_kl

from discrete_vae.errors import InputError
from discrete_vae.latents.categorical import MASKED, at_least_float32, entropy, finite, kl, log_taken
from discrete_vae.strategies.objective import Layout
from discrete_vae.strategies.pathwise import Pathwise


class OneHotCategorical(distributions.OneHotCategorical):
    """One-hot variables with logits, or probabilities, ``[..., K]``; ``rsample`` draws by a ``Pathwise`` strategy.

    ``sample``, ``log_prob``, ``entropy`` and ``kl_divergence``, in nats, are those of the one-hot variable whatever the
    strategy. A strategy that trains with relaxed samples gives these in ``rsample``; they are no events and have no
    ``log_prob``. A logit of -inf, or a probability of 0, masks a category. Half precision is summed in float32. Raises
    ``InputError`` for a strategy that gives no sample with a gradient, or whose variables are not categorical, for
    parameters that are no floating-point tensor, and, if arguments are validated, for probabilities below 0 or NaN.
    """

    has_rsample = True

    def __init__(
        self,
        strategy: Pathwise,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if not isinstance(strategy, Pathwise) or not strategy.categorical():
            raise InputError(
                f"the strategy is {type(strategy).__name__}; give one whose categorical sample has a gradient, such as "
                "ReinMax()"
            )
        if (probs is None) == (logits is None):
            raise InputError("give either probs or logits")
        validate = distributions.Distribution._validate_args if validate_args is None else validate_args
        parameters: Any = logits if probs is None else _log(probs, validate)
        Layout.of(parameters, -1, batch=False)
        self.strategy, self.dtype = strategy, parameters.dtype if probs is None else probs.dtype
        super().__init__(logits=finite(at_least_float32(parameters)), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        new: Self = self._get_checked_instance(OneHotCategorical, _instance)  # type: ignore[no-untyped-call]
        new.strategy, new.dtype = self.strategy.in_front(len(batch_shape) - len(self.batch_shape)), self.dtype
        return super().expand(batch_shape, _instance=new)  # type: ignore[no-any-return, no-untyped-call]

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Samples ``[*sample_shape, ..., K]`` with the strategy's gradient in the parameters."""
        shape, logits = torch.Size(sample_shape), self.logits
        # Samples go next to the categories, so that a hyper-parameter with one value an example still broadcasts.
        each = logits.unsqueeze(-2).expand(*logits.shape[:-1], shape.numel(), logits.shape[-1])
        drawn: Tensor = self.strategy(each)
        return drawn.movedim(-2, 0).reshape(*shape, *logits.shape).to(self.dtype)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """One-hot samples ``[*sample_shape, ..., K]`` without a gradient."""
        drawn: Tensor = super().sample(torch.Size(sample_shape))  # type: ignore[no-untyped-call]
        return drawn.to(self.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability of one-hot samples, in nats: ``[...]``; -inf for an impossible one."""
        if self._validate_args:
            self._validate_sample(value)  # type: ignore[no-untyped-call]
        shape = torch.broadcast_shapes(self.logits.shape, value.shape)  # type: ignore[no-untyped-call]
        found = log_taken(self.logits.expand(shape), value.to(self.logits.dtype).expand(shape)).squeeze(-1)
        return found.masked_fill(found < -MASKED / 2, -math.inf)

    def entropy(self) -> Tensor:
        """Entropy of each variable, in nats: ``[...]``."""
        return entropy(self.logits)


def _log(probs: Tensor, validate: bool) -> Tensor:
    """Logits of probabilities, at least in float32: -inf for 0, and NaN for what is no probability."""
    if not isinstance(probs, Tensor) or not probs.is_floating_point():
        kind = probs.dtype if isinstance(probs, Tensor) else type(probs).__name__
        raise InputError(f"probs are {str(kind).removeprefix('torch.')}; give a tensor of floating-point numbers")
    if validate and not bool((probs >= 0).all()):
        raise InputError("probs are negative or NaN somewhere; give numbers of at least 0")
    none = probs == 0
    return at_least_float32(probs.masked_fill(none, 1.0)).log().masked_fill(none, -math.inf)


def _kl(q: distributions.OneHotCategorical, p: distributions.OneHotCategorical) -> Tensor:
    masked = (each.logits.masked_fill(each.logits < -MASKED / 2, -math.inf) for each in (q, p))
    return kl(*masked)


for pair in (
    (OneHotCategorical, OneHotCategorical),
    (OneHotCategorical, distributions.OneHotCategorical),
    (distributions.OneHotCategorical, OneHotCategorical),
):
    register_kl(*pair)(_kl)  # type: ignore[no-untyped-call]
