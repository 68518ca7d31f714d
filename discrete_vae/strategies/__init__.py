"""Latent-training strategies, one file a paper, one row of ``STRATEGIES`` each.

A strategy stands on its own: ``GumbelSoftmax(temperature=0.5).sample(logits)`` works in any training loop, and
``strategy(logits, objective, noise)`` gives an ``Estimate`` for any objective of a sample.
"""

from discrete_vae.strategies.arsm import Arsm
from discrete_vae.strategies.auto_encoder import AutoEncoder, TargetPropagationAutoEncoder
from discrete_vae.strategies.base import Claim, Estimate, Family, Networks, Objective, Strategy
from discrete_vae.strategies.darn import Darn
from discrete_vae.strategies.decoupled_straight_through import DecoupledStraightThrough
from discrete_vae.strategies.enumeration import Enumeration
from discrete_vae.strategies.gapped_straight_through import GappedStraightThrough
from discrete_vae.strategies.gaussian_reparameterisation import GaussianReparameterisation
from discrete_vae.strategies.gumbel_rao import GumbelRao
from discrete_vae.strategies.gumbel_softmax import GumbelSoftmax, StraightThroughGumbelSoftmax
from discrete_vae.strategies.local_expectation import LocalExpectation
from discrete_vae.strategies.minimum_variance import MinimumVariance
from discrete_vae.strategies.muprop import MuProp
from discrete_vae.strategies.nvil import Nvil
from discrete_vae.strategies.rebar import Rebar
from discrete_vae.strategies.reinmax import ReinMax
from discrete_vae.strategies.reinmax_control_variate import ReinMaxControlVariate
from discrete_vae.strategies.relax import Relax
from discrete_vae.strategies.rloo import Rloo
from discrete_vae.strategies.score_function import ScoreFunction
from discrete_vae.strategies.slope_annealed_straight_through import SlopeAnnealedStraightThrough
from discrete_vae.strategies.straight_through import StraightThrough
from discrete_vae.strategies.target_propagation import TargetPropagation
from discrete_vae.strategies.vimco import Vimco
from discrete_vae.strategies.zgr import Zgr

STRATEGIES: dict[str, type[Strategy]] = {
    "gumbel-softmax": GumbelSoftmax,
    "straight-through-gumbel-softmax": StraightThroughGumbelSoftmax,
    "straight-through": StraightThrough,
    "slope-annealed-straight-through": SlopeAnnealedStraightThrough,
    "decoupled-straight-through": DecoupledStraightThrough,
    "gapped-straight-through": GappedStraightThrough,
    "gumbel-rao": GumbelRao,
    "darn": Darn,
    "zgr": Zgr,
    "reinmax": ReinMax,
    "reinmax-control-variate": ReinMaxControlVariate,
    "minimum-variance": MinimumVariance,
    "score-function": ScoreFunction,
    "nvil": Nvil,
    "rloo": Rloo,
    "vimco": Vimco,
    "muprop": MuProp,
    "rebar": Rebar,
    "relax": Relax,
    "arsm": Arsm,
    "enumeration": Enumeration,
    "local-expectation": LocalExpectation,
    "target-propagation": TargetPropagation,
    "gaussian-reparameterisation": GaussianReparameterisation,
    "auto-encoder": AutoEncoder,
    "target-propagation-auto-encoder": TargetPropagationAutoEncoder,
}

__all__ = [
    "STRATEGIES",
    "Arsm",
    "AutoEncoder",
    "Claim",
    "Darn",
    "DecoupledStraightThrough",
    "Enumeration",
    "Estimate",
    "Family",
    "GappedStraightThrough",
    "GaussianReparameterisation",
    "GumbelRao",
    "GumbelSoftmax",
    "LocalExpectation",
    "MinimumVariance",
    "MuProp",
    "Networks",
    "Nvil",
    "Objective",
    "Rebar",
    "ReinMax",
    "ReinMaxControlVariate",
    "Relax",
    "Rloo",
    "ScoreFunction",
    "SlopeAnnealedStraightThrough",
    "StraightThrough",
    "StraightThroughGumbelSoftmax",
    "Strategy",
    "TargetPropagation",
    "TargetPropagationAutoEncoder",
    "Vimco",
    "Zgr",
]
