"""The honest yardstick: every strategy is scored on the same discrete model. Everything is in nats an image.

Hard samples and the exact KL, whatever the strategy trains with; the relaxed reconstruction stands beside them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from discrete_vae.arithmetic import arithmetic
from discrete_vae.data import Dataset
from discrete_vae.errors import InputError, check_range
from discrete_vae.evaluation.classifier import judge_of
from discrete_vae.evaluation.population import Population
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.runs.run import EVALUATION, Run
from discrete_vae.tasks import Generator, Task

ROWS = {"cpu": 4_000, "cuda": 64_000}
"""Images times samples of a member decoded at once: enough for the device's products, few enough for its caches.

They fix the order in which noise is drawn, so a result depends on them, and on nothing else that memory decides.
"""
USUAL = 784
"""Output size of the decoder for which these rows are meant, MNIST's; of a larger output fewer rows are decoded."""
ACTIVE = 0.01
"""A latent is active if its KL to the prior, averaged over the images, is above this many nats."""


def rows_of(population: Population) -> int:
    """Images times samples of a member decoded at once, by the device and the size of a decoder's output alone."""
    model = population.model
    outputs = model.explained.size * model.likelihood.numbers
    return max(1, ROWS[population.device.type] * USUAL // max(USUAL, outputs))


def member_memory(population: Population) -> int:
    """Bytes that the evaluation of one member takes beside its parameters, by its largest tensors."""
    model, sample = population.model, math.prod(population.model.family.sample_shape)
    row = 5 * sample + 2 * widest(population) + 2 * model.explained.size
    return 4 * row * rows_of(population)


@torch.no_grad()
def widest(population: Population) -> int:
    """Numbers of the largest tensor that decoding one sample of one member makes."""
    decoder, members, sizes = population.model.decoder, len(population.configs), list[int]()
    hooks = [
        module.register_forward_hook(lambda module, inputs, output: sizes.append(output.numel()))
        for module in decoder.modules()
    ]
    decoder(torch.zeros(members, 1, population.model.code, device=population.device))
    for hook in hooks:
        hook.remove()
    return max(sizes)


def evaluate_population(
    population: Population,
    data: Dataset,
    split: str,
    samples: int,
    advance: Callable[[int], None] = lambda images: None,
    memory: int | None = None,
    runs: Path | None = None,
) -> dict[str, Tensor]:
    """Metrics of every member on one split, ``[P]`` each; as many members at a time as ``memory`` bytes hold.

    By default one at a time on a CPU, where more would compete for its caches, and on a GPU as many as a quarter of its
    free memory holds. The numbers do not depend on it. Raises ``InputError`` if not even one fits. A generator's images
    are judged by a classifier that is trained once and kept beside the ``runs``.

    - ``elbo``, ``reconstruction_hard``: E_q over ``samples`` hard samples; ``elbo`` = reconstruction - ``kl``, which is
      exact for one stochastic layer, over the same samples for several, and 0 for a task without a posterior.
    - ``reconstruction_relaxed``: one relaxed sample an image, only where the strategy trains with relaxed samples.
    - ``log_likelihood``: importance-weighted bound with ``samples`` samples (Burda et al. 2016, eq. 8),
      only for more than one sample.
    - ``active_latents``: how many of the first layer have a mean KL above 0.01 nats; ``code_entropy``: entropy of these
      latents under the posterior averaged over the images.

    The noise is that of (seed, split): the same call gives the same numbers. They are computed in float32, whatever the
    runs train with.
    """
    need, members = member_memory(population), len(population.configs)
    if memory is None:
        free = torch.cuda.mem_get_info(population.device)[0] if population.device.type == "cuda" else 0
        memory = max(need, free // 4)
    if memory < need:
        raise InputError(f"memory is {memory / 2**20:.0f} MiB; a run of this size takes {need / 2**20:.0f} to evaluate")
    count = memory // need
    with arithmetic():
        parts = [
            _evaluate(population.part(slice(p, p + count)), data, split, samples, advance, runs)
            for p in range(0, members, count)
        ]
    metrics = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    return {name: values for name, values in metrics.items() if name != "code_entropy" or not values.isnan().all()}


@torch.no_grad()
def _evaluate(
    population: Population,
    data: Dataset,
    split: str,
    samples: int,
    advance: Callable[[int], None],
    runs: Path | None,
) -> dict[str, Tensor]:
    model, images = population.model, data.split(split)
    device, members = population.device, len(population.configs)

    def generators(*stream: str) -> list[torch.Generator]:
        return [seeded(config.seed, "evaluation", split, *stream, device=device) for config in population.configs]

    # The relaxed samples have their own noise: they are the same however many hard ones are drawn.
    binarisation, noise, relaxed = generators("images"), Noise(generators()), Noise(generators("relaxed"))
    if isinstance(model, Generator):
        return model.evaluate_samples(population.strategy, data, split, noise, advance, judge_of(data, runs))
    rows = rows_of(population)
    size = max(100, min(1000, rows // samples))
    chunk = max(1, rows // size)
    sums: dict[str, Tensor] = {}
    kl = torch.zeros(members, model.family.latents, device=device)
    code: Tensor | float = 0.0
    for start in range(0, len(images), size):
        index = torch.arange(start, min(start + size, len(images)), device=device)
        observation = images.batch(index.expand(members, -1), binarisation)
        parameters = model.encode(observation)
        batch = _importance(model, observation, parameters, noise, samples, chunk)
        if population.strategy.claim.relaxed and model.exact:
            estimate = model.estimate(population.layer_strategies, observation, parameters, 0.0, relaxed)
            batch["reconstruction_relaxed"] = -estimate.loss
        batch |= model.scores(parameters, images.labels[index])
        for name, values in batch.items():
            sums[name] = sums.get(name, torch.zeros((), device=device)) + values.double().sum(-1)
        kl += model.family.kl(parameters).sum(-2)
        code = code + model.family.mean(parameters).sum(-3)
        advance(len(index) * members)
    metrics = {name: total / len(images) for name, total in sums.items()}
    kl, code = kl / len(images), code / len(images)
    sampled = 0.0 - metrics.pop("log_ratio")  # not minus zero
    metrics["kl"] = kl.sum(-1) if model.posterior and model.exact else sampled
    metrics["elbo"] = metrics["reconstruction_hard"] - metrics["kl"]
    bits = model.likelihood.bits(-metrics["elbo"], model.explained.size)
    if bits is not None:
        metrics["bits_per_dimension"] = bits
    if model.posterior:
        metrics["active_latents"] = (kl > ACTIVE).sum(-1)
    metrics["code_entropy"] = model.family.code_entropy(torch.as_tensor(code))
    return metrics


def _importance(
    model: Task, observation: Tensor, parameters: Tensor, noise: Noise, samples: int, chunk: int
) -> dict[str, Tensor]:
    """Mean reconstruction, log-ratio and log mean weight of each image ``[P, B, D]``, ``chunk`` samples at a time."""
    reconstruction = observation.new_zeros(observation.shape[:-1])
    ratio, log_weight = torch.zeros_like(reconstruction), torch.full_like(reconstruction, -math.inf)
    for start in range(0, samples, chunk):
        count = min(chunk, samples - start)
        log_prob, log_ratio = model.log_weights(observation, parameters, noise, count)
        reconstruction += log_prob.sum(1)
        ratio += log_ratio.sum(1)
        log_weight = torch.logaddexp(log_weight, (log_prob + log_ratio).logsumexp(1))
    means = {"reconstruction_hard": reconstruction / samples, "log_ratio": ratio / samples}
    if samples > 1:
        means["log_likelihood"] = log_weight - math.log(samples)
    return means


def evaluate(
    runs: Sequence[Run],
    data: Dataset,
    split: str,
    samples: int,
    *,
    device: torch.device | str = "cpu",
    advance: Callable[[int], None] = lambda images: None,
    memory: int | None = None,
) -> pd.DataFrame:
    """Metrics of runs on a split, by their newest checkpoints: columns run, split, metric, samples, value.

    Metrics of finished runs are stored in their folders and not computed again. ``advance`` is called with the
    number of images done; ``memory`` is that of ``evaluate_population``. Raises ``InputError`` for a run without a
    checkpoint, and for images that are not what their configuration says (``Dataset.check``).
    """
    found = evaluated(runs, data, split, samples, device=device, advance=advance, memory=memory)
    return pd.concat(found.values(), ignore_index=True)


def evaluated(
    runs: Sequence[Run],
    data: Dataset,
    split: str,
    samples: int,
    *,
    device: torch.device | str = "cpu",
    advance: Callable[[int], None] = lambda images: None,
    memory: int | None = None,
) -> dict[Run, pd.DataFrame]:
    """What ``evaluate`` gives, a table a run: several may have one configuration, each in a folder of its own."""
    check_range("samples", samples)
    runs = list(dict.fromkeys(runs))
    if not runs:
        raise InputError("there is no run to evaluate; name at least one")
    for run in runs:
        if run.config.data != data.config:
            raise InputError(f"the images are {data.config}, but {run.folder} is of {run.config.data}; load those")
    data.check()
    found = {run: stored(run, split, samples) for run in runs}
    groups: dict[str, list[Run]] = {}
    for run in runs:
        if not run.finished or found[run].empty:
            groups.setdefault(run.config.population_key, []).append(run)
    for group in groups.values():
        population = Population.load(group, torch.device(device))
        metrics = evaluate_population(population, data, split, samples, advance, memory, group[0].folder.parent)
        for p, run in enumerate(group):
            rows = [
                (split, name, 1 if name == "reconstruction_relaxed" else samples, float(values[p]))
                for name, values in metrics.items()
            ]
            found[run] = pd.DataFrame(rows, columns=EVALUATION)
            if run.finished:
                run.write_evaluation(found[run])
    return {run: rows.assign(run=run.config.name)[["run", *EVALUATION]] for run, rows in found.items()}


def least(task: type[Task], samples: int, whole: bool = True) -> set[str]:
    """Metrics of every evaluation with so many samples: all (``whole``), or those that settings are chosen by.

    Settings are chosen by the task's score, and by the bound of several samples.
    """
    if task.score != Task.score:
        return {task.score}
    found = {task.score, "reconstruction_hard", "kl"} if whole else {task.score}
    return found | {"log_likelihood"} if samples > 1 else found


def stored(run: Run, split: str, samples: int) -> pd.DataFrame:
    """The rows of an evaluation with so many samples in the run's folder; empty if it was never made."""
    rows = run.evaluation()
    rows = rows[rows["split"] == split]
    made = rows[rows["samples"] == samples]
    relaxed = rows[rows["metric"] == "reconstruction_relaxed"]
    whole = least(run.config.task_class, samples) <= set(made["metric"])
    return pd.concat([made, relaxed]).drop_duplicates() if whole else made.head(0)
