"""A grid of images, as one image."""

from __future__ import annotations

import numpy as np
from PIL import Image
from torch import Tensor

from discrete_vae.data import DataConfig


def grid(images: Tensor, rows: int, columns: int, data: DataConfig) -> Image.Image:
    """Images ``[rows * columns, D]`` in [0, 1] of a data set's shape, row by row, in grayscale or colour.

    Those of known data sets are white on black and shown black on white; own ones are shown as they are.
    """
    shape = data.image_shape
    tiles = images.clamp(0, 1).reshape(rows, columns, shape.rows, shape.columns, shape.channels)
    whole = tiles.transpose(1, 2).reshape(rows * shape.rows, columns * shape.columns, shape.channels) * 255
    pixels = np.asarray((255 - whole if data.known else whole).round().byte())
    return Image.fromarray(pixels[..., 0] if shape.channels == 1 else pixels)
