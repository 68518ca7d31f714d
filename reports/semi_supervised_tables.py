"""The table, the figure and the words of the report on semi-supervised classification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator, PercentFormatter

from discrete_vae.config import Config
from discrete_vae.evaluation import statistics
from discrete_vae.runs import Run
from discrete_vae.schedules import Schedule
from reports.kit.figures import COLOURS, DASHES, figure
from reports.kit.latex import Latex, escape, number
from reports.kit.markdown import table as markdown_table
from reports.kit.tables import MISSING, Panel, by_seed, mean_ci, table

if TYPE_CHECKING:
    from reports.semi_supervised import Preset, Row

Values = Mapping[str, Mapping[str, statistics.Seeds]]
"""By row, then ``elbo`` in nats or ``accuracy`` in per cent, then seed: of the test images, higher is better."""
METRICS = ("elbo", "accuracy")


def shown(rows: Sequence[Row], results: pd.DataFrame) -> Values:
    """What the table shows, of tidy results."""
    scale = {"elbo": 1.0, "accuracy": 100.0}
    return {
        row.label: {
            metric: {seed: scale[metric] * value for seed, value in by_seed(results, row.label, "test", metric).items()}
            for metric in METRICS
        }
        for row in rows
    }


def main_table(preset: Preset, values: Values, chosen: Mapping[str, tuple[Config, float]]) -> Latex:
    """Ours, the paper's numbers, and the setting that was chosen by the validation images."""
    best = {metric: statistics.winner({row: each[metric] for row, each in values.items()}) for metric in METRICS}
    body: list[list[object]] = []
    for row in preset.rows:
        own = [mean_ci(values[row.label][metric], best[metric] == row.label) for metric in METRICS]
        printed = row.printed or (None, None)
        theirs = [
            MISSING if value is None else number(value * scale, 1)
            for value, scale in zip(printed, (1, 100), strict=True)
        ]
        config, accuracy = chosen[row.label]
        told = [number(100 * accuracy, 1), setting(config, preset)]
        body.append([row.label, own[0], theirs[0], own[1], theirs[1], *told])
    heads = [
        Latex(r"& \multicolumn{2}{c}{test ELBO, nats} & \multicolumn{2}{c}{test accuracy, \%} & valid. & \\"),
        Latex(r"\cmidrule(lr){2-3} \cmidrule(lr){4-5}"),
        Latex(r" & ours & printed & ours & printed & acc. & setting \\"),
    ]
    return table("semi-supervised", _caption(preset), [Panel(Latex("lrrrrrl"), heads, body)], separation="4pt")


def _caption(preset: Preset) -> Latex:
    count, seeds = preset.supervisions[0].labelled, len(preset.seeds)
    over = (
        f"mean $\\pm$ 95\\% interval over {seeds} seeds, each with labelled images of its own"
        if seeds > 1
        else "one seed"
    )
    epochs = preset.lengths["semi-supervised"][-1]
    alone = preset.lengths["labels-alone"]
    trial = preset.trial_epochs.get("semi-supervised", epochs)
    trials = f"with {len(preset.trial_seeds)} seed{'s' * (len(preset.trial_seeds) > 1)}, {trial} epochs"
    verdict = (
        "Bold: best of its column in a paired $t$-test over seeds ($p < 0.05$ after Holm's correction)."
        if seeds >= statistics.MINIMUM_SEEDS
        else "Too few seeds to call a winner."
    )
    chosen = ["the learning rate", *(f"{told} {name}" for told, name, tried in _weights(preset) if len(tried) > 1)]
    fixed = [f"{told} is {tried[0]:g}" for told, _, tried in _weights(preset) if len(tried) == 1]
    return Latex(
        f"Classification with the classes of {count} training images, after {epochs} epochs, {over}. The ELBO is that "
        f"of hard samples of class and style (mean of {preset.samples}). Chosen by the accuracy on the 10,000 labelled "
        f"validation images (valid.\\ acc., in \\%, of the trials: {trials}), never on the test images: "
        f"{', '.join(chosen)}; $\\tau$ is the temperature; for the labels alone rate and epochs, of "
        f"{', '.join(map(str, alone))}. {'; '.join(fixed)}{'.' * bool(fixed)} {verdict}"
    )


def _weights(preset: Preset) -> list[tuple[str, str, list[float]]]:
    """What the labels count: symbol, words and what is tried."""
    alphas = sorted({each.alpha for each in preset.supervisions})
    weights = sorted({each.labelled_weight for each in preset.supervisions})
    return [
        ("$\\alpha$", "(of the classifier's loss)", alphas),
        ("$w$", "(of a labelled image's bound)", weights),
    ]


def setting(config: Config, preset: Preset) -> Latex:
    """Learning rate and what else was chosen."""
    told = f"{config.learning_rate.initial:g}"
    if config.task == "labels-alone":
        return Latex(f"{told}, {config.epochs} epoch{'s' * (config.epochs > 1)}")
    if len({each.alpha for each in preset.supervisions}) > 1:
        told += rf", $\alpha$ {config.supervision.alpha:g}"
    if len({each.labelled_weight for each in preset.supervisions}) > 1:
        told += rf", $w$ {config.supervision.labelled_weight:g}"
    temperature = getattr(config.options, "temperature", None)
    if isinstance(temperature, Schedule):
        told += rf", $\tau$ {temperature.initial:g}"
    return Latex(told)


