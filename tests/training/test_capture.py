"""A captured step does what the step does, whatever changes from step to step, and where it cannot it says so."""

import random
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from discrete_vae.config import Config
from discrete_vae.data import Dataset, Split, load
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.runs import Run
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES, Estimate, Objective
from discrete_vae.tasks import Architecture
from discrete_vae.training import train
from discrete_vae.training.capture import CHECKS, Recorded
from discrete_vae.training.python_state import watched
from discrete_vae.training.step import Trainer
from tests.tiny_images import described, middle
from tests.training import small_runs
from tests.training.small_runs import of_each_kind

STEPS = 12
CASES: dict[str, tuple[str, Any]] = {name: (name, None) for name in STRATEGIES}
for _name, _options in {
    "learned inverse": {"inverse": "network", "feedback": "sample"},
    "l-drl": {"inverse": "l-drl", "geometry": "fisher-rao", "feedback_steps": 2},
    "drl": {"inverse": "drl", "geometry": "log-ratio", "clip": 0.5, "output_target": 0.5},
    "mirror": {"inverse": "mirror", "geometry": "second-order", "feedback_steps": 2},
    "probes": {"inverse": "probes", "geometry": "aitchison"},
    "layer-local": {"inverse": "mirror", "geometry": "matching", "local": True},
}.items():
    CASES[_name] = "target-propagation", STRATEGIES["target-propagation"].Options(**_options)
DEEP = Architecture(3, 4, (11,), layers=2)
FIELDS: dict[str, dict[str, Any]] = {
    "vae of two layers": {"architecture": DEEP},
    "relaxed prediction": {"architecture": DEEP, "task": "structured-prediction"},
    "mirrored prediction": {"architecture": DEEP, "task": "structured-prediction", "optimiser": "sgd"},
}
"""What else a case sets."""
CASES["vae of two layers"], CASES["relaxed prediction"] = ("nvil", None), ("gumbel-softmax", None)
CASES["mirrored prediction"] = CASES["mirror"]


@pytest.fixture(scope="module")
def data() -> Dataset:
    def cut(split: Split) -> Split:
        return replace(split, pixels=split.pixels[:2000, 300:340], labels=split.labels[:2000])

    whole = load()
    return replace(whole, train=cut(whole.train), validation=cut(whole.validation))


@pytest.fixture(autouse=True)
def _short_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "steps_per_epoch", STEPS // 2)


def members(case: str, count: int, **fields: Any) -> list[Config]:
    """Runs with a seed and schedules of their own, in which all that may change does so at every step."""
    strategy, options = CASES[case]
    options = options or STRATEGIES[strategy].Options()
    mirror = getattr(options, "inverse", None) == "mirror"
    falling = {name: Schedule(0.9, decay=0.9, unit="step", minimum=1e-3) for name in STRATEGIES[strategy].scheduled()}
    return [
        Config.fitting(
            strategy,
            replace(options, **falling) if seed else options,
            data=described(2, 20),
            batch_size=64,
            seed=seed,
            learning_rate=(rate := Schedule(3e-3 * (1 + seed), decay=0.9, unit="step")),
            auxiliary_learning_rate=rate if mirror else Schedule(3e-4),
            beta=Schedule(1.0, warmup=3),
            **{
                "architecture": Architecture(3, STRATEGIES[strategy].categories or 4, (11,)),
                **FIELDS.get(case, {}),
                **fields,
            },
        )
        for seed in range(count)
    ]


def trainer(configs: Sequence[Config], data: Dataset, folder: Path, **fields: Any) -> Trainer:
    runs = [Run(folder / config.name, config) for config in configs]
    return Trainer(runs, data, torch.device("cpu"), **{"record_after": 0, **fields})


def plain(trainer: Trainer) -> Trainer:
    """The same with every step in Python."""
    trainer.differentiate = partial(trainer.gradients, noise=trainer.noise)
    return trainer


def after(trainer: Trainer, steps: int = STEPS) -> dict[str, Tensor]:
    while trainer.step < steps:
        trainer.train_epoch(lambda: True)
    return {
        **trainer.state(),
        "good": trainer.good,
        **{str(p): g.get_state() for p, g in enumerate(trainer.generators)},
    }


