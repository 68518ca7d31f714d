"""Tasks with a critic, from a configuration to scored runs: turns, independence, resume, what is shown and refused."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from discrete_vae.backbones.layers import Convolution, TransposedConvolution
from discrete_vae.backbones.stack import layered
from discrete_vae.cli import command as cli
from discrete_vae.config import Config
from discrete_vae.data import DataConfig, Dataset, Split, load
from discrete_vae.data.domain import Shape
from discrete_vae.errors import InputError
from discrete_vae.evaluation import classifier, evaluate_population
from discrete_vae.evaluation.diagnostics import diagnose
from discrete_vae.evaluation.population import Population
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.runs.run import Run
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES, ReinMax, Strategy, TargetPropagation
from discrete_vae.strategies.target_propagation import WeightMirror
from discrete_vae.tasks import Architecture, CriticConfig
from discrete_vae.training import never, train
from discrete_vae.training.step import Trainer
from tests.tiny_images import middle
from tests.training.small_runs import distance, weights

EXPRESSIONS, POINTS = DataConfig("expressions"), DataConfig("8-gaussians")
SMALL = Architecture(4, 3, (16,), activation="relu", style=3)
CASES: dict[str, dict[str, Any]] = {
    "strings": {"task": "generator", "data": EXPRESSIONS, "strategy": "straight-through-gumbel-softmax"},
    "strings, relaxed": {"task": "generator", "data": EXPRESSIONS, "strategy": "softmax"},
    "strings, convolutions": {
        "task": "generator",
        "data": EXPRESSIONS,
        "strategy": "softmax",
        "optimiser": "adam-0.5-0.9",
        "architecture": Architecture(hidden=(), activation="relu", style=3, backbone="isotropic", channels=(4, 4)),
        "criticism": CriticConfig(critic_steps=2, critic_optimiser="adam-0.5-0.9"),
    },
    "strings, score function": {"task": "generator", "data": EXPRESSIONS, "strategy": "nvil"},
    "images": {"task": "generator", "strategy": "reinmax"},
    "images, convolutions": {
        "task": "generator",
        "strategy": "straight-through",
        "architecture": Architecture(
            hidden=(8,), activation="relu", style=3, backbone="conv", channels=(4,), normalisation="layer"
        ),
    },
    "points": {"task": "generator", "data": POINTS, "strategy": "backpropagation"},
    "clipped": {
        "task": "critic",
        "data": POINTS,
        "strategy": "backpropagation",
        "criticism": CriticConfig(gradient_penalty=0.0, weight_clip=0.1, critic_steps=2),
    },
    "regularised": {"task": "adversarial-vae", "strategy": "gumbel-softmax", "beta": Schedule(5.0)},
}
STEPS = 20


def of(case: str) -> Dataset:
    """Data that are made as they are; of images the middle 6 x 6 pixels."""
    return load(CASES[case]["data"]) if "data" in CASES[case] else middle()


@pytest.fixture(autouse=True)
def _short_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "steps_per_epoch", STEPS)


def config(case: str, **fields: Any) -> Config:
    values = {"architecture": SMALL, "batch_size": 16, "learning_rate": Schedule(1e-3), "optimiser": "adam-0-0.9"}
    values["data"] = middle().config
    return Config.fitting(**{**values, **CASES[case], **fields})


def trainer(case: str, members: int = 1, **fields: Any) -> Trainer:
    runs = [Run(Path(), config(case, seed=seed)) for seed in range(members)]  # nothing is written
    made = Trainer(runs, of(case), torch.device("cpu"), warn=pytest.fail, **fields)
    made.begin_epoch()
    return made


@pytest.mark.parametrize("case", CASES)
def test_a_run_that_stopped_goes_on_to_the_same_bits(tmp_path: Path, case: str) -> None:
    own, data = config(case, epochs=3), of(case)
    (whole,) = train([own], tmp_path / "whole", data)
    train([own], tmp_path / "stopped", data, prune=lambda epoch, metrics: [each for each in metrics if epoch >= 1])
    (stopped,) = train([own], tmp_path / "stopped", data, prune=never)
    one, other = weights(whole), weights(stopped)
    assert one.keys() == other.keys()
    assert {name for name in one if not torch.equal(one[name], other[name])} == set()
    assert whole.history().equals(stopped.history())
    assert len(stopped.sessions()) == 2


@pytest.mark.parametrize("case", CASES)
def test_a_run_does_not_depend_on_who_is_beside(tmp_path: Path, case: str) -> None:
    own, data = config(case, epochs=1, seed=7), of(case)
    (alone,) = train([own], tmp_path / "alone", data)
    other, beside = train([replace(own, seed=1), own], tmp_path / "beside", data)
    assert distance(alone, beside) < 0.02, "what the order of a float32 sum may change in 20 steps"
    assert distance(alone, other) > 0.1


@pytest.mark.parametrize("case", CASES)
def test_recorded_and_captured_steps_have_the_bits_of_plain_ones(case: str) -> None:
    """As the strategies' own in ``test_capture``: on a processor each update is recorded, on a GPU the whole step."""
    plain, recorded, captured = (trainer(case, 2, record_after=0) for _ in range(3))
    for each in (plain, captured):
        each.differentiate = partial(each.gradients, noise=each.noise)
        each.game.differentiate = partial(each.game.gradients, noise=each.noise)
    for _ in range(4):
        plain._update()
        recorded._update()

    def step() -> tuple[()]:
        captured._update()
        return ()

    graph = make_fx(step)()  # runs the first step
    with torch.no_grad():
        for _ in range(3):
            graph()
    expected = plain.state()
    for got in (recorded.state(), captured.state()):
        assert {name for name, tensor in expected.items() if not got[name].equal(tensor)} == set()


