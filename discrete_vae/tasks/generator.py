"""Generators of categorical data, or of points, against a critic.

I. Gulrajani, F. Ahmed, M. Arjovsky, V. Dumoulin, A. Courville: Improved Training of Wasserstein GANs. NeurIPS 2017,
arXiv 1704.00028.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor, nn

from discrete_vae.backbones import BACKBONES
from discrete_vae.backbones.stack import layered
from discrete_vae.data import Dataset, Split
from discrete_vae.data.domain import Domain, Shape
from discrete_vae.data.known import Judge
from discrete_vae.errors import InputError
from discrete_vae.latents.categorical import one_hot
from discrete_vae.latents.noise import Noise
from discrete_vae.settings import Architecture, Settings
from discrete_vae.strategies.base import NetworkFactory, Strategy
from discrete_vae.strategies.objective import Model, Objective
from discrete_vae.tasks.base import Blueprint, Generators
from discrete_vae.tasks.critic import AdversarialTask
from discrete_vae.tasks.nesting import Layer

ROWS = 1_000
"""Samples that are judged at once."""


class Scorer(Protocol):
    """Scores samples of a data set: the data's own judge, or a classifier of its images."""

    def scores(self, sample: Tensor, held_out: Tensor, training: Tensor | None = None) -> dict[str, float]:
        """Scores of samples ``[M, N]``, given real ones that a generator has not seen, and those that it has."""
        ...

    def shares(self, sample: Tensor) -> dict[str, float]:
        """The scores that need no real samples."""
        ...


