"""From a configuration to splits on the device."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from discrete_vae.data import bundled, corpora, idx, omniglot, own, sources, synthetic
from discrete_vae.data.config import DataConfig
from discrete_vae.data.dataset import Dataset, Split, binarised
from discrete_vae.data.images import Images
from discrete_vae.data.known import BUNDLED, KNOWN
from discrete_vae.data.raw import Counting, Require, silent, unlimited
from discrete_vae.errors import InputError

BINARISED_MNIST = DataConfig()


def load(
    config: DataConfig = BINARISED_MNIST,
    folder: Path | None = None,
    device: torch.device | str = "cpu",
    download: bool = False,
    progress: Counting = silent,
    require: Require = unlimited,
) -> Dataset:
    """The data set of ``config``, on ``device``.

    Binarised MNIST comes with the package, and points and strings are made; for them neither ``folder`` nor
    ``download`` may be given. MNIST and Fashion-MNIST come from the IDX files in ``folder``. Without a folder they come
    from where a package of the operating system has put them, or from the cache, to which ``download`` fetches them.
    Omniglot comes from its files in ``folder``. Strings that are read come from ``folder``, or without a folder from
    the packages that ship them. A folder of several data sets has each in a subfolder of its name, see ``place``.

    Own data come from where they were read before, or from ``folder``: the present path of the folder or file itself,
    or that of the folder that holds it under its old name. ``progress`` and ``require`` are those of ``read``. Wherever
    files lie, their content is checked, so the folder is no part of the configuration.

    Raises:
        InputError: the files are missing, corrupt or another data set's; no mirror could be reached; or files are
            named for data that have none.
    """
    folder = place(config, folder)
    check_files(config, folder, download)
    if not config.known:
        return own.again(config, None if folder is None else Path(folder), device, progress, require)
    sizes = config.split_sizes
    if config.dataset in synthetic.SYNTHETIC:
        return _make(config, device)
    if config.dataset in corpora.CORPORA:
        return _read_strings(config, folder, device)
    if config.dataset in BUNDLED:
        images, levels = bundled.first(bundled.decode(bundled.read_file()), sizes), 1
    elif config.dataset in omniglot.BLOBS:
        images, levels = omniglot.read(config.dataset, Path(folder or ".")), 255
    else:
        images, levels = _read_files(sources.SOURCES[config.dataset], folder, download), 255
    return assemble(config, images, levels, sizes, device)


def check_files(config: DataConfig, folder: Path | None, download: bool) -> None:
    """Raise ``InputError`` for files that are named for data that have none, or that are wanted and not named."""
    if not has_files(config) and (folder is not None or download):
        given = "download" if folder is None else f"folder {folder}"
        raise InputError(
            f"{given} has no effect with {config.dataset}, which needs no files; leave it off, or choose dataset "
            f"{' or '.join((*sources.SOURCES, *omniglot.BLOBS, *corpora.CORPORA))}"
        )
    if download and config.dataset not in sources.SOURCES:
        raise InputError(f"{config.dataset} cannot be downloaded; name the folder where it lies instead")
    # A path that does not exist is refused where its files are read, by their names.
    if config.known and folder is not None and os.path.exists(folder) and not os.path.isdir(folder):
        raise InputError(f"{str(folder)!r} is a file; name a folder, the one that holds the files of {config.dataset}")
    if config.dataset in omniglot.BLOBS and folder is None:
        raise InputError(
            f"{config.dataset} needs the folder of {' and '.join(omniglot.BLOBS[config.dataset])}, of "
            f"{omniglot.HOMES[config.dataset]}: name it (folder), or one that has it as its subfolder {config.dataset}"
        )


def place(config: DataConfig, folder: Path | None) -> Path | None:
    """The folder where a data set's files lie, for a folder that may hold several data sets.

    It is the subfolder of the data set's name, or else the folder itself. A folder that has subfolders of other known
    data sets, and none of this one's files, says nothing of it: None.
    """
    if folder is None or not config.known or not has_files(config):
        return folder
    own = Path(folder) / config.dataset
    if own.is_dir():
        return own
    names = {
        **omniglot.BLOBS,
        **{name: source.sha256 for name, source in sources.SOURCES.items()},
        **{name: corpus.files for name, corpus in corpora.CORPORA.items()},
    }[config.dataset]
    here = any((Path(folder) / each).is_file() for name in names for each in idx.candidates(name))
    others = any((Path(folder) / name).is_dir() for name in KNOWN)
    return None if others and not here else folder


def has_files(config: DataConfig) -> bool:
    """Whether a data set comes from files of its own, which are named or downloaded."""
    if not config.known:
        return bool(config.source)  # else it was made of tensors
    return any(config.dataset in files for files in (sources.SOURCES, omniglot.BLOBS, corpora.CORPORA))


def assemble(
    config: DataConfig, images: Images, levels: int, sizes: Sequence[int], device: torch.device | str
) -> Dataset:
    """Cut ``images`` into training, validation and test of ``sizes``, and binarise them as ``config`` says."""
    pixels = torch.from_numpy(images.pixels).split_with_sizes(list(sizes))
    labels = torch.from_numpy(images.labels.astype(np.int64)).split_with_sizes(list(sizes))
    return binarised(config, [Split(*pair, levels) for pair in zip(pixels, labels, strict=True)], device)


def _make(config: DataConfig, device: torch.device | str) -> Dataset:
    """Training, validation and test of a data set that is made, in the order in which it was drawn."""
    sizes = list(config.split_sizes)
    observations, labels = synthetic.observations(config.dataset, sum(sizes))
    pairs = zip(observations.split_with_sizes(sizes), labels.split_with_sizes(sizes), strict=True)
    # Copies, so that what is done to a split never reaches the next that is loaded.
    return binarised(config, [Split(pixels.clone(), label.clone()) for pixels, label in pairs], device)


def _read_strings(config: DataConfig, folder: Path | None, device: torch.device | str) -> Dataset:
    """Training, validation and test of strings that are read; they have no classes."""
    parts = corpora.CORPORA[config.dataset].read(None if folder is None else Path(folder))
    return binarised(config, [Split(part, torch.zeros(len(part), dtype=torch.int64)) for part in parts], device)


def _read_files(source: sources.Source, folder: Path | None, download: bool) -> Images:
    if folder is not None:
        return sources.read(source, Path(folder))
    if source.installed is not None and source.installed.is_dir():
        try:
            return sources.read(source, source.installed)
        except InputError:
            if not download:
                raise
    # Imported here because only this path needs pooch, requests and rich.
    from discrete_vae.data.download import cache_folder, fetch

    cache = cache_folder(source)
    try:
        return sources.read(source, cache)
    except InputError as error:
        if not download:
            damage = f"; {error}" if cache.is_dir() else ""
            package = f", or install the Debian package {source.package}" if source.package else ""
            raise InputError(
                f"{source.name} is not whole in the cache {cache}: name the folder of its IDX files "
                f"(folder), or allow to download them (download){package}{damage}"
            ) from error
    fetch(source, cache)
    return sources.read(source, cache)
