"""A discrete VAE of images with channel-first logits [B, K, H, W], as in DALL-E; one line of public code is replaced.

``python examples/image_vae.py rloo`` trains it another way: the names are those of ``WAYS``.
"""

import sys

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from discrete_vae import functional
from discrete_vae.latents.categorical import kl_to_uniform
from discrete_vae.strategies import Rloo

torch.manual_seed(0)

# Images of 4 x 4 tiles, each of one of four textures: 16 log 4 = 22.2 nats an image.
line = torch.arange(4) % 2
textures = torch.stack([line.expand(4, 4), line[:, None].expand(4, 4), line ^ line[:, None], torch.ones(4, 4)]).float()


def images(count: int) -> Tensor:
    tiles = textures[torch.randint(4, (count, 4, 4))]  # [B, 4, 4, 4, 4]
    return tiles.permute(0, 1, 3, 2, 4).reshape(count, 1, 16, 16)


categories, width = 8, 32
encoder = nn.Sequential(nn.Conv2d(1, width, 4, 4), nn.ReLU(), nn.Conv2d(width, categories, 1))
codebook = nn.Embedding(categories, width)
decoder = nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(width, 1, 4, 4))
adam = torch.optim.Adam([*encoder.parameters(), *codebook.parameters(), *decoder.parameters()], 1e-2)


def reconstruction(z: Tensor) -> Tensor:  # z [B, K, H, W] -> nats of each image, [B]
    embedded = torch.einsum("bkhw,kd->bdhw", z, codebook.weight)
    return F.binary_cross_entropy_with_logits(decoder(embedded), x, reduction="none").sum((1, 2, 3))


rloo = Rloo(draws=4)
# The replaced line was: reconstruction(F.gumbel_softmax(logits, tau, hard=True, dim=1)). Each of these stands for it.
WAYS = {
    "reinmax": lambda logits, tau: reconstruction(functional.reinmax(logits, tau, dim=1)),
    "gumbel_softmax": lambda logits, tau: reconstruction(functional.gumbel_softmax(logits, tau, hard=False, dim=1)),
    "gumbel_rao": lambda logits, tau: reconstruction(functional.gumbel_rao(logits, tau, dim=1)),
    "zgr": lambda logits, tau: reconstruction(functional.zgr(logits, dim=1)),  # it has no temperature
    "rloo": lambda logits, tau: rloo.estimate(logits, reconstruction, dim=1).loss,  # needs no gradient through z
}
name = sys.argv[1] if sys.argv[1:] else "reinmax"
if name not in WAYS:
    sys.exit(f"no way is called {name!r}; give {', '.join(WAYS)}")
way = WAYS[name]
for step in range(201):
    x = images(50)
    logits = encoder(x)  # [B, K, H, W]
    temperature = max(1.3 * 0.995**step, 0.5)
    kl = kl_to_uniform(logits.movedim(1, -1)).sum((1, 2))  # [B]
    loss = (way(logits, temperature) + kl).mean()
    adam.zero_grad()
    loss.backward()
    adam.step()
    if step % 50 == 0:
        print(f"step {step}: {loss.item():.2f} nats")