@pytest.mark.parametrize("case", CASES)
def test_critic_and_model_take_turns(case: str) -> None:
    """So many updates of the critic for each of the model's, on other data and noise each; neither moves the other."""
    made = trainer(case)
    steps = made.config.criticism.critic_steps
    critic = list(made.model.critic.parameters())
    own = made.model.own_parameters()
    assert len(critic) + len(own) == len(list(made.model.parameters()))
    seen, moved, criticise, differentiate = [], [], made.game.differentiate, made.differentiate
    assert all(each.gt(0).any() for each in [made.game.rates])

    def snapshot(parameters: list[Any]) -> list[Tensor]:
        return [parameter.detach().clone() for parameter in parameters]

    def criticised(observation: Tensor, values: Tensor) -> Any:
        seen.append(observation.clone())
        moved.append(("critic", snapshot(critic), snapshot(own)))
        return criticise(observation, values)

    def differentiated(observation: Tensor, values: Tensor) -> Any:
        moved.append(("model", snapshot(critic), snapshot(own)))
        return differentiate(observation, values)

    made.game.differentiate, made.differentiate = criticised, differentiated
    made._update()
    assert [name for name, *_ in moved] == ["critic"] * steps + ["model"]
    for (_, critic_before, own_before), (_, critic_after, own_after) in itertools.pairwise(moved):
        assert any(not one.equal(other) for one, other in zip(critic_before, critic_after, strict=True))
        assert all(one.equal(other) for one, other in zip(own_before, own_after, strict=True))
    assert all(one.equal(other) for one, other in zip(moved[-1][1], critic, strict=True)), (
        "the last turn is the model's"
    )
    assert any(not one.equal(other) for one, other in zip(moved[-1][2], own, strict=True)) == (case != "clipped")
    if case != "regularised":  # whose critic sees the step's own images again, by other noise
        assert not any(one.equal(other) for one, other in itertools.pairwise(seen))


def test_clipping_holds_the_weights() -> None:
    made = trainer("clipped")
    for _ in range(3):
        made._update()
    largest = max(parameter.abs().max().item() for parameter in made.model.critic.parameters())
    assert largest == pytest.approx(0.1)


