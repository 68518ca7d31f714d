"""Saved Hugging Face data sets: the images and labels that were saved."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from discrete_vae.data import Shape, read
from discrete_vae.errors import InputError
from tests.data.pictures import noise

datasets = pytest.importorskip("datasets")
COLOUR = noise(20, 5, 7, 3)


@pytest.fixture(autouse=True)
def _quiet() -> None:
    datasets.disable_progress_bars()


def table(images: Any, column: str = "image", **others: Any) -> Any:
    held = datasets.Dataset.from_dict({column: [Image.fromarray(each) for each in images], **others})
    return held.cast_column(column, datasets.Image())


def test_one_table_is_split(tmp_path: Path) -> None:
    table(COLOUR, "picture", label=list(range(20))).save_to_disk(str(tmp_path / "own"))
    data = read(tmp_path / "own", binarisation="none")
    assert data.config.image_shape == Shape(5, 7, 3)
    assert data.config.split_sizes == (16, 2, 2)
    for split in (data.train, data.validation, data.test):
        assert (split.pixels.numpy() == COLOUR.reshape(20, -1)[split.labels]).all()


def test_splits_and_classes(tmp_path: Path) -> None:
    """Whatever order the splits were saved in; a table without labels has -1."""
    names = datasets.ClassLabel(names=["cat", "dog"])
    parts = {"test": table(COLOUR[:2], label=[1, 0]), "train": table(COLOUR[2:15], label=[0, 1] * 6 + [1])}
    held = datasets.DatasetDict({name: part.cast_column("label", names) for name, part in parts.items()})
    held.save_to_disk(str(tmp_path / "own"))
    data = read(tmp_path / "own", binarisation="none")
    assert data.config.split_sizes == (12, 1, 2)
    assert data.test.labels.tolist() == [1, 0]
    assert (data.test.pixels.numpy() == COLOUR[:2].reshape(2, -1)).all()
    table(COLOUR).save_to_disk(str(tmp_path / "bare"))
    assert set(read(tmp_path / "bare").train.labels.tolist()) == {-1}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: datasets.Dataset.from_dict({"x": [1, 2]}), r"has 0 columns of images \(x\): save it with one"),
        (lambda: datasets.DatasetDict({"dev": table(COLOUR)}), "has a split 'dev'"),
        (lambda: datasets.DatasetDict({"test": table(COLOUR)}), "images for test, but none for training"),
        (lambda: table(COLOUR, label=[-1] * 20), "has the label '-1': give each image a whole number from 0"),
        (lambda: table(COLOUR, label=["a"] * 20), "has the label 'a'"),
        (lambda: table([*COLOUR[:9], *noise(1, 6, 7)]), "all 9 has 6x7 pixels, others 5x7: give an image size"),
        (lambda: table(np.full((5, 5, 7), 999, np.uint16)), "all 0 has (mode I|16 bits).*: convert it to 8 bits"),
    ],
)
def test_what_is_not_taken_is_named(tmp_path: Path, make: Any, message: str) -> None:
    make().save_to_disk(str(tmp_path / "own"))
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path / "own")
    assert "\n" not in str(caught.value)


def test_without_the_package_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table(COLOUR).save_to_disk(str(tmp_path / "own"))
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match=r"not installed: pip install 'discrete-vae\[huggingface\]'"):
        read(tmp_path / "own")


def test_a_spoilt_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{}")
    with pytest.raises(InputError, match=r"cannot be read .*: save it again"):
        read(tmp_path)
