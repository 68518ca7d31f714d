"""A classifier of a data set's own images, which judges the images that a generator makes.

T. Salimans, I. Goodfellow, W. Zaremba, V. Cheung, A. Radford, X. Chen: Improved Techniques for Training GANs. NeurIPS
2016, arXiv 1606.03498. Their classifier was trained on ImageNet; this one is small and trained on the data set alone.
Its scores can be compared with each other and with those of real images, but not with published ones.
"""

from __future__ import annotations

import math
from collections.abc import MutableMapping
from pathlib import Path
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.weak import WeakIdKeyDictionary

from discrete_vae.backbones import BACKBONES
from discrete_vae.backbones.stack import Stack
from discrete_vae.data import Dataset
from discrete_vae.data.dataset import fingerprint
from discrete_vae.files import writable
from discrete_vae.latents.noise import seeded
from discrete_vae.runs import checkpoints
from discrete_vae.settings import Architecture

FOLDER = "classifiers"
"""Beside the runs: a folder for each data set that was judged."""
REVISION = 1
"""Revision of what decides a classifier's weights, beside its data."""
BATCH, RATE, EPOCHS, LEAST = 100, 1e-3, 3, 500
"""Images of an update, Adam's step size, passes over the training images, and updates that small data sets get."""
ROWS = 1_000
"""Images that are judged at once."""
SMALLEST = 8
"""Rows and columns of an image that two convolutions have room for."""


class Classifier:
    """Two convolutions and a dense layer of 128 units; ``network`` maps images ``[1, M, D]`` to ``[1, M, C]``."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.real: MutableMapping[Tensor, dict[str, float]] = WeakIdKeyDictionary()
        """Cached scores of real images, which stand beside those of every member and epoch."""

    def __call__(self, images: Tensor) -> Tensor:
        """Log-probabilities ``[M, C]`` of the classes of images ``[M, D]``, on the CPU."""
        on_host = images.cpu()
        pieces = (on_host[start : start + ROWS] for start in range(0, len(images), ROWS))
        with torch.no_grad():
            parts = [self.network(piece.float()[None]).squeeze(0) for piece in pieces]
        return torch.cat(parts).double().log_softmax(-1)

    def accuracy(self, images: Tensor, labels: Tensor) -> float:
        """Share of images ``[M, D]`` whose likeliest class is their label ``[M]``."""
        return float((self(images).argmax(-1) == labels.cpu()).double().mean())

    def shares(self, sample: Tensor) -> dict[str, float]:
        """Scores of images ``[M, D]`` by their probabilities of the classes.

        - ``label_entropy``: mean over the images of the entropy of p(class | image), in nats; 0 if it is certain.
        - ``marginal_entropy``: entropy of the mean of p(class | image), in nats; log C if classes are equally frequent.
        - ``inception_score``: the exponential of their difference, from 1 to C (Salimans et al. 2016).
        """
        logs = self(sample)
        mean = (logs.logsumexp(0) - math.log(len(logs))).exp()
        label, marginal = -(logs.exp() * logs).sum(-1).mean(), torch.special.entr(mean).sum()
        told = {"inception_score": (marginal - label).exp(), "label_entropy": label, "marginal_entropy": marginal}
        return {name: float(value) for name, value in told.items()}

    def scores(self, sample: Tensor, held_out: Tensor, training: Tensor | None = None) -> dict[str, float]:
        """``shares`` of images ``[M, D]``, and of real ones ``[M', D]``, whose names end in ``_real``."""
        if held_out not in self.real:
            self.real[held_out] = {f"{name}_real": value for name, value in self.shares(held_out).items()}
        return self.shares(sample) | self.real[held_out]


_JUDGES: WeakKeyDictionary[Dataset, Classifier] = WeakKeyDictionary()


def judge_of(data: Dataset, runs: Path | None = None) -> Classifier | None:
    """The classifier of a data set: that of this process, or the one beside the runs, or one that is trained now.

    None if the images are not binary, change at each visit, or have no labels. The same data give the same
    weights on the same machine, whoever trains it; it is kept beside the runs. Raises ``InputError`` for a damaged
    file.
    """
    train = data.train
    if data.config.domain.shape is None or train.levels != 1 or train.dynamic or int(train.labels.min()) < 0:
        return None
    if data not in _JUDGES:
        network, updates = _network(data), updates_of(len(train))
        digest = f"{fingerprint([train])}-{data.config.image_shape}-{REVISION}"  # the pixels lie flat in a fingerprint
        folder = None if runs is None else runs / FOLDER / digest
        if folder and checkpoints.path_of(folder, updates).is_file():
            tensors = checkpoints.read(folder, updates, digest)
            checkpoints.check_tensors(checkpoints.path_of(folder, updates), tensors, network.state_dict())
            network.load_state_dict(tensors)
        else:
            _train(network, train.pixels.cpu(), train.labels.cpu(), updates)
            if folder:
                with writable(folder):
                    checkpoints.write(folder, updates, digest, network.state_dict())
        _JUDGES[data] = Classifier(network)
    return _JUDGES[data]


def updates_of(images: int) -> int:
    """Number of a classifier's updates for so many training images."""
    return max(LEAST, EPOCHS * images // BATCH)


def _network(data: Dataset) -> Stack:
    shape, classes = data.config.image_shape, int(data.train.labels.max()) + 1
    channels = (16, 32) if min(shape.rows, shape.columns) >= SMALLEST else ()
    widths = Architecture(hidden=(128,), channels=channels, activation="relu", backbone="conv")
    network = BACKBONES["conv"].encoder(shape, classes, widths, [seeded(0, "classifier", "weights")])
    assert isinstance(network, Stack)
    return network


def _train(network: nn.Module, pixels: Tensor, labels: Tensor, updates: int) -> None:
    """Minimise the cross-entropy, with a step size that falls to 0."""
    optimiser = torch.optim.Adam(network.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, updates)
    generator = seeded(0, "classifier", "order")
    order = torch.empty(0, dtype=torch.int64)
    parameters = list(network.parameters())
    with torch.enable_grad():
        for _ in range(updates):
            if not len(order):
                order = torch.randperm(len(pixels), generator=generator)
            index, order = order[:BATCH], order[BATCH:]
            loss = F.cross_entropy(network(pixels[index].float()[None]).squeeze(0), labels[index])
            for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                parameter.grad = gradient
            optimiser.step()
            schedule.step()
    for parameter in network.parameters():
        parameter.requires_grad_(False)
