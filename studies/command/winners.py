"""The command that trains a study's winners again: best."""

from __future__ import annotations

from typing import Annotated

from rich.table import Column, Table

from discrete_vae import data
from discrete_vae.cli.arguments import Count, whole
from discrete_vae.cli.own_images import room
from discrete_vae.cli.where import DataFiles, Jobs, Where
from discrete_vae.errors import InputError
from discrete_vae.evaluation.statistics import interval
from discrete_vae.progress import terminal_progress
from discrete_vae.training import capacity
from discrete_vae.tuning import METRICS, defined, format_params, metric_of, ranked, train_again
from discrete_vae.tuning.metrics import Metric
from reports.kit.names import visible
from studies.command.choice import stored_searches
from studies.command.options import MEMBERS, Asked
from studies.command.show import console


def best(
    name: str,
    *,
    fresh: Annotated[int, whole(1, MEMBERS)] = 5,
    samples: Count = 1000,
    jobs: Jobs = None,
    asked: Asked = Asked(),
    where: Where = Where(),
    files: DataFiles = DataFiles(),
) -> None:
    """Train the winner and the runner-up again, with seeds that the study has not seen, and score them.

    What it finds is kept in the study, for `python -m reports studies`.

    Parameters
    ----------
    fresh
        How many seeds; they begin behind the study's own.
    samples
        Samples of the importance-weighted bound on the test images. It takes most of the time: 100 are ten times as
        fast.
    """
    device = where.compute_device()
    for found in stored_searches(name, asked.storage, asked.only):
        own = metric_of(found)
        metrics = dict.fromkeys([own, "elbo"])
        shown = [f"validation {own}", *(f"test {each}" for each in metrics), "test log_likelihood"]
        if not ranked(found):
            raise InputError(f"{found.study_name} has no complete trial; python -m studies run {name}")
        base = defined(found)[0].base
        capacity.require_training(base, fresh, device)
        with terminal_progress() as progress:
            images = data.load(base.data, files.folder, device, files.download, progress.counting, room(device))
            made = train_again(
                found,
                images,
                where.runs,
                device,
                progress,
                fresh=fresh,
                epochs=asked.epochs,
                samples=samples,
                compiled=asked.compile,
                jobs=jobs,
            )
        rows = Table(
            "trial",
            Column("parameters", overflow="fold"),
            *(Column(_head(each), justify="right") for each in shown),
            title=f"{visible(found.study_name)}: {fresh} fresh seeds, {made['epochs']} epochs; mean and 95% interval",
        )
        params = {str(trial.number): trial.params for trial in found.get_trials(deepcopy=False)}
        for number, values in made["trials"].items():
            numbers = [
                interval(list(values[each].values())).text(_metric(each).digits) if each in values else ""
                for each in shown
            ]
            rows.add_row(number, visible(format_params(params[number])), *numbers)
        console().print(rows)


def _metric(name: str) -> Metric:
    """The metric of ``test accuracy`` and the like."""
    return METRICS.get(name.partition(" ")[2], Metric("bound"))


def _head(name: str) -> str:
    """``test ELBO`` for ``test elbo``."""
    return f"{name.partition(' ')[0]} {_metric(name).label}"
