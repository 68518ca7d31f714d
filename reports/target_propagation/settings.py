"""What the target-propagation report trains: its variants, how each is tuned, and for how long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from discrete_vae.config import Config
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES
from reports.kit import declared

END = 0.1
"""The learning rate falls to this share of itself over a run, whatever its length."""
RATE = "auxiliary_learning_rate"
Value = float | tuple[float, float]
"""Of a hyper-parameter; a pair is its initial value and the share of it that is left at the end."""


def falling(initial: float, share: float, epochs: int) -> Schedule:
    """A schedule that falls to a share of its initial value in so many epochs."""
    return Schedule(initial, decay=round(share ** (1 / epochs), 6))


class Trial(NamedTuple):
    """The tuned values: the learning rate and the variant's own hyper-parameter."""

    learning_rate: float
    value: Value


@dataclass(frozen=True, eq=False)
class Variant:
    """One way of training, and the values of one hyper-parameter of its own that are tried with every learning rate."""

    label: str
    strategy: str
    options: Mapping[str, Any] = field(default_factory=dict)
    knob: str = "temperature"
    """An option of the strategy; ``beta``; or ``step``, which beta follows so that the two terms keep their balance."""
    values: Sequence[Value] = (1.0,)
    rates: Sequence[float] = (2e-3, 4e-3, 6e-3)
    """The learning rates that each of the values is tried with."""
    known: Sequence[Trial] = ()
    """Settings known from elsewhere, which at full length are tried as well."""
    shared_rate: bool = False
    """Whether the inverse learns at the model's own learning rate, as a mirror has to."""

    @property
    def trials(self) -> list[Trial]:
        """Every learning rate with every value."""
        return [Trial(rate, value) for rate in self.rates for value in self.values]

    def config(self, trial: Trial, epochs: int, seed: int, base: Config) -> Config:
        """The run of a trial at some length: its schedules are stretched to it. Network and batches are the base's."""
        rate = falling(trial.learning_rate, END, epochs)
        value = falling(*trial.value, epochs) if isinstance(trial.value, tuple) else Schedule(trial.value)
        options, changes = dict(self.options), dict[str, Any]()
        if self.knob == RATE:
            changes[RATE] = falling(value.initial, END, epochs)
        elif self.knob != "beta":
            options[self.knob] = value
        if self.shared_rate:
            changes[RATE] = rate
        return base.refitted(
            strategy=self.strategy,
            options=STRATEGIES[self.strategy].Options(**options),
            epochs=epochs,
            learning_rate=rate,
            beta=Schedule(value.initial if self.knob in ("beta", "step") else 1.0, warmup=1.0),
            seed=seed,
            **changes,
        )


TEMPERATURES = (1.0, 1.15, 1.3, 1.6)
BETAS = (0.1, 0.3, 1.0, 3.0)
SMALL_BETAS = (0.03, 0.05, 0.1, 0.2)
FALLING = (1.0, 0.5)
WARM = Schedule(1.3)
"""Where the temperature is not what is tried, it is the one that ReinMax and the mirrors are best at."""


def propagation(
    inverse: str, geometry: str, knob: str, values: Sequence[Value], note: str = "", known: Any = (), **options: Any
) -> Variant:
    """A variant of target propagation; a mirror starts as one."""
    options |= {"inverse": inverse.lower(), "geometry": geometry.lower()}
    if inverse in ("mirror", "probes"):
        options["warmup"] = 500
    # What is pulled to codes instead of along a signal breaks down at the others' learning rates.
    rates = (5e-4, 1e-3, 2e-3) if inverse in ("encoder", "network") else Variant.rates
    shared, label = inverse != "encoder" and knob != RATE, f"TP, {inverse}, {geometry}{note}"
    return Variant(label, "target-propagation", options, knob, values, rates, known, shared)


