"""Hyper-parameters as functions of the training step.

One formula covers the constant, the per-epoch decay of the thesis, the per-step annealing of Jang et al.'s notebook,
the linear warm-up from zero and the change over the whole length of a run, and it evaluates for a whole population at
once.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from discrete_vae.errors import InputError, check_range

Unit = Literal["epoch", "step", "run"]
LONGEST = 10**12
"""Units that a schedule may take for a change."""
FLOAT = np.finfo(np.float32)


@dataclass(frozen=True)
class Schedule:
    """``value(t) = max(minimum, initial * decay ** floor(t / every)) * min(1, t / warmup)``, t in units.

    With ``unit="run"`` t is the share of the run's steps that are done, from 0 to 1, and the decay is gradual,
    ``decay ** t``: the trained model has ``initial * decay`` however many epochs it took, and ``warmup`` is a share of
    the run.

    A hyper-parameter that is a ``Schedule`` may differ between the members of a population; every other field of a
    configuration has to be the same for all of them.

    Written as text, on the command line and in a run's configuration, as the initial value and the fields that are
    not at their default: ``0.5``, ``1,decay=0.97,minimum=0.5`` (per epoch), ``0.01,warmup=50`` (50 epochs),
    ``0.004,decay=0.1,unit=run`` (to a tenth over the run), and Jang et al.'s temperature
    ``1,decay=0.97044553,every=1000,unit=step,minimum=0.5``.

    Raises ``InputError`` for a field that is out of its range or does not fit the others.
    """

    initial: float
    decay: float = 1.0
    every: int = 1
    unit: Unit = "epoch"
    minimum: float = 0.0
    warmup: float = 0.0

    def __post_init__(self) -> None:
        for name in ("initial", "decay", "minimum", "warmup"):
            value = getattr(self, name)
            number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
            if not number or not 0 <= value <= sys.float_info.max:
                raise InputError(f"schedule: {name} is {value!r}; give a finite number of at least 0")
            value = float(value)
            object.__setattr__(self, name, value)
        if isinstance(self.every, bool) or not isinstance(self.every, Integral) or self.every < 1:
            raise InputError(f"schedule: every is {self.every}; give a whole number of at least 1")
        if self.unit not in get_args(Unit):
            raise InputError(f"schedule: unit is {self.unit!r}; give 'epoch', 'step' or 'run'")
        check_range("schedule: every", int(self.every), 1, LONGEST)
        if self.warmup > LONGEST:
            raise InputError(f"schedule: warmup is {self.warmup:g}; give at most {LONGEST}")
        if self.minimum > self.initial and self.decay <= 1:
            raise InputError(
                f"schedule: minimum is {self.minimum}, above the initial {self.initial}, which it would replace from "
                "the first step on; give a smaller one"
            )
        largest = max(self.initial, self.minimum, self.initial * self.decay if self.unit == "run" else 0.0)
        if largest > float(FLOAT.max):
            raise InputError(f"schedule: it reaches {largest:g}; give a number that float32 has, up to 3e38")
        if 0 < self.initial < float(FLOAT.tiny):
            raise InputError(f"schedule: initial is {self.initial}; give a number that float32 has, 0 or from 2e-38")
        if self.unit == "run" and not self.decay:
            raise InputError("schedule: decay is 0.0; over a run the decay is gradual: give a number above 0")
        if self.unit == "run" and self.every != 1:
            raise InputError(f"schedule: every is {self.every}; over a run the decay is gradual: leave it at 1")
        if self.unit == "run" and self.warmup > 1:
            raise InputError(
                f"schedule: warmup is {self.warmup}; with unit=run it is a share of the run: give at most 1"
            )

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Read the text form; raises ``InputError`` naming what could not be read."""
        if not isinstance(text, str):
            raise InputError(f"schedule {text!r} is no text; write e.g. '1,decay=0.97,minimum=0.5'")
        initial, *settings = (part.strip() for part in text.split(","))
        casts = {"decay": float, "every": int, "unit": str, "minimum": float, "warmup": float}
        fields: dict[str, object] = {}
        try:
            for setting in settings:
                name, _, value = (each.strip() for each in setting.partition("="))
                if name in fields:
                    raise InputError(f"{name} is given twice; give it once")
                fields[name] = casts[name](value)
            return cls(float(initial), **fields)  # type: ignore[arg-type]
        except KeyError as error:
            raise InputError(f"schedule {text!r}: no field {error.args[0]!r}; fields are {', '.join(casts)}") from None
        except InputError as error:
            raise InputError(f"schedule {text!r}: {error}") from None
        except ValueError:
            raise InputError(
                f"schedule {text!r} cannot be read; write a number, or e.g. 1,decay=0.97,minimum=0.5 or 0.01,warmup=50"
            ) from None

    def __str__(self) -> str:
        changed = [
            f"{field.name}={_number(getattr(self, field.name))}"
            for field in dataclasses.fields(self)[1:]
            if getattr(self, field.name) != field.default
        ]
        return ",".join([_number(self.initial), *changed])

    def at(self, time: float) -> float:
        """The value after so many units: steps, epochs, or with ``unit="run"`` the share of the run that is done.

        ``strategy.temperature = schedule.at(step)`` anneals in one line. Raises ``InputError`` for what is no number of
        at least 0, and for a share above 1.
        """
        if not isinstance(time, int | float) or not 0 <= time < math.inf:
            raise InputError(f"schedule: time is {time!r}; give the {self.unit}s that are done, a number of at least 0")
        if self.unit == "run" and time > 1:
            raise InputError(f"schedule: time is {time}; over a run it is the share that is done, from 0 to 1")
        passed = time if self.unit == "run" else time // self.every
        ramp = min(1.0, time / self.warmup) if self.warmup else 1.0
        with np.errstate(over="ignore"):  # what grows beyond all numbers is inf, as in training
            decayed = self.initial * np.float64(self.decay) ** passed if self.initial else 0.0
        return float(max(decayed, self.minimum) * ramp)

    def without_effect(self) -> list[str]:
        """Names of the fields that are set and change nothing beside the others."""
        nothing = self.initial == self.minimum == 0
        flat = self.decay == 1 or nothing or (self.decay < 1 and self.minimum >= self.initial)
        idle = {
            "decay": flat,
            "every": flat,
            "minimum": flat or (self.decay > 1 and self.minimum <= self.initial),
            "warmup": nothing,
            "unit": flat and (nothing or not self.warmup),
        }
        return [
            field.name
            for field in dataclasses.fields(self)
            if idle.get(field.name) and getattr(self, field.name) != field.default
        ]

    def require_positive(self, name: str, warmup: bool = False) -> None:
        """Raise ``InputError`` where this schedule can be 0, with ``warmup`` other than at the start of a warm-up."""
        if self.initial <= 0 or self.decay <= 0 or (self.warmup > 0 and not warmup):
            conditions = "initial > 0, decay > 0" + ("" if warmup else ", no warmup")
            raise InputError(f"{name} is {self}; it must stay above 0 ({conditions})")


