"""Points in the plane that adversarial generators are tried on, as in the code of Gulrajani et al. (2017)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from discrete_vae.data.domain import Domain
from discrete_vae.noise import Noise

PLANE = Domain(size=2, symbols=None)


@dataclass(frozen=True)
class Mixture:
    """Gaussians of equal weight and equal standard deviation ``sd`` around ``centres``."""

    centres: tuple[tuple[float, float], ...]
    sd: float
    domain: Domain = PLANE

    def observations(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Points ``[count, 2]`` float32, and which centre each was drawn around ``[count]`` int64."""
        labels = torch.randint(len(self.centres), (count,), generator=generator)
        # Double precision until the last step, so that the points do not depend on a processor's logarithm.
        noise = self.sd * Noise([generator]).normal((count, 2), torch.float64)
        return (torch.tensor(self.centres, dtype=torch.float64)[labels] + noise).float(), labels

    def modes(self, points: Tensor, tolerance: float = 3.0) -> Tensor:
        """Which centre each of ``points`` ``[..., 2]`` lies at: int64 ``[...]``, -1 further than ``tolerance`` sd away.

        Three is the customary tolerance (Srivastava et al., 2017). It takes in 1 - exp(-3^2 / 2) = 98.9 % of the
        mixture's own points, and the discs around these data sets' centres are far from touching.
        """
        centres = torch.tensor(self.centres, dtype=torch.float64, device=points.device)
        distance, nearest = (points.double().unsqueeze(-2) - centres).norm(dim=-1).min(-1)
        return torch.where(distance <= tolerance * self.sd, nearest, -1)


@dataclass(frozen=True)
class SwissRoll:
    """The spiral t (cos t, sin t), t uniform from 1.5 pi to 4.5 pi, with Gaussian ``noise``, all over ``scale``."""

    noise: float
    scale: float
    domain: Domain = PLANE

    def observations(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Points ``[count, 2]`` float32, and zeros ``[count]`` int64: there are no classes."""
        noise = Noise([generator])
        angle = 1.5 * math.pi * (1 + 2 * noise.uniform((count, 1), torch.float64))
        spiral = angle * torch.cat([angle.cos(), angle.sin()], dim=1)
        points = (spiral + self.noise * noise.normal((count, 2), torch.float64)) / self.scale
        return points.float(), torch.zeros(count, dtype=torch.int64)


EIGHT_GAUSSIANS = Mixture(
    centres=tuple((2 * math.cos(k * math.pi / 4) / 1.414, 2 * math.sin(k * math.pi / 4) / 1.414) for k in range(8)),
    sd=0.02 / 1.414,
)
"""On a circle of radius 2 with standard deviation 0.02, all over 1.414; counter-clockwise from the right."""

TWENTY_FIVE_GAUSSIANS = Mixture(
    centres=tuple((2 * x / 2.828, 2 * y / 2.828) for x in range(-2, 3) for y in range(-2, 3)),
    sd=0.05 / 2.828,
)
"""On the grid {-4, -2, 0, 2, 4}^2 with standard deviation 0.05, all over 2.828; by x, then by y."""

SWISS_ROLL = SwissRoll(noise=0.25, scale=7.5)
"""Two of the three coordinates of scikit-learn's ``make_swiss_roll``, over 7.5."""
