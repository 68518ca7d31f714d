"""A training step beside its floor, measured in a process of its own: ``python -m reports.benchmarks.measure JSON``.

The floor is a lower bound on a step's time: the matrix products and convolutions of its recording, of the same
shapes and strides, and one ``torch.optim.Adam(fused=True).step()``, its Python included, over parameters of the same
shapes; on a GPU both are captured. Floor and step take turns, and their ratio is the median of those of neighbours.
Where other processes took too much beside (``reports.load``), turns are taken again.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Interpreter
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from discrete_vae import data as datasets
from discrete_vae.config import Config
from discrete_vae.data import Dataset
from discrete_vae.evaluation.population import Population
from discrete_vae.evaluation.yardstick import ROWS, evaluate_population
from discrete_vae.memory import keep_freed_memory
from discrete_vae.runs import Run
from discrete_vae.training.capture import Graphed, asked, kernels
from discrete_vae.training.step import Trainer
from reports.benchmarks import load
from reports.benchmarks.load import TRIES, Load
from reports.benchmarks.textbook import textbook

PRODUCTS = ("aten.bmm.default", "aten.baddbmm.default", "aten.mm.default", "aten.addmm.default")
CONVOLUTIONS = ("aten.convolution.default", "aten.convolution_backward.default")
MIB = 2**20
SINGLE = ("gumbel-softmax", "straight-through-gumbel-softmax", "reinmax", "score-function")
"""Strategies that decode one class of an image, whatever the number of classes."""


@dataclass(frozen=True)
class Case:
    """What is measured: a configuration, how many of it side by side, and how it is run."""

    config: Config
    members: int = 1
    compiled: bool = False
    threads: int | None = None
    loop: str = "suite"
    """``suite``; ``beside`` for its step beside that of Gumbel-Softmax; ``classes`` for the steps of ``SINGLE`` beside
    it; ``textbook`` for the plain loop; ``evaluation`` for the importance-weighted bound; ``device`` for what the
    device can do."""
    epoch: bool = False
    """Whether a whole epoch is measured too."""
    seconds: float = 4.0
    """How long to measure."""
    tries: int = TRIES
    """How often to measure at the most, where others disturb it."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**self.__dict__, "config": self.config.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Case:
        """The inverse of ``to_dict``."""
        return cls(**{**values, "config": Config.from_dict(values["config"])})


class _Products(Interpreter):
    """Runs a recording once and keeps its matrix products and convolutions, with what they multiply."""

    def __init__(self, graph: GraphModule) -> None:
        super().__init__(graph)
        self.calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        self.moved = 0
        """Numbers that they read and write."""

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        made = super().call_function(target, args, kwargs)
        if (name := str(target)) in PRODUCTS:
            self._keep(torch.matmul, args[-2:], made)
        elif name in CONVOLUTIONS:
            self._keep(target, args, made)
        return made

    def _keep(self, function: Callable[..., Any], args: Sequence[Any], made: Any) -> None:
        copies = (
            each.detach().clone(memory_format=torch.preserve_format) if isinstance(each, Tensor) else each
            for each in args
        )
        self.calls.append((function, tuple(copies)))
        self.moved += sum(each.numel() for each in (*args, *tree_leaves(made)) if isinstance(each, Tensor))


def floor_of(trainer: Trainer) -> tuple[Callable[[], None], dict[str, float]]:
    """A function that does a step's floor, and what it amounts to: products, operations, and bytes that have to move.

    The products are of matrices and convolutions. Bytes: of Adam, which reads parameters, gradients and both moments
    and writes all but the gradients; and of what each product reads and writes.
    """
    observation = trainer.model.train_batch(trainer.data.train, trainer.order[0], trainer.generators)
    inputs = (observation, trainer.values[0])
    draws = asked(trainer.gradients, inputs, trainer.noise)
    products = _Products(kernels(trainer.gradients, inputs, draws))
    with torch.no_grad():
        products.run(*inputs, *draws)
    copies = [nn.Parameter(parameter.detach().clone()) for parameter in trainer.parameters]
    for copy in copies:
        copy.grad = torch.full_like(copy, 1e-3)
    on_gpu = trainer.device.type == "cuda"
    adam = torch.optim.Adam(copies, fused=True, capturable=on_gpu)

    @torch.no_grad()
    def floor() -> None:
        for function, args in products.calls:
            function(*args)
        adam.step()

    with FlopCounterMode(display=False) as counter:
        floor()
    return Graphed(floor, [], trainer.device) if on_gpu else floor, {
        "products": len(products.calls),
        "gflop": counter.get_total_flops() / 1e9,
        "traffic_mib": 4 * (7 * sum(copy.numel() for copy in copies) + products.moved) / MIB,
    }


