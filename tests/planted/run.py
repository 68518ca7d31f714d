"""Mutation testing: plant one mistake at a time in a copy of the project and see whether the tests notice.

    python tests/planted/run.py                          # all of the catalogue, one after the other
    python tests/planted/run.py --module strategies      # the mistakes in one module or package
    python tests/planted/run.py --only temperature       # the mistakes that mention a word
    python tests/planted/run.py --list                   # show them, run nothing

The catalogue is written by hand: ``catalogue/NAME.toml`` holds the mistakes in ``discrete_vae/NAME.py``. Its ``tests``
are the selections of tests that belong to the module, the cheapest first, each the arguments of one call of pytest. A
``[[mistake]]`` has a line that says ``what`` is wrong, the exact text ``before``, which occurs once in the module, and
the text ``after``. A mistake is a slip that a good researcher makes: it runs, and its numbers are wrong.

A mistake is *caught* if a test fails, *survives* if all selections pass, and is a *timeout* if a selection takes much
longer than without it. The score is the share that does not survive. Exit status: 0 for a score of at least 95 %, 1
for less, 2 where the catalogue does not fit the source or a selection fails without a mistake.

Speed: one process imports torch and pytest once. It forks a child for each mistake, and the child imports the project
from the changed copy. A mistake that the first test catches took 0.4 s in this way, and 5.5 s with a process of its
own, both on a busy core.

Neither of the usual tools fits. mutmut 3 and cosmic-ray 8 change syntax: another number, another operator, an argument
left out. They make thousands of changes in these modules, many of them without an effect or with a crash as the only
one, and have no place for a list of mistakes in meaning, such as a baseline that contains its own sample. cosmic-ray
starts a process for each change, which imports torch again, and has one test command for all modules. mutmut wraps
every function in a dispatcher, which the graph recording of a training step would see.
"""

from __future__ import annotations

import argparse
import csv
import gc
import importlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("discrete_vae", "reports", "studies", "tests", "pyproject.toml")
PRELOADED = (
    "torch",
    "torch._dynamo",
    "torch.fx.experimental.proxy_tensor",
    "torch.distributions",
    "numpy",
    "pandas",
    "scipy.stats",
    "safetensors.torch",
    "rich.progress",
    "cyclopts",
    "pooch",
    "PIL.Image",
    "reinmax",
)
"""Modules of other people that the children inherit; the project's own are never among them."""
GOAL = 0.95
SLACK, FACTOR = 20.0, 4.0
"""A selection times out after ``SLACK`` seconds plus ``FACTOR`` times what it takes without a mistake."""


class CatalogueError(Exception):
    """The catalogue does not fit the source, or a selection of tests fails without a mistake."""


@dataclass(frozen=True)
class Mistake:
    """One edit of one source file."""

    module: str
    """The file in ``discrete_vae`` without its suffix, such as ``strategies/rloo``."""
    what: str
    before: str
    after: str
    tests: tuple[str, ...]
    """Selections of tests, in the order in which they run."""

    @property
    def name(self) -> str:
        return f"{self.module}: {self.what}"

    @property
    def path(self) -> str:
        """The file, relative to the root of the project."""
        return f"discrete_vae/{self.module}.py"

    def apply(self, source: str) -> str:
        """The source with the mistake. Raises ``CatalogueError`` if ``before`` does not occur exactly once."""
        if (count := source.count(self.before)) != 1:
            raise CatalogueError(f"{self.name}: the text before occurs {count} times in {self.path}: {self.before!r}")
        if self.before == self.after:
            raise CatalogueError(f"{self.name}: the text after is the text before")
        return source.replace(self.before, self.after)


@dataclass
class Result:
    """What became of a mistake."""

    mistake: Mistake
    outcome: str
    """``caught``, ``survived`` or ``timeout``."""
    seconds: float
    by: str = ""
    """The first test that failed."""


def load(folder: Path) -> list[Mistake]:
    """All mistakes of a catalogue. Raises ``CatalogueError`` for an entry that is not complete or occurs twice."""
    mistakes: list[Mistake] = []
    for file in sorted(folder.rglob("*.toml")):
        content = tomllib.loads(file.read_text())
        module = file.relative_to(folder).with_suffix("").as_posix()
        for entry in content["mistake"]:
            if set(entry) != {"what", "before", "after"}:
                raise CatalogueError(f"{file}: {entry} needs exactly what, before and after")
            mistakes.append(Mistake(module, **entry, tests=tuple(content["tests"])))
    names = [mistake.name for mistake in mistakes]
    if twice := {name for name in names if names.count(name) > 1}:
        raise CatalogueError(f"several mistakes have the same name: {', '.join(sorted(twice))}")
    return mistakes


def check(mistakes: Iterable[Mistake], root: Path) -> None:
    """Raise ``CatalogueError`` if a mistake does not apply to the source or does not compile; name all of them."""
    errors = []
    for mistake in mistakes:
        try:
            compile(mistake.apply((root / mistake.path).read_text()), mistake.path, "exec")
        except (CatalogueError, OSError) as error:
            errors.append(str(error))
        except SyntaxError as error:
            errors.append(f"{mistake.name}: does not compile: {error}")
    if errors:
        raise CatalogueError("\n".join(errors))


