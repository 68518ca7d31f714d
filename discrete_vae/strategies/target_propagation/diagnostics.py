"""Diagnostics of a target signal, compared with the gradient that it stands for."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from discrete_vae.latents.categorical import jacobian_product
from discrete_vae.latents.noise import Noise
from discrete_vae.strategies.objective import Objective
from discrete_vae.strategies.target_propagation.geometries import Difference
from discrete_vae.strategies.target_propagation.inverses import DecodePass, Inverse

DRAWS = 16
"""Samples an image over which targets are averaged, and random directions of the trace."""
OUTSIDE = 1e-6
"""How far below 0 an entry of a target has to be to count as outside the simplex: rounding is not."""
DIFFERENCE = 0.01
"""Step of the numerical derivative, in units of the code."""


def diagnose(
    inverse: Inverse,
    draw: Callable[[], tuple[DecodePass, Difference, Tensor, Tensor]],
    logits: Tensor,
    objective: Objective,
    noise: Noise,
) -> dict[str, Tensor]:
    """Means over a batch, ``[...]`` each. ``draw`` decodes a sample: difference, target and pull in the logits follow.

    - ``signal_cosine``, ``signal_ratio``: angle and relative length of the signal, as a change of the sample, beside
      the true steepest descent, minus the gradient of the loss with respect to the sample; a common part of all
      categories is without effect and left out of both.
    - ``pull_cosine``: the same for the pull in the logits beside ``-J`` times the true gradient, the straight-through
      one.
    - ``inverse_trace``: trace(J_r J_D) of inverse after decoder along the simplex, by random directions;
      ``inverse_trace_positive``: the share of images where it is above 0.
    - ``outside_simplex``: share of the latent variables whose target has a negative entry.
    - ``mean_correction``: ||E_z[pi_hat] - pi|| of a latent variable, root mean square; from the product of two halves
      of the samples, so that their own spread does not count.
    """
    model = objective.model_with("predict")
    probabilities = logits.softmax(-1)
    cosines, ratios, pulls, traces, outside, targets = [], [], [], [], [], []
    for _ in range(DRAWS):
        with torch.no_grad():
            decoded, difference, target, pull = draw()
        whole = model.decoder.without_cut() if model.decoder else contextlib.nullcontext()
        with torch.enable_grad(), whole:
            sample = decoded.sample.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(objective(sample).sum(), sample)
        true, signal = (_centred(each) for each in (-gradient, difference.logit_difference))
        cosines.append(_cosine(signal, true))
        ratios.append(signal.flatten(-2).norm(dim=-1) / true.flatten(-2).norm(dim=-1).clamp_min(1e-12))
        pulls.append(_cosine(-pull, jacobian_product(probabilities, true)))
        outside.append((target < -OUTSIDE).any(-1).to(target.dtype).mean(-1))
        targets.append(target)
        with torch.no_grad():
            direction = _centred((2.0 * (noise.uniform(sample.shape) < 0.5) - 1).to(sample.dtype))
            codes = [
                inverse.reconstruct(decoded, objective.decode(sample + h * direction))
                for h in (DIFFERENCE, -DIFFERENCE)
            ]
            traces.append((direction * (codes[0] - codes[1])).sum((-1, -2)) / (2 * DIFFERENCE))
    corrections = torch.stack(targets) - probabilities
    halves = corrections[::2].mean(0) * corrections[1::2].mean(0)
    trace = torch.stack(traces).mean(0)
    found = {
        "signal_cosine": torch.stack(cosines).mean(0),
        "signal_ratio": torch.stack(ratios).mean(0),
        "pull_cosine": torch.stack(pulls).mean(0),
        "inverse_trace": trace,
        "inverse_trace_positive": (trace > 0).to(trace.dtype),
        "outside_simplex": torch.stack(outside).mean(0),
        "mean_correction": halves.sum(-1).mean(-1),
    }
    means = {name: values.detach().mean(-1) for name, values in found.items()}
    means["mean_correction"] = means["mean_correction"].clamp_min(0).sqrt()
    return means


def _centred(vector: Tensor) -> Tensor:
    return vector - vector.mean(-1, keepdim=True)


def _cosine(first: Tensor, second: Tensor) -> Tensor:
    return F.cosine_similarity(first.flatten(-2), second.flatten(-2), dim=-1)
