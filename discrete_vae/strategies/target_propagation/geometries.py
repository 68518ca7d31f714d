"""The difference correction on the simplex: from a difference of codes to a target and a pull towards it.

Throughout, for each latent variable: logits ``a``, probabilities ``pi``, ``J = diag(pi) - pi pi^T``, the code ``y``
that is corrected, the target code ``t`` (of the output target), the prediction code ``r``, the logit difference
``delta`` (of the same two in the logits' coordinates, where it is a direction of descent), a step ``alpha``. A geometry
gives the target and the gradient in the logits of the loss that pulls the encoder there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from discrete_vae.latents.categorical import jacobian_product, softmax
from discrete_vae.strategies.reinmax import second_order_pull

Name = Literal["euclidean", "matching", "log-ratio", "aitchison", "fisher-rao", "second-order", "gauss-newton"]


@dataclass(frozen=True)
class Difference:
    """The codes of output target and prediction by an inverse: ``[..., B, N, K]`` each."""

    target_code: Tensor
    """Code of the output target; it may lie outside the simplex."""
    prediction_code: Tensor
    """Code of the prediction."""
    logit_difference: Tensor
    """Difference of the logits of the two; without effect where it is the same for all categories."""
    layers: Sequence[Tensor] = ()
    """How the outputs of the decoder's layers should change, where the inverse knows: ``[..., B, out]``."""
    kept: Tensor | None = None
    """Share of its length that each variable's signal keeps, where signals are clipped: ``[..., B, N, 1]``."""


@dataclass(frozen=True)
class LatentState:
    """The latents that get a target: ``[..., B, N, K]`` each."""

    logits: Tensor
    probabilities: Tensor
    code: Tensor
    """The code that is corrected: the probabilities, or the sample."""
    sample: Tensor
    """The one-hot sample that was decoded."""
    step: Tensor
    """alpha, ``[]`` or ``[..., 1, 1, 1]``."""
    temperature: Tensor
    """Temperature of the second-order rule, ``[]`` or ``[..., 1, 1, 1]``."""
    costs: Callable[[Tensor], Tensor] = torch.neg
    """Maps a signal, a direction of descent, to the costs of moving each variable to each category, in nats."""


Geometry = Callable[[LatentState, Difference], tuple[Tensor, Tensor]]
"""Target, and gradient in the logits of the loss that pulls to it."""


def _corrected(at: LatentState, difference: Difference) -> Tensor:
    """``y + alpha (t - r)`` (Lee et al. 2015; thesis, eq. 3.7); it can leave the simplex."""
    return at.code + at.step * difference.target_code - at.step * difference.prediction_code


def euclidean(at: LatentState, difference: Difference) -> tuple[Tensor, Tensor]:
    """Squared error to ``y + alpha (t - r)`` (thesis, section 4.4): ``2 J (pi - target)``."""
    target = _corrected(at, difference)
    return target, jacobian_product(at.probabilities, 2 * (at.probabilities - target))


def matching(at: LatentState, difference: Difference) -> tuple[Tensor, Tensor]:
    """The same target under softmax' matching loss (LocoProp-M, Amid et al. 2022): ``pi - target``."""
    target = _corrected(at, difference)
    return target, at.probabilities - target


def log_ratio(at: LatentState, difference: Difference) -> tuple[Tensor, Tensor]:
    """Exponentiated gradient (Kivinen and Warmuth 1997): target ``softmax(a + alpha delta)``, matching loss."""
    target = softmax(at.logits + at.step * difference.logit_difference)
    return target, at.probabilities - target


def aitchison(at: LatentState, difference: Difference) -> tuple[Tensor, Tensor]:
    """The same target at its squared Aitchison distance (1986), that of centred log-ratios: ``-2 alpha clr(delta)``."""
    signal = at.step * difference.logit_difference
    return softmax(at.logits + signal), 2 * (signal.mean(-1, keepdim=True) - signal)


def fisher_rao(at: LatentState, difference: Difference) -> tuple[Tensor, Tensor]:
    """The difference on the sphere of square roots, where Fisher and Rao's metric (1945) is four times the usual one.

    The direction and distance from the prediction code to the target code, or for a step below 1 to
    ``softmax(log r + alpha delta)``, are carried along the great circle from ``sqrt(r)`` to ``sqrt(pi)`` (parallel
    transport) and followed from there. What leaves the orthant is put back to its edge. The pull is down half the
    squared Fisher-Rao distance to the target.
    """
    tiny = torch.finfo(at.logits.dtype).tiny
    image = difference.prediction_code.clamp_min(tiny)
    origin, root = image.sqrt(), at.probabilities.sqrt()
    tangent = _towards(origin, softmax(image.log() + at.step * difference.logit_difference).sqrt())
    # <v, s> / (1 + <r, s>) (r + s) is what a great circle's turn takes away; 1 + <r, s> >= 1 within the orthant.
    along = (tangent * root).sum(-1, keepdim=True) / (1 + (origin * root).sum(-1, keepdim=True))
    tangent = tangent - along * (origin + root)
    length = tangent.norm(dim=-1, keepdim=True)
    angle = length.clamp(max=1.5)  # below a quarter turn: something of the point stays within the orthant
    reached = (angle.cos() * root + angle.sin() * tangent / length.clamp_min(tiny)).clamp_min(0)
    reached = reached / reached.norm(dim=-1, keepdim=True)
    return reached.square(), -2 * root * _towards(root, reached)


def _towards(start: Tensor, end: Tensor) -> Tensor:
    """The tangent of the unit sphere at ``start`` whose great circle reaches ``end`` after its length."""
    chord = end - (start * end).sum(-1, keepdim=True) * start
    sine = chord.norm(dim=-1, keepdim=True)
    angle = torch.atan2(sine, (start * end).sum(-1, keepdim=True))
    tangent: Tensor = chord * (angle / sine.clamp_min(torch.finfo(start.dtype).tiny))
    return tangent


def second_order(at: LatentState, difference: Difference) -> tuple[Tensor, Tensor]:
    """Heun's rule from ``pi`` to the sample (Liu et al. 2023, ReinMax), on a signal instead of a gradient.

    Pull ``-(2 J(q) delta - J delta / 2)``, ``q = (pi + z) / 2``; the target, ``pi`` less that, can leave the simplex.
    """
    pull = -second_order_pull(at.logits, at.sample, at.step * difference.logit_difference, at.temperature)
    return at.probabilities - pull, pull


def gauss_newton(at: LatentState, difference: Difference) -> tuple[Tensor, Tensor]:
    """The optimum of each variable, the others held, under a Gauss-Newton model of the decoder: ``softmax(-alpha c)``.

    ``c_k = -delta . (e_k - z) + 1/2 (e_k - z)^T G (e_k - z)`` is the change of the loss with the variable in category
    k, or of a bound over several samples with it there in one of them. With a uniform prior the target is the
    variable's complete conditional, and for the mean of c over samples that of coordinate-ascent mean-field inference.
    The pull is the gradient ``alpha J c`` of the expected cost; the task adds that of the KL term.
    """
    cost = at.step * at.costs(difference.logit_difference)
    return softmax(-cost), jacobian_product(at.probabilities, cost)


GEOMETRIES: dict[str, Geometry] = {
    "euclidean": euclidean,
    "matching": matching,
    "log-ratio": log_ratio,
    "aitchison": aitchison,
    "fisher-rao": fisher_rao,
    "second-order": second_order,
    "gauss-newton": gauss_newton,
}
PAPERS = {"matching": "Amid et al. 2022"}
"""What to cite for a geometry beside target propagation itself."""
