"""The command ``discrete-vae``: train, evaluate, sample, list."""

from __future__ import annotations

import dataclasses
import inspect
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from cyclopts import App, CycloptsError, Parameter
from cyclopts.exceptions import UnknownOptionError, UnusedCliTokensError
from rich.console import Console
from rich.table import Column, Table

import discrete_vae.runs.run
from discrete_vae.cli.arguments import Count, Natural, Optional, real, typed_schedule, whole
from discrete_vae.cli.console import announce, complain, standard_output
from discrete_vae.cli.grids import grid
from discrete_vae.cli.options import DATA, TASK, configuration, parameters, task_of, unknown
from discrete_vae.cli.options import RUNS as RUNS_GROUP
from discrete_vae.cli.own_images import own_images, room
from discrete_vae.config.config import Config
from discrete_vae.config.relevance import has_effect
from discrete_vae.data import load
from discrete_vae.data.synthetic import SYNTHETIC
from discrete_vae.errors import InputError, check_range, nearest
from discrete_vae.evaluation.population import Population
from discrete_vae.evaluation.yardstick import evaluate as evaluate_runs
from discrete_vae.files import write_output
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.memory import keep_freed_memory, require
from discrete_vae.places import File, Folder, shown
from discrete_vae.progress import terminal_progress
from discrete_vae.runs.run import Run
from discrete_vae.schedules import Schedule
from discrete_vae.secrets import VARIABLE, guard, remembering
from discrete_vae.strategies import STRATEGIES
from discrete_vae.tasks import TASKS
from discrete_vae.training import Interrupted, capacity
from discrete_vae.training.loop import train as train_runs

RUNS = Path("runs")
MOST = 10_000
"""Runs that a command may train, each in a folder of its own."""
RunsFolder = Annotated[Folder, Parameter(help="Folder that holds the runs' folders.")]
Device = Annotated[str, Parameter(help="cpu, cuda, cuda:1 ...; auto takes CUDA where there is one.")]
Threads = Annotated[int | None, whole(1, 1024), Parameter(help="Processor threads; by default torch's choice.")]
STORAGE = "studies.sqlite"
Storage = Annotated[
    str,
    Parameter(
        help="Where studies are: an SQLite file, postgresql+psycopg://user@host/database, or grpc://host:port. A "
        "password is best kept in ~/.pgpass or PGPASSWORD.",
        env_var=VARIABLE,
    ),
]


@Parameter(name="*")
@dataclasses.dataclass(frozen=True)
class Where:
    """Where to compute, and where the runs are."""

    runs: RunsFolder = RUNS
    device: Device = "auto"
    threads: Threads = None

    def compute_device(self) -> torch.device:
        """The device, after setting the number of threads. Raises ``InputError`` if it is not there."""
        return choose_device(self.device, self.threads)


FOLDER_HELP = """Folder of mnist's or fashion-mnist's IDX files, or of omniglot's files; for a run of own images, where
these lie now."""


@Parameter(name="*")
@dataclasses.dataclass(frozen=True)
class DataFiles:
    """Where the files are of data sets that are not bundled."""

    folder: Annotated[Folder | None, Parameter(help=FOLDER_HELP)] = None
    download: Annotated[bool, Parameter(help="Download mnist or fashion-mnist if not there.", negative="")] = False


def choose_device(name: str, threads: int | None) -> torch.device:
    """``auto`` or a device's name, after setting the number of threads if one is given.

    Raises ``InputError`` for a device that torch does not know or cannot find, and for less than one thread.
    """
    if threads is not None:
        check_range("threads", threads, 1, 1024)
        torch.set_num_threads(threads)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"device {name!r} is unknown; give cpu, cuda or auto") from None
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"device {name!r} is not supported; give cpu, cuda or auto")
    if device.type == "cpu" and device.index:
        raise InputError(f"device {name!r} is not there; there is one processor, cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(
            f"device {name!r} is not there ({torch.cuda.device_count()} CUDA devices found); use --device cpu"
        )
    return device


