"""What the oracle tests of target propagation share: two members of a population and their formulas.

a are the logits, ``pi = softmax(a)``, z the sample, x' the prediction and x the observation. Each reference treats one
image and one latent variable at a time, with Jacobians written out as matrices and pulls by automatic differentiation
of the distance to a target that is held fixed.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from discrete_vae.backbones.mlp import MLP
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import Model, NetworkFactory, Objective, TargetPropagation
from tests.strategies.oracles import normal

MEMBERS, BATCH, PIXELS = 2, 5, 7
SHAPES = [(4, 2), (3, 6)]
INVERSES = ["encoder", "network", "random", "probes", "mirror", "l-drl", "drl"]
LAYERWISE = INVERSES[2:]
GEOMETRIES = ["euclidean", "matching", "log-ratio", "aitchison", "fisher-rao", "second-order"]
SCHEDULES = {
    "noise": (0.375, 0.5),
    "output_noise": (0.25, 0.125),
    "step": (0.625, 0.25),
    "temperature": (0.75, 1.5),
}
"""One value a member each."""


class Codes(nn.Module):
    """Observations ``[P, B, D]`` -> logits ``[P, B, N, K]``."""

    def __init__(self, name: str, latents: int, categories: int) -> None:
        super().__init__()
        self.network, self.shape = mlp(name, PIXELS, 10, 11, latents * categories), (latents, categories)

    def forward(self, observation: Tensor) -> Tensor:
        return self.network(observation).unflatten(-1, self.shape)


def mlp(name: str, *sizes: int) -> MLP:
    network = MLP(sizes, "softplus", [seeded(p, name) for p in range(MEMBERS)], "fan-in").double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter *= 2.5  # or all would be nearly linear
    return network


@dataclass
class Problem:
    """Networks, observation and objective of two members."""

    shape: tuple[int, int]
    cut: bool = False
    behind: bool = False
    decoder: MLP = field(init=False)
    encoder: Codes = field(init=False)

    def __post_init__(self) -> None:
        latents, categories = self.shape
        self.decoder = mlp("decoder", latents * categories, 8, 9, PIXELS)
        self.encoder = Codes("encoder", latents, categories)
        self.decoder.cut = self.encoder.network.cut = self.cut
        self.observation = normal("observation", shape=(MEMBERS, BATCH, PIXELS)).sigmoid()
        self.logits = 1.5 * normal("logits", shape=(MEMBERS, BATCH, latents, categories))
        self.tilt = normal("tilt", shape=self.shape)

    def kl_term(self, logits: Tensor) -> Tensor:
        return logits.logsumexp(-1).square().sum(-1) + (self.tilt * logits.sin()).sum((-1, -2))

    def further(self, sample: Tensor, output: Tensor) -> Tensor:
        """What is behind: any function of the sample and the output."""
        return (self.tilt * sample).sum((-1, -2)).sin() + output.sin().sum(-1) / 3

    def objective(self) -> Objective:
        return Objective(
            decode=lambda sample: self.decoder(sample.flatten(-2)),
            loss=lambda output: (F.softplus(output) - self.observation * output).sum(-1),
            model=Model(
                torch.sigmoid, self.observation, self.encoder, self.decoder, self.encoder.network, canonical=True
            ),
            kl_term=self.kl_term,
            deeper_loss=self.further if self.behind else None,
        )


def layers(network: MLP, p: int) -> list[tuple[Tensor, Tensor]]:
    """Weights and biases of one member."""
    return [(layer.weight[p].detach(), layer.bias[p].detach()) for layer in network.layers]  # type: ignore[index]


def passed(affine: list[tuple[Tensor, Tensor]], inputs: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """What each layer takes in and gives out."""
    taken, given = [inputs], []
    for weight, bias in affine:
        given.append(taken[-1] @ weight + bias)
        taken.append((1 + given[-1].exp()).log())
    return taken[:-1], given


def jacobian(weights: list[Tensor], given: list[Tensor], image: int) -> Tensor:
    """``M_0 diag(s_0) M_1 diag(s_1) M_2``, s the slopes of the activations: ``[in, out]``."""
    matrix = weights[-1]
    for weight, outputs in zip(reversed(weights[:-1]), reversed(given[:-1]), strict=True):
        matrix = weight @ torch.diag(outputs[image].sigmoid()) @ matrix
    return matrix


def carried(weights: list[Tensor], given: list[Tensor], error: Tensor) -> Tensor:
    """An error at the top ``[B, out]`` taken down through all of the layers: ``[B, in]``."""
    return torch.stack([jacobian(weights, given, b) @ error[b] for b in range(len(error))])


def signals(weights: list[Tensor], given: list[Tensor], error: Tensor) -> list[Tensor]:
    """How the output of each layer should change for an error at the top."""
    above = [carried(weights[i + 1 :], given[i + 1 :], error) for i in range(len(weights) - 1)]
    return [own * given[i].sigmoid() for i, own in enumerate(above)] + [error]


class Reference:
    """What one member's estimate and its inverse have to be."""

    def __init__(self, problem: Problem, p: int, strategy: TargetPropagation, options: dict[str, Any]) -> None:
        self.problem, self.p, self.options = problem, p, options
        self.noise = Noise([seeded(p, "oracle")])
        self.inverse = options["inverse"]
        self.logits = problem.logits[p].detach()
        self.decoder, self.encoder = layers(problem.decoder, p), layers(problem.encoder.network, p)
        tensors = [*strategy.inverse.parameters(), *strategy.inverse.buffers()]
        self.own = [tensor[p].detach().clone().requires_grad_() for tensor in tensors]
        """Weights and biases of a network; or feedback weights of the decoder, then of the encoder above its first."""

    def schedule(self, name: str) -> float:
        return SCHEDULES[name][self.p]

    @property
    def feedback(self) -> list[Tensor]:
        return [weight.detach() for weight in self.own[: len(self.decoder)]]

    def codes(self, observation: Tensor) -> Tensor:
        """The inverse's logits for an observation, where it is an encoder."""
        affine = self.encoder
        if self.inverse == "network":
            affine = list(zip(self.own[::2], self.own[1::2], strict=True))
        return passed(affine, observation)[1][-1].unflatten(-1, self.problem.shape)

    def draw(self, shape: torch.Size, level: str) -> Tensor:
        return self.schedule(level) * self.noise.normal(shape, torch.float64)

    def decode(self) -> None:
        """Sample, prediction x', output target ``x' + eta (x - x')``; with layers behind ``x' - eta dL/d output``."""
        options, problem, p = self.options, self.problem, self.p
        perturbed = self.logits + self.noise.gumbel(self.logits.shape, torch.float64)
        self.sample = (perturbed == perturbed.max(-1, keepdim=True).values).double()
        at = self.sample.clone().requires_grad_()
        self.taken, self.given = passed(self.decoder, self.sample.flatten(-2))
        output = self.given[-1].clone().requires_grad_()
        observation = problem.observation[p]
        loss = (F.softplus(output) - observation * output).sum(-1)
        self.direct = None
        prediction = output.detach().sigmoid()
        aim = observation
        if problem.behind:
            loss = loss + problem.further(at, output)
            error, direct = torch.autograd.grad(loss.sum(), (output, at))
            aim, self.direct = prediction - error, -direct
        self.loss = loss.detach()
        if options["feedback"] == "sample":
            prediction = (self.noise.uniform(prediction.shape) < prediction).double()
        eta = options["output_target"]
        self.prediction, self.error = prediction, aim - prediction
        self.aim = prediction + eta * self.error

    def difference(self) -> tuple[Tensor, Tensor, Tensor]:
        """Code of the output target, code of the prediction, and the difference of their logits."""
        code = self.logits.softmax(-1) if self.options["code"] == "probabilities" else self.sample
        if self.inverse in LAYERWISE:
            down = carried(self.feedback, self.given, self.error).unflatten(-1, self.problem.shape)
            down = down if self.direct is None else down + self.direct
            down = self.options["output_target"] * (down - down.mean(-1, keepdim=True))
            return code + down, code, down
        image = self.codes(self.prediction).detach()
        if self.inverse == "encoder" and self.options["output_target"] == 1:  # the observation's code is at hand
            return code, image.softmax(-1), self.logits - image
        aim = self.codes(self.aim).detach()
        return aim.softmax(-1), image.softmax(-1), aim - image

    def pull(self) -> Tensor:
        """Gradient in the logits: the geometry's, shortened as the signal is to ``clip``, and the KL term's with it."""
        aim, image, delta = self.difference()
        code = self.logits.softmax(-1) if self.options["code"] == "probabilities" else self.sample
        clip = self.options["clip"]
        result = torch.zeros_like(self.logits)
        at = self.logits.clone().requires_grad_()
        (kl_term,) = torch.autograd.grad(self.problem.kl_term(at).sum(), at)
        for b, n in itertools.product(range(BATCH), range(self.problem.shape[0])):
            length = float(delta[b, n].square().sum().sqrt())
            share = min(1.0, clip / length) if clip else 1.0
            own = (self.logits[b, n], code[b, n], self.sample[b, n])
            result[b, n] = share * self.moved(*own, aim[b, n], image[b, n], delta[b, n])
            result[b, n] += (share - 1) * kl_term[b, n]
        return result

    def moved(self, logits: Tensor, code: Tensor, sample: Tensor, aim: Tensor, image: Tensor, delta: Tensor) -> Tensor:
        """The pull of one latent variable ``[K]``."""
        geometry, alpha = self.options["geometry"], self.schedule("step")
        at = logits.clone().requires_grad_()
        pi = at.softmax(-1)
        if geometry == "euclidean":  # |pi - target|^2
            loss = (pi - (code + alpha * (aim - image))).square().sum()
        elif geometry == "matching":  # of softmax: F(a) - <target, a>, F = log sum exp
            loss = at.logsumexp(-1) - ((code + alpha * (aim - image)) * at).sum()
        elif geometry == "log-ratio":  # KL(target || pi), target = softmax(a + alpha delta)
            loss = -((logits + alpha * delta).softmax(-1) * pi.log()).sum()
        elif geometry == "aitchison":  # |clr pi - clr target|^2
            target = (logits + alpha * delta).softmax(-1).log()
            loss = (pi.log() - pi.log().mean() - target + target.mean()).square().sum()
        elif geometry == "fisher-rao":  # half the squared distance, 2 arccos of sum sqrt(pi target)
            target = transported(image, (image.log() + alpha * delta).softmax(-1), pi.detach())
            loss = (2 * torch.acos((pi.sqrt() * target.sqrt()).sum())).square() / 2
        else:  # -(2 J(q) delta - J(pi) delta / 2)
            q = ((logits / self.schedule("temperature")).softmax(-1) + sample) / 2
            p = logits.softmax(-1)
            middle, mean = (torch.diag(each) - torch.outer(each, each) for each in (q, p))
            return -(2 * middle - mean / 2) @ (alpha * delta)
        return torch.autograd.grad(loss, at)[0]

    def learn(self, depths: list[tuple[list[Tensor], list[Any], list[Tensor], list[Tensor]]]) -> Tensor:
        """The inverse's loss by its paper, mean over the feedback steps; probes also move their weights.

        ``depths`` has for the decoder, and maybe the encoder, feedback weights, layers, what they take and give.
        """
        total = 0 * sum((weight.sum() for weight in self.own), torch.zeros((), dtype=torch.float64))
        for own, affine, taken, given in depths:
            for _ in range(self.options["feedback_steps"]):
                total = total + self.step(own, affine, taken, given) / self.options["feedback_steps"]
        return total

    def step(self, own: list[Tensor], affine: list[Any], taken: list[Tensor], given: list[Tensor]) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        if self.inverse == "network":  # |g(D(z + e)) - (z + e)|^2 (Lee et al. 2015)
            noisy = self.sample + self.draw(self.sample.shape, "noise")
            error = self.codes(passed(affine, noisy.flatten(-2))[1][-1].sigmoid()).softmax(-1) - noisy
            return error.square().sum() / BATCH
        for i, weight in enumerate(own if self.inverse in ("l-drl", "drl", "probes", "mirror") else []):
            matrix, _ = affine[i]
            if self.inverse == "l-drl":  # -2 <e, g(f(h + e)) - g(f(h))> + |g(f(h) + n) - g(f(h))|^2
                push = self.draw(taken[i].shape, "noise")
                other = self.draw(given[i].shape, "output_noise")
                for b in range(BATCH):
                    total = total - 2 * push[b] @ (weight @ (push[b] @ matrix)) / BATCH
                    total = total + (weight @ other[b]).square().sum() / BATCH
            elif self.inverse == "drl":  # |g(f(h + e)) - g(f(h)) - e|^2 + |g(f(h) + n) - g(f(h))|^2, f to the output
                push = self.draw(taken[i].shape, "noise")
                response = passed(affine[i:], taken[i] + push)[1][-1] - given[-1]
                other = self.draw(given[-1].shape, "output_noise")
                path = [weight, *(above.detach() for above in own[i + 1 :])]
                total = total + (carried(path, given[i:], response) - push).square().sum() / BATCH
                total = total + carried(path, given[i:], other).square().sum() / BATCH
            else:  # least mean squares on unit pushes e: M += e^T (e W - e M) / (B + in)
                push = self.noise.normal(taken[i].shape, torch.float64)
                with torch.no_grad():
                    for_all = sum(torch.outer(e, e @ (matrix - weight)) for e in push)
                    weight += for_all / (BATCH + len(weight))
        return total


