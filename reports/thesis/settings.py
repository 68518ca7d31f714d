"""The thesis' printed numbers, how we read what it leaves open, and how long each preset trains."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from discrete_vae.config import Config
from discrete_vae.schedules import Schedule
from discrete_vae.strategies.gumbel_softmax import GumbelSoftmaxOptions
from discrete_vae.strategies.target_propagation import TargetPropagationOptions
from discrete_vae.strategies.target_propagation.options import Code, Feedback, InverseName
from reports.kit import declared

THESIS_EPOCHS = 50
SOURCE = '{"source": "Nitta 2017, Training a VAE with a discrete latent space, Table 5.1"}'

GUMBEL_HALF = "Gumbel-Softmax, tau = 0.5"
GUMBEL_TENTH = "Gumbel-Softmax, tau = 0.1"
TARGET_PROPAGATION = "Target propagation, thesis' rule"
STRAIGHT_THROUGH = "ST-Gumbel-Softmax, tau = 0.5"
LEARNED_INVERSE = "Target propagation, learned inverse"
SPLITS = {"train": "train", "validation": "valid."}
"""Splits of the printed numbers, and their heads."""
PRINTED = {
    GUMBEL_HALF: {"train": -63.876, "validation": -64.401},
    GUMBEL_TENTH: {"train": -68.883, "validation": -68.623},
    TARGET_PROPAGATION: {"train": -70.102, "validation": -72.545},
}
"""Reconstruction log-likelihood in nats, from the samples that the strategy trains with: relaxed, or hard."""


@dataclass(frozen=True)
class Reading:
    """One way to fill in what a description of target propagation leaves open."""

    beta: float = 0.01
    """Weight of the KL term at the end of its warm-up."""
    warmup: float = 1.0
    """Part of the run over which beta grows linearly from 0; 0 for a constant beta."""
    code: Code = "probabilities"
    feedback: Feedback = "mean"
    inverse: InverseName = "encoder"
    decay: float = 1.0
    """Factor on the learning rate after each epoch."""

    def config(self, base: Config) -> Config:
        """The configuration ``base`` with target propagation read in this way."""
        return dataclasses.replace(
            base,
            strategy="target-propagation",
            options=TargetPropagationOptions(inverse=self.inverse, code=self.code, feedback=self.feedback),
            beta=Schedule(self.beta, warmup=self.warmup * base.epochs),
            learning_rate=dataclasses.replace(base.learning_rate, decay=self.decay),
        )

    @property
    def label(self) -> str:
        """The choices in words."""
        beta = f"beta from 0 to {self.beta:g}" if self.beta and self.warmup else f"beta = {self.beta:g}"
        if self.beta and 0 < self.warmup < 1:
            beta += f" over {self.warmup:.0%} of the run"
        code = "pi" if self.code == "probabilities" else "z"
        inverse = "f" if self.inverse == "encoder" else "g"
        shown = "x'" if self.feedback == "mean" else "sample of x'"
        decay = "" if self.decay == 1 else f", lr x {self.decay:g} an epoch"
        return f"{beta}, y = {code}, {inverse}({shown}){decay}"


# The reading that comes nearest to the print among those of the sensitivity table in which beta grows from 0, as the
# thesis says that it does.
THESIS_TARGET_PROPAGATION = Reading(beta=0.05, warmup=0.02)
# Its first 10 epochs are the line with the best ELBO among the 10-epoch lines of the learned inverse.
LEARNED_INVERSE_READING = Reading(beta=0.1, warmup=0.2, inverse="network")


@dataclass(frozen=True)
class Line:
    """A line of the sensitivity table: one run, held against a printed row."""

    label: str
    config: Config
    printed: str

    @property
    def name(self) -> str:
        """Among the rows of ``results.csv``."""
        return f"Sensitivity, {self.printed}, {self.config.epochs} epochs: {self.label}"


def gumbel(label: str, temperature: Schedule, learning_rate: Schedule, epochs: int, row: str = GUMBEL_HALF) -> Line:
    """Gumbel-Softmax with decays."""
    options = GumbelSoftmaxOptions(temperature)
    return Line(label, Config("gumbel-softmax", options, epochs=epochs, learning_rate=learning_rate), row)


def target_propagation(reading: Reading, epochs: int) -> Line:
    """The thesis' rule, read in one way."""
    return Line(reading.label, reading.config(Config(epochs=epochs)), TARGET_PROPAGATION)


