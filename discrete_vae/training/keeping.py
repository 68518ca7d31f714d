"""The best epochs of runs that keep them: noted when they end, and written before the checkpoints that know of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from torch import Tensor

from discrete_vae.evaluation.population import Population, member_of
from discrete_vae.runs import checkpoints
from discrete_vae.runs.run import Run


class BestEpochs:
    """The highest validation score of each run so far, and the weights that are not on the disk yet.

    Which epoch is the best is decided again from the history on the disk (``Run.kept_at``), so the two have to agree.
    """

    def __init__(self, runs: Sequence[Run], step: int) -> None:
        """Go on at a step. Raises ``InputError`` where the weights of a best epoch before it are not there."""
        self.scores: dict[Run, float] = {}
        self.waiting: dict[Run, tuple[int, Mapping[str, Tensor]]] = {}
        for run in runs:
            if run.config.keep == "best":
                self.scores[run] = -math.inf
                if epoch := run.kept_at(step):
                    at = epoch * run.steps_per_epoch
                    checkpoints.check(run.folder, at, run.config.identity, checkpoints.BEST)
                    self.scores[run] = run.validation(epoch)[run.config.task_class.score]

    def note(
        self, population: Population, runs: Sequence[Run], metrics: Mapping[Run, Mapping[str, float]], step: int
    ) -> None:
        """Hold a copy of the weights of each member whose metrics after ``step`` are its best so far."""
        for p, run in enumerate(runs):
            if run not in self.scores or run not in metrics:
                continue
            score = metrics[run][run.config.task_class.score]
            if score > self.scores[run]:
                self.scores[run] = score
                weights = member_of(population.state(), p)
                self.waiting[run] = step, {name: tensor.to("cpu", copy=True) for name, tensor in weights.items()}

    def write(self, runs: Sequence[Run]) -> None:
        """Write what waits of these runs; older best epochs stay until ``Run.prune``."""
        for run in runs:
            if run in self.waiting:
                step, weights = self.waiting.pop(run)
                checkpoints.write(run.folder, step, run.config.identity, weights, checkpoints.BEST)
