"""Omniglot from small files of the three forms: orientation, ink, labels, splits, and that other files are refused."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from discrete_vae.data import KNOWN, DataConfig, Shape, Sizes, load, omniglot
from discrete_vae.data.known import Known
from discrete_vae.errors import InputError
from tests.data.pictures import noise

TRAIN, TEST = noise(12, 28, 28), noise(5, 28, 28, seed=1)
SMALL = Known(Sizes(9, 3, 5), Shape(28, 28))


def blobs(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str) -> None:
    """Take the files of a folder for the known ones."""
    found = {path.name: omniglot.git_blob(path.read_bytes()) for path in folder.iterdir()}
    monkeypatch.setattr(omniglot, "BLOBS", {**omniglot.BLOBS, name: found})


@pytest.fixture
def matrices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``chardata.mat`` of few images, written as MATLAB has them: pixels down the columns, an image in each column."""
    scipy = pytest.importorskip("scipy.io")

    def part(images: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        pixels = np.stack([image.flatten(order="F") for image in images], 1) / 255
        alphabets = np.zeros((50, len(images)))
        alphabets[images[:, 0, 0] % 50, np.arange(len(images))] = 1
        return pixels, alphabets

    data, target = part(TRAIN)
    test, test_target = part(TEST)
    held = {"data": data, "target": target, "testdata": test, "testtarget": test_target}
    scipy.savemat(tmp_path / omniglot.MATRIX, held)
    monkeypatch.setitem(KNOWN, "omniglot", SMALL)
    blobs(monkeypatch, tmp_path, "omniglot")
    return tmp_path


def test_git_names_a_file_as_git_does(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"some content")
    command = ["git", "hash-object", str(tmp_path / "file")]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert omniglot.git_blob(b"some content") == told


def test_the_matrix_stands_upright_with_its_alphabets(matrices: Path) -> None:
    data = load(DataConfig("omniglot", "none"), matrices)
    data.check()
    assert (data.test.pixels.numpy() == TEST.reshape(5, -1)).all()
    assert (data.test.labels.numpy() == TEST[:, 0, 0] % 50).all()
    order = np.random.RandomState(123).permutation(12)  # the authors' own
    assert (data.train.pixels.numpy() == TRAIN[order[:9]].reshape(9, -1)).all()
    assert (data.validation.pixels.numpy() == TRAIN[order[9:]].reshape(3, -1)).all()
    assert (data.validation.labels.numpy() == TRAIN[order[9:], 0, 0] % 50).all()


def test_alphabets_by_number_and_by_place() -> None:
    assert omniglot.alphabets(np.array([[3, 1, 50]]), "target").tolist() == [2, 0, 49]
    assert omniglot.alphabets(np.eye(50)[:, [2, 0, 49]], "target").tolist() == [2, 0, 49]
    for wrong in (np.ones((50, 3)), np.zeros((50, 3)), np.zeros((1, 3))):
        with pytest.raises(InputError, match="names no alphabet for each image"):
            omniglot.alphabets(wrong, "target")


def test_without_scipy_it_is_named(matrices: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(InputError, match=r"not installed: pip install 'discrete-vae\[reports\]'"):
        load(DataConfig("omniglot"), matrices)


def archive(path: Path, alphabets: dict[str, NDArray[np.bool_]]) -> None:
    """Drawings by alphabet, dark on white, as the authors' archives have them."""
    with zipfile.ZipFile(path, "w") as entries:
        for alphabet, drawings in alphabets.items():
            for place, ink in enumerate(drawings):
                png = io.BytesIO()
                Image.fromarray(~ink).save(png, format="PNG")
                entries.writestr(f"{path.stem}/{alphabet}/character01/{place:04}_01.png", png.getvalue())


def test_the_archives_have_their_ink_in_equal_squares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ink = np.random.default_rng(0).random((17, 105, 105)) < 0.3
    archive(tmp_path / omniglot.BACKGROUND, {"Greek": ink[:4], "Arcadian": ink[4:12]})
    archive(tmp_path / omniglot.EVALUATION, {"Keble": ink[12:]})
    monkeypatch.setitem(KNOWN, "omniglot-original", SMALL)
    blobs(monkeypatch, tmp_path, "omniglot-original")
    data = load(DataConfig("omniglot-original", "none"), tmp_path)
    data.check()
    # A square is 3.75 pixels wide, or 15 quarters of a pixel.
    share = ink.repeat(4, 1).repeat(4, 2).reshape(17, 28, 15, 28, 15).mean((2, 4)).reshape(17, -1)
    expected = np.rint(255 * share).astype(np.uint8)
    assert (data.test.pixels.numpy() == expected[12:]).all()
    assert data.test.labels.tolist() == [2] * 5
    order = np.random.RandomState(123).permutation(12)
    both = np.concatenate([expected[4:12], expected[:4]])[order]
    assert (data.train.pixels.numpy() == both[:9]).all()
    assert (data.validation.pixels.numpy() == both[9:]).all()
    assert data.train.labels.tolist() == [int(place >= 8) for place in order[:9]]


def test_the_minimal_splits_have_each_drawing_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ink = np.random.default_rng(0).random((17, 105, 105)) < 0.3
    one, other = omniglot.MINIMAL
    archive(tmp_path / one, {"Korean": ink[:6], "Greek": ink[6:10]})
    archive(tmp_path / other, {"Greek": ink[6:10], "Tagalog": ink[10:]})
    monkeypatch.setitem(KNOWN, "omniglot-small", SMALL)
    blobs(monkeypatch, tmp_path, "omniglot-small")
    data = load(DataConfig("omniglot-small", "none"), tmp_path)
    data.check()
    found = np.concatenate([split.pixels.numpy() for split in (data.train, data.validation, data.test)])
    expected = np.stack([omniglot.shrunk(each).reshape(-1) for each in ink])
    assert sorted(map(bytes, found)) == sorted(map(bytes, expected))
    greek = {bytes(each) for each in expected[6:10]}
    for split in (data.train, data.validation, data.test):
        told = [bytes(image) in greek for image in split.pixels.numpy()]
        assert told == [label == 0 for label in split.labels.tolist()]
    assert set(data.train.labels.tolist()) == {0, 1, 2}
    assert len(set(data.test.labels.tolist())) > 1  # not the last ones by name


@pytest.mark.parametrize("name", omniglot.BLOBS)
def test_other_files_are_refused(tmp_path: Path, name: str) -> None:
    file = next(iter(omniglot.BLOBS[name]))
    with pytest.raises(InputError, match=f"{name} needs the folder of {file}"):
        load(DataConfig(name))
    with pytest.raises(InputError, match=f"{name} cannot be downloaded"):
        load(DataConfig(name), download=True)
    with pytest.raises(InputError, match=f"{file} cannot be read .* name the folder that holds {file}, of "):
        load(DataConfig(name), tmp_path)
    (tmp_path / file).write_bytes(b"another")
    with pytest.raises(InputError, match=f"{file} is not {file} of {name}"):
        load(DataConfig(name), tmp_path)


def test_sizes_are_the_customary_ones() -> None:
    assert DataConfig("omniglot").split_sizes == (23_000, 1_345, 8_070)
    assert sum(DataConfig("omniglot-original").split_sizes) == 1_623 * 20
    assert sum(DataConfig("omniglot-small").split_sizes) == 242 * 20
    assert DataConfig("omniglot").domain.size == 784
