"""What the report on strings has: scores of n-gram models and real strings, tables, examples and curves."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from discrete_vae.data import DataConfig, has_files
from discrete_vae.data.ngrams import NGram
from discrete_vae.data.strings import Strings
from discrete_vae.data.text import Text
from discrete_vae.evaluation import statistics
from discrete_vae.latents.noise import seeded
from discrete_vae.runs import Run
from discrete_vae.runs.spreadsheets import read_csv, to_csv
from reports.kit.cache import Known
from reports.kit.context import RESULTS, ReportContext
from reports.kit.declared import Preset, counted
from reports.kit.figures import curves, figure, legend_below
from reports.kit.prose import Prose, code
from reports.kit.results import Metric, compared, line, metrics_table, p_text
from reports.kit.table import Column, Section, Table
from reports.kit.tidy import history_rows

ORDERS = (1, 2, 3, 4)
"""Orders of the n-gram models; the last one has all the statistics that the distances use."""
MODELS = [f"{order}-gram model" for order in ORDERS]
REAL = "real strings"
SHARES = {"valid_argmax": "likeliest", "unique": "unique", "novel": "novel"}
LEADING = {"valid": "valid strings", "words": "words of the training strings"}
"""The metric that ranks generators of a data set, the first that is measured, and what it is a share of."""
METRICS = [
    *(Metric("test", name, f"{name}, %", scale=100, digits=1) for name in LEADING),
    *(Metric("test", name, f"{head}, %", better=0, scale=100, digits=1) for name, head in SHARES.items()),
    *(Metric("test", f"js_{order}", f"JS {order}", better=0, scale=1000, digits=1) for order in ORDERS),
]
EXAMPLES, SHOWN = "examples.csv", 4
"""The strings of every row that are shown, and how many."""
CURVES = {
    ("train", "critic_loss"): ("negative critic loss", -1.0),
    ("validation", "valid"): ("valid strings (%)", 100.0),
    ("validation", "words"): ("known words (%)", 100.0),
}
"""Metrics of the figure, with labels and scales."""
PANELS = 2
"""Of them, those that a data set has."""


@dataclass(frozen=True)
class StringsPreset(Preset):
    """How much is computed, where data sets of other sizes take other numbers of epochs."""

    passes: Mapping[str, int] = field(default_factory=dict)
    """Epochs on a data set, where they are not the preset's."""

    def epochs_on(self, dataset: str) -> int:
        """Epochs of the runs on a data set."""
        return self.passes.get(dataset, self.epochs)

    @property
    def summary(self) -> str:
        lengths = ", ".join(f"{each} {name}" for name, each in self.passes.items())
        return super().summary + (f" ({lengths})" if lengths else "")


def strings_of(dataset: str) -> Strings:
    """The data set's strings. Raises ``ValueError`` for what are none."""
    judge = DataConfig(dataset).judge
    if not isinstance(judge, Strings):
        raise ValueError(f"{dataset} are no strings")
    return judge


def reference(dataset: str, seeds: Sequence[int], bench: ReportContext) -> pd.DataFrame:
    """Scores of n-gram models of the training strings, and of the validation strings, as tidy rows.

    Of data from files, which not everyone has, the committed ones are taken over.
    """
    config, known = DataConfig(dataset), strings_of(dataset)
    if has_files(config) and len(found := stored(dataset, seeds, bench)):
        return found
    data = bench.dataset(config)
    train, validation, test = (data.split(name).pixels.cpu() for name in ("train", "validation", "test"))
    samples = {(REAL, 0): validation}
    for order, name in zip(ORDERS, MODELS, strict=True):
        model = NGram(train, len(known.symbols), order)
        samples |= {(name, seed): model.sample(len(test), seeded(seed, "n-gram", order)) for seed in seeds}
    return pd.DataFrame(
        {"row": line(row, dataset), "seed": seed, "split": "test", "metric": metric, "value": value}
        for (row, seed), sample in samples.items()
        for metric, value in known.scores(sample, test, train).items()
    )


def stored(dataset: str, seeds: Sequence[int], bench: ReportContext) -> pd.DataFrame:
    """The committed scores of n-gram models and real strings; empty where they are not there for all of the seeds."""
    path, columns = RESULTS / bench.report / "results.csv", ["row", "seed", "split", "metric", "value"]
    table = read_csv(path)[columns] if path.is_file() else pd.DataFrame(columns=columns)
    found = table[table["row"].isin([line(row, dataset) for row in (*MODELS, REAL)])]
    wanted = {(line(REAL, dataset), 0), *((line(row, dataset), seed) for row in MODELS for seed in seeds)}
    return found if set(zip(found["row"], found["seed"], strict=True)) == wanted else found.head(0)


