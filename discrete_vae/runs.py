"""A run's folder, and the tidy table of all runs.

runs/gumbel-softmax-0123456789ab/
    config.json                      the configuration, whose hash names the folder
    history.csv                      epoch, split, metric, value
    evaluation.csv                   split, metric, samples, value
    environment.json                 versions, device, git commit; one entry a training session
    failure.json                     only if the loss was not finite: epoch, step, message
    checkpoint-000025000.safetensors
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from filelock import FileLock, Timeout

from discrete_vae import checkpoints
from discrete_vae.config import Config
from discrete_vae.errors import InputError, InUse
from discrete_vae.files import remove_parts, writable, write_atomically
from discrete_vae.secrets import redact_words

HISTORY = ["epoch", "split", "metric", "value"]
EVALUATION = ["split", "metric", "samples", "value"]


@dataclass(frozen=True)
class Run:
    """A configuration and the folder that holds all that is known of it."""

    folder: Path
    config: Config

    @classmethod
    def create(cls, runs: Path, config: Config) -> Run:
        """The run of a configuration below the folder ``runs``; its folder is made if it is not there.

        Raises ``InputError`` if the folder cannot be written or holds another configuration.
        """
        run = cls(runs / config.name, config)
        path = run.folder / "config.json"
        if not path.exists():
            write_atomically(path, json.dumps(config.to_dict(), indent=2) + "\n")
        elif (found := cls.open(run.folder).config) != config:
            raise InputError(
                f"{run.folder} holds configuration {found.identity}, not {config.identity}; "
                "name another folder for the runs, or delete this one"
            )
        return run

    @classmethod
    def open(cls, folder: Path) -> Run:
        """The run that a folder holds. Raises ``InputError`` if it holds none, or one that cannot be read."""
        path = folder / "config.json"
        try:
            values = json.loads(path.read_text())
        except FileNotFoundError:
            raise InputError(f"{folder} is not a run: it has no config.json; see `discrete-vae list`") from None
        except (OSError, ValueError) as error:
            raise InputError(f"{path} cannot be read ({error}); restore it or delete the run") from error
        try:
            return cls(folder, Config.from_dict(values))
        except (InputError, TypeError) as error:
            raise InputError(f"{path}: {error}") from error

    @property
    def steps_per_epoch(self) -> int:
        """Updates in one pass over the 50,000 training images; a remainder that fills no batch is left out."""
        return 50_000 // self.config.step_size

    @property
    def total_steps(self) -> int:
        """Updates in the whole run."""
        return self.config.epochs * self.steps_per_epoch

    @property
    def step(self) -> int:
        """Updates done, as far as the newest checkpoint knows."""
        return max(checkpoints.steps(self.folder), default=0)

    @property
    def failure(self) -> dict[str, Any] | None:
        """Why the run stopped for good, or None."""
        found: dict[str, Any] | None = self._read("failure.json", json.loads)
        return found

    @property
    def status(self) -> str:
        """finished, failed, or how far it is."""
        if self.failure:
            return "failed"
        step, total = self.step, self.total_steps
        return "finished" if step >= total else f"{step / self.steps_per_epoch:.3g} of {self.config.epochs} epochs"

    @property
    def finished(self) -> bool:
        """Whether the run was trained to its end."""
        return self.failure is None and self.step >= self.total_steps

    def history(self) -> pd.DataFrame:
        """Columns epoch, split, metric, value; empty before the first epoch's end."""
        return self._table("history.csv", HISTORY)

    def evaluation(self) -> pd.DataFrame:
        """Columns split, metric, samples, value; empty before the first evaluation."""
        return self._table("evaluation.csv", EVALUATION)

    def write_history(self, history: pd.DataFrame) -> None:
        write_atomically(self.folder / "history.csv", history.to_csv(index=False))

    def write_evaluation(self, rows: pd.DataFrame) -> None:
        """Add rows, in place of older ones of the same split, metric and number of samples."""
        with writable(self.folder), FileLock(self.folder / ".evaluation.lock"):  # two may evaluate different splits
            before = self.evaluation()
            merged = pd.concat([before, rows]) if len(before) else rows
            merged = merged.drop_duplicates(["split", "metric", "samples"], keep="last")
            merged = merged.sort_values(["split", "metric", "samples"])
            write_atomically(self.folder / "evaluation.csv", merged.to_csv(index=False))

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Have the run for this process alone. Raises ``InUse`` if another has it."""
        lock = FileLock(self.folder / ".lock", timeout=0)
        with writable(self.folder):
            try:
                lock.acquire()
            except Timeout:  # an OSError too, but not one of the disk
                raise InUse(
                    f"{self.folder} is in use by another process; wait for it, or name another folder for the runs"
                ) from None
        try:
            remove_parts(self.folder)
            yield
        finally:
            lock.release()

    def write_sessions(self, sessions: Sequence[dict[str, Any]]) -> None:
        """Write what the run was trained on, one entry a session."""
        write_atomically(self.folder / "environment.json", json.dumps(sessions, indent=2) + "\n")

    def sessions(self) -> list[dict[str, Any]]:
        """What the run was trained on, one entry a session."""
        found: list[dict[str, Any]] | None = self._read("environment.json", json.loads)
        return found or []

    def _table(self, name: str, columns: Sequence[str]) -> pd.DataFrame:
        def parse(text: str) -> pd.DataFrame:
            return pd.read_csv(io.StringIO(text), converters={"value": float})[list(columns)]

        found: pd.DataFrame | None = self._read(name, parse)
        return pd.DataFrame(columns=list(columns)) if found is None else found

    def _read(self, name: str, parse: Callable[[str], Any]) -> Any:
        """A file's content, None if it is not there. Raises ``InputError`` if it cannot be read."""
        path = self.folder / name
        try:
            return parse(path.read_text())
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{path} cannot be read ({reason}); restore it, or delete the run") from error