@dataclass(frozen=True)
class Turns:
    """Milliseconds of functions that were called in turn, and what went on beside."""

    times: Sequence[Sequence[float]]
    """Of each function in every turn."""
    load: Load
    tries: int = 1
    """How often they were taken; this is the least disturbed."""

    @property
    def medians(self) -> list[float]:
        """Of each function."""
        return [statistics.median(spent) for spent in self.times]

    def ratio(self, one: int, other: int) -> float:
        """How many times as long one function takes as another: the median over turns, in which they are neighbours."""
        return paired(self.times[one], self.times[other])

    def watched(self) -> dict[str, float]:
        """What went on beside, as metrics."""
        return self.load.metrics() | {"tries": self.tries}


def paired(one: Sequence[float], other: Sequence[float]) -> float:
    """The median ratio of neighbours in time, so that both have the same of whatever else the machine does."""
    return statistics.median(mine / theirs for mine, theirs in zip(one, other, strict=True))


def take_turns(functions: Sequence[Callable[[], object]], case: Case, device: torch.device) -> Turns:
    """Call functions in turn, on a GPU in blocks that fill its queue; again where others disturbed it.

    The first one does the same work in every turn: its times tell, too, whether it was disturbed.
    """

    def once() -> tuple[list[list[float]], Load]:
        before = load.counters()
        times = turns(functions, case.seconds, device)
        return times, load.between(before, load.counters(), _threads(device), times[0])

    return Turns(*load.least_disturbed(once, case.tries))


def _threads(device: torch.device) -> int:
    """Cores that a measurement takes."""
    return 1 if device.type == "cuda" else torch.get_num_threads()


def turns(functions: Sequence[Callable[[], object]], seconds: float, device: torch.device) -> list[list[float]]:
    """Milliseconds of each function in every turn, taken once; see ``take_turns``."""
    block = 20 if device.type == "cuda" else 1

    def timed(function: Callable[[], object]) -> float:
        start = time.perf_counter()
        for _ in range(block):
            function()
        _wait(device)
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


def _wait(device: torch.device) -> None:
    """Until a GPU has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure(case: Case, device: torch.device) -> dict[str, float]:
    """Metrics of a case: milliseconds, ratio to the floor, images a second, MiB; none if it cannot be compiled."""
    if case.threads:
        torch.set_num_threads(case.threads)
    torch.backends.cuda.matmul.allow_tf32 = case.config.precision == "tf32"
    return LOOPS[case.loop](case, device)


def _suite(case: Case, device: torch.device) -> dict[str, float]:
    """A step of the suite's own loop beside its floor."""
    data = datasets.load(case.config.data, device=device)
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
        epoch = _watched_epoch(trainer, case, device)
        found |= epoch | {name: max(found[name], epoch[name]) for name in found.keys() & epoch.keys()}
    return found


def _beside(case: Case, device: torch.device) -> dict[str, float]:
    """A step beside one of Gumbel-Softmax with the same model."""
    data = datasets.load(case.config.data, device=device)
    other = replace(case, config=case.config.refitted(strategy="gumbel-softmax", options=None))
    steps = [_endless(_trainer(each, data, device, partial(print, file=sys.stderr))) for each in (case, other)]
    taken = take_turns(steps, case, device)
    return {"step_over_gumbel_softmax": taken.ratio(0, 1)} | taken.watched()


def _classes(case: Case, device: torch.device) -> dict[str, float]:
    """A step beside one of each strategy that decodes a single class, on images whose classes are made up.

    Before a step that is timed the same one is taken untimed, for the other ones leave the caches to it as no training
    would.
    """
    data = datasets.load(case.config.data, device=device)
    places = torch.arange(len(data.train), device=device)
    data = replace(data, train=replace(data.train, labels=places % case.config.architecture.categories))
    cases = {name: replace(case, config=case.config.refitted(strategy=name, options=None)) for name in SINGLE}
    steps = {}
    for name, each in {case.config.strategy: case, **cases}.items():
        steps[name] = _endless(_trainer(each, data, device, partial(print, file=sys.stderr)))
    before = psutil.Process().memory_info().rss
    taken = take_turns([step for step in steps.values() for _ in range(2)], case, device)
    found = speeds(dict(zip(steps, taken.times[1::2], strict=True)))
    return found | {"peak_mib": _peak(before, device)} | taken.watched()


