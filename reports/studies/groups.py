"""How studies are named and grouped."""

from __future__ import annotations

from collections.abc import Sequence

from optuna.study import Study as OptunaStudy

from discrete_vae.tuning import METRICS, defined, done, metric_of
from discrete_vae.tuning.metrics import Metric
from discrete_vae.tuning.overriding import MARK
from reports.kit.names import distinct, shown


def labels(found: Sequence[OptunaStudy]) -> dict[str, str]:
    """What the studies' names are shown as: without what precedes the slash where all are searches of one.

    And without changes, such as ``+hidden=128``, that all have in common, so that what differs is seen.
    """
    names = [study.study_name for study in found]
    of_one = len({name.partition("/")[0] for name in names}) == 1
    parts = {name: ((name.partition("/")[2] or name) if of_one else name).split(MARK) for name in names}
    changes = [{each for each in own[1:] if "=" in each} for own in parts.values()]
    common = set.intersection(*changes) if changes else set()
    kept = {name: own[:1] + [each for each in own[1:] if each not in common] for name, own in parts.items()}
    return distinct((name, shown(MARK.join(own))) for name, own in kept.items())


def by_metric(found: Sequence[OptunaStudy]) -> list[list[OptunaStudy]]:
    """The studies that maximise the same metric together, for no two metrics share an axis."""
    names = dict.fromkeys(map(metric_of, found))
    return [[study for study in found if metric_of(study) == name] for name in names]


def metric_in(group: Sequence[OptunaStudy]) -> Metric:
    """The metric of studies that have one in common."""
    return METRICS[metric_of(group[0])]


def metrics(found: Sequence[OptunaStudy]) -> str:
    """``ELBO``, or ``ELBO or accuracy``: what the studies maximise."""
    return " or ".join(METRICS[metric_of(group[0])].label for group in by_metric(found))


def budget(found: Sequence[OptunaStudy]) -> int:
    """As many trials as all of the studies have."""
    return min(len(done(study.get_trials(deepcopy=False))) for study in found)


def lengths(found: Sequence[OptunaStudy]) -> str:
    """``8 epochs and 2 seeds a trial``, of whatever lengths there are."""
    known = dict.fromkeys((epochs, len(seeds)) for _, epochs, seeds in map(defined, found))
    return " or ".join(f"{epochs} epochs and {seeds} seed{'s' * (seeds > 1)} a trial" for epochs, seeds in known)


def short(name: str) -> str:
    """A hyper-parameter's name in a table or at an axis."""
    return name.partition("+")[0].replace("_", " ").replace(".", " ")
