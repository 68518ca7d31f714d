"""Table 2 of Jang et al. 2017: classification with the classes of 100 images, by marginalisation and by sampling."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from discrete_vae import schedules
from discrete_vae.config import Config
from discrete_vae.runs import Run
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES
from discrete_vae.tasks import Architecture, Supervision
from reports import semi_supervised_tables as tables
from reports.kit.context import Report, ReportContext, strategies
from reports.kit.latex import Latex, render
from reports.kit.search import TRIAL_SEED, edges, rate_axis, require_other_seeds, seeds_told, widened
from reports.kit.tables import changes, evaluation_rows

PAPERS = "Kingma et al. 2014b; Jang et al. 2017"
"""Of the model and the objective, and of the table."""
METRIC = "accuracy"
"""On the validation images: what settings are chosen by."""


@dataclass(frozen=True, eq=False)
class Row:
    """A way to train, and the settings that are tried of it."""

    label: str
    strategy: str
    task: str = "semi-supervised"
    options: Sequence[Mapping[str, Any]] = ({},)
    printed: tuple[float, float] | None = None
    """The paper's ELBO in nats and accuracy."""
    rates: Sequence[float] = ()
    """Learning rates that are tried beside those of all."""


@dataclass(frozen=True, eq=False)
class Preset:
    """How much of the table is computed."""

    base: Config
    rows: Sequence[Row]
    rates: Sequence[float]
    supervisions: Sequence[Supervision]
    """What is tried of alpha, and of what else there is to choose; the labelled images are as many in all."""
    lengths: Mapping[str, Sequence[int]]
    """Epochs to choose from, by task; the last is what a setting is tried with."""
    trial_seeds: tuple[int, ...]
    seeds: tuple[int, ...]
    samples: int
    """Samples of the ELBO and of the bound on the test images."""
    trial_epochs: Mapping[str, int] = field(default_factory=dict)
    """Length of the runs that are tried, by task, where it is shorter."""

    @property
    def evaluated(self) -> Mapping[str, int]:
        """Samples an image on each split."""
        return {"validation": 1, "test": self.samples}

    def __post_init__(self) -> None:
        require_other_seeds(self.trial_seeds, self.seeds)

    @property
    def summary(self) -> str:
        """What it computes, in a line."""
        epochs = self.lengths["semi-supervised"][-1]
        return (
            f"{len(self.rows)} rows, {len(self.rates)} rates times {len(self.supervisions)} supervisions, "
            f"{epochs} epochs, {len(self.seeds)} seed{'s' * (len(self.seeds) > 1)}"
        )

    def settings(self, row: Row) -> list[Config]:
        """What is tried of a row, for the trials' first seed."""
        kind = STRATEGIES[row.strategy].Options
        rates = sorted({*row.rates, *self.rates})
        supervisions = self.supervisions if row.task == "semi-supervised" else self.supervisions[:1]
        return [
            self.base.refitted(
                strategy=row.strategy,
                options=kind(**options),
                task=row.task,
                learning_rate=Schedule(rate),
                supervision=supervision,
                epochs=self.trial_epochs.get(row.task, self.lengths[row.task][-1]),
                seed=self.trial_seeds[0],
            )
            for options, rate, supervision in itertools.product(row.options, rates, supervisions)
        ]


@dataclass(frozen=True)
class Chosen:
    """A row's best setting by the validation images, and its runs."""

    config: Config
    accuracy: float
    """On the validation images, of the trials' seeds."""
    runs: Sequence[Run]


def make(preset: Preset, bench: ReportContext) -> None:
    """Try every setting, train the best of each row with every seed, and write tables, figure and document."""
    chosen, trials, tried = tune(preset, bench)
    final = [run for each in chosen.values() for run in each.runs]
    samples = preset.evaluated
    frames = [evaluation_rows(bench.report, row, run, samples) for row, each in chosen.items() for run in each.runs]
    results = pd.concat(frames, ignore_index=True)
    posterior = {row.label for row in preset.rows if row.task == "semi-supervised"}
    # The classifier alone explains no pixels, and has a score only.
    results = results[results["row"].isin(posterior) | (results["metric"] == METRIC)]
    bench.write_results(results)
    bench.write_results(pd.concat(trials, ignore_index=True), "tuning.csv")
    tables.draw(bench.out, {row: each.runs for row, each in chosen.items()})
    tuning = pd.concat(trials, ignore_index=True)
    bench.write_provenance([*tried, *final], samples=samples, selection=f"validation {METRIC}")
    words(preset, bench, results, tuning, {row: (each.config, each.accuracy) for row, each in chosen.items()})