def _train_command(strategy: str, task: str) -> Callable[..., int]:
    """The command that trains with a strategy; its options are those that have an effect with it in a task."""

    def command(**given: Any) -> int:
        values = {each.name: each.default for each in own} | given
        where, files, seeds = values["where"], values["files"], values["seeds"]
        if values["task"] not in TASKS:
            raise nearest(values["task"], TASKS, "task")
        device = where.compute_device()
        with terminal_progress() as progress:
            own_data = own_images(values, files.folder, files.download, device, progress)
            base = configuration(strategy, task, values, None if own_data is None else own_data.config)
            each_seed = varied(base, values["vary"])
            capacity.require_training(base, seeds * len(each_seed), device)
            configs = [dataclasses.replace(each, seed=base.seed + i) for each in each_seed for i in range(seeds)]
            images = own_data or load(base.data, files.folder, device, files.download)
            made = train_runs(configs, where.runs, images, device=device, progress=progress, compiled=values["compile"])
        damaged = _show(made)
        for name, error in damaged.items():
            complain(f"error: {name}: {error}")
        return 1 if damaged or any(run.failure for run in made) else 0

    own = [
        _parameter("task", Annotated[str, Parameter(help=TASK_HELP, group=TASK)], task),
        *parameters(strategy, task),
        _parameter("files", Annotated[DataFiles, Parameter(name="*", group=DATA)], DataFiles()),
        _parameter("seeds", Annotated[int, whole(1, MOST), Parameter(help=SEEDS_HELP, group=RUNS_GROUP)], 1),
        _parameter(
            "vary", Annotated[tuple[str, ...], Parameter(help=VARY_HELP, group=RUNS_GROUP, show_default=False)], ()
        ),
        _parameter("compile", Annotated[bool, Parameter(help=COMPILE_HELP, group=RUNS_GROUP, negative="")], False),
        _parameter("where", Annotated[Where, Parameter(name="*", group=RUNS_GROUP)], Where()),
    ]
    command.__signature__ = inspect.Signature(own)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in own}
    kind = STRATEGIES[strategy]
    command.__doc__ = (
        f"{inspect.cleandoc(kind.__doc__ or strategy).splitlines()[0]} {kind.claim.paper}.\n\nIn task {task}."
    )
    return command


def _parameter(name: str, annotation: Any, default: object) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


TASK_HELP = """What is modelled: vae; structured-prediction, the lower half of an image from its upper half;
semi-supervised, an image by its class, which a few images come with, and a Gaussian style; labels-alone, the classifier
of that without the other images; adversarial-vae, whose averaged posterior a critic pulls to the prior, with weight
beta, in place of the KL; generator, of strings, binary images or points from noise, against a critic; critic, by
itself, of points and noisier ones. Each has options of its own, which `--task TASK --help` shows."""
SEEDS_HELP = "How many runs to train side by side, with consecutive seeds."
VARY_HELP = """A schedule's values for runs side by side, e.g. --vary "temperature=0.1 0.5 1"; with several of these,
all their combinations, each with every seed."""
COMPILE_HELP = """Let torch.compile fuse the step's kernels: some seconds to begin with, then a fifth faster."""