def table(
    schedules: Sequence[Schedule],
    first_step: int,
    steps: int,
    steps_per_epoch: int,
    totals: Sequence[int] | None = None,
) -> Tensor:
    """Values of P schedules at ``first_step ... first_step + steps - 1``: float32 ``[steps, P]``; see ``values``."""
    found = values(schedules, np.arange(first_step, first_step + steps), steps_per_epoch, totals)
    return torch.from_numpy(found).float()


def values(
    schedules: Sequence[Schedule],
    steps: np.ndarray[tuple[int], np.dtype[np.int64]],
    steps_per_epoch: int,
    totals: Sequence[int] | None = None,
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Values of P schedules at any steps: ``[steps, P]``.

    ``totals`` are the steps of the runs that they belong to, which schedules over a run need; beyond the end of its run
    such a schedule stays where it is. Raises ``ValueError`` where they are needed and missing.
    """
    if totals is None:
        if any(schedule.unit == "run" for schedule in schedules):
            raise ValueError("a schedule over the run needs the run's number of steps")
        totals = [1] * len(schedules)

    def column(name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.array([getattr(schedule, name) for schedule in schedules], dtype=np.float64)

    length = {"epoch": [steps_per_epoch] * len(schedules), "step": [1] * len(schedules), "run": totals}
    unit = np.array([length[schedule.unit][p] for p, schedule in enumerate(schedules)])
    gradual = np.array([schedule.unit == "run" for schedule in schedules])
    step = steps[:, None]
    share = np.minimum(step / unit, 1.0)
    decays = np.where(gradual, share, step // (column("every").astype(np.int64) * unit))
    initial = column("initial")
    with np.errstate(over="ignore"):  # a run that this happens to fails by its loss
        grown = np.where(initial > 0, column("decay"), 1.0) ** decays  # 0 stays 0, because 0 times inf is NaN
        decayed = initial * grown
    # A warm-up of 0 has no ramp: the division is kept away from 0 and the ramp is 1 from the first step.
    ramp = np.where(column("warmup") > 0, step / unit / np.maximum(column("warmup"), 1e-300), 1.0)
    found: np.ndarray[tuple[int, int], np.dtype[np.float64]]
    found = np.maximum(decayed, column("minimum")) * np.minimum(ramp, 1.0)
    return found


def alike(schedules: Sequence[Schedule], epochs: Sequence[int]) -> bool:
    """Whether schedules have the same values in runs of these lengths."""
    return (
        len({(each, length if each.unit == "run" else 0) for each, length in zip(schedules, epochs, strict=True)}) == 1
    )


def _number(value: object) -> str:
    """The shortest text that reads back as the same number."""
    return str(value).removesuffix(".0")
