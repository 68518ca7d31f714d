"""Points in the plane that adversarial generators are tried on, as in the code of Gulrajani et al. (2017)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from discrete_vae.data.domain import Domain
from discrete_vae.latents.noise import Noise


class Plane:
    """Shared parts of sets of points in the plane."""

    domain: ClassVar = Domain(size=2, symbols=None)

    def shares(self, sample: Tensor) -> dict[str, float]:
        """Nothing: a point is neither valid nor not."""
        return {}

    def write(self, points: Tensor) -> list[str]:
        """Points ``[M, 2]`` as lines of text."""
        return [" ".join(f"{value:.6g}" for value in point) for point in points.tolist()]


@dataclass(frozen=True)
class Mixture(Plane):
    """Gaussians of equal weight and equal standard deviation ``sd`` around ``centres``."""

    centres: tuple[tuple[float, float], ...]
    sd: float

    def observations(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Points ``[count, 2]`` float32, and which centre each was drawn around ``[count]`` int64."""
        labels = torch.randint(len(self.centres), (count,), generator=generator)
        # Double precision until the last step, so that the points do not depend on a processor's logarithm.
        noise = self.sd * Noise([generator]).normal((count, 2), torch.float64)
        return (torch.tensor(self.centres, dtype=torch.float64)[labels] + noise).float(), labels

    @property
    def apart(self) -> float:
        """The smallest distance between two centres."""
        return float(torch.pdist(torch.tensor(self.centres, dtype=torch.float64)).min())

    def scores(self, sample: Tensor, held_out: Tensor, training: Tensor | None = None) -> dict[str, float]:
        """Scores of a generator's points ``[M, 2]``.

        - ``close``: share within three standard deviations of a centre.
        - ``near``: share within a third of the smallest distance between centres.
        - ``modes``: number of centres that have near them at least a tenth of their share of the points.
        """
        near = self.modes(sample, self.apart / 3 / self.sd)
        counts = near[near >= 0].bincount(minlength=len(self.centres))
        return {
            "close": float((self.modes(sample) >= 0).double().mean()),
            "near": float((near >= 0).double().mean()),
            "modes": float((counts >= len(sample) / len(self.centres) / 10).sum()),
        }

    def modes(self, points: Tensor, tolerance: float = 3.0) -> Tensor:
        """Which centre each of ``points`` ``[..., 2]`` lies at: int64 ``[...]``, -1 further than ``tolerance`` sd away.

        Three is the customary tolerance (Srivastava et al., 2017). It takes in 1 - exp(-3^2 / 2) = 98.9 % of the
        mixture's own points, and the discs around these data sets' centres are far from touching.
        """
        centres = torch.tensor(self.centres, dtype=torch.float64, device=points.device)
        distance, nearest = (points.double().unsqueeze(-2) - centres).norm(dim=-1).min(-1)
        return torch.where(distance <= tolerance * self.sd, nearest, -1)


@dataclass(frozen=True)
class SwissRoll(Plane):
    """The spiral t (cos t, sin t), t uniform from 1.5 pi to 4.5 pi, with Gaussian ``noise``, all over ``scale``."""

    noise: float
    scale: float

    def observations(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Points ``[count, 2]`` float32, and zeros ``[count]`` int64: there are no classes."""
        noise = Noise([generator])
        angle = 1.5 * math.pi * (1 + 2 * noise.uniform((count, 1), torch.float64))
        spiral = angle * torch.cat([angle.cos(), angle.sin()], dim=1)
        points = (spiral + self.noise * noise.normal((count, 2), torch.float64)) / self.scale
        return points.float(), torch.zeros(count, dtype=torch.int64)

    def scores(self, sample: Tensor, held_out: Tensor, training: Tensor | None = None) -> dict[str, float]:
        """Nothing: it has no modes."""
        return {}


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