def varied(config: Config, settings: Sequence[str]) -> list[Config]:
    """All combinations of the values that settings like ``temperature=0.1 0.5`` give to schedules of a configuration.

    Raises ``InputError`` for a name that is no schedule of it and for values that cannot be read.
    """
    configs, names = [config], set[str]()
    for setting in settings:
        name, _, values = setting.partition("=")
        name = name.strip().replace("-", "_")
        holders = {
            field.name: holder
            for holder in (config.options, config)
            for field in dataclasses.fields(holder)
            if isinstance(getattr(holder, field.name), Schedule)
            and has_effect(field.name, config.task_class, config.strategy_class)
        }
        if name not in holders:
            raise nearest(name, holders, "schedule to vary")
        if not values.split():
            raise InputError(f"--vary {setting!r} has no values; write e.g. --vary '{name}=0.1 0.5 1'")
        if name in names:
            raise InputError(f"--vary names {name} twice; give all its values at once")
        names.add(name)
        plain = Config if holders[name] is config else type(config.options)()
        if getattr(config if holders[name] is config else config.options, name) != getattr(plain, name):
            raise InputError(f"{name} is given, and by --vary too; give it once")
        schedules: list[dict[str, Any]] = [{name: typed_schedule(value)} for value in values.split()]
        if again := {str(each[name]) for each in schedules if schedules.count(each) > 1}:
            raise InputError(f"--vary gives {name} {min(again)} twice; give it once")
        if len(configs) * len(schedules) > MOST:
            raise InputError(f"--vary gives more than {MOST:,} combinations; give fewer values")
        configs = [
            dataclasses.replace(each, **schedule)
            if holders[name] is config
            else dataclasses.replace(each, options=dataclasses.replace(each.options, **schedule))
            for each in configs
            for schedule in schedules
        ]
    return configs


def evaluate(
    *run: str,
    split: Literal["train", "validation", "test"] = "test",
    samples: Count = 1000,
    memory: Annotated[float | None, real(above=0, most=1e6), Optional] = None,
    where: Where = Where(),
    files: DataFiles = DataFiles(),
) -> None:
    """Score runs on hard samples: ELBO, reconstruction, exact KL and the importance-weighted bound, in nats.

    Parameters
    ----------
    run
        Folders of runs, or what `list` shows of them (or the beginning of it).
    split
        Images to score on.
    samples
        Samples an image; the importance-weighted bound needs many, and some papers take 5,000.
    memory
        GiB to take for it; by default what one run takes, on a GPU a quarter of what is free. The numbers do not
        depend on it.
    """
    device = where.compute_device()
    made = list({each.config: each for each in (find_run(name, where.runs) for name in run)}.values())
    if not made:
        raise InputError("no run was named; `discrete-vae list` shows them")
    for each in made:
        each.check()
    if len({each.config.data for each in made}) > 1:
        raise InputError("the runs are of different data sets; evaluate them one data set at a time")
    limit = None if memory is None else int(memory * 2**30)
    with terminal_progress() as progress:
        data = load(made[0].config.data, files.folder, device, files.download, progress.counting, room(device))
        with progress.counting(f"{split} images", len(data.split(split)) * len(made)) as done:
            metrics = evaluate_runs(made, data, split, samples, device=device, advance=done, memory=limit)
    found = metrics.pivot(index="metric", columns="run", values="value")[[run.config.name for run in made]]
    table = Table("metric", *(Column(run.config.identity, justify="right") for run in made), caption=f"{split}, nats")
    for metric, values in found.iterrows():
        table.add_row(str(metric), *("" if np.isnan(value) else f"{value:.3f}" for value in values))
    Console().print(table)


PNG = b"\x89PNG"
"""How an image's file begins."""


def sample(
    run: str,
    *,
    out: File | None = None,
    rows: Count = 8,
    columns: Count = 8,
    seed: Natural = 0,
    where: Where = Where(),
) -> None:
    """Draw from a VAE's prior or a generator's noise, and write images as one grid, strings and points as lines.

    Parameters
    ----------
    run
        A run's folder, or what `list` shows of it (or the beginning of it).
    out
        File to write, in place of an older one of the kind; by default samples.png in the run's
        folder, or samples.txt for what are no images.
    rows
        Rows of the grid.
    columns
        Columns of the grid.
    seed
        Seed of the draw.
    """
    device = where.compute_device()
    found = find_run(run, where.runs)
    data = found.config.data
    require(8 * rows * columns * data.domain.size, f"{rows:,} rows of {columns:,} samples", device)
    population = Population.load([found], device)
    noise = Noise([seeded(seed, "prior", device=device)], device)
    with torch.no_grad():
        drawn = population.model.draw(rows * columns, noise).squeeze(0).cpu()
    if data.dataset in SYNTHETIC:
        out = out or found.folder / "samples.txt"
        write_output(out, "\n".join(SYNTHETIC[data.dataset].write(drawn)) + "\n")
    else:
        out = out or found.folder / "samples.png"
        png = io.BytesIO()
        grid(drawn, rows, columns, data).save(png, format="PNG")
        write_output(out, png.getvalue(), PNG)
    announce(out, str(out))


