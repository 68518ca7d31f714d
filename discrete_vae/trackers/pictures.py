"""Pictures of a model's first validation images: reconstructions, and the probabilities of its latents."""

from __future__ import annotations

import torch
from PIL import Image

from discrete_vae.data import Dataset
from discrete_vae.evaluation.grids import grid
from discrete_vae.evaluation.population import Population
from discrete_vae.latents.categorical import softmax
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.runs.run import Run

IMAGES = 8
ZOOM = 8
"""Pixels of a probability's square, on a side, at most."""
WIDEST = 2048
"""Pixels of a row of ``pi``, unless one for each probability takes more."""


def pictures(run: Run, data: Dataset, device: torch.device) -> dict[str, Image.Image]:
    """Images by name, of the run's stored weights; those that its data or its model cannot give are left out.

    ``reconstructions``: validation images above, and below each its mean given a hard sample of its latents.
    ``pi``: the posterior probabilities of each image's latents, a row a variable and a column a category, black for 0.
    """
    if run.config.data.domain.shape is None:
        return {}
    population = Population.load([run], device)
    model, found = population.model, {}
    count = min(IMAGES, len(data.validation))
    generators = [seeded(run.config.seed, "tracker", device=device)]
    noise = Noise(generators, device)
    with torch.no_grad(), population.precision():
        index = torch.arange(count, device=device).unsqueeze(0)
        observation = model.eval_batch(data.validation, index, generators)
        parameters = model.encode(observation)  # [1, B, N, K]
        objective = model.objective(observation)
        if objective.model is not None and objective.model.observation is not None:
            seen = objective.model.observation
            mean = objective.model.predict(objective.decode(model.family.sample(parameters, noise).squeeze(-4)))
            if mean.shape[-1] == run.config.data.domain.size:  # not a part of the image, nor a deeper layer
                both = torch.cat([seen, mean.reshape(seen.shape)], 1).squeeze(0).float().cpu()
                found["reconstructions"] = grid(both, 2, count, run.config.data)
    if run.config.categorical:
        levels = softmax(parameters).squeeze(0).transpose(0, 1).flatten(1) * 255  # [N, B K]
        map_ = Image.fromarray(levels.round().byte().cpu().numpy())
        zoom = max(1, min(ZOOM, WIDEST // map_.width))
        found["pi"] = map_.resize((map_.width * zoom, map_.height * zoom), Image.Resampling.NEAREST)
    return found