def test_a_critic_is_not_cut() -> None:
    """For its own updates go through all of its layers."""
    options = STRATEGIES["target-propagation"].Options("mirror", geometry="second-order", local=True)
    rate = Schedule(1e-3)
    local = config("strings", strategy="target-propagation", options=options, auxiliary_learning_rate=rate)
    with pytest.raises(InputError, match="no layer-local training"):
        Trainer([Run(Path(), local)], of("strings"), torch.device("cpu"))


def test_the_distance_is_of_the_samples_that_the_model_is_trained_by(tmp_path: Path) -> None:
    """A critic with hand-made weights that counts the first symbol of the first variable."""
    made = trainer("strings")
    model = made.model
    with torch.no_grad():
        for parameter in model.critic.parameters():
            parameter.zero_()
        first, last = model.critic.layers
        first.weight[0, 0, 0] = last.weight[0, 0, 0] = 1.0
    observation = model.train_batch(made.data.train, made.order[0], made.generators)
    (seen, *_), own = model.critic_batches(observation)
    distance = float(model.critic_loss(made.population.layer_strategies, seen, made.noise)[0, 1])
    real = float((seen[0, :, 0] == 0).double().mean())
    fakes = torch.distributions.Categorical(logits=model.encode(seen)[0, :, 0])
    # 16 draws: within four standard errors of the probability that the generator gives this symbol.
    expected, error = float(fakes.probs[:, 0].mean()), 4 * 0.5 / 4
    assert abs(real - distance - expected) < error
    assert own.shape[-2] == 16
    objective = model.objective(own)
    sample = torch.zeros(1, 16, *model.family.sample_shape)
    sample[0, :4, 0, 0] = 1.0
    assert objective(sample).tolist() == [[-1.0] * 4 + [0.0] * 12], "the cost is minus what the critic says"


KEPT = ("critic_loss", "wasserstein")
"""What is kept of a critic's training, and shown."""


class Told:
    def __init__(self) -> None:
        self.updates: list[Mapping[str, float]] = []

    def start(self, label: str, total: int, done: int) -> None: ...
    def message(self, text: str) -> None: ...

    def update(self, done: int, numbers: Mapping[str, float]) -> None:
        self.updates.append(numbers)


def test_the_critics_loss_is_shown_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "steps_per_epoch", 25)
    told = Told()
    (run,) = train([config("strings", epochs=2)], tmp_path, of("strings"), progress=told)
    history = run.history().set_index(["split", "metric", "epoch"])["value"]
    expected = [{name.replace("_", " "): history["train", name, epoch] for name in KEPT} for epoch in (1, 2)]
    assert told.updates == [pytest.approx(each) for each in expected]
    assert set(run.history().query("split == 'train'")["metric"]) == {"loss", *KEPT}
    shown = {"wasserstein", "valid", "unique", "novel", "valid_argmax", "unique_argmax", "js_1", "js_2", "js_3", "js_4"}
    assert set(run.history().query("split == 'validation'")["metric"]) == shown


def test_strings_are_scored_by_hard_samples_beside_the_held_out_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """And by each draw's likeliest symbols; the training strings are those that a new one must not repeat."""
    seen: list[tuple[Tensor, ...]] = []

    class Scores:
        def scores(self, sample: Tensor, real: Tensor, training: Tensor) -> dict[str, float]:
            seen.append((sample, real, training))
            return {"valid": 0.25}

        def shares(self, mode: Tensor) -> dict[str, float]:
            seen.append((mode,))
            return {"valid": 0.75}

    made, data = trainer("strings"), of("strings")
    data = replace(data, test=replace(data.test, pixels=data.test.pixels[:50]))
    monkeypatch.setattr(type(made.model), "_judge", lambda self, data: Scores())
    encoded: list[Tensor] = []
    encode = type(made.model).encode
    monkeypatch.setattr(
        type(made.model), "encode", lambda self, images: encoded.append(encode(self, images)) or encoded[-1]
    )
    with torch.no_grad():
        found = made.model.evaluate_samples(made.strategy, data, "test", Noise([seeded(1)]), lambda count: None)
    (sample, real, training), (mode,) = seen
    assert mode.equal(encoded[-1].argmax(-1)[0])
    assert sample.shape == mode.shape
    assert not sample.equal(mode)
    assert real.equal(data.test.pixels)
    assert training.equal(data.train.pixels)
    assert (found["valid"], found["valid_argmax"]) == (0.25, 0.75)


