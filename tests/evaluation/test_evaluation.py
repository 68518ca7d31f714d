"""The yardstick against exact values: every state of the latents enumerated, or the one latent integrated."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor

from discrete_vae.config import Config
from discrete_vae.data import DataConfig, Dataset, Split
from discrete_vae.errors import InputError
from discrete_vae.evaluation import evaluate, evaluate_population
from discrete_vae.evaluation import yardstick as evaluation
from discrete_vae.evaluation.population import Population, fill
from discrete_vae.latents.categorical import Categorical, enumerate_states
from discrete_vae.likelihoods import Bernoulli
from discrete_vae.runs.run import EVALUATION, Run, checkpoints
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES
from discrete_vae.tasks import Architecture
from tests.tiny_images import described, middle

CPU = torch.device("cpu")
IMAGES = 60
TOTAL = 1000


@pytest.fixture(scope="module")
def data() -> Dataset:
    """The middle 6 x 6 pixels of a few binarised MNIST images."""

    return middle(held_out=IMAGES)


def config(strategy: str = "gumbel-softmax", architecture: Architecture | None = None, **fields: Any) -> Config:
    own = Architecture(3, STRATEGIES[strategy].categories or 3, (16,))
    images = middle(held_out=IMAGES).config
    return Config.fitting(strategy, architecture=architecture or own, data=images, epochs=2, batch_size=100, **fields)


def build(*configs: Config) -> Population:
    """Random weights, scaled so that posteriors are neither flat nor far from the model's true ones."""
    population = Population.build(configs, CPU)
    with torch.no_grad():
        for module, scale in ((population.model.encoder, 0.7), (population.model.decoder, 2.0)):
            for parameter in module.parameters():
                parameter.mul_(scale)
    return population


def score(population: Population, data: Dataset, samples: int, split: str = "test") -> dict[str, Tensor]:
    return evaluate_population(population, data, split, samples)


@dataclass(frozen=True)
class Exact:
    """Exact values for member 0, and the spread that an estimate with one sample has: ``[B]`` each."""

    log_likelihood: Tensor
    reconstruction: Tensor
    kl: Tensor
    weight_variance: Tensor
    """Of the importance weight, relative to its squared mean."""
    reconstruction_variance: Tensor

    @property
    def elbo(self) -> float:
        return float((self.reconstruction - self.kl).mean())

    def elbo_error(self, samples: int) -> float:
        """Standard error of the mean over the images."""
        return float(self.reconstruction_variance.sum().div(samples).sqrt() / len(self.kl))

    def bound(self, samples: int) -> float:
        """The importance-weighted bound by the delta method: log p(x) less half the relative variance."""
        return float((self.log_likelihood - self.weight_variance / (2 * samples)).mean())

    def bound_error(self, samples: int) -> float:
        return float(self.weight_variance.sum().div(samples).sqrt() / len(self.kl))


def moments(log_q: Tensor, log_prior: Tensor, log_likelihood: Tensor) -> Exact:
    """From log-probabilities of every state (or grid point), each ``[B, states]`` in float64."""
    joint = log_prior + log_likelihood
    log_evidence = joint.logsumexp(-1)
    q = log_q.exp()
    reconstruction = (q * log_likelihood).sum(-1)
    second = (2 * joint - log_q).logsumexp(-1)
    return Exact(
        log_evidence,
        reconstruction,
        (q * (log_q - log_prior)).sum(-1),
        (second - 2 * log_evidence).exp() - 1,
        (q * (log_likelihood - reconstruction.unsqueeze(-1)).square()).sum(-1),
    )