@dataclass
class Worker:
    """A copy of the project and the child that tests it at the moment."""

    folder: Path
    child: int = 0
    mistake: Mistake | None = None
    source: str = ""
    """The mutated file as it was."""
    started: float = 0.0
    stage: int = 0
    stage_started: float = 0.0
    limits: dict[str, float] = field(default_factory=dict)
    """Seconds that each selection may take."""

    @property
    def tree(self) -> Path:
        return self.folder / "tree"

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"

    @classmethod
    def create(cls, root: Path, folder: Path) -> Worker:
        worker = cls(folder)
        worker.tree.mkdir(parents=True)
        for name in COPIED:
            if (root / name).is_dir():
                shutil.copytree(root / name, worker.tree / name, ignore=shutil.ignore_patterns("__pycache__"))
            elif (root / name).exists():
                shutil.copy(root / name, worker.tree / name)
        return worker

    def plant(self, mistake: Mistake) -> None:
        path = self.tree / mistake.path
        self.mistake, self.stage, self.started = mistake, 0, time.monotonic()
        self.source = path.read_text()
        path.write_text(mistake.apply(self.source))
        # Python takes a compiled file for current by size and seconds, which an edit may leave as they were.
        Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)
        self.start(mistake.tests[0])

    def start(self, selection: str) -> None:
        """Run one selection of tests in a child."""
        self.stage_started = time.monotonic()
        self.child = fork(self.tree, self.log, selection, compiled=False)

    def poll(self) -> Result | None:
        """The result of the mistake, if there is one yet."""
        assert self.mistake is not None
        status = wait(self.child)
        if status is None:
            limit = self.limits[self.mistake.tests[self.stage]]
            if time.monotonic() - self.stage_started < limit:
                return None
            kill(self.child)
            return self._end("timeout")
        if status != 0:
            return self._end("caught", failed(self.log.read_text(errors="replace")))
        self.stage += 1
        if self.stage == len(self.mistake.tests):
            return self._end("survived")
        self.start(self.mistake.tests[self.stage])
        return None

    def _end(self, outcome: str, by: str = "") -> Result:
        assert self.mistake is not None
        mistake, self.mistake, self.child = self.mistake, None, 0
        (self.tree / mistake.path).write_text(self.source)
        return Result(mistake, outcome, time.monotonic() - self.started, by)

    def stop(self) -> None:
        if self.child:
            kill(self.child)


def fork(tree: Path, log: Path, selection: str, compiled: bool) -> int:
    """A child that runs a selection of tests in a tree; its exit status is pytest's."""
    child = os.fork()
    if child:
        return child
    status = 70
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.setpgid(0, 0)
        os.chdir(tree)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(output, stream)
        sys.dont_write_bytecode = not compiled
        os.environ["PYTHONPATH"] = str(tree)  # for processes that tests start
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        sys.path[:] = [str(tree), *(path for path in sys.path if not inside(path, ROOT))]
        status = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *shlex.split(selection)]))
        package = sys.modules.get("discrete_vae")
        if package is not None and not inside(str(package.__file__), tree):
            print(f"the tests imported {package.__file__}, not the copy")
            status = 71
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def inside(path: str, folder: Path) -> bool:
    """Whether a path, such as an entry of ``sys.path``, is that of a folder or lies in it."""
    return Path(path or ".").resolve().is_relative_to(folder.resolve())