def scores(dataset: str, labels: Sequence[str], results: pd.DataFrame, preset: StringsPreset) -> Table:
    """A data set's scores, of generators, n-gram models and real strings."""
    told = f"{counted(preset.epochs_on(dataset), 'epoch')}, {compared(len(preset.seeds))}."
    own = results[results["row"].str.endswith(f", {dataset}")]
    measured = [metric for metric in METRICS if (own["metric"] == metric.metric).any()]
    caption = (
        f"*{dataset.capitalize()}*, test strings. Generators are compared by {LEADING[measured[0].metric]}. {told}"
    )
    named = own.assign(row=own["row"].str.removesuffix(f", {dataset}"))
    others = [dataclasses.replace(metric, better=0) for metric in measured]
    made, models, real = (
        metrics_table(dataset, caption, named, rows, metrics, seeds)
        for rows, metrics, seeds in ((labels, measured, len(preset.seeds)), (MODELS, others, 0), ([REAL], others, 0))
    )
    return dataclasses.replace(made, rows=[*made.rows, Section(), *models.rows, Section(), *real.rows])


def held_against(results: pd.DataFrame, labels: Sequence[str]) -> Callable[..., str]:
    """For the text: a generator's p against an n-gram model: Welch's test, Holm's correction among generators."""

    def welch(row: str, model: str, dataset: str, metric: str) -> str:
        of = Metric("test", metric).of
        other = of(results, line(model, dataset))
        p = statistics.holm([statistics.welch_p(of(results, line(each, dataset)), other) for each in labels])
        return p_text(p[labels.index(row)])

    return welch


def examples(bench: ReportContext, first: Mapping[str, Run]) -> Table:
    """A few strings of every row's first run; ``examples.csv`` has them too."""
    written = [(row, run.config.name, string) for row, run in first.items() for string in strings(run, bench)]
    table = pd.DataFrame(written, columns=["row", "run", "string"])
    bench.write(EXAMPLES, to_csv(table))
    body = [[row, Prose(", ".join(map(code, table["string"][table["row"] == row])))] for row in first]
    caption = "What the generators of the first seed write, valid or not."
    return Table("examples", caption, [Column("", text=True), Column("first strings", text=True)], body)


def strings(run: Run, bench: ReportContext) -> list[str]:
    """A few strings of a run's generator: of the committed ones if the run is known, else drawn from its weights."""
    path = RESULTS / bench.report / EXAMPLES
    if isinstance(run, Known) and path.is_file():
        table = read_csv(path, dtype={"string": str})
        if len(found := table["string"][table["run"] == run.config.name]) == SHOWN:
            return list(found.fillna(""))  # of an empty string a table has nothing
    (run,) = bench.train([run.config], weights=True)
    return strings_of(run.config.data.dataset).write(bench.draw(run, SHOWN, "examples")) if run.finished else []


def draw(preset: StringsPreset, bench: ReportContext, runs: Mapping[str, Sequence[Run]]) -> list[str]:
    """The critic's loss and the leading share of the validation draws along training; ``learning_curves.csv`` has them.

    The committed figure is taken over for committed runs, whose curves are not in a table.
    """
    name = "sequences_curves"
    if bench.drawn([name], [run for group in runs.values() for run in group]):
        return [name]
    runs = {
        row: bench.train(
            [run.config for run in group], epochs=range(1, group[0].config.epochs + 1), metrics=_drawn(group[0])
        )
        for row, group in runs.items()
    }
    members = [(row, run) for row, group in runs.items() for run in group]
    found = [history_rows(row, run, [metric], split) for row, run in members for split, metric in CURVES]
    history = pd.concat([rows for rows in found if len(rows)], ignore_index=True)
    bench.write_results(history, "learning_curves.csv")
    with figure(bench.out, name, height=2.1 * len(preset.tasks) + 0.3) as drawing:
        panels = drawing.subplots(len(preset.tasks), PANELS, squeeze=False)
        for line_of_panels, task in zip(panels, preset.tasks, strict=True):
            rows = {line(row.label, task.label): row.strategy for row in preset.rows}
            here = history[history["row"].isin(list(rows))]
            shown_here = [(_of(here, *key), *shown) for key, shown in CURVES.items()]
            measured = [each for each in shown_here if len(each[0])]
            for axes, (own, label, scale) in zip(line_of_panels, measured, strict=True):
                handles = curves(axes, own.assign(value=scale * own["value"]), rows)
                axes.set(ylabel=label, title=task.label)
        labels = [row.label for row in preset.rows]
        legend_below(drawing, dict(zip(labels, handles.values(), strict=False)), len(labels))
    return [name]


def _drawn(run: Run) -> list[tuple[str, str]]:
    """What is drawn of a run's strings: running text has words, and no validity."""
    other = "valid" if isinstance(strings_of(run.config.data.dataset), Text) else "words"
    return [(split, metric) for split, metric in CURVES if metric != other]


def _of(history: pd.DataFrame, split: str, metric: str) -> pd.DataFrame:
    """The rows of one metric of a split."""
    return history[(history["split"] == split) & (history["metric"] == metric)]
