"""What Gauss-Newton local expectation claims: exact for a quadratic loss of an affine decoder, and how far off else."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from discrete_vae.backbones import backbone
from discrete_vae.backbones.mlp import MLP
from discrete_vae.config import Config
from discrete_vae.data.domain import Shape
from discrete_vae.errors import InputError
from discrete_vae.evaluation.gradients import exact_gradient
from discrete_vae.latents.categorical import enumerate_states, log_prob, one_hot, softmax
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.likelihoods import LIKELIHOODS, DiscretisedLogistic, Gaussian, bernoulli_variance
from discrete_vae.strategies import (
    Darn,
    GaussNewtonLocalExpectation,
    LocalExpectation,
    Model,
    Objective,
    ReinMax,
    StraightThrough,
    Strategy,
    TargetPropagation,
    responses,
)
from discrete_vae.strategies.responses import layered_responses, second_order
from discrete_vae.strategies.target_propagation import WeightMirror, WeightProbe
from discrete_vae.strategies.target_propagation.options import TargetPropagationOptions
from discrete_vae.tasks import Architecture

N, K, D, B = 3, 4, 6, 5
AVERAGED = ("all", "slopes", "nothing")
LOGITS = torch.randn(B, N, K, generator=seeded(0), dtype=torch.float64)
OBSERVATION = torch.rand(B, D, generator=seeded(1), dtype=torch.float64)
INNER = torch.randn(N * K, 7, generator=seeded(6), dtype=torch.float64)
OUTER = torch.randn(7, D, generator=seeded(7), dtype=torch.float64) / 2
WEIGHT = torch.randn(N * K, D, generator=seeded(2), dtype=torch.float64)


def quadratic_objective(observation: Tensor = OBSERVATION) -> Objective:
    """An affine decoder and a quadratic loss, of another curvature in each output."""
    curvature = torch.linspace(0.2, 2.0, D, dtype=torch.float64)
    return Objective(
        decode=lambda z: z.flatten(-2) @ WEIGHT,
        loss=lambda output: (curvature * (output - observation).square()).sum(-1) / 2,
        curvature=lambda output: curvature.expand_as(output),
    )


def bernoulli_objective(decode: Callable[[Tensor], Tensor], observation: Tensor = OBSERVATION) -> Objective:
    return Objective(
        decode=decode,
        loss=lambda output: F.binary_cross_entropy_with_logits(
            output, observation.expand_as(output), reduction="none"
        ).sum(-1),
        curvature=lambda output: bernoulli_variance(torch.sigmoid(output)),
    )


def deep(sample: Tensor) -> Tensor:
    """A decoder with a hidden layer."""
    return 2 * F.softplus(sample.flatten(-2) @ INNER) @ OUTER


def network(*sizes: int, seed: int = 0, members: int = 1) -> MLP:
    return MLP(sizes, "softplus", [seeded(seed, member) for member in range(members)]).double()


def pull(strategy: Strategy, objective: Objective, logits: Tensor = LOGITS, seed: int = 3) -> Tensor:
    """Its gradient in the logits, for one draw."""
    at = logits.clone().requires_grad_()
    estimate = strategy.estimate(at, objective, generator=torch.Generator().manual_seed(seed))
    return torch.autograd.grad(estimate.loss.sum(), at)[0]


@pytest.mark.parametrize("averaged", AVERAGED)
def test_it_is_local_expectation_for_a_quadratic_loss_of_an_affine_decoder(averaged) -> None:
    expected = pull(LocalExpectation(), quadratic_objective())
    found = pull(GaussNewtonLocalExpectation(averaged), quadratic_objective())
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(pull(StraightThrough(1.0), quadratic_objective()), expected)


class Forced(Noise):
    """Makes the sample the given states ``[B, N, K]``."""

    def __init__(self, states: Tensor) -> None:
        super().__init__()
        self.states = states

    def gumbel(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        return 1e3 * self.states


def every_pull(strategy: Strategy, objective: Objective, logits: Tensor) -> tuple[Tensor, Tensor]:
    """For one example's logits ``[N, K]``, every state's probability ``[S]`` and pull ``[S, N, K]``."""
    states = enumerate_states(*logits.shape, torch.float64)
    at = logits.expand_as(states).clone().requires_grad_()
    estimate = strategy.estimate(at, objective, Forced(states))
    assert estimate.sample.equal(states)
    return log_prob(logits, states).exp(), torch.autograd.grad(estimate.loss.sum(), at)[0]


def test_it_is_the_mean_of_reinmax_over_a_variables_own_sample() -> None:
    """For such a loss: it is ReinMax Rao-Blackwellised, with the same mean and less variance."""
    objective, logits = quadratic_objective(OBSERVATION[:1]), LOGITS[0]
    weights, reinmax = every_pull(ReinMax(), objective, logits)
    _, found = every_pull(GaussNewtonLocalExpectation(), objective, logits)
    _, own = every_pull(LocalExpectation(), objective, logits)
    states = enumerate_states(N, K, torch.float64).argmax(-1)
    for n in range(N):
        others = states[:, [m for m in range(N) if m != n]]
        for state in range(len(states)):
            alike = (others == others[state]).all(-1)
            shares = softmax(logits)[n, states[alike, n]].unsqueeze(-1)
            torch.testing.assert_close((shares * reinmax[alike, n]).sum(0), found[state, n])
    torch.testing.assert_close(found, own)
    mean = (weights[:, None, None] * found).sum(0)
    torch.testing.assert_close((weights[:, None, None] * reinmax).sum(0), mean)
    first, second = (float((weights[:, None, None] * (each - mean).square()).sum()) for each in (reinmax, found))
    assert second < 0.5 * first


@pytest.mark.parametrize(
    ("strategy", "order"),
    [
        (StraightThrough(1.0), 2),
        (ReinMax(), 3),
        (GaussNewtonLocalExpectation("nothing"), 3),
        (GaussNewtonLocalExpectation("all"), 3),
    ],
    ids=["straight-through", "reinmax", "gauss-newton", "gauss-newton, averaged"],
)
def test_order_of_the_bias_in_the_size_of_the_decoders_weights(strategy, order) -> None:
    """Under an affine decoder and a Bernoulli loss, whose third derivative is what a second order leaves out."""
    sizes = (0.02, 0.01)
    biases = []
    for size in sizes:
        objective = bernoulli_objective(lambda z, size=size: size * (z.flatten(-2) @ WEIGHT) + 0.7, OBSERVATION[:1])
        weights, found = every_pull(strategy, objective, LOGITS[0])
        exact = exact_gradient(LOGITS[:1], objective)[0]
        biases.append(float(((weights[:, None, None] * found).sum(0) - exact).norm()))
    assert math.log(biases[0] / biases[1]) / math.log(sizes[0] / sizes[1]) == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize(
    ("strategy", "order"),
    [(StraightThrough(1.0), 2), (ReinMax(), 3), (GaussNewtonLocalExpectation("nothing"), 2)],
    ids=["straight-through", "reinmax", "gauss-newton"],
)
def test_order_of_the_bias_in_the_first_layers_weights(strategy, order) -> None:
    """With a hidden layer, whose own curvature a Gauss-Newton model leaves out."""

    def bias(size: float) -> float:
        def decode(sample: Tensor) -> Tensor:
            return F.softplus(size * sample.flatten(-2) @ INNER) @ OUTER

        objective = bernoulli_objective(decode, OBSERVATION[:1])
        weights, found = every_pull(strategy, objective, LOGITS[0])
        exact = exact_gradient(LOGITS[:1], objective)[0]
        return float(((weights[:, None, None] * found).sum(0) - exact).norm())

    assert math.log2(bias(0.02) / bias(0.01)) == pytest.approx(order, abs=0.1)


def test_bias_beside_that_of_its_relatives() -> None:
    """Under a decoder with a hidden layer, of all states: exact local expectation has none."""
    objective = bernoulli_objective(deep, OBSERVATION[:1])
    exact = exact_gradient(LOGITS[:1], objective)[0]

    def errors(strategy: Strategy) -> tuple[float, float]:
        """Bias and deviation beside the exact gradient's norm."""
        weights, found = every_pull(strategy, objective, LOGITS[0])
        weights = weights[:, None, None]
        mean = (weights * found).sum(0)
        return tuple(
            float(each / exact.norm())
            for each in ((mean - exact).norm(), (weights * (found - mean).square()).sum().sqrt())
        )

    found = {
        name: errors(strategy)
        for name, strategy in {
            "straight-through": StraightThrough(1.0),
            "darn": Darn(),
            "reinmax": ReinMax(),
            "gauss-newton": GaussNewtonLocalExpectation("slopes"),
            "own slopes": GaussNewtonLocalExpectation("nothing"),
            "local expectation": LocalExpectation(),
        }.items()
    }
    bias, deviation = ({name: pair[i] for name, pair in found.items()} for i in (0, 1))
    assert bias["local expectation"] < 1e-9
    assert bias["own slopes"] < bias["reinmax"] < bias["gauss-newton"] < bias["straight-through"] < bias["darn"]
    assert deviation["local expectation"] < deviation["gauss-newton"] < 0.6 * deviation["reinmax"]


