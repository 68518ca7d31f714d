"""One image file, or an image of a table: what kinds are taken, and how they become pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from discrete_vae.errors import InputError

GRAY, COLOUR = 1, 3
TURNED = 5
"""EXIF orientations from this one on exchange rows and columns."""
ORIENTATION = 0x0112
PHOTOS = {"JPEG", "MPO", "TIFF", "WEBP"}
"""Formats whose EXIF orientation is heeded; of a PNG it lies behind the pixels."""
ALPHA = {"LA", "PA", "RGBA", "La", "RGBa"}
MODES = {"1", "L", "P", "RGB"} | ALPHA


@dataclass(frozen=True)
class Header:
    """Properties of an image that are known before its pixels are decoded."""

    rows: int
    columns: int
    channels: int  # 1 of grayscale, 3 of colour


def header(image: Image.Image, name: object) -> Header:
    """Size and channels of an opened image, as it is displayed (EXIF may turn it).

    Raises:
        InputError: 16 bits or more a channel, or floats (never clipped); other colour spaces than RGB; several frames.
    """
    if image.mode not in MODES or _is_deep(image):
        deep = "16 bits" if _is_deep(image) else f"mode {image.mode}"
        raise InputError(f"{name} has {deep}: convert it to 8 bits, grayscale or RGB")
    if (frames := getattr(image, "n_frames", 1)) > 1 and image.format != "MPO":  # a photo and its preview
        raise InputError(f"{name} has {frames} frames: save each as an image of its own")
    columns, rows = image.size
    if image.format in PHOTOS and image.getexif().get(ORIENTATION, 1) >= TURNED:
        rows, columns = columns, rows
    return Header(rows, columns, _channels(image))


def pixels(image: Image.Image, name: object, size: tuple[int, ...], channels: int) -> NDArray[np.uint8]:
    """An image's pixels ``[rows, columns, channels]``, scaled to cover ``size`` and cut at the centre.

    An empty size leaves it. Grayscale becomes colour where ``channels`` is 3.

    Raises:
        InputError: a transparent image; its background is not known.
    """
    if image.format in PHOTOS:
        image = ImageOps.exif_transpose(image)
    if image.mode in ALPHA or "transparency" in image.info:
        image = image.convert("RGBA")
        if np.asarray(image.getchannel("A")).min() < 255:
            raise InputError(f"{name} is transparent: put it on a background first")
    return scaled(image.convert("L" if channels == GRAY else "RGB"), size)


def scaled(image: Image.Image, size: tuple[int, ...]) -> NDArray[np.uint8]:
    """The pixels ``[rows, columns, channels]`` of an image of mode L or RGB in another size, as in ``pixels``."""
    if size and (image.height, image.width) != size:
        image = ImageOps.fit(image, (size[1], size[0]), Image.Resampling.BILINEAR)
    found = np.asarray(image, np.uint8)
    return found[..., None] if found.ndim == 2 else found


def _channels(image: Image.Image) -> int:
    if image.mode in ("1", "L", "LA", "La"):
        return GRAY
    if image.mode == "P" and (palette := image.getpalette()):
        colours = np.array(palette, int).reshape(-1, 3)
        return GRAY if (colours == colours[:, :1]).all() else COLOUR
    return COLOUR


def _is_deep(image: Image.Image) -> bool:
    """Whether the file has more than 8 bits a channel, which Pillow would cut silently in some formats."""
    for tile in getattr(image, "tile", ()):
        arguments = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        if any(isinstance(each, str) and (";16" in each or ";12" in each) for each in arguments):
            return True
        if image.format == "PPM" and any(isinstance(each, int) and each > 255 for each in arguments):
            return True
    return False
