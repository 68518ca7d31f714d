"""Objectives of a sample, and layouts of logits of any shape as ``[..., B, N, K]``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from discrete_vae.backbones.stack import Stack
from discrete_vae.errors import InputError
from discrete_vae.latents.categorical import at_least_float32
from discrete_vae.strategies.bound import Samples

Cost = Callable[[Tensor], Tensor]
"""Maps a sample, of the logits' shape, to a loss of one number an example."""


@dataclass(frozen=True)
class Model:
    """The networks around an objective's sample, which target propagation uses in place of gradients.

    Raises ``InputError`` for a ``decoder`` or ``encoder`` that is no ``Stack``.
    """

    predict: Callable[[Tensor], Tensor]
    """Output -> the mean observation ``[..., B, D]``."""
    observation: Tensor | None = None
    """The target of the prediction: ``[..., B, D]``."""
    encode: Callable[[Tensor], Tensor] | None = None
    """Anything of an observation's shape -> logits ``[..., B, N, K]``."""
    decoder: Stack | None = None
    """The layers of ``Objective.decode``, from the flattened sample ``[..., B, N K]``."""
    encoder: Stack | None = None
    """The layers of ``encode``, from an observation to the flattened logits."""
    canonical: bool = False
    """Whether the loss' derivative in the output is the prediction less the observation, as a Bernoulli likelihood's:
    then a sample of the prediction may stand for it."""

    def __post_init__(self) -> None:
        for name, network in (("decoder", self.decoder), ("encoder", self.encoder)):
            if not isinstance(network, Stack | None):
                raise InputError(
                    f"the model's {name} is a {type(network).__name__}, whose layers cannot be looked at; give a "
                    "discrete_vae.backbones.stack.Stack, such as discrete_vae.backbones.mlp.MLP, or leave it out where "
                    "neither the inverse nor local training looks at layers"
                )


