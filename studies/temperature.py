"""Temperature against learning rate, of Gumbel-Softmax, its straight-through kin and target propagation."""

from optuna.distributions import FloatDistribution as Float

from discrete_vae.config import Config
from discrete_vae.schedules import Schedule
from discrete_vae.strategies.target_propagation import TargetPropagationOptions
from discrete_vae.tuning import Search, Space, Study

BETA = Schedule(1.0, warmup=1.0)
TEMPERATURE = Float(0.1, 3.0, log=True)
RATE = Float(3e-4, 1e-2, log=True)
SPACE: Space = {"temperature": TEMPERATURE, "learning_rate": RATE}
MIRROR = TargetPropagationOptions(inverse="mirror", geometry="second-order", warmup=500)

STUDY = Study(
    name="temperature",
    summary="temperature x learning rate of gumbel-softmax, straight-through-gumbel-softmax and target-propagation",
    searches={
        "gumbel-softmax": Search(Config("gumbel-softmax", beta=BETA), SPACE),
        "straight-through-gumbel-softmax": Search(Config("straight-through-gumbel-softmax", beta=BETA), SPACE),
        "target-propagation": Search(
            Config("target-propagation", MIRROR, beta=BETA),
            # a mirror follows its layers' steps, so that it learns at their rate
            {"temperature": TEMPERATURE, "learning_rate+auxiliary_learning_rate": RATE},
        ),
    },
    trials=32,
    epochs=8,
)
