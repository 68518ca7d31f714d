"""The deterministic auto-encoder of the thesis' section 3.3: difference target propagation beside backpropagation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from discrete_vae.config import Config
from discrete_vae.evaluation import statistics
from discrete_vae.schedules import Schedule
from discrete_vae.tasks import Architecture
from reports.kit.context import Report, ReportContext, strategies
from reports.kit.figures import COLOURS, DASHES, figure
from reports.kit.latex import Latex, render
from reports.kit.tables import Panel, by_seed, evaluation_rows, mean_ci, table

ROWS = {
    "Backpropagation": "auto-encoder",
    "Difference target propagation": "target-propagation-auto-encoder",
}
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Preset:
    """How much is trained."""

    epochs: int
    seeds: tuple[int, ...]
    rates: Sequence[float] = (3e-4, 1e-3)
    """Adam's learning rates; both rows have each of them."""
    base: Config = field(default_factory=lambda: Config(architecture=Architecture(latents=30)))

    @property
    def summary(self) -> str:
        """What it computes, in a line."""
        return (
            f"{self.epochs} epochs, {len(self.seeds)} seeds, learning rates {', '.join(map('{:g}'.format, self.rates))}"
        )


def make(preset: Preset, bench: ReportContext) -> None:
    """Train and evaluate what is missing, then write the table, the figure and the document."""
    rows = {
        f"{name}, lr {rate:g}": [
            preset.base.refitted(
                strategy=strategy,
                options=None,
                learning_rate=Schedule(rate),
                epochs=preset.epochs,
                seed=seed,
            )
            for seed in preset.seeds
        ]
        for name, strategy in ROWS.items()
        for rate in preset.rates
    }
    samples = dict.fromkeys(SPLITS, 1)
    runs = {name: bench.train(configs, samples=samples) for name, configs in rows.items()}
    every = [run for group in runs.values() for run in group]
    results = pd.concat(
        [evaluation_rows(bench.report, name, run, samples) for name, group in runs.items() for run in group],
        ignore_index=True,
    )
    bench.write_results(results)

    columns = [{row: by_seed(results, row, split, "reconstruction_hard") for row in rows} for split in SPLITS]
    winners = [statistics.winner(column) for column in columns]
    body = [
        [row, *(mean_ci(column[row], row == best) for column, best in zip(columns, winners, strict=True))]
        for row in rows
    ]
    caption = Latex(
        "Reconstruction log-likelihood of binarised MNIST by a deterministic auto-encoder, nats an image, higher is "
        rf"better: mean $\pm$ 95\% interval over {len(preset.seeds)} seeds, {preset.epochs} epochs; bold: best of its "
        r"column in a paired $t$-test over seeds ($p < 0.05$ after Holm's correction)."
    )
    panel = Panel(Latex("lrrr"), [Latex(r"& train & validation & test \\")], body)
    bench.write("auto_encoder_table.tex", table("auto_encoder", caption, [panel]))
    with figure(bench.out, "auto_encoder_curves", height=2.2, width=4.5) as drawing:
        axes = drawing.subplots()
        for i, (row, group) in enumerate(runs.items()):
            history = pd.concat([run.history() for run in group])
            found = history[(history["split"] == "validation") & (history["metric"] == "reconstruction_hard")]
            mean = found.groupby("epoch")["value"].mean()
            axes.plot(mean.index, mean, color=COLOURS[i], linestyle=DASHES[i], label=row)
        axes.set(xlabel="epoch", ylabel="validation reconstruction (nats)")
        axes.legend(loc="lower right")
    bench.write_provenance(every, samples=samples, epochs=preset.epochs)
    source = render("auto_encoder.tex", latents=preset.base.architecture.latents)
    bench.write_document(
        source, ["auto_encoder_table.tex", "auto_encoder_curves.pdf"], strategies(run.config for run in every)
    )


PRESETS = {"quick": Preset(3, (0, 1)), "full": Preset(20, (0, 1, 2))}
REPORT = Report(
    "auto-encoder", "the thesis' deterministic auto-encoder by target propagation and by backpropagation", PRESETS, make
)
