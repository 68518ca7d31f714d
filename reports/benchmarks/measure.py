"""A training step beside its floor, measured in a process of its own: ``python -m reports.benchmarks.measure JSON``.

Floor and step take turns, and their ratio is the median of those of neighbours. Where other processes took too much
beside (``load``), turns are taken again.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import torch

from discrete_vae import data as datasets
from discrete_vae.arithmetic import arithmetic
from discrete_vae.data import Dataset
from discrete_vae.evaluation.population import Population
from discrete_vae.evaluation.yardstick import ROWS, evaluate_population
from discrete_vae.memory import keep_freed_memory
from discrete_vae.runs import Run
from discrete_vae.training.step import Trainer
from reports.benchmarks import load
from reports.benchmarks.case import MIB, SINGLE, Case
from reports.benchmarks.floor import floor_of
from reports.benchmarks.textbook import textbook
from reports.benchmarks.turns import paired, take_turns, threads, wait


def measure(case: Case, device: torch.device) -> dict[str, float]:
    """Metrics of a case: milliseconds, ratio to the floor, images a second, MiB; none if it cannot be compiled."""
    if case.threads:
        torch.set_num_threads(case.threads)
    with arithmetic(case.config.precision):
        return LOOPS[case.loop](case, datasets.load(case.config.data, device=device), device)


def _suite(case: Case, data: Dataset, device: torch.device) -> dict[str, float]:
    """A step of the suite's own loop beside its floor."""
    before = psutil.Process().memory_info().rss
    told: list[str] = []
    trainer = _trainer(case, data, device, told.append)
    started = time.perf_counter()
    trainer.advance()
    first = time.perf_counter() - started
    if told:
        return {}
    step = _endless(trainer)
    for _ in range(4):
        step()
    peak = _peak(before, device)
    floor, counts = floor_of(trainer)
    taken = take_turns([floor, step], case, device)
    floor_ms, step_ms = taken.medians
    found = _summary(case, step_ms, peak) | {"floor_ms": floor_ms, "step_over_floor": taken.ratio(1, 0)}
    found |= counts | {"first_step_s": first} | taken.watched()
    if case.epoch:
        epoch, beside, tries = load.watched(partial(_epoch, trainer), threads(device), case.tries)
        watched = beside.metrics() | {"tries": tries}
        found |= epoch | {name: max(found[name], value) for name, value in watched.items()}
    return found


def _beside(case: Case, data: Dataset, device: torch.device) -> dict[str, float]:
    """A step beside one of Gumbel-Softmax with the same model."""
    other = replace(case, config=case.config.refitted(strategy="gumbel-softmax", options=None))
    taken = take_turns([step_of(each, data, device) for each in (case, other)], case, device)
    return {"step_over_gumbel_softmax": taken.ratio(0, 1)} | taken.watched()


def _classes(case: Case, data: Dataset, device: torch.device) -> dict[str, float]:
    """A step beside one of each strategy that decodes a single class, on images whose classes are made up.

    Each step that is timed follows an untimed one of its own, because the other steps change the caches as no training
    would.
    """
    places = torch.arange(len(data.train), device=device)
    data = replace(data, train=replace(data.train, labels=places % case.config.architecture.categories))
    cases = {case.config.strategy: case}
    cases |= {name: replace(case, config=case.config.refitted(strategy=name, options=None)) for name in SINGLE}
    steps = {name: step_of(each, data, device) for name, each in cases.items()}
    before = psutil.Process().memory_info().rss
    taken = take_turns([step for step in steps.values() for _ in range(2)], case, device)
    found = speeds(dict(zip(steps, taken.times[1::2], strict=True)))
    return found | {"peak_mib": _peak(before, device)} | taken.watched()