def test_a_convolutional_generator_meets_a_convolutional_critic() -> None:
    """The critic takes the two categories of a pixel as channels; both normalise, and have no slopes by layer."""
    model = trainer("images, convolutions").model
    generator, critic = model.encoder.network, model.critic
    assert isinstance(generator.layers[-1], TransposedConvolution)
    assert isinstance(critic.layers[0], Convolution)
    assert critic.layers[0].window.large == Shape(6, 6, 2)
    assert layered(critic) is None
    seen = torch.rand(1, 4, 72, generator=seeded(0))
    changed = torch.cat([seen[:, :1], 9 * seen[:, 1:]], 1)
    assert critic(seen)[:, 0].equal(critic(changed)[:, 0])


def test_generated_images_are_judged_beside_real_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "EPOCHS", 0)
    (run,) = train([config("images", epochs=1)], tmp_path, of("images"))
    shown = set(run.history().query("split == 'validation'")["metric"])
    names = {"inception_score", "label_entropy", "marginal_entropy"}
    assert shown == {"wasserstein"} | {f"{name}{end}" for name in names for end in ("", "_real", "_argmax")}


def test_a_generators_baseline_looks_at_its_noise() -> None:
    made = trainer("strings, score function")
    images = made.model.eval_batch(made.data.train, torch.arange(5).unsqueeze(0), [seeded(1)])
    context = made.model.objective(images).context
    assert context.equal(images[..., -SMALL.style :])
    assert made.strategy.baseline(context).shape == (1, 5, 1)


def test_the_fake_points_of_a_critic_alone_are_real_ones_with_standard_noise() -> None:
    made = trainer("clipped")
    images = made.model.eval_batch(made.data.train, torch.arange(10_000).unsqueeze(0), [seeded(1)])
    real, fake = made.model.pairs(made.strategy, images, Noise([seeded(2)]))
    away = fake - real
    assert real.equal(made.data.train.pixels[:10_000].unsqueeze(0))
    assert away.std().item() == pytest.approx(1, abs=0.03)  # 4 standard errors of 20,000 numbers
    assert away.mean().item() == pytest.approx(0, abs=0.03)


