"""The variational auto-encoder: its parts against torch.distributions and by hand."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Normal, OneHotCategorical, kl_divergence

from discrete_vae.errors import InputError
from discrete_vae.latents.categorical import Categorical, enumerate_states, log_prob
from discrete_vae.latents.gaussian import Gaussian
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.likelihoods import Bernoulli as Binary
from discrete_vae.tasks import VAE, Architecture
from discrete_vae.tasks.base import Encoder
from tests.tiny_images import blueprint

PIXELS = 12


def generators(members: int, seed: int = 0) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed + member) for member in range(members)]


def build(architecture: Architecture, members: int = 2, family: Any = None) -> VAE:
    family = family or Categorical(architecture.latents, architecture.categories)
    return VAE(blueprint(architecture, family, 3, 4), generators(members))


def images(*shape: int) -> Tensor:
    return torch.rand(*shape, PIXELS, generator=torch.Generator().manual_seed(9)).round()


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_bernoulli_nll_is_torchs(scale: float) -> None:
    logits = scale * torch.randn(3, 5, PIXELS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    observation = images(3, 5).double()
    expected = -Bernoulli(logits=logits).log_prob(observation).sum(-1)
    torch.testing.assert_close(Binary().nll(logits, observation), expected)


def test_gradients_of_bernoulli_nll() -> None:
    logits = 3 * torch.randn(2, 4, 5, generator=seeded(1), dtype=torch.float64)
    pixels = torch.rand(1, 4, 5, generator=seeded(2), dtype=torch.float64)  # broadcasts over samples
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda each: Binary().nll(each, pixels), logits)
    assert torch.autograd.gradgradcheck(lambda each: Binary().nll(each, pixels), logits)
    shared = logits.detach()[:, :1].clone().requires_grad_()  # of all four images
    assert torch.autograd.gradcheck(lambda each: Binary().nll(each, pixels), shared)


def test_bernoulli_nll_of_grayscale_is_the_cross_entropy() -> None:
    logits, observation = torch.tensor([[0.3, -2.0]]), torch.tensor([[0.25, 0.5]])
    expected = nn.functional.binary_cross_entropy_with_logits(logits, observation, reduction="sum")
    torch.testing.assert_close(Binary().nll(logits, observation), expected[None])


def test_bernoulli_nll_is_finite_far_out_and_broadcasts() -> None:
    logits = torch.tensor([1e4, -1e4, 1e4])
    assert Binary().nll(logits, torch.tensor([1.0, 0.0, 0.0])).item() == pytest.approx(1e4)
    assert Binary().nll(torch.zeros(2, 7, 4, PIXELS), images(2, 1, 4)).shape == (2, 7, 4)
    assert Binary().nll(torch.zeros(PIXELS), images()).item() == pytest.approx(PIXELS * math.log(2))


def test_shapes_of_the_thesis() -> None:
    model = VAE(blueprint(Architecture(), Categorical(30, 10), 28, 28), generators(1))
    shapes = {name: tuple(each.shape[1:]) for name, each in model.named_parameters() if name.endswith("weight")}
    assert list(shapes.values()) == [(784, 500), (500, 300), (300, 500), (500, 784)]
    assert sum(each.numel() for each in model.parameters()) == 784 * 500 * 2 + 500 * 300 * 2 + 500 * 2 + 300 + 784


def test_a_deeper_decoder_mirrors_the_encoder() -> None:
    model = build(Architecture(4, 3, (9, 7, 5)))
    widths = [tuple(layer.weight.shape[1:]) for layer in (*model.encoder.network.layers, *model.decoder.layers)]
    assert widths == [(12, 9), (9, 7), (7, 5), (5, 12), (12, 5), (5, 7), (7, 9), (9, 12)]


@pytest.mark.parametrize("hidden", [(), (9,), (9, 7)])
def test_encode_decode_and_kl_have_the_shapes_they_say(hidden: tuple[int, ...]) -> None:
    model = build(Architecture(4, 3, hidden), members=3)
    logits = model.encode(images(3, 6))
    assert logits.shape == (3, 6, 4, 3)
    assert model.decode(logits.softmax(-1)).shape == (3, 6, PIXELS)
    assert model.kl(logits).shape == (3, 6)


def test_encoder_is_the_network_that_its_layers_spell_out() -> None:
    """One member's layers by hand: x W + b, softplus, x W + b, cut into N rows of K."""
    encoder = build(Architecture(4, 3, (9,))).encoder
    assert isinstance(encoder, Encoder)
    observation = images(2, 6)
    first, second = encoder.network.layers
    for p in range(2):
        hidden = nn.functional.softplus(observation[p] @ first.weight[p] + first.bias[p])
        expected = (hidden @ second.weight[p] + second.bias[p]).view(6, 4, 3)
        torch.testing.assert_close(encoder(observation)[p], expected)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_activation_is_the_one_that_was_asked_for(activation: str) -> None:
    model = build(Architecture(4, 3, (9,), activation))
    first, second = model.encoder.network.layers
    observation = images(2, 6)
    hidden = getattr(torch, activation)(observation @ first.weight + first.bias)
    torch.testing.assert_close(model.encode(observation).flatten(-2), hidden @ second.weight + second.bias)