# Jang et al.'s notebook: tau = max(0.5, exp(-3e-5 i)) and lr x 0.9, both each 1,000 steps, from tau 1 and lr 1e-3.
# exp(-0.03) = 0.97044553.
NOTEBOOK_TEMPERATURE = Schedule(1.0, decay=0.97044553, every=1000, unit="step", minimum=0.5)
NOTEBOOK_RATE = Schedule(1e-3, decay=0.9, every=1000, unit="step")

QUICK_SENSITIVITY = (
    gumbel("tau and lr as Jang et al.'s notebook", NOTEBOOK_TEMPERATURE, NOTEBOOK_RATE, 1),
    target_propagation(Reading(beta=0.0, warmup=0.0), 1),
    target_propagation(Reading(code="sample"), 1),
)
FULL_SENSITIVITY = (
    gumbel("constant", Schedule(0.5), Schedule(3e-4), 50),
    gumbel("tau and lr x 0.97 an epoch", Schedule(0.5, decay=0.97), Schedule(3e-4, decay=0.97), 50),
    gumbel("tau and lr as Jang et al.'s notebook", NOTEBOOK_TEMPERATURE, NOTEBOOK_RATE, 50),
    gumbel("constant", Schedule(0.1), Schedule(3e-4), 50, GUMBEL_TENTH),
    gumbel("lr as Jang et al.'s notebook", Schedule(0.1), NOTEBOOK_RATE, 50, GUMBEL_TENTH),
    *(
        target_propagation(Reading(beta, warmup, code), 10)
        for code in ("probabilities", "sample")
        for beta, warmup in ((0.0, 0), (0.001, 1), (0.003, 1), (0.01, 1), (0.03, 1), (0.1, 1), (1.0, 1), (0.01, 0))
    ),
    *(target_propagation(Reading(beta, 0), 10) for beta in (0.03, 0.05, 0.1)),
    # what else is open, one at a time from beta = 0.05
    target_propagation(Reading(0.05, 0, decay=0.97), 10),
    target_propagation(Reading(0.05, 0, code="sample"), 10),
    target_propagation(Reading(0.05, 0, feedback="sample"), 10),
    *(
        target_propagation(Reading(beta, warmup, inverse="network"), 10)
        for beta, warmup in ((0.01, 1), (0.03, 1), (0.1, 1), (1.0, 0))
    ),
    target_propagation(Reading(0.05, 0, feedback="sample"), 50),
    target_propagation(Reading(0.05, 0), 50),
    target_propagation(THESIS_TARGET_PROPAGATION, 50),
)


@dataclass(frozen=True)
class Preset(declared.Preset):
    """How much of the thesis report is computed."""

    sensitivity: Sequence[Line] = ()
    base: Config = Config()  # noqa: RUF009
    """Network and batch size of the rows of Table 5.1; its epochs and seed are not read."""

    @property
    def summary(self) -> str:
        """What it computes, in a line."""
        return f"{super().summary}, {len(self.sensitivity)} lines of sensitivity"

    @property
    def table(self) -> dict[str, list[Config]]:
        """The rows of Table 5.1: one configuration a seed."""
        base = dataclasses.replace(self.base, epochs=self.epochs)

        def relaxed(strategy: str, temperature: float) -> Config:
            return base.refitted(strategy=strategy, options=GumbelSoftmaxOptions(Schedule(temperature)))

        rows = {
            GUMBEL_HALF: relaxed("gumbel-softmax", 0.5),
            GUMBEL_TENTH: relaxed("gumbel-softmax", 0.1),
            TARGET_PROPAGATION: THESIS_TARGET_PROPAGATION.config(base),
            STRAIGHT_THROUGH: relaxed("straight-through-gumbel-softmax", 0.5),
            LEARNED_INVERSE: LEARNED_INVERSE_READING.config(base),
        }
        return {name: declared.lasting(config, self.epochs, self.seeds) for name, config in rows.items()}


PRESETS = {
    "quick": Preset(2, (0, 1), 20, sensitivity=QUICK_SENSITIVITY),
    "full": Preset(THESIS_EPOCHS, (0, 1, 2), 1000, sensitivity=FULL_SENSITIVITY),
}
