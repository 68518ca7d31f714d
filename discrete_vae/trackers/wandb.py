"""Weights & Biases: one run of the project ``discrete-vae`` a run, offline unless ``WANDB_MODE`` says otherwise."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import wandb
from PIL import Image


class WeightsAndBiases:
    """Epochs are an axis of their own: images of an epoch may come after its numbers."""

    def __init__(self, folder: Path, run: str, position: str) -> None:
        self.empty, self.position = not position, run
        self.run = wandb.init(
            project="discrete-vae",
            id=run,
            name=run,
            dir=folder,
            resume="allow",
            mode=os.environ.get("WANDB_MODE", "offline"),
            reinit="create_new",  # runs of a population are logged side by side
            # Neither the terminal's content, which is of all runs, nor the command, which may hold a password.
            settings=wandb.Settings(console="off", x_disable_meta=True),
        )
        self.run.define_metric("*", step_metric="epoch")

    def hyperparameters(self, values: Mapping[str, Any]) -> None:
        self.run.config.update(dict(values), allow_val_change=True)

    def scalars(self, epoch: int, values: Mapping[str, float]) -> None:
        self.run.log({"epoch": epoch, **values})

    def images(self, epoch: int, images: Mapping[str, Image.Image]) -> None:
        self.run.log({"epoch": epoch, **{tag: wandb.Image(image) for tag, image in images.items()}})

    def flush(self) -> str:
        return self.position  # wandb writes by itself

    def close(self, failed: bool) -> None:
        self.run.finish(exit_code=int(failed))


open_tracker = WeightsAndBiases
