"""The best epochs of runs: noted when they end; those that are kept are written before checkpoints know of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor

from discrete_vae.evaluation.population import Population, member_of
from discrete_vae.runs import checkpoints
from discrete_vae.runs.run import Run


class BestEpochs:
    """The highest validation score of each run so far, and the weights that are not on the disk yet.

    For runs that keep their best epoch, or have patience. Which epoch is the best, and whether patience has ended, is
    decided again from the history on the disk (``Run.best_at``, ``Run.last_epoch``), so the two have to agree.
    """

    def __init__(self, runs: Sequence[Run], step: int) -> None:
        """Go on at a step. Raises ``InputError`` where the weights of a best epoch before it are not there."""
        self.scores: dict[Run, float] = {}
        self.epochs: dict[Run, int] = {}
        self.waiting: dict[Run, tuple[int, Mapping[str, Tensor]]] = {}
        for run in runs:
            if run.config.keep == "best" or run.config.patience:
                self.scores[run] = -math.inf
                if epoch := run.best_at(step // run.steps_per_epoch):
                    self.scores[run] = run.validation(epoch)[run.config.score_metric]
                    self.epochs[run] = epoch
                if epoch and run.config.keep == "best":
                    at = epoch * run.steps_per_epoch
                    checkpoints.check(run.folder, at, run.config.identity, checkpoints.BEST)

    def note(
        self, population: Population, runs: Sequence[Run], metrics: Mapping[Run, Mapping[str, float]], step: int
    ) -> None:
        """Note whose metrics after ``step`` are their best so far; hold a copy of the weights of those that keep it."""
        for p, run in enumerate(runs):
            if run not in self.scores or run not in metrics:
                continue
            score = metrics[run][run.config.score_metric]
            if score > self.scores[run]:
                self.scores[run] = score
                self.epochs[run] = step // run.steps_per_epoch
                if run.config.keep == "last":
                    continue
                weights = member_of(population.state(), p)
                self.waiting[run] = step, {name: tensor.to("cpu", copy=True) for name, tensor in weights.items()}

    def stalled(self, runs: Iterable[Run], epoch: int) -> set[Run]:
        """Runs whose patience has ended: their best epoch is so many epochs before this one."""
        return {run for run in runs if run.config.patience and epoch - self.epochs[run] >= run.config.patience}

    def write(self, runs: Sequence[Run]) -> None:
        """Write what waits of these runs; older best epochs stay until ``Run.prune``."""
        for run in runs:
            if run in self.waiting:
                step, weights = self.waiting.pop(run)
                checkpoints.write(run.folder, step, run.config.identity, weights, checkpoints.BEST)
