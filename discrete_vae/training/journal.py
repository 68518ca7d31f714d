"""What training leaves on the disk: histories, checkpoints, sessions, and why a run failed."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

import pandas as pd
import torch

from discrete_vae import backbones
from discrete_vae.evaluation.diagnostics import diagnose
from discrete_vae.evaluation.yardstick import evaluate_population
from discrete_vae.files import write_atomically
from discrete_vae.runs import checkpoints
from discrete_vae.runs.run import HISTORY, Run, environment
from discrete_vae.trackers.log import Log
from discrete_vae.training.keeping import BestEpochs
from discrete_vae.training.progress import Progress
from discrete_vae.training.step import Trainer

WRITING = 0.05
"""Largest share of the time that goes to checkpoints, unless their interval is given."""


class Journal:
    """Writes what training leaves on the disk, and remembers what waits for it and how long it takes."""

    def __init__(self, runs: Sequence[Run], step: int, device: torch.device, log: Log | None = None) -> None:
        self.log = log
        self.session = environment(device) | {"population": len(runs)}
        if network := backbones.digest(runs[0].config.architecture.backbone):
            self.session["backbone"] = network
        self.earlier = {run: run.sessions() for run in runs}
        self.first, self.started = step, time.monotonic()
        self.written, self.cost = self.started, 0.0
        self.told, self.shares = self.started, dict.fromkeys(runs, 0.0)
        self.rows: dict[Run, list[pd.DataFrame]] = {run: [] for run in runs}
        self.best = BestEpochs(runs, step)

    def due(self, epoch: int, every: int | None) -> bool:
        """Whether it is time to write: every so many epochs, or where that takes a small share of the time."""
        if every is not None:
            return epoch % every == 0
        return self.cost <= WRITING * (time.monotonic() - self.written)

    def write(self, trainer: Trainer) -> None:
        """Write the histories so far, then the best epochs that they tell of, then the checkpoints of both."""
        began = time.monotonic()
        for run in trainer.runs:
            if rows := self.rows[run]:
                history = run.history()
                history = history[history["epoch"] < rows[0]["epoch"].iloc[0]]
                run.write_history(pd.concat([history, *rows] if len(history) else rows))
                rows.clear()
        self.best.write([trainer.runs[p] for p in trainer.healthy()])
        trainer.save()
        for run in trainer.runs:
            run.prune(checkpoints.KEPT)
        self.write_sessions(trainer)
        if self.log:
            self.log.follow(trainer.runs)
        self.written = time.monotonic()
        self.cost = self.written - began

    def write_sessions(self, trainer: Trainer) -> None:
        """Write what this process trained the members on, and how far it is."""
        now = time.monotonic()
        for run in trainer.runs:
            self.shares[run] += (now - self.told) / len(trainer.runs)
            session = self.session | {
                "steps": [self.first, trainer.step],
                "seconds": round(now - self.started, 1),
                "member_seconds": round(self.shares[run], 2),
            }
            run.write_sessions([*self.earlier[run], session])
        self.told = now


def end_epoch(trainer: Trainer, journal: Journal) -> dict[Run, dict[str, float]]:
    """Note the epoch's training means and validation metrics; gives the metrics of each run whose numbers are finite.

    A run of which a metric is not finite has failed, as one whose loss is not.
    """
    loss, reconstruction, kl = trainer.means()
    relaxed = trainer.strategy.claim.relaxed
    metric = "reconstruction_relaxed" if relaxed else "reconstruction_hard"
    trainer.population.follow(trainer.values[-1])  # a captured step leaves no values behind
    beside = trainer.runs[0].folder.parent
    validation = evaluate_population(trainer.population, trainer.data, "validation", 1, runs=beside)
    validation |= diagnose(trainer.population, trainer.data)
    trainer.alive &= torch.stack([each.to(trainer.device).isfinite() for each in validation.values()]).all(0)
    columns = {name: values.tolist() for name, values in validation.items()}
    metrics = {}
    for p in trainer.healthy():
        run = trainer.runs[p]
        metrics[run] = {name: float(values[p]) for name, values in columns.items()}
        rows = [("train", "loss", loss[p]), *(("train", name, each[p]) for name, each in trainer.criticism().items())]
        if trainer.model.exact and not trainer.loss_includes_kl and trainer.game is None:
            rows += [("train", metric, -reconstruction[p]), ("train", "kl", kl[p])]
        rows += [("validation", name, value) for name, value in metrics[run].items()]
        journal.rows[run].append(pd.DataFrame([(trainer.epoch, *row) for row in rows], columns=HISTORY))
    journal.best.note(trainer.population, trainer.runs, metrics, trainer.step)
    return metrics


def record_failures(trainer: Trainer, progress: Progress | None) -> set[Run]:
    """Write why members failed; gives these."""
    failed = set()
    for p, step in trainer.failed().items():
        run = trainer.runs[p]
        good, epoch = run.step, (trainer.step - 1) // trainer.steps_per_epoch + 1
        message = (
            f"{run.folder}: the loss, a parameter or a validation metric is not finite at step {step} (epoch {epoch}); "
            f"last good checkpoint: {f'step {good}' if good else 'none'}; try a lower learning rate "
            "or a higher temperature"
        )
        failure = {"step": step, "epoch": epoch, "message": message}
        write_atomically(run.folder / "failure.json", json.dumps(failure, indent=2) + "\n")
        failed.add(run)
        if progress:
            progress.message(message)
    return failed
