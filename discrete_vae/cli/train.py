"""The command ``train STRATEGY``: runs with a strategy, seeds and values of schedules side by side."""

from __future__ import annotations

import dataclasses
import inspect
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from cyclopts import Parameter

from discrete_vae.cli.arguments import typed_schedule, whole
from discrete_vae.cli.console import complain
from discrete_vae.cli.listing import show_runs
from discrete_vae.cli.options import DATA, TASK, configuration, parameters, suited
from discrete_vae.cli.options import RUNS as RUNS_GROUP
from discrete_vae.cli.own_images import own_images
from discrete_vae.cli.where import DataFiles, Jobs, TrackerName, Where
from discrete_vae.config.config import Config
from discrete_vae.config.relevance import has_effect
from discrete_vae.data import load
from discrete_vae.errors import InputError, nearest
from discrete_vae.parallel import train as train_runs
from discrete_vae.progress import terminal_progress
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES
from discrete_vae.tasks import TASKS
from discrete_vae.trackers import kind_of
from discrete_vae.training import capacity

MOST = 10_000
"""Runs that a command may train, each in a folder of its own."""


def train_command(strategy: str, task: str) -> Callable[..., int]:
    """The command that trains with a strategy; its options are those that have an effect with it in a task."""

    def command(**given: Any) -> int:
        values = {each.name: each.default for each in own} | suited(given) | given
        where, files, seeds = values["where"], values["files"], values["seeds"]
        if values["task"] not in TASKS:
            raise nearest(values["task"], TASKS, "task")
        tracker = kind_of(values["log"])  # before data are read
        device = where.compute_device()
        with terminal_progress() as progress:
            own_data = own_images(values, files.folder, files.download, device, progress)
            base = configuration(strategy, task, values, None if own_data is None else own_data.config)
            each_seed = varied(base, values["vary"])
            levels = own_data is not None and own_data.config.judge is None  # text has none
            if levels and "binarisation" not in given and base.data.binarisation == "threshold":
                progress.message(" ".join(THRESHOLDED.split()))
            capacity.require_training(base, seeds * len(each_seed), device)
            configs = [dataclasses.replace(each, seed=base.seed + i) for each in each_seed for i in range(seeds)]
            images = own_data or load(base.data, files.folder, device, files.download)
            made = train_runs(
                configs,
                where.runs,
                images,
                device=device,
                progress=progress,
                compiled=values["compile"],
                log=tracker,
                jobs=values["jobs"],
            )
        damaged = show_runs(made)
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
        _parameter("log", Annotated[TrackerName, Parameter(group=RUNS_GROUP)], None),
        _parameter("jobs", Annotated[Jobs, Parameter(group=RUNS_GROUP)], None),
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


TASK_HELP = """What is modelled. vae: images, by their latents. structured-prediction: the lower half
of an image from its upper half. semi-supervised: an image from its class, which is known for a few images, and a
Gaussian style. labels-alone: the classifier of that, without the other images. adversarial-vae: a VAE whose averaged
posterior a critic pulls to the prior, with weight beta, in place of the KL. generator: strings, binary images or points
from noise, against a critic. critic: a critic alone, between points and noisier ones. `--task TASK --help` shows the
options of each."""
THRESHOLDED = """the images are made binary at half intensity; for their levels give --likelihood discretised-logistic,
or for grayscale means --binarisation none"""
SEEDS_HELP = "How many runs to train side by side, with consecutive seeds."
VARY_HELP = """A schedule's values for runs side by side, e.g. --vary "temperature=0.1 0.5 1"; with several of these,
all their combinations, each with every seed."""
COMPILE_HELP = """Fuse the step's kernels by torch.compile: it takes some seconds, then steps are a fifth faster."""


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
        if len(configs) * len(values.split()) > MOST:
            raise InputError(f"--vary gives more than {MOST:,} combinations; give fewer values")
        schedules: list[dict[str, Any]] = [{name: typed_schedule(value)} for value in values.split()]
        if again := {str(each) for each, count in Counter(each[name] for each in schedules).items() if count > 1}:
            raise InputError(f"--vary gives {name} {min(again)} twice; give it once")
        configs = [
            dataclasses.replace(each, **schedule)
            if holders[name] is config
            else dataclasses.replace(each, options=dataclasses.replace(each.options, **schedule))
            for each in configs
            for schedule in schedules
        ]
    return configs


TRAIN_HELP = f"""Train runs with a strategy, seeds side by side.

For example `discrete-vae train gumbel-softmax --temperature 0.5 --epochs 5 --seeds 3`.
Finished runs are not trained again; interrupted ones go on where they stopped.

With the classes of 100 images: `discrete-vae train reinmax --task semi-supervised --labelled 100 --labelled-weight 50
--alpha 300 --style 10 --beta 8,decay=0.8,minimum=2 --hidden 250 --activation relu --learning-rate 0.002
--batch-size 250 --epochs 10`; `list` and `evaluate` show its accuracy.

Strategies: {", ".join(STRATEGIES)}; `discrete-vae train STRATEGY --help` shows the options of one, and with
`--task TASK` those for that task."""
SCHEDULES_HELP = """A SCHEDULE is written as its initial value and, after commas, what changes it: `0.5`;
`1,decay=0.97,minimum=0.5` (times 0.97 each epoch); `0.01,warmup=50` (linear from 0 over 50 epochs);
`1,decay=0.97,every=1000,unit=step` (times 0.97 each 1000 steps); `0.004,decay=0.1,unit=run` (to a tenth over the
run)."""
