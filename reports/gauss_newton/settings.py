"""What the report trains: its rows, and the search that each of them gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from discrete_vae.config import Config
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES
from reports.kit import declared
from reports.target_propagation.settings import END, FALLING, SMALL_BETAS, TEMPERATURES, Value, falling

RATES = (1.5e-3, 2.5e-3, 4e-3, 6e-3, 9e-3, 1.3e-2)
"""Learning rates that are tried; each falls to a tenth over its run."""
SMALL_RATES = (1.5e-4, 3e-4, 6e-4, 1e-3, 2e-3, 4e-3)
"""The same for the thesis' rule, which breaks down at the others."""
YARDSTICKS = ("elbo", "log_likelihood")
"""The validation metrics that settings are chosen by: the ELBO at every length, the bound at the longest."""
FEW_RATES = (4e-3, 6e-3, 9e-3)
"""Learning rates of the rows that train on several samples, whose steps take three times as long."""
SAMPLES = 5
"""Samples of the bound that these train on."""
DECAYS = (0.0, 0.03, 0.1, 0.3)
"""Weight decays that are tried."""


class Trial(NamedTuple):
    """A setting of a row."""

    rate: float
    decay: float
    value: Value | None
    """Value of the row's own hyper-parameter, if it has one."""


@dataclass(frozen=True, eq=False)
class Row:
    """One way of training, and what is tried of it: every rate with every decay, and of its own values one in turn.

    So each of four values meets each of four decays, and each of six rates all values: 24 trials.
    """

    label: str
    strategy: str
    options: Mapping[str, Any] = field(default_factory=dict)
    knob: str = "temperature"
    """An option of the strategy, or ``beta``."""
    values: Sequence[Value | None] = (None,)
    rates: Sequence[float] = RATES
    decays: Sequence[float] = DECAYS
    known: Sequence[Trial] = ()
    """Settings known from elsewhere, which are tried at the longer lengths as well."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the configuration in which this row differs from the others."""
    yardsticks: Sequence[str] = YARDSTICKS
    """What its settings are chosen by."""
    shared_rate: bool = False
    """Whether the strategy's own parameters take the model's learning rate, as a mirror's have to."""

    @property
    def trials(self) -> list[Trial]:
        """All of them, those of a decay one after the other."""
        return [
            Trial(rate, decay, self.values[(i + j) % len(self.values)])
            for j, decay in enumerate(self.decays)
            for i, rate in enumerate(self.rates)
        ]

    def config(self, trial: Trial, epochs: int, seed: int, base: Config) -> Config:
        """The run of a trial at some length, to which its schedules are stretched."""
        rate, options, changes = falling(trial.rate, END, epochs), dict(self.options), dict(self.fields)
        if trial.value is not None and self.knob != "beta":
            options[self.knob] = (
                falling(*trial.value, epochs) if isinstance(trial.value, tuple) else Schedule(trial.value)
            )
        if self.shared_rate:
            changes["auxiliary_learning_rate"] = rate
        beta = trial.value if self.knob == "beta" else 1.0
        assert isinstance(beta, float)
        return base.refitted(
            strategy=self.strategy,
            options=STRATEGIES[self.strategy].Options(**options),
            epochs=epochs,
            learning_rate=rate,
            weight_decay=Schedule(trial.decay),
            beta=Schedule(beta, warmup=1.0),
            seed=seed,
            **changes,
        )


def mirror(label: str, geometry: str, values: Sequence[Value | None], known: Any = (), **options: Any) -> Row:
    """Target propagation with a weight mirror."""
    options |= {"inverse": "mirror", "geometry": geometry, "warmup": 500}
    return Row(f"TP, {label}", "target-propagation", options, values=values, known=known, shared_rate=True)


# What the report on target propagation found for the rivals, beside the weight decay that first runs were best with.
# Not every value meets every rate here, so that the trials might miss it; the Gauss-Newton rows have no value to tune.
KNOWN = 0.03