@dataclass(frozen=True)
class Objective:
    """The cost of a sample, in nats. A score-function strategy only calls it; others look inside.

    ``decode`` and ``loss`` serve most strategies. ``context`` is for learned baselines, ``sample_kl`` for a bound of
    several samples, ``kl_term`` for the layers of a nested objective, and ``model`` for targets in place of gradients.
    Where the objective is such a bound by itself, ``samples`` says what it is made of: see
    ``discrete_vae.strategies.bound_of``.
    """

    decode: Callable[[Tensor], Tensor]
    """Sample ``[..., B, N, K]`` -> the network's output ``[..., B, D]`` (for a Bernoulli decoder, its logits).

    A strategy of several samples puts dimensions of its own in front: flatten the last two, not all but the first."""
    loss: Callable[[Tensor], Tensor]
    """Output -> loss ``[..., B]``, one number an example; anything else raises ``InputError``."""
    model: Model | None = None
    """The networks around the sample, for strategies that have targets in place of gradients."""
    kl_term: Callable[[Tensor], Tensor] | None = None
    """Logits -> the KL term of the loss, which the task adds: beta KL, ``[..., B]`` in nats."""
    sample_kl: Callable[[Tensor, Tensor], Tensor] | None = None
    """Logits and sample, in this order -> the sample's share in the KL term, beta log q(z) / p(z): ``[..., B]``.

    Its mean is ``kl_term``."""
    curvature: Callable[[Tensor], Tensor] | None = None
    """Output -> the second derivative of the loss in each of its numbers, ``[..., B, D]``; below 0 it counts as 0."""
    context: Tensor | None = None
    """Input of a learned baseline, ``[..., B, C]``: anything that does not depend on the sample."""
    broadcasts: bool = False
    """Whether a sample may stand for a whole batch, so that B is 1 in it: then what all images share of a state's
    decoding is done once."""
    deeper_loss: Callable[[Tensor, Tensor], Tensor] | None = None
    """Sample and output -> the loss of the stochastic layers above this one, ``[..., B]``; see ``nesting``."""
    mean_field: Objective | None = None
    """With layers behind: this objective with their probabilities in place of samples, so that it has no noise."""
    samples: Samples | None = None
    """The S samples that make up each sample's S N variables, if the objective is their multi-sample bound. Then the
    output of ``decode``, and ``model``, have them as examples: ``[..., B S, D]``."""

    @classmethod
    def of(
        cls, objective: Objective | Cost, dims: int, examples: torch.Size, context: Tensor | None = None
    ) -> Objective:
        """An objective, also made of a plain function from a sample of ``dims`` dimensions to one loss an example.

        A strategy of several samples calls the function with one after the other, so that it need not know of them.
        Raises ``InputError`` for what is neither, and for a ``context`` beside an ``Objective``.
        """
        if isinstance(objective, Objective):
            if context is not None:
                raise InputError("a context is given beside an Objective; give it as Objective(context=...)")
            return objective
        if not callable(objective):
            raise InputError(
                f"the objective is a {type(objective).__name__}; give a function from a sample to a loss, "
                "or an Objective"
            )

        def decode(sample: Tensor) -> Tensor:
            if not (extra := sample.dim() - dims):
                return one_an_example(objective(sample), examples)
            leading = sample.shape[:extra]
            losses = [one_an_example(objective(one), examples) for one in sample.flatten(0, extra - 1)]
            return torch.unflatten(torch.stack(losses), 0, leading)

        return cls(decode=decode, loss=lambda losses: losses, context=context)

    def model_with(self, *needs: str) -> Model:
        """The model, which has these fields; raises ``InputError``, which names those that it lacks."""
        if missing := [name for name in needs if getattr(self.model, name, None) is None]:
            raise InputError(
                f"target propagation needs an objective with {' and '.join(missing)}; give Objective(..., "
                f"model=Model({', '.join(f'{name}=...' for name in missing)}))"
            )
        assert self.model is not None
        return self.model

    @property
    def decoder(self) -> Stack | None:
        """The layers that the flattened sample goes through, if they can be used singly."""
        return self.model.decoder if self.model else None

    def curvature_at(self, output: Tensor) -> Tensor:
        """The curvature at an output, in at least float32; what is below 0 counts as 0.

        Raises ``InputError`` if there is none, or if it is not one number for each of the output.
        """
        if not callable(self.curvature):
            raise InputError(
                "a Gauss-Newton model needs an objective with curvature, the second derivative of the loss in each "
                "number of the output; give Objective(..., curvature=...), for a Bernoulli likelihood p (1 - p)"
            )
        found = self.curvature(output)
        if not isinstance(found, Tensor) or not _of_each_number(found.shape, output.shape):
            shape = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise InputError(
                f"the curvature is {shape}; give the second derivative of the loss in each number of the output, "
                f"{list(output.shape)}, with 1 in place of a dimension along which it is the same"
            )
        return at_least_float32(found.expand_as(output)).clamp_min(0)

    @property
    def deterministic(self) -> Objective:
        """The objective without the noise of layers behind: the mean field's, or itself."""
        return self.mean_field or self

    def split(self, code: Tensor) -> Tensor:
        """A bound's code ``[..., B, S N, K]`` as the decoder takes it, ``[..., B S, N, K]``; otherwise the code."""
        return code if self.samples is None else self.samples.split(code)

    def join(self, code: Tensor) -> Tensor:
        """The inverse of ``split``."""
        return code if self.samples is None else self.samples.join(code)

    def summed(self, numbers: Tensor) -> Tensor:
        """Numbers of each sample ``[..., B S]``, summed over the samples of an example: ``[..., B]``."""
        return numbers if self.samples is None else self.samples.apart(numbers).sum(-1)

    def __call__(self, sample: Tensor) -> Tensor:
        return self.loss_of(sample, self.decode(sample))

    def loss_of(self, sample: Tensor, output: Tensor) -> Tensor:
        """The objective at a sample whose output is at hand: ``[..., B]``, at least in float32.

        Raises ``InputError`` for a loss of another shape.
        """
        if self.samples is not None:
            return self.samples.loss(self.samples.split(sample), output)
        loss = one_an_example(self.loss(output), sample.shape[:-2], self.broadcasts)
        if self.deeper_loss is None:
            return loss
        deeper = self.deeper_loss(sample, output)
        return loss + one_an_example(deeper, sample.shape[:-2], self.broadcasts, "loss behind the decoder")


