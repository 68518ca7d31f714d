"""How fast a training step is, beside the work that no step can do without, alone and for populations."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator

import discrete_vae.runs
from discrete_vae.config import Config
from discrete_vae.errors import InputError
from discrete_vae.files import write_atomically
from discrete_vae.progress import terminal_progress
from discrete_vae.runs import Run
from discrete_vae.strategies import STRATEGIES
from reports.figures import COLOURS, DASHES, figure
from reports.latex import Latex, number, render, symbols
from reports.measure import MIB, Case
from reports.report import Bench, Report
from reports.tables import COLUMNS, MISSING, RULE, Panel, Row, by_seed, measured, spread, table
from reports.thesis import network

GROWTH: Mapping[str, tuple[str, Sequence[int]]] = {
    "latents N": ("latents", (10, 30, 100, 300)),
    "categories K": ("categories", (2, 5, 10, 50, 200)),
    "hidden width": ("hidden", (125, 250, 500, 1000, 2000)),
    "batch": ("batch_size", (25, 100, 400, 1600)),
}
EVALUATION_MEMBERS = (1, 4)
DEVICE = "device"
BESIDE = ", beside Gumbel-Softmax"
LEARNED = "target-propagation, learned inverse"


@dataclass(frozen=True)
class Preset:
    """How long is measured and how far."""

    summary: str
    seconds: float
    """Of each measurement."""
    members: int
    """The largest population."""
    growth: int
    """Every how many-th size of the growth is measured."""
    epochs: int
    """Of the runs that show what lower precision costs."""
    seeds: tuple[int, ...]
    whole: bool
    """Whether every strategy is measured on one thread too, and compiled."""
    base: Config = Config()  # noqa: RUF009
    """What is measured, and changed from."""


PRESETS = {
    "quick": Preset("a second a measurement, populations to 4, one short run a precision", 1.0, 4, 2, 1, (0,), False),
    "full": Preset(
        "six seconds a measurement, populations to 256, precisions over 5 epochs", 6.0, 256, 1, 5, (0, 1, 2), True
    ),
}

Measured = Mapping[str, Mapping[str, float]]
"""Metrics by the name of a row."""


def make(preset: Preset, bench: Bench) -> None:
    """Measure what is missing, each case in a process of its own, then write tables, figures and the document."""
    threads = torch.get_num_threads()
    cases = {DEVICE: Case(preset.base, loop="device", seconds=preset.seconds)}
    cases |= strategies(preset, threads) | growth(preset) | evaluations(preset)
    found, environments = measure_all(cases, bench)
    populations = population_curve(preset, bench, environments)
    found |= {name: metrics for name, (_, metrics) in populations.items()}
    cases |= {name: case for name, (case, _) in populations.items()}
    runs = bench.train(precisions(preset, bench.device))
    bench.evaluate(runs, "validation", 1)

    frames = [tidy(bench, name, cases[name], metrics) for name, metrics in found.items()]
    frames += [measured(bench.report, f"precision {run.config.precision}", run, {"validation": 1}) for run in runs]
    results = pd.concat(frames, ignore_index=True)
    bench.write_results(results)
    machine = environments[0]["machine"]
    bench.write("strategies.tex", strategies_table(preset, found, counts(preset, threads), machine))
    bench.write("strategies.md", readme_table(preset, found, counts(preset, threads)))
    bench.write("population.tex", population_table({name: cases[name] for name in populations}, found, machine))
    bench.write("growth.tex", growth_table(found))
    bench.write("evaluation.tex", evaluation_table(found, results, runs))
    draw_population(bench.out, {cases[name].members: found[name] for name in populations})
    draw_growth(bench.out, found)
    bench.write_provenance(
        runs,
        machine=machine,
        measured_in=environments,
        cases={name: case.to_dict() for name, case in cases.items()},
    )
    parts = ["strategies.tex", "population.tex", "growth.tex", "evaluation.tex", "population.pdf", "growth.pdf"]
    bench.write_document(render("throughput.tex", machine=machine, threads=threads), parts)


def rows(preset: Preset) -> dict[str, Config]:
    """The strategies, and target propagation with a network of its own."""
    found = {name: replace(preset.base, strategy=name, options=None) for name in STRATEGIES}
    learned = STRATEGIES["target-propagation"].Options("network")
    return found | {LEARNED: replace(preset.base, strategy="target-propagation", options=learned)}


def strategies(preset: Preset, threads: int) -> dict[str, Case]:
    """Each strategy on one thread and on all, recorded and compiled; and the plain loop."""
    cases = {}
    for count in counts(preset, threads):
        for name, config in rows(preset).items():
            first = config == preset.base
            case = Case(config, threads=count, epoch=first and count == threads, seconds=preset.seconds)
            cases[label(name, count)] = case
            if preset.whole or first:
                cases[label(name, count, compiled=True)] = replace(case, compiled=True, epoch=False)
            if not first:
                cases[label(name, count) + BESIDE] = replace(case, loop="beside")
        cases[label("textbook", count)] = Case(preset.base, threads=count, loop="textbook", seconds=preset.seconds)
    return cases


def counts(preset: Preset, threads: int) -> list[int]:
    """Numbers of threads that the strategies are measured on."""
    return list(dict.fromkeys((1, threads) if preset.whole else (threads,)))


def label(name: str, threads: int, compiled: bool = False) -> str:
    """What a measurement of a strategy is called."""
    return f"{name}, {threads} thread{'s' * (threads > 1)}{', compiled' * compiled}"


def growth(preset: Preset) -> dict[str, Case]:
    """Gumbel-Softmax on larger and smaller models and batches."""
    cases = {}
    for name, (field, sizes) in GROWTH.items():
        for size in sizes[:: preset.growth]:
            values: dict[str, Any] = {field: (size,) if field == "hidden" else size}
            config = (
                replace(preset.base, **values)
                if field == "batch_size"
                else replace(preset.base, architecture=replace(preset.base.architecture, **values))
            )
            cases[f"{name} = {size}"] = Case(config, seconds=preset.seconds)
    return cases


def evaluations(preset: Preset) -> dict[str, Case]:
    """The importance-weighted bound."""
    return {
        f"evaluation, P = {members}": Case(preset.base, members, loop="evaluation", seconds=preset.seconds)
        for members in EVALUATION_MEMBERS
    }


def precisions(preset: Preset, device: torch.device) -> list[Config]:
    """Runs that differ in their arithmetic; TF32 is CUDA's."""
    names = ("float32", "tf32", "bfloat16") if device.type == "cuda" else ("float32", "bfloat16")
    return [
        replace(preset.base, epochs=preset.epochs, precision=name, seed=seed)  # type: ignore[arg-type]
        for name in names
        for seed in preset.seeds
    ]


