"""Semi-supervised classification: a class y and a style z explain an image; most images come without their class.

D. P. Kingma, D. J. Rezende, S. Mohamed, M. Welling: Semi-Supervised Learning with Deep Generative Models. NeurIPS 2014,
arXiv 1406.5298 (the model M2, eqs. 6 to 9); as a benchmark for categorical layers Jang et al. 2017, section 4.3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from discrete_vae.backbones.stack import Stack
from discrete_vae.data import Split
from discrete_vae.errors import InputError
from discrete_vae.latents.categorical import one_hot
from discrete_vae.latents.gaussian import Gaussian
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.settings import Architecture, Settings, Supervision
from discrete_vae.strategies.base import Estimate, NetworkFactory, Strategy
from discrete_vae.strategies.objective import Model, Objective
from discrete_vae.tasks.base import Blueprint, Generators, Task
from discrete_vae.tasks.nesting import Layer


class Classified(Task):
    """A task with the encoder for a classifier: some training images come with their classes, of all K of them.

    ``check`` raises ``InputError`` for more than one variable an image, for several samples, and for a number of labels
    that K does not divide.
    """

    reads = (Task.reads | {"labelled"}) - {"layers"}
    supervision, share = Supervision(), 0.0

    @classmethod
    def with_task_defaults(cls, architecture: Architecture) -> Architecture:
        """The architecture with one latent variable, the class, if the number is the default."""
        return replace(architecture, latents=1) if architecture.latents == Architecture.latents else architecture

    @property
    def exact(self) -> bool:
        return False  # the style is sampled, or there is no reconstruction

    @classmethod
    def check(cls, settings: Settings) -> None:
        super().check(settings)
        shape, labelled = settings.architecture, settings.supervision.labelled
        if (shape.latents, shape.layers) != (1, 1):
            raise InputError(
                f"latents is {shape.latents} and layers {shape.layers}; {settings.task} images have one categorical "
                "variable, their class: give 1"
            )
        if settings.samples > 1:
            raise InputError(
                f"samples is {settings.samples}; {settings.task} images are told apart by their place in a batch: give "
                "1, or a strategy of several samples such as rloo"
            )
        if labelled % shape.categories:
            raise InputError(
                f"labelled is {labelled}; give a multiple of the {shape.categories} categories, to have as many of each"
            )

    def setup(self, split: Split, settings: Settings, seeds: Sequence[int]) -> None:
        """Choose the images whose classes are known. Raises ``InputError`` as ``balanced`` does."""
        super().setup(split, settings, seeds)
        if int(split.labels.max()) < 0:
            raise InputError(
                f"the images of {settings.data.dataset} have no labels, which {settings.task} learns from: add them, "
                "or give the task vae"
            )
        supervision = settings.supervision
        self.supervision, self.share = supervision, supervision.labelled_weight * supervision.labelled / len(split)
        chosen = [balanced(split.labels, supervision.labelled, self.architecture.categories, seed) for seed in seeds]
        self.labelled = torch.stack(chosen)

    def cut(self) -> None:
        """Raises ``InputError``: the classifier learns from its labels by gradients through all of its layers."""
        raise InputError("a classifier has no layer-local training; give a strategy without local")

    def known(self, split: Split, order: Tensor) -> tuple[Tensor, Tensor]:
        """Places of images with their classes ``[P, L]`` for a batch, and the classes as one-hot ``[P, L, K]``.

        All of them, or as many as a batch has: then each is drawn with the place of another in the split.
        """
        count = self.labelled.shape[1]
        own = self.labelled if count <= order.shape[1] else self.labelled.gather(1, order * count // len(split))
        return own, one_hot(split.labels[own], self.architecture.categories)

    def unknown(self, images: int) -> int:
        """How many of a batch's images have no class: those before the L of ``known``."""
        return images - min(images // 2, self.supervision.labelled)

    def encode(self, images: Tensor) -> Tensor:
        parameters: Tensor = self.encoder(images[..., : self.seen.size])
        return parameters

    def layers(self, images: Tensor, beta: Tensor | float = 1.0) -> list[Layer]:
        return []

    def scores(self, parameters: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"accuracy": (parameters.squeeze(-2).argmax(-1) == labels).to(torch.float32)}

    def networks(self, layer: int, generators: Generators) -> NetworkFactory:
        return self._factory(layer, generators, self.explained, self.seen, pixels=True)


def cross_entropy(logits: Tensor, classes: Tensor) -> Tensor:
    """``-log q(y | x)`` from ``[..., B, 1, K]`` and classes ``[..., B, K]``: ``[..., B]`` nats."""
    return -(classes * logits.squeeze(-2).log_softmax(-1)).sum(-1)


class SemiSupervised(Classified):
    """``p(y) p(z) p(x | y, z)`` and ``q(y | x) q(z | x, y)``: y one categorical variable, z Gaussian.

    Without its class an image costs ``E_q(y | x)[f(y)] + KL(q(y | x) || p(y))``, of which a strategy estimates the
    first part, with ``f(y) = E_q(z | x, y)[-log p(x | y, z)] + KL(q(z | x, y) || p(z))`` by one sample of z. With its
    class y it costs ``share (f(y) - log p(y)) - alpha log q(y | x)``, share being how many images of all have theirs
    (times ``Supervision.labelled_weight``): so a batch stands for all of the data, with the paper's alpha, 0.1 N a
    labelled image, as 0.1 labelled.

    An observation in training is an image, and behind its pixels its class as one-hot numbers, zeros for the first B of
    a batch, whose classes are not known: ``[P, B + L, D + K]``. Elsewhere it is an image.
    """

    posterior = True
    reads = Classified.reads | {"beta", "style", "alpha", "labelled_weight", "score"}
    needs = frozenset({"joins"})

    @classmethod
    def check(cls, settings: Settings) -> None:
        super().check(settings)
        if option := settings.rescaled_by:
            raise InputError(
                f"{option} of {settings.strategy} would scale what the classifier learns from images without a class, "
                f"but not what it learns from the labelled ones; leave {option} off"
            )

    def __init__(self, blueprint: Blueprint, generators: Sequence[torch.Generator]) -> None:
        architecture = blueprint.architecture
        classes, style = architecture.categories, Gaussian(architecture.style)
        super().__init__(blueprint, generators, code=classes + architecture.style)
        self.style = style
        self.style_encoder = blueprint.backbone.encoder(
            self.seen, math.prod(style.parameter_shape), architecture, generators, beside=classes
        )

    def train_batch(self, split: Split, order: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Images without their classes, and behind them the L with: ``[P, B + L, D + K]``."""
        own, classes = self.known(split, order)
        images = split.batch(torch.cat([order, own], 1), generators)
        nothing = classes.new_zeros(*order.shape, classes.shape[-1])
        return torch.cat([images, torch.cat([nothing, classes], 1)], -1)

    def _joined(self, network: nn.Module, *inputs: Tensor) -> Tensor:
        """A network's output, in float32, of inputs side by side."""
        assert isinstance(network, Stack)  # of a backbone that joins
        return network.beside(*inputs).float()

    def infer_style(self, pixels: Tensor, classes: Tensor) -> Tensor:
        """Parameters of q(z | x, y) for images ``[P, B, D]`` and classes ``[..., P, B, K]``: ``[..., P, B, Z, 2]``.

        For classes that all images share B is 1, and work that depends on only one of the two is done once.
        """
        return torch.unflatten(self._joined(self.style_encoder, pixels, classes), -1, self.style.parameter_shape)

    def decode(self, sample: Tensor) -> Tensor:
        """Classes and, behind them, styles, ``[..., P, B, 1, K + Z]`` -> logits of the pixels."""
        return self.explain(*sample.squeeze(-2).tensor_split([self.architecture.categories], -1))

    def explain(self, classes: Tensor, style: Tensor) -> Tensor:
        """Logits of the pixels, in float32, from classes ``[..., P, B, K]`` and styles ``[..., P, B, Z]``."""
        return self._joined(self.decoder, classes, style)

    def prior_sample(self, count: int, noise: Noise) -> Tensor:
        """Classes and styles for ``decode``: ``[1, count, 1, K + Z]``."""
        classes, style = self.family.prior_sample(count, noise), self.style.prior_sample(count, noise)
        return torch.cat([classes, style.transpose(-2, -1)], -1).unsqueeze(0)

    def objective(self, images: Tensor, beta: Tensor | float = 1.0, epsilon: Tensor | None = None) -> Objective:
        """``epsilon`` ``[P, B, Z, 1]`` is the noise of z, the same for every class; without it z is the mean."""
        weight, pixels = torch.as_tensor(beta, device=images.device).unsqueeze(-1), images[..., : self.seen.size]

        def decode(sample: Tensor) -> Tensor:
            """Pixels' logits and, behind them, the KL of z: ``[..., B, D + 1]``."""
            classes = sample.flatten(-2)
            parameters = self.infer_style(pixels, classes)
            mean, log_variance = parameters.chunk(2, -1)
            style = mean if epsilon is None else mean + (log_variance / 2).exp() * epsilon
            logits = self.explain(classes, style.squeeze(-1))
            return torch.cat([logits, self.style.kl(parameters).sum(-1, keepdim=True)], -1)

        return Objective(
            decode=decode,
            loss=lambda output: self.likelihood.nll(output[..., :-1], pixels) + weight * output[..., -1],
            curvature=lambda output: F.pad(self.likelihood.curvature(output[..., :-1], pixels), (0, 1)),
            model=Model(lambda output: self.likelihood.mean(output[..., :-1]), pixels, self.encode),
            kl_term=lambda logits: weight * self.family.kl(logits).sum(-1),
            sample_kl=lambda logits, sample: -weight * self.family.log_ratio(logits, sample),
            context=pixels,
            broadcasts=True,
        )

    def estimate(
        self, strategies: Sequence[Strategy], images: Tensor, parameters: Tensor, beta: Tensor | float, noise: Noise
    ) -> Estimate:
        """The strategy's loss of images without a class and the loss of the others, without the KL of the former."""
        (strategy,) = strategies
        count = images.shape[-2]
        rest = self.unknown(count)
        epsilon = noise.normal((*images.shape[:-1], *self.style.sample_shape))
        without, known = images[..., :rest, :], images[..., rest:, :]
        estimate: Estimate = strategy.compute(
            parameters[..., :rest, :, :], self.objective(without, beta, epsilon[..., :rest, :, :]), noise
        )
        classes = known[..., self.seen.size :]
        supervised = self.objective(known, beta, epsilon[..., rest:, :, :])(classes.unsqueeze(-2))
        error = cross_entropy(parameters[..., rest:, :, :], classes)
        weight = torch.as_tensor(beta, device=images.device).unsqueeze(-1)
        prior = math.log(self.architecture.categories)  # minus log p(y)
        labelled = self.share * (supervised + weight * prior) + self.supervision.alpha * error
        means = [count / rest * estimate.loss, count / (count - rest) * labelled]  # their mean is the sum of both's
        return Estimate(torch.cat(means, -1), estimate.strategy_loss, estimate.sample)

    def kl(self, parameters: Tensor) -> Tensor:
        """KL of images without a class, scaled so that its mean is theirs; that of the others is 0."""
        count = parameters.shape[-3]
        rest = self.unknown(count)
        kl = count / rest * self.family.kl(parameters[..., :rest, :, :]).sum(-1)
        return torch.cat([kl, kl.new_zeros(*kl.shape[:-1], count - rest)], -1)

    def log_weights(self, images: Tensor, parameters: Tensor, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
        sample = self.family.sample(parameters, noise, samples).flatten(1, 2)  # [P, S B, 1, K]
        pixels = images.repeat(1, samples, 1)
        classes = sample.flatten(-2)
        given = self.infer_style(pixels, classes)
        style = self.style.sample(given, noise).squeeze(1)
        logits = self.explain(classes, style.squeeze(-1))
        log_ratio = self.family.log_ratio(parameters.repeat(1, samples, 1, 1), sample) + self.style.log_ratio(
            given, style
        )
        log_prob = -self.likelihood.nll(logits, pixels)
        return torch.unflatten(log_prob, 1, (samples, -1)), torch.unflatten(log_ratio, 1, (samples, -1))


class LabelsAlone(Classified):
    """The classifier ``q(y | x)`` of ``SemiSupervised`` by itself: what the images without a class have to beat.

    It starts from the same weights and learns from the same images, by ``-log q(y | x)`` alone. No strategy has a part
    in it, and it explains no pixels: their likelihood, ELBO and KL are 0.
    """

    posterior = False
    reads = Classified.reads - {"auxiliary_learning_rate", "likelihood", "pixel_scale", "data_bias"}
    score = "accuracy"  # its ELBO is 0
    stand_in = "gumbel-softmax"

    def _decoder(self, code: int, generators: Sequence[torch.Generator]) -> nn.Module:
        return self.blueprint.mlp((code, *reversed(self.architecture.hidden), 1), generators)  # which explains nothing

    def train_batch(self, split: Split, order: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Images with their classes: ``[P, B, D + K]``."""
        own, classes = self.known(split, order)
        return torch.cat([split.batch(own, generators), classes], -1)

    def objective(self, images: Tensor, beta: Tensor | float = 1.0) -> Objective:
        return Objective(decode=self.decode, loss=lambda output: 0 * output.sum(-1))

    def estimate(
        self, strategies: Sequence[Strategy], images: Tensor, parameters: Tensor, beta: Tensor | float, noise: Noise
    ) -> Estimate:
        loss = cross_entropy(parameters, images[..., self.seen.size :])
        return Estimate(loss, loss.new_zeros(loss.shape[:-1]), self.family.mean(parameters))

    def log_weights(self, images: Tensor, parameters: Tensor, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
        nothing = parameters.new_zeros(len(parameters), samples, parameters.shape[1])
        return nothing, nothing


def balanced(labels: Tensor, count: int, classes: int, seed: int) -> Tensor:
    """Places of ``count`` images ``[count]``, as many of each class, drawn by a seed.

    Raises ``InputError`` if there are more or fewer classes, these do not divide the number, or one has too few images.
    """
    if (there := int(labels.max()) + 1) != classes:
        raise InputError(f"categories is {classes}; the images have {there} classes: give as many")
    if count % classes:
        raise InputError(f"labelled is {count}; give a multiple of the {classes} classes")
    generator = seeded(seed, "labels")
    found = []
    for each in range(classes):
        places = (labels.cpu() == each).nonzero().squeeze(1)
        if len(places) < count // classes:
            raise InputError(f"labelled is {count}; class {each} has {len(places)} images only: give fewer")
        found.append(places[torch.randperm(len(places), generator=generator)[: count // classes]])
    return torch.cat(found).to(labels.device)
