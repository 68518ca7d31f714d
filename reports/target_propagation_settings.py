"""What the target-propagation report trains: its variants, how each is tuned, and for how long."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from discrete_vae.config import Config
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES
from reports.kit.search import require_other_seeds

END = 0.1
"""The learning rate falls to this share of itself over a run, whatever its length."""


RATE = "auxiliary_learning_rate"


def falling(initial: float, share: float, epochs: int) -> Schedule:
    """A schedule that falls to a share of its initial value in so many epochs."""
    return Schedule(initial, decay=round(share ** (1 / epochs), 6))


Value = float | tuple[float, float]
"""Of a hyper-parameter; a pair is its initial value and the share of it that is left at the end."""


@dataclass(frozen=True)
class Trial:
    """What is tuned: the learning rate and the variant's own hyper-parameter."""

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
    """What is tried."""
    rates: Sequence[float] = (2e-3, 4e-3, 6e-3)
    """The learning rates that each of them is tried with."""
    known: Sequence[Trial] = ()
    """Settings known from elsewhere, which at full length are tried as well."""
    shared_rate: bool = False
    """Whether the inverse learns at the model's own learning rate, as a mirror has to."""

    @property
    def trials(self) -> list[Trial]:
        """All that is tried: every learning rate with every value."""
        return [Trial(rate, value) for rate in self.rates for value in self.values]

    def config(self, trial: Trial, epochs: int, seed: int, base: Config | None = None) -> Config:
        """The run of a trial at some length: its schedules are stretched to it. Network and batches are the base's."""
        rate = falling(trial.learning_rate, END, epochs)
        value = falling(*trial.value, epochs) if isinstance(trial.value, tuple) else Schedule(trial.value)
        beta = value.initial if self.knob in ("beta", "step") else 1.0
        changes: dict[str, Any] = {}
        options = dict(self.options)
        if self.knob == RATE:
            changes[RATE] = falling(value.initial, END, epochs)
        elif self.knob != "beta":
            options[self.knob] = value
        if self.shared_rate:
            changes[RATE] = rate
        return (base or Config()).refitted(
            strategy=self.strategy,
            options=STRATEGIES[self.strategy].Options(**options),
            epochs=epochs,
            learning_rate=rate,
            beta=Schedule(beta, warmup=1.0),
            seed=seed,
            **changes,
        )


TEMPERATURES = (1.0, 1.15, 1.3, 1.6)
STEPS = (0.1, 0.3, 1.0, 3.0)
BETAS = (0.1, 0.3, 1.0, 3.0)
SMALL_BETAS = (0.03, 0.05, 0.1, 0.2)
FALLING = (1.0, 0.5)
SECOND_ORDER: dict[str, Any] = {"geometry": "second-order", "temperature": Schedule(1.3)}
"""Where the temperature is not what is tried, it is the one that ReinMax and the mirrors are best at."""


def propagation(label: str, knob: str, values: Sequence[float], **options: Any) -> Variant:
    """A variant of target propagation; a mirror starts as one."""
    if options.get("inverse") in ("mirror", "probes"):
        options["warmup"] = 500
    shared = "inverse" in options and knob != RATE
    # What is pulled to codes instead of along a signal breaks down at the others' learning rates.
    rates = (5e-4, 1e-3, 2e-3) if options.get("inverse", "encoder") in ("encoder", "network") else Variant.rates
    return Variant(label, "target-propagation", options, knob, values, rates, shared_rate=shared)


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
THESIS = dataclasses.replace(
    propagation("TP, encoder, Euclidean (thesis)", "beta", SMALL_BETAS), known=(Trial(3e-4, 0.05),)
)
MIRROR = propagation("TP, mirror, second-order", "temperature", TEMPERATURES, inverse="mirror", geometry="second-order")
LOCAL = propagation(
    "TP, mirror, second-order, layer-local",
    "temperature",
    TEMPERATURES,
    inverse="mirror",
    geometry="second-order",
    local=True,
)
PROBES = propagation("TP, probes, second-order", "temperature", TEMPERATURES, inverse="probes", geometry="second-order")
PROBES_LOCAL = propagation(
    "TP, probes, second-order, layer-local",
    "temperature",
    TEMPERATURES,
    inverse="probes",
    geometry="second-order",
    local=True,
)
L_DRL = propagation("TP, L-DRL, second-order", RATE, (1e-3, 3e-3, 6e-3, 1e-2), inverse="l-drl", **SECOND_ORDER)

