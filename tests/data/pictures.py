"""Small image files for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def noise(count: int, *shape: int, seed: int = 0) -> NDArray[np.uint8]:
    """Random images ``[count, *shape]`` of every intensity."""
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def save(folder: Path, images: NDArray[np.uint8], suffix: str = "png", first: int = 0) -> Path:
    """Write images as ``000.png`` and so on, which sort as they stand; gives the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for place, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{first + place:03}.{suffix}")
    return folder
