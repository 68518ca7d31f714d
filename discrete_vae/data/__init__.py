"""Images and labels on the device: binarised MNIST (bundled), MNIST and Fashion-MNIST (IDX files)."""

from discrete_vae.data.config import DataConfig
from discrete_vae.data.dataset import Dataset, Split
from discrete_vae.data.loading import load

__all__ = ["DataConfig", "Dataset", "Split", "load"]