def transported(start: Tensor, end: Tensor, at: Tensor) -> Tensor:
    """The way from ``start`` to ``end`` on the sphere of square roots, gone from ``at``.

    The logarithm at ``sqrt(start)``, turned by the rotation in the plane of ``sqrt(start)`` and ``sqrt(at)`` that takes
    one to the other, and the exponential there.
    """
    r, s, e = start.sqrt(), at.sqrt(), end.sqrt()
    angle = torch.acos((r * e).sum())
    tangent = angle * (e - angle.cos() * r) / (e - angle.cos() * r).norm()
    turn = torch.eye(len(r), dtype=torch.float64) + 2 * torch.outer(s, r)
    turn = turn - torch.outer(r + s, r + s) / (1 + (r * s).sum())
    tangent = turn @ tangent
    length = tangent.norm().clamp(max=1.5)
    reached = (length.cos() * s + length.sin() * tangent / tangent.norm()).clamp_min(0)
    return (reached / reached.norm()).square()


def built(problem: Problem, options: dict[str, Any]) -> TargetPropagation:
    """By options, as a run has it; feedback and inverse start at weights of their own."""
    latents, categories = problem.shape
    networks = NetworkFactory(
        MEMBERS,
        lambda: Codes("own encoder", latents, categories),
        lambda: mlp("own decoder", latents * categories, 8, 9, PIXELS),
        *[lambda: pytest.fail("wants no other network")] * 2,
    )
    scheduled = {name: Schedule(values[0]) for name, values in SCHEDULES.items()}
    strategy = TargetPropagation.build(TargetPropagation.Options(**options, **scheduled), networks).double()
    strategy.follow({name: torch.tensor(values, dtype=torch.float64) for name, values in SCHEDULES.items()})
    return strategy


def both() -> Noise:
    return Noise([seeded(p, "oracle") for p in range(MEMBERS)])


def depths(reference: Reference) -> list[Any]:
    """The decoder as ``Reference.learn`` wants it."""
    own = reference.own if reference.inverse == "network" else reference.own[: len(reference.decoder)]
    return [(own, reference.decoder, reference.taken, reference.given)]


def own_steps(reference: Reference) -> list[Tensor]:
    """What a mirror takes: its layer's gradient of the mean loss, wherever the code's output target lies."""
    down = signals(reference.feedback, reference.given, reference.error)
    return [
        -sum(torch.outer(h[b], d[b]) for b in range(BATCH)) / BATCH for h, d in zip(reference.taken, down, strict=True)
    ]
