"""The strategy that the parts make up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Self

import torch
from torch import Tensor, nn

from discrete_vae.backbones.stack import Stack
from discrete_vae.errors import InputError
from discrete_vae.latents.categorical import hard_sample, jacobian_product, softmax
from discrete_vae.latents.noise import Noise
from discrete_vae.schedules import Schedule
from discrete_vae.strategies.autograd import only_gradient
from discrete_vae.strategies.base import (
    Claim,
    Estimate,
    NetworkFactory,
    kl_term_gradient,
    register_hyperparameter,
)
from discrete_vae.strategies.bound import Samples, bound, bound_change
from discrete_vae.strategies.hyperparameters import per_member
from discrete_vae.strategies.objective import Model, Objective
from discrete_vae.strategies.responses import second_order
from discrete_vae.strategies.target_propagation import geometries
from discrete_vae.strategies.target_propagation.diagnostics import diagnose
from discrete_vae.strategies.target_propagation.feedback import LayerwiseFeedback
from discrete_vae.strategies.target_propagation.geometries import GEOMETRIES, PAPERS, Difference, LatentState
from discrete_vae.strategies.target_propagation.inverses import (
    Activations,
    DecodePass,
    EncoderInverse,
    Inverse,
    LearnedInverse,
    NoiseScales,
)
from discrete_vae.strategies.target_propagation.local import local_losses
from discrete_vae.strategies.target_propagation.options import (
    CHECKS,
    FEEDBACK,
    INVERSES,
    Code,
    Feedback,
    InverseName,
    TargetPropagationOptions,
)
from discrete_vae.strategies.targets import TargetStrategy


class TargetPropagation(TargetStrategy):
    """The encoder is pulled to a target; the decoder learns from the hard sample.

    ``inverse`` and ``geometry`` are the parts of this package. The objective has to have a ``model`` with
    ``observation`` and ``encode``, for layerwise feedback ``decoder``, and for ``local`` training ``encoder`` as well,
    beside ``kl_term``. In a bound over several samples each has a target of its own: its output target is nearer to its
    prediction by its weight in the bound. An inverse without layers adds nothing to the gradient of ``log q / p``,
    which is known.

    Raises ``InputError`` for parts that do not fit each other, and for an objective that lacks what they need.
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
        self.inverse = EncoderInverse() if inverse is None else inverse
        if not isinstance(self.inverse, Inverse):
            raise InputError(
                f"inverse is {inverse!r}; give an Inverse, such as WeightMirror(weights) of "
                "discrete_vae.strategies.target_propagation; names are those of the command line"
            )
        kind: InverseName = "random" if self.inverse.layerwise else "encoder"  # the plainest of its kind
        TargetPropagationOptions(kind, code=code, feedback=feedback, geometry=geometry)
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

    @property
    def differentiates(self) -> bool:  # type: ignore[override]
        return self.inverse.layerwise

    @classmethod
    def build(cls, options: TargetPropagationOptions, networks: NetworkFactory) -> Self:
        inverse: Inverse
        if options.inverse in FEEDBACK:
            below = _weights(networks.encoder().network, "encoder")[1:] if options.local else []  # type: ignore[arg-type]
            inverse = FEEDBACK[options.inverse](_weights(networks.decoder(), "decoder"), below)
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
    def idle(cls, options: TargetPropagationOptions, latents: int, categories: int) -> frozenset[str]:
        idle = {"noise", "output_noise", "feedback_steps", "warmup", "auxiliary_learning_rate"}
        idle -= INVERSES[options.inverse].reads
        return frozenset(idle if options.geometry == "second-order" else {*idle, "temperature"})

    @classmethod
    def needs(cls, options: TargetPropagationOptions) -> frozenset[str]:
        return frozenset({"layered"} if INVERSES[options.inverse].layerwise else ())

    @classmethod
    def papers(cls, options: TargetPropagationOptions) -> str:
        cited = (cls.claim.paper, INVERSES[options.inverse].paper, PAPERS.get(options.geometry, ""))
        return "; ".join(filter(None, dict.fromkeys(cited)))

    @classmethod
    def check(
        cls, options: TargetPropagationOptions, learning_rate: Schedule, auxiliary_learning_rate: Schedule
    ) -> None:
        if options.inverse == "mirror" and auxiliary_learning_rate != learning_rate:
            raise InputError(
                f"auxiliary learning rate is {auxiliary_learning_rate}; a mirror takes its layers' own steps and needs "
                f"their learning rate: give it {learning_rate} too"
            )

    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        decoded, loss = self.decode(logits, objective, noise)
        difference, _, pull = self.pull(decoded)
        pull = pull + self.rest(decoded, difference)
        loss = loss + only_gradient(logits, objective.join(pull), logits.dim() - 2)
        pieces, strategy_loss = self.learn(decoded, difference, pull, noise)
        return Estimate(
            loss + sum(objective.summed(each) for each in pieces), strategy_loss, objective.join(decoded.sample)
        )

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
        assert isinstance(self.inverse, LayerwiseFeedback)
        pieces, own = local_losses(self.inverse, decoded, difference, pull, levels, self.feedback_steps)
        return pieces, strategy_loss + own

    def decode(self, logits: Tensor, objective: Objective, noise: Noise) -> tuple[DecodePass, Tensor]:
        """Draw and decode a sample; also gives its loss, from which the decoder learns."""
        model = objective.model_with(*self.inverse.needs, *(("observation", "encoder") if self.local else ()))
        samples = objective.samples
        if self.local and objective.kl_term is None and samples is None:
            raise InputError("layer-local training needs an objective with kl_term; give it, for no KL zeros [..., B]")
        if self.inverse.layerwise and self.feedback == "sample" and not model.canonical:
            raise InputError(
                "feedback 'sample' beside layerwise feedback needs a canonical loss, such as a Bernoulli likelihood's; "
                "leave feedback at 'mean', or give Model(canonical=True) where the derivative in the output is the "
                "prediction less the observation"
            )
        sample = hard_sample(logits, noise.gumbel(logits.shape, torch.promote_types(logits.dtype, torch.float32)))
        sample, logits = objective.split(sample), objective.split(logits)
        flow, one = None, objective if samples is None else samples.each
        if self.inverse.layerwise:
            assert model.decoder is not None
            taken, given = model.decoder.trace(sample.flatten(-2))
            copies = 1 if samples is None else samples.count
            flow = Activations(model.decoder, list(model.decoder.layers), taken, given, copies)
            output = given[-1].to(torch.promote_types(given[-1].dtype, torch.float32))
        else:
            output = one.decode(sample)
        own: Tensor | float = 0.0
        losses = None
        if samples is None:
            loss, error, direct = self._loss(objective, model, sample, output)
        else:
            loss, error, direct, own, losses = self._bound(samples, sample, output)
        prediction = aim = None
        with torch.no_grad():
            if flow is None or self.feedback == "sample":
                prediction = model.predict(output)
                aim = _aim(objective, model, prediction, error)
                if self.feedback == "sample":
                    prediction = (noise.uniform(prediction.shape) < prediction).to(prediction.dtype)
                if losses is not None and model.observation is not None:  # a sample counts by its weight
                    aim = prediction.lerp(aim, _weights_of(losses).unsqueeze(-1).to(prediction.dtype))
                if flow is not None:
                    error = aim - prediction
                elif self.output_target != 1:
                    aim = prediction.lerp(aim, self.output_target)
            code = softmax(logits) if self.code == "probabilities" else sample
        share = self.output_target
        return DecodePass(
            one, model, logits.detach(), code, sample, prediction, aim, error, flow, direct, own, losses, share
        ), loss

    def _loss(
        self, objective: Objective, model: Model, sample: Tensor, output: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """The loss, and how output and sample should change for it to fall.

        The change of the sample is for networks that see it beside the decoder. Where the observation decides the whole
        target, neither is computed.
        """
        if not self.inverse.layerwise and model.observation is not None and objective.deeper_loss is None:
            return objective.loss_of(sample, output), None, None
        with torch.enable_grad():
            seen = sample.detach().requires_grad_()
            output = output if output.requires_grad else output.detach().requires_grad_()
            loss = objective.loss_of(seen, output)
            error, direct = torch.autograd.grad(loss.sum(), (output, seen), retain_graph=True, allow_unused=True)
        if direct is not None and not self.inverse.layerwise:
            raise InputError(
                "several layers, or a critic, look at one sample; give an inverse by layerwise feedback, such as mirror"
            )
        return loss, torch.zeros_like(output) if error is None else -error, None if direct is None else -direct

    def _bound(
        self, samples: Samples, sample: Tensor, output: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor | float, Tensor]:
        """The same for a bound, with its own gradient in the logits and the losses of its samples ``[..., B, S]``.

        The own gradient is for layer-local training, and 0 elsewhere.
        """
        with torch.enable_grad():
            seen = sample.detach().requires_grad_()
            output = output if output.requires_grad else output.detach().requires_grad_()
            losses = samples.losses(seen, output)
            loss = bound(losses, -1)
            local = self.local and samples.logits.requires_grad
            inputs = [output, seen, *([samples.logits] if local else [])]
            error, direct, *own = torch.autograd.grad(loss.sum(), inputs, retain_graph=True, allow_unused=True)
        found = samples.split(own[0]) if local and own[0] is not None else 0.0
        return loss, error.neg(), None if direct is None else direct.neg(), found, losses.detach()

    @torch.no_grad()
    def pull(self, decoded: DecodePass) -> tuple[Difference, Tensor, Tensor]:
        """What the inverse sees, the target, and the gradient in the logits that pulls there: ``[..., B, N, K]``.

        Where a signal is clipped, the pull is shortened as the signal is, in every geometry.
        """
        difference = self.inverse.difference(decoded)
        step, temperature = (per_member(value, decoded.logits) for value in (self.step, self.temperature))
        probabilities = softmax(decoded.logits)
        costs = partial(self.costs, decoded)
        point = LatentState(decoded.logits, probabilities, decoded.code, decoded.sample, step, temperature, costs)
        target, pull = self.geometry(point, difference)
        if self.clip:
            length = difference.logit_difference.norm(dim=-1, keepdim=True)
            kept = (self.clip / length.clamp_min(self.clip)).to(difference.logit_difference.dtype)
            target_code = difference.prediction_code + kept * (difference.target_code - difference.prediction_code)
            difference = replace(
                difference, target_code=target_code, logit_difference=kept * difference.logit_difference, kept=kept
            )
            target, pull = self.geometry(point, difference)[0], kept * pull
        if decoded.direct is not None and not self.inverse.layerwise:
            pull = pull - jacobian_product(probabilities, decoded.direct)
        return difference, target, pull

    @staticmethod
    def costs(decoded: DecodePass, signal: Tensor) -> Tensor:
        """Costs of moving each variable to each category, by a Gauss-Newton model of the decoder."""
        second = second_order(decoded.objective, decoded.sample, decoded.flow.outputs if decoded.flow else [])
        if decoded.losses is None:
            return second - signal
        # The signal is that of the bound, in which a sample's own counts by its weight.
        weights = _weights_of(decoded.losses)[..., None, None].clamp_min(torch.finfo(signal.dtype).tiny)
        first = ((decoded.sample * signal).sum(-1, keepdim=True) - signal) / weights
        change = torch.unflatten(first + second, -3, decoded.losses.shape[-2:])
        return bound_change(decoded.losses, change).flatten(-4, -3)

    @staticmethod
    def rest(decoded: DecodePass, difference: Difference) -> Tensor | float:
        """A gradient that shortens the KL term's, which the task adds, as clipping shortens the pull."""
        if difference.kept is None:
            return 0.0
        return (difference.kept - 1) * kl_term_gradient(decoded.objective, decoded.logits)

    def diagnose(self, logits: Tensor, objective: Objective, noise: Noise) -> dict[str, Tensor]:
        def draw() -> tuple[DecodePass, Difference, Tensor, Tensor]:
            decoded, _ = self.decode(logits, objective, noise)
            return decoded, *self.pull(decoded)

        return {} if objective.model is None else diagnose(self.inverse, draw, logits, objective, noise)


def _weights_of(losses: Tensor) -> Tensor:
    """Weight of each sample in a bound of losses ``[..., B, S]``: ``[..., B S]``."""
    return (-losses).softmax(-1).flatten(-2)


def _aim(objective: Objective, model: Model, prediction: Tensor, error: Tensor | None) -> Tensor:
    """The target of a mean prediction: the observation, or without one or with layers behind, itself plus its error."""
    if model.observation is not None and objective.deeper_loss is None:
        return model.observation
    assert error is not None
    if error.shape != prediction.shape:
        raise InputError(
            f"the output has {error.shape[-1]} numbers for a prediction of {prediction.shape[-1]}, so its error is no "
            "target; give an objective with observation, or an inverse by layerwise feedback, such as mirror"
        )
    return prediction + error


def _weights(network: nn.Module, whose: str) -> list[Tensor]:
    """The weights of each layer. Raises ``InputError`` for a network whose layers cannot be used singly."""
    if not isinstance(network, Stack):
        raise InputError(
            f"layerwise feedback looks at the {whose}'s layers, which {type(network).__name__} does not offer; give a "
            "backbone of layers, mlp or conv, or inverse encoder or network"
        )
    return [layer.weight for layer in network.layers]  # type: ignore[misc]
