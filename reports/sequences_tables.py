"""Tables, figure and words on generators of strings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from discrete_vae.evaluation import statistics
from discrete_vae.runs import Run
from discrete_vae.schedules import Schedule
from reports.kit.figures import COLOURS, DASHES, figure
from reports.kit.latex import Latex, escape
from reports.kit.markdown import table as markdown_table
from reports.kit.tables import MISSING, RULE, Panel, by_seed, table

if TYPE_CHECKING:
    from reports.sequences import Preset, Row

METRICS = {
    "valid": ("valid", 1),
    "valid_argmax": ("likeliest", 1),
    "unique": ("unique", 1),
    "novel": ("novel", 1),
    "js_1": ("JS 1", 4),
    "js_2": ("JS 2", 4),
    "js_3": ("JS 3", 4),
    "js_4": ("JS 4", 4),
}
"""Heads and digits; shares are given in per cent."""
MODELS = ("1-gram model", "2-gram model", "3-gram model", "4-gram model")
MATCHED = MODELS[-1]
"""The model that has all the statistics that the distances look at."""
REAL = "real strings"


def scores_table(dataset: str, labels: Sequence[str], results: pd.DataFrame, preset: Preset) -> Latex:
    """A data set's scores, of generators, n-gram models and real strings."""
    best = statistics.winner({row: by_seed(results, f"{row}, {dataset}", "test", "valid") for row in labels})
    body: list[object] = []
    for group in (labels, MODELS, (REAL,)):
        body += [RULE] if body else []
        body += [
            [row, *(_cell(results, row, dataset, metric, bold=row == best) for metric in METRICS)] for row in group
        ]
    caption = Latex(
        rf"\emph{{{dataset.capitalize()}}}, test strings: share of valid strings among hard samples and among each "
        r"draw's likeliest symbols, of different valid strings, and of those that are not among the training strings, "
        r"in per cent; Jensen-Shannon divergence of the $n$-grams from the test strings', in nats. "
        rf"{preset.epochs} epochs; mean $\pm$ 95\% interval over {len(preset.seeds)} seeds. "
        + (
            "Bold: the generator with the most valid strings in a paired $t$-test over seeds ($p < 0.05$ after Holm's "
            "correction). "
            if best
            else "No generator has more valid strings than all others at 5\\%. "
        )
        + "Real strings: those of the validation split."
    )
    heads = " & ".join(head for head, _ in METRICS.values())
    panel = Panel(Latex("l" + "r" * len(METRICS)), [Latex(rf" & {heads} \\")], body)  # type: ignore[arg-type]
    return table(f"sequences-{dataset}", caption, [panel], size="scriptsize", separation="2.4pt")


def _cell(results: pd.DataFrame, row: str, dataset: str, metric: str, bold: bool) -> Latex:
    values = list(by_seed(results, f"{row}, {dataset}", "test", metric).values())
    if not values:
        return MISSING
    scale = 1.0 if metric.startswith("js") else 100.0
    found = statistics.interval([scale * value for value in values])
    text = found.text(METRICS[metric][1]).replace("±", r"\pm")
    return Latex(rf"$\mathbf{{{text}}}$" if bold and metric == "valid" else f"${text}$")


def examples_table(examples: Mapping[tuple[str, str], Sequence[str]]) -> Latex:
    """A few strings of every generator."""
    body: list[object] = []
    for (dataset, row), strings in examples.items():
        shown = ",\\quad ".join(rf"\texttt{{{escape(string)}}}" for string in strings)
        body.append([dataset, row, Latex(shown)])
    panel = Panel(Latex("lll"), [Latex(r"data & generator & first strings, drawn with one seed \\")], body)  # type: ignore[arg-type]
    caption = Latex("What the generators of the first seed write, valid or not.")
    return table("sequences-examples", caption, [panel], size="scriptsize")


def strongest(dataset: str, results: pd.DataFrame, metric: str) -> str:
    """The n-gram model with the highest mean of a score on a data set; the matched one where none is known."""
    means = {
        model: statistics.interval(list(found.values())).mean
        for model in MODELS
        if (found := by_seed(results, f"{model}, {dataset}", "test", metric))
    }
    return max(means, key=lambda model: means[model], default=MATCHED)


