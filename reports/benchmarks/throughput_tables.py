"""The throughput report's tables; what was not measured is a dash, and a table of nothing is left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd

from discrete_vae.config import Config
from reports.benchmarks.marks import Measured, Metrics, cells, mark, note
from reports.benchmarks.measurements import by_row
from reports.benchmarks.throughput_cases import BESIDE, DEVICE, Preset, counts, label, on, populations, rows
from reports.kit.names import network
from reports.kit.prose import code
from reports.kit.results import Metric
from reports.kit.table import Cell, Column, Number, Section, Table

TEXTBOOK = "textbook loop (Gumbel-Softmax)"
HEADS = (
    *(Column("strategy", text=True), Column("products"), Column("floor, ms")),
    *(Column("ms", "recorded"), Column("ratio", "recorded"), Column("ms", "compiled"), Column("ratio", "compiled")),
    *(Column("to GS"), Column("images a second"), Column("peak, MiB")),
)
STEP = ("floor_ms", "step_ms", "step_over_floor")


class Line(NamedTuple):
    """What was measured of a strategy on a number of threads."""

    recorded: Metrics | None = None
    compiled: Metrics | None = None
    beside: Metrics | None = None

    def cells(self) -> list[Cell]:
        """Cells of ``HEADS`` except the first."""
        return [
            *cells(self.recorded, "products", *STEP),
            *cells(self.compiled, "step_ms", "step_over_floor"),
            *cells(self.beside, "step_over_gumbel_softmax"),
            *cells(self.compiled or self.recorded, "examples_per_second"),
            *cells(self.recorded, "peak_mib"),
        ]


def lines(preset: Preset, found: Measured, count: int) -> dict[str, Line]:
    """By strategy, those measured on ``count`` threads; the textbook loop is compared with the first one's floor."""
    made: dict[str, Line] = {
        code(name): Line(found[own], found.get(label(name, count, compiled=True)), found.get(own + BESIDE))
        for name in rows(preset)
        if (own := label(name, count)) in found
    }
    if plain := found.get(label("textbook", count)):
        first = found.get(label(preset.base.strategy, count))
        ratio = {"step_over_floor": plain["step_ms"] / first["floor_ms"]} if first else {}
        made[TEXTBOOK] = Line({**plain, **ratio})
    return made


def tables(preset: Preset, results: pd.DataFrame, provenance: Mapping[str, Any]) -> list[Table]:
    """All that have rows, from a table of results and its provenance."""
    found, settings = by_row(results), provenance["settings"]
    machine = settings["machine"]
    seconds: dict[str, float] = {}
    for run in provenance["runs"]:
        name = Config.from_dict(run["configuration"]).precision
        seconds[name] = seconds.get(name, 0.0) + run["training_seconds"]
    made = [
        strategies(preset, found, settings["measured_in"][0]["threads"], machine),
        population(preset, found, machine),
        growth(preset, found),
        evaluation(preset, found),
        precision(preset, results, seconds),
    ]
    return [each for each in made if each.rows]


def strategies(preset: Preset, found: Measured, threads: int, machine: str) -> Table:
    """Floor, step, ratio, images a second and memory of each strategy."""
    made = {count: lines(preset, found, count) for count in counts(preset, threads)}
    body: list[Any] = []
    for count, own in made.items():
        body += [Section(on(count))] * bool(own)
        body += [[mark(name, *line), *line.cells()] for name, line in own.items()]
    epoch = "".join(
        f" An epoch of Gumbel-Softmax, recorded, takes {each['epoch_over_steps']:.4f} times its steps, and the "
        f"validation behind it {each['validation_over_epoch']:.1%} of that."
        for each in found.values()
        if "epoch_over_steps" in each
    )
    caption = (
        f"A training step of one run of {network(preset.base.architecture)}, batch {preset.base.batch_size}, beside "
        "its floor: its matrix products and one update of the same shapes by PyTorch's fused Adam, floor and step "
        "called in turn in one process (medians). Recorded: as it runs by default; compiled: with `--compile`, whose "
        "ratio is to the floor measured beside it. To GS: the recorded step beside one of Gumbel-Softmax in the same "
        f"process. Images a second: compiled where that was measured.{epoch} The textbook loop (Dataset, DataLoader, "
        f"eager modules) is compared with the floor of the Gumbel-Softmax row. {machine}."
    )
    shown = [metrics for own in made.values() for line in own.values() for metrics in line]
    return Table("strategies", caption + note(shown), HEADS, body)


def ratios(preset: Preset, found: Measured, threads: int) -> Table:
    """Ratios to the floor, for the README."""
    columns = [lines(preset, found, count) for count in counts(preset, threads)]
    body: list[list[Cell]] = []
    for name in dict.fromkeys(name for column in columns for name in column):
        shown = [each for column in columns for each in column.get(name, Line())[:2]]
        body.append([mark(name, *shown), *(cell for each in shown for cell in cells(each, "step_over_floor"))])
    heads = [f"{on(count)}{', compiled' * compiled}" for count in counts(preset, threads) for compiled in (0, 1)]
    return Table("ratios", "", [Column("step over floor", text=True), *map(Column, heads)], body)