def markdown(rows: Sequence[Row], values: Values) -> str:
    """The table for the README: ours, and the printed number in brackets."""
    lines = []
    for row in rows:
        cells = []
        for i, metric in enumerate(METRICS):
            own = list(values[row.label][metric].values())
            text = statistics.interval(own).text(1) if own else ""
            printed = None if row.printed is None else row.printed[i] * (1, 100)[i]
            cells.append(text + (f" ({printed:.1f})" if printed is not None else ""))
        lines.append([row.label, *cells])
    return markdown_table(["", "test ELBO", "test accuracy, %"], lines)


def untried(preset: Preset) -> Latex:
    """Which settings have no stored trial, in a sentence."""
    fixed = [f"{symbol} {name}" for symbol, name, tried in _weights(preset) if len(tried) == 1]
    tried = any(len(row.options) > 1 for row in preset.rows)
    temperatures = [] if tried else ["the temperatures"]
    every = [*fixed, *temperatures, "the size of the style", r"the schedule of $\beta$", "the networks"]
    return Latex(
        f"No stored trial stands behind {', '.join(every[:-1])} and {every[-1]}: how they were chosen cannot be "
        "checked."
    )


def gains(rows: Sequence[Row], values: Values) -> Mapping[str, tuple[statistics.Seeds, float]]:
    """Points of accuracy above the labels alone by row and seed, and the paired test's p after Holm's correction."""
    alone = values[next(row.label for row in rows if row.task == "labels-alone")]["accuracy"]
    labels = [row.label for row in rows if row.task != "labels-alone"]
    p_values = statistics.holm([statistics.paired_p(values[label]["accuracy"], alone) for label in labels])
    found: dict[str, tuple[statistics.Seeds, float]] = {}
    for label, p in zip(labels, p_values, strict=True):
        mine = values[label]["accuracy"]
        found[label] = {seed: mine[seed] - alone[seed] for seed in mine.keys() & alone.keys()}, p
    return found


def meaning(rows: Sequence[Row], values: Values) -> str:
    """By how much each row beats the labels alone, in points of accuracy, paired over seeds."""
    found = gains(rows, values)
    said = "; ".join(f"{escape(row)} {mean_ci(points)}" for row, (points, _) in found.items())
    told = f"Points of accuracy above the labels alone, paired over seeds: {said}."
    if any(len(points) < statistics.MINIMUM_SEEDS for points, _ in found.values()):
        return f"{told} Too few seeds for a test."
    sure = [row for row, (_, p) in found.items() if p < statistics.LEVEL]
    rest = [row for row in found if row not in sure]
    verdicts = [f"above 0 is {', '.join(sure)}"] * bool(sure) + [f"not shown: {', '.join(rest)}"] * bool(rest)
    return f"{told} Paired $t$-tests, $p < {statistics.LEVEL:g}$ after Holm's correction: {'; '.join(verdicts)}."


def curves(runs: Sequence[Run]) -> pd.DataFrame:
    """Validation accuracy in per cent, a line an epoch and a column a run; of runs that did not fail."""
    found = {}
    for run in runs:
        if run.failure is None:
            history = run.history()
            own = history[(history["split"] == "validation") & (history["metric"] == "accuracy")]
            found[run.config.seed] = 100 * own.set_index("epoch")["value"]
    return pd.DataFrame(found)


def draw(out: Path, runs: Mapping[str, Sequence[Run]]) -> None:
    """Validation accuracy along training: mean and range over seeds."""
    with figure(out, "semi_supervised_curves", height=3.0) as drawing:
        axes = drawing.subplots()
        last, ends = 1, dict[str, tuple[int, float]]()
        for i, (row, members) in enumerate(runs.items()):
            found = curves(members)
            if found.empty:
                continue
            style: dict[str, Any] = {"color": COLOURS[i % len(COLOURS)], "linestyle": DASHES[i % len(DASHES)]}
            epochs, mean = found.index.to_numpy(), found.mean(axis=1).to_numpy()
            axes.plot(epochs, mean, label=row, marker="o", markersize=2, **style)
            axes.fill_between(epochs, found.min(axis=1), found.max(axis=1), color=style["color"], alpha=0.12, lw=0)
            last = max(last, int(epochs[-1]))
            ends[style["color"]] = int(epochs[-1]), float(mean[-1])
        for colour, (epoch, value) in ends.items():
            axes.plot([epoch, last], [value, value], color=colour, linestyle=":", linewidth=0.9)
        axes.set(xlabel="epoch", ylabel="validation accuracy")
        axes.set_xlim(0.8, last + 0.2)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_formatter(PercentFormatter(decimals=0))
        lowest = min(float(np.nanmin(found.to_numpy())) for members in runs.values() if len(found := curves(members)))
        axes.set_ylim(bottom=max(lowest - 1, 0))
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
