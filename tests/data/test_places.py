"""Where files of known data sets lie: in a folder of their own, beside others, or where a package has put them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from discrete_vae.data import DataConfig, Shape, Sizes, load, sources
from discrete_vae.data.known import KNOWN, Known
from discrete_vae.data.loading import place
from discrete_vae.data.sources import SOURCES, Source
from discrete_vae.errors import InputError

MNIST, FASHION, OMNIGLOT = (DataConfig(name) for name in ("mnist", "fashion-mnist", "omniglot"))


@pytest.fixture
def installed(small: tuple[Source, Path], empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of few images that stand for those that a package has put there."""
    source = replace(small[0], package="few-images", installed=small[1])
    monkeypatch.setitem(sources.SOURCES, "fashion-mnist", source)
    monkeypatch.setitem(KNOWN, "fashion-mnist", Known(Sizes(20, 10, 10), Shape(28, 28)))
    return small[1]


def test_installed_files_are_read_where_no_folder_is_named(installed: Path) -> None:
    assert load(FASHION).train.pixels.equal(load(FASHION, installed).train.pixels)


def test_what_is_not_installed_names_the_package(installed: Path) -> None:
    installed.rename(installed.with_name("elsewhere"))
    with pytest.raises(
        InputError, match=r"allow to download them \(download\), or install the Debian package few-images"
    ):
        load(FASHION)


def test_installed_files_are_checked(installed: Path) -> None:
    (installed / "train-labels-idx1-ubyte.gz").write_bytes(b"another")
    with pytest.raises(InputError, match=r"train-labels-idx1-ubyte\.gz starts with 0x616e6f74"):
        load(FASHION)


def test_what_is_installed_and_damaged_may_be_downloaded(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = shutil.copytree(installed, tmp_path / "mirror")
    (installed / "train-labels-idx1-ubyte.gz").write_bytes(b"another")
    fetched = lambda source, folder: shutil.copytree(whole, folder)  # noqa: E731
    monkeypatch.setattr("discrete_vae.data.download.fetch", fetched)
    assert len(load(FASHION, download=True).train) == 20


def test_of_several_data_sets_each_has_its_subfolder(installed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "several"
    (folder / "omniglot").mkdir(parents=True)
    installed.rename(folder / "fashion-mnist")
    assert place(OMNIGLOT, folder) == folder / "omniglot"
    assert len(load(FASHION, folder).train) == 20


def test_beside_others_only_what_is_not_there_is_sought_elsewhere(installed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "several"
    (folder / "omniglot").mkdir(parents=True)
    (folder / "README.md").touch()
    assert place(MNIST, folder) is None
    assert len(load(FASHION, folder).train) == 20  # from where it is installed
    (folder / "train-labels-idx1-ubyte.gz").touch()
    assert place(MNIST, folder) == folder
    (folder / "omniglot").rmdir()
    (folder / "mnist").mkdir()
    with pytest.raises(InputError, match=r"^omniglot needs the folder of chardata.mat, .* as its subfolder omniglot$"):
        load(OMNIGLOT, folder)


def test_a_folder_of_one_data_set_is_its_own(tmp_path: Path) -> None:
    for config in (MNIST, OMNIGLOT, DataConfig()):
        assert place(config, tmp_path) == tmp_path
    assert place(MNIST, None) is None
    assert SOURCES["mnist"].installed is None
