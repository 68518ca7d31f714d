"""Latent-training strategies, one file a paper, one row of ``STRATEGIES`` each.

A strategy stands on its own, with logits ``[..., B, N, K]`` of N variables of K categories (binary ones are K = 2),
``[B, K]`` of one variable, or with the categories along any ``dim``:

- Pathwise strategies give a sample with a gradient and take the place of ``torch.nn.functional.gumbel_softmax``; as
  functions they are in ``discrete_vae.functional``::

      z = ReinMax(temperature=1.3)(logits)
      z = GumbelSoftmax(0.5)(feature_map, dim=1)

- Every strategy, those included, estimates the gradient of a cost of the sample, one number an example in nats. Score
  functions need its value alone, so that it may be a black box; the others need its gradient in the sample::

      estimate = Rloo(draws=4).estimate(logits, cost)
      (estimate.loss.mean() + estimate.strategy_loss).backward()

  ``loss`` has the cost's value and the estimate's gradient; a strategy's own parameters (a baseline, a control
  variate) learn from ``strategy_loss`` alone.
- Some look inside and take an ``Objective``: learned baselines need its context, ``Vimco`` a sample's share of the KL,
  target propagation the observation and an encoder. An ``Objective`` is also decoded in one batch where there are
  several samples, and a plain cost one sample after the other::

      objective = Objective(
          decode=lambda z: decoder(z.flatten(-2)),  # also of several samples: [S, B, N, K]
          loss=lambda output: nll(output, x.expand_as(output)).sum(-1),
      )

The conformance table in the project's tests holds each strategy to its claim (``claim``); ``discrete_vae.citation``
gives the BibTeX.
"""

from typing import TYPE_CHECKING

from discrete_vae.deprecation import renamed
from discrete_vae.latents.family import Family
from discrete_vae.strategies.arsm import Arsm
from discrete_vae.strategies.auto_encoder import AutoEncoder, Backpropagation, TargetPropagationAutoEncoder
from discrete_vae.strategies.base import Claim, Estimate, NetworkFactory, Strategy, register_hyperparameter
from discrete_vae.strategies.bound import bound_of
from discrete_vae.strategies.carms import Carms
from discrete_vae.strategies.darn import Darn, DarnBaseline
from discrete_vae.strategies.decoupled_straight_through import DecoupledStraightThrough
from discrete_vae.strategies.disarm import Disarm
from discrete_vae.strategies.disarm_stick_breaking import DisarmStickBreaking
from discrete_vae.strategies.disarm_tree import DisarmTree
from discrete_vae.strategies.enumeration import Enumeration, Marginalisation
from discrete_vae.strategies.fsq import Fsq
from discrete_vae.strategies.gapped_straight_through import GappedStraightThrough
from discrete_vae.strategies.gauss_newton import GaussNewtonLocalExpectation
from discrete_vae.strategies.gaussian_reparameterisation import GaussianReparameterisation
from discrete_vae.strategies.gumbel_rao import GumbelRao
from discrete_vae.strategies.gumbel_softmax import GumbelSoftmax, StraightThroughGumbelSoftmax
from discrete_vae.strategies.hyperparameters import per_member
from discrete_vae.strategies.local_expectation import LocalExpectation
from discrete_vae.strategies.minimum_variance import MinimumVariance
from discrete_vae.strategies.muprop import MuProp
from discrete_vae.strategies.nvil import Nvil
from discrete_vae.strategies.objective import Model, Objective
from discrete_vae.strategies.pathwise import OneHotPathwise, Pathwise
from discrete_vae.strategies.rebar import Rebar
from discrete_vae.strategies.reinmax import ReinMax
from discrete_vae.strategies.reinmax_mean_control import ReinMaxMeanControl
from discrete_vae.strategies.reinmax_rao import ReinMaxRao
from discrete_vae.strategies.relax import Relax
from discrete_vae.strategies.reweighted_wake_sleep import ReweightedWakeSleep
from discrete_vae.strategies.rloo import Rloo
from discrete_vae.strategies.rodeo import Rodeo
from discrete_vae.strategies.rotation_trick import RotatedVqVae
from discrete_vae.strategies.score_function import ScoreFunction
from discrete_vae.strategies.slope_annealed_straight_through import SlopeAnnealedStraightThrough
from discrete_vae.strategies.softmax import Softmax
from discrete_vae.strategies.sparsemax_marginalisation import SparsemaxMarginalisation
from discrete_vae.strategies.straight_through import StraightThrough
from discrete_vae.strategies.sum_and_sample import SumAndSample
from discrete_vae.strategies.target_propagation import TargetPropagation
from discrete_vae.strategies.targets import TargetStrategy
from discrete_vae.strategies.unordered_set import UnorderedSet
from discrete_vae.strategies.vimco import Vimco
from discrete_vae.strategies.vq_vae import VqVae
from discrete_vae.strategies.zgr import Zgr

