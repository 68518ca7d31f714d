"""The deterministic auto-encoder by difference target propagation (thesis, section 3.3), and by backpropagation.

F. Nitta: Training a VAE with a discrete latent space. Bachelor thesis, 2017 (section 3.3, eq. 3.7).
D.-H. Lee, S. Zhang, A. Fischer, Y. Bengio: Difference Target Propagation. ECML 2015, arXiv 1412.7525.
"""

from __future__ import annotations

import torch
from torch import Tensor

from discrete_vae.latents.deterministic import Deterministic, Real
from discrete_vae.latents.noise import Noise
from discrete_vae.strategies.autograd import only_gradient
from discrete_vae.strategies.base import Claim, Estimate, Strategy
from discrete_vae.strategies.objective import Objective
from discrete_vae.strategies.pathwise import Pathwise


class AutoEncoder(Pathwise):
    """Backpropagation through the code y = sigmoid(a). ``categories`` and beta have no effect."""

    claim = Claim("Rumelhart et al. 1986", unbiased=True, relaxed=False, evaluations=1)
    ignores = Strategy.ignores | {"samples", "objective", "categories", "beta"}

    @staticmethod
    def latent_family(latents: int, categories: int) -> Deterministic:
        return Deterministic(latents)

    def reparameterised(self, logits: Tensor, noise: Noise) -> Tensor:
        return self.latent_family(*logits.shape[-2:]).mean(logits)


class Backpropagation(AutoEncoder):
    """The same where the code is any real number, as for a generator of points."""

    @staticmethod
    def latent_family(latents: int, categories: int) -> Real:
        return Real(latents)


class TargetPropagationAutoEncoder(Strategy):
    """No gradient passes from the decoder to the code: the encoder is pulled to ``y_hat = 2 y - f(x')`` (eq. 3.7).

    Encoder and decoder are each other's approximate inverse, and the pull is the squared error to y_hat. The target
    sees the observation through the logits only, so it means something only where these are the encoder's own.
    """

    claim = Claim("Nitta 2017; Lee et al. 2015", unbiased=False, relaxed=False, evaluations=1)
    ignores = AutoEncoder.ignores
    latent_family = AutoEncoder.latent_family

    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        model = objective.model_with("predict", "encode")
        assert model.encode is not None
        code = logits.detach().sigmoid()
        output = objective.decode(code)
        with torch.no_grad():
            target = 2 * code - model.encode(model.predict(output)).sigmoid()
            pull = 2 * (code - target) * code * (1 - code)
        loss = objective.loss_of(code, output) + only_gradient(logits, pull, logits.dim() - 2)
        return Estimate(loss, loss.new_zeros(loss.shape[:-1]), code)
