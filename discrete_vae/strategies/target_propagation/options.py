"""Hyper-parameters of target propagation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

from discrete_vae.errors import InputError, check_range, check_types, nearest
from discrete_vae.schedules import Schedule
from discrete_vae.strategies.target_propagation import geometries
from discrete_vae.strategies.target_propagation.feedback import (
    DifferenceReconstruction,
    LayerwiseFeedback,
    LocalDifferenceReconstruction,
    WeightMirror,
    WeightProbe,
)
from discrete_vae.strategies.target_propagation.inverses import EncoderInverse, Inverse, LearnedInverse

InverseName = Literal["encoder", "network", "drl", "l-drl", "mirror", "probes", "random"]
Code = Literal["probabilities", "sample"]
Feedback = Literal["mean", "sample"]

FEEDBACK: dict[str, type[LayerwiseFeedback]] = {
    "drl": DifferenceReconstruction,
    "l-drl": LocalDifferenceReconstruction,
    "mirror": WeightMirror,
    "probes": WeightProbe,
    "random": LayerwiseFeedback,
}
INVERSES: dict[str, type[Inverse]] = {"encoder": EncoderInverse, "network": LearnedInverse, **FEEDBACK}


def _check_output_target(share: float) -> None:
    if not 0 < share <= 1:
        raise InputError(f"output target is {share}; give a share above 0, up to 1, the observation")


def _check_clip(length: float) -> None:
    if not 0 <= length < math.inf:
        raise InputError(f"clip is {length}; give a length above 0, or 0 for none")


CHECKS: dict[str, Callable[[Any], None]] = {
    "output_target": _check_output_target,
    "feedback_steps": partial(check_range, "feedback steps", least=1, most=1000),
    "warmup": partial(check_range, "warmup", least=0, most=100_000),
    "clip": _check_clip,
}


@dataclass(frozen=True)
class TargetPropagationOptions:
    """Hyper-parameters of target propagation; the defaults are the thesis' rule, which needs a small beta.

    Raises ``InputError`` for a value out of range, and for parts that do not fit each other.
    """

    inverse: InverseName = "encoder"
    """Approximate inverse of the decoder: the encoder itself (thesis), a learned network (Lee et al.), or layerwise
    feedback: trained by DRL (Meulemans et al.), by L-DRL (Ernoult et al.), a weight mirror (Akrout et al.), only its
    probes, or random (Shibuya et al.). A mirror needs the learning rate as auxiliary learning rate, and a warmup."""
    code: Code = "probabilities"
    """y of eq. 3.7: the encoder's probabilities, or the one-hot sample that was decoded."""
    feedback: Feedback = "mean"
    """Input of the inverse: the predicted mean x', or a Bernoulli sample of it."""
    noise: Schedule = Schedule(0.1)
    """Standard deviation of the noise on the code or, for DRL and L-DRL, on each layer's input; no other reads it."""
    output_noise: Schedule = Schedule(0.1)
    """Standard deviation of the noise on each layer's output, for DRL, where it damps, and L-DRL."""
    geometry: geometries.Name = "euclidean"
    """How the difference moves the code on the simplex."""
    step: Schedule = Schedule(1.0)
    """alpha, how far along the difference the target lies; with a nearer target beta weighs more."""
    temperature: Schedule = Schedule(1.0)
    """Temperature of the probabilities in the middle of the second-order geometry."""
    output_target: float = 1.0
    """eta, how far from the prediction to the observation the output target lies: 1 is the observation itself. It only
    shortens the code's signal, against which beta then weighs more."""
    feedback_steps: int = 1
    """Draws of noise that a learned inverse trains with on each batch; a mirror is corrected after each."""
    warmup: int = 0
    """Steps of a learned inverse, on the first images, before the model's first step."""
    clip: float = 0.0
    """Longest signal of a latent variable, beyond which its whole gradient is shortened, the KL's too; 0 for none."""
    local: bool = False
    """Whether every layer of encoder and decoder has its own target, and no gradient crosses a layer."""

    def __post_init__(self) -> None:
        check_types(self)
        choices = (("inverse", InverseName), ("code", Code), ("feedback", Feedback), ("geometry", geometries.Name))
        for name, kind in choices:
            if getattr(self, name) not in get_args(kind):
                raise nearest(getattr(self, name), get_args(kind), name)
        self.temperature.require_positive("temperature")
        for name, check in CHECKS.items():
            check(getattr(self, name))
        if self.local and self.inverse not in FEEDBACK:
            raise InputError(f"local training needs layerwise feedback, not {self.inverse!r}: {', '.join(FEEDBACK)}")
        if self.inverse in ("drl", "l-drl"):  # whose losses have no minimum without
            self.noise.require_positive("noise")
            self.output_noise.require_positive("output noise")
        if self.inverse == "mirror" and self.feedback == "sample":
            raise InputError("a mirror takes its layers' own steps, which follow the mean x'; leave feedback at 'mean'")
        if self.geometry == "gauss-newton" and self.inverse not in FEEDBACK:
            raise InputError(
                f"geometry gauss-newton needs the slope of the loss, which layerwise feedback gives and inverse "
                f"{self.inverse!r} does not: {', '.join(FEEDBACK)}"
            )
        check_code(self.code, self.geometry)


def check_code(code: str, geometry: str) -> None:
    """Raise ``InputError`` for the sample as code with a geometry that corrects probabilities."""
    if code == "sample" and geometry not in ("euclidean", "matching"):
        raise InputError(f"geometry {geometry!r} corrects probabilities, not the sample; leave code at 'probabilities'")
