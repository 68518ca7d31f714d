"""A critic in place of the KL: the averaged posterior pulled to the prior, beside the VAE on the VAE's yardstick."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import pandas as pd

from discrete_vae.config import Config
from discrete_vae.evaluation import statistics
from discrete_vae.runs import Run
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES
from discrete_vae.tasks import Architecture, CriticConfig
from reports.kit.context import Report, ReportContext, strategies
from reports.kit.figures import bare, figure
from reports.kit.latex import Latex, number, render
from reports.kit.search import BETA, TRIAL_SEED, edges, require_other_seeds, seeds_told, widened
from reports.kit.tables import RULE, Panel, by_seed, compared, evaluation_rows, mean_ci, table

LABELS = {"gumbel-softmax": "Gumbel-Softmax", "straight-through-gumbel-softmax": "ST-Gumbel-Softmax"}
PAPERS = "Makhzani et al. 2016; Gulrajani et al. 2017"
COLUMNS = {
    "elbo": "ELBO",
    "reconstruction_hard": "reconstr.",
    "kl": "KL",
    "log_likelihood": "IW bound",
}
DRAWN = 6, 6
"""Rows and columns of the samples that are shown."""


@dataclass(frozen=True)
class Preset:
    """How much is trained."""

    strategies: Mapping[str, Schedule]
    """With their temperatures."""
    betas: Sequence[float]
    """Weights of the critic's value that are tried."""
    epochs: int
    seeds: tuple[int, ...]
    samples: int
    """Of the bound on the test images."""
    base: Config
    trial_seed: int = TRIAL_SEED
    """Of the runs that the critic's weight is chosen by; none of ``seeds``."""

    def __post_init__(self) -> None:
        require_other_seeds([self.trial_seed], self.seeds)

    @property
    def summary(self) -> str:
        """What it computes, in a line."""
        betas = ", ".join(f"{beta:g}" for beta in self.betas)
        return (
            f"{len(self.strategies)} strategies, weights {betas} of the critic, {self.epochs} epochs, "
            f"{len(self.seeds)} seeds, {self.samples:,} importance samples"
        )

    def configs(self, strategy: str, beta: float | None, seeds: Sequence[int]) -> list[Config]:
        """The VAE, or with ``beta`` the one with the critic."""
        options = STRATEGIES[strategy].Options(temperature=self.strategies[strategy])
        task = {"task": "vae"} if beta is None else {"beta": Schedule(beta)}
        config = self.base.refitted(strategy=strategy, options=options, **task)
        return [dataclasses.replace(config, epochs=self.epochs, seed=seed) for seed in seeds]


def make(preset: Preset, bench: ReportContext) -> None:
    """Choose the critic's weight, train what is missing, then write the table, the figure and the document."""
    runs: dict[str, list[Run]] = {}
    trials: list[Run] = []
    samples = {"validation": 1, "test": preset.samples}
    for strategy in preset.strategies:
        train = partial(bench.train, epochs=(preset.epochs,))
        tried = [train(preset.configs(strategy, beta, [preset.trial_seed]))[0] for beta in preset.betas]
        tried = widened(tried, train, validation, [BETA])
        trials += tried
        best = max(tried, key=validation)
        runs[f"{LABELS[strategy]}, KL"] = bench.train(preset.configs(strategy, None, preset.seeds), samples=samples)
        weight = best.config.beta.initial
        runs[f"{LABELS[strategy]}, critic"] = bench.train(
            preset.configs(strategy, weight, preset.seeds), samples=samples
        )
    final = [run for group in runs.values() for run in group]
    frames = [evaluation_rows(bench.report, row, run, samples) for row, group in runs.items() for run in group]
    results = pd.concat(frames, ignore_index=True)
    bench.write_results(results)
    named = [(f"{LABELS[each.config.strategy]}, critic, beta {each.config.beta}", each) for each in trials]
    table_of_trials = tuning(named)
    bench.write_results(table_of_trials, "tuning.csv")
    _draw(bench, runs)
    bench.write_provenance([*trials, *final], samples=samples, epochs=preset.epochs, selection="validation elbo")
    words(preset, bench, results, table_of_trials, {row: group[0].config for row, group in runs.items()})


def words(
    preset: Preset, bench: ReportContext, results: pd.DataFrame, tried: pd.DataFrame, configs: Mapping[str, Config]
) -> None:
    """Write table and document from what was measured."""
    bench.write("adversarial_vae_table.tex", _table(preset, configs, results, tried))
    weights = {row: str(each.beta) if each.task == "adversarial-vae" else "" for row, each in configs.items()}
    bench.write("adversarial-vae.md", markdown(preset, weights, results))
    shape = preset.base.architecture
    source = render(
        "adversarial_vae.tex",
        epochs=preset.epochs,
        latents=shape.latents,
        categories=shape.categories,
        hidden="-".join(map(str, shape.hidden)),
        steps=preset.base.criticism.critic_steps,
        rate=f"{preset.base.criticism.critic_learning_rate:g}",
        learning_rate=f"{preset.base.learning_rate.initial:g}",
        temperatures=", ".join(f"{LABELS[name]} {each.initial:g}" for name, each in preset.strategies.items()),
        meaning=meaning(preset, results),
        choice=choice(preset, results, tried),
    )
    parts = ["adversarial_vae_table.tex", "adversarial_vae_samples.pdf"]
    bench.write_document(source, parts, strategies(configs.values()), PAPERS)


