"""The data sets that the project makes itself: drawn once from a fixed seed, on the CPU, the same for everyone."""

from __future__ import annotations

from functools import cache

from torch import Tensor

from discrete_vae.data.expressions import EXPRESSIONS
from discrete_vae.data.language import Language
from discrete_vae.data.molecules import MOLECULES
from discrete_vae.data.points import EIGHT_GAUSSIANS, SWISS_ROLL, TWENTY_FIVE_GAUSSIANS, Mixture, SwissRoll
from discrete_vae.latents.noise import seeded

SEED = 0

Synthetic = Mixture | SwissRoll | Language
SYNTHETIC: dict[str, Synthetic] = {
    "8-gaussians": EIGHT_GAUSSIANS,
    "25-gaussians": TWENTY_FIVE_GAUSSIANS,
    "swiss-roll": SWISS_ROLL,
    "expressions": EXPRESSIONS,
    "molecules": MOLECULES,
}


@cache
def observations(name: str, count: int) -> tuple[Tensor, Tensor]:
    """The first ``count`` observations ``[count, D]`` of the data set of ``SYNTHETIC`` and their labels ``[count]``.

    They are cached and must not be written to: a second call gives the same tensors.
    """
    return SYNTHETIC[name].observations(count, seeded(SEED, "data", name))
