"""The throughput report's tables and figures."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator

from discrete_vae.runs import Run
from reports.kit.figures import COLOURS, DASHES, figure
from reports.kit.latex import Latex, escape, number, symbols
from reports.kit.markdown import Markdown, code
from reports.kit.markdown import table as markdown_table
from reports.kit.tables import MISSING, RULE, Panel, Row, by_seed, mean_ci, table
from reports.load import TRIES
from reports.measure import Case
from reports.thesis import network
from reports.throughput_cases import BESIDE, DEVICE, Growth, Preset, label, rows

Measured = Mapping[str, Mapping[str, float]]
"""Metrics by the name of a row."""


def cell(metrics: Mapping[str, float] | None, name: str, digits: int = 2) -> Latex:
    """A metric, or a dash where it was not measured."""
    return MISSING if metrics is None or name not in metrics else number(metrics[name], digits)


def mark(text: object, *metrics: Mapping[str, float] | None) -> Latex:
    """A row's head, with a star where a measurement of the row was disturbed."""
    return Latex(f"{escape(text)}{'$^{*}$' * _disturbed(metrics)}")


def note(*metrics: Mapping[str, float] | None) -> Latex:
    """What the star of ``mark`` says, at the end of a caption; nothing where there is none."""
    said = f" $^{{*}}$: other processes disturbed the measurement in each of {TRIES} tries."
    return Latex(said if _disturbed(metrics) else "")


def markdown_note(*metrics: Mapping[str, float] | None) -> str:
    """The same below a Markdown table."""
    said = f"\n\\*: other processes disturbed the measurement in each of {TRIES} tries.\n"
    return said if _disturbed(metrics) else ""


def _disturbed(metrics: Sequence[Mapping[str, float] | None]) -> bool:
    return any(each.get("disturbed") for each in metrics if each)


def beside(metrics: Mapping[str, float]) -> str:
    """What went on beside a measurement, in words."""
    return (
        f"others took {metrics['other_load']:.1f} cores; times of the same work spread by "
        f"{metrics['floor_spread']:.0%} (interquartile range over median) and drifted by {metrics['floor_drift']:.0%}"
    )


def strategies_table(preset: Preset, found: Measured, threads: Sequence[int], machine: str) -> Latex:
    """Floor, step, ratio, images a second and memory of each strategy."""
    body: list[Row | Latex] = []
    for count in threads:
        body += [RULE] * bool(body)
        body.append(Latex(rf"\multicolumn{{10}}{{@{{}}l}}{{\textit{{{count} thread{'s' * (count > 1)}}}}} \\"))
        for name in rows(preset):
            plain, compiled = found[label(name, count)], found.get(label(name, count, compiled=True))
            body.append(
                [
                    mark(symbols(name), plain, compiled, found.get(label(name, count) + BESIDE)),
                    cell(plain, "products", 0),
                    cell(plain, "floor_ms"),
                    cell(plain, "step_ms"),
                    cell(plain, "step_over_floor"),
                    cell(compiled, "step_ms"),
                    cell(compiled, "step_over_floor"),
                    cell(found.get(label(name, count) + BESIDE), "step_over_gumbel_softmax"),
                    cell(compiled or plain, "examples_per_second", 0),
                    cell(plain, "peak_mib", 0),
                ]
            )
        plain = found[label("textbook", count)]
        ratio = plain["step_ms"] / found[label(preset.base.strategy, count)]["floor_ms"]
        body.append(
            [
                mark("textbook loop (Gumbel-Softmax)", plain),
                *[MISSING] * 2,
                cell(plain, "step_ms"),
                number(ratio),
                *[MISSING] * 3,
                cell(plain, "examples_per_second", 0),
                cell(plain, "peak_mib", 0),
            ]
        )
    header = [
        Latex(r" & & floor & \multicolumn{2}{c}{recorded} & \multicolumn{2}{c}{compiled} & to & images & peak \\"),
        Latex(r"\cmidrule(lr){4-5} \cmidrule(lr){6-7}"),
        Latex(r"Strategy & products & ms & ms & ratio & ms & ratio & GS & a second & MiB \\"),
    ]
    epoch = next(metrics for metrics in found.values() if "epoch_over_steps" in metrics)
    shown = [metrics for name, metrics in found.items() if re.search(r", \d+ threads?", name)]
    caption = Latex(
        f"A training step of one run of {network(preset.base)}, batch {preset.base.batch_size}, beside its floor: "
        "its matrix products and one update of the same shapes by PyTorch's fused Adam, floor and step called in turn "
        "in one process (medians). Recorded: "
        "as it runs by default; compiled: with \\texttt{-{}-compile}, whose ratio is to the floor measured beside it. "
        "To GS: the recorded step beside one of Gumbel-Softmax in the same process. "
        "Images a second: compiled where that was measured. An epoch of Gumbel-Softmax, recorded, takes "
        f"{cell(epoch, 'epoch_over_steps', 4)} times its steps, and the validation behind it "
        f"{number(100 * epoch['validation_over_epoch'], 1)}\\% of that. The textbook loop "
        "(Dataset, DataLoader, eager modules) is compared with the floor of the Gumbel-Softmax row. "
        f"{symbols(machine)}.{note(*shown)}"
    )
    return table(
        "strategies", caption, [Panel(Latex("l" + "r" * 9), header, body)], size="footnotesize", separation="4pt"
    )


