"""Folders of real IDX files where this checkout or machine has them, and small made-up ones everywhere."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from discrete_vae.data import idx
from discrete_vae.data.sources import Source

MNIST = Path(__file__).parents[2].parent / "shared" / "data" / "mnist"
FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
COUNTS = {"train": 30, "t10k": 10}


@pytest.fixture(scope="session")
def mnist_folder() -> Path:
    if not MNIST.is_dir():
        pytest.skip("no MNIST IDX files in ../shared/data/mnist beside the repository")
    return MNIST


@pytest.fixture(scope="session")
def fashion_mnist_folder() -> Path:
    if not FASHION_MNIST.is_dir():
        pytest.skip("the Debian package dataset-fashion-mnist is not installed")
    return FASHION_MNIST


@pytest.fixture
def small(tmp_path: Path) -> tuple[Source, Path]:
    """A source of 30 + 10 random images with right checksums and no mirrors, and the folder of its files."""
    folder = tmp_path / "small"
    folder.mkdir()
    random = np.random.default_rng(0)
    sha256 = {}
    for prefix, count in COUNTS.items():
        images = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = random.integers(0, 10, count, dtype=np.uint8)
        for name, array in ((f"{prefix}-images-idx3-ubyte", images), (f"{prefix}-labels-idx1-ubyte", labels)):
            idx.write(folder / f"{name}.gz", array)
            sha256[name] = hashlib.sha256(idx.read_content(folder / f"{name}.gz")).hexdigest()
    return Source("small", sha256, ()), folder


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder that does not exist yet, in place of the user's."""
    cache = tmp_path / "cache"
    monkeypatch.setattr("discrete_vae.data.download.cache_folder", lambda source: cache / source.name)
    return cache
