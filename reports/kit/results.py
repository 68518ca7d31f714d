"""Rows of tidy results: cells of tables with winners, paired differences, and numbers by name for text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, TypeVar

import pandas as pd

from discrete_vae.errors import nearest
from discrete_vae.evaluation import statistics
from reports.kit.table import DASH, Cell, Column, Number, Table
from reports.kit.tidy import COLUMNS

Key = TypeVar("Key")


@dataclass(frozen=True)
class Metric:
    """A metric of a split, as a column of a table."""

    split: str
    metric: str
    head: str = ""
    """Markdown; by default the split."""
    group: str = ""
    """A head above that neighbours share."""
    better: int = 1
    """Whether higher (1) or lower (-1) numbers win, as they are shown; 0 where neither is better."""
    scale: float = 1.0
    """Factor of the number as it is shown: -1 for a paper that gives a negative ELBO, 100 for per cent."""
    digits: int = 2
    spread: bool = True
    """Whether the interval is shown."""
    offset: float = 0.0
    """Added after scaling: with a ``scale`` of -1, the number is shown as a distance to here."""
    unit: str = "nats"
    """Unit of differences."""
    printed: Mapping[str, float] = field(default_factory=dict, hash=False)
    """A paper's numbers as they are shown, by row (``line``)."""

    @property
    def column(self) -> Column:
        """The head."""
        return Column(self.head or self.split, self.group)

    def of(self, results: pd.DataFrame, row: str) -> statistics.Seeds:
        """A row's numbers by seed, as they are shown; empty where it was not measured."""
        here = (results["row"] == row) & (results["split"] == self.split) & (results["metric"] == self.metric)
        found = results[here & results["value"].notna()]
        shown = self.offset + self.scale * found["value"]
        return {int(seed): float(value) for seed, value in zip(found["seed"], shown, strict=True)}


def cells(results: pd.DataFrame, rows: Sequence[str], metric: Metric) -> dict[str, Cell]:
    """A column: the mean of each row with its interval; bold for a row that is better than every other.

    Better: in a paired t-test over seeds, p < 0.05 after Holm's correction (``statistics.winner``).
    """
    values = {row: metric.of(results, row) for row in rows}
    signed = {row: {seed: metric.better * each for seed, each in own.items()} for row, own in values.items()}
    best = statistics.winner(signed) if metric.better else None
    made: dict[str, Cell] = {}
    for row, own in values.items():
        cell = Number.mean(own, metric.digits)
        if isinstance(cell, Number):
            cell = Number(cell.value, cell.spread if metric.spread else None, metric.digits, bold=row == best)
        made[row] = cell
    return made


FEWER = "In brackets: of how many seeds, where some failed."
"""What a cell of less than all seeds is marked by, for a caption."""


FAILED = "Failed: no run of the row has finished."
"""What stands in place of a number, for a caption."""


def of_seeds(cell: Cell, there: int, seeds: int) -> Cell:
    """A mean with its number of seeds, if these are not all."""
    return replace(cell, mark=f" ({there}/{seeds})") if isinstance(cell, Number) and there < seeds else cell


def metrics_table(
    name: str, caption: str, results: pd.DataFrame, rows: Sequence[str], metrics: Sequence[Metric], seeds: int = 0
) -> Table:
    """A line a row, a column a metric (``cells``); a mean over less than all ``seeds`` says so, and the caption."""
    columns = [
        {row: of_seeds(cell, len(metric.of(results, row)), seeds) for row, cell in cells(results, rows, metric).items()}
        for metric in metrics
    ]
    if any(isinstance(cell, Number) and cell.mark for column in columns for cell in column.values()):
        caption = f"{caption} {FEWER}"
    body = [[row, *(column[row] for column in columns)] for row in rows]
    return Table(name, caption, [Column("", text=True), *(metric.column for metric in metrics)], body)


def difference(one: statistics.Seeds, other: statistics.Seeds) -> statistics.Seeds:
    """One less the other, over the seeds of both."""
    return {seed: one[seed] - other[seed] for seed in sorted(one.keys() & other.keys())}


