"""The layer that tests build small decoders of."""

from __future__ import annotations

from torch import Tensor, nn


class Affine(nn.Module):
    """A layer without bias, whose weight ``[in, out]`` is somebody else's."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs @ self.weight
