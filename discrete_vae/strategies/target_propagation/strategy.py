"""The strategy that the parts make up."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, Self, get_args

import torch
from torch import Tensor

from discrete_vae.backbones.mlp import MLP
from discrete_vae.errors import InputError, check_range, check_types, nearest
from discrete_vae.latents.categorical import hard_sample, softmax
from discrete_vae.latents.noise import Noise
from discrete_vae.schedules import Schedule
from discrete_vae.strategies.base import (
    Claim,
    Estimate,
    NetworkFactory,
    Strategy,
    kl_term_gradient,
    only_gradient,
    register_hyperparameter,
)
from discrete_vae.strategies.hyperparameters import per_member
from discrete_vae.strategies.objective import Model, Objective
from discrete_vae.strategies.target_propagation import geometries
from discrete_vae.strategies.target_propagation.diagnostics import diagnose
from discrete_vae.strategies.target_propagation.feedback import (
    DifferenceReconstruction,
    LayerwiseFeedback,
    LocalDifferenceReconstruction,
    WeightMirror,
    WeightProbe,
    carry,
)
from discrete_vae.strategies.target_propagation.geometries import GEOMETRIES, Difference, LatentState
from discrete_vae.strategies.target_propagation.inverses import (
    Activations,
    DecodePass,
    EncoderInverse,
    Inverse,
    LearnedInverse,
    NoiseScales,
)

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
    """Hyper-parameters of target propagation; the defaults are the thesis' rule, which wants a small beta."""

    inverse: InverseName = "encoder"
    """Approximate inverse of the decoder: the encoder itself (thesis), a learned network (Lee et al.), or layerwise
    feedback: trained by DRL (Meulemans et al.), by L-DRL (Ernoult et al.), a weight mirror (Akrout et al.), only its
    probes, or random (Shibuya et al.). A mirror wants the learning rate as auxiliary learning rate, and a warmup."""
    code: Code = "probabilities"
    """What y in eq. 3.7 stands for: the encoder's probabilities or the one-hot sample that was decoded."""
    feedback: Feedback = "mean"
    """What the inverse is shown: the predicted mean x' or a Bernoulli sample of it."""
    noise: Schedule = Schedule(0.1)
    """Standard deviation of the noise on the code or, for DRL and L-DRL, on each layer's input; no other reads it."""
    output_noise: Schedule = Schedule(0.1)
    """The same on each layer's output, for DRL, where it damps, and L-DRL."""
    geometry: geometries.Name = "euclidean"
    """How the difference moves the code on the simplex."""
    step: Schedule = Schedule(1.0)
    """alpha, how far along the difference the target lies; beside a nearer target beta weighs more."""
    temperature: Schedule = Schedule(1.0)
    """Temperature of the probabilities in the middle of the second-order geometry."""
    output_target: float = 1.0
    """eta, how far from the prediction to the observation the output target lies: 1 is the observation itself. It
    shortens the code's signal, beside which beta weighs more, and nothing else."""
    feedback_steps: int = 1
    """Draws of noise that a learned inverse trains with on each batch; a mirror is corrected after each."""
    warmup: int = 0
    """Steps that a learned inverse takes, on the first images, before the model's first."""
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
        _check(self.code, self.geometry)