@pytest.mark.parametrize("moves", [0, 1, 4, N * (K - 1), 100])
def test_the_likeliest_moves_are_decoded(moves) -> None:
    """Their costs are the exact ones, and those of the others the model's."""
    calls = list[int]()

    def decode(sample: Tensor) -> Tensor:
        calls.append(math.prod(sample.shape[:-3]))
        return deep(sample)

    objective = bernoulli_objective(decode)
    states = one_hot(torch.randint(K, (B, N), generator=seeded(4)), K, torch.float64)
    likely = ((1 - states) * softmax(LOGITS)).flatten(-2).argsort(-1, descending=True)[:, :moves]

    def costs(strategy: Strategy) -> Tensor:
        """``c_nk - c_n0``: what the pull says of them."""
        at = LOGITS.clone().requires_grad_()
        (pulled,) = torch.autograd.grad(strategy.estimate(at, objective, Forced(states)).loss.sum(), at)
        table = pulled / softmax(LOGITS)
        return table - (table * states).sum(-1, keepdim=True)

    exact, model = costs(LocalExpectation()), costs(GaussNewtonLocalExpectation())
    calls.clear()
    found = costs(GaussNewtonLocalExpectation(moves=moves)).flatten(-2)
    assert sum(calls) - (len(calls) - 1 - bool(moves)) == 1 + min(moves, N * (K - 1))  # less the batch's mean sample
    decoded = torch.zeros_like(found).scatter(-1, likely, 1.0).bool()
    torch.testing.assert_close(found, torch.where(decoded, exact.flatten(-2), model.flatten(-2)))


