"""Observations and labels on the device.

Images are binarised MNIST (bundled), MNIST and Fashion-MNIST (IDX files), Omniglot, and own ones (``read``,
``Dataset.of``); points and strings are made (``SYNTHETIC``), other strings read (``CORPORA``).
"""

from typing import TYPE_CHECKING

from discrete_vae.data.config import DataConfig
from discrete_vae.data.corpora import CORPORA
from discrete_vae.data.dataset import Dataset, Split
from discrete_vae.data.domain import Domain, Shape, Sizes
from discrete_vae.data.known import KNOWN
from discrete_vae.data.loading import check_files, has_files, load
from discrete_vae.data.own import read
from discrete_vae.data.synthetic import SYNTHETIC
from discrete_vae.deprecation import renamed

__all__ = [
    "CORPORA",
    "KNOWN",
    "SYNTHETIC",
    "DataConfig",
    "Dataset",
    "Domain",
    "Shape",
    "Sizes",
    "Split",
    "check_files",
    "has_files",
    "load",
    "read",
]

if not TYPE_CHECKING:  # type checkers know the new names alone
    __getattr__ = renamed(__name__, {"MADE": "SYNTHETIC"})
