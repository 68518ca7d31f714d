"""The classifier that judges generated images: its scores by hand, what it learns, and where it is kept."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from discrete_vae.data import Dataset, Split, load
from discrete_vae.data.config import DataConfig
from discrete_vae.errors import InputError
from discrete_vae.evaluation import classifier
from discrete_vae.evaluation.classifier import FOLDER, Classifier, judge_of


class Told(nn.Module):
    """Gives an image's own first numbers as logits."""

    def forward(self, images: Tensor) -> Tensor:
        return images


def stripes(labelled: bool = True, shape: tuple[int, int] = (4, 4)) -> Dataset:
    """Images of 4 x 4 pixels of two classes, rows and columns, with a tenth of the pixels changed."""

    def split(images: int, seed: int) -> Split:
        generator = torch.Generator().manual_seed(seed)
        labels = torch.randint(2, (images,), generator=generator)
        stripe = (torch.arange(4) % 2).expand(4, 4)
        pixels = torch.where(labels[:, None, None] == 1, stripe, stripe.T).flatten(1)
        pixels = (pixels + (torch.rand(pixels.shape, generator=generator) < 0.1)) % 2
        return Split(pixels.to(torch.uint8), labels if labelled else torch.full_like(labels, -1))

    return Dataset.of("stripes", split(200, 0), split(50, 1), split(50, 2), shape=shape)


def test_scores_by_hand() -> None:
    """Sure of two classes in equal number: a score of 2; in doubt of all: 1."""
    judge = Classifier(Told())
    sure = judge.shares(torch.tensor([[50.0, 0, 0], [0, 50, 0]]))
    assert sure["inception_score"] == pytest.approx(2)
    assert sure["label_entropy"] == pytest.approx(0, abs=1e-12)
    assert sure["marginal_entropy"] == pytest.approx(math.log(2))
    unsure = judge.shares(torch.zeros(5, 3))
    assert unsure["inception_score"] == pytest.approx(1)
    assert unsure["label_entropy"] == pytest.approx(math.log(3))
    both = judge.scores(torch.zeros(5, 3), torch.tensor([[50.0, 0, 0], [0, 50, 0]]))
    assert (both["inception_score"], both["inception_score_real"]) == (pytest.approx(1), pytest.approx(2))


def test_real_images_are_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    judge, real, judged = Classifier(Told()), torch.tensor([[50.0, 0, 0], [0, 50, 0]]), list[torch.Tensor]()
    shares = Classifier.shares
    monkeypatch.setattr(Classifier, "shares", lambda self, images: judged.append(images) or shares(self, images))
    first, second = judge.scores(torch.zeros(5, 3), real), judge.scores(torch.ones(5, 3), real)
    assert sum(each is real for each in judged) == 1
    assert first == second == judge.scores(torch.zeros(5, 3), real.clone())


def test_it_learns_its_classes_and_is_kept_beside_the_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "LEAST", 100)
    data = stripes()
    first = judge_of(data, tmp_path)
    assert first is not None
    assert first.accuracy(data.test.pixels, data.test.labels) > 0.95
    assert first.shares(data.test.pixels)["inception_score"] > 1.3
    (kept,) = (tmp_path / FOLDER).rglob("*.safetensors")
    monkeypatch.setattr(classifier, "_train", lambda *args: pytest.fail("trained again"))
    again = judge_of(stripes(), tmp_path)  # another object with the same images
    assert again is not None
    assert again(data.test.pixels).equal(first(data.test.pixels))
    assert judge_of(data) is first
    kept.write_bytes(kept.read_bytes()[:-4])
    with pytest.raises(InputError, match=r"cannot be read|corrupt"):
        judge_of(stripes(), tmp_path)


def test_images_of_another_shape_have_another_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same pixels in other rows; both networks are a dense layer on 16 numbers."""
    monkeypatch.setattr(classifier, "LEAST", 1)
    judge_of(stripes(), tmp_path)
    judge_of(stripes(shape=(2, 8)), tmp_path)
    assert len(list((tmp_path / FOLDER).iterdir())) == 2


def test_a_folder_that_takes_no_judge_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "LEAST", 1)
    (tmp_path / FOLDER).write_text("")
    with pytest.raises(InputError, match="cannot write"):
        judge_of(stripes(), tmp_path)


def test_no_judge_without_labels_or_images() -> None:
    assert judge_of(stripes(labelled=False)) is None
    assert judge_of(load(DataConfig("8-gaussians"))) is None
    gray = stripes()
    assert judge_of(replace(gray, train=replace(gray.train, levels=255))) is None
