"""The command ``discrete-vae``: train, evaluate, sample, list."""

from __future__ import annotations

import dataclasses
import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from cyclopts import App, CycloptsError, Parameter, Token
from PIL import Image
from rich.console import Console
from rich.table import Column, Table

import discrete_vae.runs
from discrete_vae.config import Config, Optimiser, Precision
from discrete_vae.data import DataConfig, load
from discrete_vae.data.made import MADE
from discrete_vae.errors import InputError, nearest
from discrete_vae.evaluation import evaluate as evaluate_runs
from discrete_vae.files import write_atomically
from discrete_vae.memory import keep_freed_memory
from discrete_vae.noise import Noise, seeded
from discrete_vae.population import Population
from discrete_vae.progress import terminal_progress
from discrete_vae.runs import Run
from discrete_vae.schedules import Schedule
from discrete_vae.secrets import VARIABLE, guard, redact_secrets, remembering
from discrete_vae.strategies import STRATEGIES, Strategy
from discrete_vae.strategies.base import options_of
from discrete_vae.tasks import TASKS, Architecture, Criticism, Supervision
from discrete_vae.training import Interrupted
from discrete_vae.training import train as train_runs


def _schedule(kind: type, tokens: Sequence[Token]) -> Schedule:
    return Schedule.parse(tokens[0].value)


# A schedule is one word on the command line, not a group of options.
Parameter(converter=_schedule, n_tokens=1, accepts_keys=False, show_default=str)(Schedule)

app = App(
    name="discrete-vae",
    help="Train and compare ways to train categorical latent variables, on one VAE backbone.",
    help_epilogue="Tables and figures: `python -m reports --help`.",
    version_flags=["--version"],
    default_parameter=Parameter(negative_iterable=()),
)
train_app = App(
    name="train",
    help=f"""Train runs with a strategy, seeds side by side.

For example `discrete-vae train gumbel-softmax --temperature 0.5 --epochs 5 --seeds 3`.
What is finished is not trained again; what was interrupted goes on where it stopped.

With the classes of 100 images: `discrete-vae train reinmax --task semi-supervised --labelled 100 --labelled-weight 50
--alpha 300 --style 10 --beta 8,decay=0.8,minimum=2 --hidden 250 --activation relu --learning-rate 0.002
--batch-size 250 --epochs 10`; `list` and `evaluate` show its accuracy.

Strategies: {", ".join(STRATEGIES)}; `discrete-vae train STRATEGY --help` shows the options of one.""",
    help_epilogue="""A SCHEDULE is written as its initial value and, after commas, what changes it: `0.5`;
`1,decay=0.97,minimum=0.5` (times 0.97 each epoch); `0.01,warmup=50` (linear from 0 over 50 epochs);
`1,decay=0.97,every=1000,unit=step` (times 0.97 each 1000 steps); `0.004,decay=0.1,unit=run` (to a tenth over the
run).""",
)
app.command(train_app)

RunsFolder = Annotated[Path, Parameter(help="Folder that holds the runs' folders.")]
Device = Annotated[str, Parameter(help="cpu, cuda, cuda:1 ...; auto takes CUDA where there is one.")]
Threads = Annotated[int | None, Parameter(help="Processor threads; by default torch's choice.")]
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
    """Where to compute, and where the files are."""

    runs: RunsFolder = Path("runs")
    device: Device = "auto"
    threads: Threads = None
    folder: Annotated[Path | None, Parameter(help="Folder with IDX files, for grayscale data sets.")] = None
    download: Annotated[bool, Parameter(help="Download a grayscale data set if it is not there.", negative="")] = False

    def compute_device(self) -> torch.device:
        """The device, after setting the number of threads. Raises ``InputError`` if it is not there."""
        return choose_device(self.device, self.threads)


def choose_device(name: str, threads: int | None) -> torch.device:
    """``auto`` or a device's name, after setting the number of threads if one is given.

    Raises ``InputError`` for a device that torch does not know or cannot find, and for fewer threads than 1.
    """
    if threads is not None:
        if threads < 1:
            raise InputError(f"threads is {threads}; give at least 1")
        torch.set_num_threads(threads)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"device {name!r} is unknown; give cpu, cuda or auto") from None
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"device {name!r} is not supported; give cpu, cuda or auto")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(
            f"device {name!r} is not there ({torch.cuda.device_count()} CUDA devices found); use --device cpu"
        )
    return device


