"""A critic that estimates the Wasserstein distance, and what tasks share that are trained against one.

I. Gulrajani, F. Ahmed, M. Arjovsky, V. Dumoulin, A. Courville: Improved Training of Wasserstein GANs. NeurIPS 2017,
arXiv 1704.00028. M. Arjovsky, S. Chintala, L. Bottou: Wasserstein GAN. ICML 2017, arXiv 1701.07875 (weight clipping).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields

import torch
from torch import Tensor, nn

from discrete_vae.data import Split
from discrete_vae.errors import InputError
from discrete_vae.latents.noise import Noise
from discrete_vae.settings import CriticConfig, Settings
from discrete_vae.strategies.base import Strategy
from discrete_vae.tasks.base import Task

Critic = Callable[[Tensor], Tensor]
"""Points ``[P, B, C]`` -> values ``[P, B]``."""


def gradient_norms(critic: Critic, points: Tensor) -> Tensor:
    """Length of the critic's gradient at points ``[P, B, C]``: ``[P, B]``, differentiable in the critic's weights."""
    points = points.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    lengths: Tensor = torch.linalg.vector_norm(gradient, dim=-1)
    return lengths


def gradient_penalty(critic: Critic, real: Tensor, fake: Tensor, noise: Noise) -> Tensor:
    """``(|grad D(x)| - 1)^2`` at points between pairs of real and fake ones (algorithm 1), their mean: ``[P]``.

    Each of the points ``[P, B, C]`` lies at a uniform place on the line from its real to its fake one.
    """
    place = noise.uniform((*real.shape[:-1], 1), real.dtype)
    return (gradient_norms(critic, torch.lerp(real, fake, place)) - 1).square().mean(-1)


class AdversarialTask(Task):
    """A task whose model is trained against a critic of its samples, which is trained to tell them from others.

    ``check`` raises ``InputError`` for several stochastic layers, and for a strategy of a multi-sample bound.
    """

    reads = Task.reads | {field.name for field in fields(CriticConfig)}
    criticism = CriticConfig()

    @classmethod
    def check(cls, settings: Settings) -> None:
        if settings.architecture.layers > 1:
            raise InputError(f"layers is {settings.architecture.layers}; a critic sees one stochastic layer: give 1")
        if settings.loss_includes_kl:
            raise InputError(
                f"{settings.strategy} trains a bound over several samples, of which a critic has none; give another"
            )

    def setup(self, split: Split, settings: Settings, seeds: Sequence[int]) -> None:
        super().setup(split, settings, seeds)
        self.criticism = settings.criticism

    def value(self, points: Tensor) -> Tensor:
        """The critic's value of points ``[..., P, B, C]``, flattened samples: ``[..., P, B]``."""
        values: Tensor = self.critic(points)
        return values.squeeze(-1).float()

    @property
    def critic(self) -> nn.Module:
        """The critic's network."""
        raise NotImplementedError

    def pairs(self, strategy: Strategy, observation: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        """Real and fake samples for the critic, flattened and without a gradient: ``[P, B, C]`` each."""
        raise NotImplementedError

    def own_parameters(self) -> list[nn.Parameter]:
        """Parameters that the model's optimiser updates: all but the critic's."""
        others = {id(parameter) for parameter in self.critic.parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in others]

    def critic_batches(self, observation: Tensor) -> tuple[Sequence[Tensor], Tensor]:
        """The parts of a ``train_batch``: one for each update of the critic, and one for the model's update."""
        return [observation] * self.criticism.critic_steps, observation

    def critic_loss(self, strategies: Sequence[Strategy], observation: Tensor, noise: Noise) -> Tensor:
        """The critic's loss and its estimate of the distance, ``mean D(real) - mean D(fake)``: ``[P, 2]``."""
        with torch.no_grad():
            real, fake = self.pairs(strategies[0], observation, noise)
        on_real, on_fake = self.value(torch.cat([real, fake], -2)).chunk(2, -1)
        distance = (on_real - on_fake).mean(-1)
        loss = -distance
        if weight := self.criticism.gradient_penalty:
            loss = loss + weight * gradient_penalty(self.value, real, fake, noise)
        return torch.stack([loss, distance.detach()], -1)

    @torch.no_grad()
    def clip(self) -> None:
        """Bring the critic's weights back within their bound, where they have one."""
        if bound := self.criticism.weight_clip:
            for parameter in self.critic.parameters():
                parameter.clamp_(-bound, bound)

    def _draw(self, strategy: Strategy, parameters: Tensor, noise: Noise) -> Tensor:
        """The sample of the model's loss, the strategy's own if that is not a hard one: ``[P, B, N, K]``.

        It is not drawn by the strategy's estimate, which may update what it learns.
        """
        if strategy.claim.relaxed:
            relaxed: Tensor = strategy.sample(parameters, noise)  # type: ignore[operator]
            return relaxed
        return self.family.sample(parameters, noise).squeeze(-4)
