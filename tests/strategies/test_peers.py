"""The same gradients as the authors' own code, where it can be installed."""

import pytest
import torch

from discrete_vae.latents.noise import seeded
from discrete_vae.strategies.reinmax import second_order_pull


@pytest.mark.parametrize("temperature", [1.0, 1.3, 0.5])
def test_reinmax_is_the_published_package(temperature) -> None:
    peer = pytest.importorskip("reinmax", reason="the package reinmax is not installed")
    torch.manual_seed(0)
    logits = torch.randn(64, 10, generator=seeded(1), dtype=torch.float64).requires_grad_()
    gradient = torch.randn(64, 10, generator=seeded(2), dtype=torch.float64)
    sample, _ = peer.reinmax(logits, temperature)
    (expected,) = torch.autograd.grad((sample * gradient).sum(), logits)
    found = second_order_pull(logits.detach(), sample.detach(), gradient, torch.tensor(temperature).double())
    torch.testing.assert_close(found, expected)