def test_masked_categories_are_not_decoded() -> None:
    logits = LOGITS.clone()
    logits[..., 2] = -torch.inf

    def decode(sample: Tensor) -> Tensor:
        assert not sample[..., 2].any() or sample.shape[-3] == 1  # or it is the batch's mean, or a push
        return deep(sample)

    objective = bernoulli_objective(decode)
    expected = pull(LocalExpectation(), objective, logits)
    torch.testing.assert_close(pull(GaussNewtonLocalExpectation(moves=100), objective, logits), expected)


@pytest.mark.parametrize("averaged", AVERAGED)
def test_an_example_that_is_no_number_spoils_no_other(averaged) -> None:
    objective, dirty = bernoulli_objective(deep), LOGITS.clone()
    dirty[0, 0, 0] = torch.nan
    found = pull(GaussNewtonLocalExpectation(averaged, moves=2), objective, dirty)
    assert found[1:].isfinite().all()
    assert found[1:].any()


def test_one_example_has_the_batchs_slopes_for_its_own() -> None:
    """So with a batch of one, all that may be averaged is the same, by layers and by forward derivatives."""
    decoder = network(N * K, 7, 5, D)
    plain = bernoulli_objective(lambda z: decoder(z.flatten(-2)), OBSERVATION[:1])
    layered = replace(plain, model=Model(torch.sigmoid, decoder=decoder))
    sample = enumerate_states(N, K, torch.float64)[37].expand(1, 1, N, K)
    outputs = decoder.trace(sample.flatten(-2))[1]
    expected = second_order(plain, sample, outputs, "nothing")
    for objective in (plain, layered):
        for averaged in AVERAGED if objective is layered else ("nothing",):
            torch.testing.assert_close(second_order(objective, sample, outputs, averaged), expected)