def _of_each_number(shape: torch.Size, wanted: torch.Size) -> bool:
    """Whether a shape is an output's, ``[..., B, D]``, or has 1 in place of some of its dimensions but the last."""
    return (
        len(shape) == len(wanted)
        and shape[-1:] == wanted[-1:]
        and all(size in (1, want) for size, want in zip(shape, wanted, strict=True))
    )


def one_an_example(loss: Tensor, examples: torch.Size, broadcasts: bool = False, name: str = "loss") -> Tensor:
    """The loss, at least in float32; raises ``InputError``, which names it, where it is not one number an example."""
    wanted = f"one number an example, {list(examples)}"
    if not isinstance(loss, Tensor):
        raise InputError(f"the {name} is a {type(loss).__name__}; give a tensor of {wanted}")
    same = loss.shape == examples or (
        broadcasts
        and loss.dim() == len(examples)
        and all(want in (1, got) for got, want in zip(loss.shape, examples, strict=True))
    )
    if not same:
        remedy = "sum what belongs to one example, such as .sum(-1), and take no .mean() over the batch"
        if loss.dim() == len(examples) + 1 and loss.shape[-1] == 1:
            remedy = "drop the last dimension, .squeeze(-1)"
        elif len(examples) > 1:
            remedy += (
                "; of a sample flatten the last two dimensions alone, .flatten(-2); where the categories are not "
                "last, give dim, such as dim=1 for [B, K, H, W]"
            )
        raise InputError(f"the {name} has shape {list(loss.shape)}; give {wanted}: {remedy}")
    return at_least_float32(loss) if loss.is_floating_point() else loss.to(torch.get_default_dtype())


def one_prediction(predicted: Tensor, like: Tensor, name: str) -> Tensor:
    """Predictions of the network ``name``, ``[..., B]`` or ``[..., B, 1]``, to go with ``like`` ``[..., B]``.

    Raises ``InputError`` where it is not one number an example, or one for all.
    """
    found = predicted.squeeze(-1)
    pairs = zip(reversed(found.shape), reversed(like.shape), strict=False)
    if found.dim() > like.dim() or any(size not in (1, wanted) for size, wanted in pairs):
        raise InputError(
            f"the {name} gives shape {list(predicted.shape)}; it has to give one number an example, "
            f"{[*like.shape, 1]}, of what it is given"
        )
    return found