def measure_all(cases: Mapping[str, Case], bench: Bench) -> tuple[dict[str, dict[str, float]], list[dict[str, Any]]]:
    """Metrics of every case, and the environments that they were measured in."""
    found, environments = {}, []
    with (
        terminal_progress() as progress,
        progress.counting(f"{len(cases)} measurements", len(cases)) as done,
    ):
        for name, case in cases.items():
            found[name], environment = measure(case, bench)
            environments += [environment] if environment not in environments else []
            done(1)
    return found, environments


def measure(case: Case, bench: Bench) -> tuple[dict[str, float], dict[str, Any]]:
    """Metrics of a case and their environment: those of the runs' folder, or of a new process.

    Raises ``InputError`` where the process ends badly, as it does without memory.
    """
    asked = {"case": case.to_dict(), "device": str(bench.device), "threads": torch.get_num_threads()}
    key = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]
    path = bench.runs / "throughput" / f"{key}.json"
    if not path.exists():
        command = [sys.executable, "-m", "reports.measure", json.dumps(asked)]
        paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        child = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        child |= {"OMP_NUM_THREADS": str(torch.get_num_threads())}
        ended = subprocess.run(command, env=child, capture_output=True, text=True, check=False)
        if ended.returncode:
            reason = (ended.stderr.strip().splitlines() or [f"exit {ended.returncode}"])[-1]
            raise InputError(f"a measurement of {case.config.strategy} x {case.members} failed: {reason}")
        environment = discrete_vae.runs.environment(bench.device)
        environment |= {"machine": describe(bench.device), "memory_mib": memory(bench.device)}
        environment.pop("command")
        metrics = json.loads(ended.stdout.strip().splitlines()[-1])
        write_atomically(path, json.dumps(asked | {"metrics": metrics, "environment": environment}, indent=2) + "\n")
    stored = json.loads(path.read_text())
    return stored["metrics"], stored["environment"]


