"""The throughput report's tables; what was not measured is a dash, and a table of nothing is left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from discrete_vae.runs import Run
from reports.benchmarks.marks import Measured, Metrics, disturbed, mark, markdown_note, note
from reports.benchmarks.throughput_cases import BESIDE, DEVICE, Preset, counts, label, on, populations, rows
from reports.kit.latex import Latex, escape, number, symbols
from reports.kit.markdown import Markdown, code
from reports.kit.markdown import table as markdown_table
from reports.kit.names import network
from reports.kit.tables import MISSING, RULE, Panel, Row, by_seed, mean_ci, table

WHOLE = {"products", "examples_per_second", "peak_mib", "decoded_per_second", "gflop_per_second"}
"""Metrics without digits behind the point."""
TEXTBOOK = "textbook loop (Gumbel-Softmax)"


def text(metrics: Metrics | None, name: str, digits: int = 2) -> str:
    """A metric; empty where it was not measured."""
    return f"{metrics[name]:.{0 if name in WHOLE else digits}f}" if metrics and name in metrics else ""


def cells(metrics: Metrics | None, *names: str, digits: int = 2) -> list[Latex]:
    """Metrics in LaTeX."""
    return [Latex(f"${shown}$") if (shown := text(metrics, name, digits)) else MISSING for name in names]


@dataclass(frozen=True)
class Line:
    """What was measured of a strategy on a number of threads."""

    recorded: Metrics | None = None
    compiled: Metrics | None = None
    beside: Metrics | None = None

    @property
    def all(self) -> tuple[Metrics | None, ...]:
        """What a star is for."""
        return self.recorded, self.compiled, self.beside

    def columns(self) -> list[tuple[Metrics | None, str]]:
        """Which metric of which measurement stands in each column between products and memory."""
        return [
            *((self.recorded, name) for name in ("floor_ms", "step_ms", "step_over_floor")),
            *((self.compiled, name) for name in ("step_ms", "step_over_floor")),
            (self.beside, "step_over_gumbel_softmax"),
            (self.compiled or self.recorded, "examples_per_second"),
        ]


def lines(preset: Preset, found: Measured, count: int) -> dict[str, Line]:
    """By strategy, those measured on ``count`` threads; the textbook loop is compared with the first one's floor."""
    made = {
        name: Line(found[own], found.get(label(name, count, compiled=True)), found.get(own + BESIDE))
        for name in rows(preset)
        if (own := label(name, count)) in found
    }
    if plain := found.get(label("textbook", count)):
        first = found.get(label(preset.base.strategy, count))
        ratio = {"step_over_floor": plain["step_ms"] / first["floor_ms"]} if first else {}
        made[TEXTBOOK] = Line({**plain, **ratio})
    return made


def strategies_table(preset: Preset, found: Measured, threads: int, machine: str) -> Latex:
    """Floor, step, ratio, images a second and memory of each strategy."""
    body: list[Row | Latex] = []
    shown: list[Metrics | None] = []
    for count in counts(preset, threads):
        made = lines(preset, found, count)
        body += [RULE] * bool(body and made)
        body += [Latex(rf"\multicolumn{{10}}{{@{{}}l}}{{\textit{{{on(count)}}}}} \\")] * bool(made)
        for name, line in made.items():
            middle = [cell for metrics, metric in line.columns() for cell in cells(metrics, metric)]
            first, last = cells(line.recorded, "products", "peak_mib")
            body.append([mark(symbols(name), *line.all), first, *middle, last])
            shown += line.all
    header = [
        Latex(r" & & floor & \multicolumn{2}{c}{recorded} & \multicolumn{2}{c}{compiled} & to & images & peak \\"),
        Latex(r"\cmidrule(lr){4-5} \cmidrule(lr){6-7}"),
        Latex(r"Strategy & products & ms & ms & ratio & ms & ratio & GS & a second & MiB \\"),
    ]
    epoch = [
        f"An epoch of Gumbel-Softmax, recorded, takes {cells(each, 'epoch_over_steps', digits=4)[0]} times its steps, "
        f"and the validation behind it {number(100 * each['validation_over_epoch'], 1)}\\% of that. "
        for each in found.values()
        if "epoch_over_steps" in each
    ]
    shape = escape(network(preset.base.architecture))
    caption = Latex(
        f"A training step of one run of {shape}, batch {preset.base.batch_size}, beside its floor: "
        "its matrix products and one update of the same shapes by PyTorch's fused Adam, floor and step called in turn "
        "in one process (medians). Recorded: "
        "as it runs by default; compiled: with \\texttt{-{}-compile}, whose ratio is to the floor measured beside it. "
        "To GS: the recorded step beside one of Gumbel-Softmax in the same process. "
        f"Images a second: compiled where that was measured. {''.join(epoch)}The textbook loop "
        "(Dataset, DataLoader, eager modules) is compared with the floor of the Gumbel-Softmax row. "
        f"{symbols(machine)}.{note(*shown)}"
    )
    panel = Panel(Latex("l" + "r" * 9), header, body)
    return table("strategies", caption, [panel], size="footnotesize", separation="4pt")