VARIANTS = (
    GUMBEL,
    STRAIGHT_THROUGH,
    REINMAX,
    # the thesis' rule, and what geometry does for it
    THESIS,
    propagation("TP, encoder, matching", "beta", BETAS, geometry="matching"),
    propagation("TP, encoder, log-ratio", "beta", BETAS, geometry="log-ratio"),
    propagation("TP, encoder, Fisher-Rao", "beta", BETAS, geometry="fisher-rao"),
    # what the inverse does
    propagation("TP, network, Euclidean (Lee et al.)", "beta", SMALL_BETAS, inverse="network"),
    propagation("TP, network, log-ratio", "beta", BETAS, inverse="network", geometry="log-ratio"),
    propagation("TP, random, second-order", "beta", BETAS, inverse="random", **SECOND_ORDER),
    propagation("TP, DRL, second-order", "beta", (0.03, 0.1, 0.3, 1.0), inverse="drl", **SECOND_ORDER),
    L_DRL,
    PROBES,
    PROBES_LOCAL,
    # what the geometry does with feedback that is right
    propagation("TP, mirror, Euclidean", "beta", (0.5, 1.0, 2.0, 4.0), inverse="mirror"),
    propagation("TP, mirror, matching", "beta", BETAS, inverse="mirror", geometry="matching"),
    propagation("TP, mirror, log-ratio", "step", STEPS, inverse="mirror", geometry="log-ratio"),
    propagation("TP, mirror, Fisher-Rao", "step", STEPS, inverse="mirror", geometry="fisher-rao"),
    MIRROR,
    LOCAL,
)
FINALISTS = (GUMBEL, STRAIGHT_THROUGH, REINMAX, THESIS, MIRROR, LOCAL)


@dataclass(frozen=True)
class Search:
    """How every variant is tuned, with the same budget: short runs of one seed, the worse of them stopped early."""

    epochs: int = 10
    first: int = 3
    """Epochs after which all but the best ``keep`` stop."""
    keep: int = 3
    contenders: int = 2
    """Of these, how many of a finalist are compared at full length, with what is known from elsewhere."""
    seed: int = 0
    variants: Sequence[Variant] = VARIANTS


CHOSEN = {
    GUMBEL: Trial(4e-3, (0.5, 0.5)),
    THESIS: Trial(3e-4, 0.05),
    MIRROR: Trial(4e-3, 1.3),
    LOCAL: Trial(6e-3, 1.3),
}
"""For presets that do not search: what the full preset's search found."""


DIAGNOSTICS = (
    "signal_cosine",
    "signal_ratio",
    "pull_cosine",
    "inverse_trace_positive",
    "outside_simplex",
    "mean_correction",
)
"""Metrics of the target signal in a run's history."""
SHOWN = ("elbo", "kl", "active_latents", "code_entropy", *DIAGNOSTICS)
"""Metrics of a run's history that the report tells."""


@dataclass(frozen=True)
class Preset:
    """How much of the report is computed."""

    epochs: int
    seeds: tuple[int, ...]
    samples: int
    """Samples an image of the importance-weighted bound on the test images."""
    finalists: Sequence[Variant]
    search: Search | None = None
    base: Config = field(default_factory=Config)
    """Network and batch size."""

    def __post_init__(self) -> None:
        if self.search:
            require_other_seeds([self.search.seed], self.seeds)

    @property
    def summary(self) -> str:
        """What it computes, in a line."""
        searched = (
            f"{len(self.search.variants)} variants tuned in {self.search.epochs} epochs" if self.search else "no tuning"
        )
        return (
            f"{self.epochs} epochs, {len(self.seeds)} seeds, {len(self.finalists)} finalists, "
            f"{self.samples:,} importance samples, {searched}"
        )


PRESETS = {
    "quick": Preset(4, (1, 2), 20, (GUMBEL, THESIS, MIRROR, LOCAL)),
    "full": Preset(50, (1, 2, 3, 4, 5), 1000, FINALISTS, Search()),
}
