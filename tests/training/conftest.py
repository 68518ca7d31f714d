"""What tests of whole trainings share."""

from __future__ import annotations

import pytest

from discrete_vae.data import Dataset
from discrete_vae.runs.run import Run
from tests.tiny_images import middle
from tests.training.killing import unrecorded

plain_steps = pytest.fixture(unrecorded)


@pytest.fixture(scope="module")
def data() -> Dataset:
    """The middle 6 x 6 pixels of binarised MNIST, with 500 images to validate on: a step takes milliseconds."""
    return middle()


@pytest.fixture
def short_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """An epoch is 25 steps, whatever the size of a batch."""
    monkeypatch.setattr(Run, "steps_per_epoch", 25)