def population_curve(
    preset: Preset, bench: Bench, environments: list[dict[str, Any]]
) -> dict[str, tuple[Case, dict[str, float]]]:
    """Gumbel-Softmax with 1, 2, 4 ... members, as far as the preset and the memory go."""
    found: dict[str, tuple[Case, dict[str, float]]] = {}
    sizes = [2**i for i in range(preset.members.bit_length())]
    with terminal_progress() as progress, progress.counting("populations", sum(sizes)) as done:
        for members in sizes:
            case = Case(preset.base, members, seconds=preset.seconds)
            metrics, environment = measure(case, bench)
            environments += [environment] if environment not in environments else []
            found[f"population, P = {members}"] = case, metrics
            done(members)
            # Twice as many, and the floor's own matrices; by what is stored, so that a second call stops here too.
            if 2 * 2.5 * metrics["peak_mib"] > environment["memory_mib"]:
                break
    return found


def memory(device: torch.device) -> int:
    """MiB of memory that the device has."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory // MIB
    return int(psutil.virtual_memory().total) // MIB


def tidy(bench: Bench, name: str, case: Case, metrics: Mapping[str, float]) -> pd.DataFrame:
    """A case's numbers, one a line."""
    known = {
        "report": bench.report,
        "row": name,
        "strategy": case.config.strategy if case.loop != "textbook" else "textbook",
        "parameters": json.dumps(case.to_dict(), sort_keys=True),
    }
    lines = [{**known, "metric": metric, "value": value} for metric, value in metrics.items()]
    return pd.DataFrame(lines).reindex(columns=COLUMNS)


def describe(device: torch.device) -> str:
    """The machine in a line, for captions and provenance."""
    known = discrete_vae.runs.environment(device)
    blas = "MKL" if torch.backends.mkl.is_available() else "no MKL"  # type: ignore[no-untyped-call]
    kind = f"{torch.backends.cpu.get_cpu_capability()}, {known['cores']} cores"
    if device.type == "cuda":
        kind = f"CUDA {torch.version.cuda}"
    size = f"{memory(device) / 2**10:.0f} GiB"
    return f"{known['device']}, {kind}, {size}; torch {known['packages']['torch']}, {blas}"


def cell(metrics: Mapping[str, float] | None, name: str, digits: int = 2) -> Latex:
    """A metric, or a dash where it was not measured."""
    return MISSING if metrics is None or name not in metrics else number(metrics[name], digits)


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
                    symbols(name),
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
                "textbook loop (Gumbel-Softmax)",
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
        f"{symbols(machine)}."
    )
    return table(
        "strategies", caption, [Panel(Latex("l" + "r" * 9), header, body)], size="footnotesize", separation="4pt"
    )