def population(preset: Preset, found: Measured, machine: str) -> Table:
    """Time for a member in populations of growing size, and what bounds it; without the device's rates no rows."""
    rates = found.get(DEVICE, {"gflop_per_second": 0.0, "gib_per_second": 0.0})
    shown = populated(preset, found) if DEVICE in found else {}
    body: list[list[Cell]] = []
    for members, metrics in shown.items():
        bounds = {
            "arithmetic": metrics["gflop"] / rates["gflop_per_second"] * 1e3,
            "traffic": metrics["traffic_mib"] / 2**10 / rates["gib_per_second"] * 1e3,
        }
        alone = {name: value / members for name, value in ({**metrics, **bounds}).items()}
        member = cells(alone, "arithmetic", "traffic", "floor_ms", "step_ms")
        rest = cells(metrics, "examples_per_second", "peak_mib")
        body.append([mark(members, metrics), *cells(metrics, *STEP), *member, *rest])
    heads = [Column("P"), *(Column(each, "population, ms") for each in ("floor", "step", "ratio"))]
    heads += [Column(each, "member, ms") for each in ("arithmetic", "traffic", "floor", "step")]
    product, copy = rates["gflop_per_second"], rates["gib_per_second"]
    caption = (
        "Populations of Gumbel-Softmax runs trained side by side as one stacked computation, recorded, not compiled. "
        f"Arithmetic: the products' operations at the rate of one large product ({product:.0f} GFLOP a second); "
        f"traffic: the bytes of products and Adam at the rate of a large copy ({copy:.1f} GiB a second). {machine}."
    )
    every = [rates, *shown.values()]
    return Table("population", caption + note(every), [*heads, Column("images a second"), Column("peak, MiB")], body)


def populated(preset: Preset, found: Measured) -> dict[int, Metrics]:
    """Metrics of the populations that were measured, by the number of their members."""
    return {case.members: found[name] for name, case in populations(preset).items() if name in found}


def growth(preset: Preset, found: Measured) -> Table:
    """Step and floor as the model and the batch grow."""
    body: list[Any] = []
    shown = grown(preset, found)
    for name, own in shown.items():
        body += [Section()] * bool(body)
        for size, metrics in own.items():
            body.append([mark(f"{name} = {size}", metrics), *cells(metrics, *STEP, "examples_per_second", "peak_mib")])
    heads = [Column(each) for each in ("floor, ms", "step, ms", "ratio", "images a second", "peak, MiB")]
    caption = "Growth of the Gumbel-Softmax step, one size changed at a time; recorded, not compiled."
    caption += note(metrics for own in shown.values() for metrics in own.values())
    return Table("growth", caption, [Column("changed from the thesis", text=True), *heads], body)


def grown(preset: Preset, found: Measured) -> dict[str, dict[int, Metrics]]:
    """Metrics by what grows and by its sizes, of those that were measured."""
    made = {
        name: {size: found[f"{name} = {size}"] for size in sizes if f"{name} = {size}" in found}
        for name, (_, sizes) in preset.growth.items()
    }
    return {name: own for name, own in made.items() if own}


def evaluation(preset: Preset, found: Measured) -> Table:
    """Speed of the importance-weighted bound."""
    shown = {members: each for members in preset.evaluated if (each := found.get(f"evaluation, P = {members}"))}
    body: list[list[Cell]] = []
    for members, metrics in shown.items():
        minutes = Number(5000 * 10_000 * members / metrics["decoded_per_second"] / 60, digits=1)
        body.append([mark(members, metrics), *cells(metrics, "evaluation_over_floor", "decoded_per_second"), minutes])
    caption = (
        "The importance-weighted bound, measured with 1,000 samples of 200 images; ratio to the decoder's products "
        "alone, decoded samples a second, and the minutes that 5,000 samples of 10,000 images take at that rate for "
        "all P runs (computed, not run)."
    )
    heads = [Column(each) for each in ("P", "ratio", "decoded a second", "bound, min")]
    return Table("evaluation", caption + note(shown.values()), heads, body)


def precision(preset: Preset, results: pd.DataFrame, seconds: Mapping[str, float]) -> Table:
    """What lower precision costs; ``seconds``: of all runs of an arithmetic."""
    body: list[list[Cell]] = [
        [name, Number.mean(Metric("validation", "elbo").of(results, f"precision {name}")), Number(spent, digits=0)]
        for name, spent in seconds.items()
    ]
    epochs, count = preset.epochs, len(preset.seeds)
    caption = (
        f"Validation ELBO of Gumbel-Softmax after {epochs} epoch{'s' * (epochs > 1)} by the arithmetic of its "
        f"products, mean and 95% interval over {count} seed{'s' * (count > 1)} trained side by side, and the seconds "
        "that took with validation."
    )
    heads = [Column("arithmetic", text=True), Column("ELBO, nats"), Column("seconds")]
    return Table("precision", caption, heads, body)