@torch.no_grad()
def enumerated(population: Population, split: Split) -> Exact:
    """Member 0's exact values over all K^N states."""
    model = population.model
    observation = split.pixels.float()
    members = len(population.configs)
    latents, categories = model.family.parameter_shape
    states = enumerate_states(latents, categories)
    parameters = model.encode(observation.expand(members, -1, -1))[0].double()
    output = model.decode(states.expand(members, -1, -1, -1))[0].double()
    log_q = torch.einsum("bnk,snk->bs", parameters.log_softmax(-1), states.double())
    log_prior = torch.full_like(log_q, -latents * math.log(categories))
    return moments(log_q, log_prior, -Bernoulli().nll(output, observation.double().unsqueeze(1)))


@torch.no_grad()
def integrated(population: Population, split: Split) -> Exact:
    """The exact values of one Gaussian latent, on a fine grid."""
    model, observation = population.model, split.pixels.float()
    grid = torch.linspace(-12, 12, 20_001, dtype=torch.float64)
    width = math.log(float(grid[1] - grid[0]))
    mean, log_variance = model.encode(observation[None])[0].double().unbind(-1)  # [B, 1]
    normal = torch.distributions.Normal(mean, (log_variance / 2).exp())
    log_prior = torch.distributions.Normal(0.0, 1.0).log_prob(grid)
    output = model.decode(grid.float().view(1, -1, 1, 1))[0].double()
    log_likelihood = torch.stack([-Bernoulli().nll(output, image) for image in observation.double()])
    return moments(normal.log_prob(grid) + width, (log_prior + width).expand_as(log_likelihood), log_likelihood)


def test_the_reference_is_consistent(data: Dataset) -> None:
    """The two routes to the exact values obey what every model obeys."""
    gaussian = build(config("gaussian-reparameterisation", Architecture(1, 2, (16,))))
    for exact in (enumerated(build(config()), data.test), integrated(gaussian, data.test)):
        assert (exact.kl > 0).all()
        assert (exact.reconstruction - exact.kl < exact.log_likelihood).all()
        assert 1 < exact.weight_variance.mean() < 10


@pytest.mark.parametrize("strategy", [name for name, each in STRATEGIES.items() if each.latent_family is Categorical])
def test_many_samples_reach_the_exact_values(data: Dataset, strategy: str) -> None:
    """Within four standard errors, whatever the strategy trains with."""
    population = build(config(strategy), config(strategy, seed=1))
    exact = enumerated(population, data.test)
    samples = 4000
    metrics = score(population, data, samples)
    assert float(metrics["kl"][0]) == pytest.approx(float(exact.kl.mean()), rel=1e-5)
    assert abs(float(metrics["elbo"][0]) - exact.elbo) < 4 * exact.elbo_error(samples)
    assert abs(float(metrics["log_likelihood"][0]) - exact.bound(samples)) < 4 * exact.bound_error(samples)
    assert 4 * exact.bound_error(samples) < 0.05, "the tolerance tells something"
    assert torch.equal(metrics["elbo"], metrics["reconstruction_hard"] - metrics["kl"])


def test_a_code_without_noise_has_one_value(data: Dataset) -> None:
    """The reconstruction is the ELBO and the bound, exactly what the network gives, with however many samples."""
    population = build(config("auto-encoder"))
    observation = data.test.pixels.float()
    with torch.no_grad():
        code = population.model.encode(observation[None]).sigmoid()
        exact = -Bernoulli().nll(population.model.decode(code), observation[None]).mean().item()
    for samples in (1, 3):
        metrics = score(population, data, samples)
        assert metrics.pop("kl") == 0
        assert metrics.pop("active_latents") == 0
        assert "code_entropy" not in metrics
        assert [value.item() for value in metrics.values()] == pytest.approx([exact] * len(metrics), rel=1e-5)


