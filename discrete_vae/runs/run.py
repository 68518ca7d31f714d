"""A run's folder, and the tidy table of all runs.

runs/gumbel-softmax-0123456789ab/
    config.json                      the configuration, whose hash names the folder
    history.csv                      epoch, split, metric, value
    evaluation.csv                   split, metric, samples, value
    environment.json                 versions, device, git commit; one entry a training session
    failure.json                     only if the loss was not finite: epoch, step, message
    checkpoint-000025000.safetensors
    best-000012500.safetensors       only if the best epoch is kept: its weights
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from filelock import FileLock

from discrete_vae import backbones
from discrete_vae.config.config import Config
from discrete_vae.errors import InputError
from discrete_vae.files import held, parse_json, read_text, remove_parts, writable, write_atomically
from discrete_vae.runs import checkpoints
from discrete_vae.secrets import redact_words

HISTORY = ["epoch", "split", "metric", "value"]
EVALUATION = ["split", "metric", "samples", "value"]


@dataclass(frozen=True)
class Run:
    """A configuration and the folder that holds all that is known of it."""

    folder: Path
    """Where it is kept; its name is the run's."""
    config: Config
    """All that decides its result."""

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
        held = _read(path, lambda text: [parse_json(text)])
        if held is None:
            raise InputError(f"{folder} is not a run: it has no config.json; see `discrete-vae list`")
        try:
            return cls(folder, Config.from_dict(held[0]))
        except (ValueError, TypeError, AttributeError, ArithmeticError, LookupError) as error:
            raise InputError(f"{path}: {error}; restore it, or delete the run") from error

    @property
    def steps_per_epoch(self) -> int:
        """Updates in one pass over the training images; a remainder that fills no batch is left out."""
        return self.config.data.split_sizes.train // self.config.step_size

    @property
    def total_steps(self) -> int:
        """Updates in the whole run, if no patience ends it before."""
        return self.config.epochs * self.steps_per_epoch

    @property
    def last_epoch(self) -> int:
        """The epoch that it ends with: the configuration's last one, unless its patience ends before.

        It follows from the history: patience ends a run at the first epoch that is so many after the best one.
        """
        scores = self._scores() if self.config.patience else {}
        best, epoch = 0, 1
        while epoch in scores:
            best = epoch if not best or scores[epoch] > scores[best] else best
            if epoch - best >= self.config.patience:
                return epoch
            epoch += 1
        return self.config.epochs

    @property
    def last_step(self) -> int:
        """Updates until its end, as far as its history tells: see ``last_epoch``."""
        return self.last_epoch * self.steps_per_epoch

    @property
    def step(self) -> int:
        """Updates done, as far as the newest checkpoint knows; raises ``InputError`` if that is not of this run."""
        step = max(checkpoints.steps(self.folder), default=None)
        if step is None:
            return 0
        try:
            checkpoints.check(self.folder, step, self.config.identity)
        except InputError:
            if max(checkpoints.steps(self.folder), default=None) == step:
                raise
            return self.step  # a process that trains it has just replaced that file
        if step > self.total_steps:
            path = checkpoints.path_of(self.folder, step)
            raise InputError(f"checkpoint {path} is behind the run's end, step {self.total_steps}; delete this file")
        return step

    def kept_at(self, step: int) -> int:
        """The epoch whose weights stand for the run after ``step`` updates; 0 before the first epoch's end.

        It is the last whole one or, where the configuration keeps the best, ``best_at`` that.
        """
        last = step // self.steps_per_epoch
        return min(last, self.last_epoch) if self.config.keep == "last" else self.best_at(last)

    def best_at(self, last: int) -> int:
        """The epoch up to ``last`` with the highest validation score, the earlier of equals; 0 for none."""
        scores = {epoch: score for epoch, score in self._scores().items() if epoch <= last}
        return max(scores, key=scores.__getitem__, default=0)

    def _scores(self) -> dict[int, float]:
        """The validation score after each epoch that has one, in their order."""
        score, history = self.config.score_metric, self.history()
        rows = history[(history["split"] == "validation") & (history["metric"] == score)]
        rows = rows[rows["value"].notna()].sort_values("epoch")
        return {int(epoch): float(value) for epoch, value in zip(rows["epoch"], rows["value"], strict=True)}

    @property
    def kept_epoch(self) -> int:
        """The epoch whose weights stand for the run, as far as the newest checkpoint knows: see ``kept_at``."""
        return self.kept_at(self.step)

    @property
    def weights_at(self) -> tuple[str, int]:
        """Kind and step of the checkpoint whose weights stand for the run.

        Raises ``InputError`` where there is none yet.
        """
        if (step := self.step) == 0:
            raise InputError(f"{self.folder} has no checkpoint yet; train it first")
        if self.config.keep == "last":
            return checkpoints.NEWEST, step
        if (epoch := self.kept_at(step)) == 0:
            raise InputError(f"{self.folder} keeps its best epoch and has not come to the end of one; train it further")
        return checkpoints.BEST, epoch * self.steps_per_epoch

    def prune(self, keep: int) -> None:
        """Remove all checkpoints but the newest ``keep``, and all best epochs but those of these."""
        checkpoints.prune(self.folder, keep)
        if self.config.keep == "best":
            kept = {self.kept_at(step) for step in checkpoints.steps(self.folder)}
            checkpoints.prune_best(self.folder, {epoch * self.steps_per_epoch for epoch in kept})

    @property
    def failure(self) -> dict[str, Any] | None:
        """Why the run stopped for good, or None: step, epoch and message. Raises ``InputError`` for a damaged file."""

        def parse(text: str) -> dict[str, Any]:
            found = _object(parse_json(text), step=int, epoch=int, message=str)
            if missing := {"step", "epoch", "message"} - found.keys():
                raise ValueError(f"it has no {min(missing)}")
            return found

        found: dict[str, Any] | None = _read(self.folder / "failure.json", parse)
        return found

    @property
    def status(self) -> str:
        """finished, failed, or the epochs that are done."""
        if self.failure is not None:
            return "failed"
        step, last = self.step, self.last_step
        return "finished" if step >= last else f"{step / self.steps_per_epoch:.3g} of {self.config.epochs} epochs"

    @property
    def finished(self) -> bool:
        """Whether the run was trained to its end, that of its epochs or of its patience."""
        return self.failure is None and self.step >= self.last_step

    @property
    def same_network(self) -> bool:
        """Whether the file of an own backbone is what the run was trained with; True for the library's."""
        now = backbones.digest(self.config.architecture.backbone)
        return now is None or all(session.get("backbone", now) == now for session in self.sessions())

    def check_network(self) -> None:
        """Raise ``InputError`` where the file of an own backbone is another than the run was trained with."""
        if not self.same_network:
            name = self.config.architecture.backbone
            raise InputError(
                f"{name} has changed since {self.folder} was trained with it; bring its file back, or train a new run "
                "under another name of the function or another folder of runs"
            )

    def check(self) -> None:
        """Raise ``InputError`` for an unreadable file of the run, among those that resuming does not open."""
        self.history()
        self.evaluation()
        self.sessions()
        if self.config.keep == "best" and (epoch := self.kept_epoch):
            checkpoints.check(self.folder, epoch * self.steps_per_epoch, self.config.identity, checkpoints.BEST)

    def history(self) -> pd.DataFrame:
        """Columns epoch, split, metric, value; empty before the first epoch's end.

        Raises ``InputError`` for a damaged file, as ``evaluation``, ``validation`` and ``sessions`` do.
        """
        return self._table("history.csv", HISTORY, "epoch")

    def evaluation(self) -> pd.DataFrame:
        """Columns split, metric, samples, value; empty before the first evaluation."""
        return self._table("evaluation.csv", EVALUATION, "samples")

    def validation(self, epoch: int) -> dict[str, float]:
        """Validation metrics after an epoch, by name; none before the first."""
        history = self.history()
        rows = history[(history["split"] == "validation") & (history["epoch"] == epoch)]
        return {str(name): float(value) for name, value in zip(rows["metric"], rows["value"], strict=True)}

    def write_history(self, history: pd.DataFrame) -> None:
        """Write the history, in place of the one before. Raises ``InputError`` where the disk refuses."""
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
        """Hold the run for this process alone. Raises ``InUse`` if another process holds it."""
        with held(self.folder / ".lock", str(self.folder), "wait for it, or name another folder for the runs"):
            remove_parts(self.folder)
            yield

    def write_sessions(self, sessions: Sequence[dict[str, Any]]) -> None:
        """Write the environments that the run was trained in, one entry a session."""
        write_atomically(self.folder / "environment.json", json.dumps(sessions, indent=2) + "\n")

    def sessions(self) -> list[dict[str, Any]]:
        """The environments that the run was trained in, one entry a session."""

        def parse(text: str) -> list[dict[str, Any]]:
            found = parse_json(text)
            if not isinstance(found, list):
                raise ValueError(f"it is a {type(found).__name__}, not a list of sessions")
            return [_object(each, population=int, seconds=float, member_seconds=float) for each in found]

        found: list[dict[str, Any]] | None = _read(self.folder / "environment.json", parse)
        return found or []

    def _table(self, name: str, columns: Sequence[str], count: str) -> pd.DataFrame:
        """A table of columns of text, one of counts and one of values; no line may occur twice."""
        last = self.config.epochs if count == "epoch" else 2**31

        def entry(head: Sequence[str], line: Sequence[str]) -> tuple[Any, ...]:
            given = dict(zip(head, line, strict=True))
            words = [given[column] for column in columns]
            plain = all(word and word.isprintable() and word.isascii() for word in words)
            if not plain or not given[count].isdecimal() or int(given[count]) > last or "_" in given["value"]:
                raise ValueError
            kinds = {count: int, "value": float}
            return tuple(kinds.get(column, str)(word) for column, word in zip(columns, words, strict=True))

        def parse(text: str) -> pd.DataFrame:
            lines = csv.reader(io.StringIO(text, newline=""), strict=True)
            head = next(lines, [])
            if missing := [column for column in columns if head.count(column) != 1]:
                raise ValueError(f"it has no column {missing[0]}, or more than one")
            rows: dict[tuple[Any, ...], tuple[Any, ...]] = {}
            for line in lines:
                try:
                    row = entry(head, line)
                except ValueError:
                    raise ValueError(f"line {lines.line_num} is {','.join(line)[:80]!r}") from None
                if rows.setdefault(row[:-1], row) is not row:
                    raise ValueError(f"line {lines.line_num} says a thing twice")
            return pd.DataFrame(list(rows.values()), columns=list(columns))

        found: pd.DataFrame | None = _read(self.folder / name, parse)
        return pd.DataFrame(columns=list(columns)) if found is None else found