def strategies_markdown(preset: Preset, found: Measured, threads: int) -> str:
    """The same in Markdown, without products and memory."""
    made = [(count, *each) for count in counts(preset, threads) for each in lines(preset, found, count).items()]
    body = [[_head(name, line.all), count, *(text(*column) for column in line.columns())] for count, name, line in made]
    heads = ["strategy", "threads", "floor, ms", "step, ms", "step over floor", "compiled, ms", "compiled over floor"]
    heads += ["step over Gumbel-Softmax's", "images a second (compiled where measured)"]
    return markdown_table(heads, body) + markdown_note(*(each for _, _, line in made for each in line.all))


def ratios_markdown(preset: Preset, found: Measured, threads: int) -> str:
    """Ratios to the floor in Markdown, for the README."""
    columns = [lines(preset, found, count) for count in counts(preset, threads)]
    shown = {
        name: [each for column in columns for each in column.get(name, Line()).all[:2]]
        for name in dict.fromkeys(name for column in columns for name in column)
    }
    body = [[_head(name, own), *(text(each, "step_over_floor") for each in own)] for name, own in shown.items()]
    heads = [f"{on(count)}{', compiled' * compiled}" for count in counts(preset, threads) for compiled in (0, 1)]
    note = markdown_note(*(each for own in shown.values() for each in own))
    return markdown_table(["step over floor", *heads], body) + note


def _head(name: str, measurements: Sequence[Metrics | None]) -> Markdown:
    """A strategy's name as code, with a star where a measurement was disturbed."""
    return Markdown((name if name == TEXTBOOK else code(name)) + r" \*" * disturbed(*measurements))


def population_table(preset: Preset, found: Measured, machine: str) -> Latex:
    """Time for a member in populations of growing size, and what bounds it."""
    rates, shown = found[DEVICE], populated(preset, found)
    body: list[Row | Latex] = []
    for members, metrics in shown.items():
        arithmetic = metrics["gflop"] / rates["gflop_per_second"] * 1e3
        traffic = metrics["traffic_mib"] / 2**10 / rates["gib_per_second"] * 1e3
        alone = [number(each / members) for each in (arithmetic, traffic, metrics["floor_ms"], metrics["step_ms"])]
        whole = cells(metrics, "floor_ms", "step_ms", "step_over_floor")
        body.append([mark(members, metrics), *whole, *alone, *cells(metrics, "examples_per_second", "peak_mib")])
    header = [
        Latex(r" & \multicolumn{3}{c}{population, ms} & \multicolumn{4}{c}{member, ms} & images & peak \\"),
        Latex(r"\cmidrule(lr){2-4} \cmidrule(lr){5-8}"),
        Latex(r"$P$ & floor & step & ratio & arithmetic & traffic & floor & step & a second & MiB \\"),
    ]
    product, copy = cells(rates, "gflop_per_second", "gib_per_second", digits=1)
    caption = Latex(
        "Populations of Gumbel-Softmax runs trained side by side as one stacked computation, recorded, not compiled. "
        f"Arithmetic: the products' operations at the rate of one large product ({product} GFLOP a second); traffic: "
        f"the bytes of products and Adam at the rate of a large copy ({copy} GiB a second{mark('', rates)}). "
        f"{symbols(machine)}.{note(rates, *shown.values())}"
    )
    return table("population", caption, [Panel(Latex("r" * 10), header, body)], size="footnotesize")


