"""Semi-supervised classification, against sums over its classes and integrals over its style."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from discrete_vae import data
from discrete_vae.config import Config
from discrete_vae.errors import InputError
from discrete_vae.evaluation import evaluate
from discrete_vae.latents.categorical import Categorical, one_hot
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.likelihoods import Bernoulli
from discrete_vae.strategies import GumbelSoftmax, Marginalisation
from discrete_vae.tasks import Architecture, LabelsAlone, SemiSupervised, Supervision
from discrete_vae.tasks.semi_supervised import balanced
from discrete_vae.training import loop as training
from tests.tiny_images import blueprint

CLASSES, PIXELS, MEMBERS, BATCH = 3, 7, 2, 4
SIZES = Architecture(latents=1, categories=CLASSES, hidden=(6,), style=1)


def generators(stream: str) -> list[torch.Generator]:
    return [seeded(seed, stream) for seed in range(MEMBERS)]


def settings(supervision: Supervision) -> Config:
    return Config(task="semi-supervised", architecture=Architecture(1, CLASSES), supervision=supervision)


@pytest.fixture
def split() -> data.Split:
    drawn = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 2, (60, PIXELS), generator=drawn, dtype=torch.uint8)
    return data.Split(pixels, torch.arange(60) % CLASSES)


@pytest.fixture
def model(split: data.Split) -> SemiSupervised:
    made = SemiSupervised(blueprint(SIZES, Categorical(1, CLASSES), 1, PIXELS), generators("weights"))
    made.setup(split, settings(Supervision(labelled=6, alpha=2.0)), [0, 1])
    return made


def batch(model: SemiSupervised, split: data.Split) -> Tensor:
    order = torch.stack([torch.randperm(60, generator=each)[:BATCH] for each in generators("order")])
    return model.train_batch(split, order, [])


def test_labelled_images_are_balanced_and_chosen_by_the_seed() -> None:
    labels = torch.arange(60) % CLASSES
    one, other = (balanced(labels, 12, CLASSES, seed) for seed in (0, 1))
    assert labels[one].bincount().tolist() == [4, 4, 4]
    assert len(set(one.tolist())) == 12
    assert set(one.tolist()) != set(other.tolist())
    assert torch.equal(one, balanced(labels, 12, CLASSES, 0))
    with pytest.raises(InputError, match="multiple of the 3 classes"):
        balanced(labels, 10, CLASSES, 0)
    with pytest.raises(InputError, match="class 0 has 20 images only"):
        balanced(labels, 63, CLASSES, 0)


def test_members_have_the_labelled_images_of_their_own_seeds(model: SemiSupervised, split: data.Split) -> None:
    assert [own.tolist() for own in model.labelled] == [balanced(split.labels, 6, CLASSES, p).tolist() for p in (0, 1)]


def test_the_styles_kl_is_a_sum_over_its_variables(split: data.Split) -> None:
    made = SemiSupervised(
        blueprint(dataclasses.replace(SIZES, style=3), Categorical(1, CLASSES), 1, PIXELS), generators("weights")
    )
    pixels = split.batch(torch.arange(4).expand(MEMBERS, -1))
    classes = one_hot(torch.ones(MEMBERS, 4, 1).long(), CLASSES)
    mean, log_variance = made.infer_style(pixels, classes.squeeze(-2)).unbind(-1)
    kl = ((mean**2 + log_variance.exp() - 1 - log_variance) / 2).sum(-1)
    objective = made.objective(pixels, 0.7)
    output = objective.decode(classes)
    torch.testing.assert_close(output[..., -1], kl)
    torch.testing.assert_close(objective.loss(output), Bernoulli().nll(output[..., :-1], pixels) + 0.7 * kl)


def test_half_of_a_batch_has_its_classes(model: SemiSupervised, split: data.Split) -> None:
    seen = batch(model, split)
    assert seen.shape == (MEMBERS, 2 * BATCH, PIXELS + CLASSES)
    assert not seen[:, :BATCH, PIXELS:].any()
    for p in range(MEMBERS):
        known = {(*split.pixels[i].tolist(), int(split.labels[i])) for i in model.labelled[p]}
        for row in seen[p, BATCH:]:
            assert (*row[:PIXELS].int().tolist(), int(row[PIXELS:].argmax())) in known


def parts(model: SemiSupervised, images: Tensor, epsilon: Tensor, beta: float = 1.0) -> Tensor:
    """f(y) of every class, written down once more: ``[K, P, B]``."""
    costs = []
    for k in range(CLASSES):
        classes = one_hot(torch.full(images.shape[:-1], k), CLASSES)
        given = model.style_encoder(torch.cat([images, classes], -1)).unflatten(-1, (1, 2))
        mean, log_variance = given[..., 0, 0], given[..., 0, 1]
        z = mean + (log_variance / 2).exp() * epsilon[..., 0, 0]
        logits = model.decoder(torch.cat([classes, z.unsqueeze(-1)], -1))
        kl = (mean**2 + log_variance.exp() - 1 - log_variance) / 2
        costs.append(Bernoulli().nll(logits, images) + beta * kl)
    return torch.stack(costs)


@pytest.mark.parametrize(("labelled", "weight"), [(6, 1.0), (3, 5.0)], ids=["a half", "fewer than a batch"])
def test_the_loss_is_the_papers(model: SemiSupervised, split: data.Split, labelled: int, weight: float) -> None:
    """Exact marginalisation equals the sum over the classes, in value where it is exact and in every gradient.

    Beta weighs all that is no likelihood, -log p(y) as well.
    """
    beta = 0.7
    model.setup(split, settings(Supervision(labelled, 2.0, weight)), [0, 1])
    seen = batch(model, split)
    images, classes = seen[..., :PIXELS], seen[:, BATCH:, PIXELS:]
    assert classes.shape[1] == min(BATCH, labelled)
    noise = Noise(generators("noise"))
    parameters = model.encode(seen)
    estimate = model.estimate([Marginalisation()], seen, parameters, beta, noise)
    loss = estimate.loss.mean(-1) + beta * model.kl(parameters).mean(-1)
    found = torch.autograd.grad(loss.sum(), list(model.parameters()))

    parameters = model.encode(seen)
    epsilon = Noise(generators("noise")).normal((*seen.shape[:2], 1, 1))
    costs, q = parts(model, images, epsilon, beta), parameters.squeeze(-2).softmax(-1).movedim(-1, 0)
    without = (q * (costs + beta * (q.log() + math.log(CLASSES)))).sum(0)[:, :BATCH]
    known = (costs.movedim(0, -1)[:, BATCH:] * classes).sum(-1) + beta * math.log(CLASSES)
    entropy = -(classes * parameters.squeeze(-2)[:, BATCH:].log_softmax(-1)).sum(-1)
    exact = without.mean(-1) + (weight * labelled / 60 * known + 2.0 * entropy).mean(-1)
    for one, other in zip(found, torch.autograd.grad(exact.sum(), list(model.parameters())), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    # The value is that of the class that was drawn.
    drawn = (estimate.sample.squeeze(-2) * costs.movedim(0, -1)[:, :BATCH]).sum(-1)
    torch.testing.assert_close(estimate.loss[:, :BATCH] * BATCH / seen.shape[1], drawn)
    labels = estimate.loss[:, BATCH:] * classes.shape[1] / seen.shape[1]
    torch.testing.assert_close(labels, weight * labelled / 60 * known + 2.0 * entropy)


def test_the_bound_is_the_integral_over_the_style(model: SemiSupervised, split: data.Split) -> None:
    """With 20,000 samples, within four standard errors of the sum over classes and the integral over z.

    From a posterior near the prior, so that the weights have a variance to speak of errors by.
    """
    with torch.no_grad():
        model.style_encoder.layers[-1].weight.mul_(0.1)
    images = split.batch(torch.arange(3).expand(MEMBERS, -1))
    log_prob, log_ratio = model.log_weights(images, model.encode(images), Noise(generators("noise")), 20_000)
    weights = (log_prob + log_ratio).exp()
    z = torch.linspace(-8, 8, 2001)
    density = torch.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])
    exact = torch.zeros(MEMBERS, 3)
    for k in range(CLASSES):
        classes = one_hot(torch.full((MEMBERS, len(z)), k), CLASSES)
        logits = model.decoder(torch.cat([classes, z.expand(MEMBERS, -1).unsqueeze(-1)], -1))
        likelihood = torch.stack([-Bernoulli().nll(logits, images[:, i : i + 1]) for i in range(3)], 1).exp()
        exact += (likelihood * density).sum(-1) / CLASSES
    error = weights.std(1) / math.sqrt(20_000)
    assert ((weights.mean(1) - exact).abs() < 4 * error).all()


def test_accuracy_is_that_of_the_classifier(model: SemiSupervised) -> None:
    logits = torch.tensor([[[[2.0, 1.0, 0.0]], [[0.0, 1.0, 2.0]]]])
    assert model.scores(logits, torch.tensor([0, 1]))["accuracy"].tolist() == [[1.0, 0.0]]


def test_a_run_learns_and_is_scored(tmp_path: Path) -> None:
    """A few steps on MNIST with all strategies' contract: a relaxed sample goes through as well as a hard one."""
    images = data.load()
    few = dataclasses.replace(
        images.validation, pixels=images.validation.pixels[:500], labels=images.validation.labels[:500]
    )
    images = data.Dataset.of("few-of-mnist", images.train, few, few, shape=(28, 28))
    configs = [
        Config(
            name,
            task="semi-supervised",
            architecture=Architecture(latents=1, categories=10, hidden=(32,), style=4),
            data=images.config,
            batch_size=500,
            epochs=1,
        )
        for name in ("marginalisation", "gumbel-softmax")
    ]
    runs = training.train(configs, tmp_path, images)
    found = evaluate(runs, images, "validation", 5)
    accuracy = found[found["metric"] == "accuracy"]["value"]
    assert len(accuracy) == 2
    assert (accuracy > 0.3).all(), "ten classes"
    assert set(found["metric"]) >= {"elbo", "kl", "log_likelihood"}