def readme_table(preset: Preset, found: Measured, threads: Sequence[int]) -> str:
    """Ratios to the floor in Markdown, for the README."""
    columns = [(count, compiled) for count in threads for compiled in (False, True)]
    heads = [f"{count} thread{'s' * (count > 1)}{', compiled' * compiled}" for count, compiled in columns]
    lines: list[list[object]] = []
    for name in rows(preset):
        metrics = [found.get(label(name, count, compiled)) or {} for count, compiled in columns]
        head = Markdown(code(name) + r" \*" * _disturbed(metrics))
        lines.append([head, *(f"{each['step_over_floor']:.2f}" if each else "" for each in metrics)])
    first = [found[label(preset.base.strategy, count)] for count in threads]
    plain = [found[label("textbook", count)] for count in threads]
    ratios = [f"{mine['step_ms'] / other['floor_ms']:.2f}" for mine, other in zip(plain, first, strict=True)]
    lines.append(
        [
            "textbook loop, Gumbel-Softmax" + " *" * _disturbed(plain),
            *(cell for ratio in ratios for cell in (ratio, "")),
        ]
    )
    shown = [found.get(label(name, *column)) for name in rows(preset) for column in columns]
    return markdown_table(["step over floor", *heads], lines) + markdown_note(*shown, *plain)


def population_table(cases: Mapping[str, Case], found: Measured, machine: str) -> Latex:
    """Time for a member in populations of growing size, and what bounds it."""
    rates = found[DEVICE]
    body: list[Row | Latex] = [
        [
            mark(case.members, metrics),
            cell(metrics, "floor_ms"),
            cell(metrics, "step_ms"),
            cell(metrics, "step_over_floor"),
            *(
                number(value / case.members)
                for value in (
                    metrics["gflop"] / rates["gflop_per_second"] * 1e3,
                    metrics["traffic_mib"] / 2**10 / rates["gib_per_second"] * 1e3,
                    metrics["floor_ms"],
                    metrics["step_ms"],
                )
            ),
            cell(metrics, "examples_per_second", 0),
            cell(metrics, "peak_mib", 0),
        ]
        for metrics, case in ((found[name], case) for name, case in cases.items())
    ]
    header = [
        Latex(r" & \multicolumn{3}{c}{population, ms} & \multicolumn{4}{c}{member, ms} & images & peak \\"),
        Latex(r"\cmidrule(lr){2-4} \cmidrule(lr){5-8}"),
        Latex(r"$P$ & floor & step & ratio & arithmetic & traffic & floor & step & a second & MiB \\"),
    ]
    caption = Latex(
        "Populations of Gumbel-Softmax runs trained side by side as one stacked computation, recorded, not compiled. "
        "Arithmetic: the products' operations at the rate of one large product "
        f"({cell(rates, 'gflop_per_second', 0)} GFLOP a second); traffic: the bytes of products and Adam at the rate "
        f"of a large copy ({cell(rates, 'gib_per_second', 1)} GiB a second{mark('', rates)}). "
        f"{symbols(machine)}.{note(rates, *(found[name] for name in cases))}"
    )
    return table("population", caption, [Panel(Latex("r" * 10), header, body)], size="footnotesize")


