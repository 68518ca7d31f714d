"""A pathwise estimator in a plain PyTorch loop: a categorical auto-encoder of random patterns."""

import torch
from torch import nn
from torch.nn import functional as F

from discrete_vae.strategies import ReinMax

torch.manual_seed(0)
patterns = (torch.rand(8, 64) < 0.5).float()
encoder = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 4 * 8), nn.Unflatten(1, (4, 8)))
decoder = nn.Sequential(nn.Flatten(), nn.Linear(4 * 8, 128), nn.ReLU(), nn.Linear(128, 64))
adam = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 3e-3)
latents = ReinMax(temperature=1.3)
for step in range(201):
    x = patterns[torch.randint(8, (100,))]
    z = latents(encoder(x))  # one-hot, with a gradient
    loss = F.binary_cross_entropy_with_logits(decoder(z), x, reduction="none").sum(1).mean()
    adam.zero_grad()
    loss.backward()
    adam.step()
    if step % 50 == 0:
        print(f"step {step}: {loss.item():.2f} nats")