def on_bound(row: Row) -> Row:
    """The row trained on the bound of several samples, and tuned for it alone."""
    fields = {"objective": "bound", "samples": SAMPLES}
    label = f"{row.label}, bound ({SAMPLES})"
    return replace(row, label=label, fields=fields, yardsticks=YARDSTICKS[1:], rates=FEW_RATES, known=())


ROWS = {
    row.label: row
    for row in (
        Row(
            "Gumbel-Softmax",
            "gumbel-softmax",
            values=(0.35, 0.5, 0.7, (0.5, 0.5)),
            known=[Trial(4e-3, KNOWN, (0.5, 0.5))],
        ),
        Row(
            "ST-Gumbel-Softmax",
            "straight-through-gumbel-softmax",
            values=(0.7, 1.0, 1.4, FALLING),
            known=[Trial(6e-3, KNOWN, FALLING)],
        ),
        Row("ReinMax", "reinmax", values=TEMPERATURES, known=[Trial(6e-3, KNOWN, 1.3)]),
        Row("RLOO (4)", "rloo"),
        Row("Gauss-Newton", "gauss-newton-local-expectation"),
        Row(
            "TP, thesis' rule",
            "target-propagation",
            {"inverse": "encoder", "geometry": "euclidean"},
            "beta",
            SMALL_BETAS,
            SMALL_RATES,
            known=[Trial(3e-4, 0.0, 0.05)],
        ),
        mirror("second-order", "second-order", TEMPERATURES, [Trial(4e-3, KNOWN, 1.3)]),
        mirror("Gauss-Newton", "gauss-newton", (None,)),
        mirror("layer-local", "gauss-newton", (None,), local=True),
    )
}


@dataclass(frozen=True)
class Preset(declared.Preset):
    """How much of the report is computed: each row is tried with the same budget."""

    rows: Sequence[Row] = ()  # type: ignore[assignment]
    between: Sequence[int] = ()
    """Lengths, in epochs, between that of the trials and the longest."""
    keep: int = 3
    """Settings, of different weight decays, that are tried at each longer length."""
    validated: int = 100
    """Samples an image on the validation images, by which settings are chosen."""
    base: Config = field(default_factory=Config)
    """Network and batch size."""

    @property
    def budgets(self) -> Sequence[int]:
        """The lengths of the tables' runs."""
        return (self.trial_epochs, *self.between, self.epochs)

    def places(self, row: Row) -> list[tuple[str, int]]:
        """The yardsticks that a row's settings are chosen by, and at what lengths."""
        lengths = {"elbo": self.budgets, "log_likelihood": (self.epochs,)}
        return [(metric, epochs) for metric in row.yardsticks for epochs in lengths[metric]]

    def counted(self, epochs: int) -> Mapping[str, int]:
        """Samples an image on each split of the table's runs of a length: the longest take the most on the test images.

        Those that settings were chosen by serve the validation images too.
        """
        return {
            "train": 1,
            "validation": self.validated,
            "test": self.samples if epochs == self.epochs else self.validated,
        }


ON_BOUND = [on_bound(ROWS[label]) for label in ("Gumbel-Softmax", "Gauss-Newton", "TP, Gauss-Newton")]
FULL = [*ROWS.values(), *ON_BOUND]
QUICK = ("Gumbel-Softmax", "ReinMax", "Gauss-Newton", "TP, Gauss-Newton")
PRESETS = {
    "quick": Preset(
        2,
        (1,),
        20,
        trial_epochs=1,
        trial_seeds=(0,),
        rows=[
            replace(row, rates=(4e-3,), decays=(0.0, 0.03)) for row in (*(ROWS[each] for each in QUICK), ON_BOUND[1])
        ],
        keep=2,
        validated=10,
    ),
    "full": Preset(50, range(1, 6), 1000, trial_epochs=10, trial_seeds=(0,), rows=FULL, between=(20,)),
}
