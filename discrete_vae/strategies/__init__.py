"""Latent-training strategies, one file a paper, one row of ``STRATEGIES`` each.

A strategy stands on its own: ``GumbelSoftmax(temperature=0.5).sample(logits)`` works in any training loop, and
``strategy(logits, objective, noise)`` gives an ``Estimate`` for any objective of a sample.
"""

from discrete_vae.strategies.auto_encoder import AutoEncoder, TargetPropagationAutoEncoder
from discrete_vae.strategies.base import Claim, Estimate, Family, Objective, Strategy
from discrete_vae.strategies.gaussian_reparameterisation import GaussianReparameterisation
from discrete_vae.strategies.gumbel_softmax import GumbelSoftmax, StraightThroughGumbelSoftmax
from discrete_vae.strategies.reinmax import ReinMax
from discrete_vae.strategies.target_propagation import TargetPropagation

STRATEGIES: dict[str, type[Strategy]] = {
    "gumbel-softmax": GumbelSoftmax,
    "straight-through-gumbel-softmax": StraightThroughGumbelSoftmax,
    "reinmax": ReinMax,
    "target-propagation": TargetPropagation,
    "gaussian-reparameterisation": GaussianReparameterisation,
    "auto-encoder": AutoEncoder,
    "target-propagation-auto-encoder": TargetPropagationAutoEncoder,
}

__all__ = [
    "STRATEGIES",
    "AutoEncoder",
    "Claim",
    "Estimate",
    "Family",
    "GaussianReparameterisation",
    "GumbelSoftmax",
    "Objective",
    "ReinMax",
    "StraightThroughGumbelSoftmax",
    "Strategy",
    "TargetPropagation",
    "TargetPropagationAutoEncoder",
]
