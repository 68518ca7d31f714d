"""Every categorical strategy trains on colour images, by convolutions and a discretised logistic."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from discrete_vae.config import Config
from discrete_vae.data import Dataset, Split
from discrete_vae.latents.categorical import Categorical
from discrete_vae.latents.noise import seeded
from discrete_vae.runs import Run
from discrete_vae.strategies import STRATEGIES
from discrete_vae.tasks import Architecture
from discrete_vae.training.step import Trainer
from tests.training.killing import unrecorded

STEPS, BATCH = 2, 4
plain_steps = pytest.fixture(scope="module", autouse=True)(unrecorded)
CATEGORICAL = [name for name, kind in STRATEGIES.items() if kind.latent_family is Categorical]


@cache
def colours() -> Dataset:
    pixels = torch.randint(0, 256, (STEPS * BATCH, 8 * 6 * 3), generator=seeded(0), dtype=torch.uint8)
    split = Split(pixels, torch.full((len(pixels),), -1), levels=255)
    return Dataset.of("colours", split, split, split, shape=(8, 6, 3), binarisation="none")


def trained(name: str, *seeds: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The state before and after an epoch of two steps."""
    architecture = Architecture(2, STRATEGIES[name].categories or 3, (7,), backbone="conv", channels=(4,))
    configs = [
        Config(
            name,
            None,
            architecture,
            colours().config,
            epochs=1,
            batch_size=BATCH,
            likelihood="discretised-logistic",
            seed=seed,
        )
        for seed in seeds
    ]
    trainer = Trainer([Run(Path(), each) for each in configs], colours(), torch.device("cpu"), warn=pytest.fail)
    before = {each: tensor.clone() for each, tensor in trainer.population.state().items()}
    trainer.train_epoch(lambda: True)
    assert trainer.step == STEPS
    assert trainer.healthy() == list(range(len(seeds)))
    return before, trainer.population.state()


@pytest.mark.parametrize("name", CATEGORICAL)
def test_two_seeds_side_by_side_are_each_alone(name: str) -> None:
    before, together = trained(name, 0, 1)
    for part in ("encoder", "decoder"):
        assert any(not together[each].equal(before[each]) for each in together if each.startswith(f"model.{part}.")), (
            part
        )
    for p in range(2):
        for each, tensor in trained(name, p)[1].items():
            torch.testing.assert_close(together[each][p], tensor[0], rtol=1e-3, atol=1e-5, msg=each)
