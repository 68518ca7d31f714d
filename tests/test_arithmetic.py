"""The rounding that is asked for holds while runs train and while they are evaluated, and not afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from discrete_vae.arithmetic import Precision, arithmetic
from discrete_vae.config import Config
from discrete_vae.data import DataConfig, load
from discrete_vae.errors import InputError
from discrete_vae.evaluation.yardstick import evaluate
from discrete_vae.tasks import Architecture
from discrete_vae.training import train

EXACT, TF32 = (False, False, True, False), (True, True, True, False)


def asked() -> tuple[bool, ...]:
    """TF32 for products and for convolutions, the same bits each time, and whether the fastest kernel is looked for."""
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    return products.allow_tf32, convolutions.allow_tf32, convolutions.deterministic, convolutions.benchmark


@pytest.mark.parametrize(("precision", "expected"), [("float32", EXACT), ("bfloat16", EXACT), ("tf32", TF32)])
def test_it_holds_within_the_context_only(precision: Precision, expected: tuple[bool, ...]) -> None:
    before = asked()
    assert before != expected
    with arithmetic(precision):
        assert asked() == expected
    assert asked() == before


def test_what_it_does_not_know() -> None:
    before = asked()
    with pytest.raises(InputError, match="unknown precision 'tf16'; did you mean 'tf32'"), arithmetic("tf16"):  # type: ignore[arg-type]
        pass
    assert asked() == before


def test_it_ends_with_an_error() -> None:
    before = asked()
    with pytest.raises(KeyError), arithmetic():
        raise KeyError
    assert asked() == before


def test_training_and_evaluation_are_within_it(tmp_path: Path) -> None:
    config = Config(architecture=Architecture(2, 3, (5,)), data=DataConfig("binarised-mnist-1000"), epochs=1)
    data, seen = load(config.data), []

    def prune(*_: object) -> set[object]:
        seen.append(asked())
        return set()

    runs = train([config], tmp_path, data, prune=prune)  # type: ignore[arg-type]
    evaluate(runs, data, "test", 1, advance=lambda images: seen.append(asked()))
    assert len(seen) > 1
    assert set(seen) == {EXACT}
