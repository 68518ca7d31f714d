"""Points in the plane: where they lie, and which mode they are of."""

import math

import pytest
import torch

from discrete_vae.data import DataConfig, load
from discrete_vae.data.points import EIGHT_GAUSSIANS, TWENTY_FIVE_GAUSSIANS, Mixture


@pytest.mark.parametrize(("mixture", "count"), [(EIGHT_GAUSSIANS, 8), (TWENTY_FIVE_GAUSSIANS, 25)])
def test_points_are_gaussian_around_their_centres(mixture: Mixture, count: int) -> None:
    points, labels = mixture.observations(100_000, torch.Generator().manual_seed(0))
    assert (points.shape, points.dtype, labels.dtype) == ((100_000, 2), torch.float32, torch.int64)
    # 5 standard errors of a binomial count, of a mean and of a standard deviation.
    expected = 100_000 / count
    assert ((labels.bincount(minlength=count) - expected).abs() < 5 * math.sqrt(expected)).all()
    noise = (points - torch.tensor(mixture.centres)[labels]) / mixture.sd
    assert (noise.mean(0).abs() < 5 / math.sqrt(100_000)).all()
    assert ((noise.std(0) - 1).abs() < 5 / math.sqrt(200_000)).all()
    assert abs(torch.corrcoef(noise.T)[0, 1]) < 5 / math.sqrt(100_000)


def test_centres_and_spreads_are_those_of_the_papers_code() -> None:
    radii = [math.hypot(*centre) for centre in EIGHT_GAUSSIANS.centres]
    assert radii == pytest.approx([2 / 1.414] * 8)
    assert EIGHT_GAUSSIANS.centres[1] == pytest.approx((1.0, 1.0), abs=1e-3)
    assert EIGHT_GAUSSIANS.sd == pytest.approx(0.0141, abs=1e-4)
    assert len(set(TWENTY_FIVE_GAUSSIANS.centres)) == 25
    assert TWENTY_FIVE_GAUSSIANS.centres[0] == pytest.approx((-4 / 2.828, -4 / 2.828))
    assert TWENTY_FIVE_GAUSSIANS.centres[12] == (0, 0)
    assert TWENTY_FIVE_GAUSSIANS.sd == pytest.approx(0.0177, abs=1e-4)


def test_modes_are_discs_of_three_standard_deviations() -> None:
    mixture = Mixture(centres=((0.0, 0.0), (1.0, 0.0)), sd=0.1)
    points = torch.tensor([[0.0, 0.0], [0.29, 0.0], [0.0, -0.31], [0.9, 0.1], [0.5, 0.0], [-7.0, 7.0]])
    assert mixture.modes(points).tolist() == [0, 0, -1, 1, -1, -1]
    assert mixture.modes(points, tolerance=6).tolist() == [0, 0, 0, 1, 0, -1]
    assert mixture.modes(points.view(2, 3, 2)).shape == (2, 3)


@pytest.mark.parametrize("mixture", [EIGHT_GAUSSIANS, TWENTY_FIVE_GAUSSIANS])
def test_points_lie_in_the_mode_they_were_drawn_from(mixture: Mixture) -> None:
    points, labels = mixture.observations(100_000, torch.Generator().manual_seed(1))
    modes = mixture.modes(points)
    assert modes[modes >= 0].equal(labels[modes >= 0])
    # The share 1 - exp(-9 / 2) within 5 standard errors.
    share = 1 - math.exp(-9 / 2)
    assert abs((modes >= 0).double().mean() - share) < 5 * math.sqrt(share * (1 - share) / 100_000)


def test_the_swiss_roll_winds_from_its_inner_to_its_outer_end() -> None:
    data = load(DataConfig("swiss-roll"))
    points = data.train.pixels.double() * 7.5
    assert data.train.labels.unique().tolist() == [0]
    radius = points.norm(dim=1)
    # 5 standard deviations of the noise, 0.25, beyond either end of the spiral.
    assert radius.min() > 1.5 * math.pi - 1.25
    assert radius.max() < 4.5 * math.pi + 1.25
    # On the spiral the angle is the radius but for whole turns, whatever the noise of 0.25: mean cosine e^-(s^2 / 2),
    # with s^2 below 0.0625 (1 + 1 / (1.5 pi)^2).
    angle = torch.atan2(points[:, 1], points[:, 0])
    assert (angle - radius).cos().mean() > 0.96