@pytest.mark.parametrize("averaged", AVERAGED)
@pytest.mark.parametrize("layered", [True, False], ids=["layers", "function"])
def test_parts_that_fit_into_memory_make_up_the_whole(monkeypatch, averaged, layered) -> None:
    decoder = network(N * K, 7, D, members=2)
    objective = bernoulli_objective(lambda z: decoder(z.flatten(-2)))
    if layered:
        objective = replace(objective, model=Model(torch.sigmoid, decoder=decoder))
    sample = one_hot(torch.randint(K, (2, B, N), generator=seeded(5)), K, torch.float64)
    outputs = decoder.trace(sample.flatten(-2))[1]
    whole = second_order(objective, sample, outputs, averaged)
    monkeypatch.setitem(responses.RESPONSES, "cpu", 2 * K * D)
    monkeypatch.setitem(responses.PRODUCTS, "cpu", 1)
    torch.testing.assert_close(second_order(objective, sample, outputs, averaged), whole)


def test_thousand_categories_in_bounded_memory(monkeypatch) -> None:
    """No tensor holds the responses of all variables, nor one number for each pair of categories and output."""
    latents, categories, seen = 6, 1000, list[int]()
    decoder = MLP((latents * categories, 8, 50), "softplus", [seeded(0)])
    observation = torch.rand(1, 3, 50, generator=seeded(1))
    objective = replace(
        bernoulli_objective(lambda z: decoder(z.flatten(-2)), observation), model=Model(torch.sigmoid, decoder=decoder)
    )
    monkeypatch.setitem(responses.RESPONSES, "cpu", categories * 50)
    logits = torch.randn(1, 3, latents, categories, generator=seeded(2))

    class Sizes(TorchFunctionMode):
        def __torch_function__(self, function, types, arguments=(), keywords=None):
            result = function(*arguments, **(keywords or {}))
            seen.extend(
                each.numel()
                for each in (result if isinstance(result, tuple) else (result,))
                if isinstance(each, Tensor)
            )
            return result

    with Sizes():
        found = pull(GaussNewtonLocalExpectation(), objective, logits)
    assert found.isfinite().all()
    assert found.any()
    assert max(seen) <= categories**2  # the table of distances of one variable


@pytest.mark.parametrize("name", ["conv", "mlp"])
def test_responses_of_layers_are_the_derivative(name) -> None:
    shape, architecture = Shape(8, 8, 1), Architecture(N, K, (6,), channels=(3,), backbone=name)
    decoder = backbone(name).decoder(N * K, shape, 1, architecture, [seeded(0), seeded(1)])
    sample = one_hot(torch.randint(K, (2, 1, N), generator=seeded(5)), K)
    found = layered_responses(decoder, decoder.trace(sample.flatten(-2))[1], K)(0, N)
    pushed = torch.func.jacfwd(lambda z: decoder(z.flatten(-2)))(sample)  # [P, 1, D, P, 1, N, K]
    expected = torch.stack([pushed[p, 0, :, p, 0].flatten(1).T for p in range(2)])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_an_objective_without_curvature_is_refused() -> None:
    objective = replace(quadratic_objective(), curvature=None)
    for plain in (objective, lambda z: z.sum((-1, -2))):
        with pytest.raises(InputError, match="curvature=") as caught:
            GaussNewtonLocalExpectation().estimate(LOGITS, plain)
    assert "second derivative of the loss" in str(caught.value)


@pytest.mark.parametrize(
    "curvature",
    [
        1.0,
        lambda output: 1.0,
        lambda output: output.sum(-1),
        lambda output: output.sum(-1, keepdim=True),
        lambda output: output.new_ones(D),
        lambda output: output.new_ones(*output.shape[:-1], D + 1),
    ],
    ids=["number", "function of a number", "summed", "summed and kept", "without a batch", "of another size"],
)
@pytest.mark.parametrize("averaged", AVERAGED)
def test_a_curvature_that_is_none_is_refused(averaged, curvature) -> None:
    with pytest.raises(InputError, match="second derivative of the loss in each number of the output"):
        pull(GaussNewtonLocalExpectation(averaged), replace(quadratic_objective(), curvature=curvature))


@pytest.mark.parametrize("averaged", AVERAGED)
def test_a_curvature_below_zero_counts_as_none(averaged) -> None:
    """So the estimate is then straight-through's."""
    objective = quadratic_objective()
    found = pull(GaussNewtonLocalExpectation(averaged), replace(objective, curvature=lambda output: -output.exp()))
    torch.testing.assert_close(found, pull(StraightThrough(1.0), objective))


def test_one_curvature_for_all_examples_will_do() -> None:
    objective = quadratic_objective()
    one = replace(objective, curvature=lambda output: torch.linspace(0.2, 2.0, D, dtype=torch.float64)[None])
    strategy = GaussNewtonLocalExpectation()
    torch.testing.assert_close(pull(strategy, one), pull(strategy, objective))


