"""The loop that a textbook has: a Dataset, a DataLoader, eager modules and the library's Gumbel-Softmax.

The same model, batch, noise and optimiser as the suite's Gumbel-Softmax row, written as a first version of it would be.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from discrete_vae.config import Config


class Images(Dataset[Tensor]):
    """One image at a time, as floating-point numbers."""

    def __init__(self, pixels: Tensor) -> None:
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> Tensor:
        return self.pixels[index].float()


class TextbookVAE(nn.Module):
    """784-500-(30x10)-500-784, or as the configuration has it."""

    def __init__(self, config: Config, pixels: int) -> None:
        super().__init__()
        shape = config.architecture
        self.latents, self.categories = shape.latents, shape.categories
        self.temperature = config.options.temperature.initial
        self.encoder = mlp([pixels, *shape.hidden, shape.latents * shape.categories])
        self.decoder = mlp([shape.latents * shape.categories, *reversed(shape.hidden), pixels])

    def forward(self, x: Tensor) -> Tensor:
        """The negative ELBO of a batch, on relaxed samples."""
        logits = self.encoder(x).view(len(x), self.latents, self.categories)
        z = F.gumbel_softmax(logits, tau=self.temperature)
        reconstruction = F.binary_cross_entropy_with_logits(self.decoder(z.flatten(1)), x, reduction="sum") / len(x)
        log_q = F.log_softmax(logits, dim=-1)
        kl = (log_q.exp() * (log_q + math.log(self.categories))).sum() / len(x)
        return reconstruction + kl


def mlp(sizes: list[int]) -> nn.Sequential:
    """Affine layers with softplus between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.Softplus()]
    return nn.Sequential(*layers[:-1])


def textbook(config: Config, pixels: Tensor, device: torch.device) -> Callable[[], None]:
    """A function that takes the loop's next step, the loading of its batch included."""
    model = TextbookVAE(config, pixels.shape[-1]).to(device)
    optimiser = torch.optim.Adam(model.parameters(), lr=config.learning_rate.initial)
    loader = DataLoader(Images(pixels.cpu()), batch_size=config.batch_size, shuffle=True)

    def batches() -> Iterator[Tensor]:
        while True:
            yield from loader

    following = batches()

    def step() -> None:
        x = next(following).to(device)
        loss = model(x)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step
