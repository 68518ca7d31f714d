"""How a critic is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from discrete_vae.errors import InputError, check_range, check_types, nearest

CriticOptimiser = Literal["adam-0-0.9", "adam-0.5-0.9"]


@dataclass(frozen=True)
class CriticConfig:
    """How a critic is trained, for tasks that have one; the defaults are those of Gulrajani et al. 2017.

    Raises ``InputError`` for a value out of range, and for penalty and clipping together.
    """

    gradient_penalty: float = 10.0
    """Weight lambda of the gradient penalty, (norm of the gradient - 1)^2."""
    weight_clip: float = 0.0
    """In place of the penalty: bound on the critic's weights (Arjovsky et al. 2017); 0 leaves them free."""
    critic_steps: int = 5
    """Updates of the critic for each of the model's."""
    critic_learning_rate: float = 1e-4
    """The critic's step size, for Adam."""
    critic_optimiser: CriticOptimiser = "adam-0-0.9"
    """The critic's Adam, by its betas: adam-0-0.9, or adam-0.5-0.9."""

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("gradient_penalty", "weight_clip"):
            if getattr(self, name) < 0:
                raise InputError(f"{name.replace('_', ' ')} is {getattr(self, name)}; give at least 0")
        if self.gradient_penalty and self.weight_clip:
            raise InputError(
                f"gradient penalty is {self.gradient_penalty} and weight clip {self.weight_clip}; set one of them to 0"
            )
        check_range("critic steps", self.critic_steps)
        if self.critic_learning_rate <= 0:
            raise InputError(f"critic learning rate is {self.critic_learning_rate}; give a number above 0")
        if self.critic_optimiser not in get_args(CriticOptimiser):
            raise nearest(self.critic_optimiser, get_args(CriticOptimiser), "critic optimiser")
