"""Torch's other doors: mapped and compiled functions, autocast, data-parallel processes.

``capabilities.csv`` says of every strategy which of them it passes.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

import discrete_vae.functional as functional
from discrete_vae.conformance.subject import Subject
from discrete_vae.errors import InputError
from discrete_vae.latents.noise import seeded
from discrete_vae.strategies import STRATEGIES, Nvil, Objective, Rebar, ReinMax, Relax, Rloo, ScoreFunction, Strategy
from discrete_vae.strategies.pathwise import Pathwise

LOGITS = torch.randn(6, 2, 3, generator=seeded(0))
WEIGHT = torch.randn(6, generator=seeded(1))
FUNCTIONS = [
    getattr(functional, name.replace("-", "_"))
    for name, kind in STRATEGIES.items()
    if issubclass(kind, Pathwise) and kind.categorical()
]
every_function = pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)


def loss(function: Callable[[Tensor], Tensor], logits: Tensor) -> Tensor:
    return ((function(logits).flatten(-2) @ WEIGHT).tanh() + 1).square().sum()


@every_function
def test_functions_can_be_mapped_and_differentiated(function) -> None:
    """A gradient an example, as per-example clipping and meta-learning take it; the samples are one-hot or inside."""
    expected = LOGITS.clone().requires_grad_()
    torch.manual_seed(1)
    loss(function, expected).backward()

    torch.manual_seed(1)
    whole = torch.func.grad(lambda logits: loss(function, logits))(LOGITS)
    torch.testing.assert_close(whole, expected.grad)
    torch.manual_seed(1)
    jacobian = torch.func.jacrev(lambda logits: function(logits).flatten(-2) @ WEIGHT)(LOGITS)
    assert jacobian.shape == (6, *LOGITS.shape)

    mapped = torch.func.vmap(torch.func.grad(lambda logits: loss(function, logits)), randomness="different")
    # The mean over many draws is that of the plain gradient, if every example has noise of its own.
    many = LOGITS.repeat(400, 1, 1).requires_grad_()
    loss(function, many).backward()
    both = [each.unflatten(0, (400, 6)) for each in (mapped(many.detach()), many.grad)]
    variance = sum(each.var(0) / 400 for each in both)
    error = (both[0].mean(0) - both[1].mean(0)) / variance.sqrt().clamp_min(1e-6)
    assert error.abs().max() < 5


def test_a_mapped_temperature_is_taken_as_it_is() -> None:
    temperatures = torch.linspace(0.2, 2, 6)
    mapped = torch.func.vmap(
        lambda logits, temperature: functional.gumbel_softmax(logits, temperature), randomness="different"
    )(LOGITS, temperatures)
    torch.testing.assert_close(mapped.sum(-1), torch.ones(6, 2))


@every_function
def test_functions_compile_whole(function) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(lambda logits: loss(function, logits), fullgraph=True, backend="aot_eager")
    logits = LOGITS.clone().requires_grad_()
    torch.manual_seed(1)
    compiled(logits).backward()
    assert logits.grad.isfinite().all()
    assert logits.grad.any()


def test_a_temperature_may_be_an_argument_of_a_compiled_function() -> None:
    torch._dynamo.reset()
    compiled = torch.compile(functional.gumbel_softmax, fullgraph=True, backend="aot_eager")
    for temperature in (0.3, 0.7):
        torch.manual_seed(1)
        found = compiled(LOGITS, torch.tensor(temperature))
        torch.manual_seed(1)
        torch.testing.assert_close(found, functional.gumbel_softmax(LOGITS, temperature))


@pytest.mark.parametrize("function", [functional.gumbel_softmax, functional.zgr], ids=lambda each: each.__name__)
def test_one_graph_serves_batches_of_any_size(function) -> None:
    """As the last batch of an epoch has another."""
    torch._dynamo.reset()
    compiled = torch.compile(lambda logits: loss(function, logits), fullgraph=True, backend="aot_eager", dynamic=True)
    for examples in (6, 4, 3):
        logits = LOGITS[:examples].clone().requires_grad_()
        compiled(logits).backward()
        assert logits.grad.isfinite().all()
        assert logits.grad.any()


@pytest.mark.parametrize("strategy", [Rloo(2), ScoreFunction()], ids=lambda each: type(each).__name__)
def test_an_estimate_compiles_for_batches_of_any_size(strategy) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(
        lambda logits: strategy.estimate(logits, lambda z: (z.flatten(-2) @ WEIGHT).tanh()).loss.sum(),
        fullgraph=True,
        backend="aot_eager",
        dynamic=True,
    )
    for examples in (6, 4, 3):
        logits = LOGITS[:examples].clone().requires_grad_()
        compiled(logits).backward()
        assert logits.grad.isfinite().all()
        assert logits.grad.any()


@pytest.mark.parametrize("name", [name for name, kind in STRATEGIES.items() if kind.categorical()])
def test_inference_mode_gives_an_estimate_or_is_told(name) -> None:
    """A validation loop; training goes on after it."""
    subject = Subject.of(STRATEGIES[name])
    problem = subject.problem()
    strategy = subject.strategy(problem)
    with torch.inference_mode():
        if strategy.differentiates:
            with pytest.raises(InputError, match=r"which torch.inference_mode forbids; take torch.no_grad"):
                strategy.estimate(problem.logits, problem.objective(), problem.noise(0))
        else:
            assert strategy.estimate(problem.logits, problem.objective(), problem.noise(0)).loss.isfinite().all()
    with torch.no_grad():
        strategy.estimate(problem.logits, problem.objective(), problem.noise(0))
    problem.learn(strategy, 1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("strategy", [ReinMax(), Rloo(8), Rebar()], ids=lambda each: type(each).__name__)
def test_autocast(strategy, dtype) -> None:
    """A model in half precision, by the usual two lines; weights and gradients stay in float32."""
    torch.manual_seed(0)
    encoder, decoder = nn.Linear(5, 12), nn.Linear(12, 5)
    x = torch.randn(16, 5)
    with torch.autocast("cpu", dtype):
        logits = encoder(x).unflatten(-1, (4, 3))
        assert logits.dtype == dtype
        estimate = strategy.estimate(logits, lambda z: (decoder(z.flatten(-2)) - x).square().sum(-1))
    assert estimate.loss.dtype == torch.float32
    estimate.loss.mean().backward()
    for parameter in (*encoder.parameters(), *decoder.parameters()):
        assert parameter.grad.dtype == torch.float32
        assert parameter.grad.isfinite().all()
        assert parameter.grad.any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64], ids=str)
def test_a_critic_has_the_models_own_precision(dtype) -> None:
    """Where all of a model is cast, ``model.to(dtype)``."""
    strategy = Relax(nn.Linear(6, 1)).to(dtype)
    logits = LOGITS.to(dtype).requires_grad_()
    estimate = strategy.estimate(logits, lambda z: z.flatten(-2) @ WEIGHT.to(dtype))
    (estimate.loss.mean() + estimate.strategy_loss).backward()
    assert logits.grad.dtype == dtype
    for each in (logits, *strategy.parameters()):
        assert each.grad.isfinite().all()


class Model(nn.Module):
    """What is wrapped for data-parallel training: a strategy inside a user's module."""

    def __init__(self, strategy: Strategy) -> None:
        super().__init__()
        self.encoder, self.decoder, self.strategy = nn.Linear(5, 12), nn.Linear(12, 5), strategy

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        objective = Objective(
            decode=lambda z: self.decoder(z.flatten(-2)),
            loss=lambda output: (output - x).square().sum(-1),
            context=x,
        )
        estimate = self.strategy.estimate(self.encoder(x).unflatten(-1, (4, 3)), objective)
        return estimate.loss.mean() + estimate.strategy_loss, estimate.sample


