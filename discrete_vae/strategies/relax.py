"""RELAX: REBAR with a network in its control variate.

W. Grathwohl, D. Choi, Y. Wu, G. Roeder, D. Duvenaud: Backpropagation through the Void. ICLR 2018, arXiv 1711.00123.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from torch import nn

from discrete_vae.strategies.base import Claim, NetworkFactory
from discrete_vae.strategies.rebar import Rebar, RebarOptions


@dataclass(frozen=True)
class RelaxOptions(RebarOptions):
    """Hyper-parameters of RELAX."""


class Relax(Rebar):
    """REBAR whose control variate has a network beside the relaxed objective (Grathwohl et al. 2018, eq. 8).

    Here the network sees the relaxed sample ``softmax(l' / tau)``; in the paper it sees the perturbed logits ``l'``
    themselves, which also tell their common level. ``eta`` weighs the relaxed objective alone; in the paper it has no
    weight.
    """

    claim = Claim("Grathwohl et al. 2018", unbiased=True, relaxed=False, evaluations=3)
    Options = RelaxOptions

    def __init__(
        self,
        critic: nn.Module,
        temperature: float = 0.5,
        weight: float = 1.0,
        members: int | None = None,
        coupled: bool = False,
    ) -> None:
        super().__init__(temperature, weight, critic, members, coupled)

    @classmethod
    def build(cls, options: RebarOptions, networks: NetworkFactory) -> Self:
        return cls(networks.critic(), options.temperature, options.weight, networks.members, options.coupled)
