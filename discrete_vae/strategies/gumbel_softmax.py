"""Gumbel-Softmax and straight-through Gumbel-Softmax.

E. Jang, S. Gu, B. Poole: Categorical Reparameterization with Gumbel-Softmax. ICLR 2017, arXiv 1611.01144.
C. J. Maddison, A. Mnih, Y. W. Teh: The Concrete Distribution. ICLR 2017, arXiv 1611.00712.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from discrete_vae.errors import check_types
from discrete_vae.latents.categorical import one_hot, relaxed_sample
from discrete_vae.latents.noise import Noise
from discrete_vae.schedules import Schedule
from discrete_vae.strategies.base import Claim, register_hyperparameter
from discrete_vae.strategies.hyperparameters import per_member
from discrete_vae.strategies.pathwise import Pathwise, straight_through


@dataclass(frozen=True)
class GumbelSoftmaxOptions:
    """Hyper-parameters of Gumbel-Softmax and its straight-through form."""

    temperature: Schedule = Schedule(0.5)
    """Temperature of the softmax; low is nearer to one-hot and noisier in its gradient."""

    def __post_init__(self) -> None:
        check_types(self)
        self.temperature.require_positive("temperature")


class GumbelSoftmax(Pathwise):
    """z = softmax((logits + Gumbel) / temperature) (eq. 2), trained through as if it were the one-hot sample.

    Raises ``InputError`` where the temperature is not above 0.
    """

    claim = Claim("Jang et al. 2017; Maddison et al. 2017", unbiased=False, relaxed=True, evaluations=1)
    Options = GumbelSoftmaxOptions
    temperature: Tensor

    def __init__(self, temperature: float | Tensor = 0.5) -> None:
        super().__init__()
        register_hyperparameter(self, "temperature", temperature)

    def reparameterised(self, logits: Tensor, noise: Noise) -> Tensor:
        return relaxed_sample(logits, noise.gumbel(logits.shape, logits.dtype), per_member(self.temperature, logits))


class StraightThroughGumbelSoftmax(GumbelSoftmax):
    """Forward the one-hot argmax of the relaxed sample, backward the relaxed sample (section 2.2)."""

    claim = replace(GumbelSoftmax.claim, relaxed=False)

    def reparameterised(self, logits: Tensor, noise: Noise) -> Tensor:
        relaxed = super().reparameterised(logits, noise)
        return straight_through(one_hot(relaxed.argmax(-1), relaxed.shape[-1], relaxed.dtype), relaxed)
