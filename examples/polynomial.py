"""Polynomial programming: 128 binary variables minimise the mean of |z - 0.45|^3, by a strategy of one's choice."""

import sys

import torch

from discrete_vae.strategies import LocalExpectation, Rebar, ReinMax, Rloo, StraightThrough

STRATEGIES = {
    "reinmax": ReinMax,
    "straight_through": StraightThrough,
    "rloo": Rloo,
    "rebar": Rebar,
    "local_expectation": LocalExpectation,
}
torch.manual_seed(0)
logits = torch.zeros(128, 2, requires_grad=True)  # the first category stands for 1


def loss_of(z: torch.Tensor) -> torch.Tensor:
    """One-hot variables ``[B, 128, 2]`` -> the loss of each example ``[B]``."""
    return (z[..., 0] - 0.45).abs().pow(3).mean(-1)


strategy = STRATEGIES[sys.argv[1] if len(sys.argv) > 1 else "reinmax"]()
adam = torch.optim.Adam([logits, *strategy.parameters()], 0.05)
for step in range(101):
    estimate = strategy.estimate(logits.expand(16, -1, -1), loss_of)
    adam.zero_grad()
    (estimate.loss.mean() + estimate.strategy_loss.sum()).backward()
    adam.step()
    if step % 25 == 0:
        # The loss is a sum over variables, so that its expectation is known; the least is that of zeros alone.
        excess = (logits.softmax(-1)[:, 0].mean() * (0.55**3 - 0.45**3)).item()
        print(f"step {step}: {1000 * excess:.2f} thousandths above the least loss")
