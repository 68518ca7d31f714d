"""Reproducible samplers of a trial's values, and pruners."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import OptunaError
from optuna.pruners import BasePruner, MedianPruner
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study as OptunaStudy
from optuna.trial import FrozenTrial, TrialState

from discrete_vae.tuning.retries import origin


def tpe(seed: int) -> BaseSampler:
    """Tree-structured Parzen estimators (Bergstra et al. 2011), which avoid values that others are trying."""
    return TPESampler(seed=seed, n_startup_trials=8, constant_liar=True)


def median() -> BasePruner:
    """Stop what is below the median of the trials before it, from the second epoch on and the sixth trial."""
    return MedianPruner(n_startup_trials=5, n_warmup_steps=2)


def refusal(error: Exception) -> str:
    """Why Optuna gives no trial, in a line."""
    return (
        f"Optuna gives no trial ({' '.join(str(error).split()) or type(error).__name__}); correct the sampler or space"
    )


class SeededByTrial(BaseSampler):
    """Another sampler for every trial, seeded by the study's seed and the trial's rank among those not tried again.

    So a study that was stopped goes on as if it had not been, and no two workers ever draw from the same seed: a
    storage gives a number once. Studies of the same ``name``, by default each its own, draw from the same seeds.
    """

    def __init__(self, make: Callable[[int], BaseSampler], seed: int, name: str | None = None) -> None:
        self.make, self.seed, self.name = make, seed, name
        self.inner = make(seed)
        self.asked: FrozenTrial | None = None
        """The trial whose values were asked for last."""

    def before_trial(self, study: OptunaStudy, trial: FrozenTrial) -> None:
        self.asked = trial
        first = origin(trial)
        rank = sum(origin(each) == each.number < first for each in study.get_trials(deepcopy=False))
        digest = hashlib.sha256(f"{self.seed} {self.name or study.study_name} {rank}".encode()).digest()
        self.inner = self.make(int.from_bytes(digest[:4], "big"))
        self.inner.before_trial(study, trial)

    def infer_relative_search_space(self, study: OptunaStudy, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self.inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: OptunaStudy, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self.inner.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: OptunaStudy, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self.inner.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self, study: OptunaStudy, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        try:
            self.inner.after_trial(study, trial, state, values)
        except RuntimeError as error:  # one that has tried everything stops Optuna's own loop; ours counts trials
            if isinstance(error, OptunaError) or "stop" not in str(error):
                raise

    def reseed_rng(self) -> None:
        self.inner.reseed_rng()


optuna.logging.set_verbosity(optuna.logging.WARNING)
# Searches keep tuples and schedules as text: see Search.
warnings.filterwarnings("ignore", "Choices for a categorical distribution", UserWarning)