def speeds(times: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Each function's median time, and how many times as fast as the first it is."""
    first = next(iter(times.values()))
    ratios = {f"speed {name}": paired(first, spent) for name, spent in times.items()}
    return {f"step_ms {name}": statistics.median(spent) for name, spent in times.items()} | ratios


def _textbook(case: Case, data: Dataset, device: torch.device) -> dict[str, float]:
    """A step of the plain loop."""
    before = psutil.Process().memory_info().rss
    step = textbook(case.config, data.train.pixels, device)
    for _ in range(3):
        step()
    peak = _peak(before, device)
    taken = take_turns([step], case, device)
    return _summary(case, taken.medians[0], peak) | taken.watched()


def _evaluation(case: Case, data: Dataset, device: torch.device) -> dict[str, float]:
    """The bound of 1,000 samples on 200 images beside the decoder's products alone."""
    images, samples = 200, 1000
    population = Population.build(case.configs(), device)
    cut = replace(data.test, pixels=data.test.pixels[:images], labels=data.test.labels[:images])
    weights = [parameter.detach() for parameter in population.model.decoder.parameters() if parameter.shape[1] > 1]
    rows = images * samples
    piece = min(ROWS[device.type], rows)
    inputs = [torch.rand(case.members, piece, weight.shape[1], device=device) for weight in weights]

    def floor() -> None:
        for start in range(0, rows, piece):
            for each, weight in zip(inputs, weights, strict=True):
                torch.bmm(each[:, : rows - start], weight)

    whole = partial(evaluate_population, population, replace(data, test=cut), "test", samples)
    taken = take_turns([floor, whole], case, device)
    floor_ms, step_ms = taken.medians
    return {
        "floor_ms": floor_ms,
        "evaluation_ms": step_ms,
        "evaluation_over_floor": taken.ratio(1, 0),
        "decoded_per_second": rows * case.members / step_ms * 1e3,
    } | taken.watched()


def _device(case: Case, data: Dataset, device: torch.device) -> dict[str, float]:
    """The rates of one large product and one large copy, which bound every step from below."""
    a, b = (torch.rand(2048, 2048, device=device) for _ in range(2))
    source = torch.rand(2**28, device=device)  # a GiB, which no cache holds
    target = torch.empty_like(source)
    taken = take_turns([lambda: a @ b, lambda: target.copy_(source)], case, device)
    product_ms, copy_ms = taken.medians
    rates = {"gflop_per_second": 2 * 2.048**3 / product_ms * 1e3, "gib_per_second": 2 / copy_ms * 1e3}
    return rates | taken.watched()


LOOPS: Mapping[str, Callable[[Case, Dataset, torch.device], dict[str, float]]] = {
    "suite": _suite,
    "beside": _beside,
    "classes": _classes,
    "textbook": _textbook,
    "evaluation": _evaluation,
    "device": _device,
}


def step_of(case: Case, data: Dataset, device: torch.device) -> Callable[[], None]:
    """A function that takes the next step of a case, epoch after epoch."""
    return _endless(_trainer(case, data, device))


def _warn(message: str) -> None:
    print(message, file=sys.stderr)


def _trainer(case: Case, data: Dataset, device: torch.device, warn: Callable[[str], None] = _warn) -> Trainer:
    """The case's population at its first step."""
    runs = [Run(Path(), config) for config in case.configs()]  # nothing is written
    trainer = Trainer(runs, data, device, case.compiled, warn, record_after=0)
    trainer.begin_epoch()
    return trainer


def _endless(trainer: Trainer) -> Callable[[], None]:
    """A function that takes the next step, the beginning of an epoch included."""

    def step() -> None:
        trainer.step += 1
        if trainer.step % trainer.steps_per_epoch == 0:
            trainer.begin_epoch()
        trainer.advance()

    return step


def _summary(case: Case, step_ms: float, peak: float) -> dict[str, float]:
    return {
        "step_ms": step_ms,
        "member_ms": step_ms / case.members,
        "examples_per_second": case.config.batch_size * case.members / step_ms * 1e3,
        "peak_mib": peak,
    }


def _peak(before: int, device: torch.device) -> float:
    """Peak memory in MiB, on a CPU without the interpreter, the libraries and the data set."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / MIB
    status = Path("/proc/self/status")
    peaks = [line.split()[1] for line in status.read_text().splitlines() if "VmHWM" in line] if status.exists() else []
    return (int(peaks[0]) * 1024 - before) / MIB if peaks else math.nan


def _epoch(trainer: Trainer) -> dict[str, float]:
    """A whole epoch beside the steps in it, and the validation that follows it."""
    trainer.step = math.ceil(trainer.step / trainer.steps_per_epoch) * trainer.steps_per_epoch
    advance, spent = trainer.advance, 0.0

    def timed() -> None:
        nonlocal spent
        start = time.perf_counter()
        advance()
        wait(trainer.device)
        spent += time.perf_counter() - start

    trainer.advance = timed
    wait(trainer.device)
    start = time.perf_counter()
    trainer.train_epoch(lambda: bool(trainer.healthy()))
    epoch = time.perf_counter() - start
    trainer.advance = advance
    trainer.population.follow(trainer.values[-1])
    start = time.perf_counter()
    evaluate_population(trainer.population, trainer.data, "validation", 1)
    wait(trainer.device)
    return {"epoch_over_steps": epoch / spent, "validation_over_epoch": (time.perf_counter() - start) / epoch}


if __name__ == "__main__":
    keep_freed_memory()
    question = json.loads(sys.argv[1])
    print(json.dumps(measure(Case.from_dict(question["case"]), torch.device(question["device"]))))