def growth_table(growth: Growth, found: Measured) -> Latex:
    """Step and floor as the model and the batch grow."""
    body: list[Row | Latex] = []
    for name in growth:
        body += [RULE] * bool(body)
        body += [
            [
                mark(symbols(row), metrics),
                *(cell(metrics, each) for each in ("floor_ms", "step_ms", "step_over_floor")),
                cell(metrics, "examples_per_second", 0),
                cell(metrics, "peak_mib", 0),
            ]
            for row, metrics in found.items()
            if row.startswith(f"{name} = ")
        ]
    header = [Latex(r"Changed from the thesis & floor, ms & step, ms & ratio & images a second & peak, MiB \\")]
    shown = [metrics for row, metrics in found.items() if row.partition(" = ")[0] in growth]
    caption = Latex(
        f"Growth of the Gumbel-Softmax step, one size changed at a time; recorded, not compiled.{note(*shown)}"
    )
    return table("growth", caption, [Panel(Latex("lrrrrr"), header, body)], size="footnotesize")


def evaluation_table(preset: Preset, found: Measured, results: pd.DataFrame, runs: Sequence[Run]) -> Latex:
    """Speed of the importance-weighted bound, and what lower precision costs."""
    speed: list[Row | Latex] = []
    for members in preset.evaluated:
        metrics = found[f"evaluation, P = {members}"]
        whole = 5000 * 10_000 * members / metrics["decoded_per_second"] / 60
        speed.append(
            [
                mark(members, metrics),
                cell(metrics, "evaluation_over_floor"),
                cell(metrics, "decoded_per_second", 0),
                number(whole, 1),
            ]
        )
    precision: list[Row | Latex] = []
    for name in dict.fromkeys(run.config.precision for run in runs):
        values = by_seed(results, f"precision {name}", "validation", "elbo")
        group = [run for run in runs if run.config.precision == name]
        seconds = [sum(session.get("seconds", 0.0) for session in run.sessions()) for run in group]
        precision.append([name, mean_ci(values), number(max(seconds), 0)])
    epochs, count = runs[0].config.epochs, len({run.config.seed for run in runs})
    caption = Latex(
        "Above: the importance-weighted bound, measured with 1,000 samples of 200 images; ratio to the decoder's "
        "products alone, decoded samples a second, and the minutes that 5,000 samples of 10,000 images take at that "
        "rate for all $P$ runs (computed, not run). Below: validation ELBO of Gumbel-Softmax after "
        f"{epochs} epoch{'s' * (epochs > 1)} by the arithmetic of its products, mean and 95\\% interval over "
        f"{count} seed{'s' * (count > 1)} trained side by side, and the seconds that took with validation."
        f"{note(*(found[f'evaluation, P = {members}'] for members in preset.evaluated))}"
    )
    return table(
        "evaluation",
        caption,
        [
            Panel(Latex("rrrr"), [Latex(r"$P$ & ratio & decoded a second & bound, min \\")], speed),
            Panel(Latex("lrr"), [Latex(r"Arithmetic & ELBO, nats & seconds \\")], precision),
        ],
        size="footnotesize",
    )


def draw_population(out: Path, found: Mapping[int, Mapping[str, float]]) -> None:
    """Time for a member against the size of the population."""
    members = list(found)
    with figure(out, "population", height=2.4, width=3.8) as drawing:
        axes = drawing.subplots()
        for i, (name, values) in enumerate(
            {
                "step": [metrics["member_ms"] for metrics in found.values()],
                "floor": [metrics["floor_ms"] / p for p, metrics in found.items()],
            }.items()
        ):
            axes.plot(members, values, color=COLOURS[i], linestyle=DASHES[i], marker="o", markersize=3, label=name)
        axes.set_xscale("log", base=2)
        axes.set_xticks(members, [str(each) for each in members])
        axes.set(xlabel="runs side by side, P", ylabel="ms a step and run")
        axes.set_ylim(bottom=0)
        axes.legend()


def draw_growth(out: Path, growth: Growth, found: Measured) -> None:
    """Step and floor against each size."""
    with figure(out, "growth", height=2.1) as drawing:
        panels: Sequence[Axes] = drawing.subplots(1, len(growth), squeeze=False)[0]
        for axes, (name, (_, sizes)) in zip(panels, growth.items(), strict=True):
            for i, metric in enumerate(("step_ms", "floor_ms")):
                values = [found[f"{name} = {size}"][metric] for size in sizes]
                style: dict[str, Any] = {"color": COLOURS[i], "linestyle": DASHES[i], "marker": "o", "markersize": 3}
                axes.plot(sizes, values, label=metric.removesuffix("_ms"), **style)
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_xticks(sizes, [str(each) for each in sizes])
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.minorticks_off()
            axes.set(xlabel=name)
        panels[0].set_ylabel("ms a step")
        panels[0].legend()
