"""Difference target propagation through categorical latents.

F. Nitta: Training a VAE with a discrete latent space. Bachelor thesis, 2017 (the rule; its section 4.4, eq. 3.7).
D.-H. Lee, S. Zhang, A. Fischer, Y. Bengio: Difference Target Propagation. ECML 2015, arXiv 1412.7525 (learned inverse).

A hard sample z is decoded to a prediction x'. No gradient passes from the decoder to the latents; the encoder gets a
target for its probabilities pi from an approximate inverse g of the decoder, corrected by the difference:

    pi_hat = y + t - g(x'),          loss ||pi - pi_hat||^2 with pi_hat held fixed.

With the encoder as its own inverse (g = f, the auto-encoder form of eq. 3.7) t = y, so pi_hat = 2 y - f(x'). With a
learned inverse t = g(x), the image of the output target, the observation itself. The gradient in the logits is
2 J (pi - pi_hat), J = diag(pi) - pi pi^T. pi_hat may leave the simplex. The thesis' target sees the
observation through the logits only, so it means something only where these are the encoder's own, f(x).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Self, get_args

import torch
from torch import Tensor, nn

from discrete_vae.categorical import hard_sample, softmax
from discrete_vae.errors import InputError, check_types, nearest
from discrete_vae.noise import Noise
from discrete_vae.schedules import Schedule
from discrete_vae.strategies.base import (
    Claim,
    Estimate,
    Objective,
    Strategy,
    per_member,
    register_hyperparameter,
    with_gradient_of,
)

Inverse = Literal["encoder", "network"]
Code = Literal["probabilities", "sample"]
Feedback = Literal["mean", "sample"]


@dataclass(frozen=True)
class TargetPropagationOptions:
    """Hyper-parameters of target propagation; the defaults are the thesis' rule, which wants a small beta."""

    inverse: Inverse = "encoder"
    """Approximate inverse of the decoder: the encoder itself (thesis) or a learned network (Lee et al.)."""
    code: Code = "probabilities"
    """What y in eq. 3.7 stands for: the encoder's probabilities or the one-hot sample that was decoded."""
    feedback: Feedback = "mean"
    """What the inverse is shown: the predicted mean x' or a Bernoulli sample of it."""
    noise: Schedule = Schedule(0.1)
    """Standard deviation of the noise on the code that a learned inverse trains with; no other inverse reads it."""

    def __post_init__(self) -> None:
        check_types(self)
        for name, kind in (("inverse", Inverse), ("code", Code), ("feedback", Feedback)):
            if getattr(self, name) not in get_args(kind):
                raise nearest(getattr(self, name), get_args(kind), name)


class TargetPropagation(Strategy):
    """The encoder is pulled to pi_hat; the decoder learns from the hard sample.

    ``inverse`` maps an observation to logits and trains on ``auxiliary``; None stands for the objective's own
    ``encode``, as in the thesis. The objective has to offer ``observation``, ``predict`` and ``encode``.
    """

    claim: Claim = Claim("Nitta 2017; Lee et al. 2015", unbiased=False, relaxed=False, evaluations=1)
    Options = TargetPropagationOptions
    noise: Tensor

    def __init__(
        self,
        inverse: nn.Module | None = None,
        code: Code = "probabilities",
        feedback: Feedback = "mean",
        noise: float | Tensor = 0.1,
    ) -> None:
        super().__init__()
        self.inverse, self.code, self.feedback = inverse, code, feedback
        if inverse is not None:
            self.claim = replace(self.claim, evaluations=2)
        register_hyperparameter(self, "noise", noise, minimum=0.0)

    @classmethod
    def build(cls, options: TargetPropagationOptions, encoder: Callable[[], nn.Module]) -> Self:
        return cls({"encoder": lambda: None, "network": encoder}[options.inverse](), options.code, options.feedback)

    def forward(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        if objective.observation is None or objective.predict is None or objective.encode is None:
            raise InputError("target propagation needs an objective with observation, predict and encode")
        sample = hard_sample(logits, noise.gumbel(logits.shape, torch.promote_types(logits.dtype, torch.float32)))
        output = objective.decode(sample)
        probabilities = softmax(logits)
        with torch.no_grad():
            prediction = objective.predict(output)
            if self.feedback == "sample":
                prediction = (noise.uniform(prediction.shape) < prediction).to(prediction.dtype)
            code = probabilities if self.code == "probabilities" else sample
            if self.inverse is None:
                target = 2 * code - softmax(objective.encode(prediction))
            else:
                both = torch.cat([objective.observation.expand_as(prediction), prediction], -2)
                aim, image = self.inverse(both).chunk(2, -3)
                target = code + softmax(aim) - softmax(image)
        pull = (probabilities - target).square().sum((-1, -2))
        loss = with_gradient_of(objective.loss(output), pull)
        return Estimate(loss, self._inverse_loss(sample, objective, noise), sample)

    def _inverse_loss(self, sample: Tensor, objective: Objective, noise: Noise) -> Tensor:
        """||g(D(h + e)) - (h + e)||^2 with e ~ N(0, noise^2), mean over the batch (Lee et al., section 2.2)."""
        if self.inverse is None:
            return sample.new_zeros(sample.shape[:-3])
        assert objective.predict is not None
        with torch.no_grad():
            noisy = sample + per_member(self.noise, sample) * noise.normal(sample.shape, sample.dtype)
            prediction = objective.predict(objective.decode(noisy))
        error: Tensor = softmax(self.inverse(prediction)) - noisy
        return error.square().sum((-1, -2)).mean(-1)