def list_runs(*, runs: RunsFolder = RUNS) -> int:
    """Show all runs: how far they are and how they do on the validation images.

    Damaged runs are named on standard error, each in a line, and the exit code is 1.
    """
    found, damaged = discrete_vae.runs.run.survey(runs)
    if not found and not damaged:
        if runs != RUNS and not runs.is_dir():
            raise InputError(f"there is no folder {runs}; name the one that was given to `train`")
        if runs != RUNS and any(runs.iterdir()):
            raise InputError(f"there is no run in {runs}; name the folder that was given to `train`")
        print(f"no runs in {runs}; `discrete-vae train --help` says how to make one")
        return 0
    damaged |= _show(found)
    for error in damaged.values():
        complain(f"error: {error}")
    return 1 if damaged else 0


def find_run(name: str, runs: Path) -> Run:
    """A run by its folder, or below ``runs`` by its name or identity or the beginning of one.

    Raises ``InputError`` for a name of none or of several, and for a damaged run; another's damage is no matter.
    """
    if not name.strip():
        raise InputError(f"{name!r} is no name of a run; `discrete-vae list` shows them")
    if os.path.lexists(os.path.join(name, "config.json")):
        return Run.open(Path(name))
    found, damaged = discrete_vae.runs.run.survey(runs)
    matches = {run.folder.name: run for run in found if run.config.identity.startswith(name)}
    matches |= {run.folder.name: run for run in found if run.folder.name.startswith(name)}
    broken = [folder for folder in damaged if name in (folder[: len(name)], folder.rpartition("-")[2][: len(name)])]
    if not found and not damaged:
        raise InputError(f"no run {shown(name)}: {runs} holds none; train one first")
    if name in damaged or (broken and not matches):
        raise damaged[name if name in damaged else broken[0]]
    if not matches:
        raise nearest(name[:200], [run.folder.name for run in found] + list(damaged), "run")
    if name not in matches and len(matches) + len(broken) > 1:
        raise InputError(f"run {name!r} could be {', '.join([*matches, *broken])}; give more of its name")
    return matches.get(name) or next(iter(matches.values()))


SHOWN = {
    "elbo": "ELBO",
    "reconstruction_hard": "reconstr.",
    "kl": "KL",
    "accuracy": "accuracy",
    "wasserstein": "distance",
    "valid": "valid",
    "modes": "modes",
}
"""Metrics in the list of runs, and their heads."""
CAPTION = "validation, nats; hard samples; a distance is by the run's own critic"
SHARES = ("accuracy", "valid")
"""Those from 0 to 1."""


def _last(run: Run) -> dict[str, float]:
    """A run's last validation metrics; none before its first epoch."""
    history = run.history()
    last = history[(history["split"] == "validation") & (history["epoch"] == history["epoch"].max())]
    return {str(name): float(value) for name, value in zip(last["metric"], last["value"], strict=True)}


def _show(runs: Sequence[Run]) -> dict[str, InputError]:
    """Show a table of runs; gives the reasons of those whose files cannot be read, by their folders' names."""
    found: dict[Run, tuple[dict[str, float], str]] = {}
    damaged: dict[str, InputError] = {}
    for run in runs:
        try:
            run.check()
            found[run] = _last(run), run.status
        except InputError as error:
            damaged[run.folder.name] = error
    shown = {name: head for name, head in SHOWN.items() if any(name in each for each, _ in found.values())}
    numbers = [Column(head, justify="right", no_wrap=True) for head in ("seed", *shown.values())]
    words = Column("status", no_wrap=True), Column("strategy, settings", overflow="fold")
    table = Table(
        Column("run", no_wrap=True),
        *numbers,
        *words,
        caption=CAPTION,
    )
    for run, (values, status) in found.items():
        metrics = [f"{values[name]:.{4 if name in SHARES else 2}f}" if name in values else "" for name in shown]
        config = run.config
        table.add_row(config.identity, str(config.seed), *metrics, status, f"{config.strategy} {config.settings}")
    if found:
        Console().print(table)
    return damaged


