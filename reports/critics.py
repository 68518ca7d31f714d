"""Critics under a gradient penalty and under weight clipping, after sections 3 and 4 of Gulrajani et al. (2017)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from torch import Tensor

from discrete_vae.config import Config
from discrete_vae.data.points import Mixture
from discrete_vae.data.synthetic import SYNTHETIC
from discrete_vae.runs import Run, parameters
from discrete_vae.tasks.critic import AdversarialTask
from reports import critics_figures as figures
from reports import critics_measures as measures
from reports import critics_tables as tables
from reports import critics_text as text
from reports.critics_settings import MIXTURES, PRESETS, Preset
from reports.kit.context import Report, ReportContext, strategies
from reports.kit.tables import COLUMNS, evaluation_rows

PAPERS = "Gulrajani et al. 2017; Arjovsky et al. 2017"
LABELS = {"straight-through-gumbel-softmax": "ST-Gumbel-Softmax", "softmax": "softmax"}
Runs = Mapping[tuple[str, str], Sequence[Run]]


def make(preset: Preset, bench: ReportContext) -> None:
    """Train and evaluate what is missing, then write tables, figures and the document."""
    alone, points = _train(bench, preset.alone()), _train(bench, preset.points(), ("test",))
    layers = {name: bench.train(configs, weights=True) for name, configs in preset.layers().items()}
    pictures = _train(bench, preset.pictures(), tables.SPLITS)
    norms = {
        name: [measures.layer_gradients(run, bench.dataset(run.config.data), bench.device) for run in group]
        for name, group in layers.items()
    }
    images = {f"{LABELS.get(strategy, strategy)}, {name}": group for (name, strategy), group in pictures.items()}
    results = _results(bench, alone, points, images, layers, norms)
    bench.write_results(results)
    history = pd.concat([figures.curve(row, group) for row, group in images.items()], ignore_index=True)
    bench.write_results(history, "curves.csv")
    _figures(bench, alone, points, images, layers, norms)

    every = [run for each in (alone, points, pictures, layers) for group in each.values() for run in group]
    bench.write_provenance(every, constraints=list(preset.constraints), clips=list(preset.clips))
    words(preset, bench, results, list(images), [run.config for run in every])


def words(
    preset: Preset, bench: ReportContext, results: pd.DataFrame, images: Sequence[str], configs: Sequence[Config]
) -> None:
    """Write tables and document from what was measured; ``images`` are the rows of generators of images."""
    bench.write("critics_table.tex", tables.coverage(results, text.coverage(preset)))
    bench.write("critics_relations.tex", tables.relations(results))
    rows = results.assign(row=results["row"].str.removeprefix("images, "))
    bench.write("critics_images.tex", tables.distances(rows, list(images), text.distances(preset)))
    bench.write("critics.md", tables.markdown(results))
    parts = ["critics_table.tex", "critics_relations.tex", "critics_images.tex"]
    parts += [f"critics_{name}.pdf" for name in ("surfaces", "points", "layers", "samples", "curves")]
    bench.write_document(
        text.document(preset),
        parts,
        strategies(configs),
        PAPERS,
    )


def _train(bench: ReportContext, rows: Mapping[tuple[str, str], Sequence[Config]], splits: Sequence[str] = ()) -> Runs:
    samples = dict.fromkeys(splits, 1)
    return {key: bench.train(configs, samples=samples, weights=True) for key, configs in rows.items()}


def _results(
    bench: ReportContext,
    alone: Runs,
    points: Runs,
    images: Mapping[str, Sequence[Run]],
    layers: Mapping[str, Sequence[Run]],
    norms: Mapping[str, Sequence[Tensor]],
) -> pd.DataFrame:
    """The tidy table of all that was measured."""
    frames = []
    for (constraint, dataset), runs in alone.items():
        if dataset in MIXTURES:
            row = tables.alone(constraint, dataset)
            frames += [_rows(row, run, "centres", _surface(run, bench)) for run in runs]
    for (constraint, dataset), runs in points.items():
        frames += [evaluation_rows(bench.report, tables.made(constraint, dataset), run, {"test": 1}) for run in runs]
    for row, runs in images.items():
        samples = dict.fromkeys(tables.SPLITS, 1)
        frames += [evaluation_rows(bench.report, f"images, {row}", run, samples) for run in runs]
    for name, runs in layers.items():
        for run, norm in zip(runs, norms[name], strict=True):
            found = {f"gradient_norm_{i}": value for i, value in enumerate(norm.tolist(), 1)}
            frames.append(_rows(f"deep critic, {name}", run, "validation", found))
    return pd.concat(frames, ignore_index=True)


def _surface(run: Run, bench: ReportContext) -> dict[str, float]:
    """Number of peaks at centres, and the mean dip between them."""
    mixture = SYNTHETIC[run.config.data.dataset]
    assert isinstance(mixture, Mixture)
    critic = _model(run, bench).value
    dips = measures.dips(critic, mixture, bench.device)
    return {
        "peaks": float(measures.peaks(critic, mixture, bench.device).sum()),
        "dip": float(dips.mean()),
        "lowest_dip": float(dips.min()),
    }


def _rows(row: str, run: Run, split: str, found: Mapping[str, float]) -> pd.DataFrame:
    known = {"row": row, "strategy": run.config.strategy, "parameters": parameters(run.config), "run": run.config.name}
    rows = pd.DataFrame({"split": split, "metric": list(found), "value": list(found.values())})
    return rows.assign(seed=run.config.seed, **known).reindex(columns=COLUMNS)


def _model(run: Run, bench: ReportContext) -> AdversarialTask:
    return measures.model(run, bench.dataset(run.config.data), bench.device)


def _figures(
    bench: ReportContext,
    alone: Runs,
    points: Runs,
    images: Mapping[str, Sequence[Run]],
    layers: Mapping[str, Sequence[Run]],
    norms: Mapping[str, Sequence[Tensor]],
) -> None:
    """All of the first seed, but for the norms, which are means."""
    data = {name: bench.dataset(runs[0].config.data) for (_, name), runs in alone.items()}
    first = {key: _model(runs[0], bench) for key, runs in alone.items()}
    figures.surfaces(bench.out, first, data)
    first = {key: _model(runs[0], bench) for key, runs in points.items()}
    figures.scatter(bench.out, first, data, 0)
    weights = {name: figures.weights(_model(layers[name][0], bench)) for name in list(layers)[:2]}
    figures.layers(bench.out, {name: torch.stack(list(each)).mean(0) for name, each in norms.items()}, weights)
    figures.pictures(bench.out, {row: _model(runs[0], bench) for row, runs in images.items()}, 0)
    history = pd.concat([figures.curve(row, runs) for row, runs in images.items()], ignore_index=True)
    figures.curves(bench.out, history)


REPORT = Report(
    "critics", "critics by gradient penalty and by weight clipping, after Gulrajani et al. 2017", PRESETS, make
)
