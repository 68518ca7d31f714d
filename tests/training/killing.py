"""Training that is killed after so many changes on the disk, and all that may not depend on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from discrete_vae.runs.run import Run
from discrete_vae.training import journal, loop
from discrete_vae.training.step import Trainer


def plain_step(trainer: Trainer, function: Callable[..., Any]) -> Callable[..., Any]:
    """In place of ``Trainer._captured``: the step itself, whose bits a recorded one has (``test_capture``)."""
    return partial(function, noise=trainer.noise)


def unrecorded() -> Iterator[None]:
    """Steps are not recorded, and provenance is not looked up: both take longer than an epoch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_captured", plain_step)
        patch.setattr(journal, "environment", lambda device: {})
        patch.setattr(loop, "_rehearse", lambda *arguments: None)
        yield


def content(runs: Sequence[Run]) -> list[Any]:
    """All that must not depend on interruptions, and that nothing else lies beside it."""
    return [
        (
            sorted(path.name for path in run.folder.iterdir() if "evaluation" not in path.name),
            run.kept_epoch,
            {path.name: path.read_bytes() for path in run.folder.glob("*.safetensors")},
            (run.folder / "history.csv").read_text(),
        )
        for run in runs
    ]


class Killed(BaseException):
    """What a killed process does not survive."""


@contextmanager
def killed_after(changes: int) -> Iterator[Callable[[], int]]:
    """End after so many files were renamed or removed; gives how many were."""
    passed = 0

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(path: Path, *arguments: Any, **options: Any) -> Any:
            nonlocal passed
            counts = path.suffix != ".lock" and path.exists()
            result = function(path, *arguments, **options)
            passed += counts
            if counts and passed == changes:
                raise Killed
            return result

        return wrapped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", counted(Path.replace))
        patch.setattr(Path, "unlink", counted(Path.unlink))
        yield lambda: passed