class Generator(AdversarialTask):
    """Noise -> the logits of N symbols of K kinds -> a strategy's sample, whose cost is minus the critic's value.

    The generator takes the place of the encoder, the critic that of the decoder. For images and strings both may be
    convolutional (``Backbone.generator``, ``Backbone.critic``). A step uses ``[P, (steps + 1) B, D + Z]``, data and
    behind them noise: a batch for each update of the critic, and one for the generator's own, which uses only its
    noise. ``check`` raises ``InputError`` for data that the strategy or the backbone cannot make.
    """

    posterior = False
    reads = (AdversarialTask.reads | {"style", "normalisation"}) - {
        *("latents", "categories", "layers", "likelihood", "pixel_scale", "data_bias"),
        *("keep", "patience"),  # a distance is by the epoch's own critic, so that epochs have no order
    }
    score = "wasserstein"

    def __init__(self, blueprint: Blueprint, generators: Sequence[torch.Generator]) -> None:
        super().__init__(blueprint, generators)
        self.width = blueprint.image.size

    def _encoder(self, outputs: int, generators: Sequence[torch.Generator]) -> nn.Module:
        """The generator, which makes the logits of an observation's symbols, or its coordinates."""
        noise, image = self.seen.size, self.blueprint.image
        return self.blueprint.backbone.generator(noise, image, outputs // image.size, self.architecture, generators)

    def _decoder(self, code: int, generators: Sequence[torch.Generator]) -> nn.Module:
        """The critic, which gives one value, whatever a likelihood would take."""
        image = self.blueprint.image
        return self.blueprint.backbone.critic(image, code // image.size, self.architecture, generators)

    @classmethod
    def check(cls, settings: Settings) -> None:
        super().check(settings)
        data, points = settings.data, settings.data.domain.symbols is None
        if points == settings.categorical:
            remedy = "backpropagation" if points else "a strategy for categorical variables"
            raise InputError(f"{settings.strategy} cannot make {data.dataset}; give {remedy}")
        if points and settings.architecture.backbone != Architecture.backbone:
            raise InputError(
                f"backbone is {settings.architecture.backbone}, and {data.dataset} are points, which have no "
                f"neighbours; give {Architecture.backbone}"
            )

    @classmethod
    def shapes(cls, architecture: Architecture, image: Shape) -> tuple[Shape, Shape]:
        """Noise, and a critic's one value."""
        return Shape(1, architecture.style), Shape(1, 1)

    @classmethod
    def variables(cls, architecture: Architecture, domain: Domain) -> tuple[int, int]:
        return domain.size, domain.symbols or 1

    @classmethod
    def batches_per_step(cls, settings: Settings) -> int:
        return settings.criticism.critic_steps

    @property
    def critic(self) -> nn.Module:
        return self.decoder

    def cut(self) -> None:
        """Raises ``InputError``: the critic learns by gradients through all of its layers."""
        raise InputError("a critic has no layer-local training; give a generator a strategy without local")

    @property
    def exact(self) -> bool:
        return False  # there is no likelihood

    def train_batch(self, split: Split, order: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        own = order.shape[-1] // self.criticism.critic_steps
        return self.eval_batch(split, torch.cat([order, order[:, :own]], -1), generators)

    def eval_batch(self, split: Split, index: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        data = split.batch(index, generators)
        noise = Noise(generators, data.device).normal((*data.shape[:-1], self.seen.size))
        return torch.cat([data, noise], -1)

    def critic_batches(self, observation: Tensor) -> tuple[Sequence[Tensor], Tensor]:
        *critics, own = observation.chunk(self.criticism.critic_steps + 1, -2)
        return critics, own

    def encode(self, images: Tensor) -> Tensor:
        parameters: Tensor = self.encoder(images[..., self.width :])
        return parameters

    def real(self, images: Tensor) -> Tensor:
        """Data as they come, ``[..., D]`` with symbols by their number, as flattened samples ``[..., N K]``."""
        categories = self.family.sample_shape[-1]
        data = images[..., : self.width]
        return data if categories == 1 else one_hot(data.long(), categories).flatten(-2)

    def pairs(self, strategy: Strategy, observation: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        return self.real(observation), self._draw(strategy, self.encode(observation), noise).flatten(-2)

    def objective(self, images: Tensor, beta: Tensor | float = 1.0) -> Objective:
        noise = images[..., self.width :]
        return Objective(
            decode=self.decode,
            loss=lambda output: -output.squeeze(-1),
            curvature=torch.zeros_like,
            model=Model(lambda output: output, decoder=layered(self.decoder)),
            context=noise,
        )

    def layers(self, images: Tensor, beta: Tensor | float = 1.0) -> list[Layer]:
        return []

    def evaluate_samples(
        self,
        strategy: Strategy,
        data: Dataset,
        split: str,
        noise: Noise,
        advance: Callable[[int], None],
        judge: Scorer | None = None,
    ) -> dict[str, Tensor]:
        """The critic's distance of a split to as many samples, and what the data are scored by.

        Points and strings are scored by their own data's judge, other data by ``judge``, if there is one.

        The distance is of the samples that the strategy trains with, relaxed where it relaxes; every run has a critic
        of its own. The scores are of hard samples; shares are also given of each draw's likeliest symbols, by which a
        generator without noise is read.
        """
        held_out, own = data.split(split), self._judge(data)
        judge = judge if own is None else own
        generators = [each for each in noise.generators if each is not None]
        members, distances, drawn = len(generators), [], []
        for start in range(0, len(held_out), ROWS):
            index = torch.arange(start, min(start + ROWS, len(held_out)), device=noise.device)
            observation = self.eval_batch(held_out, index.expand(members, -1), generators)
            real, fake = self.pairs(strategy, observation, noise)
            distances.append(self.value(real) - self.value(fake))
            if judge:
                hard = self.family.sample(parameters := self.encode(observation), noise).squeeze(-4)
                drawn.append((self.symbols(hard).cpu(), self.symbols(parameters).cpu()))
            advance(index.numel() * members)
        metrics = {"wasserstein": torch.cat(distances, 1).mean(-1)}
        if judge:
            real, training = held_out.pixels.cpu(), data.train.pixels.cpu()
            samples, likeliest = (torch.cat(part, 1) for part in zip(*drawn, strict=True))
            scores = [
                judge.scores(sample, real, training)
                | {f"{name}_argmax": value for name, value in judge.shares(mode).items()}
                for sample, mode in zip(samples, likeliest, strict=True)
            ]
            metrics |= {name: torch.tensor([each[name] for each in scores]) for name in scores[0]}
        return metrics

    def _judge(self, data: Dataset) -> Judge | None:
        """The scorer of samples, if there is one."""
        return data.config.judge

    def symbols(self, sample: Tensor) -> Tensor:
        """One-hot samples, or logits, ``[..., N, K]`` -> data as they come, ``[..., N]``; points as they are."""
        return sample.squeeze(-1) if sample.shape[-1] == 1 else sample.argmax(-1)

    def prior_sample(self, count: int, noise: Noise) -> Tensor:
        parameters = self.encoder(noise.normal((1, count, self.seen.size)))
        return self.family.sample(parameters, noise).squeeze(-4)

    def draw(self, count: int, noise: Noise) -> Tensor:
        return self.symbols(self.prior_sample(count, noise))

    def networks(self, layer: int, generators: Generators) -> NetworkFactory:
        dense = BACKBONES["mlp"]  # noise, and a critic's value, are no images
        factory = self._factory(layer, generators, self.explained, self.seen, pixels=True, backbone=dense)
        return replace(factory, decoder=lambda: self._decoder(self.code, generators("strategy decoder weights")))


class CriticAlone(Generator):
    """The critic by itself: its fake points are real ones with standard normal noise (section 3, figure 1).

    ``check`` raises ``InputError`` for data that are no points; there is nothing to sample.
    """

    reads = Generator.reads - {"samples", "optimiser", "learning_rate", "auxiliary_learning_rate", "weight_decay"}
    stand_in = "backpropagation"

    @classmethod
    def check(cls, settings: Settings) -> None:
        super().check(settings)
        if settings.categorical:
            raise InputError(f"{settings.data.dataset} are no points; give the critic alone 8-gaussians or the like")

    def pairs(self, strategy: Strategy, observation: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        real = self.real(observation)
        return real, real + noise.normal(real.shape)

    def objective(self, images: Tensor, beta: Tensor | float = 1.0) -> Objective:
        return replace(super().objective(images, beta), loss=lambda output: 0 * output.squeeze(-1))

    def prior_sample(self, count: int, noise: Noise) -> Tensor:
        raise InputError("a critic alone makes nothing; sample a run of the task generator")

    def _judge(self, data: Dataset) -> Judge | None:
        return None
