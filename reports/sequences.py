"""Generators of strings against a critic, by what passes the gradient through the symbols, beside n-gram models."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from discrete_vae.config import Config
from discrete_vae.data import SYNTHETIC, DataConfig
from discrete_vae.data.language import Language
from discrete_vae.data.ngrams import NGram
from discrete_vae.latents.noise import seeded
from discrete_vae.runs import Run
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES
from discrete_vae.tasks import Architecture, CriticConfig
from reports import sequences_tables as tables
from reports.kit.context import Report, ReportContext, strategies
from reports.kit.latex import Latex, render
from reports.kit.tables import evaluation_rows

PAPERS = "Gulrajani et al. 2017"
ORDERS = (1, 2, 3, 4)
"""Of the n-gram models; the last one's statistics are all that the distances look at."""
EXAMPLES = 4
"""Strings of each row that are shown."""


@dataclass(frozen=True, eq=False)
class Row:
    """What passes the gradient through the symbols."""

    label: str
    strategy: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Preset:
    """How much is trained."""

    datasets: Sequence[str]
    rows: Sequence[Row]
    epochs: int
    seeds: tuple[int, ...]
    base: Config

    @property
    def summary(self) -> str:
        """What it computes, in a line."""
        return f"{', '.join(self.datasets)}; {len(self.rows)} strategies, {self.epochs} epochs, {len(self.seeds)} seeds"

    def configs(self, dataset: str, row: Row) -> list[Config]:
        """A row's runs on a data set."""
        return [
            dataclasses.replace(
                self.base,
                strategy=row.strategy,
                options=STRATEGIES[row.strategy].Options(**row.options),
                data=DataConfig(dataset),  # type: ignore[arg-type]
                epochs=self.epochs,
                seed=seed,
            )
            for seed in self.seeds
        ]


Runs = Mapping[tuple[str, str], Sequence[Run]]
"""By data set and row."""


def make(preset: Preset, bench: ReportContext) -> None:
    """Train and score what is missing, then write tables, figures and the document."""
    runs: Runs = {
        (dataset, row.label): bench.train(preset.configs(dataset, row), samples={"test": 1})
        for dataset in preset.datasets
        for row in preset.rows
    }
    final = [run for group in runs.values() for run in group]
    frames = [
        evaluation_rows(bench.report, f"{row}, {dataset}", run, {"test": 1})
        for (dataset, row), group in runs.items()
        for run in group
    ]
    frames += [reference(dataset, preset.seeds, bench) for dataset in preset.datasets]
    results = pd.concat(frames, ignore_index=True)
    bench.write_results(results)
    examples = {
        (dataset, row): write(group[0], bench) if group[0].finished else [] for (dataset, row), group in runs.items()
    }
    bench.write("sequences_examples.tex", tables.examples_table(examples))
    tables.draw(bench.out, runs)
    bench.write_provenance(final, epochs=preset.epochs, samples={"test": "as many strings as the split has"})
    words(preset, bench, results, final[0].total_steps)


def words(preset: Preset, bench: ReportContext, results: pd.DataFrame, updates: int) -> None:
    """Write tables and document from what was measured, but for the examples."""
    labels = [row.label for row in preset.rows]
    parts = []
    for dataset in preset.datasets:
        name = f"sequences_{dataset}.tex"
        bench.write(name, tables.scores_table(dataset, labels, results, preset))
        parts.append(name)
    bench.write("sequences.md", tables.markdown(preset.datasets, labels, results))
    criticism = preset.base.criticism
    source = render(
        "sequences.tex",
        meaning=tables.meaning(preset.datasets, labels, results),
        tables=[Latex(part) for part in parts],
        hidden="-".join(map(str, preset.base.architecture.hidden)),
        noise=preset.base.architecture.style,
        batch=preset.base.batch_size,
        rate=f"{preset.base.learning_rate.initial:g}",
        steps=criticism.critic_steps,
        penalty=f"{criticism.gradient_penalty:g}",
        epochs=preset.epochs,
        updates=f"{updates:,}",
        seeds=len(preset.seeds),
        settings=tables.settings(preset.rows),
    )
    parts += ["sequences_examples.tex", "sequences_curves.pdf"]
    configs = [config for dataset in preset.datasets for row in preset.rows for config in preset.configs(dataset, row)]
    bench.write_document(source, parts, strategies(configs), PAPERS)


def language(dataset: str) -> Language:
    """The data set's strings. Raises ``ValueError`` for what are none."""
    made = SYNTHETIC[dataset]
    if not isinstance(made, Language):
        raise ValueError(f"{dataset} are no strings")
    return made


def reference(dataset: str, seeds: Sequence[int], bench: ReportContext) -> pd.DataFrame:
    """Scores of n-gram models of the training strings, and of the validation strings, as tidy rows."""
    data, known = bench.dataset(DataConfig(dataset)), language(dataset)  # type: ignore[arg-type]
    train, validation, test = (data.split(name).pixels.cpu() for name in ("train", "validation", "test"))
    samples = {("real strings", 0): validation}
    for order in ORDERS:
        model = NGram(train, len(known.symbols), order)
        samples |= {
            (f"{order}-gram model", seed): model.sample(len(test), seeded(seed, "n-gram", order)) for seed in seeds
        }
    return pd.DataFrame(
        {"row": f"{row}, {dataset}", "seed": seed, "split": "test", "metric": metric, "value": value}
        for (row, seed), sample in samples.items()
        for metric, value in known.scores(sample, test, train).items()
    )


def write(run: Run, bench: ReportContext) -> list[str]:
    """A few strings of a run's generator."""
    return language(run.config.data.dataset).write(bench.draw(run, EXAMPLES, "examples"))


ROWS = (
    Row("softmax", "softmax"),
    Row("Gumbel-Softmax", "gumbel-softmax", {"temperature": Schedule(0.5)}),
    Row("ST-Gumbel-Softmax", "straight-through-gumbel-softmax", {"temperature": Schedule(1.0)}),
    Row("ReinMax", "reinmax"),
    Row("score function", "score-function"),
)
BASE = Config(
    architecture=Architecture(hidden=(256, 256), activation="relu"),
    batch_size=64,
    learning_rate=Schedule(1e-3),
    task="generator",
    data=DataConfig("expressions"),
    optimiser="adam-0-0.9",
    criticism=CriticConfig(critic_learning_rate=1e-3),
)
PAPER = dataclasses.replace(
    BASE,
    architecture=Architecture(hidden=(512, 512, 512), activation="relu", style=128),
    learning_rate=Schedule(1e-4),
    criticism=CriticConfig(),
)
"""The paper's rates, and wider networks."""
PRESETS = {
    "quick": Preset(("expressions",), ROWS, 6, (0, 1, 2), BASE),
    "laptop": Preset(("expressions", "molecules"), ROWS, 40, (0, 1, 2), BASE),
    "full": Preset(("expressions", "molecules"), ROWS, 640, (0, 1, 2, 3, 4), PAPER),
}
REPORT = Report("sequences", "strings of symbols by generators against a critic, beside n-gram models", PRESETS, make)
