"""How settings are chosen: grids that grow, seeds that are not the results', and what lies at an end."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest

from discrete_vae.config import Config
from discrete_vae.errors import InputError
from discrete_vae.schedules import Schedule
from discrete_vae.strategies.gumbel_softmax import GumbelSoftmaxOptions
from discrete_vae.strategies.target_propagation import TargetPropagationOptions
from reports import jang, reinmax
from reports.kit.declared import Preset
from reports.kit.search import BETA, TEMPERATURE, WEIGHT_DECAY, at_end, beyond, rate_axis, require_other_seeds, widened


def config(rate: float, temperature: float = 1.0) -> Config:
    return Config(options=GumbelSoftmaxOptions(Schedule(temperature)), learning_rate=Schedule(rate))


def grown(best: float, rates: Sequence[float], steps: int = 4) -> list[float]:
    """The rates that are tried where the score falls with the distance to ``best``, in logarithms."""

    def score(configs: Sequence[Config]) -> dict[Config, float]:
        found = {each: each.learning_rate.initial for each in configs}
        return {each: -max(rate / best, best / rate) for each, rate in found.items()}

    tried = widened([config(rate) for rate in rates], score, [rate_axis(), TEMPERATURE], steps)
    return [each.learning_rate.initial for each in tried]


@pytest.mark.parametrize(
    ("values", "best", "following"),
    [
        ((1e-3, 3e-3), 3e-3, 9e-3),
        ((1e-3, 3e-3), 1e-3, 3.33e-4),
        ((0.5, 1.0, 1.3), 1.3, 1.69),
        ((0.5, 1.0, 1.3), 0.5, 0.25),
        ((0.5, 1.0, 1.3), 1.0, None),
        ((5e-4,), 5e-4, None),
        ((0.0, 0.03, 0.1), 0.0, None),
        ((0.0, 0.03), 0.03, None),
    ],
)
def test_a_grid_goes_on_by_its_own_ratio(values: tuple[float, ...], best: float, following: float | None) -> None:
    assert beyond(values, best) == (None if following is None else pytest.approx(following))


def test_a_grid_grows_until_the_best_lies_inside() -> None:
    assert grown(2e-3, (1e-3, 2e-3, 4e-3)) == [1e-3, 2e-3, 4e-3]
    assert grown(1e-2, (1e-3, 3e-3)) == pytest.approx([1e-3, 3e-3, 9e-3, 2.7e-2])
    assert grown(1e-4, (1e-3, 2e-3)) == pytest.approx([1e-3, 2e-3, 5e-4, 2.5e-4, 1.25e-4, 6.25e-5])
    assert len(grown(10.0, (1e-3, 3e-3), steps=3)) == 2 + 3, "not for ever"
    assert grown(10.0, (1e-3,)) == [1e-3], "one value is no grid"


def test_both_axes_grow_and_the_learning_rate_of_a_mirror_goes_with_it() -> None:
    def one(config: Config) -> float:
        values = config.learning_rate.initial / 8e-3, config.options.temperature.initial / 0.25
        return -sum(max(value, 1 / value) for value in values)

    mirror = TargetPropagationOptions("mirror", geometry="second-order")
    options = [dataclasses.replace(mirror, temperature=Schedule(each)) for each in (0.5, 1.0)]
    first = [
        Config("target-propagation", each, learning_rate=Schedule(rate), auxiliary_learning_rate=Schedule(rate))
        for rate in (1e-3, 2e-3)
        for each in options
    ]
    axes = [rate_axis(shared=True), TEMPERATURE]
    tried = widened(first, lambda configs: {each: one(each) for each in configs}, axes)
    best = max(tried, key=tried.__getitem__)
    assert (best.learning_rate, best.options.temperature) == (Schedule(8e-3), Schedule(0.25))
    assert best.auxiliary_learning_rate == best.learning_rate


def test_where_every_trial_failed_nothing_grows() -> None:
    rates = [config(1e-3), config(3e-3)]
    assert list(widened(rates, lambda configs: dict.fromkeys(configs, float("-inf")), [rate_axis()])) == rates


def test_a_falling_temperature_is_on_no_grid() -> None:
    falling = dataclasses.replace(config(1e-3), options=GumbelSoftmaxOptions(Schedule(1.0, decay=0.9)))
    assert TEMPERATURE.value(falling) is None
    assert TEMPERATURE.value(config(1e-3, 0.5)) == 0.5


def test_a_rate_that_falls_over_the_run_grows_and_still_falls() -> None:
    falling = Schedule(2e-3, decay=0.1, unit="run")
    tried = [
        dataclasses.replace(config(1e-3), learning_rate=dataclasses.replace(falling, initial=rate))
        for rate in (1e-3, 2e-3)
    ]
    found = widened(tried, lambda configs: {each: each.learning_rate.initial for each in configs}, [rate_axis()], 1)
    assert [each.learning_rate for each in found][-1] == dataclasses.replace(falling, initial=4e-3)
    own = dataclasses.replace(config(1e-3), learning_rate=Schedule(1e-3, decay=0.9))
    assert rate_axis().value(own) is None, "another rate an epoch is on no grid"


def test_weight_decay_has_an_end_above_only() -> None:
    tried = [dataclasses.replace(config(1e-3), weight_decay=Schedule(decay)) for decay in (0.0, 0.03, 0.1)]
    best = dict(zip(tried, (3.0, 2.0, 1.0), strict=True))
    assert list(widened(tried, lambda configs: {each: best[each] for each in configs}, [WEIGHT_DECAY])) == tried
    assert at_end(tried[0], tried, [WEIGHT_DECAY]) == []
    assert at_end(tried[2], tried, [WEIGHT_DECAY]) == ["weight_decay"]
    found = widened(tried, lambda configs: {each: each.weight_decay.initial for each in configs}, [WEIGHT_DECAY], 1)
    assert list(found)[-1].weight_decay == Schedule(0.333)


def test_what_lies_at_an_end() -> None:
    tried = [config(rate, tau) for rate in (1e-3, 3e-3, 9e-3) for tau in (0.5, 1.0)]
    axes = [rate_axis(), TEMPERATURE, BETA]
    assert at_end(config(9e-3, 0.5), tried, axes) == ["learning rate", "temperature"]
    assert at_end(config(3e-3, 1.0), tried, axes) == ["temperature"]
    assert at_end(config(3e-3), [config(1e-3), config(3e-3), config(9e-3)], axes) == [], "one value is no grid"


def test_no_report_chooses_with_a_seed_of_its_results() -> None:
    with pytest.raises(InputError, match="seed 1 is both"):
        require_other_seeds([1], [0, 1, 2])
    with pytest.raises(InputError, match="seed 0 is both"):
        Preset(2, trial_seeds=(0,))
    for report in (jang.REPORT, reinmax.REPORT):
        for preset in report.presets.values():
            assert preset.shared_seeds or not set(preset.trial_seeds) & set(preset.seeds)