def with_context(sample: Tensor) -> Tensor:
    """A decoder that knows the batch, and broadcasts."""
    return deep(sample) * (1 + OBSERVATION[:, :1])


def with_context_beside(sample: Tensor) -> Tensor:
    """One that does not broadcast."""
    context = OBSERVATION[:, :1].expand(*sample.shape[:-3], B, 1)
    return deep(sample) + torch.cat([sample[..., 0], context], -1).sum(-1, keepdim=True)


def with_dropout(sample: Tensor) -> Tensor:
    return F.dropout(deep(sample), 0.5)


def of_a_batch(sample: Tensor) -> Tensor:
    return deep(sample.reshape(B, N, K))


@pytest.mark.parametrize("decode", [with_dropout, of_a_batch, with_context_beside])
def test_a_decoder_that_cannot_be_pushed_is_told(decode) -> None:
    with pytest.raises(InputError, match="asks the decoder for the batch's mean sample as one example") as caught:
        pull(GaussNewtonLocalExpectation(), bernoulli_objective(decode))
    assert "averaged='nothing'" in str(caught.value)


def test_what_does_not_broadcast_is_taken_at_each_example() -> None:
    found = pull(GaussNewtonLocalExpectation("nothing"), bernoulli_objective(with_context_beside))
    exact = pull(LocalExpectation(), bernoulli_objective(with_context_beside))
    assert F.cosine_similarity(found.flatten(), exact.flatten(), 0) > 0.9


def test_a_decoder_that_knows_the_batch_is_averaged_over_it() -> None:
    found = pull(GaussNewtonLocalExpectation(), bernoulli_objective(with_context))
    own = pull(GaussNewtonLocalExpectation("nothing"), bernoulli_objective(with_context))
    assert F.cosine_similarity(found.flatten(), own.flatten(), 0) > 0.95


def test_moves_that_there_are_not_are_refused() -> None:
    shape = Architecture(latents=10, categories=5)
    options = GaussNewtonLocalExpectation.Options(moves=41)
    with pytest.raises(InputError, match="moves is 41, of 40 that there are: 10 variables of 5 categories; give 40"):
        Config("gauss-newton-local-expectation", options, shape)
    Config("gauss-newton-local-expectation", replace(options, moves=40), shape)


def test_an_average_of_what_nothing_is_estimated_by_is_refused() -> None:
    options = GaussNewtonLocalExpectation.Options("slopes", moves=16)
    with pytest.raises(InputError, match=r"averaged is slopes, which has no effect with .* \(moves 16\);"):
        Config("gauss-newton-local-expectation", options, Architecture(latents=8, categories=3))
    Config("gauss-newton-local-expectation", options, Architecture(latents=20, categories=3))


def test_options_are_checked() -> None:
    with pytest.raises(InputError, match="averaged"):
        GaussNewtonLocalExpectation("slope")
    with pytest.raises(InputError, match="moves"):
        GaussNewtonLocalExpectation(moves=-1)
    strategy = GaussNewtonLocalExpectation("nothing")
    with pytest.raises(InputError, match="averaged"):
        strategy.averaged = "none"
    with pytest.raises(InputError, match="moves"):
        strategy.moves = "3"
    assert strategy.claim.decoded(10, 4) == 2, "its sample, and the slopes at it"
    strategy.moves = 3
    assert strategy.claim.decoded(10, 4) == 5
    assert strategy.claim.decoded(1, 4) == 4, "no slopes are taken where all moves are decoded"


def test_the_model_takes_networks_of_layers() -> None:
    with pytest.raises(InputError, match="decoder is a Sequential, whose layers cannot be looked at; give a discrete"):
        Model(torch.sigmoid, decoder=torch.nn.Sequential(torch.nn.Linear(2, 2)))


# Likelihoods


@pytest.mark.parametrize("name", ["bernoulli", "gaussian-fixed", "categorical"])
def test_curvature_is_the_second_derivative(name) -> None:
    own = LIKELIHOODS[name]()
    output = torch.randn(2, 3 * own.numbers, generator=seeded(0), dtype=torch.float64)
    observation = torch.rand(2, 3, generator=seeded(1), dtype=torch.float64)
    for one, seen in zip(output, observation, strict=True):
        hessian = torch.autograd.functional.hessian(lambda at, seen=seen: own.nll(at, seen), one)
        torch.testing.assert_close(own.curvature(one, seen), hessian.diagonal())