class TargetPropagation(Strategy):
    """The encoder is pulled to a target; the decoder learns from the hard sample.

    ``inverse`` and ``geometry`` are the parts of this package. The objective has to have a ``model`` with
    ``observation`` and ``encode``, for layerwise feedback ``decoder``, and for ``local`` training ``encoder`` as well,
    beside ``kl_term``.
    """

    claim: Claim = Claim(EncoderInverse.paper, unbiased=False, relaxed=False, evaluations=1)
    Options = TargetPropagationOptions
    ignores = frozenset()
    checks = CHECKS
    noise: Tensor
    output_noise: Tensor
    step: Tensor
    temperature: Tensor

    def __init__(
        self,
        inverse: Inverse | None = None,
        geometry: geometries.Name = "euclidean",
        *,
        code: Code = "probabilities",
        feedback: Feedback = "mean",
        noise: float | Tensor = 0.1,
        output_noise: float | Tensor = 0.1,
        step: float | Tensor = 1.0,
        temperature: float | Tensor = 1.0,
        output_target: float = 1.0,
        feedback_steps: int = 1,
        warmup: int = 0,
        clip: float = 0.0,
        local: bool = False,
    ) -> None:
        super().__init__()
        TargetPropagationOptions(code=code, feedback=feedback, geometry=geometry)
        self.inverse = EncoderInverse() if inverse is None else inverse
        if local and not self.inverse.layerwise:
            raise InputError(f"local training needs layerwise feedback, not {type(self.inverse).__name__}")
        self.geometry, self.code, self.feedback = GEOMETRIES[geometry], code, feedback
        self.output_target, self.clip, self.local = output_target, clip, local
        self.uses_model_optimiser = self.inverse.uses_model_optimiser
        self.feedback_steps, self.warmup = feedback_steps, warmup
        self.claim = replace(
            self.claim, paper=self.inverse.paper, evaluations=1 + self.inverse.evaluations * feedback_steps
        )
        for name, value in (("noise", noise), ("output_noise", output_noise), ("step", step)):
            register_hyperparameter(self, name, value, minimum=0.0)
        register_hyperparameter(self, "temperature", temperature)

    @property
    def rescales(self) -> bool:  # type: ignore[override]
        return self.clip > 0

    @classmethod
    def build(cls, options: TargetPropagationOptions, networks: NetworkFactory) -> Self:
        inverse: Inverse
        if options.inverse in FEEDBACK:
            below = _weights(networks.encoder().network)[1:] if options.local else []  # type: ignore[arg-type]
            inverse = FEEDBACK[options.inverse](_weights(networks.decoder()), below)
        else:
            inverse = EncoderInverse() if options.inverse == "encoder" else LearnedInverse(networks.encoder())
        return cls(
            inverse,
            options.geometry,
            code=options.code,
            feedback=options.feedback,
            output_target=options.output_target,
            feedback_steps=options.feedback_steps,
            warmup=options.warmup,
            clip=options.clip,
            local=options.local,
        )

    @classmethod
    def revision(cls, options: TargetPropagationOptions) -> int:
        # 1: clipping shortens the KL's gradient too, and a nearer output target the code's signal alone.
        return int(options.clip > 0 or (options.output_target != 1 and options.inverse in FEEDBACK))

    @classmethod
    def rescaled_by(cls, options: TargetPropagationOptions) -> str | None:
        return "clip" if options.clip else None

    @classmethod
    def idle(cls, options: TargetPropagationOptions) -> frozenset[str]:
        idle = {"noise", "output_noise", "feedback_steps", "warmup", "auxiliary_learning_rate"}
        idle -= INVERSES[options.inverse].reads
        return frozenset(idle if options.geometry == "second-order" else {*idle, "temperature"})

    @classmethod
    def papers(cls, options: TargetPropagationOptions) -> str:
        inverse = INVERSES[options.inverse]
        return "; ".join(dict.fromkeys((cls.claim.paper, inverse.paper)))

    @classmethod
    def check(
        cls, options: TargetPropagationOptions, learning_rate: Schedule, auxiliary_learning_rate: Schedule
    ) -> None:
        if options.inverse == "mirror" and auxiliary_learning_rate != learning_rate:
            raise InputError(
                f"auxiliary learning rate is {auxiliary_learning_rate}; a mirror takes its layers' own steps and needs "
                f"their learning rate, {learning_rate}"
            )

    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        decoded, loss = self.decode(logits, objective, noise)
        difference, _, pull = self.pull(decoded)
        pull = pull + self.rest(decoded, difference)
        loss = loss + only_gradient(logits, pull, logits.dim() - 2)
        pieces, strategy_loss = self.learn(decoded, difference, pull, noise)
        return Estimate(loss + sum(pieces), strategy_loss, decoded.sample)

    def prepare(self, logits: Tensor, objective: Objective, noise: Noise, descend: Callable[[Tensor], None]) -> None:
        for _ in range(self.warmup if self.inverse.prepares else 0):
            decoded, _ = self.decode(logits, objective, noise)
            difference, _, pull = self.pull(decoded)
            pull = pull + self.rest(decoded, difference)
            _, strategy_loss = self.learn(decoded, difference, pull, noise)
            if self.inverse.descends:
                descend(strategy_loss)

    def learn(
        self, decoded: DecodePass, difference: Difference, pull: Tensor, noise: Noise
    ) -> tuple[list[Tensor], Tensor]:
        """Losses of the model's hidden layers, where these have their own, and that of the inverse."""
        levels = NoiseScales(noise, self.noise, self.output_noise)
        steps = [self.inverse.loss(decoded, difference, levels) for _ in range(self.feedback_steps)]
        strategy_loss = torch.stack(steps).mean(0)
        if not self.local:
            return [], strategy_loss
        pieces, own = self.local_losses(decoded, difference, pull, levels)
        return pieces, strategy_loss + own

    def decode(self, logits: Tensor, objective: Objective, noise: Noise) -> tuple[DecodePass, Tensor]:
        """Draw and decode a sample; also gives its loss, from which the decoder learns."""
        model = objective.model_with(*self.inverse.needs, *(("observation", "encoder") if self.local else ()))
        if self.local and objective.kl_term is None:
            raise InputError("layer-local training needs an objective with kl_term; give it, for no KL zeros [..., B]")
        sample = hard_sample(logits, noise.gumbel(logits.shape, torch.promote_types(logits.dtype, torch.float32)))
        flow = None
        if self.inverse.layerwise:
            assert model.decoder is not None
            taken, given = model.decoder.trace(sample.flatten(-2))
            flow = Activations(model.decoder, list(model.decoder.layers), taken, given)
            output = given[-1].to(torch.promote_types(given[-1].dtype, torch.float32))
        else:
            output = objective.decode(sample)
        loss, aim, direct = self._aim(objective, model, sample, output)
        with torch.no_grad():
            prediction = model.predict(output)
            if self.feedback == "sample":
                prediction = (noise.uniform(prediction.shape) < prediction).to(prediction.dtype)
            if self.output_target != 1 and flow is None:
                aim = prediction.lerp(aim, self.output_target)
            code = softmax(logits) if self.code == "probabilities" else sample
        share = self.output_target
        return DecodePass(objective, model, logits.detach(), code, sample, prediction, aim, flow, direct, share), loss

    def _aim(
        self, objective: Objective, model: Model, sample: Tensor, output: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """The loss, where the prediction should be, and how the sample should change for the layers that look at it.

        Where there is no observation, or layers are behind, the output's error is minus the gradient in it, which for
        a Bernoulli likelihood is the observation less the prediction.
        """
        if model.observation is not None and objective.deeper_loss is None:
            return objective.loss_of(sample, output), model.observation, None
        with torch.enable_grad():
            seen = sample.detach().requires_grad_()
            output = output if output.requires_grad else output.detach().requires_grad_()
            loss = objective.loss_of(seen, output)
            error, direct = torch.autograd.grad(loss.sum(), (output, seen), retain_graph=True, allow_unused=True)
        if direct is not None and not self.inverse.layerwise:
            raise InputError(
                "several layers, or a critic, look at one sample; give an inverse by layerwise feedback, such as mirror"
            )
        prediction = model.predict(output.detach())
        return loss, prediction if error is None else prediction - error, None if direct is None else -direct

    @torch.no_grad()
    def pull(self, decoded: DecodePass) -> tuple[Difference, Tensor, Tensor]:
        """What the inverse sees, the target, and the gradient in the logits that pulls there: ``[..., B, N, K]``.

        Where a signal is clipped, the pull is shortened as the signal is, in every geometry.
        """
        difference = self.inverse.difference(decoded)
        step, temperature = (per_member(value, decoded.logits) for value in (self.step, self.temperature))
        probabilities = softmax(decoded.logits)
        point = LatentState(decoded.logits, probabilities, decoded.code, decoded.sample, step, temperature)
        target, pull = self.geometry(point, difference)
        if self.clip:
            length = difference.logit_difference.norm(dim=-1, keepdim=True)
            kept = (self.clip / length.clamp_min(self.clip)).to(difference.logit_difference.dtype)
            target_code = difference.prediction_code + kept * (difference.target_code - difference.prediction_code)
            difference = replace(
                difference, target_code=target_code, logit_difference=kept * difference.logit_difference, kept=kept
            )
            target, pull = self.geometry(point, difference)[0], kept * pull
        return difference, target, pull

    @staticmethod
    def rest(decoded: DecodePass, difference: Difference) -> Tensor | float:
        """What shortens the KL term's gradient, which the task adds, as clipping shortens the pull."""
        if difference.kept is None:
            return 0.0
        return (difference.kept - 1) * kl_term_gradient(decoded.objective, decoded.logits)

    def local_losses(
        self, decoded: DecodePass, difference: Difference, pull: Tensor, levels: NoiseScales
    ) -> tuple[list[Tensor], Tensor]:
        """A loss ``[..., B]`` of value 0 for every hidden layer, decoder first, and that of the encoder's feedback.

        The gradient of each is its layer's own: the encoder's last layer learns from the pull, the decoder's from the
        objective.
        """
        encoder, observation = decoded.model.encoder, decoded.model.observation
        assert isinstance(self.inverse, LayerwiseFeedback)
        assert decoded.flow is not None
        assert encoder is not None
        assert observation is not None
        if not encoder.cut or not decoded.flow.network.cut:
            raise InputError("layer-local training needs networks that are cut; see VAE.cut")
        taken, given = encoder.trace(observation.expand(*decoded.logits.shape[:-2], -1))
        above = list(encoder.layers)[1:]
        flow = Activations(encoder, above, taken[1:], given[1:])
        top = -(pull + kl_term_gradient(decoded.objective, decoded.logits)).flatten(-2)
        if not above:  # one layer, which the pull and the KL term train
            signals = [top]
        else:
            with torch.no_grad():
                signals, below = carry(self.inverse.weights("encoder"), flow.slopes(), top)
                signals = [below * encoder.slope(given[0]), *signals]
        hidden = zip([*decoded.flow.outputs[:-1], *given[:-1]], [*difference.layers[:-1], *signals[:-1]], strict=True)
        losses = [only_gradient(outputs, -signal, outputs.dim() - 1) for outputs, signal in hidden]
        if not above:
            return losses, top.new_zeros(top.shape[:-2])
        weights = self.inverse.weights("encoder")
        steps = [self.inverse.learn(weights, flow, signals[1:], levels) for _ in range(self.feedback_steps)]
        return losses, torch.stack(steps).mean(0)

    def diagnose(self, logits: Tensor, objective: Objective, noise: Noise) -> dict[str, Tensor]:
        return {} if objective.model is None else diagnose(self, logits, objective, noise)


def _weights(network: MLP) -> Sequence[Tensor]:
    return [layer.weight for layer in network.layers]  # type: ignore[misc]


def _check(code: str, geometry: str) -> None:
    if code == "sample" and geometry not in ("euclidean", "matching"):
        raise InputError(f"geometry {geometry!r} corrects probabilities, not the sample; leave code at 'probabilities'")
