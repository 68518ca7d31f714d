"""The data sets of IDX files that are known, each file checked by the SHA-256 of its uncompressed content.

MNIST is under CC BY-SA 3.0 (LeCun, Cortes and Burges), Fashion-MNIST under the MIT licence (Xiao, Rasul and Vollgraf
2017, arXiv 1708.07747; Zalando SE).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from discrete_vae.data import idx
from discrete_vae.data.images import COLUMNS, ROWS, Images
from discrete_vae.errors import InputError


@dataclass(frozen=True)
class Source:
    """Four IDX files: where they come from and what they must hold."""

    name: str
    sha256: Mapping[str, str]  # file -> SHA-256 of the uncompressed content: mirrors gzip it each in their own way
    mirrors: tuple[str, ...]  # addresses ending in "/" below which lies FILE.gz, in the order they are tried
    package: str = ""  # of Debian, which ships the files
    installed: Path | None = None  # the folder where that package puts them


SOURCES = {
    "mnist": Source(
        name="mnist",
        sha256={
            "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        },
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
    ),
    "fashion-mnist": Source(
        name="fashion-mnist",
        sha256={
            "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        },
        mirrors=(
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ),
        package="dataset-fashion-mnist",
        installed=Path("/usr/share/datasets/fashion-mnist"),
    ),
}


def read(source: Source, folder: Path) -> Images:
    """The images and labels of ``source`` from its IDX files in ``folder``.

    Raises:
        InputError: a file is missing, malformed, of the wrong shape, or not the one that ``source`` names.
    """
    parts = [_read_pair(source, folder, prefix) for prefix in ("train", "t10k")]
    return Images(
        pixels=np.concatenate([pixels for pixels, _ in parts]),
        labels=np.concatenate([labels for _, labels in parts]),
    )


def check_sha256(source: Source, name: str, content: bytes, path: Path) -> None:
    """Raise an InputError unless ``content`` (uncompressed) is the file ``name`` of ``source``."""
    found = hashlib.sha256(content).hexdigest()
    if found == source.sha256[name]:
        return
    owners = [other.name for other in SOURCES.values() if other.sha256.get(name) == found]
    remedy = f'it belongs to "{owners[0]}", choose that dataset' if owners else "put the original file there"
    raise InputError(
        f"{path} is not {name} of {source.name} "
        f"(its content has SHA-256 {found[:16]}..., not {source.sha256[name][:16]}...): {remedy}"
    )


def _read_pair(source: Source, folder: Path, prefix: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    images_name, labels_name = f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"
    images_path, labels_path = idx.find(folder, images_name), idx.find(folder, labels_name)
    images_content, labels_content = idx.read_content(images_path), idx.read_content(labels_path)
    images, labels = idx.parse(images_content, images_path, 3), idx.parse(labels_content, labels_path, 1)
    # What is wrong with the shape says more than a checksum does, so it comes first.
    if images.shape[1:] != (ROWS, COLUMNS):
        size = f"{images.shape[1]}x{images.shape[2]}"
        raise InputError(f"{images_path} has images of {size} pixels, not {ROWS}x{COLUMNS}: put the original there")
    if len(labels) != len(images):
        raise InputError(
            f"{labels_path} has {len(labels)} labels for the {len(images)} images of {images_path.name}: "
            "take both files from one data set"
        )
    check_sha256(source, images_name, images_content, images_path)
    check_sha256(source, labels_name, labels_content, labels_path)
    return images.reshape(len(images), ROWS * COLUMNS), labels