def markdown(datasets: Sequence[str], labels: Sequence[str], results: pd.DataFrame) -> str:
    """The table for the README: valid and unique shares and the distance of 4-grams, by data set.

    Of the n-gram models, the matched one and those that have the most valid strings of a data set.
    """
    kept = ("valid", "unique", "js_4")
    models = {MATCHED, *(strongest(dataset, results, "valid") for dataset in datasets)}
    heads = ["", *(f"{dataset}: {METRICS[metric][0]}" for dataset in datasets for metric in kept)]
    lines = []
    for row in (*labels, *(model for model in MODELS if model in models), REAL):
        cells = [row]
        for dataset in datasets:
            for metric in kept:
                share = not metric.startswith("js")
                values = by_seed(results, f"{row}, {dataset}", "test", metric).values()
                scaled = [value * (100 if share else 1) for value in values]
                text = statistics.interval(scaled).text(1 if share else 3) if scaled else ""
                cells.append(text + " %" * (share and bool(scaled)))
        lines.append(cells)
    return markdown_table(heads, lines)


def meaning(datasets: Sequence[str], labels: Sequence[str], results: pd.DataFrame) -> Latex:
    """How generators compare with the strongest n-gram model of each data set and score, in words."""
    told = []
    for dataset in datasets:
        for metric, what in (("valid", "valid strings"), ("unique", "different valid strings")):
            model = strongest(dataset, results, metric)
            matched = by_seed(results, f"{model}, {dataset}", "test", metric)
            shares = {row: by_seed(results, f"{row}, {dataset}", "test", metric) for row in labels}
            shares = {row: values for row, values in shares.items() if values}
            if not shares or not matched:
                continue
            means = {row: statistics.interval(list(values.values())).mean for row, values in shares.items()}
            least = statistics.interval(list(matched.values())).mean
            p_values = statistics.holm([statistics.welch_p(values, matched) for values in shares.values()])
            sides: dict[str, list[str]] = {"above it": [], "below it": [], "not told apart from it": []}
            for row, p in zip(shares, p_values, strict=True):
                sure = "above it" if means[row] > least else "below it"
                sides[sure if p < statistics.LEVEL else "not told apart from it"].append(row)
            best = max(means, key=lambda row: means[row])
            told.append(
                rf"\emph{{{dataset.capitalize()}}}, {what}: of the $n$-gram models the {model} has the most, "
                f"{100 * least:.1f} per cent; of the generators {best} has the highest mean, {100 * means[best]:.1f}. "
                + " ".join(f"{side[0].upper()}{side[1:]}: {_listed(rows)}." for side, rows in sides.items() if rows)
            )
    return Latex(
        " ".join(told)
        + r" Above and below: Welch's $t$-tests over seeds, $p < 0.05$ after Holm's correction among the generators. "
        + " ".join(_among(dataset, labels, results) for dataset in datasets)
    )


def _among(dataset: str, labels: Sequence[str], results: pd.DataFrame) -> str:
    """Whether one generator has more valid strings than all others."""
    best = statistics.winner({row: by_seed(results, f"{row}, {dataset}", "test", "valid") for row in labels})
    return (
        f"On {dataset} {best} has more valid strings than every other generator."
        if best
        else f"On {dataset} no generator has more valid strings than all others beyond the seeds' spread."
    )


def settings(rows: Sequence[Row]) -> str:
    """The temperatures that rows are given."""
    told = [
        f"{row.label} {value.initial:g}"
        for row in rows
        for name, value in row.options.items()
        if name == "temperature" and isinstance(value, Schedule)
    ]
    return ", ".join(told)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def draw(out: Path, runs: Mapping[tuple[str, str], Sequence[Run]]) -> None:
    """The critic's loss and the valid share of the validation draws along training, means over seeds."""
    datasets = list(dict.fromkeys(dataset for dataset, _ in runs))
    with figure(out, "sequences_curves", height=2.1 * len(datasets) + 0.3) as drawing:
        grid = drawing.subplots(len(datasets), 2, squeeze=False)
        panels = (
            ("train", "critic_loss", "negative critic loss", -1.0),
            ("validation", "valid", "valid strings (%)", 100.0),
        )
        for axes, dataset in zip(grid, datasets, strict=True):
            groups = [(row, group) for (own, row), group in runs.items() if own == dataset]
            for own, (split, metric, label, scale) in zip(axes, panels, strict=True):
                for i, (row, group) in enumerate(groups):
                    history = pd.concat([run.history() for run in group])
                    found = history[(history["split"] == split) & (history["metric"] == metric)]
                    mean = scale * found.groupby("epoch")["value"].mean()
                    own.plot(mean.index, mean, color=COLOURS[i], linestyle=DASHES[i], label=row)
                own.set(xlabel="epoch", ylabel=label, title=dataset, ylim=(0, None))
        handles, names = grid[0, 0].get_legend_handles_labels()
        drawing.legend(handles, names, loc="outside lower center", ncols=len(names))