@pytest.mark.parametrize("initialisation", ["glorot", "fan-in"])
def test_initialisation_is_the_one_that_was_asked_for(initialisation: str) -> None:
    """Of encoder, decoder and the maps between stochastic layers: uniform up to the bound of its kind."""
    architecture = Architecture(20, 5, (200,), layers=2, initialisation=initialisation)
    model = VAE(blueprint(architecture, Categorical(20, 5), 5, 10), [seeded(0)])
    weights = {name: each for name, each in model.named_parameters() if name.endswith("weight")}
    assert len(weights) > 4
    for name, weight in weights.items():
        inputs, outputs = weight.shape[-2:]
        bound = math.sqrt(6 / (inputs + outputs)) if initialisation == "glorot" else inputs**-0.5
        assert float(weight.detach().abs().max()) == pytest.approx(bound, rel=0.01), name


def test_members_do_not_touch_each_other() -> None:
    model = build(Architecture(4, 3, (9,)), members=3)
    observation = images(3, 6).requires_grad_()
    model.decode(model.encode(observation).softmax(-1))[1].sum().backward()
    assert observation.grad is not None
    assert observation.grad[1].abs().sum() > 0
    assert observation.grad[[0, 2]].abs().sum() == 0
    for parameter in model.parameters():
        assert parameter.grad is not None
        assert parameter.grad[[0, 2]].abs().sum() == 0


def test_objective_offers_its_parts() -> None:
    model = build(Architecture(4, 3, (9,)))
    observation = images(2, 6)
    objective = model.objective(observation)
    sample = torch.eye(3)[torch.randint(3, (2, 6, 4), generator=torch.Generator().manual_seed(0))]
    output = objective.decode(sample)
    assert torch.equal(output, model.decode(sample))
    distribution = Bernoulli(logits=output)
    torch.testing.assert_close(objective(sample), -distribution.log_prob(observation).sum(-1))
    torch.testing.assert_close(objective.loss(output), objective(sample))
    assert objective.model is not None
    torch.testing.assert_close(objective.model.predict(output), distribution.mean)
    assert objective.model.encode is not None
    assert torch.equal(objective.model.encode(observation), model.encode(observation))
    assert objective.model.observation is observation
    # The KL term is the mean of the sample's own KL, each times beta.
    logits, beta = model.encode(observation), torch.tensor([0.3, 2.0])
    weighted = model.objective(observation, beta)
    assert weighted.kl_term is not None
    assert weighted.sample_kl is not None
    torch.testing.assert_close(weighted.kl_term(logits), beta.unsqueeze(-1) * model.kl(logits))
    ratio = log_prob(logits, sample) + 4 * math.log(3)
    torch.testing.assert_close(weighted.sample_kl(logits, sample), beta.unsqueeze(-1) * ratio)


def test_categorical_kl_is_exact() -> None:
    model = build(Architecture(4, 3, (9,)))
    logits = model.encode(images(2, 6)) * 5
    uniform = OneHotCategorical(logits=torch.zeros_like(logits))
    expected = kl_divergence(OneHotCategorical(logits=logits), uniform).sum(-1)
    torch.testing.assert_close(model.kl(logits), expected)


def check_kl(model: VAE) -> None:
    """The loss beside the estimate is what the samples cost by themselves, over all their states."""
    parameters = model.encode(images(2, 6)) * 5
    states = enumerate_states(4, 3)[:, None, None].expand(-1, 2, 6, -1, -1)
    cost = (log_prob(parameters, states).exp() * -model.family.log_ratio(parameters, states)).sum(0)
    torch.testing.assert_close(model.kl(parameters), cost, rtol=1e-4, atol=1e-4)


class Averaged(VAE):
    """With the KL averaged over the latents, as in some public scripts."""

    def kl(self, parameters: Tensor) -> Tensor:
        return super().kl(parameters) / self.family.latents


def test_a_kl_that_is_averaged_over_latents_is_caught() -> None:
    architecture = Architecture(4, 3, (9,))
    check_kl(build(architecture))
    with pytest.raises(AssertionError):
        check_kl(Averaged(blueprint(architecture, Categorical(4, 3), 3, 4), generators(2)))


def test_gaussian_family() -> None:
    """Encoder N x 2 (mean, log-variance), decoder N x 1, and the exact KL to the standard normal."""
    model = build(Architecture(4, 3, (9,)), family=Gaussian(4))
    parameters = model.encode(images(2, 6))
    assert parameters.shape == (2, 6, 4, 2)
    mean, log_variance = parameters.unbind(-1)
    normal = Normal(mean, (log_variance / 2).exp())
    expected = kl_divergence(normal, Normal(0.0, 1.0)).sum(-1)
    torch.testing.assert_close(model.kl(parameters), expected)
    sample = model.family.sample(parameters, Noise(generators(2, seed=5)))
    assert sample.shape == (2, 1, 6, 4, 1)
    assert model.decode(sample.squeeze(1)).shape == (2, 6, PIXELS)


def test_reduced_precision_ends_at_the_network() -> None:
    """Logits and pixels are float32 under autocast, so that KL and likelihood are summed in it."""
    model = build(Architecture(4, 3, (9,)))
    with torch.autocast("cpu", torch.bfloat16):
        logits = model.encode(images(2, 6))
        output = model.decode(logits.softmax(-1))
        inner = model.encoder.network(images(2, 6))
    assert (inner.dtype, logits.dtype, output.dtype) == (torch.bfloat16, torch.float32, torch.float32)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"latents": 0}, "latents is 0; give at least 1"),
        ({"categories": -1}, "categories is -1; give at least 2"),
        ({"hidden": (500, 0)}, r"hidden is \(500, 0\); every width must be a whole number of at least 1"),
        ({"activation": "sigmoidal"}, "unknown activation 'sigmoidal'; choose from softplus"),
    ],
)
def test_architectures_that_cannot_be(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Architecture(**fields)