def differences(
    results: pd.DataFrame, pairs: Sequence[tuple[str, str]], metric: Metric
) -> dict[tuple[str, str], tuple[statistics.Seeds, float, float]]:
    """Of every pair of rows that have it: the difference, the paired test's p, and p after Holm's correction."""
    values = {pair: (metric.of(results, pair[0]), metric.of(results, pair[1])) for pair in pairs}
    return tested({pair: both for pair, both in values.items() if both[0].keys() & both[1].keys()})


def tested(
    both: Mapping[Key, Sequence[statistics.Seeds]],
) -> dict[Key, tuple[statistics.Seeds, float, float]]:
    """The difference of each two, the paired test's p, and p after Holm's correction for all of them."""
    p_values = [statistics.paired_p(one, other) for one, other in both.values()]
    return {
        key: (difference(one, other), p, corrected)
        for (key, (one, other)), p, corrected in zip(both.items(), p_values, statistics.holm(p_values), strict=True)
    }


def difference_cells(values: statistics.Seeds, *p: float, digits: int = 2) -> list[Cell]:
    """The mean difference with its interval and sign, and its p-values; dashes for too few seeds to test."""
    enough = len(values) >= statistics.MINIMUM_SEEDS
    return [Number.mean(values, digits, signed=True), *(p_text(each) if enough else DASH for each in p)]


def p_text(p: float) -> str:
    """Two digits, or an upper bound; a dash for no test."""
    if math.isnan(p):
        return DASH
    return "<0.0001" if p < 1e-4 else f"{p:.2g}"


def over_seeds(count: int, spread: bool = True) -> str:
    """What a table's numbers are, for a caption."""
    return f"mean{' ± 95% interval' * spread} over {count} seeds" if count > 1 else "one seed"


def bold(within: str = "") -> str:
    """What bold numbers are, for a caption; rows are compared ``within`` a task, or in the whole column."""
    return f"bold: better than every other row{within} {TEST}"


TEST = "in a paired $t$-test over seeds ($p < 0.05$ after Holm's correction)"
WITHIN = ("", " of its task")


def judged(table: Table) -> Table:
    """The table, whose caption says so where no number is bold."""
    if any(isinstance(cell, Number) and cell.bold for cell in table.cells):
        return table
    caption = table.caption
    for each in WITHIN:
        caption = caption.replace(bold(each), f"no row is shown to be better than every other{each} {TEST}")
    return replace(table, caption=caption)


def compared(seeds: int, rows: int = 2, spread: bool = True, within: str = "") -> str:
    """What a table's numbers are, and its bold ones where there are rows and seeds enough for any, for a caption."""
    enough = seeds >= statistics.MINIMUM_SEEDS and rows > 1
    return over_seeds(seeds, spread) + f"; {bold(within)}" * enough


def paired(seeds: int) -> str:
    """How differences over so many seeds are tested, for a caption."""
    return tests_of("in the column") if seeds >= statistics.MINIMUM_SEEDS else untested(seeds)


def untested(seeds: int) -> str:
    """What differences are that have no test, for a caption."""
    return f"{over_seeds(seeds)}; no test."


def tests_of(family: str) -> str:
    """How differences are tested, for a caption; Holm's correction is for the tests of a family, ``in the column``."""
    return (
        "mean ± 95% interval over seeds, paired; p of the paired $t$-test by itself, and after Holm's correction for "
        f"all tests {family}; a dash for fewer than {statistics.MINIMUM_SEEDS} seeds, or if all seeds agree."
    )


@dataclass(frozen=True)
class Difference:
    """Columns of a table of differences: a metric, and the rows that it is of."""

    metric: Metric
    head: str
    task: str = ""
    """Rows are looked for as ``line(row, task)``."""


