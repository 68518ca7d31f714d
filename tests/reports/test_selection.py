"""How settings are chosen: grids that grow, seeds that are not the results', and what is said of a choice."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

import pandas as pd
import pytest

from discrete_vae.config import Config
from discrete_vae.errors import InputError
from discrete_vae.schedules import Schedule
from discrete_vae.strategies.gumbel_softmax import GumbelSoftmaxOptions
from discrete_vae.strategies.target_propagation import TargetPropagationOptions
from reports import adversarial_vae, grid, jang, reinmax, semi_supervised, target_propagation_settings
from reports.kit.search import TEMPERATURE, beyond, edges, rate_axis, require_other_seeds, seeds_told, widened


@dataclasses.dataclass(frozen=True)
class Trial:
    """What ``widened`` looks at of a run."""

    config: Config


def config(rate: float, temperature: float = 1.0) -> Config:
    return Config(options=GumbelSoftmaxOptions(Schedule(temperature)), learning_rate=Schedule(rate))


def train(configs: Sequence[Config]) -> list[Trial]:
    return [Trial(each) for each in configs]


def grown(best: float, rates: Sequence[float], steps: int = 4) -> list[float]:
    """The rates that are tried where the score falls with the distance to ``best``, in logarithms."""

    def score(trial: Trial) -> float:
        rate = trial.config.learning_rate.initial
        return -max(rate / best, best / rate)

    tried = widened(train([config(rate) for rate in rates]), train, score, [rate_axis(), TEMPERATURE], steps)  # type: ignore[arg-type]
    return [each.config.learning_rate.initial for each in tried]


@pytest.mark.parametrize(
    ("values", "best", "following"),
    [
        ((1e-3, 3e-3), 3e-3, 9e-3),
        ((1e-3, 3e-3), 1e-3, 3.33e-4),
        ((0.5, 1.0, 1.3), 1.3, 1.69),
        ((0.5, 1.0, 1.3), 0.5, 0.25),
        ((0.5, 1.0, 1.3), 1.0, None),
        ((5e-4,), 5e-4, None),
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
    def score(trial: Trial) -> float:
        values = trial.config.learning_rate.initial / 8e-3, trial.config.options.temperature.initial / 0.25
        return -sum(max(value, 1 / value) for value in values)

    mirror = TargetPropagationOptions("mirror", geometry="second-order")
    options = [dataclasses.replace(mirror, temperature=Schedule(each)) for each in (0.5, 1.0)]
    first = [
        Config("target-propagation", each, learning_rate=Schedule(rate), auxiliary_learning_rate=Schedule(rate))
        for rate in (1e-3, 2e-3)
        for each in options
    ]
    tried = widened(train(first), train, score, [rate_axis(shared=True), TEMPERATURE])  # type: ignore[arg-type]
    best = max(tried, key=score).config  # type: ignore[arg-type]
    assert (best.learning_rate, best.options.temperature) == (Schedule(8e-3), Schedule(0.25))
    assert best.auxiliary_learning_rate == best.learning_rate
    assert len({each.config for each in tried}) == len(tried)


def test_a_falling_temperature_is_on_no_grid() -> None:
    falling = dataclasses.replace(config(1e-3), options=GumbelSoftmaxOptions(Schedule(1.0, decay=0.9)))
    assert TEMPERATURE.value(falling) is None
    assert TEMPERATURE.value(config(1e-3, 0.5)) == 0.5


def test_no_report_chooses_with_a_seed_of_its_results() -> None:
    with pytest.raises(InputError, match="seed 1 is both"):
        require_other_seeds([1], [0, 1, 2])
    with pytest.raises(InputError, match="seed 0 is both"):
        dataclasses.replace(jang.PRESETS["quick"], trial_seed=0)
    for report in (jang, reinmax, adversarial_vae):
        assert all(preset.trial_seed not in preset.seeds for preset in report.PRESETS.values())
    for preset in semi_supervised.PRESETS.values():
        assert not set(preset.trial_seeds) & set(preset.seeds)
    for preset in target_propagation_settings.PRESETS.values():
        assert preset.search is None or preset.search.seed not in preset.seeds
    assert isinstance(jang.PRESETS["full"], grid.Preset)


def table(row: str, seed: int, *settings: tuple[float, str | None]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "row": row,
            "seed": seed,
            "parameters": json.dumps({"learning_rate": f"{rate:g}", "options": {"temperature": tau}, "epochs": 3}),
        }
        for rate, tau in settings
    )


def test_what_is_said_of_a_choice() -> None:
    tuning = pd.concat(
        [
            table("A", 7, (1e-3, "0.5"), (3e-3, "0.5"), (3e-3, "1")),
            table("B", 7, (1e-3, None), (3e-3, None), (9e-3, None)),
        ]
    )
    results = pd.concat([table("A", 0, (3e-3, "1")), table("B", 0, (3e-3, None))])
    told = edges(tuning, results)
    assert told.startswith("At the end of its grid")
    assert "learning rate 0.003, the highest tried (A)" in told
    assert "temperature 1, the highest tried (A)" in told
    assert "B" not in told.replace("Better", "")
    inside = edges(tuning[tuning["row"] == "B"], results)
    assert inside == "Every chosen learning rate lies inside the grid that it was chosen from."
    assert seeds_told(tuning, results) == "Trials had seed 7, which no result has."
    assert "the choice has seen that seed" in seeds_told(tuning, tuning)
