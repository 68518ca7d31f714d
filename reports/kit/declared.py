"""What a comparison declares: rows, tasks, and how much of them is computed."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from discrete_vae.config import Config
from discrete_vae.errors import InputError, check_range
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES
from reports.kit.checks import check_fields, check_preset, check_row
from reports.kit.search import STEPS, TRIAL_SEED, require_other_seeds


@dataclass(frozen=True, eq=False)
class Row:
    """A strategy, and what is tried of it; of several settings the best by the validation images is trained in full."""

    label: str
    strategy: str
    options: Sequence[Mapping[str, Any]] = ({},)
    """Settings of its options."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the configuration that this row has otherwise than the base."""
    tried: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Fields of which several values are tried, with every setting of the options."""
    shared_rate: bool = False
    """Whether the strategy's own parameters take the model's learning rate, as a mirror's have to."""
    lengths: Sequence[int] = ()
    """Epochs to choose from, in place of the preset's; a shorter run is the beginning of the longest."""
    measured: Sequence[str] = ()
    """The metrics that say something of this row, if not all do."""
    study: str = ""
    """A study whose best trial gives the settings; nothing else is tried then."""

    def __post_init__(self) -> None:
        check_row(self)


@dataclass(frozen=True, eq=False)
class Task:
    """A group of columns: what all rows are trained on."""

    label: str = ""
    base: Config = Config()  # noqa: RUF009
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Options that are set here where a row would try others."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the configuration that rows have on which they have an effect."""
    times: int = 1
    """How many times as many epochs as the preset's its runs and trials take, as those on few images have to."""

    def stretched(self, preset: Preset) -> Preset:
        """The preset at the task's length."""
        epochs, trial_epochs = self.times * preset.epochs, self.times * preset.trial_epochs
        return dataclasses.replace(preset, epochs=epochs, trial_epochs=trial_epochs)

    def __post_init__(self) -> None:
        if not isinstance(self.label, str) or not isinstance(self.base, Config):
            raise InputError(f"a task is {self.label!r} with base {self.base!r}; give a label and a Config")
        check_fields(self.fields)
        check_range(f"times of task {self.label!r}", self.times)


@dataclass(frozen=True)
class Preset:
    """How much of a comparison is computed; rows and tasks are the comparison's, if none are named."""

    epochs: int
    seeds: Sequence[int] = (0,)
    samples: int = 100
    """Samples an image on the test images: of the ELBO, and of the importance-weighted bound."""
    rates: Sequence[float] = ()
    """Learning rates that are tried of every row; by default the base's own."""
    trial_epochs: int = 0
    """Length of the runs that a setting is chosen by; by default that of the table's."""
    trial_seeds: Sequence[int] = (TRIAL_SEED,)
    """None of ``seeds``, unless ``shared_seeds``."""
    shared_seeds: bool = False
    """Whether settings may be chosen with a seed that the table has, as in results from before this was refused."""
    growth: int = STEPS
    """How many values a grid grows by on each side at the most, while the best lies at its end."""
    rows: Sequence[Row] = ()
    tasks: Sequence[Task] = ()
    splits: Sequence[str] = ("train", "validation", "test")
    """Splits that are evaluated, the first two with one sample an image."""

    @property
    def evaluated(self) -> Mapping[str, int]:
        """Samples an image on each split."""
        return {split: self.samples if split == "test" else 1 for split in self.splits}

    def lengths(self, row: Row) -> Sequence[int]:
        """Epochs after which a row's trials are scored."""
        return row.lengths or (self.trial_epochs or self.epochs,)

    def __post_init__(self) -> None:
        check_preset(self)
        if not self.shared_seeds:
            require_other_seeds(self.trial_seeds, self.seeds)

    @property
    def summary(self) -> str:
        """What it computes, in a line."""
        length = counted(self.trial_epochs or self.epochs, "epoch")
        tried = f"settings chosen after {length}, " if self.rates or self.trial_epochs else ""
        seeds, samples = counted(len(self.seeds), "seed"), counted(self.samples, "importance sample")
        return f"{tried}{counted(self.epochs, 'epoch')}, {seeds}, {samples}"


def counted(count: int, what: str) -> str:
    """``1 epoch``, ``1,000 epochs``."""
    return f"{count:,} {what}{'s' * (count != 1)}"


def settings(row: Row, task: Task, preset: Preset) -> list[Config]:
    """The configurations that are tried of a row on a task; their length and seed are not set yet."""
    kind = STRATEGIES[row.strategy].Options
    options = [{**each, **{name: value for name, value in task.fixed.items() if name in each}} for each in row.options]
    grid = {"learning_rate": [Schedule(rate) for rate in preset.rates]} if preset.rates else {}
    grid |= {name: list(values) for name, values in row.tried.items()}
    found = []
    for own in dict.fromkeys(kind(**each) for each in options):
        for values in itertools.product(*grid.values()):
            fields: dict[str, Any] = {**task.fields, **row.fields, **dict(zip(grid, values, strict=True))}
            if row.shared_rate:
                fields["auxiliary_learning_rate"] = fields.get("learning_rate", task.base.learning_rate)
            found.append(task.base.refitted(strategy=row.strategy, options=own, **fields))
    return found


def lasting(config: Config, epochs: int, seeds: Iterable[int]) -> list[Config]:
    """A setting at a length, a run a seed."""
    return [dataclasses.replace(config, epochs=epochs, seed=seed) for seed in seeds]
