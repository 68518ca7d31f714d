"""A report that is declared: strategies in rows, tasks and metrics in columns, beside a paper's numbers."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from discrete_vae.config import Config
from discrete_vae.data import DataConfig
from discrete_vae.errors import InputError, nearest
from discrete_vae.files import read_text
from discrete_vae.runs.spreadsheets import read_csv
from reports.kit import parsing
from reports.kit.cache import provenance
from reports.kit.captions import Entries, label, longer, of_seeds, says, told
from reports.kit.checks import check_comparison
from reports.kit.context import Missing, Part, ReportContext, strategies
from reports.kit.declared import Preset, Row, Task, lasting, settings
from reports.kit.histories import learning_curves
from reports.kit.prose import Unfilled, escape, fill, inline_html, inline_latex, own_words
from reports.kit.results import (
    FAILED,
    FEWER,
    WITHIN,
    Difference,
    Metric,
    by_name,
    cells,
    decimals,
    differences_table,
    judged,
    line,
    tests_of,
    unmeasured,
    untested,
)
from reports.kit.setting import setting
from reports.kit.stacked import sections, stacked_differences
from reports.kit.table import DASH, Cell, Column, Number, Table
from reports.kit.tidy import COLUMNS, evaluation_rows
from reports.kit.trials import Entry, enter, tuning


@dataclass(frozen=True)
class Comparison:
    """A comparison of strategies; ``python -m reports`` makes it, also from a file of a user's own.

    >>> REPORT = Comparison(
    ...     "pair", "Two strategies", [Row("GS", "gumbel-softmax"), Row("ST", "straight-through")], {"quick": Preset(2)}
    ... )
    """

    name: str
    """Its name on the command line and in the names of its files."""
    title: str
    rows: Sequence[Row]
    """The strategies that are compared."""
    presets: Mapping[str, Preset]
    """How much is computed, by name."""
    tasks: Sequence[Task] = (Task(),)
    """What all rows are trained on."""
    metrics: Sequence[Metric] = (Metric("validation", "elbo", group="ELBO"), Metric("test", "elbo", group="ELBO"))
    """Columns, of every task."""
    caption: str = ""
    """Markdown before the generated part of the table's caption: lengths, seeds, how settings were chosen."""
    text: str | Path = "[table: results]\n"
    """Markdown, or a file of it: what it places and asks for by name, see ``ReportContext.write_text``."""
    chosen_by: str = "elbo"
    """The validation metric that settings are chosen by; higher is better."""
    pairs: Sequence[tuple[str, str]] = ()
    """Rows whose differences by the first metric make a second table."""
    stacked: bool = False
    """Whether tasks are sections of the tables, one below the other, and not columns: many would be too wide."""
    papers: str = ""
    """Cited beside what the strategies stand on: ``Jang et al. 2017; ...``."""
    curves: Mapping[str, str] = field(default_factory=dict)
    """Validation metrics that are drawn by epoch, and their titles: the figure ``learning_curves``."""
    draw: Callable[[ReportContext, Entries, pd.DataFrame], Sequence[str]] = lambda bench, entries, results: ()
    """Draws figures into the report's folder, and gives their names."""

    def __post_init__(self) -> None:
        check_comparison(self)

    @property
    def summary(self) -> str:
        """For the list of reports."""
        return self.title

    @property
    def storage(self) -> bool:
        """Whether a study is read."""
        return any(row.study for group in (self.rows, *(each.rows for each in self.presets.values())) for row in group)

    def data(self, preset: Preset) -> Iterable[DataConfig]:
        """The data of a preset's tasks."""
        return [task.base.data for task in preset.tasks or self.tasks]

    def _places(self, preset: Preset, rows: Collection[str] = ()) -> list[tuple[Task, Row]]:
        every = itertools.product(preset.tasks or self.tasks, preset.rows or self.rows)
        return [(task, row) for task, row in every if not rows or line(row.label, task.label) in rows]

    def plan(self, preset: Preset) -> list[Config]:
        """The runs that a preset needs at the least: before any grid grows."""
        wanted = []
        for task, row in self._places(preset):
            if row.study:  # whose setting only its storage knows
                continue
            own = task.stretched(preset)
            tried, lengths = settings(row, task, own), own.lengths(row)
            if len(tried) * len(lengths) > 1:
                wanted += [run for each in tried for run in lasting(each, max(lengths), own.trial_seeds)]
            wanted += lasting(tried[0], max(row.lengths, default=own.epochs), own.seeds)
        return wanted

    def parts(self, preset: Preset) -> Mapping[str, Part]:
        """A part for each row on each task: its trials, and the best of them in full."""
        return {
            line(row.label, task.label): partial(self._enter, preset, task, row) for task, row in self._places(preset)
        }

    def _enter(self, preset: Preset, task: Task, row: Row, bench: ReportContext) -> Entry:
        return enter(task.stretched(preset), bench, row, task, self.chosen_by)

    def missing(self, preset: Preset, bench: ReportContext, rows: Collection[str] = ()) -> list[Config]:
        """The runs that have to be trained, as far as known trials tell which settings are chosen; of all ``rows``, or
        of some that are called as in ``parts``.
        """
        wanted = list[Config]()
        for task, row, configs in self._lacking(preset, replace(bench, dry=True), rows):
            own, wanted = task.stretched(preset), wanted + configs
            if configs and {config.seed for config in configs}.isdisjoint(own.seeds):  # trials, with finals to come
                wanted += lasting(settings(row, task, own)[0], own.epochs, own.seeds)
        return list(dict.fromkeys(wanted))

    def _lacking(
        self, preset: Preset, dry: ReportContext, rows: Collection[str] = ()
    ) -> list[tuple[Task, Row, list[Config]]]:
        """The runs that each row lacks next: its trials, values that their grids grow by, or its runs in full."""
        found = []
        for task, row in self._places(preset, rows):
            try:
                self._enter(preset, task, row, dry)
            except Missing as error:
                found.append((task, row, error.configs))
        return found

    def entries(self, preset: Preset, bench: ReportContext) -> Entries:
        """Every row on every task; what is missing is tried and trained, all rows' next runs side by side.

        With ``bench.known_only`` it is left out. Raises ``InputError`` if that leaves nothing.
        """
        dry, trainer = replace(bench, dry=True, asked=[]), replace(bench, retrain=True)
        while bench.trains and any(configs for *_, configs in self._lacking(preset, dry)):
            # Trained ones as well: so a call after a kill has the same populations.
            trainer.train(list(dict.fromkeys(dry.asked)))
            dry.asked.clear()
        found = dict[tuple[str, str], Entry]()
        for task, row in self._places(preset):
            with contextlib.suppress(*bench.left_out):
                found[row.label, task.label] = self._enter(preset, task, row, bench)
        if not found:
            raise InputError(
                f"no row of {self.name} --preset {bench.preset} is known in {bench.runs} or in committed tables; train "
                f"one: python -m reports train {bench.file or self.name} --preset {bench.preset}"
            )
        return found

    def tables(self, folder: str | Path, preset: str) -> dict[str, Table]:
        """The tables of a folder that the report was made in, by name, as a notebook shows them.

        Raises ``Missing`` for a folder that lacks runs.
        """
        known = bool(provenance(Path(folder)).get("known_only"))
        if preset not in self.presets:
            raise nearest(preset, self.presets, "preset")
        here = Path(folder)  # no runs but those of its tables
        bench, own = ReportContext(self.name, preset, here, here, dry=True, known_only=known), self.presets[preset]
        entries, results = self.entries(own, bench), read_csv(Path(folder) / "results.csv")
        made = [self.table(own, entries, results), *([self.differences(own, results)] if self.pairs else [])]
        return {each.name: judged(each) for each in made}

    def make(self, preset: Preset, bench: ReportContext) -> None:
        """Try, train and evaluate what is missing, then write numbers, tables, figures and documents."""
        text = read_text(self.text) if isinstance(self.text, Path) else self.text
        self._check_names(text, preset, bench)
        entries = self.entries(preset, bench)
        named = {line(*key): entry for key, entry in entries.items()}
        rows = [line(row.label, task.label) for task, row in self._places(preset)]
        frames = [
            evaluation_rows(bench.report, name, run, preset.evaluated)
            for name, entry in named.items()
            for run in entry.runs
        ]
        results = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=COLUMNS)
        for metric in self.metrics if len(results) else ():
            measured = results[results["split"] == metric.split]["metric"]
            if metric.metric not in set(measured):
                raise nearest(metric.metric, list(dict.fromkeys(measured)), f"metric of the split {metric.split}")
        tables = [self.table(preset, entries, results)]
        if self.pairs:
            tables.append(self.differences(preset, results))
        values = self.values(preset, entries) | {"preset": bench.preset} | by_name(results, rows)
        fill(text, **values)  # before anything is written over
        bench.write_results(results)
        if any(entry.trials for entry in entries.values()):
            bench.write_results(tuning(named, self.chosen_by), "tuning.csv")
        trials = [run for entry in entries.values() for runs in entry.trials.values() for run in runs]
        final = [run for entry in entries.values() for run in entry.runs]
        bench.write_provenance([*trials, *final], samples=preset.evaluated, epochs=preset.epochs)
        figures = list[str]()
        with contextlib.suppress(*bench.left_out):  # of histories or weights that are not there
            figures += self.draw(bench, entries, results)
            if self.curves:
                figures += learning_curves(bench, {row: entry.runs for row, entry in named.items()}, self.curves)
        cited = strategies(entry.config for entry in entries.values())
        bench.write_text(self.title, text, tables, values, figures, cited, self.papers)

    def _check_names(self, text: str, preset: Preset, bench: ReportContext) -> None:
        """Raise ``InputError`` before training, for a caption that cannot be set or a name that is not there."""
        for typeset in (inline_latex, inline_html):
            typeset(self.caption)
        rows = [line(row.label, task.label) for task, row in self._places(preset)]
        tables = ["results", "differences"] if self.pairs else ["results"]
        with contextlib.suppress(Unfilled):  # an expression that needs the number itself
            filled = fill(text, **self.values(preset, {}) | {"preset": bench.preset} | unmeasured(rows))
            for token in parsing.parser().parse(filled):
                if token.type == "block":
                    parsing.named(tables, token.content, "table")

    def table(self, preset: Preset, entries: Entries, results: pd.DataFrame) -> Table:
        """The metrics of every row on every task, the paper's number, and the setting where one was chosen."""
        rows, tasks = (list(dict.fromkeys(key[i] for key in entries)) for i in (0, 1))
        head, names = Column("", text=True), {row: list[Cell]([row]) for row in rows}
        parts = {task: self._part(preset, entries, results, task) for task in tasks}
        if self.stacked:
            lined = {task: [[*names[row], *body[row]] for row in rows] for task, (_, body) in parts.items()}
            columns = next((columns for columns, _ in parts.values()), [])
            made = Table("results", "", [head, *columns], sections(lined))
        else:
            beside = [head, *itertools.chain.from_iterable(columns for columns, _ in parts.values())]
            for _, body in parts.values():
                for row, found in body.items():
                    names[row] += found
            made = Table("results", "", beside, list(names.values()))
        return replace(made, caption=self._caption(preset, entries, made))

    def _caption(self, preset: Preset, entries: Entries, made: Table) -> str:
        """The caption of a table of results: the report's own, and what is so of this very table."""
        tasks = preset.tasks or self.tasks
        alone = len(tasks) == 1  # its length is that of the table
        own, within = tasks[0].stretched(preset) if alone else preset, WITHIN[self.stacked]
        said = [own_words(self.caption), told(own, entries, self.metrics, self.chosen_by, within)]
        said += [FEWER] * any(isinstance(cell, Number) and cell.mark for cell in made.cells)
        said += [FAILED] * ("failed" in made.cells)
        if len(entries) < (places := len(self._places(preset))):
            said.append(f"{len(entries)} of {places} rows and tasks are trained; the others are left out or dashes.")
        return " ".join(filter(None, said)) + longer([] if alone else tasks, entries)

    def _part(
        self, preset: Preset, entries: Entries, results: pd.DataFrame, task: str
    ) -> tuple[list[Column], dict[str, list[Cell]]]:
        """The columns of a task, and every row's cells in them; of stacked tasks the columns are the same."""
        own = {row: entry for (row, other), entry in entries.items() if other == task}
        lines = {line(row, task): row for row in dict.fromkeys(row for row, _ in entries)}
        alike = entries if self.stacked else {(row, task): entry for row, entry in own.items()}
        named, group = {line(*key) for key in alike}, "" if self.stacked else escape(task)
        columns, body = list[Column](), {row: list[Cell]() for row in lines.values()}
        for metric in self.metrics:
            head = f"{metric.group} {metric.column.head}".strip() if group else metric.column.head
            columns.append(Column(head, group or metric.group))
            shown = cells(results, [line(row, task) for row, entry in own.items() if says(entry, metric)], metric)
            for name, row in lines.items():
                seeds = len(metric.of(results, name)), len(preset.seeds)
                body[row].append(of_seeds(shown.get(name, DASH), own[row], *seeds) if row in own else DASH)
            printed = {key: value for key, value in metric.printed.items() if key in named}
            if printed:
                columns.append(Column("printed", group or metric.group))
                digits = decimals(printed.values())
                for name, row in lines.items():
                    body[row].append(Number(printed[name], digits=digits) if name in printed else DASH)
        if any(entry.trials or entry.study for entry in alike.values()):
            columns.append(Column("setting", group, text=True))
            for row in lines.values():
                body[row].append(setting(own[row]) if row in own else DASH)
        return columns, body

    def differences(self, preset: Preset, results: pd.DataFrame) -> Table:
        """Pairs of rows by the first metric, on every task."""
        metric, rows = self.metrics[0], {row.label for row in preset.rows or self.rows}
        tasks = [task.label for task in preset.tasks or self.tasks]
        pairs = [pair for pair in self.pairs if rows.issuperset(pair)]
        name = f"{'negative ' * (metric.scale < 0)}{metric.split} {label(metric.metric)}"
        if self.stacked:
            made = stacked_differences("differences", "", results, pairs, metric, tasks)
        else:
            columns = [Difference(metric, escape(task) or metric.group or metric.head, task) for task in tasks]
            made = differences_table("differences", "", results, pairs, columns)
        tested = any(column.head == "$p$" for column in made.columns)
        tests = tests_of("of a task" if self.stacked else "in the column") if tested else untested(len(preset.seeds))
        return replace(made, caption=f"Differences of the {name} in {metric.unit}: {tests}")

    def values(self, preset: Preset, entries: Entries) -> dict[str, Any]:
        """What the text can name beside the results: the preset's numbers, and what was tried."""
        trials = [config for entry in entries.values() for config in entry.trials]
        tried = ("learning_rate", "beta", "weight_decay")
        rates, betas, decays = ({getattr(each, name).initial for each in trials} for name in tried)
        lengths = sorted({each for entry in entries.values() for each in entry.row.lengths})
        return {
            "epochs": preset.epochs,
            "trial_epochs": preset.trial_epochs or preset.epochs,
            "seeds": len(preset.seeds),
            "samples": f"{preset.samples:,}",
            "rates": ", ".join(f"{rate:g}" for rate in sorted(rates)),
            "betas": ", ".join(f"{beta:g}" for beta in sorted(betas)),
            "decays": ", ".join(f"{decay:g}" for decay in sorted(decays)),
            "lengths": ", ".join(map(str, lengths)),
            "base": (preset.tasks or self.tasks)[0].base,
            "data": "; ".join(sorted({f"{each.dataset}, {each.binarisation}" for each in self.data(preset)})),
        }