def _train_command(name: str, strategy: type[Strategy]) -> Callable[..., int]:
    def command(
        *,
        options: Any = strategy.Options(),  # noqa: B008
        task: str = "vae",
        architecture: Annotated[Architecture, Parameter(name="*")] = Architecture(),  # noqa: B008
        criticism: Annotated[Criticism, Parameter(name="*")] = Criticism(),  # noqa: B008
        supervision: Annotated[Supervision, Parameter(name="*")] = Supervision(),  # noqa: B008
        data: Annotated[DataConfig, Parameter(name="*")] = DataConfig(),
        epochs: int = 50,
        batch_size: int = 100,
        samples: int = 1,
        learning_rate: Schedule = Schedule(3e-4),
        auxiliary_learning_rate: Schedule = Schedule(3e-4),
        optimiser: Optimiser = "adam",
        beta: Schedule = Schedule(1.0),
        precision: Precision = "float32",
        seeds: int = 1,
        seed: int = 0,
        vary: tuple[str, ...] = (),
        compile: Annotated[bool, Parameter(negative="")] = False,
        where: Where = Where(),
    ) -> int:
        """
        Parameters
        ----------
        task
            What is modelled: vae; structured-prediction, the lower half of an image from its upper half;
            semi-supervised, an image by its class, which a few images come with, and a Gaussian style: see --labelled,
            --alpha and --style; labels-alone, the classifier of that without the other images; adversarial-vae, whose
            averaged posterior a critic pulls to the prior, with weight beta, in place of the KL; generator, of strings,
            binary images or points from noise, against a critic; critic, by itself, of points and noisier ones.
        epochs
            Passes over the 50,000 training images.
        batch_size
            Images in a batch.
        samples
            Samples of each image's latents in a step.
        learning_rate
            Step size.
        auxiliary_learning_rate
            Step size for the strategy's own networks, such as a learned inverse.
        optimiser
            Of encoder and decoder, or of a generator: adam, adam-0-0.9 (those are its betas), or sgd with momentum 0.9.
        beta
            Weight of the KL term; the thesis' target propagation collapses at 1 and wants e.g. 0.05,warmup=1, and
            semi-supervised classes are found best from above: 8,decay=0.8,minimum=2.
        precision
            Arithmetic of the matrix products.
        seeds
            How many runs to train side by side, with consecutive seeds.
        seed
            The first seed.
        vary
            A schedule's values for runs side by side, e.g. --vary "temperature=0.1 0.5 1"; with several of these, all
            their combinations, each with every seed.
        compile
            Let torch.compile fuse the step's kernels: some 15 seconds to begin with, then a fifth faster.
        """
        if seeds < 1:
            raise InputError(f"seeds is {seeds}; give at least 1")
        if task not in TASKS:
            raise nearest(task, TASKS, "task")
        device = where.compute_device()
        base = Config(
            strategy=name,
            options=options,
            task=task,
            architecture=TASKS[task].fitted(architecture),
            supervision=supervision,
            criticism=criticism,
            data=data,
            epochs=epochs,
            batch_size=batch_size,
            samples=samples,
            learning_rate=learning_rate,
            auxiliary_learning_rate=auxiliary_learning_rate,
            optimiser=optimiser,
            beta=beta,
            precision=precision,
            seed=seed,
        )
        configs = [dataclasses.replace(config, seed=seed + i) for config in varied(base, vary) for i in range(seeds)]
        images = load(data, where.folder, device, where.download)
        with terminal_progress() as progress:
            made = train_runs(configs, where.runs, images, device=device, progress=progress, compiled=compile)
        _show(made)
        return 1 if any(run.failure for run in made) else 0

    command.__annotations__["options"] = Annotated[
        strategy.Options, Parameter(name="*", show=bool(options_of(strategy)))
    ]
    command.__doc__ = f"{(strategy.__doc__ or '').splitlines()[0]} {strategy.claim.paper}.\n{command.__doc__}"
    return command


def varied(config: Config, settings: Sequence[str]) -> list[Config]:
    """All combinations of the values that settings like ``temperature=0.1 0.5`` give to schedules of a configuration.

    Raises ``InputError`` for a name that is no schedule of it and for values that cannot be read.
    """
    configs = [config]
    for setting in settings:
        name, _, values = setting.partition("=")
        name = name.strip().replace("-", "_")
        holders = {
            field.name: holder
            for holder in (config.options, config)
            for field in dataclasses.fields(holder)
            if isinstance(getattr(holder, field.name), Schedule)
        }
        if name not in holders:
            raise nearest(name, holders, "schedule to vary")
        if not values.split():
            raise InputError(f"--vary {setting!r} has no values; write e.g. --vary '{name}=0.1 0.5 1'")
        schedules: list[dict[str, Any]] = [{name: Schedule.parse(value)} for value in values.split()]
        configs = [
            dataclasses.replace(each, **schedule)
            if holders[name] is config
            else dataclasses.replace(each, options=dataclasses.replace(each.options, **schedule))
            for each in configs
            for schedule in schedules
        ]
    return configs


for _name, _strategy in STRATEGIES.items():
    train_app.command(_train_command(_name, _strategy), name=_name)


