"""A configuration is stored, compared and hashed as what it is, and says what is wrong with it."""

import dataclasses
import json
import math
from typing import Any

import pytest

from discrete_vae.config import Config
from discrete_vae.data import DataConfig
from discrete_vae.errors import InputError
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES
from discrete_vae.strategies.gumbel_softmax import GumbelSoftmaxOptions
from discrete_vae.tasks import Architecture, CriticConfig, Supervision

ANNEALED = Schedule(1.0, decay=0.97044553, every=1000, unit="step", minimum=0.5)


def with_other_schedules(strategy: str) -> Any:
    """Options of a strategy with every schedule and every other field it can change set to something else."""
    options = STRATEGIES[strategy].Options()
    schedules = {
        item.name: ANNEALED for item in dataclasses.fields(options) if isinstance(getattr(options, item.name), Schedule)
    }
    return dataclasses.replace(options, **schedules)


def elaborate(strategy: str) -> Config:
    """A configuration with every field at another value than its default that has an effect."""
    return Config.fitting(
        strategy=strategy,
        options=with_other_schedules(strategy),
        architecture=Architecture(4, 3, (16, 8), "relu", backbone="conv", channels=(5, 7)),
        data=DataConfig("mnist", "none"),
        likelihood="gaussian-fixed",
        pixel_scale=0.3,
        epochs=3,
        batch_size=128,
        samples=3,
        learning_rate=Schedule(1e-3, decay=0.9, every=2),
        auxiliary_learning_rate=Schedule(2e-3),
        beta=Schedule(0.01, warmup=50),
        precision="bfloat16",
        seed=11,
    )


GRAYSCALE = DataConfig("mnist", "none")
HOSTS: dict[str, dict[str, Any]] = {
    "objective": {"samples": 2},
    "auxiliary_learning_rate": {"strategy": "nvil"},
    "supervision": {"task": "semi-supervised", "architecture": Architecture(latents=1)},
    "score": {"task": "semi-supervised", "architecture": Architecture(latents=1), "keep": "best"},
    "criticism": {"task": "adversarial-vae"},
    "likelihood": {"data": GRAYSCALE},
    "pixel_scale": {"data": GRAYSCALE, "likelihood": "gaussian-fixed"},
}
"""What a field wants beside it, to have an effect."""
CHANGES: dict[str, Any] = {
    "strategy": "target-propagation",
    "options": STRATEGIES["gumbel-softmax"].Options(temperature=Schedule(0.6)),
    "architecture": Architecture(latents=31),
    "data": DataConfig("mnist"),
    "epochs": 51,
    "batch_size": 101,
    "samples": 2,
    "objective": "bound",
    "task": "structured-prediction",
    "optimiser": "sgd",
    "keep": "best",
    "patience": 5,
    "score": "accuracy",
    "weight_decay": Schedule(0.03),
    "learning_rate": Schedule(1e-3),
    "auxiliary_learning_rate": Schedule(1e-3),
    "beta": Schedule(0.5),
    "precision": "bfloat16",
    "seed": 1,
    "supervision": Supervision(alpha=1.0),
    "criticism": CriticConfig(critic_steps=4),
    "likelihood": "gaussian",
    "pixel_scale": 0.2,
}
NESTED = {
    "architecture": [
        Architecture(latents=31),
        Architecture(categories=11),
        Architecture(hidden=(501,)),
        Architecture(hidden=(500, 500)),
        Architecture(activation="relu"),
        Architecture(layers=2),
        Architecture(backbone="conv"),
        Architecture(backbone="conv", channels=(8,)),
        Architecture(backbone="mine:networks"),
    ],
    "data": [DataConfig("mnist"), DataConfig("mnist", "dynamic"), DataConfig("mnist", "stochastic", 1)],
    "learning_rate": [
        Schedule(3e-4, decay=0.9),
        Schedule(3e-4, decay=0.9, every=2),
        Schedule(3e-4, decay=0.9, every=2, unit="step"),
        Schedule(3e-4, decay=0.9, minimum=1e-5),
    ],
}


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("make", [Config, elaborate])
def test_round_trip_through_json(strategy: str, make: Any) -> None:
    config = make(strategy)
    stored = json.dumps(config.to_dict(), allow_nan=False)
    read = Config.from_dict(json.loads(stored))
    assert read == config
    assert read.identity == config.identity
    assert hash(read) == hash(config)
    assert json.dumps(read.to_dict()) == stored