@pytest.mark.parametrize("samples", [2, 3, 20])
@pytest.mark.parametrize("rows", [7, 4000])
def test_without_use_of_the_latents_every_sample_gives_the_exact_value(
    data: Dataset, monkeypatch: pytest.MonkeyPatch, samples: int, rows: int
) -> None:
    """Posterior and prior are one, so elbo and bound are log p(x) without any noise, and no sample is miscounted."""
    monkeypatch.setitem(evaluation.ROWS, "cpu", rows)
    for strategy in ("gumbel-softmax", "gaussian-reparameterisation"):
        population = build(config(strategy))
        with torch.no_grad():
            for layer in (population.model.encoder.network.layers[-1], population.model.decoder.layers[0]):
                layer.weight.zero_()
        output = population.model.decode(torch.zeros(1, 1, *population.model.family.sample_shape))
        exact = -Bernoulli().nll(output, data.test.pixels.float()[None]).mean().item()
        metrics = score(population, data, samples)
        for name in ("elbo", "reconstruction_hard", "log_likelihood"):
            assert metrics[name].item() == pytest.approx(exact, rel=1e-5)


def test_gaussian_log_likelihood_is_the_integral(data: Dataset) -> None:
    population = build(config("gaussian-reparameterisation", Architecture(1, 2, (16,))))
    exact = integrated(population, data.test)
    samples = 4000
    metrics = score(population, data, samples)
    assert float(metrics["kl"][0]) == pytest.approx(float(exact.kl.mean()), rel=1e-4)
    assert abs(float(metrics["elbo"][0]) - exact.elbo) < 4 * exact.elbo_error(samples)
    assert abs(float(metrics["log_likelihood"][0]) - exact.bound(samples)) < 4 * exact.bound_error(samples)
    assert 4 * exact.bound_error(samples) < 0.05
    assert "code_entropy" not in metrics


def test_the_bound_rises_with_samples_to_the_log_likelihood(data: Dataset) -> None:
    population = build(config())
    exact = enumerated(population, data.test)
    bounds = [float(score(population, data, samples)["log_likelihood"][0]) for samples in (2, 10, 100, 2000)]
    assert exact.elbo < bounds[0] < bounds[1] < bounds[2]
    assert bounds[2] < bounds[3] + 4 * exact.bound_error(100)
    assert bounds[3] < float(exact.log_likelihood.mean()) + 4 * exact.bound_error(2000)


def test_the_bound_of_few_samples_is_below_the_log_likelihood_on_average(data: Dataset) -> None:
    """Over 100 seeds of the same weights: its mean lies below the truth by more than chance."""
    weights = build(config()).state()
    population = build(*[config(seed=seed) for seed in range(100)])
    fill(population.state(), [{name: tensor[0] for name, tensor in weights.items()}] * 100)
    bounds = score(population, data, 5)["log_likelihood"]
    error = float(bounds.std()) / 10
    assert error > 0, "seeds have noise of their own"
    assert float(bounds.mean()) + 4 * error < float(enumerated(population, data.test).log_likelihood.mean())


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_relaxed_reconstruction_is_there_exactly_where_training_is_relaxed(data: Dataset, strategy: str) -> None:
    metrics = score(build(config(strategy)), data, 1)
    assert ("reconstruction_relaxed" in metrics) == STRATEGIES[strategy].claim.relaxed
    assert "log_likelihood" not in metrics
    assert {"elbo", "kl", "reconstruction_hard", "active_latents"} <= metrics.keys()
    assert all(values.shape == (1,) for values in metrics.values())


def test_relaxed_reconstruction_follows_the_temperature(data: Dataset) -> None:
    """At a temperature near 0 it is the hard one; at 100 it is that of the uniform code."""
    population = build(config())
    exact = enumerated(population, data.test)

    def relaxed(temperature: float) -> float:
        population.strategy.follow({"temperature": torch.tensor([temperature])})
        return float(score(population, data, 1)["reconstruction_relaxed"][0])

    assert abs(relaxed(1e-3) - float(exact.reconstruction.mean())) < 4 * exact.elbo_error(1) + 0.01
    output = population.model.decode(torch.full((1, 1, 3, 3), 1 / 3))
    uniform = Bernoulli().nll(output, data.test.pixels.float()[None]).mean().item()
    assert relaxed(1e4) == pytest.approx(-uniform, abs=0.01)


