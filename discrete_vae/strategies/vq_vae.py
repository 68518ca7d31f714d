"""VQ-VAE: the encoder's vector is replaced by the nearest of a learned codebook, straight through.

A. van den Oord, O. Vinyals, K. Kavukcuoglu: Neural Discrete Representation Learning. NeurIPS 2017, arXiv 1711.00937.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from discrete_vae.errors import InputError, check_range, check_types
from discrete_vae.latents.noise import Noise
from discrete_vae.latents.quantised import Codebook, look_up, nearest
from discrete_vae.strategies.autograd import with_gradient_of
from discrete_vae.strategies.base import Claim, Estimate, NetworkFactory, Strategy
from discrete_vae.strategies.objective import Objective
from discrete_vae.strategies.pathwise import differentiable_in


@dataclass(frozen=True)
class VqVaeOptions:
    """Hyper-parameters of VQ-VAE."""

    commitment: float = 0.25
    """Weight of the commitment loss, in nats a squared unit of distance; the paper's beta."""

    def __post_init__(self) -> None:
        check_types(self)
        check_commitment(self.commitment)


def check_commitment(weight: float) -> None:
    """Raise ``InputError`` for a commitment that is no finite number of at least 0."""
    if not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
        raise InputError(f"commitment is {weight!r}; give a finite number of at least 0")


class VqVae(Strategy):
    """Forward the codebook's vector nearest to e, backward e; e and the vector are drawn to each other (eq. 1 to 3).

    The logits are the encoder's vectors e, ``[..., B, N, K]``. The encoder has the commitment loss
    ``commitment |e - sg(c)|^2``, the codebook ``|sg(e) - c|^2``, both averaged over the N variables. The codebook's K
    vectors are as long as there are categories and start at the corners of the simplex, so that the decoder first sees
    one-hot variables, and later a linear map of them. There is no noise, and beta has no effect. Raises ``InputError``
    for a negative commitment, and for vectors e of another length.
    """

    claim = Claim("van den Oord et al. 2017", unbiased=False, relaxed=False, evaluations=1)
    Options = VqVaeOptions
    latent_family = Codebook
    twice = True
    ignores = frozenset({"samples", "objective", "beta"})
    checks: ClassVar = {"commitment": check_commitment}

    def __init__(self, categories: int, commitment: float = 0.25, members: int | None = None) -> None:
        super().__init__()
        check_range("categories", categories)
        self.commitment = commitment
        corners = torch.eye(categories)
        self.vectors = nn.Parameter(corners if members is None else corners.repeat(members, 1, 1))

    @classmethod
    def build(cls, options: VqVaeOptions, networks: NetworkFactory) -> Self:
        family = networks.family
        assert isinstance(family, Codebook)
        strategy = cls(family.categories, options.commitment, networks.members)
        family.vectors = strategy.vectors  # evaluation quantises without the strategy
        return strategy

    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        length = self.vectors.shape[-1]
        if logits.shape[-1] != length:
            raise InputError(
                f"the encoder's vectors have {logits.shape[-1]} numbers each, and the codebook's {length}; give as "
                "many categories to both"
            )
        code = look_up(self.vectors, nearest(self.vectors.detach(), logits.detach()))  # [..., B, N, K]
        fixed = code.detach()
        sample = with_gradient_of(fixed, self.through(logits, fixed))
        commitment = (logits - fixed).square().sum(-1).mean(-1)
        loss = with_gradient_of(differentiable_in(objective(sample), sample, self), self.commitment * commitment)
        strategy_loss = (logits.detach() - code).square().sum(-1).mean((-1, -2))
        return Estimate(loss, strategy_loss, fixed)

    def through(self, logits: Tensor, code: Tensor) -> Tensor:
        """The tensor that is differentiated in the code's place: ``[..., B, N, K]``, as a function of the logits."""
        return logits