@pytest.mark.parametrize(
    ("case", "count", "precision"),
    [(case, *((3, "float32") if index % 2 else (1, "bfloat16"))) for index, case in enumerate(CASES)],
)
def test_a_recorded_step_has_the_bits_of_a_plain_one(
    data: Dataset, tmp_path: Path, case: str, count: int, precision: str
) -> None:
    """Two epochs, with every schedule in motion; its Python takes a step, then runs to ask, to record and to check."""
    configs = members(case, count, precision=precision)
    recorded = trainer(configs, data, tmp_path, warn=pytest.fail, record_after=1)
    calls = 0
    compute = type(recorded.strategy).compute

    def counted(*arguments: Any) -> Any:
        nonlocal calls
        calls += arguments[0] is recorded.strategy
        return compute(*arguments)

    expected = after(plain(trainer(configs, data, tmp_path)))
    with pytest.MonkeyPatch.context() as patch:  # not the module itself, which has to stay as it is
        patch.setattr(type(recorded.strategy), "compute", counted)
        got = after(recorded)
    assert calls == 3 + CHECKS
    assert {name for name, tensor in expected.items() if not got[name].equal(tensor)} == set()
    start = trainer(configs, data, tmp_path).state()
    assert not got["model.decoder.layers.0.weight"].equal(start["model.decoder.layers.0.weight"])