def codes(*columns: Sequence[int]) -> Dataset:
    """Images that are their own code: pixel 3 n + k is set where latent n has category k."""
    index = torch.tensor(columns).T
    pixels = torch.nn.functional.one_hot(index, 3).flatten(1).to(torch.uint8)
    split = Split(pixels, torch.zeros(len(pixels), dtype=torch.int64))
    return Dataset(DataConfig(), split, split, split)


def reader(*gains: float) -> Population:
    """An encoder without hidden layers that reads such a code, latent n with a gain (0: it ignores the image)."""
    own = replace(config(architecture=Architecture(3, 3, ())), data=described(3, 3))
    population = Population.build([own], CPU)
    with torch.no_grad():
        (layer,) = population.model.encoder.network.layers
        layer.weight.copy_(torch.diag(torch.tensor(gains).repeat_interleave(3)))
    return population


def test_a_posterior_that_ignores_the_image_has_no_active_latents() -> None:
    metrics = score(reader(0.0, 0.0, 0.0), codes([0, 1, 2] * 4, [0, 1, 2] * 4, [0, 1, 2] * 4), 1)
    assert metrics["active_latents"].tolist() == [0]
    assert metrics["kl"].item() == pytest.approx(0, abs=1e-6)
    assert metrics["code_entropy"].item() == pytest.approx(3 * math.log(3), rel=1e-6)


def test_deterministic_codes_have_the_entropy_of_their_frequencies() -> None:
    """Categories 0, 1, 2 equally often; 0 three times as often as 1; always 2."""
    metrics = score(reader(99.0, 99.0, 99.0), codes([0, 1, 2] * 4, [0, 0, 0, 1] * 3, [2] * 12), 1)
    assert metrics["active_latents"].tolist() == [3]
    assert metrics["kl"].item() == pytest.approx(3 * math.log(3), rel=1e-6)
    second = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert metrics["code_entropy"].item() == pytest.approx(math.log(3) + second, rel=1e-6)


def test_a_latent_is_active_above_a_hundredth_of_a_nat() -> None:
    """Gains whose KL is 0.0095 and 0.0106, beside a deterministic one."""

    def kl(gain: float) -> float:
        return math.log(3) - float(torch.distributions.Categorical(logits=torch.tensor([gain, 0.0, 0.0])).entropy())

    below, above = 0.285, 0.3
    assert kl(below) < evaluation.ACTIVE < kl(above)
    images = codes([0, 1, 2], [0, 1, 2], [0, 1, 2])
    assert score(reader(99.0, below, above), images, 1)["active_latents"].tolist() == [2]


