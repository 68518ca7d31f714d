"""A critic with a gradient penalty taken through a layer of categorical variables; one line of public code is replaced.

The critic of WGAN-GP (Gulrajani et al. 2017) compares two Gaussian clouds whose Wasserstein distance is 2. Its penalty
needs the second derivatives of the sampled layer.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from discrete_vae import functional
from discrete_vae.errors import InputError
from discrete_vae.strategies import ScoreFunction


class Critic(nn.Module):
    def __init__(self, layer: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layer = layer
        self.encoder = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 16 * 4), nn.Unflatten(1, (16, 4)))
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(16 * 4, 1), nn.Flatten(0))

    def forward(self, x: Tensor) -> Tensor:  # [B, 2] -> [B]
        return self.head(self.layer(self.encoder(x)))


def penalty(values: Tensor, x: Tensor) -> Tensor:
    (slope,) = torch.autograd.grad(values.sum(), x, create_graph=True)
    return (slope.norm(dim=1) - 1).square().mean()


torch.manual_seed(0)
# The replaced line was: Critic(lambda logits: F.gumbel_softmax(logits, tau=1.0, hard=True))
critic = Critic(lambda logits: functional.reinmax(logits, temperature=1.0))
adam = torch.optim.Adam(critic.parameters(), 1e-2)
for step in range(201):
    real, fake = torch.randn(64, 2), torch.randn(64, 2) + torch.tensor([2.0, 0.0])
    between = torch.lerp(real, fake, torch.rand(64, 1)).requires_grad_()
    distance = critic(real).mean() - critic(fake).mean()
    squares = penalty(critic(between), between)
    adam.zero_grad()
    (10 * squares - distance).backward()
    adam.step()
    if step % 50 == 0:
        print(f"step {step}: {squares.item():.3f} is the penalty, {distance.item():.2f} the distance")

# A relaxed sample is smooth where its noise is held fixed, so that finite differences tell the second derivatives too.
smooth = Critic(lambda logits: functional.gumbel_softmax(logits, generator=torch.Generator().manual_seed(1))).double()
x = real[:8].double().requires_grad_()
right = torch.autograd.gradcheck(lambda *_: penalty(smooth(x), x), tuple(smooth.encoder[0].parameters()))
print(f"second derivatives are those of finite differences: {right}")

# A score function estimates the gradient, and an estimate has no derivative: the penalty's backward pass is refused.
try:
    penalty(ScoreFunction().estimate(critic.encoder(between), critic.head).loss, between).backward()
except InputError as error:
    print(error)