def speeds(times: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Each function's median time, and how many times as fast as the first it is."""
    first = next(iter(times.values()))
    ratios = {f"speed {name}": paired(first, spent) for name, spent in times.items()}
    return {f"step_ms {name}": statistics.median(spent) for name, spent in times.items()} | ratios


def _trainer(case: Case, data: Dataset, device: torch.device, warn: Callable[[str], None]) -> Trainer:
    """The case's population at its first step."""
    runs = [Run(Path(), config) for config in seeds(case)]  # nothing is written
    trainer = Trainer(runs, data, device, case.compiled, warn)
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


def _textbook(case: Case, device: torch.device) -> dict[str, float]:
    """A step of the plain loop."""
    data = datasets.load(case.config.data, device=device)
    before = psutil.Process().memory_info().rss
    step = textbook(case.config, data.train.pixels, device)
    for _ in range(3):
        step()
    peak = _peak(before, device)
    taken = take_turns([step], case, device)
    return _summary(case, taken.medians[0], peak) | taken.watched()


def seeds(case: Case) -> list[Config]:
    """The members' configurations."""
    values = case.config.to_dict()
    return [Config.from_dict({**values, "seed": seed}) for seed in range(case.members)]


def _summary(case: Case, step_ms: float, peak: float) -> dict[str, float]:
    images = case.config.batch_size * case.members
    return {
        "step_ms": step_ms,
        "member_ms": step_ms / case.members,
        "examples_per_second": images / step_ms * 1e3,
        "peak_mib": peak,
    }


def _peak(before: int, device: torch.device) -> float:
    """MiB taken at the most: on a processor beside the interpreter, the libraries and the data set."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / MIB
    status = Path("/proc/self/status")
    peaks = [line.split()[1] for line in status.read_text().splitlines() if "VmHWM" in line] if status.exists() else []
    return (int(peaks[0]) * 1024 - before) / MIB if peaks else math.nan


def _device(case: Case, device: torch.device) -> dict[str, float]:
    """The rates of one large product and one large copy, which bound every step from below."""
    a, b = (torch.rand(2048, 2048, device=device) for _ in range(2))
    source = torch.rand(2**28, device=device)  # a GiB, which no cache holds
    target = torch.empty_like(source)
    taken = take_turns([lambda: a @ b, lambda: target.copy_(source)], case, device)
    product_ms, copy_ms = taken.medians
    rates = {"gflop_per_second": 2 * 2.048**3 / product_ms * 1e3, "gib_per_second": 2 / copy_ms * 1e3}
    return rates | taken.watched()


def _evaluation(case: Case, device: torch.device) -> dict[str, float]:
    """The bound of 1,000 samples on 200 images beside the decoder's products alone."""
    data, images, samples = datasets.load(case.config.data, device=device), 200, 1000
    population = Population.build(seeds(case), device)
    cut = replace(data.test, pixels=data.test.pixels[:images], labels=data.test.labels[:images])
    small = replace(data, test=cut)
    weights = [parameter.detach() for parameter in population.model.decoder.parameters() if parameter.shape[1] > 1]
    rows = images * samples
    piece = min(ROWS[device.type], rows)
    inputs = [torch.rand(case.members, piece, weight.shape[1], device=device) for weight in weights]

    def floor() -> None:
        for start in range(0, rows, piece):
            for each, weight in zip(inputs, weights, strict=True):
                torch.bmm(each[:, : rows - start], weight)

    whole = partial(evaluate_population, population, small, "test", samples)
    taken = take_turns([floor, whole], case, device)
    floor_ms, step_ms = taken.medians
    return {
        "floor_ms": floor_ms,
        "evaluation_ms": step_ms,
        "evaluation_over_floor": taken.ratio(1, 0),
        "decoded_per_second": rows * case.members / step_ms * 1e3,
    } | taken.watched()


def _watched_epoch(trainer: Trainer, case: Case, device: torch.device) -> dict[str, float]:
    """An epoch, again where others disturbed it, and what went on beside."""

    def once() -> tuple[dict[str, float], Load]:
        before = load.counters()
        found = _epoch(trainer)
        return found, load.between(before, load.counters(), _threads(device))

    found, beside, tries = load.least_disturbed(once, case.tries)
    return found | beside.metrics() | {"tries": tries}


def _epoch(trainer: Trainer) -> dict[str, float]:
    """A whole epoch beside the steps in it, and the validation that follows it."""
    trainer.step = math.ceil(trainer.step / trainer.steps_per_epoch) * trainer.steps_per_epoch
    advance, spent = trainer.advance, 0.0

    def timed() -> None:
        nonlocal spent
        start = time.perf_counter()
        advance()
        _wait(trainer.device)
        spent += time.perf_counter() - start

    trainer.advance = timed
    _wait(trainer.device)
    start = time.perf_counter()
    trainer.train_epoch(lambda: bool(trainer.healthy()))
    epoch = time.perf_counter() - start
    trainer.advance = advance
    trainer.population.follow(trainer.values[-1])
    start = time.perf_counter()
    evaluate_population(trainer.population, trainer.data, "validation", 1)
    _wait(trainer.device)
    return {"epoch_over_steps": epoch / spent, "validation_over_epoch": (time.perf_counter() - start) / epoch}


LOOPS: Mapping[str, Callable[[Case, torch.device], dict[str, float]]] = {
    "suite": _suite,
    "beside": _beside,
    "classes": _classes,
    "textbook": _textbook,
    "evaluation": _evaluation,
    "device": _device,
}


if __name__ == "__main__":
    keep_freed_memory()
    question = json.loads(sys.argv[1])
    print(json.dumps(measure(Case.from_dict(question["case"]), torch.device(question["device"]))))