def choice(preset: Preset, results: pd.DataFrame, tried: pd.DataFrame) -> str:
    """With which seeds the critic's weight was chosen, and whether it lies at the end of its grid."""
    critics = results[results["row"].str.endswith(", critic")]
    named = tried.assign(row=tried["row"].str.rpartition(", beta ")[0])
    return f"{seeds_told(tried, results)} {edges(named, critics)}"


def meaning(preset: Preset, results: pd.DataFrame) -> Latex:
    """What the critic changes, by strategy: critic less KL, paired over seeds."""
    said = []
    for strategy in preset.strategies:
        rows = [f"{LABELS[strategy]}, {kind}" for kind in ("critic", "KL")]
        parts = []
        for metric, head in COLUMNS.items():
            told = compared(by_seed(results, rows[0], "test", metric), by_seed(results, rows[1], "test", metric))
            parts += [f"{head} {told}"] if told else []
        told = compared(_missing(preset, results, rows[0]), _missing(preset, results, rows[1]))
        parts += [f"average {told}"] if told else []
        said += [rf"\emph{{{LABELS[strategy]}}}: {'; '.join(parts)}."] if parts else []
    return Latex(
        " ".join(["Differences on the test images, with the critic less with the KL, over seeds.", *said])
        if said
        else ""
    )


def _missing(preset: Preset, results: pd.DataFrame, row: str) -> statistics.Seeds:
    """How far the averaged posterior's variables are from uniform, by seed: ``N log K`` less their entropy, in nats."""
    shape = preset.base.architecture
    whole = shape.latents * math.log(shape.categories)
    return {seed: whole - value for seed, value in by_seed(results, row, "test", "code_entropy").items()}


def _values(preset: Preset, results: pd.DataFrame, row: str) -> list[statistics.Seeds]:
    found: list[statistics.Seeds] = [by_seed(results, row, "test", metric) for metric in COLUMNS]
    return [*found, _missing(preset, results, row)]


def _table(preset: Preset, configs: Mapping[str, Config], results: pd.DataFrame, tried: pd.DataFrame) -> Latex:
    betas = sorted({Schedule.parse(json.loads(text)["beta"]).initial for text in tried["parameters"]})
    body: list[object] = []
    for i, (row, config) in enumerate(configs.items()):
        weight = number(config.beta.initial, 0) if config.task == "adversarial-vae" else Latex("--")
        if i and i % 2 == 0:
            body.append(RULE)
        body.append([row, weight, *(mean_ci(values) for values in _values(preset, results, row))])
    heads = [r"$\beta$", *COLUMNS.values(), "average"]
    caption = Latex(
        "Test images of binarised MNIST in nats an image, from hard samples and with the exact KL; "
        rf"mean $\pm$ 95\% interval over {len(preset.seeds)} seeds, {preset.epochs} epochs, "
        rf"bound of {preset.samples:,} samples. $\beta$: weight of the critic's value, the best validation ELBO of "
        f"{', '.join(f'{beta:g}' for beta in betas)} with one seed. Average: how many nats the variables of the "
        "averaged posterior, one by one, are away from the uniform prior."
    )
    panel = Panel(Latex("lr" + "r" * (len(heads) - 1)), [Latex(" & " + " & ".join(heads) + r" \\")], body)  # type: ignore[arg-type]
    return table("adversarial-vae", caption, [panel], size="footnotesize", separation="4pt")


def markdown(preset: Preset, weights: Mapping[str, str], results: pd.DataFrame) -> str:
    """The table for the README; ``weights`` has each row's beta, in words."""
    heads = ["", "β", *COLUMNS.values(), "average"]
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)]]
    for row, weight in weights.items():
        cells = [
            statistics.interval(list(values.values())).text(1) if values else ""
            for values in _values(preset, results, row)
        ]
        lines.append([row, weight, *cells])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _draw(bench: ReportContext, runs: Mapping[str, Sequence[Run]]) -> None:
    """Samples of the prior, decoded by the first seed's model of each row."""
    rows, columns = DRAWN
    with figure(bench.out, "adversarial_vae_samples", height=1.9) as drawing:
        for axes, (row, group) in zip(drawing.subplots(1, len(runs)), runs.items(), strict=True):
            if group[0].finished:
                grid = bench.draw(group[0], rows * columns, "prior").reshape(rows, columns, 28, 28).transpose(1, 2)
                axes.imshow(1 - grid.reshape(rows * 28, columns * 28).numpy(), cmap="gray", vmin=0, vmax=1)
            axes.set_title(row, fontsize=7)
            bare(axes)


TEMPERATURES = {
    "gumbel-softmax": Schedule(0.5),
    "straight-through-gumbel-softmax": Schedule(1.0),
}
BASE = Config(
    task="adversarial-vae",
    architecture=Architecture(hidden=(200,)),
    learning_rate=Schedule(2e-3),
    criticism=CriticConfig(critic_steps=2, critic_learning_rate=1e-3),
)
PRESETS = {
    "quick": Preset({"straight-through-gumbel-softmax": Schedule(1.0)}, (3.0, 10.0), 3, (0, 1), 100, BASE),
    "laptop": Preset(TEMPERATURES, (3.0, 10.0, 30.0, 100.0), 10, (0, 1, 2), 100, BASE),
    "full": Preset(
        TEMPERATURES,
        (1.0, 3.0, 10.0, 30.0, 100.0),
        50,
        (0, 1, 2, 3, 4),
        1000,
        dataclasses.replace(BASE, architecture=Architecture(), criticism=CriticConfig()),
    ),
}
REPORT = Report("adversarial-vae", "a critic of the averaged posterior in place of the VAE's KL", PRESETS, make)