def _read(path: Path, parse: Callable[[str], Any]) -> Any:
    """A file's content, None if it is not there. Raises ``InputError`` if it cannot be read."""
    try:
        return parse(read_text(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, csv.Error) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise InputError(f"{path} cannot be read ({reason}); restore it, or delete the run") from error


def _object(found: object, **kinds: type) -> dict[str, Any]:
    """A JSON object, of whose entries those that are named are texts or numbers from 0. Raises ``ValueError``."""
    if not isinstance(found, dict):
        raise ValueError(f"there is a {type(found).__name__} where an object should be")
    for name, kind in kinds.items():
        value = found.get(name, kind())
        right = isinstance(value, (int, float) if kind is float else kind) and not isinstance(value, bool)
        if not right or (kind is not str and value < 0):
            raise ValueError(f"{name} is {str(value)[:80]!r}")
    return found


def find(runs: Path) -> list[Run]:
    """All runs below a folder, by name; none if there is no such folder. Raises ``InputError`` for a damaged one."""
    found, damaged = survey(runs)
    for error in damaged.values():
        raise error
    return found


def survey(runs: Path) -> tuple[list[Run], dict[str, InputError]]:
    """The runs below a folder, by name, and the reasons of those that cannot be opened, by their folders' names.

    Raises ``InputError`` if the folder itself cannot be read.
    """
    try:
        folders = sorted(runs.iterdir())
    except FileNotFoundError:
        folders = []
    except OSError as error:
        raise InputError(f"{runs} cannot be read ({error.strerror}); name the folder that holds the runs") from error
    found, damaged = [], {}
    for folder in folders:
        try:
            if _is_run(folder):
                found.append(Run.open(folder))
        except InputError as error:
            damaged[folder.name] = error
    return found, damaged


def _is_run(folder: Path) -> bool:
    """Whether a folder is a run's; other things may lie beside runs. Raises ``InputError`` if it cannot be read.

    A run that lost its configuration is recognised by its other files.
    """
    try:
        return bool(MARKS.intersection(os.listdir(folder)))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise InputError(f"{folder} cannot be read ({error.strerror}); fix it, or delete it") from error


MARKS = {"config.json", "environment.json", "history.csv"}
"""Files that make a folder one of a run."""


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
        evaluation = run.evaluation().assign(epoch=run.kept_at(run.total_steps))
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


@cache
def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


@cache
def _processor() -> str:
    path = Path("/proc/cpuinfo")
    names = [line for line in path.read_text().splitlines() if "model name" in line] if path.exists() else []
    return names[0].partition(":")[2].strip() if names else platform.processor()


@cache
def _commit() -> str | None:
    """The commit of the checkout that this package lies in, with + if files differ from it; None outside one.

    Asked once: a process runs the code that it has read, whatever is committed meanwhile.
    """
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        # An installed package may lie in a checkout of something else, where git does not know its files.
        subprocess.run([*git, "ls-files", "--error-unmatch", __file__], capture_output=True, check=True)
        describe = [*git, "describe", "--always", "--abbrev=12", "--dirty=+"]
        return subprocess.run(describe, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
