"""TensorBoard: one event file a run, ``RUN/tensorboard/events.out.tfevents.discrete-vae``."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.summary.writer.record_writer import RecordWriter

NAME = "events.out.tfevents.discrete-vae"


class TensorBoard:
    """Collects events, and appends them to the file when flushed.

    The file is open only while it is written, so that thousands of runs hold no descriptors. What lies beyond the
    position at which it was opened, such as what a killed process had half written, is cut off. A file that is shorter
    begins anew.
    """

    def __init__(self, folder: Path, run: str, position: str) -> None:
        self.path, self.run = folder / NAME, run
        there = self.path.stat().st_size if self.path.exists() else 0
        self.position = int(position) if position and int(position) <= there else 0
        self.empty = self.position == 0
        self.waiting = io.BytesIO()
        if self.empty:
            self._add(Event(file_version="brain.Event:2"))

    def hyperparameters(self, values: Mapping[str, Any]) -> None:
        shown = {
            name: value if isinstance(value, bool | int | float | str) else json.dumps(value)
            for name, value in values.items()
        }
        self._add(Event(summary=hparams_pb(shown, trial_id=self.run)))

    def scalars(self, epoch: int, values: Mapping[str, float]) -> None:
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()])
        self._add(Event(step=epoch, summary=summary))

    def images(self, epoch: int, images: Mapping[str, Image.Image]) -> None:
        for tag, image in images.items():
            png = io.BytesIO()
            image.save(png, format="PNG")
            encoded = Summary.Image(
                height=image.height,
                width=image.width,
                colorspace=len(image.getbands()),
                encoded_image_string=png.getvalue(),
            )
            self._add(Event(step=epoch, summary=Summary(value=[Summary.Value(tag=tag, image=encoded)])))

    def flush(self) -> str:
        with self.path.open("r+b" if self.path.exists() else "xb") as file:
            file.truncate(self.position)
            file.seek(self.position)
            file.write(self.waiting.getvalue())
            self.position = file.tell()
        self.waiting = io.BytesIO()
        return str(self.position)

    def close(self, failed: bool) -> None:
        pass

    def _add(self, event: Event) -> None:
        event.wall_time = time.time()
        RecordWriter(self.waiting).write(event.SerializeToString())


open_tracker = TensorBoard
