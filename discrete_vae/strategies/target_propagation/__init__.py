"""Target propagation through categorical latents: an inverse of the decoder, an output target and a geometry.

A hard sample z is decoded to a prediction x'. No gradient passes from the decoder to the latents; the encoder gets a
target for its probabilities pi from an approximate inverse g of the decoder, corrected by the difference:

    pi_hat = y + g(x_hat) - g(x'),          pulled to with pi_hat held fixed.

``inverses`` and ``feedback`` are the choices of g, ``geometries`` what + and - mean on the simplex and how the encoder
is pulled; the output target x_hat lies on the way from x' to the observation. ``TargetPropagation`` puts them together:

- the thesis' rule: the encoder as its own inverse, Euclidean difference;
- Lee et al.'s: ``LearnedInverse``;
- ReinMax' rule on targets: ``WeightMirror``, second-order geometry.

The thesis' target sees the observation through the logits only, so it means something only where these are the
encoder's own, f(x).

- F. Nitta: Training a VAE with a discrete latent space. Bachelor thesis, 2017 (section 4.4, eq. 3.7).
- D.-H. Lee, S. Zhang, A. Fischer, Y. Bengio: Difference Target Propagation. ECML 2015, arXiv 1412.7525.
- A. Meulemans et al.: A Theoretical Framework for Target Propagation. NeurIPS 2020, arXiv 2006.14331 (DRL).
- M. Ernoult et al.: Towards Scaling Difference Target Propagation by Learning Backprop Targets. ICML 2022,
  arXiv 2201.13415 (L-DRL).
- T. Shibuya et al.: Fixed-Weight Difference Target Propagation. AAAI 2023, arXiv 2212.10352.
- M. Akrout et al.: Deep Learning without Weight Transport. NeurIPS 2019, arXiv 1904.05391 (weight mirrors).
- E. Amid, R. Anil, M. Warmuth: LocoProp. AISTATS 2022, arXiv 2106.06199 (matching loss).
- L. Liu et al.: Bridging Discrete and Backpropagation. NeurIPS 2023, arXiv 2304.08612 (second order).
"""

from discrete_vae.strategies.target_propagation.feedback import (
    DifferenceReconstruction,
    LayerwiseFeedback,
    LocalDifferenceReconstruction,
    WeightMirror,
    WeightProbe,
)
from discrete_vae.strategies.target_propagation.geometries import GEOMETRIES
from discrete_vae.strategies.target_propagation.inverses import EncoderInverse, Inverse, LearnedInverse
from discrete_vae.strategies.target_propagation.options import TargetPropagationOptions
from discrete_vae.strategies.target_propagation.strategy import TargetPropagation

__all__ = [
    "GEOMETRIES",
    "DifferenceReconstruction",
    "EncoderInverse",
    "Inverse",
    "LayerwiseFeedback",
    "LearnedInverse",
    "LocalDifferenceReconstruction",
    "TargetPropagation",
    "TargetPropagationOptions",
    "WeightMirror",
    "WeightProbe",
]