def application(task: str) -> App:
    """The command line, with the options of ``train`` that have an effect in a task."""
    app = App(
        name="discrete-vae",
        help="Train and compare ways to train categorical latent variables, on one VAE backbone.",
        help_epilogue="Tables and figures: `python -m reports --help`.",
        version_flags=["--version"],
        default_parameter=Parameter(negative_iterable=()),
    )
    train = App(name="train", help=TRAIN_HELP, help_epilogue=SCHEDULES_HELP)
    for strategy in STRATEGIES:
        train.command(_train_command(strategy, task), name=strategy)
    app.command(train)
    app.command(evaluate)
    app.command(sample)
    app.command(list_runs, name="list")
    return app


TRAIN_HELP = f"""Train runs with a strategy, seeds side by side.

For example `discrete-vae train gumbel-softmax --temperature 0.5 --epochs 5 --seeds 3`.
What is finished is not trained again; what was interrupted goes on where it stopped.

With the classes of 100 images: `discrete-vae train reinmax --task semi-supervised --labelled 100 --labelled-weight 50
--alpha 300 --style 10 --beta 8,decay=0.8,minimum=2 --hidden 250 --activation relu --learning-rate 0.002
--batch-size 250 --epochs 10`; `list` and `evaluate` show its accuracy.

Strategies: {", ".join(STRATEGIES)}; `discrete-vae train STRATEGY --help` shows the options of one, and with
`--task TASK` those for that task."""
SCHEDULES_HELP = """A SCHEDULE is written as its initial value and, after commas, what changes it: `0.5`;
`1,decay=0.97,minimum=0.5` (times 0.97 each epoch); `0.01,warmup=50` (linear from 0 over 50 epochs);
`1,decay=0.97,every=1000,unit=step` (times 0.97 each 1000 steps); `0.004,decay=0.1,unit=run` (to a tenth over the
run)."""


def run(app: App, tokens: Sequence[str] | None, explain: Callable[[str], str | None] = lambda option: None) -> int:
    """Run a command line and give its exit code: bad input ends in one line on standard error and code 2.

    ``explain`` may say why there is no such option.
    """
    keep_freed_memory()
    with remembering(sys.argv[1:] if tokens is None else tokens):
        try:
            with standard_output():
                return app(tokens, exit_on_error=False, print_error=False, result_action="return_value") or 0
        except UnusedCliTokensError as error:
            complain(f"error: nothing takes {' '.join(map(repr, error.unused_tokens or []))}; leave it off")
            return 2
        except UnknownOptionError as error:
            complain(f"error: {explain(error.token.keyword or error.token.value) or error}")
            return 2
        except (InputError, CycloptsError) as error:
            complain(f"error: {error}")
            return 2
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            complain(f"error: there is not enough memory ({str(error).partition('. ')[0]}); give smaller sizes")
            return 2
        except Interrupted as error:
            complain(str(error))
            return 130
        except KeyboardInterrupt:
            complain("stopped; the same command goes on from what is done")
            return 130


def out_of_memory(error: Exception) -> bool:
    """Whether an allocation failed, of Python's memory, the processor's or a GPU's."""
    told = "allocate memory" in str(error) or "not enough memory" in str(error)
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or told


def main(tokens: Sequence[str] | None = None) -> None:
    """The command ``discrete-vae``."""
    guard()
    words = list(sys.argv[1:] if tokens is None else tokens)
    task, strategy = task_of(words), next((word for word in words[1:2] if word in STRATEGIES), None)
    sys.exit(run(application(task), words, lambda option: unknown(option, strategy, task) if strategy else None))
