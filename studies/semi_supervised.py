"""Weights of the labels, learning rate and temperature of semi-supervised classification, by validation accuracy."""

from optuna.distributions import FloatDistribution as Float

from discrete_vae.config import Config
from discrete_vae.schedules import Schedule
from discrete_vae.tuning import Search, Space, Study
from reports.kit.declared import Row
from reports.semi_supervised import BASE, ROWS


def task(row: Row) -> str:
    """What a row trains on."""
    return str(row.fields.get("task", BASE.task))


def search(row: Row) -> Search:
    """Alpha, the weight of the labelled bound and the learning rate, and the temperature where there is one."""
    base = Config.fitting(
        strategy=row.strategy,
        task=task(row),
        architecture=BASE.architecture,
        batch_size=BASE.batch_size,
        beta=BASE.beta,
        supervision=BASE.supervision,
    )
    space: Space = {"learning_rate": Float(3e-4, 1e-2, log=True)}
    if task(row) == BASE.task:
        weights = {f"supervision.{name}": Float(1.0, 1e4, log=True) for name in ("alpha", "labelled_weight")}
        tempered = isinstance(getattr(base.options, "temperature", None), Schedule)
        space = {**space, **weights, **({"temperature": Float(0.2, 2.0, log=True)} if tempered else {})}
    return Search(base, space)


STUDY = Study(
    name="semi-supervised",
    summary="weights of the labels, learning rate and temperature of the classification of images with few labels",
    searches={(row.strategy if task(row) == BASE.task else task(row)): search(row) for row in ROWS.values()},
    trials=20,
    metric="accuracy",
)
