"""Hard attention: a network looks at one of four glimpses of an image and names the digit there; one line is replaced.

``python examples/hard_attention.py nvil`` trains it another way: the names are those of ``WAYS``.
"""

import sys

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from discrete_vae.strategies import Nvil, Rebar, Rloo

torch.manual_seed(0)
digits = (torch.rand(10, 8, 8) < 0.5).float()


def images(count: int) -> tuple[Tensor, Tensor]:
    """Images ``[B, 16, 16]`` of four digits, and the label ``[B]`` of the one that is brighter."""
    labels, bright = torch.randint(10, (count, 4)), torch.randint(4, (count, 1))
    cells = digits[labels] * (1 + F.one_hot(bright, 4).view(count, 4, 1, 1))
    return cells.view(count, 2, 2, 8, 8).transpose(2, 3).reshape(count, 16, 16), labels.gather(1, bright).squeeze(1)


attention = nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 4))
classifier = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
baseline = nn.Sequential(nn.Flatten(), nn.Linear(256, 32), nn.ReLU(), nn.Linear(32, 1))


def cost(z: Tensor) -> Tensor:
    """The one-hot place ``[B, 4]`` of a glimpse -> the label's cross-entropy in nats ``[B]``."""
    glimpses = image.unfold(1, 8, 8).unfold(2, 8, 8).reshape(-1, 4, 64)
    seen = torch.einsum("bk,bkd->bd", z, glimpses)
    return F.cross_entropy(classifier(seen), label, reduction="none")


rloo, rebar, nvil = Rloo(draws=4), Rebar(), Nvil(baseline)
# The replaced line was, with a place from Categorical(logits=logits), its one-hot z and a baseline b of the image:
#   loss = (cost(z) + log_prob(place) * (cost(z) - b).detach() + (cost(z).detach() - b) ** 2).mean()
# Each of these stands for it:
WAYS = {
    "rloo": lambda logits: rloo.estimate(logits, cost),
    "rebar": lambda logits: rebar.estimate(logits, cost),
    "nvil": lambda logits: nvil.estimate(logits, cost, context=image),  # b looks at the image
}
name = sys.argv[1] if sys.argv[1:] else "rloo"
if name not in WAYS:
    sys.exit(f"no way is called {name!r}; give {', '.join(WAYS)}")
way = WAYS[name]
models = nn.ModuleList([attention, classifier, rloo, rebar, nvil])
adam = torch.optim.Adam(models.parameters(), 1e-2)
for step in range(201):
    image, label = images(100)
    estimate = way(attention(image))
    loss = estimate.loss.mean() + estimate.strategy_loss
    adam.zero_grad()
    loss.backward()
    adam.step()
    if step % 50 == 0:
        print(f"step {step}: {estimate.loss.mean().item():.2f} nats")