@pytest.mark.parametrize("case", of_each_kind(CASES))
def test_a_whole_step_can_be_captured(data: Dataset, tmp_path: Path, case: str) -> None:
    """What a CUDA graph needs: the kernels of one step, from the gather to Adam, are those of every other.

    And of none does the host wait for the result, nor copies it anything to the device.

    One step is traced with its noise, updates and counters, and its kernels are run again and again. A number that
    Python kept from step to step, or a tensor that changed its place, would show as another result.
    """
    configs = members(case, 2)
    expected = after(plain(trainer(configs, data, tmp_path)), STEPS // 2)
    captured = plain(trainer(configs, data, tmp_path))
    captured.begin_epoch()

    def step() -> tuple[()]:
        captured._update()
        return ()

    graph = make_fx(step)()  # runs the first step
    assert isinstance(graph, GraphModule)
    with torch.no_grad():
        for _ in range(STEPS // 2 - 1):
            graph()
    captured.step = STEPS // 2
    got = after(captured, STEPS // 2)
    assert {name for name, tensor in expected.items() if not got[name].equal(tensor)} == set()
    names = {str(node.target) for node in graph.graph.nodes}
    assert "aten.bmm.default" in names
    waiting = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "lift_fresh", "index.Tensor")
    assert {name for name in names if any(word in name for word in waiting)} == set()


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++ here")
def test_a_compiled_step_is_the_step_up_to_rounding(data: Dataset, tmp_path: Path) -> None:
    configs = members("gumbel-softmax", 2)
    expected = after(trainer(configs, data, tmp_path))
    got = after(trainer(configs, data, tmp_path, compiled=True, warn=pytest.fail))
    for name, tensor in expected.items():
        torch.testing.assert_close(got[name], tensor, rtol=1e-3, atol=1e-4)
    assert got["0"].equal(expected["0"]), "the same noise was drawn"


def noisy(x: Tensor, noise: Noise) -> tuple[Tensor]:
    return ((x + noise.gumbel(x.shape)).sin(),)


def stubborn(x: Tensor, noise: Noise) -> tuple[Tensor]:
    """Depends on a value, which a recording cannot follow."""
    return (x + noise.gumbel(x.shape) if x.sum().item() > 0 else x,)


@pytest.mark.parametrize("function", [noisy, stubborn])
def test_what_cannot_be_captured_is_said_once_and_done_plainly(
    function: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any) -> None:
        raise RuntimeError("no\ncompiler")

    import torch._inductor

    monkeypatch.setattr(torch._inductor, "compile", broken)
    told: list[str] = []
    recorded = Recorded(function, Noise([seeded(1)]), compiled=True, warn=told.append)
    own = Noise([seeded(1)])
    for value in (1.0, -1.0, 2.0):
        x = torch.full((5,), value)
        assert recorded(x)[0].equal(function(x, own)[0])
    assert len(told) == 1
    reason = "could not be compiled, and goes on without: no compiler" if function is noisy else "could not be recorded"
    assert reason in told[0]


def test_asking_uses_up_no_noise() -> None:
    noise = Noise([seeded(1)])
    first = Recorded(noisy, noise, warn=pytest.fail)(torch.zeros(7))[0]
    assert first.equal(noisy(torch.zeros(7), Noise([seeded(1)]))[0])


SHARE = torch.nn.Linear(1, 1)


def leaving(x: Tensor, noise: Noise) -> tuple[Tensor]:
    """A number that leaves torch and comes back."""
    return (x * torch.tensor(x.detach().numpy().mean()),)


def replacing(x: Tensor, noise: Noise) -> tuple[Tensor]:
    """A moving average that is another tensor after each call."""
    SHARE.average = 0.9 * SHARE.average + 0.1 * x.mean()
    return (x + SHARE.average + noise.uniform(x.shape),)


def masked(x: Tensor, noise: Noise) -> tuple[Tensor]:
    """A kernel whose shape is that of the first call."""
    at = x.detach().requires_grad_()
    y = at.clone()
    y[at < 0] = y[at < 0] * 0.1
    return (torch.autograd.grad((y * noise.uniform(x.shape)).sum(), at)[0],)


@pytest.mark.parametrize("function", [leaving, replacing, masked])
@pytest.mark.parametrize("start", [0, 2])
def test_a_replay_with_other_numbers_is_told_and_not_used(function: Callable[..., Any], start: int) -> None:
    inputs = torch.randn(8, 50, generator=seeded(5))

    def run(call: Callable[[Tensor], Any]) -> list[Tensor]:
        SHARE.register_buffer("average", torch.zeros(()))
        return [call(x)[0].clone() for x in inputs]

    told: list[str] = []
    recorded = run(Recorded(function, Noise([seeded(1)]), [SHARE], warn=told.append, after=start))
    noise = Noise([seeded(1)])
    expected = run(lambda x: function(x, noise))
    assert len(told) == 1
    assert "could not be recorded" in told[0]
    assert [one.equal(other) for one, other in zip(recorded, expected, strict=True)] == [True] * len(inputs)


class Counting(nn.Module):
    """A weight by a number that Python keeps, in one of many ways, and that acts from the seventh call on."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way, self.calls, self.last, self.own = way, 0, [0], SimpleNamespace(calls=0)
        self.count = torch.zeros(())  # no buffer
        hooked = [0]

        def hook(*_: Any) -> None:
            hooked[0] += way == "hook"

        self.register_forward_pre_hook(hook)
        self.hooked = lambda: hooked[0]

    def forward(self, x: Tensor) -> Tensor:
        match self.way:
            case "number":
                self.calls += 1
            case "list":
                self.last.append(self.last[-1] + 1)
            case "object":
                self.own.calls += 1
            case "tensor":
                self.count = self.count + 1
            case "tensor in place":
                self.count += 1
        return x * (2 if max(self.calls, self.last[-1], self.own.calls, self.hooked()) < 7 else 3) + self.count


@pytest.mark.parametrize("way", ["number", "list", "object", "hook", "tensor", "tensor in place"])
@pytest.mark.parametrize("start", [2, 5])
def test_a_step_that_counts_in_python_stays_there(way: str, start: int) -> None:
    """The counter is one more after each call, as in Python, and what it does at the seventh is done."""
    told: list[str] = []
    plain, counting = Counting(way), Counting(way)
    recorded = Recorded(lambda x, noise: (counting(x),), Noise([seeded(1)]), [counting], warn=told.append, after=start)
    x = torch.ones(5)
    assert all(recorded(x)[0].equal(plain(x)) for _ in range(20))
    (text,) = told
    assert re.search(r"it changes Counting\.\w+, which a replay does not; keep .* in a buffer", text)


@pytest.mark.parametrize("what", ["generator", "calls (of the class)"])
def test_what_changes_beside_tensors_is_named(what: str) -> None:
    """Random numbers of a module's own, and what all modules of its class share."""

    class Other(nn.Module):
        calls = 0

        def __init__(self) -> None:
            super().__init__()
            self.generator = torch.Generator().manual_seed(0)

        def forward(self) -> None:
            if what == "generator":
                torch.rand((), generator=self.generator)
            else:
                type(self).calls += 1

    module = Other()
    _, reason = watched(module, [module])
    assert reason is not None
    assert f"it changes Other.{what}" in reason
    assert watched(lambda: None, [module]) == (None, None)


@pytest.mark.parametrize("start", [0, 2])
def test_a_size_that_depends_on_numbers_is_not_recorded(start: int) -> None:
    """It may be the same in all replays that are checked."""
    told: list[str] = []

    def late(x: Tensor, noise: Noise) -> tuple[Tensor]:
        return (x[x < 9].mean(),)

    recorded = Recorded(late, Noise([seeded(1)]), warn=told.append, after=start)
    for step in range(9):
        x = torch.arange(3.0) + step
        assert recorded(x)[0].equal(late(x, Noise())[0])
    (text,) = told
    assert "the size of what aten.index.Tensor gives depends on numbers" in text


@pytest.mark.parametrize(
    "draw", [lambda: torch.rand(()), random.random, np.random.rand], ids=["torch", "random", "numpy"]
)
def test_random_numbers_of_elsewhere_are_named(draw: Callable[[], Any]) -> None:
    told: list[str] = []
    recorded = Recorded(lambda x, noise: (x * draw(),), Noise([seeded(1)]), warn=told.append, after=2)
    assert len({float(recorded(torch.ones(()))[0]) for _ in range(20)}) == 20
    (text,) = told
    assert "draws random numbers of" in text


class Remembering(STRATEGIES["gumbel-softmax"]):  # type: ignore[misc]
    """Keeps a moving average of its loss, as a baseline does, and adds it to its own."""

    recordable = True

    def __init__(self, temperature: float | Tensor = 0.5) -> None:
        super().__init__(temperature)
        self.register_buffer("average", torch.zeros(2))

    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        estimate: Estimate = super().compute(logits, objective, noise)
        self.average.mul_(0.9).add_(0.1 * estimate.loss.detach().mean(-1))
        return replace(estimate, loss=estimate.loss * (1 + 0.01 * self.average.unsqueeze(-1)))


class Unsaid(STRATEGIES["gumbel-softmax"]):  # type: ignore[misc]
    """Keeps a number where no recording can see it, and does not say that it is recordable."""

    seen = [0]  # noqa: RUF012

    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        self.seen[0] += 1
        estimate: Estimate = super().compute(logits, objective, noise)
        return replace(estimate, loss=estimate.loss * self.seen[0])


def test_a_strategy_of_elsewhere_runs_in_python_unless_it_says_so(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert all(kind.recordable for kind in STRATEGIES.values())
    assert not Unsaid.recordable
    assert not type("Inherited", (Remembering,), {"__module__": "mine"}).recordable
    monkeypatch.setitem(STRATEGIES, "gumbel-softmax", Unsaid)
    configs = members("gumbel-softmax", 2)
    unsaid = trainer(configs, data, tmp_path)
    Unsaid.seen[0] = 0
    after(unsaid)
    assert Unsaid.seen[0] == STEPS
    with pytest.warns(UserWarning, match="Unsaid runs in Python .* `recordable = True` in the class Unsaid"):
        train([small_runs.config()], tmp_path, middle())


def test_what_a_strategy_remembers_counts_every_step_once(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(STRATEGIES, "gumbel-softmax", Remembering)
    configs = members("gumbel-softmax", 2)
    expected = after(plain(trainer(configs, data, tmp_path)))
    remembering = trainer(configs, data, tmp_path, warn=pytest.fail)
    got = after(remembering)
    remembering.save()
    assert all(run.step == STEPS for run in remembering.runs)
    assert got["strategy.average"].min() > 1
    assert {name for name, tensor in expected.items() if not got[name].equal(tensor)} == set()
