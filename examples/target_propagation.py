"""Target propagation in a plain PyTorch loop: no gradient passes from the decoder to the code."""

import torch
from torch import nn
from torch.nn import functional as F

from discrete_vae.strategies import Model, Objective, TargetPropagation

torch.manual_seed(0)
patterns = (torch.rand(8, 64) < 0.5).float()
encoder = nn.Sequential(nn.Linear(64, 4 * 8), nn.Unflatten(1, (4, 8)))
decoder = nn.Sequential(nn.Flatten(), nn.Linear(4 * 8, 64))
adam = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 3e-3)
strategy = TargetPropagation(geometry="matching")
for step in range(401):
    x = patterns[torch.randint(8, (100,))]

    def loss(output: torch.Tensor, x: torch.Tensor = x) -> torch.Tensor:
        return F.binary_cross_entropy_with_logits(output, x, reduction="none").sum(-1)

    objective = Objective(decoder, loss, model=Model(predict=torch.sigmoid, observation=x, encode=encoder))
    estimate = strategy.estimate(encoder(x), objective)
    adam.zero_grad()
    estimate.loss.mean().backward()
    adam.step()
    if step % 100 == 0:
        print(f"step {step}: {estimate.loss.mean().item():.2f} nats")