def parallel_step(rank: int, folder: str) -> None:
    """One of two processes: two steps of every kind of strategy; what came of them is stored."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    found = {}
    for name, make in PARALLEL.items():
        torch.manual_seed(0)
        model = DistributedDataParallel(Model(make()))
        torch.manual_seed(1 + rank)  # as for dropout: a seed a process
        optimiser = torch.optim.SGD(model.parameters(), 0.1)
        x = torch.ones(16, 5)
        samples = []
        for _ in range(2):
            loss, sample = model(x)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            samples.append(sample)
        found[name] = {"state": model.module.state_dict(), "sample": torch.stack(samples)}
    torch.save(found, f"{folder}/{rank}")
    dist.destroy_process_group()


PARALLEL: dict[str, Callable[[], Strategy]] = {
    "reinmax": lambda: ReinMax(1.3),
    "rloo": lambda: Rloo(2),
    "rebar": lambda: Rebar(),
    "nvil": lambda: Nvil(nn.Linear(5, 1)),
}


def test_two_processes_have_equal_weights_and_noise_of_their_own(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(parallel_step, (str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / str(rank)) for rank in range(2))
    for name in PARALLEL:
        learned = [key for key in first[name]["state"] if "moving" not in key]
        assert all(first[name]["state"][key].equal(second[name]["state"][key]) for key in learned), name
        assert not first[name]["sample"].equal(second[name]["sample"]), name