STRATEGIES: dict[str, type[Strategy]] = {
    "softmax": Softmax,
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
    "reinmax-mean-control": ReinMaxMeanControl,
    "reinmax-rao": ReinMaxRao,
    "minimum-variance": MinimumVariance,
    "score-function": ScoreFunction,
    "nvil": Nvil,
    "rloo": Rloo,
    "rodeo": Rodeo,
    "vimco": Vimco,
    "unordered-set": UnorderedSet,
    "sum-and-sample": SumAndSample,
    "reweighted-wake-sleep": ReweightedWakeSleep,
    "muprop": MuProp,
    "darn-baseline": DarnBaseline,
    "rebar": Rebar,
    "relax": Relax,
    "arsm": Arsm,
    "disarm": Disarm,
    "disarm-stick-breaking": DisarmStickBreaking,
    "disarm-tree": DisarmTree,
    "carms": Carms,
    "enumeration": Enumeration,
    "marginalisation": Marginalisation,
    "local-expectation": LocalExpectation,
    "gauss-newton-local-expectation": GaussNewtonLocalExpectation,
    "sparsemax-marginalisation": SparsemaxMarginalisation,
    "target-propagation": TargetPropagation,
    "vq-vae": VqVae,
    "vq-vae-rotation": RotatedVqVae,
    "fsq": Fsq,
    "gaussian-reparameterisation": GaussianReparameterisation,
    "auto-encoder": AutoEncoder,
    "backpropagation": Backpropagation,
    "target-propagation-auto-encoder": TargetPropagationAutoEncoder,
}

__all__ = [
    "STRATEGIES",
    "Arsm",
    "AutoEncoder",
    "Backpropagation",
    "Carms",
    "Claim",
    "Darn",
    "DarnBaseline",
    "DecoupledStraightThrough",
    "Disarm",
    "DisarmStickBreaking",
    "DisarmTree",
    "Enumeration",
    "Estimate",
    "Family",
    "Fsq",
    "GappedStraightThrough",
    "GaussNewtonLocalExpectation",
    "GaussianReparameterisation",
    "GumbelRao",
    "GumbelSoftmax",
    "LocalExpectation",
    "Marginalisation",
    "MinimumVariance",
    "Model",
    "MuProp",
    "NetworkFactory",
    "Nvil",
    "Objective",
    "OneHotPathwise",
    "Pathwise",
    "Rebar",
    "ReinMax",
    "ReinMaxMeanControl",
    "ReinMaxRao",
    "Relax",
    "ReweightedWakeSleep",
    "Rloo",
    "Rodeo",
    "RotatedVqVae",
    "ScoreFunction",
    "SlopeAnnealedStraightThrough",
    "Softmax",
    "SparsemaxMarginalisation",
    "StraightThrough",
    "StraightThroughGumbelSoftmax",
    "Strategy",
    "SumAndSample",
    "TargetPropagation",
    "TargetPropagationAutoEncoder",
    "TargetStrategy",
    "UnorderedSet",
    "Vimco",
    "VqVae",
    "Zgr",
    "bound_of",
    "per_member",
    "register_hyperparameter",
]

if not TYPE_CHECKING:  # type checkers know the new names alone
    __getattr__ = renamed(__name__, {"Networks": "NetworkFactory", "ReinMaxControlVariate": "ReinMaxMeanControl"})
