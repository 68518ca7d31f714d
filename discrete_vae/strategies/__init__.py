"""Latent-training strategies, one file a paper, one row of ``STRATEGIES`` each.

A strategy stands on its own, with logits ``[..., B, N, K]`` of N variables of K categories (binary ones are K = 2):

- Pathwise, biased: ``GumbelSoftmax``, ``StraightThroughGumbelSoftmax``, ``GumbelRao``, ``StraightThrough`` and its
  slope-annealed, decoupled and gapped kinds, ``Darn``, ``Zgr``, ``ReinMax``, ``ReinMaxRao``, ``MinimumVariance``. Their
  ``sample(logits)`` drops into any training loop in place of ``torch.nn.functional.gumbel_softmax``::

      z = ReinMax(temperature=1.3).sample(logits)

- Score functions, unbiased but for ``Nvil``'s normalisation and ``DarnBaseline``: ``ScoreFunction``, ``Nvil``,
  ``Rloo``, ``Rodeo``, ``Vimco``, ``MuProp``, ``DarnBaseline``, ``Rebar``, ``Relax``, ``Arsm``. They want what becomes
  of the sample as well::

      objective = Objective(
          decode=lambda z: decoder(z.flatten(-2)),  # also of several samples: [S, B, N, K]
          loss=lambda output: nll(output, x.expand_as(output)).sum(-1),  # a number an example, in nats
      )
      estimate = Rloo(draws=4).estimate(logits, objective, Noise())
      (estimate.loss.mean() + estimate.auxiliary).backward()

  ``loss`` has the objective's value and the estimate's gradient; what a strategy learns by itself (a baseline, a
  control variate) learns from ``auxiliary`` alone.
- Several samples, weighed: ``ReweightedWakeSleep``, which descends another divergence, ``KL(p(z | x) || q)``.
- Without a sample: ``Softmax``.
- Exact: ``Enumeration`` of all states, ``LocalExpectation`` of one variable at a time.
- Codes without noise on the same yardstick: ``VqVae`` with its codebook, ``RotatedVqVae``, and ``Fsq`` without one.
- Without a gradient through the decoder: ``TargetPropagation``, whose objective also names the observation.

What each claims (``claim``) is held to it by the conformance table in the project's tests; ``discrete_vae.citation``
gives the BibTeX.
"""

from discrete_vae.strategies.arsm import Arsm
from discrete_vae.strategies.auto_encoder import AutoEncoder, Backpropagation, TargetPropagationAutoEncoder
from discrete_vae.strategies.base import Claim, Estimate, Family, Networks, Objective, Strategy
from discrete_vae.strategies.darn import Darn, DarnBaseline
from discrete_vae.strategies.decoupled_straight_through import DecoupledStraightThrough
from discrete_vae.strategies.enumeration import Enumeration, Marginalisation
from discrete_vae.strategies.fsq import Fsq
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
from discrete_vae.strategies.straight_through import StraightThrough
from discrete_vae.strategies.target_propagation import TargetPropagation
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
    "reweighted-wake-sleep": ReweightedWakeSleep,
    "muprop": MuProp,
    "darn-baseline": DarnBaseline,
    "rebar": Rebar,
    "relax": Relax,
    "arsm": Arsm,
    "enumeration": Enumeration,
    "marginalisation": Marginalisation,
    "local-expectation": LocalExpectation,
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
    "Claim",
    "Darn",
    "DarnBaseline",
    "DecoupledStraightThrough",
    "Enumeration",
    "Estimate",
    "Family",
    "Fsq",
    "GappedStraightThrough",
    "GaussianReparameterisation",
    "GumbelRao",
    "GumbelSoftmax",
    "LocalExpectation",
    "Marginalisation",
    "MinimumVariance",
    "MuProp",
    "Networks",
    "Nvil",
    "Objective",
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
    "StraightThrough",
    "StraightThroughGumbelSoftmax",
    "Strategy",
    "TargetPropagation",
    "TargetPropagationAutoEncoder",
    "Vimco",
    "VqVae",
    "Zgr",
]
