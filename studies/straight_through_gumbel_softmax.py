"""Temperature, its decay, and learning rate of straight-through-gumbel-softmax."""

from optuna.distributions import FloatDistribution as Float

from discrete_vae.config import Config
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES
from discrete_vae.tuning import Search, Study

STRATEGY = "straight-through-gumbel-softmax"
OPTIONS = STRATEGIES[STRATEGY].Options(temperature=Schedule(1.0, minimum=0.1))
STUDY = Study(
    name=STRATEGY,
    summary="temperature, its decay an epoch, and learning rate",
    searches={
        "": Search(
            Config(STRATEGY, OPTIONS),
            {
                "temperature": Float(0.1, 2.0, log=True),
                "temperature.decay": Float(0.9, 1.0),
                "learning_rate": Float(3e-4, 1e-2, log=True),
            },
        )
    },
)
