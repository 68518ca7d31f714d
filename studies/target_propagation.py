"""Learning rates, noise, beta, step and geometry of target propagation with learned feedback."""

from optuna.distributions import CategoricalDistribution as Choice
from optuna.distributions import FloatDistribution as Float

from discrete_vae.config import Config
from discrete_vae.schedules import Schedule
from discrete_vae.strategies.target_propagation import TargetPropagationOptions
from discrete_vae.tuning import Search, Study

OPTIONS = TargetPropagationOptions(inverse="l-drl", geometry="second-order", warmup=500)
STUDY = Study(
    name="target-propagation",
    summary="learning rates of model and inverse, noise, beta, step and geometry",
    searches={
        "": Search(
            Config("target-propagation", OPTIONS, beta=Schedule(1.0, warmup=1.0)),
            {
                "learning_rate": Float(3e-4, 1e-2, log=True),
                "auxiliary_learning_rate": Float(3e-4, 1e-2, log=True),
                "noise": Float(0.01, 1.0, log=True),
                "beta": Float(0.05, 1.0, log=True),
                "step": Float(0.1, 1.0, log=True),
                "geometry": Choice(["second-order", "matching", "log-ratio", "fisher-rao"]),
            },
        )
    },
)
