"""The minimum-variance estimator: the backward pass that is unbiased where it matters and varies least.

W. Hooper, A. Shekhovtsov: Generalized and Optimal Straight-Through Estimators. AISTATS 2026.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from discrete_vae.errors import check_types
from discrete_vae.latents.categorical import softmax
from discrete_vae.latents.noise import Noise
from discrete_vae.schedules import Schedule
from discrete_vae.strategies.base import Claim, register_hyperparameter
from discrete_vae.strategies.hyperparameters import per_member
from discrete_vae.strategies.pathwise import OneHotPathwise

LARGEST = 1e6
"""The paper's last t; much beyond, the system is singular in double precision."""


@dataclass(frozen=True)
class MinimumVarianceOptions:
    """Hyper-parameters of the minimum-variance estimator."""

    weight: Schedule = Schedule(1.0, decay=LARGEST, unit="run")
    """t, weight of the bias against the variance; by default it grows from 1 to a million over the run, as in print."""

    def __post_init__(self) -> None:
        check_types(self)
        self.weight.require_positive("weight")


class MinimumVariance(OneHotPathwise):
    """Forward a one-hot sample x, backward ``sum_j g_j S_jk`` with a matrix S that depends on x and pi alone.

    Raises ``InputError`` where the weight is not above 0.
    """

    claim = Claim("Hooper and Shekhovtsov 2026", unbiased=False, relaxed=False, evaluations=1)
    Options = MinimumVarianceOptions
    weight: Tensor

    def __init__(self, weight: float | Tensor = 1.0) -> None:
        super().__init__()
        register_hyperparameter(self, "weight", weight)

    @classmethod
    def revision(cls, options: MinimumVarianceOptions) -> int:
        return int(options == MinimumVarianceOptions())  # 1: the default follows the run's length

    def surrogate(self, logits: Tensor, sample: Tensor, noise: Noise) -> Tensor:
        own = logits.detach().double()
        matrix = backward_matrix(
            softmax(own), sample.double(), per_member(self.weight.detach(), own).clamp_max(LARGEST)
        )
        return (matrix @ logits.double().unsqueeze(-1)).squeeze(-1).to(logits.dtype)


def backward_matrix(probabilities: Tensor, sample: Tensor, weight: Tensor) -> Tensor:
    """S of every variable ``[..., N, K, K]``; in double precision, for A is nearly singular where t is large."""
    p, t = probabilities, weight
    row, column = p.unsqueeze(-1), p.unsqueeze(-2)
    t = t.unsqueeze(-1) if t.dim() else t
    scale = 1 + t * (row + column)
    jacobian = torch.diag_embed(p) - row * column
    own = (1 + t * row) * (column / scale).sum(-1, keepdim=True) - t * row.square() / (1 + 2 * t * row)
    off = -t * row * column / scale
    system = off - torch.diag_embed(off.diagonal(dim1=-2, dim2=-1)) + torch.diag_embed(own.squeeze(-1))
    right = (1 + t * row) / (1 + 2 * t * row) * jacobian
    v = torch.linalg.solve_ex(system, right)[0]  # which does not wait for the device
    x = sample.unsqueeze(-1)
    taken = (x * v).sum(-2, keepdim=True)  # v_xk
    chosen = (x * row).sum(-2, keepdim=True)  # p_x
    matrix: Tensor = ((1 + t * row) * v - t * row * taken + t * x * jacobian) / (1 + t * (row + chosen))
    return matrix
