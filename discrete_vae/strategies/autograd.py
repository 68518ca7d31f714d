"""Losses whose value and gradient come from different places, and gradients that have no derivative."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from discrete_vae.errors import InputError


def with_gradient_of(value: Tensor, surrogate: Tensor) -> Tensor:
    """The value (and gradient) of ``value``, plus the gradient of ``surrogate``, which adds nothing to the value."""
    return value + (surrogate - surrogate.detach())


def only_gradient(tensor: Tensor, gradient: Tensor, dimensions: int) -> Tensor:
    """Zeros of the first ``dimensions`` of ``tensor``'s shape, whose gradient in ``tensor`` is the given one."""
    return _OnlyGradient.apply(tensor, gradient, dimensions)  # type: ignore[no-any-return, no-untyped-call]


class _OnlyGradient(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(tensor: Tensor, gradient: Tensor, dimensions: int) -> Tensor:  # type: ignore[override]
        return tensor.new_zeros(tensor.shape[:dimensions])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:  # type: ignore[override]
        tensor, gradient, _ = inputs
        ctx.save_for_backward(gradient.to(tensor.dtype))

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        (gradient,) = ctx.saved_tensors
        return gradient * upstream.reshape(upstream.shape + (1,) * (gradient.dim() - upstream.dim())), None, None


_WITHIN = threading.local()


@contextmanager
def differentiable_for_learning() -> Iterator[None]:
    """Estimates that are made within it, as a part of another's objective, may be differentiated twice.

    It is for a strategy that does so in what it learns by itself, which lowers its variance and cannot make it biased.
    """
    before = getattr(_WITHIN, "learning", False)
    _WITHIN.learning = True
    try:
        yield
    finally:
        _WITHIN.learning = before


def differentiable_once(logits: Tensor, name: str) -> Tensor:
    """The logits; to differentiate their gradient raises ``InputError``, which names the strategy."""
    if getattr(_WITHIN, "learning", False):
        return logits
    return _Once.apply(logits, name)  # type: ignore[no-any-return, no-untyped-call]


def loss_once(loss: Tensor, logits: Tensor, name: str) -> Tensor:
    """An estimate's loss. Differentiating its gradient in others, e.g. a decoder, in the logits is an ``InputError``.

    The sample depends on the logits, which no derivative of that gradient sees: it would be silently 0.
    """
    if getattr(_WITHIN, "learning", False):
        return loss
    return _LossOnce.apply(loss, logits, name)  # type: ignore[no-any-return, no-untyped-call]


class _Once(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(logits: Tensor, name: str) -> Tensor:  # type: ignore[override]
        return logits.view_as(logits)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, str], output: Tensor) -> None:  # type: ignore[override]
        logits, ctx.name = inputs
        ctx.save_for_backward(logits)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (logits,) = ctx.saved_tensors  # so that a constant gradient has something to be differentiated by as well
        return _Refused.apply(gradient, logits, ctx.name), None  # type: ignore[no-untyped-call]


class _LossOnce(torch.autograd.Function):
    """The same of a loss, whose gradient is not to be differentiated in the logits."""

    generate_vmap_rule = True

    @staticmethod
    def forward(loss: Tensor, logits: Tensor, name: str) -> Tensor:  # type: ignore[override]
        return loss.clone()  # a view must not be changed in place, as by ``loss += kl``

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, str], output: Tensor) -> None:  # type: ignore[override]
        _, logits, ctx.name = inputs
        ctx.save_for_backward(logits)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        (logits,) = ctx.saved_tensors
        return _Refused.apply(gradient, logits, ctx.name), None, None  # type: ignore[no-untyped-call]


class _Refused(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(gradient: Tensor, logits: Tensor, name: str) -> Tensor:  # type: ignore[override]
        return gradient.view_as(gradient)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, str], output: Tensor) -> None:  # type: ignore[override]
        ctx.name = inputs[2]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        raise InputError(
            f"{ctx.name} gives no second derivatives; for these take a pathwise strategy, such as GumbelSoftmax or "
            "ReinMax, or Marginalisation"
        )
