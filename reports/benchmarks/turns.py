"""Times of functions that are called in turn, so that other load on the machine affects them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter

import torch

from reports.benchmarks import load
from reports.benchmarks.case import Case
from reports.benchmarks.load import Load


@dataclass(frozen=True)
class Turns:
    """Milliseconds of each function in every turn, and the machine's other load; the least disturbed of ``tries``."""

    times: Sequence[Sequence[float]]
    load: Load
    tries: int = 1

    @property
    def medians(self) -> list[float]:
        """The median of each function."""
        return [statistics.median(spent) for spent in self.times]

    def ratio(self, one: int, other: int) -> float:
        """How many times as long one function takes as another: the median over turns, in which they are neighbours."""
        return paired(self.times[one], self.times[other])

    def watched(self) -> dict[str, float]:
        """The other load, as metrics."""
        return self.load.metrics() | {"tries": self.tries}


def paired(one: Sequence[float], other: Sequence[float]) -> float:
    """The median ratio of neighbours in time."""
    return statistics.median(mine / theirs for mine, theirs in zip(one, other, strict=True))


def take_turns(functions: Sequence[Callable[[], object]], case: Case, device: torch.device) -> Turns:
    """Call functions in turn, on a GPU in blocks that fill its queue; repeated if others disturbed it.

    The first one does the same work in every turn: its times tell, too, whether it was disturbed.
    """
    once = partial(turns, functions, case.seconds, device)
    return Turns(*load.watched(once, threads(device), case.tries, itemgetter(0)))


def threads(device: torch.device) -> int:
    """Cores that a measurement takes."""
    return 1 if device.type == "cuda" else torch.get_num_threads()


def turns(functions: Sequence[Callable[[], object]], seconds: float, device: torch.device) -> list[list[float]]:
    """Milliseconds of each function in every turn, taken once; see ``take_turns``."""
    block = 20 if device.type == "cuda" else 1

    def timed(function: Callable[[], object]) -> float:
        start = time.perf_counter()
        for _ in range(block):
            function()
        wait(device)
        return (time.perf_counter() - start) / block * 1e3

    for function in functions:
        for _ in range(3):
            timed(function)
    times: list[list[float]] = [[] for _ in functions]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[0]) < 5:
        for spent, function in zip(times, functions, strict=True):
            spent.append(timed(function))
    return times


def wait(device: torch.device) -> None:
    """Wait until a GPU has finished its queue."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