def find(runs: Path) -> list[Run]:
    """All runs below a folder, by name."""
    return [Run.open(path.parent) for path in sorted(runs.glob("*/config.json"))]


def table(runs: Iterable[Run]) -> pd.DataFrame:
    """One tidy frame of all runs: run, strategy, seed, parameters (JSON), epoch, split, metric, samples, value."""
    frames = []
    for run in runs:
        known: dict[str, Any] = {
            "run": run.config.name,
            "strategy": run.config.strategy,
            "seed": run.config.seed,
            "parameters": parameters(run.config),
        }
        history = run.history()
        evaluation = run.evaluation().assign(epoch=run.config.epochs)
        frames += [frame.assign(**known) for frame in (history, evaluation) if len(frame)]
    columns = ["run", "strategy", "seed", "parameters", "epoch", "split", "metric", "samples", "value"]
    if not frames:
        return pd.DataFrame(columns=columns)
    return pd.concat(frames, ignore_index=True).reindex(columns=columns)


def parameters(config: Config) -> str:
    """All of a configuration that is not its strategy or seed, as JSON on one line."""
    values = {name: value for name, value in config.to_dict().items() if name not in ("strategy", "seed")}
    return json.dumps(values, sort_keys=True)


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, device and commit, as provenance of a result."""
    packages = ("discrete-vae", "torch", "numpy", "pandas", "scipy", "matplotlib")
    return {
        "command": " ".join([Path(sys.argv[0]).name, *redact_words(sys.argv[1:])]),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in packages},
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "commit": _commit(),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    names = [line for line in path.read_text().splitlines() if "model name" in line] if path.exists() else []
    return names[0].partition(":")[2].strip() if names else platform.processor()


def _commit() -> str | None:
    """The commit of the checkout that this package lies in, with + if files differ from it; None outside one."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        # An installed package may lie in a checkout of something else, where git does not know its files.
        subprocess.run([*git, "ls-files", "--error-unmatch", __file__], capture_output=True, check=True)
        describe = [*git, "describe", "--always", "--abbrev=12", "--dirty=+"]
        return subprocess.run(describe, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
