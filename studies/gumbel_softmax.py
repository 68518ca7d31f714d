"""Temperature, its decay, and learning rate of gumbel-softmax."""

from optuna.distributions import FloatDistribution as Float

from discrete_vae.config import Config
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES
from discrete_vae.tuning import Search, Study


def study(strategy: str) -> Study:
    """The study of a strategy that has a temperature."""
    options = STRATEGIES[strategy].Options(temperature=Schedule(1.0, minimum=0.1))
    space = {
        "temperature": Float(0.1, 2.0, log=True),
        "temperature.decay": Float(0.9, 1.0),
        "learning_rate": Float(3e-4, 1e-2, log=True),
    }
    summary = "temperature, its decay an epoch, and learning rate"
    return Study(strategy, summary, {"": Search(Config(strategy, options), space)})


STUDY = study("gumbel-softmax")