@pytest.mark.parametrize("rate", [1 / 3000, math.pi * 1e-4, 0.00023456789012345678, 0.1 + 0.2])
def test_a_rate_with_all_its_digits_survives(rate: float) -> None:
    """A tuner suggests such numbers; the run could not be opened again if its stored value were another one."""
    config = Config(learning_rate=Schedule(rate, decay=1 - rate, minimum=rate / 3))
    assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_text_that_is_read_by_people_is_short() -> None:
    values = elaborate("gumbel-softmax").to_dict()
    assert values["learning_rate"] == "0.001,decay=0.9,every=2"
    assert values["options"]["temperature"] == "1,decay=0.97044553,every=1000,unit=step,minimum=0.5"
    assert values["architecture"]["hidden"] == [16, 8]


def test_fields_that_are_left_out_are_defaults() -> None:
    assert Config.from_dict({}) == Config()
    assert Config.from_dict({"strategy": "target-propagation", "seed": 4}) == Config("target-propagation", seed=4)


def test_the_values_given_are_not_changed() -> None:
    values = elaborate("gumbel-softmax").to_dict()
    before = json.dumps(values)
    Config.from_dict(values)
    assert json.dumps(values) == before


def test_identities_of_finished_runs_hold() -> None:
    """Pinned: were they to change, every run folder of every user would be lost to its configuration."""
    assert Config().identity == "85972320195c"
    assert Config().name == "gumbel-softmax-85972320195c"
    other = Config(
        "target-propagation",
        architecture=Architecture(4, 3, (16,)),
        beta=Schedule(0.01, warmup=50),
        seed=3,
    )
    assert other.identity == "ff664cb7b710"