def test_the_classifier_alone_learns_from_the_same_images_by_itself(model: SemiSupervised, split: data.Split) -> None:
    """The same initial weights and images, the cross-entropy alone, and no pixels explained."""
    alone = LabelsAlone(blueprint(SIZES, Categorical(1, CLASSES), 1, PIXELS), generators("weights"))
    alone.setup(split, settings(Supervision(labelled=6)), [0, 1])
    assert torch.equal(alone.labelled, model.labelled)
    for one, other in zip(alone.encoder.parameters(), model.encoder.parameters(), strict=True):
        assert torch.equal(one, other)
    seen = batch(alone, split)
    assert seen.shape == (MEMBERS, BATCH, PIXELS + CLASSES)
    logits = alone.encode(seen)
    loss = alone.estimate([GumbelSoftmax(0.5)], seen, logits, 1.0, Noise(generators("noise"))).loss
    places = seen[..., PIXELS:].argmax(-1)
    torch.testing.assert_close(loss, -logits.squeeze(-2).log_softmax(-1).gather(-1, places.unsqueeze(-1)).squeeze(-1))
    assert not alone.kl(logits).any()
    assert not any(each.any() for each in alone.log_weights(seen, logits, Noise(generators("noise")), 3))


def test_classes_and_images_are_multiplied_apart(model: SemiSupervised, split: data.Split) -> None:
    """All classes at once, the same for every image, give what each of them gives with each image."""
    images = split.batch(torch.arange(4).expand(MEMBERS, -1))
    states = torch.eye(CLASSES).reshape(CLASSES, 1, 1, 1, CLASSES)
    objective = model.objective(images)
    together = objective(states)
    apart = objective(states.expand(-1, MEMBERS, 4, -1, -1))
    assert together.shape == (CLASSES, MEMBERS, 4)
    torch.testing.assert_close(together, apart)