def populated(preset: Preset, found: Measured) -> dict[int, Metrics]:
    """Metrics of the populations that were measured, by the number of their members."""
    return {case.members: found[name] for name, case in populations(preset).items() if name in found}


def growth_table(preset: Preset, found: Measured) -> Latex:
    """Step and floor as the model and the batch grow."""
    body: list[Row | Latex] = []
    shown = grown(preset, found)
    for name, own in shown.items():
        body += [RULE] * bool(body)
        for size, metrics in own.items():
            names = ("floor_ms", "step_ms", "step_over_floor", "examples_per_second", "peak_mib")
            body.append([mark(symbols(f"{name} = {size}"), metrics), *cells(metrics, *names)])
    header = [Latex(r"Changed from the thesis & floor, ms & step, ms & ratio & images a second & peak, MiB \\")]
    marked = note(*(metrics for own in shown.values() for metrics in own.values()))
    caption = Latex(f"Growth of the Gumbel-Softmax step, one size changed at a time; recorded, not compiled.{marked}")
    return table("growth", caption, [Panel(Latex("lrrrrr"), header, body)], size="footnotesize")


def grown(preset: Preset, found: Measured) -> dict[str, dict[int, Metrics]]:
    """Metrics by what grows and by its sizes, of those that were measured."""
    made = {
        name: {size: found[f"{name} = {size}"] for size in sizes if f"{name} = {size}" in found}
        for name, (_, sizes) in preset.growth.items()
    }
    return {name: own for name, own in made.items() if own}


def evaluation_table(preset: Preset, found: Measured, results: pd.DataFrame, runs: Sequence[Run]) -> Latex:
    """Speed of the importance-weighted bound, and what lower precision costs."""
    shown = {members: each for members in preset.evaluated if (each := found.get(f"evaluation, P = {members}"))}
    speed: list[Row | Latex] = []
    for members, metrics in shown.items():
        whole = 5000 * 10_000 * members / metrics["decoded_per_second"] / 60
        own = cells(metrics, "evaluation_over_floor", "decoded_per_second")
        speed.append([mark(members, metrics), *own, number(whole, 1)])
    panels = [Panel(Latex("rrrr"), [Latex(r"$P$ & ratio & decoded a second & bound, min \\")], speed)]
    below = ""
    if runs:
        precision: list[Row | Latex] = []
        for name in dict.fromkeys(run.config.precision for run in runs):
            values = by_seed(results, f"precision {name}", "validation", "elbo")
            group = [run for run in runs if run.config.precision == name]
            seconds = max(sum(session.get("seconds", 0.0) for session in run.sessions()) for run in group)
            precision.append([name, mean_ci(values), number(seconds, 0)])
        panels.append(Panel(Latex("lrr"), [Latex(r"Arithmetic & ELBO, nats & seconds \\")], precision))
        epochs, count = runs[0].config.epochs, len({run.config.seed for run in runs})
        below = (
            f" Below: validation ELBO of Gumbel-Softmax after {epochs} epoch{'s' * (epochs > 1)} by the arithmetic of "
            f"its products, mean and 95\\% interval over {count} seed{'s' * (count > 1)} trained side by side, and the "
            "seconds that took with validation."
        )
    caption = Latex(
        "Above: the importance-weighted bound, measured with 1,000 samples of 200 images; ratio to the decoder's "
        "products alone, decoded samples a second, and the minutes that 5,000 samples of 10,000 images take at that "
        f"rate for all $P$ runs (computed, not run).{below}{note(*shown.values())}"
    )
    return table("evaluation", caption, panels, size="footnotesize")
