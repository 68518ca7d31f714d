"""MLflow: one run of the experiment ``discrete-vae`` a run, in ``mlflow.db`` beside the runs' folders.

``MLFLOW_TRACKING_URI`` and ``MLFLOW_EXPERIMENT_NAME`` name another place, as everywhere in MLflow.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from PIL import Image

LONGEST = 6000
"""Characters of a parameter's value that MLflow takes."""
MANY = 100
"""Parameters that it takes at once."""


class MLflow:
    """Each epoch is one batch, in which ``epoch`` comes last: by it a log that is opened again knows what it has."""

    def __init__(self, folder: Path, run: str, position: str) -> None:
        beside = folder.parent.parent.resolve()
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        with FileLock(beside / ".mlflow.lock"):  # one process makes the tables
            self.client = MlflowClient(uri or f"sqlite:///{beside / 'mlflow.db'}")
            experiment = self._experiment(None if uri else (beside / "mlflow").as_uri())
        self.empty = not self._there(position)
        self.id = position
        if self.empty:
            self.id = self.client.create_run(experiment, run_name=run).info.run_id
        self.client.update_run(self.id, status="RUNNING")
        self.last = int(self.client.get_run(self.id).data.metrics.get("epoch", 0))

    def hyperparameters(self, values: Mapping[str, Any]) -> None:
        texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}
        params = [Param(name, text[:LONGEST]) for name, text in texts.items()]
        for first in range(0, len(params), MANY):
            self.client.log_batch(self.id, params=params[first : first + MANY])

    def scalars(self, epoch: int, values: Mapping[str, float]) -> None:
        if epoch <= self.last:
            return
        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, epoch) for name, value in {**values, "epoch": float(epoch)}.items()]
        self.client.log_batch(self.id, metrics=metrics)

    def images(self, epoch: int, images: Mapping[str, Image.Image]) -> None:
        for tag, image in images.items():
            self.client.log_image(self.id, image, artifact_file=f"{tag}/{epoch:06d}.png")

    def flush(self) -> str:
        return self.id  # all is sent already

    def close(self, failed: bool) -> None:
        self.client.set_terminated(self.id, "FAILED" if failed else "FINISHED")

    def _experiment(self, artifacts: str | None) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "discrete-vae")
        found = self.client.get_experiment_by_name(name)
        return found.experiment_id if found else self.client.create_experiment(name, artifact_location=artifacts)

    def _there(self, run: str) -> bool:
        if not run:
            return False
        try:
            return self.client.get_run(run).info.lifecycle_stage == "active"
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise  # a server that is away has not lost it


open_tracker = MLflow