def words(
    preset: Preset,
    bench: ReportContext,
    results: pd.DataFrame,
    tuning: pd.DataFrame,
    chosen: Mapping[str, tuple[Config, float]],
) -> None:
    """Write tables and document from what was measured; ``chosen`` has each row's setting and its trials' accuracy."""
    values = tables.shown(preset.rows, results)
    bench.write("semi_supervised_table.tex", tables.main_table(preset, values, chosen))
    bench.write("semi-supervised.md", tables.markdown(preset.rows, values))
    architecture = preset.base.architecture
    source = render(
        "semi_supervised.tex",
        labelled=preset.supervisions[0].labelled,
        hidden="-".join(map(str, architecture.hidden)),
        activation=architecture.activation,
        style=architecture.style,
        batch=preset.base.batch_size,
        data=f"{preset.base.data.dataset}, {preset.base.data.binarisation}",
        epochs=preset.lengths["semi-supervised"][-1],
        beta=_told(preset.base.beta, preset.lengths["semi-supervised"][-1]),
        untried=tables.untried(preset),
        choice=f"{seeds_told(tuning, results)} {edges(tuning, results, epochs=True)}",
        meaning=Latex(tables.meaning(preset.rows, values)),
    )
    parts = ["semi_supervised_table.tex", "semi_supervised_curves.pdf"]
    bench.write_document(source, parts, strategies(config for config, _ in chosen.values()), PAPERS)


def _told(schedule: Schedule, epochs: int) -> str:
    """Where a schedule begins and ends in so many epochs, in words."""
    if schedule.decay == 1:
        return f"{schedule.initial:g} throughout"
    last = float(schedules.table([schedule], epochs - 1, 1, 1))
    return (
        f"{schedule.initial:g} in the first epoch, falling by a factor of {schedule.decay:g} to {last:.2g} in the last"
    )


def tune(preset: Preset, bench: ReportContext) -> tuple[dict[str, Chosen], list[pd.DataFrame], list[Run]]:
    """Each row's best by the mean validation accuracy of the trials' seeds, and all that was tried.

    A length that is to be chosen is read off the longest run, whose beginning a shorter one is. Where the best learning
    rate lies at the end of its grid, the grid grows.
    """
    chosen: dict[str, Chosen] = {}
    trials: list[pd.DataFrame] = []
    every: list[Run] = []
    for row in preset.rows:
        lengths = preset.lengths[row.task] if row.task not in preset.trial_epochs else [preset.trial_epochs[row.task]]
        tried = _tried(preset, row, lengths, bench)
        known = [
            (mean_accuracy(runs, epochs), -i, config, epochs)
            for i, (config, runs) in enumerate(tried.items())
            for epochs in lengths
        ]
        every += [run for runs in tried.values() for run in runs]
        trials += [_tuning(row, run, epochs) for runs in tried.values() for run in runs for epochs in lengths]
        accuracy, _, best, epochs = max(known, key=lambda each: each[:2])
        epochs = epochs if row.task not in preset.trial_epochs else preset.lengths[row.task][-1]
        final = [dataclasses.replace(best, epochs=epochs, seed=seed) for seed in preset.seeds]
        chosen[row.label] = Chosen(
            dataclasses.replace(best, epochs=epochs), accuracy, bench.train(final, samples=preset.evaluated)
        )
    return chosen, trials, every


def _tried(preset: Preset, row: Row, lengths: Sequence[int], bench: ReportContext) -> dict[Config, list[Run]]:
    """A row's trials by setting, one run a seed; the first seed's run stands for the others where the grid grows."""
    tried: dict[Config, list[Run]] = {}

    def train(configs: Sequence[Config]) -> list[Run]:
        for config in configs:
            seeds = [dataclasses.replace(config, seed=seed) for seed in preset.trial_seeds]
            tried[config] = bench.train(seeds, epochs=lengths)
        return [tried[config][0] for config in configs]

    def score(run: Run) -> float:
        return max(mean_accuracy(tried[run.config], epochs) for epochs in lengths)

    widened(train(preset.settings(row)), train, score, [rate_axis()])
    return tried