def readme_table(preset: Preset, found: Measured, threads: Sequence[int]) -> str:
    """Ratios to the floor in Markdown, for the README."""
    columns = [(count, compiled) for count in threads for compiled in (False, True)]
    heads = [f"{count} thread{'s' * (count > 1)}{', compiled' * compiled}" for count, compiled in columns]
    lines = [["step over floor", *heads], ["---", *["---:"] * len(heads)]]
    for name in rows(preset):
        metrics = [found.get(label(name, count, compiled)) or {} for count, compiled in columns]
        lines.append([f"`{name}`", *(f"{each['step_over_floor']:.2f}" if each else "" for each in metrics)])
    first = [found[label(preset.base.strategy, count)] for count in threads]
    plain = [found[label("textbook", count)] for count in threads]
    ratios = [f"{mine['step_ms'] / other['floor_ms']:.2f}" for mine, other in zip(plain, first, strict=True)]
    lines.append(["textbook loop, Gumbel-Softmax", *(cell for ratio in ratios for cell in (ratio, ""))])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def population_table(cases: Mapping[str, Case], found: Measured, machine: str) -> Latex:
    """Time for a member in populations of growing size, and what bounds it."""
    rates = found[DEVICE]
    body: list[Row | Latex] = [
        [
            case.members,
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
        f"of a large copy ({cell(rates, 'gib_per_second', 1)} GiB a second), which small populations undercut in "
        f"caches. {symbols(machine)}."
    )
    return table("population", caption, [Panel(Latex("r" * 10), header, body)], size="footnotesize")


def growth_table(found: Measured) -> Latex:
    """Step and floor as the model and the batch grow."""
    body: list[Row | Latex] = []
    for name in GROWTH:
        body += [RULE] * bool(body)
        body += [
            [
                symbols(row),
                *(cell(metrics, each) for each in ("floor_ms", "step_ms", "step_over_floor")),
                cell(metrics, "examples_per_second", 0),
                cell(metrics, "peak_mib", 0),
            ]
            for row, metrics in found.items()
            if row.startswith(f"{name} = ")
        ]
    header = [Latex(r"Changed from the thesis & floor, ms & step, ms & ratio & images a second & peak, MiB \\")]
    caption = Latex("Growth of the Gumbel-Softmax step, one size changed at a time; recorded, not compiled.")
    return table("growth", caption, [Panel(Latex("lrrrrr"), header, body)], size="footnotesize")


def evaluation_table(found: Measured, results: pd.DataFrame, runs: Sequence[Run]) -> Latex:
    """Speed of the importance-weighted bound, and what lower precision costs."""
    speed: list[Row | Latex] = []
    for members in EVALUATION_MEMBERS:
        metrics = found[f"evaluation, P = {members}"]
        whole = 5000 * 10_000 * members / metrics["decoded_per_second"] / 60
        speed.append(
            [
                members,
                cell(metrics, "evaluation_over_floor"),
                cell(metrics, "decoded_per_second", 0),
                number(whole, 1),
            ]
        )
    precision: list[Row | Latex] = []
    for name in dict.fromkeys(run.config.precision for run in runs):
        values = by_seed(results, f"precision {name}", "validation", "elbo")
        group = [run for run in runs if run.config.precision == name]
        seconds = [sum(session["seconds"] for session in run.sessions()) for run in group]
        precision.append([name, spread(values), number(max(seconds), 0)])
    epochs, count = runs[0].config.epochs, len({run.config.seed for run in runs})
    caption = Latex(
        "Above: the importance-weighted bound, measured with 1,000 samples of 200 images; ratio to the decoder's "
        "products alone, decoded samples a second, and the minutes that 5,000 samples of 10,000 images take at that "
        "rate for all $P$ runs (computed, not run). Below: validation ELBO of Gumbel-Softmax after "
        f"{epochs} epoch{'s' * (epochs > 1)} by the arithmetic of its products, mean and 95\\% interval over "
        f"{count} seed{'s' * (count > 1)} trained side by side, and the seconds that took with validation."
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


def draw_growth(out: Path, found: Measured) -> None:
    """Step and floor against each size."""
    with figure(out, "growth", height=2.1) as drawing:
        panels: Sequence[Axes] = drawing.subplots(1, len(GROWTH), squeeze=False)[0]
        for axes, (name, (_, sizes)) in zip(panels, GROWTH.items(), strict=True):
            measured_sizes = [size for size in sizes if f"{name} = {size}" in found]
            for i, metric in enumerate(("step_ms", "floor_ms")):
                values = [found[f"{name} = {size}"][metric] for size in measured_sizes]
                style: dict[str, Any] = {"color": COLOURS[i], "linestyle": DASHES[i], "marker": "o", "markersize": 3}
                axes.plot(measured_sizes, values, label=metric.removesuffix("_ms"), **style)
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_xticks(measured_sizes, [str(each) for each in measured_sizes])
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.minorticks_off()
            axes.set(xlabel=name)
        panels[0].set_ylabel("ms a step")
        panels[0].legend()


REPORT = Report("throughput", "training steps beside their floor, populations, growth, evaluation", PRESETS, make)