def differences_table(
    name: str, caption: str, results: pd.DataFrame, pairs: Sequence[tuple[str, str]], columns: Sequence[Difference]
) -> Table:
    """A line a pair, ``one less other``: the difference, its tests if there are seeds enough, and a paper's."""
    heads, body = [Column("", text=True)], {pair: list[Cell]([f"{pair[0]} less {pair[1]}"]) for pair in pairs}
    for each in columns:
        named = [(line(one, each.task), line(other, each.task)) for one, other in pairs]
        printed = each.metric.printed
        both = [printed[row] for key in named if printed.keys() >= set(key) for row in key]
        compared, digits = bool(both), decimals(both)
        found = differences(results, named, each.metric)
        enough = any(len(values) >= statistics.MINIMUM_SEEDS for values, _, _ in found.values())
        heads += [Column(head, each.head) for head in ("difference", *(("$p$", "Holm") if enough else ()))]
        heads += [Column("printed", each.head)] * compared
        for pair, key in zip(pairs, named, strict=True):
            values, *p = found.get(key, ({}, 1.0, 1.0))
            body[pair] += difference_cells(values, *(p if enough else ()), digits=each.metric.digits)
            if compared:
                told = printed.keys() >= set(key)
                less = printed[key[0]] - printed[key[1]] if told else 0.0
                body[pair].append(Number(less, digits=digits, signed=True) if told else DASH)
    return Table(name, caption, heads, list(body.values()))


def decimals(values: Iterable[float]) -> int:
    """Decimals that a paper gives of some numbers: those of the one that has most."""
    exponents = (Decimal(str(value)).normalize().as_tuple().exponent for value in values)
    return max((-each for each in exponents if isinstance(each, int) and each < 0), default=0)


def line(row: str, task: str) -> str:
    """The name of a row on a task among the tidy rows."""
    return f"{row}, {task}" if task else row


def by_name(results: pd.DataFrame, rows: Sequence[str]) -> dict[str, Callable[..., Any]]:
    """Functions for a text's ``<< >>`` of these rows; other rows raise ``InputError``. What was not measured is a dash.

    - ``mean(row, split, metric, digits=2, scale=1)``: the mean with its interval;
    - ``less(row, other, split, metric, digits=2, scale=1)``: the paired difference, with its sign;
    - ``p(row, other, split, metric)``: of the paired test;
    - ``best(split, metric)``: the row with the highest mean.
    """
    known = set(zip(results["split"], results["metric"], strict=True))

    def of(row: str, split: str, metric: str, scale: float = 1.0) -> statistics.Seeds:
        if row not in rows:
            raise nearest(row, rows, "row of the results")
        if len(results) and (split, metric) not in known:
            raise nearest(f"{split} {metric}", map(" ".join, known), "split and metric of the results")
        return Metric(split, metric, scale=scale).of(results, row)

    def mean(row: str, split: str, metric: str, digits: int = 2, scale: float = 1.0) -> Number | str:
        return Number.mean(of(row, split, metric, scale), digits)

    def less(row: str, other: str, split: str, metric: str, digits: int = 2, scale: float = 1.0) -> Number | str:
        both = of(row, split, metric, scale), of(other, split, metric, scale)
        return Number.mean(difference(*both), digits, signed=True)

    def p(row: str, other: str, split: str, metric: str) -> str:
        both = of(row, split, metric), of(other, split, metric)
        return p_text(statistics.paired_p(*both)) if len(difference(*both)) >= statistics.MINIMUM_SEEDS else DASH

    def best(split: str, metric: str) -> str:
        means = {row: statistics.interval(list(own.values())).mean for row in rows if (own := of(row, split, metric))}
        return max(means, key=means.__getitem__, default=DASH)

    return {"mean": mean, "less": less, "p": p, "best": best}


def unmeasured(rows: Sequence[str]) -> dict[str, Callable[..., Any]]:
    """The functions of ``by_name`` before these rows are measured: made-up numbers, the same errors for rows."""
    named = by_name(pd.DataFrame(columns=COLUMNS), rows)

    def instead(of: Callable[..., Any], value: Any) -> Callable[..., Any]:
        def answer(*arguments: Any, **keywords: Any) -> Any:
            of(*arguments, **keywords)  # knows the rows
            return value

        return answer

    made_up = {"mean": Number(0.0), "less": Number(0.0), "p": "1", "best": rows[0]}
    return {name: instead(named[name], value) for name, value in made_up.items()}