@app.command
def evaluate(
    *run: str,
    split: Literal["train", "validation", "test"] = "test",
    samples: int = 1000,
    memory: Annotated[float | None, Parameter(show_default=False)] = None,
    where: Where = Where(),
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
    if memory is not None and not 0 < memory < float("inf"):
        raise InputError(f"memory is {memory}; give a number of GiB above 0")
    device = where.compute_device()
    made = list({each.config: each for each in (find_run(name, where.runs) for name in run)}.values())
    if not made:
        raise InputError("no run was named; `discrete-vae list` shows them")
    if len({each.config.data for each in made}) > 1:
        raise InputError("the runs are of different data sets; evaluate them one data set at a time")
    data = load(made[0].config.data, where.folder, device, where.download)
    with (
        terminal_progress() as progress,
        progress.counting(f"{split} images", len(data.split(split)) * len(made)) as done,
    ):
        limit = None if memory is None else int(memory * 2**30)
        metrics = evaluate_runs(made, data, split, samples, device=device, advance=done, memory=limit)
    found = metrics.pivot(index="metric", columns="run", values="value")[[run.config.name for run in made]]
    table = Table("metric", *(Column(run.config.identity, justify="right") for run in made), caption=f"{split}, nats")
    for metric, values in found.iterrows():
        table.add_row(str(metric), *(f"{value:.3f}" for value in values))
    Console().print(table)


@app.command
def sample(
    run: str, *, out: Path | None = None, rows: int = 8, columns: int = 8, seed: int = 0, where: Where = Where()
) -> None:
    """Draw from a VAE's prior or a generator's noise, and write images as one grid, strings and points as lines.

    Parameters
    ----------
    run
        A run's folder, or what `list` shows of it (or the beginning of it).
    out
        File to write; by default samples.png in the run's folder, or samples.txt for what are no images.
    rows
        Rows of the grid.
    columns
        Columns of the grid.
    seed
        Seed of the draw.
    """
    for name, value in (("rows", rows), ("columns", columns)):
        if value < 1:
            raise InputError(f"{name} is {value}; give at least 1")
    device = where.compute_device()
    found = find_run(run, where.runs)
    data = found.config.data
    population = Population.load([found], data.domain.size, device)
    noise = Noise([seeded(seed, "prior", device=device)], device)
    with torch.no_grad():
        drawn = population.model.draw(rows * columns, noise).squeeze(0).cpu()
    if data.dataset in MADE:
        out = out or found.folder / "samples.txt"
        write_atomically(out, "\n".join(MADE[data.dataset].write(drawn)) + "\n")
    else:
        out = out or found.folder / "samples.png"
        grid = drawn.reshape(rows, columns, 28, 28).transpose(1, 2).reshape(rows * 28, columns * 28)
        png = io.BytesIO()
        Image.fromarray(np.asarray((255 - grid.clamp(0, 1) * 255).round().byte())).save(png, format="PNG")
        write_atomically(out, png.getvalue())
    print(out)


@app.command(name="list")
def list_runs(*, runs: RunsFolder = Path("runs")) -> None:
    """Show all runs: how far they are and how they do on the validation images."""
    found = discrete_vae.runs.find(runs)
    if not found:
        print(f"no runs in {runs}; `discrete-vae train --help` says how to make one")
        return
    _show(found)


def find_run(name: str, runs: Path) -> Run:
    """A run by its folder, or below ``runs`` by its name or identity or the beginning of one."""
    if (Path(name) / "config.json").exists():
        return Run.open(Path(name))
    found = discrete_vae.runs.find(runs)
    matches = [run for run in found if run.folder.name.startswith(name) or run.config.identity.startswith(name)]
    if not found:
        raise InputError(f"no run {name!r}: {runs} holds none; train one first")
    if not matches:
        raise nearest(name, [run.folder.name for run in found], "run")
    if len(matches) > 1:
        raise InputError(
            f"run {name!r} could be {', '.join(run.folder.name for run in matches)}; give more of its name"
        )
    return matches[0]


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


def _show(runs: Sequence[Run]) -> None:
    found = {run: _last(run) for run in runs}
    shown = {name: head for name, head in SHOWN.items() if any(name in each for each in found.values())}
    numbers = [Column(head, justify="right", no_wrap=True) for head in ("seed", *shown.values())]
    words = Column("status", no_wrap=True), Column("strategy, settings", overflow="fold")
    table = Table(
        Column("run", no_wrap=True),
        *numbers,
        *words,
        caption=CAPTION,
    )
    for run, values in found.items():
        metrics = [f"{values[name]:.{4 if name in SHARES else 2}f}" if name in values else "" for name in shown]
        config = run.config
        table.add_row(config.identity, str(config.seed), *metrics, run.status, f"{config.strategy} {config.settings}")
    Console().print(table)


def run(app: App, tokens: Sequence[str] | None) -> int:
    """Run a command line and give its exit code: bad input ends in one line on standard error and code 2."""
    keep_freed_memory()
    with remembering(sys.argv[1:] if tokens is None else tokens):
        try:
            return app(tokens, exit_on_error=False, print_error=False, result_action="return_value") or 0
        except (InputError, CycloptsError) as error:
            print(f"error: {redact_secrets(' '.join(str(error).split()))}", file=sys.stderr)
            return 2
        except Interrupted as error:
            print(redact_secrets(str(error)), file=sys.stderr)
            return 130
        except KeyboardInterrupt:
            print("stopped; the same command goes on from what is done", file=sys.stderr)
            return 130


def main(tokens: Sequence[str] | None = None) -> None:
    """The command ``discrete-vae``."""
    guard()
    sys.exit(run(app, tokens))