@pytest.mark.parametrize("rows", [1, 7, 250, 1_000_000])
def test_chunks_do_not_change_what_is_measured(data: Dataset, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    population = build(config(), config(seed=1))
    exact, samples = enumerated(population, data.test), 12
    whole = score(population, data, samples)
    monkeypatch.setitem(evaluation.ROWS, "cpu", rows)
    chunked = score(population, data, samples)
    assert chunked.keys() == whole.keys()
    for name in ("kl", "active_latents", "code_entropy"):
        torch.testing.assert_close(chunked[name], whole[name], rtol=1e-5, atol=1e-6)
    assert abs(float(chunked["elbo"][0]) - exact.elbo) < 4 * exact.elbo_error(samples)
    assert abs(float(chunked["log_likelihood"][0] - whole["log_likelihood"][0])) < 6 * exact.bound_error(samples)


@pytest.mark.parametrize("members", [1, 2, 3])
def test_memory_decides_how_many_members_go_together_and_no_number(
    data: Dataset, monkeypatch: pytest.MonkeyPatch, members: int
) -> None:
    population = build(*(config(seed=seed) for seed in range(5)))
    whole, sizes, done = score(population, data, 20), [], []
    part = Population.part
    monkeypatch.setattr(Population, "part", lambda self, s: sizes.append(len(self.configs[s])) or part(self, s))
    memory = members * evaluation.member_memory(population) + 1
    parts = evaluate_population(population, data, "test", 20, done.append, memory)
    assert max(sizes) == members
    assert sum(sizes) == 5
    assert sum(done) == 5 * IMAGES
    for name, values in whole.items():
        torch.testing.assert_close(parts[name], values, rtol=1e-5, atol=1e-5)


def test_less_memory_than_a_member_takes_is_refused(data: Dataset) -> None:
    population = build(config())
    with pytest.raises(InputError, match=r"memory is 0 MiB; a run of this size takes \d+ to evaluate"):
        evaluate_population(population, data, "test", 20, memory=1000)


def test_a_part_shares_its_members_storage() -> None:
    population = build(*(config("target-propagation", seed=seed) for seed in range(3)))
    population.follow(torch.arange(24.0).reshape(8, 3))
    part = population.part(slice(1, 3))
    assert [each.seed for each in part.configs] == [1, 2]
    assert part.strategy.noise.tolist() == [13.0, 14.0]
    for name, tensor in part.state().items():
        whole = population.state()[name]
        assert tensor.data_ptr() == whole[1:].data_ptr()
        assert tensor.equal(whole[1:])


def test_a_members_numbers_are_its_own(data: Dataset) -> None:
    configs = [config(seed=seed) for seed in range(3)]
    together = score(build(*configs), data, 20)
    for p, each in enumerate(configs):
        for name, values in score(build(each), data, 20).items():
            torch.testing.assert_close(values[0], together[name][p], rtol=1e-4, atol=1e-4)


def test_splits_and_seeds_have_noise_of_their_own(data: Dataset) -> None:
    same = replace(data, validation=data.test)
    population = build(config())
    assert score(population, same, 3, "test")["elbo"] == score(population, same, 3, "test")["elbo"]
    assert score(population, same, 3, "test")["elbo"] != score(population, same, 3, "validation")["elbo"]


def test_evaluation_leaves_torchs_own_generator_alone(data: Dataset) -> None:
    before = torch.get_rng_state()
    score(build(config()), data, 3)
    assert torch.equal(torch.get_rng_state(), before)


def reach(runs: Path, each: Config, step: int = TOTAL) -> Run:
    """A run with a checkpoint; 1000 steps are its end."""
    run = Run.create(runs, each)
    tensors = {name: tensor[0] for name, tensor in build(each).state().items()}
    checkpoints.write(run.folder, step, each.identity, tensors)
    return run


def refuse(*arguments: Any) -> None:
    raise AssertionError("evaluated again")


def test_finished_runs_are_evaluated_once(data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [reach(tmp_path, config(seed=seed)) for seed in range(2)]
    first = evaluate(runs, data, "test", 7)
    assert list(first) == ["run", *EVALUATION]
    assert set(first["run"]) == {run.config.name for run in runs}
    assert set(first["metric"]) == {
        *("elbo", "log_likelihood", "kl", "reconstruction_hard", "reconstruction_relaxed"),
        *("active_latents", "code_entropy"),
    }
    relaxed = first["metric"] == "reconstruction_relaxed"
    assert set(first[relaxed]["samples"]) == {1}
    assert set(first[~relaxed]["samples"]) == {7}
    monkeypatch.setattr(evaluation, "evaluate_population", refuse)
    again = evaluate(runs, data, "test", 7)
    keys = ["run", *EVALUATION[:-1]]
    pd.testing.assert_frame_equal(
        again.sort_values(keys, ignore_index=True), first.sort_values(keys, ignore_index=True), check_exact=True
    )
    for other in (("validation", 7), ("test", 8)):
        with pytest.raises(AssertionError, match="evaluated again"):
            evaluate(runs, data, *other)


def test_only_what_is_missing_is_evaluated(data: Dataset, tmp_path: Path) -> None:
    old, new = reach(tmp_path, config()), reach(tmp_path, config(seed=1))
    stored = evaluate([old], data, "test", 7)
    told: list[int] = []
    both = evaluate([new, old], data, "test", 7, advance=told.append)
    assert sum(told) == IMAGES
    value = {name: frame["value"].tolist() for name, frame in both.groupby("run")}
    assert sorted(value[old.config.name]) == sorted(stored["value"])
    assert value[new.config.name] != value[old.config.name]


def test_unfinished_runs_are_evaluated_each_time(data: Dataset, tmp_path: Path) -> None:
    run = reach(tmp_path, config(), step=TOTAL - 1)
    first = evaluate([run], data, "test", 3)
    assert not (run.folder / "evaluation.csv").exists()
    pd.testing.assert_frame_equal(evaluate([run], data, "test", 3), first, check_exact=True)
    zeros = {name: torch.zeros_like(tensor[0]) for name, tensor in build(run.config).state().items()}
    checkpoints.write(run.folder, TOTAL, run.config.identity, zeros)
    kl = evaluate([run], data, "test", 3).set_index("metric")["value"]["kl"]
    assert kl == pytest.approx(0, abs=1e-5)


def test_several_populations_in_one_call(data: Dataset, tmp_path: Path) -> None:
    configs = [config(), config("target-propagation"), config(seed=1), config("gaussian-reparameterisation")]
    runs = [reach(tmp_path / "one", each) for each in configs]
    told: list[int] = []
    table = evaluate(runs, data, "test", 3, advance=told.append)
    assert sum(told) == len(configs) * IMAGES
    assert list(dict.fromkeys(table["run"])) == [each.name for each in configs]
    for each in configs:
        alone = evaluate([reach(tmp_path / "alone", each)], data, "test", 3).set_index("metric")["value"]
        beside = table[table["run"] == each.name].set_index("metric")["value"]
        assert beside.to_dict() == pytest.approx(alone.to_dict(), rel=1e-4, abs=1e-5)


def test_an_unfinished_run_is_scored_at_its_own_temperature(data: Dataset, tmp_path: Path) -> None:
    options = STRATEGIES["gumbel-softmax"].Options(Schedule(2.0, decay=0.1))
    early, late = (
        reach(tmp_path, replace(config(seed=seed), options=options), step) for seed, step in enumerate((1, TOTAL))
    )
    alone, beside = (evaluate(runs, data, "test", 3) for runs in ([early], [early, late]))
    beside = beside[beside["run"] == early.config.name].reset_index(drop=True)
    assert beside.set_index("metric")["value"].to_dict() == pytest.approx(
        alone.set_index("metric")["value"].to_dict(), rel=1e-4
    )


@pytest.mark.parametrize("samples", [0, -3])
def test_too_few_samples(data: Dataset, tmp_path: Path, samples: int) -> None:
    with pytest.raises(InputError, match=f"samples is {samples}; give at least 1"):
        evaluate([reach(tmp_path, config())], data, "test", samples)


def test_a_run_without_checkpoint(data: Dataset, tmp_path: Path) -> None:
    run = Run.create(tmp_path, config())
    with pytest.raises(InputError, match="has no checkpoint yet; train it first") as caught:
        evaluate([run], data, "test", 1)
    assert str(run.folder) in str(caught.value)


def test_an_unknown_split(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown split 'tset'; did you mean 'test'"):
        evaluate([reach(tmp_path, config())], data, "tset", 1)


def test_images_that_the_configuration_does_not_name_are_refused(data: Dataset, tmp_path: Path) -> None:
    """A finished run would otherwise keep another data set's numbers as its own."""
    run = reach(tmp_path, config())
    other = replace(data, config=DataConfig("mnist"))
    with pytest.raises(InputError, match="mnist"):
        evaluate([run], other, "test", 1)
    assert run.evaluation().empty
