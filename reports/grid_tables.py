"""Tables of strategies times tasks: ours beside a paper's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from discrete_vae.config import Config
from discrete_vae.evaluation import statistics
from discrete_vae.schedules import Schedule
from reports.kit.latex import Latex, escape, number
from reports.kit.markdown import table as markdown_table
from reports.kit.tables import MISSING, Panel, mean_ci, table

if TYPE_CHECKING:
    from reports.grid import Chosen, Paper, Preset, Row

Values = Mapping[tuple[str, str], statistics.Seeds]
"""What the table shows, by seed, by the labels of row and column: lower is better."""
SHOWN = {"train": "training", "validation": "validation", "test": "test"}


def grid_table(preset: Preset, values: Values, chosen: Chosen, paper: Paper, label: str) -> Latex:
    """Ours, the paper's number, and the setting that was chosen."""
    best = {
        cell.label: statistics.winner(
            {row.label: {seed: -each for seed, each in values[row.label, cell.label].items()} for row in preset.rows}
        )
        for cell in preset.cells
    }
    body = []
    for row in preset.rows:
        cells: list[object] = [row.label]
        for cell in preset.cells:
            key = row.label, cell.label
            ours = mean_ci(values[key], row.label == best[cell.label])
            if len(values[key]) < len(preset.seeds):
                ours = Latex(f"{ours} ({len(values[key])}/{len(preset.seeds)})") if values[key] else Latex("failed")
            cells += [ours, _printed(paper, *key), _setting(row, chosen[key])]
        body.append(cells)
    panel = Panel(
        Latex("l" + "rrl" * len(preset.cells)),
        [*_heads(preset, 3), Latex(" & ours & printed & setting" * len(preset.cells) + r" \\")],
        body,
    )
    split, metric = paper.shown
    what = "bound" if metric == "log_likelihood" else "ELBO"
    over = f"; mean $\\pm$ 95\\% interval over {len(preset.seeds)} seeds" if len(preset.seeds) > 1 else ", one seed"
    caption = Latex(
        f"Negative {what} of the {SHOWN[split]} images in nats, lower is better, after {preset.epochs} epochs{over}. "
        "Setting: the learning rate, and the temperature, with the rate $r$ and the steps of its decay, where the row "
        f"has an option for it; chosen by the validation ELBO of runs of {preset.trial_epochs} epochs with one seed. "
        "In brackets: how many seeds did not fail, where some did. "
        + (
            "Bold: best of its column in a paired $t$-test over seeds ($p < 0.05$ after Holm's correction)."
            if len(preset.seeds) >= statistics.MINIMUM_SEEDS
            else "Too few seeds to call a winner."
        )
    )
    wide = len(preset.cells) > 2
    return table(label, caption, [panel], size="scriptsize" if wide else "small", separation="3.5pt" if wide else "5pt")


def relations_table(preset: Preset, values: Values, paper: Paper, label: str) -> Latex:
    """By how much one row is ahead of another, and by how much it is in the paper."""
    labels = {row.label for row in preset.rows}
    body = []
    for behind, ahead in paper.relations:
        if not {behind, ahead} <= labels:
            continue
        cells: list[object] = [f"{behind} less {ahead}"]
        for cell in preset.cells:
            ours = values[behind, cell.label], values[ahead, cell.label]
            cells.append(mean_ci({seed: ours[0][seed] - ours[1][seed] for seed in ours[0].keys() & ours[1].keys()}))
            printed = [paper.published.get((row, cell.label)) for row in (behind, ahead)]
            cells.append(MISSING if None in printed else number(printed[0] - printed[1], 1))  # type: ignore[operator]
        body.append(cells)
    panel = Panel(
        Latex("l" + "rr" * len(preset.cells)),
        [*_heads(preset, 2), Latex(" & ours & printed" * len(preset.cells) + r" \\")],
        body,
    )
    count = len(preset.seeds)
    over = (
        f"Mean $\\pm$ 95\\% interval over {count} seeds, paired; an interval that holds 0 shows no order."
        if count > 1
        else "One seed: no difference is tested."
    )
    return table(label, Latex(f"Differences in nats; positive where the second of a pair is ahead. {over}"), [panel])


def markdown(preset: Preset, values: Values, paper: Paper) -> str:
    """The table for the README: ours, and the printed number in brackets."""
    lines: list[list[str]] = []
    for row in preset.rows:
        cells = []
        for cell in preset.cells:
            own = list(values[row.label, cell.label].values())
            printed = paper.published.get((row.label, cell.label))
            text = statistics.interval(own).text(1) if own else ""
            cells.append(text + (f" ({printed:.1f})" if printed is not None else ""))
        lines.append([row.label, *cells])
    return markdown_table(["", *(cell.label for cell in preset.cells)], lines)


def _heads(preset: Preset, width: int) -> list[Latex]:
    heads = " & ".join(rf"\multicolumn{{{width}}}{{c}}{{{escape(cell.label)}}}" for cell in preset.cells)
    ends = [(2 + width * i, 1 + width * (i + 1)) for i in range(len(preset.cells))]
    return [Latex(rf"& {heads} \\"), Latex("".join(rf"\cmidrule(lr){{{start}-{end}}}" for start, end in ends))]


def _printed(paper: Paper, row: str, cell: str) -> Latex:
    printed = paper.published.get((row, cell))
    return MISSING if printed is None else number(printed, 1)


def _setting(row: Row, config: Config) -> Latex:
    """The learning rate, and the temperature where the row has tried several."""
    tried = {each["temperature"] for each in row.options if "temperature" in each}
    own = getattr(config.options, "temperature", None)
    told = ""
    if isinstance(own, Schedule) and len(tried) > 1:
        told = rf", $\tau$ {own.initial:g}"
        if own.decay != 1:
            rate = -math.log(own.decay) / own.every
            told = rf", $r$ {rate:.0e}/{own.every}".replace("e-0", "e-")
    return Latex(f"{config.learning_rate.initial:g}{told}")
