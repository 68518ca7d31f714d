"""Masked categories: a problem with some of its logits at -inf beside the problem without these categories."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from discrete_vae.backbones.stack import Stack
from discrete_vae.conformance.problem import Affine, Problem
from discrete_vae.conformance.subject import Finding, Subject, close, run
from discrete_vae.errors import InputError
from discrete_vae.latents.categorical import Categorical
from discrete_vae.latents.family import Family
from discrete_vae.latents.noise import Noise
from discrete_vae.latents.sparse import Sparse


class Padded(Noise):
    """The noise of a problem without some categories, padded for the problem with them."""

    def __init__(self, noise: Noise, shape: tuple[int, int], kept: Sequence[int]) -> None:
        super().__init__(noise.generators, noise.device)
        self.shape, self.kept = shape, list(kept)

    def uniform(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        if tuple(shape[-2:]) != self.shape:
            return super().uniform(shape, dtype)
        return spread(super().uniform([*shape[:-1], len(self.kept)], dtype), self.shape[1], self.kept, 0.5)


def spread(values: Tensor, categories: int, kept: Sequence[int], fill: float = 0.0) -> Tensor:
    """``[..., len(kept)]`` at the places ``kept`` among ``categories`` categories."""
    wide = values.new_full((*values.shape[:-1], categories), fill)
    return wide.index_copy(-1, torch.tensor(kept, device=values.device), values)


class Spread(nn.Module):
    """A network of flattened samples, for samples without some categories."""

    def __init__(self, network: nn.Module, shape: tuple[int, int], kept: Sequence[int]) -> None:
        super().__init__()
        self.network, self.shape, self.kept = network, shape, kept

    def forward(self, flat: Tensor) -> Tensor:
        sample = torch.unflatten(flat, -1, (self.shape[0], len(self.kept)))
        found: Tensor = self.network(spread(sample, self.shape[1], self.kept).flatten(-2))
        return found


class Without(Problem):
    """A problem without some of its categories, which it decodes as the problem with them does."""

    def __init__(self, wide: Problem, family: Callable[[int, int], Family], kept: Sequence[int]) -> None:
        shape = wide.family.sample_shape
        super().__init__(family(shape[0], len(kept)), wide.inner.dtype)
        self.wide, self.shape, self.kept = wide, shape, list(kept)
        self.logits, wide_networks = wide.logits[..., self.kept], wide.networks()
        rows = torch.arange(wide.size).view(shape)[:, self.kept].flatten()

        def decoder() -> Any:
            network = wide_networks.decoder()
            assert isinstance(network, Stack)
            first = network.layers[0]
            assert isinstance(first, Affine)
            first.weight = nn.Parameter(first.weight.detach()[rows])
            return network

        def encode(observation: Tensor) -> Tensor:
            logits: Tensor = wide.encode(observation)
            return logits[..., self.kept]

        self.encode = encode  # type: ignore[assignment]
        self.own = replace(
            wide_networks,
            critic=lambda: Spread(wide_networks.critic(), self.shape, self.kept),
            decoder=decoder,
        )
        self.inner = wide.inner.detach()[rows].requires_grad_()
        self.outer, self.observation = wide.outer, wide.observation

    def networks(self) -> Any:
        return self.own


def masked(subject: Subject) -> Finding:
    """One category at -inf and one at the lowest number.

    They have probability and gradient exactly 0 and are not sampled; loss, gradient, ``strategy_loss`` and, after a
    step of Adam, the strategy's own parameters are finite. ``yes``: the gradient in the others is also that of the
    problem without the two, draw by draw. ``mean``: only in the mean. ``finite``: in neither.
    """
    if not isinstance(subject.problem().family, Categorical | Sparse):
        return Finding("-")
    if subject.kind.categories is not None:
        return Finding("-", f"it is for {subject.kind.categories} categories alone")
    latents, categories = subject.shape
    kept, hidden = [0, *range(2, categories + 1)], [1, categories + 1]
    wide = Problem(subject.kind.latent_family(latents, categories + 2))
    encode, lowest = wide.encode, torch.finfo(wide.logits.dtype).min

    def mask(logits: Tensor) -> Tensor:
        places = torch.tensor(hidden)
        values = torch.tensor([-math.inf, lowest], dtype=logits.dtype).expand(*logits.shape[:-1], 2)
        return logits.index_copy(-1, places, values)

    wide.logits = mask(wide.logits)
    wide.encode = lambda observation: mask(encode(observation))  # type: ignore[assignment]
    narrow = Without(wide, subject.kind.latent_family, kept)
    try:
        pair = [problem.build(subject.kind, subject.options) for problem in (wide, narrow)]
        problems, noises = (wide, narrow), (Padded(wide.noise(3), (latents, categories + 2), kept), wide.noise(3))
        (estimate, gradient), (_, expected) = (
            run(strategy, problem.logits.expand(200, *problem.logits.shape), problem.objective(200), noise)
            for strategy, problem, noise in zip(pair, problems, noises, strict=True)
        )
    except InputError as error:
        return Finding("-", str(error))
    learned = wide.learn(copy.deepcopy(pair[0]), 1)
    faults = {
        "a probability": pair[0].prepared(wide.logits).softmax(-1)[..., hidden].any(),
        "the loss": not estimate.loss.isfinite().all(),
        "the gradient": not gradient.isfinite().all(),
        "a masked category's gradient": gradient[..., hidden].any(),
        "a masked category's sample": estimate.sample[..., hidden].any(),
        "strategy_loss": not estimate.strategy_loss.isfinite().all(),
        "a parameter after a step": not all(each.isfinite().all() for each in learned.parameters()),
    }
    if found := [name for name, wrong in faults.items() if wrong]:
        return Finding("no", f"not 0 or not finite: {', '.join(found)}")
    if close(gradient[..., kept], expected):
        return Finding("yes")
    means, errors = [], []
    for problem, strategy, seed in zip(problems, pair, (4, 5), strict=True):
        count = 4000
        many = run(
            strategy, problem.logits.expand(count, *problem.logits.shape), problem.objective(count), problem.noise(seed)
        )[1]
        many = many[..., kept] if problem is wide else many
        means.append(many.mean(0))
        errors.append(many.var(0) / count)
    z = ((means[0] - means[1]).abs() / sum(errors).sqrt().clamp_min(1e-9)).max()  # type: ignore[union-attr]
    return Finding("mean", "draw by draw it is another") if z < 5 else Finding("finite", f"z = {float(z):.1f}")