def test_runs_of_several_layers_are_other_runs_since_they_share_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluations of a step share the noise behind; with one layer nothing is behind, and no number changed."""
    deep = Config("rebar", architecture=Architecture(4, 3, layers=2))
    flat = Config("rebar", architecture=Architecture(4, 3))
    today = [config.identity for config in (deep, flat)]
    monkeypatch.setattr("discrete_vae.config.config.NESTING", 0)
    before = [dataclasses.replace(config).identity for config in (deep, flat)]
    assert before[0] != today[0]
    assert before[1] == today[1]


def test_a_step_looks_at_a_batch_for_each_update_of_a_generators_critic() -> None:
    made = Config(
        task="generator", data=DataConfig("expressions"), batch_size=20, criticism=CriticConfig(critic_steps=3)
    )
    assert made.step_size == 60
    assert Config(batch_size=20).step_size == 20


def test_identity_does_not_see_explicit_defaults() -> None:
    explicit = Config(
        "gumbel-softmax",
        STRATEGIES["gumbel-softmax"].Options(Schedule(0.5)),
        Architecture(30, 10, (500,), "softplus"),
        DataConfig("binarised-mnist", "threshold", 0),
        50,
        100,
        Schedule(0.0003, decay=1.0),
        Schedule(3e-4),
        Schedule(1),
        "float32",
        0,
    )
    assert explicit == Config()
    assert explicit.identity == Config().identity


def test_the_table_of_changes_has_every_field() -> None:
    assert set(CHANGES) == {item.name for item in dataclasses.fields(Config)}


def test_identity_differs_for_every_field() -> None:
    for name, value in CHANGES.items():
        host = HOSTS.get(name, {})
        assert Config(**{**host, name: value}).identity != Config(**host).identity, name
    changed = [Config(**{name: value}) for name, value in CHANGES.items() if name not in HOSTS]
    changed += [Config(**{name: value}) for name, values in NESTED.items() for value in values]
    distinct = {Config(), *changed}
    assert len({config.identity for config in distinct}) == len(distinct)
    count = len(CHANGES) - len(HOSTS) + sum(map(len, NESTED.values()))
    assert len(distinct) == count - 1, "architecture and data stand in both"


def test_population_key_is_blind_to_seeds_epochs_and_schedules_only() -> None:
    schedules = {"learning_rate", "auxiliary_learning_rate", "beta", "weight_decay", "options"}
    blind = {"seed", "epochs", "patience", *schedules}
    key = Config().population_key

    def same(name: str, value: Any) -> bool:
        host = HOSTS.get(name, {})
        return Config(**{**host, name: value}).population_key == Config(**host).population_key

    assert {name for name, value in CHANGES.items() if same(name, value)} == blind
    assert {Config(learning_rate=value).population_key for value in NESTED["learning_rate"]} == {key}
    for name in ("architecture", "data"):
        keys = {Config(**{name: value}).population_key for value in NESTED[name]}
        assert len(keys | {key}) == len(NESTED[name]) + 1


def test_population_key_sees_options_that_are_no_schedules() -> None:
    options = STRATEGIES["target-propagation"].Options
    learned = [Config("target-propagation", options("network", noise=Schedule(noise))) for noise in (0.1, 0.2)]
    assert learned[0].population_key == learned[1].population_key
    assert learned[0].population_key != Config("target-propagation").population_key


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_population_key_is_shared_by_seeds_of_every_strategy(strategy: str) -> None:
    base = Config(strategy)
    other = base.refitted(seed=5, options=with_other_schedules(strategy))
    assert base.population_key == other.population_key


def test_configurations_are_keys() -> None:
    assert {Config(): 1, Config(seed=0): 2, Config(seed=1): 3} == {Config(): 2, Config(seed=1): 3}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"strategy": "gumble-softmax"}, ["'gumble-softmax'", "did you mean 'gumbel-softmax'?"]),
        ({"strategy": "xyz"}, ["'xyz'", "choose from", *STRATEGIES]),
        ({"options": STRATEGIES["target-propagation"].Options()}, ["TargetPropagationOptions", "GumbelSoftmaxOptions"]),
        ({"options": 0.5}, ["float", "give GumbelSoftmaxOptions"]),
        ({"epochs": 0}, ["epochs is 0", "at least 1"]),
        ({"epochs": -3}, ["epochs is -3", "at least 1"]),
        ({"batch_size": 0}, ["batch size is 0", "1 to 50000"]),
        ({"samples": 0}, ["samples is 0", "at least 1"]),
        ({"batch_size": 50_001}, ["batch size is 50001", "1 to 50000"]),
        ({"precision": "float16"}, ["'float16'", "did you mean 'bfloat16'"]),
        ({"seed": -1}, ["seed is -1", "at least 0"]),
        ({"learning_rate": Schedule(0.0)}, ["learning rate is 0", "above 0"]),
        ({"auxiliary_learning_rate": Schedule(1.0, decay=0.0)}, ["auxiliary learning rate is 1,decay=0", "above 0"]),
    ],
)
def test_errors_are_one_line_with_value_and_remedy(fields: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        Config(**fields)
    message = str(caught.value)
    assert [word for word in words if word not in message] == []
    assert "\n" not in message


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"strategy": "gumble-softmax"}, ["'gumble-softmax'", "did you mean 'gumbel-softmax'?"]),
        ({"batchsize": 1}, ["field of Config 'batchsize'", "did you mean 'batch_size'?"]),
        ({"architecture": {"latent": 3}}, ["field of Architecture 'latent'", "did you mean 'latents'?"]),
        ({"architecture": {"latents": 0}}, ["latents is 0", "at least 1"]),
        ({"architecture": {"categories": 0}}, ["categories is 0", "at least 2"]),
        ({"architecture": {"hidden": [0]}}, ["hidden is (0,)", "at least 1"]),
        ({"architecture": {"activation": "swish"}}, ["'swish'", "choose from softplus"]),
        ({"options": {"temprature": 1}}, ["field of GumbelSoftmaxOptions 'temprature'", "did you mean 'temperature'?"]),
        ({"options": {"temperature": "0"}}, ["temperature is 0", "above 0"]),
        ({"options": {"temperature": "nan"}}, ["initial is nan", "finite number"]),
        ({"options": {"temperature": "warm"}}, ["'warm' cannot be read", "write a number"]),
        ({"options": {"temperature": "1,decai=2"}}, ["'1,decai=2'", "no field 'decai'", "decay"]),
        ({"options": None}, ["options", "None"]),
        ({"architecture": 3}, ["architecture", "3"]),
        ({"epochs": "5"}, ["epochs", "'5'"]),
        ({"epochs": 2.5}, ["epochs", "2.5"]),
        ({"seed": 1.5}, ["seed", "1.5"]),
        ({"batch_size": 99.5}, ["batch size", "99.5"]),
        ({"architecture": {"latents": 2.5}}, ["latents", "2.5"]),
    ],
)
def test_errors_of_stored_values(values: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        Config.from_dict(values)
    message = str(caught.value)
    assert [word for word in words if word not in message] == []
    assert "\n" not in message


@pytest.mark.parametrize("temperature", [0.0, math.nan, math.inf, -1.0])
def test_a_temperature_that_no_softmax_can_have(temperature: float) -> None:
    with pytest.raises(InputError, match=r"above 0|finite number"):
        STRATEGIES["gumbel-softmax"].Options(Schedule(temperature))


def test_a_plain_number_where_a_schedule_belongs() -> None:
    with pytest.raises(InputError, match="learning rate"):
        Config(learning_rate=3e-4)  # type: ignore[arg-type]


def test_learning_rates_may_warm_up_and_temperatures_may_not() -> None:
    warming = Schedule(1e-3, warmup=5)
    assert Config(learning_rate=warming).learning_rate == warming
    with pytest.raises(InputError, match=r"temperature is 0\.001,warmup=5; .*no warmup"):
        GumbelSoftmaxOptions(warming)
