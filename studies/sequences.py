"""Temperature and the two learning rates of generators of expressions, by the share of valid strings."""

from optuna.distributions import FloatDistribution as Float

from discrete_vae.schedules import Schedule
from discrete_vae.tuning import Search, Space, Study
from reports.kit.declared import Row, settings
from reports.sequences import PRESETS


def search(row: Row) -> Search:
    """The rates of generator and critic, and the temperature where there is one."""
    quick = PRESETS["quick"]
    base = settings(row, quick.tasks[0], quick)[0]
    rates: Space = {name: Float(1e-4, 1e-2, log=True) for name in ("learning_rate", "criticism.critic_learning_rate")}
    tempered = isinstance(getattr(base.options, "temperature", None), Schedule)
    return Search(base, {**rates, **({"temperature": Float(0.2, 2.0, log=True)} if tempered else {})})


STUDY = Study(
    name="sequences",
    summary="temperature, and learning rates of generator and critic, of expressions by every strategy",
    searches={row.strategy: search(row) for row in PRESETS["quick"].rows},
    trials=20,
    metric="valid",
)
