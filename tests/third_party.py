"""What the tests of other people's code share: numbers, noise that is given, and the comparison of mean gradients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
import torch
from torch import Tensor, nn

from discrete_vae.latents.noise import Noise, seeded


def normal(stream: object, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=seeded(0, stream), dtype=torch.float64)


def torchs_gumbel(*shape: int) -> Tensor:
    """The noise of ``F.gumbel_softmax`` after ``torch.manual_seed(1)``."""
    torch.manual_seed(1)
    return -torch.empty(shape, dtype=torch.float64).exponential_().log()


def give(monkeypatch: pytest.MonkeyPatch, *numbers: Tensor) -> None:
    """Hand these Gumbel numbers to our strategies, one after the other."""
    left: Iterator[Tensor] = iter(numbers)

    def gumbel(self: Noise, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        one = next(left)
        assert one.shape == shape
        return one.to(dtype)

    monkeypatch.setattr(Noise, "gumbel", gumbel)


def gradients(loss: Tensor, *modules: nn.Module) -> list[Tensor]:
    """Of all parameters, none of which may be without one."""
    found = torch.autograd.grad(loss, [each for module in modules for each in module.parameters()])
    assert all(each.any() for each in found)
    return list(found)


def vector(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([each.flatten() for each in tensors])


def assert_mean_is(found: Sequence[Tensor], expected: Tensor) -> None:
    """Each number's mean lies within 5 standard errors, which together are below a tenth of what is expected."""
    draws = torch.stack(list(found))
    error = draws.std(0) / len(draws) ** 0.5
    assert error.norm() < expected.norm() / 10
    assert ((draws.mean(0) - expected).abs() <= 5 * error + 1e-12).all()
