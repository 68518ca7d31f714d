"""Other load on a machine during a measurement, and measuring again where that was too much."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import psutil

Result = TypeVar("Result")

TRIES = 3
"""Largest number of measurements of one case, of which the least disturbed is kept."""
# Limits of a valid measurement:
CORE = 0.15  # of a core, when it takes all of them; an idle machine's daemons take less
FREE = 0.05  # beside, of each core that it leaves free: caches, memory and clock are shared
TICK = 0.02  # seconds: how exactly a system counts the time of its processes
SPREAD = 0.35  # interquartile range of the floor's times over their median; a floor does the same work in every turn
DRIFT = 0.2  # by how much the medians of the two halves of the floor's times differ, relative to the smaller one


@dataclass(frozen=True)
class Counters:
    """Counters in seconds, of which differences count: the clock, all busy cores, and this process and its children."""

    clock: float
    busy: float
    own: float


def counters() -> Counters:
    """What the system has counted until now, on the cores that this process may use.

    Busy is also what the hypervisor gave to other machines.
    """
    every, busy = psutil.cpu_times(percpu=True), 0.0
    for core in (every[i] for i in _mine(len(every)) if i < len(every)):
        known = core._asdict()
        # A guest's time is in the user's already.
        resting = sum(known.get(name, 0.0) for name in ("idle", "iowait", "guest", "guest_nice"))
        busy += sum(known.values()) - resting
    return Counters(time.perf_counter(), busy, sum(psutil.Process().cpu_times()[:4]))


def _mine(count: int) -> Sequence[int]:
    """The cores of so many that this process may use."""
    process = psutil.Process()
    return process.cpu_affinity() if hasattr(process, "cpu_affinity") else range(count)


def cores() -> int:
    """How many cores this process may use."""
    return len(_mine(psutil.cpu_count() or 1))


@dataclass(frozen=True)
class Load:
    """What is known of a measurement's surroundings."""

    others: float  # cores that other processes and machines took, mean over ``seconds``
    seconds: float
    cores: int  # that the measurement could use
    threads: int  # that it did use
    spread: float = 0.0  # see ``SPREAD``
    drift: float = 0.0  # see ``DRIFT``

    @property
    def allowed(self) -> float:
        """Cores that others may take."""
        return CORE + FREE * max(0, self.cores - self.threads) + TICK / max(self.seconds, 1e-9)

    @property
    def score(self) -> float:
        """How disturbed it was: above 1 too much."""
        return max(self.others / self.allowed, self.spread / SPREAD, self.drift / DRIFT)

    @property
    def disturbed(self) -> bool:
        """Whether its numbers are unreliable."""
        return self.score > 1

    def metrics(self) -> dict[str, float]:
        """For a table of results; ``disturbed`` is 0 or 1."""
        return {
            "other_load": self.others,
            "floor_spread": self.spread,
            "floor_drift": self.drift,
            "disturbed": float(self.disturbed),
        }


def between(before: Counters, after: Counters, threads: int, floor: Sequence[float] = ()) -> Load:
    """The load from one moment to another; ``floor``: times of what does the same work in every turn."""
    seconds = after.clock - before.clock
    others = (after.busy - before.busy - (after.own - before.own)) / max(seconds, 1e-9)
    return Load(max(0.0, others), seconds, cores(), threads, spread(floor), drift(floor))


def spread(times: Sequence[float]) -> float:
    """Interquartile range over the median; 0 for fewer than four times."""
    if len(times) < 4:
        return 0.0
    low, middle, high = statistics.quantiles(times, method="inclusive")
    return (high - low) / middle


def drift(times: Sequence[float]) -> float:
    """The larger median of the first and the second half over the smaller one, less 1; 0 for fewer than four times."""
    if len(times) < 4:
        return 0.0
    low, high = sorted((statistics.median(times[: len(times) // 2]), statistics.median(times[len(times) // 2 :])))
    return high / low - 1


def least_disturbed(measure: Callable[[], tuple[Result, Load]], tries: int = TRIES) -> tuple[Result, Load, int]:
    """Measure, again up to ``tries`` times while it was disturbed; the least disturbed one, and how often."""
    found = [measure()]
    while found[-1][1].disturbed and len(found) < tries:
        found.append(measure())
    result, load = min(found, key=lambda each: each[1].score)
    return result, load, len(found)


def watched(
    measure: Callable[[], Result],
    threads: int,
    tries: int,
    floor: Callable[[Result], Sequence[float]] = lambda result: (),
) -> tuple[Result, Load, int]:
    """``least_disturbed`` of what is measured on so many cores; ``floor`` finds its floor's times in the result."""

    def once() -> tuple[Result, Load]:
        before = counters()
        result = measure()
        return result, between(before, counters(), threads, floor(result))

    return least_disturbed(once, tries)


def resting(seconds: float) -> Load:
    """The load while this process does nothing for so long."""
    before = counters()
    time.sleep(seconds)
    return between(before, counters(), cores())
