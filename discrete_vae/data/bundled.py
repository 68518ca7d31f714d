"""Binarised MNIST as the package ships it: 70,000 images at threshold 0.5, one bit a pixel, LZMA-compressed.

The content is the 60,000 training images, then the 10,000 test images, each 784 bits in 98 bytes, rows from
the top, the first pixel in the highest bit; then the 70,000 labels, one byte each. LICENSE-MNIST.md has the
licence and the authors.
"""

import hashlib
import lzma
from importlib.resources import files

import numpy as np

from discrete_vae.data.domain import Sizes
from discrete_vae.data.images import COLUMNS, ROWS, THRESHOLD, Images
from discrete_vae.data.known import SIZES
from discrete_vae.errors import InputError

FILE_NAME = "binarised_mnist.xz"
COUNT = 70_000
CONTENT_SHA256 = "1ed78d835d8742ca662bfbc21257950328b445cb5d9c03e9dad5d0861200e72e"


def encode(images: Images) -> bytes:
    """The bytes of the file for grayscale ``images`` (pixels 0..255); takes some 6 s."""
    bits = np.packbits(images.pixels > THRESHOLD, axis=1)
    return lzma.compress(bits.tobytes() + images.labels.tobytes(), preset=9)


def decode(file_content: bytes) -> Images:
    """The images (pixels 0/1) in the bytes of the file.

    Raises:
        InputError: the content is not the one that was shipped.
    """
    remedy = "reinstall the package"
    try:
        content = lzma.decompress(file_content)
    except lzma.LZMAError as error:
        raise InputError(f"{FILE_NAME} is corrupt ({error}): {remedy}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != CONTENT_SHA256:
        raise InputError(f"{FILE_NAME} is corrupt (SHA-256 {found[:16]}..., not {CONTENT_SHA256[:16]}...): {remedy}")
    labels_at = COUNT * ROWS * COLUMNS // 8
    bits = np.frombuffer(content, np.uint8, count=labels_at).reshape(COUNT, -1)
    labels = np.frombuffer(content, np.uint8, offset=labels_at)
    return Images(pixels=np.unpackbits(bits, axis=1), labels=labels)


def first(images: Images, sizes: Sizes) -> Images:
    """The first images of each split of all images, as many as ``sizes`` says, split by split."""
    starts = 0, SIZES.train, SIZES.train + SIZES.validation
    index = np.concatenate([np.arange(start, start + size) for start, size in zip(starts, sizes, strict=True)])
    return Images(pixels=images.pixels[index], labels=images.labels[index])


def read_file() -> bytes:
    """The bytes of the shipped file.

    Raises:
        InputError: the file is missing from the installation.
    """
    resource = files(__package__) / FILE_NAME
    try:
        return resource.read_bytes()
    except OSError as error:
        raise InputError(f"{resource} cannot be read ({error.strerror}): reinstall the package") from error