@pytest.mark.parametrize("own", [Gaussian(), DiscretisedLogistic()], ids=["gaussian", "logistic"])
def test_curvature_is_the_expected_second_derivative(own) -> None:
    """Of the logistic, where no sample reaches the ends and a level is a small part of its scale."""
    output = torch.tensor([0.0, -1.8], dtype=torch.float64)
    draws = own.sample(output.float().expand(50_000, 2), Noise([seeded(0)])).double()
    at = output.expand(len(draws), 2).clone().requires_grad_()
    (slope,) = torch.autograd.grad(own.nll(at, draws).sum(), at, create_graph=True)
    seconds = [torch.autograd.grad(slope[:, i].sum(), at, retain_graph=True)[0][:, i].mean() for i in range(2)]
    torch.testing.assert_close(own.curvature(output, draws[0]), torch.stack(seconds), rtol=0.03, atol=0.0)


# Targets


@pytest.mark.parametrize("local", [False, True], ids=["whole", "layer-local"])
def test_targets_with_exact_feedback_have_its_pull(local) -> None:
    """The linear term by feedback, the second order by the decoder's forward pass: no gradient to the code."""
    decoder, encoder = network(N * K, 7, D), network(D, 5, N * K, seed=1)
    objective = bernoulli_objective(lambda z: decoder(z.flatten(-2)), OBSERVATION.unsqueeze(0))
    model = Model(torch.sigmoid, OBSERVATION.unsqueeze(0), decoder=decoder, encoder=encoder, canonical=True)
    objective = replace(objective, model=model, kl_term=lambda logits: 0 * logits.sum((-1, -2)))
    logits = encoder(OBSERVATION.unsqueeze(0)).unflatten(-1, (N, K)).detach()
    expected = pull(GaussNewtonLocalExpectation(), objective, logits)
    decoder.cut = encoder.cut = local
    weights = [layer.weight for layer in decoder.layers]
    above = [layer.weight for layer in list(encoder.layers)[1:]] if local else []
    strategy = TargetPropagation(WeightMirror(weights, above), "gauss-newton", local=local).double()
    torch.testing.assert_close(pull(strategy, objective, logits), expected)


def test_the_target_is_the_optimum_of_each_variable_under_the_model() -> None:
    """For a quadratic loss, the complete conditional: proportional to exp(-loss) of each category, others held."""
    decoder = MLP((N * K, D), "softplus", [seeded(0)]).double()
    objective = quadratic_objective(OBSERVATION.unsqueeze(0))
    curvature = torch.linspace(0.2, 2.0, D, dtype=torch.float64)
    objective = replace(
        objective,
        decode=lambda z: decoder(z.flatten(-2)),
        model=Model(lambda o: o, OBSERVATION.unsqueeze(0), decoder=decoder),
    )
    strategy = TargetPropagation(WeightProbe([decoder.layers[0].weight]), "gauss-newton").double()
    states = one_hot(torch.randint(K, (1, B, N), generator=seeded(4)), K, torch.float64)
    decoded, _ = strategy.decode(LOGITS.unsqueeze(0), objective, Forced(states))
    _, target, _ = strategy.pull(decoded)
    for n in range(N):
        moved = states.expand(K, 1, B, N, K).clone()
        moved[..., n, :] = torch.eye(K, dtype=torch.float64)[:, None, None]
        losses = torch.stack([objective(each) for each in moved], -1)
        torch.testing.assert_close(target[..., n, :], softmax(-losses))
    assert curvature.min() > 0


@pytest.mark.parametrize("inverse", ["encoder", "network"])
def test_an_inverse_of_observations_has_no_slope(inverse) -> None:
    with pytest.raises(InputError, match="layerwise feedback"):
        TargetPropagationOptions(inverse=inverse, geometry="gauss-newton")


def test_evaluations_are_the_sample_and_the_moves_that_are_decoded() -> None:
    assert GaussNewtonLocalExpectation().claim.decoded(8, 4) == 1
    assert GaussNewtonLocalExpectation(moves=24).claim.decoded(8, 4) == 25
    assert GaussNewtonLocalExpectation(moves=5).claim.decoded(30, 10) == 6
    assert GaussNewtonLocalExpectation(moves=500).claim.decoded(2, 3) == 5
