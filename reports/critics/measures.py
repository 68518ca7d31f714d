"""What is measured of trained critics: peaks at centres, dips between them, and the loss' gradient at every layer."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor

from discrete_vae.backbones.stack import Stack
from discrete_vae.data import SYNTHETIC
from discrete_vae.data.points import Mixture
from discrete_vae.evaluation.population import Population
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.runs import Run
from discrete_vae.tasks.critic import AdversarialTask, Critic
from reports.kit.cache import Known
from reports.kit.context import ReportContext
from reports.kit.tidy import COLUMNS, changes

BATCH = 1000
"""Validation points that a gradient is taken at, and as many fake ones."""


Measured = dict[tuple[str, str], float]
"""By split and metric."""


def model(bench: ReportContext, run: Run) -> AdversarialTask:
    """A run's generator and critic, of one member; it is trained if its weights are not there."""
    found = Population.load(bench.train([run.config], weights=True), bench.device).model
    assert isinstance(found, AdversarialTask)
    return found


def values(critic: Critic, points: Tensor) -> Tensor:
    """The critic's value of points ``[..., C]``, of one member: ``[...]``."""
    with torch.no_grad():
        return critic(points.reshape(1, -1, points.shape[-1])).view(points.shape[:-1])


def peaks(critic: Critic, mixture: Mixture, device: torch.device | None = None) -> Tensor:
    """Whether the critic's value at a centre is above that all around it, half-way to its neighbours: ``[centres]``.

    The centre is compared with 64 points on the circle around it.
    """
    centres = torch.tensor(mixture.centres, device=device)
    angle = torch.arange(64, device=device) * (2 * math.pi / 64)
    around = centres[:, None] + mixture.apart / 2 * torch.stack([angle.cos(), angle.sin()], -1)
    return values(critic, centres) > values(critic, around).amax(-1)


def dips(critic: Critic, mixture: Mixture, device: torch.device | None = None) -> Tensor:
    """How far the critic's surface sags half-way to a centre's nearest neighbours, mean over these: ``[centres]``.

    ``(D(a) + D(b)) / 2 - D((a + b) / 2)``, relative to that of a cone around each centre that rises with the critic's
    own mean slope along the way: 1 where each centre has a peak of its own, 0 or less where the surface is a plane or
    bends the other way over both, however it is tilted.
    """
    centres = torch.tensor(mixture.centres, device=device)
    near = torch.cdist(centres, centres) < 1.01 * mixture.apart
    near.fill_diagonal_(False)
    one, other = near.nonzero().unbind(1)
    ends, middle = values(critic, centres), values(critic, (centres[one] + centres[other]) / 2)
    place = (torch.arange(20, device=device)[:, None, None] + 0.5) / 20
    along = torch.lerp(centres[one], centres[other], place).requires_grad_()
    (slopes,) = torch.autograd.grad(critic(along.reshape(1, -1, 2)).sum(), along)
    dip = ((ends[one] + ends[other]) / 2 - middle) / (mixture.apart / 2 * slopes.norm(dim=-1).mean(0))
    return torch.zeros(len(centres), device=device).index_add_(0, one, dip) / near.sum(1)


def surface(bench: ReportContext, run: Run) -> Measured:
    """Number of peaks at centres, and the mean and the lowest dip between them; nothing where there are no centres."""
    mixture = SYNTHETIC[run.config.data.dataset]
    if not isinstance(mixture, Mixture):
        return {}
    critic = model(bench, run).value
    found, count = dips(critic, mixture, bench.device), peaks(critic, mixture, bench.device).sum()
    told = {"peaks": count, "dip": found.mean(), "lowest_dip": found.min()}
    return {("centres", name): float(value) for name, value in told.items()}


def layer_gradients(bench: ReportContext, run: Run) -> Measured:
    """Root mean square, over points, of the norm of the gradient of a point's value in each layer's output.

    From the input's side, before the activations; the points are real and fake ones in equal number. It is the gradient
    of the Wasserstein part of the loss except for the points' weights, +-1 over the batch.
    """
    critic = model(bench, run).double().critic
    assert isinstance(critic, Stack)
    batch = torch.arange(BATCH, device=bench.device)[None]
    real = bench.dataset(run.config.data).validation.batch(batch).double()
    noise = Noise([seeded(run.config.seed, "layer gradients", device=bench.device)])
    _, given = critic.trace(torch.cat([real, real + noise.normal(real.shape, torch.float64)], -2))
    gradients = torch.autograd.grad(given[-1].sum(), given)
    norms = [float(gradient.square().sum(-1).mean().sqrt()) for gradient in gradients]
    return {("validation", f"gradient_norm_{i}"): norm for i, norm in enumerate(norms, 1)}


MEASURES = {"critic alone": surface, "deep critic": layer_gradients}
"""By the first part of a row's name."""


def measured(bench: ReportContext, row: Sequence[str], run: Run) -> pd.DataFrame:
    """The tidy rows of what is measured of a run's weights, where the committed tables do not have it already."""
    known = run.measured() if isinstance(run, Known) else {}
    found = known or (MEASURES[row[0]](bench, run) if row[0] in MEASURES else {})
    own = {"strategy": run.config.strategy, "parameters": changes(run.config), "seed": run.config.seed}
    own |= {"row": ", ".join(row), "run": run.config.name}
    rows = [own | {"split": split, "metric": metric, "value": value} for (split, metric), value in found.items()]
    return pd.DataFrame(rows, columns=COLUMNS)
