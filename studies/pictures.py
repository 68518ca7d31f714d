"""What the dashboard shows of a trial: its learning curve, reconstructions, the heat map of pi, and a note."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.artifacts import FileSystemArtifactStore, upload_artifact
from optuna.study import Study as OptunaStudy
from optuna.trial import Trial

from discrete_vae.data import Dataset
from discrete_vae.runs import Run
from discrete_vae.tuning import METRICS, metric_of
from reports.kit.figures import COLOURS, figure
from reports.kit.images import heat_map, reconstructions
from reports.kit.prose import code

UNWRITTEN = "artifacts"
"""A trial's attribute: why it has no pictures."""


class Pictures:
    """Keeps the pictures of each trial in a folder; a trial whose pictures cannot be written is kept without them."""

    def __init__(self, folder: Path, data: Dataset) -> None:
        self.folder, self.data = folder, data

    def __call__(self, study: OptunaStudy, trial: Trial, runs: Sequence[Run]) -> None:
        _note(trial, runs)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            store = FileSystemArtifactStore(str(self.folder))
            with tempfile.TemporaryDirectory() as scratch:
                for path in _draw(Path(scratch), runs, self.data, metric_of(study)):
                    upload_artifact(artifact_store=store, file_path=str(path), study_or_trial=trial)
        except Exception as error:  # whatever it is: the trial must not be lost for it
            reason = f"{self.folder} cannot be written ({error}): make room or grant access"
            trial.set_user_attr(UNWRITTEN, reason)
            optuna.logging.get_logger(__name__).warning(f"trial {trial.number} has no pictures: {reason}")


def _draw(folder: Path, runs: Sequence[Run], data: Dataset, metric: str) -> list[Path]:
    """The learning curves of all seeds, and what the first one's model makes of test images."""
    with figure(folder, "learning_curve", height=2.5, width=4.0) as drawing:
        axes = drawing.subplots()
        for i, run in enumerate(runs):
            history = run.history()
            found = history[(history["split"] == "validation") & (history["metric"] == metric)]
            style: dict[str, Any] = {"color": COLOURS[i % len(COLOURS)], "label": f"seed {run.config.seed}"}
            axes.plot(found["epoch"], found["value"], marker="o", markersize=3, **style)
        axes.set(xlabel="epoch", ylabel=f"validation {METRICS[metric].axis}")
        axes.legend()
    names = ["learning_curve"]
    if runs[0].config.task == "vae":
        reconstructions(folder, {f"seed {runs[0].config.seed}": runs[0]}, data, "reconstructions")
        heat_map(folder, runs[0], data, "heat_map_of_pi")
        names += ["reconstructions", "heat_map_of_pi"]
    return [folder / f"{name}.png" for name in names]


def _note(trial: Trial, runs: Sequence[Run]) -> None:
    """The first run's configuration, where the dashboard shows it; nothing without the dashboard's package."""
    try:
        from optuna_dashboard import save_note
    except ImportError:
        return
    folders = "\n".join(f"- {code(str(run.folder))}" for run in runs)
    save_note(trial, f"{folders}\n\n```json\n{json.dumps(runs[0].config.to_dict(), indent=2)}\n```\n")
