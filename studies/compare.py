"""Every strategy for categorical latents, each with the same number of trials."""

from optuna.distributions import FloatDistribution as Float

from discrete_vae.config import Config
from discrete_vae.latents.categorical import Categorical
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES, Enumeration
from discrete_vae.tuning import Search, Space, Study
from studies import temperature as temperatures

AFFORDABLE = {
    name: kind for name, kind in STRATEGIES.items() if not issubclass(kind, Enumeration) and kind.categories is None
}
"""Enumeration sums over 10^30 states of the thesis' network, whose 10 categories binary estimators do not take."""


def search(strategy: str) -> Search:
    """Learning rate, and temperature where there is one."""
    space: Space = {"learning_rate": Float(3e-4, 1e-2, log=True)}
    base = Config(strategy)
    if isinstance(temperature := getattr(base.options, "temperature", None), Schedule):
        # a schedule's minimum is below its initial value, which is searched
        space = {**space, "temperature": Float(max(0.1, temperature.minimum), 2.0, log=True)}
    return Search(base, space)


SEARCHES = {name: search(name) for name, kind in AFFORDABLE.items() if kind.latent_family is Categorical}
STUDY = Study(
    name="compare",
    summary="learning rate, and temperature where there is one, of every strategy with an equal budget",
    # target propagation at its best: its defaults are the thesis' rule
    searches=SEARCHES | {"target-propagation": temperatures.STUDY.searches["target-propagation"]},
    trials=12,
)
