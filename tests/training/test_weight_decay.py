"""Decoupled weight decay: that of torch's AdamW on the weights, nothing on the rest, each member by its own."""

from pathlib import Path

import pytest
import torch

from discrete_vae.backbones import BACKBONES
from discrete_vae.config import Config
from discrete_vae.data.domain import Shape
from discrete_vae.errors import InputError
from discrete_vae.evaluation.population import Population
from discrete_vae.latents.noise import seeded
from discrete_vae.runs import Run
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES
from discrete_vae.tasks import Architecture
from discrete_vae.training import train
from discrete_vae.training.optimiser import weights_of
from discrete_vae.training.step import Trainer
from tests.tiny_images import middle

MIRROR = STRATEGIES["target-propagation"].Options("mirror", geometry="second-order", warmup=300)


def config(decay: str = "0", rate: str = "0.01", **values: object) -> Config:
    data = middle(400, 100).config
    return Config(
        architecture=Architecture(3, 4, (5,)),
        data=data,
        epochs=2,
        learning_rate=Schedule.parse(rate),
        weight_decay=Schedule.parse(decay),
        **values,  # type: ignore[arg-type]
    )


def trainer(tmp_path: Path, *configs: Config) -> Trainer:
    made = Trainer([Run.create(tmp_path, each) for each in configs], middle(400, 100), torch.device("cpu"))
    made.begin_epoch()
    return made


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_a_step_is_that_without_decay_on_shrunk_weights(tmp_path, optimiser) -> None:
    """As in torch's AdamW: the weight first loses its share, and the update, which does not see it, comes on top."""
    plain, decayed = (trainer(tmp_path, config(each, optimiser=optimiser)) for each in ("0", "2"))
    before = {name: each.clone() for name, each in plain.model.named_parameters()}
    for each in (plain, decayed):
        each.advance()
    after = dict(decayed.model.named_parameters())
    for name, each in plain.model.named_parameters():
        lost = 0.0 if name.endswith("bias") else 0.01 * 2 * before[name]
        torch.testing.assert_close(after[name], each - lost, rtol=1e-5, atol=1e-7)


def test_two_steps_are_those_of_adamw() -> None:
    parameter = torch.nn.Parameter(torch.randn(1, 3, 4, generator=seeded(0)))
    other = torch.nn.Parameter(parameter.detach()[0].clone())
    theirs = torch.optim.AdamW([other], lr=0.1, weight_decay=0.5)
    from discrete_vae.training.optimiser import PopulationAdam, decay

    ours = PopulationAdam([parameter], 1, shared_rate=True)
    for step in range(2):
        gradient = torch.randn(3, 4, generator=seeded(1, step))
        decay([parameter], torch.tensor([0.1 * 0.5]))
        ours.step([gradient.unsqueeze(0)], torch.tensor([0.1]))
        other.grad = gradient
        theirs.step()
    torch.testing.assert_close(parameter[0], other)


def test_members_have_their_own_and_it_follows_its_schedule(tmp_path) -> None:
    schedules = ("0", "0.5", "2,decay=0.5", "1,warmup=1")
    together = train([config(each) for each in schedules], tmp_path / "together", middle(400, 100))
    for run, text in zip(together, schedules, strict=True):
        (alone,) = train([config(text)], tmp_path / text, middle(400, 100))
        torch.testing.assert_close(*(Population.load([each], torch.device("cpu")).state() for each in (run, alone)))
    histories = [run.history()["value"].tolist() for run in together]
    assert all(one != other for i, one in enumerate(histories) for other in histories[:i])


def test_a_mirror_loses_what_its_layers_lose(tmp_path) -> None:
    values = {"strategy": "target-propagation", "options": MIRROR, "auxiliary_learning_rate": Schedule(0.01)}
    made = trainer(tmp_path, config("5", **values))
    for _ in range(4):
        made.advance()
    for layer, weight in zip(made.model.decoder.layers, made.strategy.inverse.weights("decoder"), strict=True):
        assert (layer.weight - weight).norm() < 0.02 * weight.norm()


def test_a_strategys_own_networks_lose_nothing(tmp_path) -> None:
    plain, decayed = (trainer(tmp_path, config(each, strategy="nvil")) for each in ("0", "5"))
    for each in (plain, decayed):
        each.advance()
    for one, other in zip(plain.strategy.parameters(), decayed.strategy.parameters(), strict=True):
        assert one.equal(other)


@pytest.mark.parametrize("name", list(BACKBONES))
def test_weights_are_all_but_biases_and_scales(name) -> None:
    widths = Architecture(2, 3, (5,), channels=(3,), backbone=name)
    network = BACKBONES[name].encoder(Shape(28, 28, 1), 6, widths, [seeded(0), seeded(1)])
    found = {id(each) for each in weights_of(network)}
    for parameter, tensor in network.named_parameters():
        assert (id(tensor) in found) == (parameter.endswith("weight") and tensor.dim() > 2), parameter
    assert found


def test_a_weight_cannot_lose_more_than_itself() -> None:
    with pytest.raises(InputError, match=r"weight decay is 200, at learning rate 0\.01"):
        config("200")


@pytest.mark.parametrize(
    ("decay", "rate"),
    [("0,decay=2,minimum=200", "0.01"), ("0.5,decay=1000,unit=run", "0.01"), ("50,decay=50", "0.01,decay=100")],
)
def test_nor_at_any_time_of_the_run(decay, rate) -> None:
    with pytest.raises(InputError, match="times itself at a step; give less, such as"):
        config(decay, rate)


def test_nor_at_a_few_steps_of_a_long_run() -> None:
    """At the last ten steps of the first epoch of a hundred."""
    rate, decay = "0.01,decay=1e-9", "0.1,decay=1.0142,unit=step"
    with pytest.raises(InputError, match=r"would lose 1\.1"):
        Config(epochs=100, learning_rate=Schedule.parse(rate), weight_decay=Schedule.parse(decay))


def test_a_decay_that_is_its_minimum_is_allowed_however_long_the_run() -> None:
    """Its initial value of 0 grows by factors that are beyond all numbers at the end."""
    made = Config(epochs=1200, weight_decay=Schedule.parse("0,decay=2,minimum=0.03"))
    assert made.largest_loss == pytest.approx(0.03 * made.learning_rate.initial)


def test_the_identity_of_runs_without_stays() -> None:
    assert "weight_decay" not in config().changes
    assert config("0.03").changes["weight_decay"] == "0.03"
    assert config("0.03").population_key == config().population_key