def wait(child: int) -> int | None:
    """The exit status of a child, or nothing while it runs."""
    done, status = os.waitpid(child, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if done else None


def kill(child: int) -> None:
    """End a child and the processes that it started."""
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def failed(log: str) -> str:
    """The first test that failed, by pytest's summary."""
    found = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", log, re.MULTILINE)
    return found[1] if found else ""


def baseline(worker: Worker, selections: Iterable[str], console: Console) -> dict[str, float]:
    """Seconds that each selection takes without a mistake. Raises ``CatalogueError`` for one that does not pass."""
    seconds: dict[str, float] = {}
    for selection in dict.fromkeys(selections):
        began = time.monotonic()
        worker.child = fork(worker.tree, worker.log, selection, compiled=True)
        while (status := wait(worker.child)) is None:
            time.sleep(0.02)
        worker.child = 0
        if status != 0:
            log = worker.log.read_text(errors="replace")[-3000:]
            raise CatalogueError(f"without a mistake, pytest {selection} ends with status {status}:\n{log}")
        seconds[selection] = time.monotonic() - began
        console.print(f"passes   {seconds[selection]:6.1f} s  pytest {selection}", highlight=False, markup=False)
    return seconds


def run(mistakes: Sequence[Mistake], root: Path, jobs: int, console: Console, out: Path | None = None) -> list[Result]:
    """Plant all mistakes, some at a time; tell the outcome of each as it is known, and write those that there are."""
    check(mistakes, root)
    waiting, results = list(mistakes), list[Result]()
    with tempfile.TemporaryDirectory(prefix="planted-") as folder:
        workers = [Worker.create(root, Path(folder).resolve() / str(job)) for job in range(jobs)]
        try:
            seconds = baseline(workers[0], (test for mistake in mistakes for test in mistake.tests), console)
            for worker in workers:
                worker.limits = {selection: SLACK + FACTOR * time for selection, time in seconds.items()}
            began = time.monotonic()
            while len(results) < len(mistakes):
                for worker in workers:
                    if worker.mistake is None and waiting:
                        worker.plant(waiting.pop(0))
                    elif worker.mistake is not None and (result := worker.poll()):
                        results.append(result)
                        left = (time.monotonic() - began) / len(results) * (len(mistakes) - len(results))
                        if out:
                            write(results, out)
                        tell(result, f"{len(results)}/{len(mistakes)}, {left / 60:.0f} min left", console)
                time.sleep(0.02)
        finally:
            for worker in workers:
                worker.stop()
    return results


def tell(result: Result, progress: str, console: Console) -> None:
    colour = {"caught": "green", "survived": "bold red", "timeout": "yellow"}[result.outcome]
    line = f"{result.outcome:8} {result.seconds:6.1f} s  [{progress}] {result.mistake.name}"
    console.print(line, style=colour, highlight=False, markup=False, soft_wrap=True)


def score(results: Sequence[Result]) -> float:
    """Share of the mistakes that did not survive."""
    return sum(result.outcome != "survived" for result in results) / len(results)


def summarise(results: Sequence[Result], console: Console) -> None:
    """The survivors, and the score by module."""
    survivors = [result.mistake for result in results if result.outcome == "survived"]
    if survivors:
        table = Table("module", "what", "before", "after", title="Survivors", show_lines=True)
        for mistake in survivors:
            table.add_row(mistake.module, mistake.what, mistake.before.strip(), mistake.after.strip())
        console.print(table, markup=False)
    table = Table("module", "mistakes", "survived", "timeouts", "score", "s each", title="Score by module")
    for module in [*dict.fromkeys(result.mistake.module for result in results), ""]:
        own = [result for result in results if module in ("", result.mistake.module)]
        counts = [sum(result.outcome == outcome for result in own) for outcome in ("survived", "timeout")]
        each = sum(result.seconds for result in own) / len(own)
        table.add_row(module or "all", str(len(own)), *map(str, counts), f"{score(own):.0%}", f"{each:.1f}")
    console.print(table)


def write(results: Sequence[Result], path: Path) -> None:
    """Write results as JSON, or as CSV where the name ends so."""
    rows = [
        {key: value for key, value in asdict(result.mistake).items() if key != "tests"}
        | {"outcome": result.outcome, "seconds": round(result.seconds, 2), "by": result.by}
        for result in results
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        if path.suffix == ".csv":
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        else:
            json.dump(rows, file, indent=1)


def chosen(mistakes: Iterable[Mistake], module: str, only: str) -> list[Mistake]:
    """Those in a module or package, and with a text in their name or their edit."""
    return [
        mistake
        for mistake in mistakes
        if f"{mistake.module}/".startswith(f"{module.strip('/')}/" if module else "")
        and any(only.lower() in text.lower() for text in (mistake.name, mistake.before, mistake.after))
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Plant mistakes one at a time and see whether the tests notice.")
    parser.add_argument("--only", default="", metavar="SUBSTRING", help="mistakes with this text in name or edit")
    parser.add_argument("--module", default="", help="mistakes in this module or package, such as strategies/rloo")
    parser.add_argument("--jobs", type=int, default=1, help="mistakes tested at a time; each takes one core")
    parser.add_argument("--list", action="store_true", help="show the mistakes and run nothing")
    parser.add_argument("--out", type=Path, help="write the results to this file, .json or .csv")
    parser.add_argument("--root", type=Path, default=ROOT, help="the project; default: this one")
    options = parser.parse_args(arguments)
    console = Console()
    try:
        mistakes = chosen(load(options.root / "tests" / "planted" / "catalogue"), options.module, options.only)
        if not mistakes:
            raise CatalogueError("no mistake of the catalogue fits --module and --only; see --list")
        if options.list:
            for mistake in mistakes:
                console.print(mistake.name, highlight=False, markup=False, soft_wrap=True)
            return 0
        os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported; threads would not outlive a fork
        for name in PRELOADED:
            with suppress(ImportError):
                importlib.import_module(name)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the copies and children go as well
        gc.freeze()  # or each child would look through all of torch for garbage, as pytest asks for at its end
        results = run(mistakes, options.root.resolve(), options.jobs, console, options.out)
    except CatalogueError as error:
        console.print(str(error), style="red", highlight=False, markup=False, soft_wrap=True)
        return 2
    summarise(results, console)
    return 0 if score(results) >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