@dataclass(frozen=True)
class Layout:
    """Logits of any shape as ``[..., B, N, K]``: the categories lie along ``dim``.

    With the categories last, the dimension before them has the variables and all others are examples; ``[B, K]`` is one
    variable an example. With the categories elsewhere, as in channel-first ``[B, K, H, W]``, the dimensions before them
    are examples and those behind them, H W of them, variables.
    """

    dim: int
    """Dimension of the categories, counted from the back: below 0."""
    dims: int
    """Number of dimensions of the logits."""
    variables: torch.Size
    """Sizes of the dimensions behind the categories."""
    examples: torch.Size
    """Sizes of the dimensions of examples, which a loss has."""

    @classmethod
    def of(cls, logits: Tensor, dim: int, batch: bool = True) -> Layout:
        """The layout of logits; raises ``InputError`` if they are no logits or, with ``batch``, have no batch."""
        if not isinstance(logits, Tensor) or not logits.is_floating_point():
            kind = str(logits.dtype).removeprefix("torch.") if isinstance(logits, Tensor) else type(logits).__name__
            raise InputError(f"the logits are {kind}; give a tensor of floating-point numbers")
        if isinstance(dim, bool) or not isinstance(dim, int):
            raise InputError(
                f"dim is a {type(dim).__name__}; give the categories' dimension, a whole number "
                "(an objective goes to estimate(logits, objective))"
            )
        shape, dims = list(logits.shape), logits.dim()
        if not -dims <= dim < dims:
            raise InputError(f"dim is {dim}; the logits have shape {shape}: give a dimension that they have")
        behind = dim % dims - dims
        if not shape[behind]:
            raise InputError(f"logits of shape {shape} have no categories along dim {dim}")
        if batch and (dims < 2 or (behind == -dims)):
            raise InputError(
                f"logits of shape {shape} have no batch before the categories' dim {dim}; give [B, K] or [..., B, N, K]"
            )
        place = dims + behind
        examples = logits.shape[: max(place - 1, 1)] if behind == -1 else logits.shape[:place]
        return cls(behind, dims, logits.shape[place + 1 :], examples)

    @property
    def plain(self) -> bool:
        """Whether it is ``[..., B, N, K]`` already."""
        return self.dim == -1 and self.dims > 2

    def last(self, tensor: Tensor) -> Tensor:
        """A tensor of the layout with the categories last."""
        return tensor if self.dim == -1 else tensor.movedim(self.dim, -1)

    def first(self, tensor: Tensor) -> Tensor:
        """A tensor with the categories last -> the layout; contiguous, for code that takes a view."""
        return tensor if self.dim == -1 else tensor.movedim(-1, self.dim).contiguous()

    def inwards(self, tensor: Tensor) -> Tensor:
        """A tensor of the logits' shape, maybe with dimensions in front -> ``[..., B, N, K]``."""
        if self.dim == -1:
            return tensor if self.plain else tensor.unsqueeze(-2)
        return self.last(tensor).flatten(self.dim, -2)

    def fitted(self, value: Tensor) -> Tensor:
        """A hyper-parameter, of one number an example or a place, for logits that are ``[..., B, N, K]``.

        Raises ``InputError`` where it does not fit the dimensions behind the categories.
        """
        if self.dim == -1 or not len(self.examples) < value.dim() <= self.dims:
            return value
        count = len(self.variables)
        if value.dim() == self.dims:
            each = self.last(value)
        else:
            each = value.reshape(*value.shape, *[1] * (self.dims - value.dim()))
        *examples, category = each.shape[: -count - 1] + each.shape[-1:]
        if any(
            size not in (1, wanted) for size, wanted in zip(each.shape[-count - 1 : -1], self.variables, strict=True)
        ):
            raise InputError(
                f"a hyper-parameter has shape {list(value.shape)}; give one number, or one an example, "
                f"{list(self.examples[:1])}"
            )
        return each.expand(*examples, *self.variables, category).flatten(self.dim, -2)

    def outwards(self, tensor: Tensor) -> Tensor:
        """``[..., B, N, K]`` -> of the logits' shape, maybe with dimensions in front."""
        if self.dim == -1:
            return tensor if self.plain else tensor.squeeze(-2)
        return self.first(torch.unflatten(tensor, -2, self.variables))

    def objective(self, given: Objective, dtype: torch.dtype) -> Objective:
        """An objective of samples and logits of this layout and dtype as one of ``[..., B, N, K]``.

        Raises ``InputError`` for one with a ``Model.decoder`` or a bound, where the categories are not last.
        """
        model = given.model
        if model is not None and model.decoder is not None and self.dim != -1:
            raise InputError("the objective's decoder takes flattened samples; give logits with the categories last")
        samples = given.samples
        if samples is not None and not self.plain:
            raise InputError("a bound of several samples needs logits [..., B, N, K], with the categories last")

        def out(tensor: Tensor) -> Tensor:
            return self.outwards(tensor).to(dtype)

        def of(function: Callable[..., Tensor] | None, wrapped: Callable[..., Tensor]) -> Any:
            return None if function is None else wrapped

        if model is not None and (encode := model.encode) is not None:
            model = replace(model, encode=lambda seen: self.inwards(encode(seen)))
        return replace(
            given,
            decode=lambda sample: given.decode(out(sample)),
            model=model,
            kl_term=of(given.kl_term, lambda logits: given.kl_term(out(logits))),  # type: ignore[misc]
            sample_kl=of(given.sample_kl, lambda logits, sample: given.sample_kl(out(logits), out(sample))),  # type: ignore[misc]
            deeper_loss=of(given.deeper_loss, lambda sample, output: given.deeper_loss(out(sample), output)),  # type: ignore[misc]
            mean_field=None if given.mean_field is None else self.objective(given.mean_field, dtype),
            samples=None if samples is None else replace(samples, each=self.objective(samples.each, dtype)),
        )
