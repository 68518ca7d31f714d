"""Observations and labels on the device.

Images are binarised MNIST (bundled), MNIST and Fashion-MNIST (IDX files); points and strings are made (``SYNTHETIC``).
"""

from discrete_vae.data.config import DataConfig
from discrete_vae.data.dataset import Dataset, Split
from discrete_vae.data.domain import Domain
from discrete_vae.data.loading import check_files, has_files, load
from discrete_vae.data.synthetic import SYNTHETIC

__all__ = ["SYNTHETIC", "DataConfig", "Dataset", "Domain", "Split", "check_files", "has_files", "load"]