# Short runs end before falling temperatures and higher learning rates pay. Both are tried at full length for the rivals
# of target propagation. The layer-local variant's own short runs led to the higher rate; for the mirror it was not
# tried at full length.
GUMBEL = Variant(
    "Gumbel-Softmax",
    "gumbel-softmax",
    values=(0.25, 0.35, 0.5, FALLING),
    known=(Trial(4e-3, FALLING), Trial(4e-3, (0.5, 0.5)), Trial(6e-3, (0.5, 0.5))),
)
STRAIGHT_THROUGH = Variant(
    "ST-Gumbel-Softmax",
    "straight-through-gumbel-softmax",
    values=(0.7, 1.0, 1.4, FALLING),
    known=(Trial(4e-3, FALLING), Trial(6e-3, FALLING)),
)
REINMAX = Variant("ReinMax", "reinmax", values=TEMPERATURES, known=(Trial(6e-3, 1.3),))
TARGETS = {
    variant.label: variant
    for variant in (
        # the thesis' rule, and what geometry does for it
        propagation("encoder", "Euclidean", "beta", SMALL_BETAS, " (thesis)", [Trial(3e-4, 0.05)]),
        propagation("encoder", "matching", "beta", BETAS),
        propagation("encoder", "log-ratio", "beta", BETAS),
        propagation("encoder", "Fisher-Rao", "beta", BETAS),
        # what the inverse does
        propagation("network", "Euclidean", "beta", SMALL_BETAS, " (Lee et al.)"),
        propagation("network", "log-ratio", "beta", BETAS),
        propagation("random", "second-order", "beta", BETAS, temperature=WARM),
        propagation("DRL", "second-order", "beta", (0.03, 0.1, 0.3, 1.0), temperature=WARM),
        propagation("L-DRL", "second-order", RATE, (1e-3, 3e-3, 6e-3, 1e-2), temperature=WARM),
        propagation("probes", "second-order", "temperature", TEMPERATURES),
        propagation("probes", "second-order", "temperature", TEMPERATURES, ", layer-local", local=True),
        # what the geometry does with feedback that is right
        propagation("mirror", "Euclidean", "beta", (0.5, 1.0, 2.0, 4.0)),
        propagation("mirror", "matching", "beta", BETAS),
        propagation("mirror", "log-ratio", "step", BETAS),
        propagation("mirror", "Fisher-Rao", "step", BETAS),
        propagation("mirror", "second-order", "temperature", TEMPERATURES),
        propagation("mirror", "second-order", "temperature", TEMPERATURES, ", layer-local", local=True),
    )
}
THESIS = TARGETS["TP, encoder, Euclidean (thesis)"]
MIRROR, LOCAL = (TARGETS[f"TP, mirror, second-order{each}"] for each in ("", ", layer-local"))
VARIANTS = (GUMBEL, STRAIGHT_THROUGH, REINMAX, *TARGETS.values())
FINALISTS = {
    GUMBEL: Trial(4e-3, (0.5, 0.5)),
    STRAIGHT_THROUGH: Trial(6e-3, FALLING),
    REINMAX: Trial(6e-3, 1.3),
    THESIS: Trial(3e-4, 0.05),
    MIRROR: Trial(4e-3, 1.3),
    LOCAL: Trial(6e-3, 1.3),
}
"""The rows of the table, and what the full preset's search found for them."""


@dataclass(frozen=True)
class Preset(declared.Preset):
    """How much of the report is computed: every variant is tuned with the same budget."""

    finalists: Mapping[Variant, Trial] = field(default_factory=dict)
    """With their settings, where nothing is tuned."""
    variants: Sequence[Variant] = ()
    """The variants that are tuned."""
    first: int = 3
    """Epochs after which all trials of a variant but the best ``keep`` stop."""
    keep: int = 3
    contenders: int = 2
    """Of these, how many of a finalist are compared at full length, with what is known from elsewhere."""
    base: Config = field(default_factory=Config)
    """Network and batch size."""


PRESETS = {
    "quick": Preset(4, (1, 2), 20, finalists={row: FINALISTS[row] for row in (GUMBEL, THESIS, MIRROR, LOCAL)}),
    "full": Preset(50, range(1, 6), 1000, trial_epochs=10, trial_seeds=(0,), finalists=FINALISTS, variants=VARIANTS),
}
