"""An option that a configuration accepts changes what is trained, and one that it refuses would not.

Every option of every task and strategy is tried on a small model: three steps with it at another value.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from discrete_vae.config import Config, defaults, relevance
from discrete_vae.config.relevance import Option
from discrete_vae.data import DataConfig, Dataset, load
from discrete_vae.errors import InputError
from discrete_vae.runs import Run
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES
from discrete_vae.strategies.target_propagation import TargetPropagationOptions
from discrete_vae.strategies.target_propagation.options import INVERSES
from discrete_vae.tasks import TASKS, Architecture, CriticConfig, Supervision
from discrete_vae.training.step import Trainer

KINDS = ("gumbel-softmax", "softmax", "nvil", "gaussian-reparameterisation", "auto-encoder", "backpropagation")
"""One strategy of each kind: with noise, without, with parameters of its own, and of the other latents."""
SHAPES: dict[str, dict[str, Any]] = {
    "semi-supervised": {"latents": 1, "categories": 10},
    "labels-alone": {"latents": 1, "categories": 10},
}
DATA = {"generator": "expressions", "critic": "8-gaussians"}
OTHERS: dict[str, Any] = {
    "hidden": (7,),
    "activation": "relu",
    "initialisation": "fan-in",
    "optimiser": "sgd",
    "labelled": 20,
    "latents": 4,
    "categories": 5,
    "critic_learning_rate": 0.02,
    "critic_optimiser": "adam-0.5-0.9",
    "backbone": "conv",
    "normalisation": "layer",
    "channels": (3,),
    "likelihood": "gaussian",
    "objective": "bound",
    "weight_decay": Schedule(20.0),
}
"""Other values for options where a step up from the base's will not do."""
CHECK = relevance.check
TRIED = sorted(relevance.OPTIONAL - {"keep", "patience", "score"})
"""What is kept makes no difference to training, nor does patience before it ends."""
UNREAD = {("critic", "weight_decay")}
"""These move weights that have no part in what is trained."""
BOUNDED = {("muprop", "normalise"), ("darn-baseline", "normalise")}
"""These divide by a deviation where it is above 1, which that of so small a model's signal is not."""


@cache
def images(data: DataConfig) -> Dataset:
    return load(data)


def base(task: str, strategy: str, options: Any = None) -> Config:
    """A small model. Raises ``InputError`` where a task cannot be trained by a strategy."""
    shape = {
        "latents": 3,
        "categories": STRATEGIES[strategy].categories or 4,
        "hidden": (6,),
        "style": 3,
    } | SHAPES.get(task, {})
    return Config.fitting(
        strategy=strategy,
        options=options,
        task=task,
        architecture=Architecture(**shape),
        data=DataConfig(DATA.get(task, "binarised-mnist")),  # type: ignore[arg-type]
        supervision=Supervision(labelled=10),
        criticism=CriticConfig(critic_steps=2),
        learning_rate=Schedule(0.01),
        batch_size=12,
        epochs=2,
    )


def changed(option: Option) -> Any:
    """Another value than the option's."""
    value = option.value
    if option.name in OTHERS:
        return OTHERS[option.name]
    if isinstance(value, Schedule):
        return dataclasses.replace(value, initial=1.7 * value.initial)
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else 0.5 * value + 0.2


def with_value(config: Config, option: Option) -> dict[str, Any]:
    """The fields of a configuration with another value for an option, whether or not it may be."""
    values, value = dict(vars(config)), changed(option)
    if option.part is None:
        return values | {option.name: value}
    others = {"gradient_penalty": 0.0} if option.name == "weight_clip" else {}
    return values | {option.part: dataclasses.replace(values[option.part], **{option.name: value}, **others)}


def trained(config: Config) -> dict[str, Tensor]:
    """The model, and what is trained against it, after three steps."""
    trainer = Trainer([Run(Path(), config)], images(config.data), torch.device("cpu"))
    trainer.begin_epoch()
    for _ in range(3):
        trainer.advance()
        trainer.step += 1
    return {name: tensor for name, tensor in trainer.population.state().items() if name.startswith("model.")}