def test_the_regularised_vae_is_scored_as_a_vae(tmp_path: Path) -> None:
    """Its loss has no KL, its ELBO the exact one."""
    (run,) = train([config("regularised", epochs=2)], tmp_path, of("regularised"))
    last = run.history().query("split == 'validation' and epoch == 2").set_index("metric")["value"]
    assert last["elbo"] == pytest.approx(last["reconstruction_hard"] - last["kl"], rel=1e-6)
    assert last["kl"] > 0
    assert {"reconstruction_relaxed", "active_latents"} <= set(last.index)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"criticism": lambda: CriticConfig(weight_clip=0.1)},
            "gradient penalty is 10.0 and weight clip 0.1; set one of them to 0",
        ),
        ({"criticism": lambda: CriticConfig(critic_steps=0)}, "critic steps is 0; give at least 1"),
        (
            {"strategy": "backpropagation", "data": POINTS, "architecture": Architecture(backbone="conv")},
            "backbone is conv, and 8-gaussians are points, which have no neighbours; give mlp",
        ),
        (
            {"architecture": lambda: Architecture(normalisation="batch")},
            "unknown normalisation 'batch'; choose from none, layer",
        ),
        (
            {
                "strategy": "target-propagation",
                "options": TargetPropagation.Options(inverse="mirror"),
                "architecture": Architecture(normalisation="layer"),
            },
            "normalisation is layer, and these options of target-propagation look at layers one by one; give none",
        ),
        (
            {"criticism": lambda: CriticConfig(critic_learning_rate=0.0)},
            "critic learning rate is 0.0; give a number above 0",
        ),
        (
            {"criticism": lambda: CriticConfig(gradient_penalty=-1.0)},
            "gradient penalty is -1.0; give at least 0",
        ),
        ({"strategy": "backpropagation"}, "backpropagation cannot make expressions; give a strategy for categorical"),
        ({"data": POINTS}, "gumbel-softmax cannot make 8-gaussians; give backpropagation"),
        ({"data": EXPRESSIONS, "task": "vae"}, "expressions are no images; give them to the task generator or critic"),
        ({"task": "critic"}, "expressions are no points"),
        ({"architecture": Architecture(layers=2)}, "layers is 2; a critic sees one stochastic layer"),
        ({"task": "adversarial-vae", "data": DataConfig(), "architecture": Architecture(layers=2)}, "layers is 2"),
        ({"task": "adversarial-vae", "data": DataConfig(), "strategy": "auto-encoder"}, "no categorical latents"),
        ({"task": "adversarial-vae"}, "expressions are no images"),
        ({"strategy": "vimco"}, "vimco trains a bound over several samples"),
        ({"batch_size": 20_000}, "a step uses 100000 images, batch size times critic steps; give at most 50000"),
    ],
)
def test_bad_input_is_refused(fields: dict[str, Any], message: str) -> None:
    def make() -> Config:
        own = {name: value() if callable(value) else value for name, value in fields.items()}
        return Config(**{"strategy": "gumbel-softmax", "task": "generator", "data": EXPRESSIONS, **own})

    with pytest.raises(InputError, match=message.replace(".", r"\.")):
        make()


@pytest.mark.parametrize(("dataset", "strategy"), [("molecules", "reinmax"), ("25-gaussians", "backpropagation")])
def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], dataset: str, strategy: str) -> None:
    """Train, evaluate, list and sample what is no image."""
    runs = ["--runs", str(tmp_path / "runs"), "--device", "cpu"]
    words = [strategy, "--task", "generator", "--dataset", dataset, "--epochs", "1", "--batch-size", "16"]
    with pytest.raises(SystemExit) as ended:
        cli.main(["train", *words, "--hidden", "16", "--style", "3", "--critic-steps", "2", *runs])
    assert ended.value.code == 0
    (folder,) = (tmp_path / "runs").iterdir()
    for words in (["evaluate", folder.name, *runs], ["list", "--runs", str(tmp_path / "runs")]):
        with pytest.raises(SystemExit) as ended:
            cli.main(words)
        assert ended.value.code == 0
    assert "wasserstein" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        cli.main(["sample", folder.name, "--rows", "2", "--columns", "3", *runs])
    assert ended.value.code == 0
    assert len((folder / "samples.txt").read_text().splitlines()) == 6


