"""From a configuration to splits on the device."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from discrete_vae.data import bundled, sources
from discrete_vae.data import synthetic as made
from discrete_vae.data.config import Binarisation, DataConfig
from discrete_vae.data.dataset import Dataset, Split, bernoulli
from discrete_vae.data.images import THRESHOLD, Images
from discrete_vae.errors import InputError

BINARISED_MNIST = DataConfig()
SIZES = (50_000, 10_000, 10_000)
"""Images for training, validation (the last of the training file) and test (the test file)."""


def load(
    config: DataConfig = BINARISED_MNIST,
    folder: Path | None = None,
    device: torch.device | str = "cpu",
    download: bool = False,
) -> Dataset:
    """The data set that ``config`` names, on ``device``.

    Binarised MNIST comes with the package, and points and strings are made; for them neither ``folder`` nor
    ``download`` may be given. The others come from the IDX files in ``folder``, or with no folder named from the cache,
    to which ``download`` allows to fetch them. Wherever the files lie, their content is checked, so the folder is no
    part of the configuration.

    Raises:
        InputError: the files are missing, corrupt or another data set's; no mirror could be reached; or files are
            named for data that have none.
    """
    check_files(config, folder, download)
    if config.dataset in made.SYNTHETIC:
        return _make(config, device)
    if config.dataset == "binarised-mnist":
        images, levels = bundled.decode(bundled.read_file()), 1
    else:
        images, levels = _read_files(sources.SOURCES[config.dataset], folder, download), 255
    return assemble(config, images, levels, SIZES, device)


def check_files(config: DataConfig, folder: Path | None, download: bool) -> None:
    """Raise ``InputError`` for files that are named for data that have none."""
    if not has_files(config) and (folder is not None or download):
        given = "download" if folder is None else f"folder {folder}"
        raise InputError(
            f"{given} has no effect with {config.dataset}, which needs no files; leave it off, or choose dataset "
            f"{' or '.join(sources.SOURCES)}"
        )


def has_files(config: DataConfig) -> bool:
    """Whether a data set comes from files of its own, which are named or downloaded."""
    return config.dataset in sources.SOURCES


def assemble(
    config: DataConfig, images: Images, levels: int, sizes: tuple[int, int, int], device: torch.device | str
) -> Dataset:
    """Cut ``images`` into training, validation and test of ``sizes``, and binarise them as ``config`` says.

    The fixed Bernoulli draw is made on the CPU, so it is the same on every device.
    """
    pixels = torch.from_numpy(images.pixels).split_with_sizes(list(sizes))
    labels = torch.from_numpy(images.labels.astype(np.int64)).split_with_sizes(list(sizes))
    generator = torch.Generator().manual_seed(config.binarisation_seed)

    def split(part: int, binarisation: Binarisation) -> Split:
        binarised, part_levels = _binarise(pixels[part], levels, binarisation, generator)
        return Split(binarised.to(device), labels[part].to(device), part_levels, binarisation == "dynamic")

    held_out: Binarisation = "stochastic" if config.binarisation == "dynamic" else config.binarisation
    # Training is drawn last, so that validation and test are the same under "stochastic" and "dynamic".
    validation, test = split(1, held_out), split(2, held_out)
    return Dataset(config=config, train=split(0, config.binarisation), validation=validation, test=test)


def _make(config: DataConfig, device: torch.device | str) -> Dataset:
    """Training, validation and test of a data set that is made, in the order in which it was drawn."""
    observations, labels = made.observations(config.dataset, sum(SIZES))
    pairs = zip(observations.split_with_sizes(SIZES), labels.split_with_sizes(SIZES), strict=True)
    # Copies, so that what is done to a split never reaches the next that is loaded.
    train, validation, test = (Split(pixels.clone().to(device), label.clone().to(device)) for pixels, label in pairs)
    return Dataset(config=config, train=train, validation=validation, test=test)


def _binarise(
    pixels: Tensor, levels: int, binarisation: Binarisation, generator: torch.Generator
) -> tuple[Tensor, int]:
    """The pixels that a split holds, and their levels."""
    if levels == 1 or binarisation in ("dynamic", "none"):
        return pixels, levels
    if binarisation == "threshold":
        return (pixels > THRESHOLD).to(torch.uint8), 1
    return bernoulli(pixels, generator, levels).to(torch.uint8), 1


def _read_files(source: sources.Source, folder: Path | None, download: bool) -> Images:
    if folder is not None:
        return sources.read(source, Path(folder))
    # Imported here because only this path needs pooch, requests and rich.
    from discrete_vae.data.download import cache_folder, fetch

    cache = cache_folder(source)
    try:
        return sources.read(source, cache)
    except InputError as error:
        if not download:
            damage = f"; {error}" if cache.is_dir() else ""
            raise InputError(
                f"{source.name} is not whole in the cache {cache}: name the folder of its IDX files "
                f"(folder), or allow to download them (download){damage}"
            ) from error
    fetch(source, cache)
    return sources.read(source, cache)
