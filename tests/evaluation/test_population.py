"""A population is its members side by side: built, saved, restored and scheduled each on its own."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from discrete_vae.config import Config
from discrete_vae.errors import InputError
from discrete_vae.evaluation.population import SCHEDULED, Population
from discrete_vae.runs import Run, checkpoints
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES
from discrete_vae.tasks import Architecture
from tests.tiny_images import described

DATA = described(3, 4)
CPU = torch.device("cpu")
LEARNED = "target-propagation", STRATEGIES["target-propagation"].Options("network")
CASES: dict[str, tuple[str, Any]] = {**{name: (name, None) for name in STRATEGIES}, "learned inverse": LEARNED}
CASES["layer-local mirror"] = (
    "target-propagation",
    STRATEGIES["target-propagation"].Options("mirror", geometry="second-order", local=True),
)


def config(strategy: str = "gumbel-softmax", options: Any = None, **fields: Any) -> Config:
    if getattr(options, "inverse", None) == "mirror":
        fields["auxiliary_learning_rate"] = fields.get("learning_rate", Schedule(3e-4))
    return Config.fitting(
        strategy, options, architecture=Architecture(4, 3, (8, 6)), data=DATA, batch_size=1000, **fields
    )


def build(*configs: Config) -> Population:
    return Population.build(configs, CPU)


def annealed(initial: float, decay: float = 1.0) -> Any:
    return STRATEGIES["gumbel-softmax"].Options(Schedule(initial, decay=decay))


def save(folder: Path, config: Config, step: int, population: Population, member: int) -> Run:
    run = Run.create(folder, config)
    tensors = {name: tensor[member] for name, tensor in population.state().items()}
    checkpoints.write(run.folder, step, config.identity, tensors)
    return run


@pytest.mark.parametrize("shape", [(), (1,), (3, 2)])
def test_a_strategys_buffers_have_an_axis_for_the_members(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Counted(STRATEGIES["straight-through"]):  # type: ignore[misc]
        def __init__(self, temperature: float | Tensor = 1.0) -> None:
            super().__init__(temperature)
            self.register_buffer("calls", torch.zeros(shape))

    monkeypatch.setitem(STRATEGIES, "straight-through", Counted)
    found = re.escape(str(list(shape)))
    with pytest.raises(InputError, match=rf"strategy.calls of straight-through has shape {found}; .* networks.members"):
        build(config("straight-through"), config("straight-through", seed=1))


@pytest.mark.parametrize("case", CASES)
def test_first_weights_are_the_seeds_whoever_stands_beside(case: str) -> None:
    configs = [config(*CASES[case], seed=seed, learning_rate=Schedule(1e-3 * (1 + seed))) for seed in range(5)]
    together = build(*configs).state()
    assert all(tensor.shape[0] == 5 for tensor in together.values())
    for p, each in enumerate(configs):
        alone = build(each).state()
        assert alone.keys() == together.keys()
        assert all(torch.equal(alone[name][0], together[name][p]) for name in alone)
    for name, tensor in together.items():
        if tensor.dim() == 3 and name.endswith("weight"):
            assert len(torch.unique(tensor.flatten(1), dim=0)) == 5, "every seed has weights of its own"


def test_the_strategys_weights_are_not_the_encoders() -> None:
    state = build(config(*LEARNED)).state()
    shared = [name for name in state if name.startswith("strategy.inverse") and name.endswith("weight")]
    assert len(shared) == 3
    for name in shared:
        twin = state[name.replace("strategy.inverse.network", "model.encoder")]
        assert twin.shape == state[name].shape
        assert not torch.equal(twin, state[name])


def test_the_first_weights_do_not_depend_on_the_strategy() -> None:
    """Strategies are compared from the same start."""
    hidden = [
        build(config(name)).state()["model.encoder.network.layers.0.weight"] for name in CASES if name in STRATEGIES
    ]
    assert all(torch.equal(hidden[0], each) for each in hidden)


def test_members_that_differ_in_more_are_refused() -> None:
    with pytest.raises(InputError, match="may differ in seeds, schedules and epochs only; train the others apart"):
        build(config(), config("target-propagation"))


def test_schedules_have_a_column_a_member() -> None:
    population = build(config(options=annealed(0.7)), config(options=annealed(1.0, decay=0.5), seed=1))
    table = population.schedules(first_step=49, steps=3, steps_per_epoch=50)
    assert table.shape == (3, len(SCHEDULED) + 1, 2)
    torch.testing.assert_close(table[:, -1], torch.tensor([[0.7, 1.0], [0.7, 0.5], [0.7, 0.5]]))
    torch.testing.assert_close(table[:, SCHEDULED.index("learning_rate")], torch.full((3, 2), 3e-4))


def test_schedules_over_a_run_have_each_members_length() -> None:
    """Two epochs and four, of ten steps: the temperature falls to a quarter over all of them."""
    falling = STRATEGIES["gumbel-softmax"].Options(Schedule(1, decay=0.25, unit="run"))
    population = build(*[config(options=falling, seed=seed, epochs=2 + 2 * seed) for seed in range(2)])
    table = population.schedules(first_step=0, steps=41, steps_per_epoch=10)[:, -1]
    assert table[10].tolist() == pytest.approx([0.5, 0.25**0.25])
    assert table[20].tolist() == pytest.approx([0.25, 0.5])
    assert table[40].tolist() == pytest.approx([0.25, 0.25])


def test_strategies_of_all_layers_follow_their_schedules() -> None:
    deep = Config("gumbel-softmax", annealed(0.7), Architecture(4, 3, (8,), layers=3), DATA)
    population = build(deep, replace(deep, options=annealed(0.2), seed=1))
    population.follow(population.schedules(0, 1, 50)[0])
    for strategy in population.layer_strategies:
        assert strategy.temperature.tolist() == pytest.approx([0.7, 0.2])


def test_strategies_of_deeper_layers_have_networks_of_their_own() -> None:
    """A baseline behind looks at the sample before, and no two layers start from the same weights."""
    deep = Architecture(4, 3, (8,), layers=3)
    state = build(Config("nvil", architecture=deep, data=described(4, 5))).state()
    inputs = [state[f"strategy{layer}.baseline.layers.0.weight"].shape[1] for layer in ("", 1, 2)]
    assert inputs == [20, 12, 12]
    state = build(Config("relax", architecture=deep, data=DATA)).state()
    first = [state[f"strategy{layer}.critic.layers.0.weight"] for layer in ("", 1, 2)]
    assert len(torch.stack(first).flatten(1).unique(dim=0)) == 3


def test_a_models_own_parameters_are_all_but_its_critics() -> None:
    model = build(Config("reinmax", task="adversarial-vae", architecture=Architecture(4, 3, (8,)), data=DATA)).model
    own, critic = (set(map(id, each)) for each in (model.own_parameters(), model.critic.parameters()))
    assert critic
    assert not own & critic
    assert own | critic == set(map(id, model.parameters()))


def test_state_has_no_schedules_and_is_not_a_copy() -> None:
    population = build(config(), config(seed=1))
    state = population.state()
    assert not any("temperature" in name for name in state)
    state["model.decoder.layers.0.bias"].fill_(3.0)
    assert (population.model.decoder.layers[0].bias == 3.0).all()


@pytest.mark.parametrize("case", CASES)
def test_load_gives_each_member_its_own_checkpoint(tmp_path: Path, case: str) -> None:
    configs = [config(*CASES[case], seed=seed) for seed in range(3)]
    saved = build(*[replace(each, seed=each.seed + 10) for each in configs])
    for p, each in enumerate(configs):
        save(tmp_path, each, 50, build(each), 0)  # an older one, which is not read
        save(tmp_path, each, 100, saved, p)
    runs = [Run.open(tmp_path / configs[p].name) for p in (2, 0)]
    state = Population.load(runs, CPU).state()
    for name, tensor in saved.state().items():
        assert torch.equal(state[name], tensor[[2, 0]])


def test_load_names_the_run_without_a_checkpoint(tmp_path: Path) -> None:
    done = save(tmp_path, config(), 50, build(config()), 0)
    fresh = Run.create(tmp_path, config(seed=1))
    with pytest.raises(InputError, match="has no checkpoint yet; train it first") as caught:
        Population.load([done, fresh], CPU)
    assert str(fresh.folder) in str(caught.value)


def temperatures(runs: list[Run]) -> Tensor:
    strategy: Any = Population.load(runs, CPU).strategy
    temperature: Tensor = strategy.temperature
    return temperature


def test_load_sets_each_members_temperature_by_its_own_step(tmp_path: Path) -> None:
    """Whoever is loaded beside it: an evaluation must not depend on its company."""
    configs = [config(options=annealed(1.0 + seed, decay=0.5), seed=seed) for seed in range(2)]
    runs = [save(tmp_path, each, 50 * (1 + 2 * each.seed), build(each), 0) for each in configs]
    alone = torch.cat([temperatures([run]) for run in runs])
    assert alone.tolist() == [0.5, 0.25]
    assert temperatures(runs).tolist() == alone.tolist()


Change = Callable[[dict[str, Tensor]], object]
WEIGHT = "model.encoder.network.layers.0.weight"


def to(name: str, change: Callable[[Tensor], Tensor]) -> Change:
    return lambda tensors: tensors.update({name: change(tensors[name])})


MISFITS: dict[str, tuple[Change, str]] = {
    "missing": (lambda tensors: tensors.pop(WEIGHT), "is absent, not float32 [12, 8]"),
    "surplus": (lambda tensors: tensors.update(other=torch.ones(2)), "'other' is float32 [2], not absent"),
    "of the model": (
        lambda tensors: tensors.update({"model.x": torch.ones(())}),
        "'model.x' is float32 [], not absent",
    ),
    "scalar": (to(WEIGHT, lambda tensor: torch.tensor(1.0)), "is float32 [], not float32 [12, 8]"),
    "turned": (to(WEIGHT, lambda tensor: tensor.T), "is float32 [8, 12], not float32 [12, 8]"),
    "row": (to(WEIGHT, lambda tensor: tensor[:1]), "is float32 [1, 8], not float32 [12, 8]"),
    "complex": (to(WEIGHT, lambda tensor: tensor.to(torch.complex64)), "is complex64 [12, 8], not float32 [12, 8]"),
    "double": (to(WEIGHT, Tensor.double), "is float64 [12, 8], not float32 [12, 8]"),
    "bfloat16": (to(WEIGHT, Tensor.bfloat16), "is bfloat16 [12, 8], not float32 [12, 8]"),
    "whole": (to(WEIGHT, Tensor.int), "is int32 [12, 8], not float32 [12, 8]"),
    "not finite": (to(WEIGHT, lambda tensor: tensor / 0), "is not finite"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_a_checkpoint_of_other_tensors_is_refused(tmp_path: Path, case: str) -> None:
    """Its hash is right, but what it holds is not what the model takes: a scalar would be spread over a weight."""
    change, message = MISFITS[case]
    run = Run.create(tmp_path, config())
    tensors = {name: tensor[0] for name, tensor in build(config()).state().items()}
    tensors |= {"sums": torch.zeros(3), "adam.model.0.first": torch.zeros(1), "noise": torch.zeros(1)}
    checkpoints.write(run.folder, 1, run.config.identity, tensors)
    Population.load([run], CPU)
    change(tensors)
    checkpoints.write(run.folder, 1, run.config.identity, tensors)
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        Population.load([run], CPU)
    assert str(checkpoints.path_of(run.folder, 1)) in str(caught.value)
    assert "delete this file" in str(caught.value)
