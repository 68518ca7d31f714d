"""A score-function estimator on a black box: which of 4 x 8 switches minimise a cost that has no gradient."""

import torch

from discrete_vae.strategies import Rloo

torch.manual_seed(0)
wanted = torch.tensor([3, 1, 4, 1])
logits = torch.zeros(1, 4, 8, requires_grad=True)  # one batch row of 4 variables with 8 categories
adam = torch.optim.Adam([logits], 0.1)


def cost(z: torch.Tensor) -> torch.Tensor:
    return (z.argmax(-1) - wanted).abs().sum(-1).float()  # no gradient passes argmax


strategy = Rloo(draws=8)
for step in range(201):
    estimate = strategy.estimate(logits, cost)
    adam.zero_grad()
    estimate.loss.mean().backward()
    adam.step()
    if step % 50 == 0:
        print(f"step {step}: {estimate.loss.item():.2f}, {logits.argmax(-1).tolist()}")