def alike(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Whether two models are the same but for rounding."""
    return one.keys() == other.keys() and all(
        one[name].shape == other[name].shape and torch.allclose(one[name], other[name], rtol=1e-4, atol=1e-6)
        for name in one
    )


@pytest.fixture
def lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Configurations take every option, and steps are not recorded, which takes longer than three of them."""
    monkeypatch.setattr(relevance, "check", lambda values, plain: None)
    monkeypatch.setattr(Trainer, "_captured", lambda self, function: partial(function, noise=self.noise))


def outcomes(config: Config, names: list[str]) -> Iterator[tuple[str, bool, bool]]:
    """Each option's name, whether the configuration refuses another value as idle, and whether that is so."""
    start = trained(config)
    plain = defaults(config.strategy)
    for option in relevance.options(vars(config), plain):
        if option.name not in names:
            continue
        try:
            values = with_value(config, option)
            result = trained(Config(**values))
        except InputError:
            continue  # refused for another reason
        refused = False
        try:
            CHECK(values, plain)
        except InputError:
            refused = True
        yield option.name, refused, alike(result, start)


@pytest.mark.usefixtures("lenient")
@pytest.mark.parametrize("task", TASKS)
def test_options_of_a_task(task: str) -> None:
    seen: set[str] = set()
    for strategy in KINDS if TASKS[task].stand_in is None else [TASKS[task].stand_in]:
        try:
            config = base(task, strategy)
        except InputError:
            continue
        for name, refused, idle in outcomes(config, TRIED):
            assert refused == idle or (task, name) in UNREAD, (strategy, name)
            seen.add(name)
    assert len(seen) >= 15, "those left out are refused for other reasons"


@pytest.mark.usefixtures("lenient")
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_options_of_a_strategy(strategy: str) -> None:
    """Its own, and the auxiliary learning rate and the samples, beside the defaults of the others."""
    config = base("vae", strategy)
    own = [name for name, value in vars(config.options).items() if not isinstance(value, str)]
    for name, refused, idle in outcomes(config, [*own, "auxiliary_learning_rate", "samples", "categories", "beta"]):
        assert refused == idle or (strategy, name) in BOUNDED, name


GEOMETRIES = ("euclidean", "second-order")
NUMBERS = ["noise", "output_noise", "step", "temperature", "feedback_steps", "warmup", "auxiliary_learning_rate"]


@pytest.mark.usefixtures("lenient")
@pytest.mark.parametrize(("inverse", "geometry"), product(INVERSES, GEOMETRIES))
def test_options_of_target_propagation(inverse: Any, geometry: Any) -> None:
    """Every inverse and geometry reads its own."""
    options = TargetPropagationOptions(inverse=inverse, geometry=geometry)
    values = vars(base("vae", "target-propagation")) | {"options": options}
    rates = {"auxiliary_learning_rate": values["learning_rate"]} if inverse == "mirror" else {}
    for name, refused, idle in outcomes(Config.fitting(**values | rates), NUMBERS):
        assert refused == idle, name


def test_a_remedy_names_the_tasks_that_read_an_option() -> None:
    message = "alpha is 3.0, which has no effect with task vae; leave it at 10.0, or give task semi-supervised$"
    with pytest.raises(InputError, match=message):
        Config(supervision=Supervision(alpha=3.0))


def test_a_strategy_without_a_part_in_a_task() -> None:
    few = Architecture(latents=1)
    with pytest.raises(InputError, match="reinmax, which has no part in labels-alone; give gumbel-softmax"):
        Config("reinmax", task="labels-alone", architecture=few)
    options = STRATEGIES["gumbel-softmax"].Options(Schedule(0.7))
    with pytest.raises(InputError, match=r"temperature is 0.7, which has no effect with task labels-alone"):
        Config(options=options, task="labels-alone", architecture=few)


def test_an_activation_without_a_layer_to_follow() -> None:
    with pytest.raises(InputError, match="activation is relu, which has no effect with a network without hidden"):
        Config(architecture=Architecture(hidden=(), activation="relu"))


@pytest.mark.parametrize("strategy", ["gumbel-softmax", "nvil", "auto-encoder"])
def test_what_fits_leaves_the_rest_out(strategy: str) -> None:
    shared = {
        "auxiliary_learning_rate": Schedule(0.01),
        "beta": Schedule(0.5),
        "criticism": CriticConfig(critic_steps=9),
    }
    fitted = Config.fitting(strategy=strategy, **shared)
    assert fitted.criticism == CriticConfig()
    assert fitted.auxiliary_learning_rate == Schedule(0.01 if strategy == "nvil" else 3e-4)
    assert fitted.beta == Schedule(1.0 if strategy == "auto-encoder" else 0.5)
    assert Config(strategy=strategy).refitted(**shared) == fitted