def test_samples_of_the_prior_have_a_class_and_a_style(model: SemiSupervised) -> None:
    one = SemiSupervised(blueprint(SIZES, Categorical(1, CLASSES), 1, PIXELS), generators("weights")[:1])
    code = one.prior_sample(5, Noise(generators("noise")[:1]))
    assert code.shape == (1, 5, 1, CLASSES + 1)
    assert (code[..., :CLASSES].sum(-1) == 1).all()
    torch.testing.assert_close(one.decode(code), one.decoder(code.squeeze(-2)))


def test_what_the_task_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="one categorical variable"):
        Config(task="semi-supervised", architecture=Architecture(latents=2))
    one = Architecture(latents=1)
    with pytest.raises(InputError, match="multiple of the 10"):
        Config(task="labels-alone", architecture=one, supervision=Supervision(labelled=15))
    with pytest.raises(InputError, match="such as rloo"):
        Config(task="semi-supervised", architecture=one, samples=2)
    with pytest.raises(InputError, match="the images have 3 classes"):
        balanced(torch.arange(3), 2, 2, 0)
    with pytest.raises(InputError, match="labelled is 0"):
        Supervision(labelled=0)


def test_a_strategy_that_decodes_a_relaxed_class_is_heard(model: SemiSupervised, split: data.Split) -> None:
    seen = batch(model, split)
    estimate = model.estimate([GumbelSoftmax(0.5)], seen, model.encode(seen), 1.0, Noise(generators("noise")))
    assert estimate.loss.shape == (MEMBERS, 2 * BATCH)
    assert estimate.loss.requires_grad


def test_an_epoch_shows_known_classes_equally_often(model: SemiSupervised, split: data.Split) -> None:
    """Also where more are known than a batch has images, and 60 places do not divide by their number."""
    for labelled in (12, 24):
        model.setup(split, settings(Supervision(labelled=labelled)), [0, 1])
        order = torch.randperm(60, generator=seeded(3)).view(15, 1, BATCH).expand(-1, MEMBERS, -1)
        shown = torch.stack([model.known(split, batch)[1] for batch in order])  # [15, P, B, K]
        assert shown.sum((0, 2)).eq(20).all()