def accuracy_after(run: Run, epochs: int) -> float:
    """Share of the validation images that are classified rightly after so many epochs; minus infinity of a failure."""
    if run.failure is not None:
        return -math.inf
    history = run.history()
    found = history[(history["split"] == "validation") & (history["metric"] == METRIC) & (history["epoch"] == epochs)]
    return float(found["value"].iloc[0])


def mean_accuracy(runs: Sequence[Run], epochs: int) -> float:
    """The runs' mean; minus infinity where one failed."""
    return sum(accuracy_after(run, epochs) for run in runs) / len(runs)


def _tuning(row: Row, run: Run, epochs: int) -> pd.DataFrame:
    config = dataclasses.replace(run.config, epochs=epochs)
    known = {"row": row.label, "strategy": run.config.strategy, "parameters": changes(config)}
    value = None if run.failure is not None else accuracy_after(run, epochs)
    scored = {"seed": run.config.seed, "split": "validation", "metric": METRIC, "value": value}
    return pd.DataFrame([known | scored | {"run": run.config.name, "epoch": epochs}])


ROWS = {
    row.label: row
    for row in (
        Row("Labels alone", "gumbel-softmax", "labels-alone", rates=(1e-4, 3e-4)),
        Row("Marginalisation", "marginalisation", printed=(-106.8, 0.926)),
        Row("Gumbel-S", "gumbel-softmax", options=[{"temperature": Schedule(0.5)}], printed=(-109.6, 0.924)),
        Row(
            "ST Gumbel-S",
            "straight-through-gumbel-softmax",
            options=[{"temperature": Schedule(1.0)}],
            printed=(-110.7, 0.936),
        ),
        Row("ReinMax", "reinmax"),
        Row("RLOO (4)", "rloo"),
    )
}
BASE = Config(
    task="semi-supervised",
    architecture=Architecture(latents=1, hidden=(250,), activation="relu", style=10),
    batch_size=250,
    beta=Schedule(8.0, decay=0.8, minimum=2.0),
)
SUPERVISION = Supervision(labelled=100, alpha=300.0, labelled_weight=50.0)
PRESETS = {
    "quick": Preset(
        base=BASE,
        rows=[ROWS[name] for name in ("Labels alone", "Marginalisation", "Gumbel-S", "ST Gumbel-S", "ReinMax")],
        rates=(2e-3,),
        supervisions=[SUPERVISION],
        lengths={"semi-supervised": (6,), "labels-alone": (1, 2, 3, 6)},
        trial_seeds=(TRIAL_SEED,),
        seeds=(0,),
        samples=10,
    ),
    "laptop": Preset(
        base=BASE,
        rows=list(ROWS.values()),
        rates=(1e-3, 2e-3),
        supervisions=[SUPERVISION],
        lengths={"semi-supervised": (6,), "labels-alone": (1, 2, 3, 5, 8)},
        trial_seeds=(TRIAL_SEED,),
        seeds=(0, 1, 2),
        samples=10,
    ),
    "full": Preset(
        base=dataclasses.replace(
            BASE,
            architecture=Architecture(latents=1, hidden=(500, 500), activation="relu", style=10),
            beta=Schedule(8.0, decay=0.9, minimum=1.0),
        ),
        rows=[
            dataclasses.replace(row, options=[{"temperature": Schedule(each)} for each in (0.5, 1.0)])
            if "temperature" in row.options[0]
            else row
            for row in ROWS.values()
        ],
        rates=(3e-4, 1e-3, 3e-3),
        supervisions=[
            Supervision(labelled=100, alpha=alpha, labelled_weight=weight)
            for alpha in (30.0, 300.0, 3000.0)
            for weight in (1.0, 50.0, 500.0)
        ],
        lengths={"semi-supervised": (200,), "labels-alone": (1, 2, 3, 5, 10, 20, 50)},
        trial_seeds=(TRIAL_SEED, TRIAL_SEED + 1),
        trial_epochs={"semi-supervised": 40},
        seeds=(0, 1, 2, 3, 4),
        samples=100,
    ),
}
REPORT = Report(
    "semi-supervised", "Table 2 of Jang et al. 2017: classification with the classes of 100 images", PRESETS, make
)