def test_a_critic_alone_has_no_samples_and_pixels_stay_in_range(tmp_path: Path) -> None:
    """A generator of real pixels puts out any numbers; a picture of them is cut off at black and white."""
    (critic,) = train([config("clipped", epochs=1)], tmp_path, of("clipped"))
    with pytest.raises(SystemExit) as ended:
        cli.main(["sample", str(critic.folder), "--device", "cpu"])
    assert ended.value.code == 2
    pixels = torch.rand(1600, 784, generator=torch.Generator().manual_seed(0)).mul(255).to(torch.uint8)
    split = Split(pixels, torch.zeros(1600, dtype=torch.int64), levels=255)
    gray = Dataset.of("noise", split, split, split, shape=(28, 28), binarisation="none")
    own = Config.fitting(
        "backpropagation", task="generator", data=gray.config, architecture=SMALL, batch_size=16, epochs=1
    )
    (run,) = train([own], tmp_path, gray)
    with pytest.raises(SystemExit) as ended:
        cli.main(["sample", str(run.folder), "--rows", "2", "--columns", "2", "--device", "cpu"])
    assert ended.value.code == 0
    drawn = Population.load([run], torch.device("cpu")).model.draw(4, Noise([seeded(0, "prior")]))
    png = np.asarray(Image.open(run.folder / "samples.png"))
    grid = drawn.detach().reshape(2, 2, 28, 28).transpose(1, 2).reshape(56, 56)
    assert drawn.min() < 0
    assert (png == (255 * grid.clamp(0, 1)).round().byte().numpy()).all()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_takes_a_step_or_says_why_not(strategy: str) -> None:
    """In every task: nothing but an ``InputError``, or else what is asked of it later works as well."""
    for task, size in TASKS_OF.items():
        fields: dict[str, Any] = {"task": task, "data": POINTS if task == "critic" else middle().config}
        if task == "generator":
            fields["data"] = POINTS if strategy == "backpropagation" else EXPRESSIONS
        try:
            own = Config(strategy, architecture=size, batch_size=10, **fields)
            made = Trainer([Run(Path(), own)], DATA[own.data.dataset], torch.device("cpu"))
            made.differentiate = partial(made.gradients, noise=made.noise)
            if made.game:
                made.game.differentiate = partial(made.game.gradients, noise=made.noise)
            made.begin_epoch()
            made._update()
        except InputError:
            continue
        made.population.follow(made.values[-1])
        diagnose(made.population, made.data)
        scores = evaluate_population(made.population, made.data, "validation", 1)
        assert own.task_class.score in scores
        assert all(values.isfinite().all() for values in scores.values())


TASKS_OF = {
    "generator": SMALL,
    "critic": SMALL,
    "adversarial-vae": SMALL,
    "semi-supervised": Architecture(1, 10, (8,), style=2),
    "labels-alone": Architecture(1, 10, (8,), style=2),
}
DATA = {of(name).config.dataset: of(name) for name in CASES}


def test_score_functions_teach_a_generator_as_much_as_enumeration() -> None:
    """On two binary symbols, whose gradient is known exactly: any strategy of the table takes a critic's value."""
    made = trainer("images")
    model = made.model
    observation = model.critic_batches(model.train_batch(made.data.train, made.order[0], made.generators))[1]
    parameters = model.encode(observation).detach()[..., :2, :].requires_grad_()
    rest = model.encode(observation).detach()[..., 2:, :].softmax(-1)
    objective = model.objective(observation)

    def decode(sample: Tensor) -> Tensor:
        return objective.decode(torch.cat([sample, rest.expand(*sample.shape[:-2], -1, -1)], -2))

    whole = replace(objective, decode=decode)

    def gradient(name: str) -> Tensor:
        strategy = STRATEGIES[name]()
        return torch.autograd.grad(strategy.estimate(parameters, whole, made.noise).loss.sum(), parameters)[0]

    exact = gradient("enumeration")
    drawn = torch.stack([gradient("score-function") for _ in range(2000)])
    error = drawn.std(0) / 2000**0.5
    assert ((drawn.mean(0) - exact).abs() < 5 * error + 1e-7).all(), "5 standard errors for each of 64 numbers"


def test_an_exact_mirror_of_the_critic_is_reinmax() -> None:
    """Target propagation takes what the critic says for the output, and one more for its target."""
    made = trainer("strings", 2)
    model = made.model
    observation = model.critic_batches(model.train_batch(made.data.train, made.order[0], made.generators))[1]

    def gradients(strategy: Strategy) -> list[Tensor]:
        noise = Noise([seeded(seed) for seed in range(2)])
        estimate = model.estimate([strategy], observation, model.encode(observation), 1.0, noise)
        return list(torch.autograd.grad(estimate.loss.sum(), model.own_parameters()))

    mirror = TargetPropagation(WeightMirror([layer.weight for layer in model.critic.layers]), "second-order")
    for found, expected in zip(gradients(mirror), gradients(ReinMax()), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
