"""Searches: values put into configurations, seeds by trial, and studies that go on as if never stopped."""

from __future__ import annotations

import dataclasses
import functools
import json
import signal
from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution as Float
from optuna.trial import TrialState

from discrete_vae import parallel
from discrete_vae.config import Config
from discrete_vae.errors import InputError
from discrete_vae.runs import Run
from discrete_vae.schedules import Schedule
from discrete_vae.strategies.target_propagation import TargetPropagationOptions
from discrete_vae.tasks import Architecture
from discrete_vae.training import Interrupted
from discrete_vae.tuning import (
    DEFINITION,
    Search,
    Worker,
    active_trials,
    configure,
    metric_of,
    open_storage,
    open_study,
    table,
)
from discrete_vae.tuning.definition import differences
from discrete_vae.tuning.retries import FAILURE, RETRIES, SURPLUS
from discrete_vae.tuning.sampling import SeededByTrial, tpe
from discrete_vae.tuning.worker import METRICS, RUNS, VALUES
from reports.benchmarks.storage_overhead import instant
from studies import studies
from tests.tuning.tiny_worker import BASE, images, tiny


def study_in(path: Path, epochs: int = 2, base: Config = BASE):
    study = tiny(epochs, base)
    return study, open_study(study, "tiny", open_storage(str(path)))


def run(path: Path, runs: Path, trials: int, epochs: int = 2, **options):
    study, found = study_in(path, epochs, options.pop("base", BASE))
    Worker(runs, images(), **options).work(found, study, study.searches[""], trials)
    return found.get_trials()


def told(trials) -> list[tuple]:
    return [(trial.state, trial.values, trial.params, trial.intermediate_values) for trial in active_trials(trials)]


def test_values_go_to_options_schedules_and_joined_fields() -> None:
    base = Config("target-propagation", TargetPropagationOptions(inverse="network"))
    made = configure(
        base,
        {
            "learning_rate+auxiliary_learning_rate": 0.002,
            "beta": 0.5,
            "noise": 0.3,
            "temperature.decay": 0.9,
            "geometry": "second-order",
            "samples": 3,
        },
    )
    assert made.learning_rate == made.auxiliary_learning_rate == Schedule(0.002)
    assert (made.beta, made.samples) == (Schedule(0.5), 3)
    assert (made.options.noise, made.options.geometry) == (Schedule(0.3), "second-order")
    assert made.options.temperature == Schedule(1.0, decay=0.9)
    assert configure(Config("rloo", samples=3), {"objective": "bound"}).objective == "bound"


def test_a_value_without_effect_beside_another_is_left_out() -> None:
    """One that never has an effect is refused."""
    base = Config("target-propagation", TargetPropagationOptions(inverse="network"))
    values = {"geometry": "matching", "temperature": 0.3}
    assert configure(base, values) == configure(base, {"geometry": "matching"})
    assert configure(base, values | {"geometry": "second-order"}).options.temperature == Schedule(0.3)
    with pytest.raises(InputError, match="auxiliary_learning_rate has no effect with gumbel-softmax in task vae"):
        configure(Config(), {"learning_rate+auxiliary_learning_rate": 0.1})


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("temperatur", "did you mean 'temperature'"),
        ("samples.decay", "which is whole"),
        ("supervision.alph", "did you mean 'alpha'"),
        ("tau", "unknown value"),
    ],
)
def test_an_unknown_value_is_refused(name, reason) -> None:
    with pytest.raises(InputError, match=reason):
        configure(Config("gumbel-softmax"), {name: 1.0})


@pytest.mark.parametrize("study", studies().values(), ids=lambda study: study.name)
def test_every_study_can_be_configured(study) -> None:
    """With values from the ranges' ends and middles."""
    assert study.searches
    for search in study.searches.values():
        sampled = optuna.create_study(sampler=tpe(0))
        for _ in range(5):
            trial = sampled.ask(dict(search.space))
            configs = search.configs(trial.params, study.seeds, study.epochs)
            assert [config.seed for config in configs] == list(study.seeds)
            assert len({config.population_key for config in configs}) == 1
            sampled.tell(trial, 0.0)
        json.dumps(study.definition(search))


def test_seeds_belong_to_trials() -> None:
    """Whatever was asked before, in this process or another, a trial's first draws are its own, and no other's."""

    def drawn(count: int, skip: int = 0) -> list[float]:
        study = optuna.create_study(study_name="s", sampler=SeededByTrial(tpe, 0))
        for _ in range(skip):
            study.add_trial(optuna.create_trial(value=0.0))
        return [study.ask({"x": Float(0, 1)}).params["x"] for _ in range(count)]

    assert len(set(drawn(6))) == 6
    assert drawn(6)[3:] == drawn(3, skip=3)


def test_a_study_in_pieces_is_the_whole_study(tmp_path: Path) -> None:
    """And so is one that finds its runs trained, which prunes what it would have pruned."""

    def trained(configs, runs, *_, **__) -> None:
        assert all(Run.create(runs, config).finished for config in configs)

    whole = run(tmp_path / "whole.db", tmp_path / "runs", 4)
    run(tmp_path / "parts.db", tmp_path / "other runs", 2)
    parts = run(tmp_path / "parts.db", tmp_path / "other runs", 4)
    assert told(parts) == told(whole)
    again = run(tmp_path / "again.db", tmp_path / "runs", 4, train=trained)
    assert told(again) == told(whole)
    assert {trial.state for trial in whole} == {TrialState.COMPLETE}  # pruning begins with the sixth
    for trial in whole:
        seeds = trial.user_attrs[VALUES]
        assert list(seeds) == ["0", "1"]
        assert trial.user_attrs[METRICS]["elbo"] == pytest.approx(sum(seeds.values()) / 2)


def test_batches_give_the_same_values(tmp_path: Path) -> None:
    """What a trial is worth does not depend on who trains beside it, but for the rounding of float32."""
    one = run(tmp_path / "one.db", tmp_path / "runs", 3)
    many = run(tmp_path / "many.db", tmp_path / "other runs", 3, batch=3)
    for first, second in zip(one, many, strict=True):
        assert first.params == second.params  # the first eight trials are random
        assert first.value == pytest.approx(second.value, rel=1e-4)


class Interrupting:
    """Progress that is sent a signal at its first update, in mid-epoch."""

    def __init__(self) -> None:
        self.updates = 0

    def start(self, *_) -> None: ...
    def message(self, *_) -> None: ...
    def study(self, *_) -> None: ...

    def update(self, *_) -> None:
        self.updates += 1
        if self.updates == 1:
            signal.raise_signal(signal.SIGINT)


def test_an_interrupted_trial_goes_on(tmp_path: Path) -> None:
    """And so do those after it, with the values that they would have had."""
    with pytest.raises(Interrupted):
        run(tmp_path / "study.db", tmp_path / "runs", 2, epochs=4, progress=Interrupting())
    _, found = study_in(tmp_path / "study.db", 4)
    assert [trial.state for trial in found.get_trials()] == [TrialState.FAIL, TrialState.WAITING]
    stopped = run(tmp_path / "study.db", tmp_path / "runs", 2, epochs=4)
    whole = run(tmp_path / "whole.db", tmp_path / "other runs", 2, epochs=4)
    assert told(stopped) == told(whole), "the same bits"


def test_a_stopped_study_asks_for_what_it_would_have(tmp_path: Path) -> None:
    """Whether its worker was stopped or broke down; trials of instant objectives, long enough for TPE and pruning."""

    def breaking(at: dict[int, BaseException]):
        calls = iter(range(100))

        def train(*arguments, **settings):
            if (error := at.get(next(calls))) is not None:
                raise error
            return instant(*arguments, **settings)

        return train

    whole = run(tmp_path / "whole.db", tmp_path / "runs", 14, epochs=4, train=instant)
    path, runs = tmp_path / "study.db", tmp_path / "other runs"
    errors = {3: Interrupted("stopped"), 9: MemoryError("no memory")}
    train = breaking(errors)
    for error in errors.values():
        with pytest.raises(type(error)):
            run(path, runs, 14, epochs=4, train=train)
    stopped = run(path, runs, 14, epochs=4, train=train)
    assert len(stopped) == 16
    assert told(stopped) == told(whole)
    assert {trial.state for trial in whole} == {TrialState.COMPLETE, TrialState.PRUNED}


def test_a_trial_that_kills_its_workers_fails_in_the_end(tmp_path: Path) -> None:
    """With the reason; that its worker was stopped does not count against it."""
    path = tmp_path / "study.db"

    def broken(*_, **__) -> None:
        raise MemoryError("no memory")

    def stopping(*_, **__) -> None:
        raise KeyboardInterrupt

    for _ in range(RETRIES + 2):
        with pytest.raises(KeyboardInterrupt):
            run(path, tmp_path / "runs", 1, train=stopping)
    for _ in range(RETRIES + 1):
        with pytest.raises(MemoryError):
            run(path, tmp_path / "runs", 1, train=broken)
    (trial,) = active_trials(run(path, tmp_path / "runs", 1, train=broken))
    assert trial.state == TrialState.FAIL
    assert trial.user_attrs[FAILURE] == "no memory"


def test_a_failed_trial_has_its_reason_and_counts(tmp_path: Path) -> None:
    base = dataclasses.replace(BASE, beta=Schedule(1e30))
    trials = run(tmp_path / "study.db", tmp_path / "runs", 2, base=base)
    assert [trial.state for trial in trials] == [TrialState.FAIL] * 2
    assert all("not finite" in trial.user_attrs[FAILURE] for trial in trials)
    assert len(active_trials(trials)) == 2


def test_a_surplus_trial_does_not_count(tmp_path: Path) -> None:
    """As when another worker takes the last place between the look and the asking."""
    study, found = study_in(tmp_path / "study.db")
    worker = Worker(tmp_path / "runs", images())
    found.enqueue_trial({})
    for _ in range(2):
        found.ask(dict(study.searches[""].space))
    trial = found.ask(dict(study.searches[""].space))
    assert worker._surplus(found, trial, 2)
    assert not worker._surplus(found, trial, 3)
    trial.set_user_attr(SURPLUS, True)
    assert len(active_trials(found.get_trials())) == 2


def test_another_search_is_refused_with_what_differs(tmp_path: Path) -> None:
    study_in(tmp_path / "study.db")
    with pytest.raises(InputError, match=r"another one \(epochs: 2 stored, 3 asked\)"):
        study_in(tmp_path / "study.db", epochs=3)
    other = dataclasses.replace(BASE, batch_size=1000)
    with pytest.raises(InputError, match="fixed: batch_size: 500 stored, 1000 asked"):
        study_in(tmp_path / "study.db", base=other)
    study = tiny(2)
    wider = dataclasses.replace(study, searches={"": Search(BASE, {"learning_rate": Float(0.1, 1.0)})})
    with pytest.raises(InputError, match=r"space: temperature: .* stored, None asked"):
        open_study(wider, "tiny", open_storage(str(tmp_path / "study.db")))


def test_differences_are_told_by_name() -> None:
    assert differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}, "d": 4}) == [
        "a: c: 2 stored, 3 asked",
        "d: None stored, 4 asked",
    ]


CLASSES = Config(
    task="semi-supervised",
    architecture=Architecture(latents=1, hidden=(8,), style=2),
    batch_size=500,
    data=images().config,
)
SPACE = {"supervision.alpha": Float(1.0, 1e3, log=True), "supervision.labelled_weight": Float(1.0, 1e3, log=True)}


class Telling(Interrupting):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, text: str) -> None:
        self.lines.append(text)

    def study(self, name: str, done: int, total: int, best: str | None) -> None:
        self.lines.append(f"best {best}")

    def update(self, *_) -> None: ...


def test_a_study_says_what_it_maximises(tmp_path: Path) -> None:
    """Accuracy: the values, those of every epoch, and all that is told are of it; and it is not another study's."""
    study = dataclasses.replace(tiny(2), name="tiny", searches={"": Search(CLASSES, SPACE)}, metric="accuracy")
    storage = open_storage(str(tmp_path / "study.db"))
    found = open_study(study, "tiny", storage)
    assert metric_of(found) == "accuracy"
    progress = Telling()
    Worker(tmp_path / "runs", images(), progress=progress).work(found, study, study.searches[""], 1)
    (trial,) = found.get_trials()
    assert 0 < trial.value <= 1
    assert trial.value == pytest.approx(trial.user_attrs[METRICS]["accuracy"])
    assert sum(trial.user_attrs[VALUES].values()) / 2 == pytest.approx(trial.value)
    assert trial.intermediate_values[2] == pytest.approx(trial.value)
    assert f"accuracy {trial.value:.4f}" in " ".join(progress.lines)
    assert f"best accuracy {trial.value:.4f}" in progress.lines
    assert "accuracy 0" in table([found]).columns
    with pytest.raises(InputError, match="metric: accuracy stored, elbo asked"):
        open_study(dataclasses.replace(study, metric="elbo"), "tiny", storage)


def test_older_studies_go_on(tmp_path: Path) -> None:
    """They maximise the ELBO, and what was added to configurations since has its default."""
    study, found = study_in(tmp_path / "study.db")
    old = {name: value for name, value in study.definition(study.searches[""]).items() if name != "metric"}
    later = ("supervision", "criticism")
    old["fixed"] = {name: value for name, value in old["fixed"].items() if name not in later}
    del old["fixed"]["architecture"]["style"]
    found.set_user_attr(DEFINITION, old)
    _, again = study_in(tmp_path / "study.db")
    assert metric_of(again) == "elbo"


def test_an_unknown_metric_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'accuracy'"):
        dataclasses.replace(tiny(), metric="acuracy")
    study = dataclasses.replace(tiny(1), metric="accuracy")  # of a task without classes
    found = open_study(study, "tiny", open_storage(str(tmp_path / "study.db")))
    with pytest.raises(InputError, match="no 'accuracy'; have the study maximise one of"):
        Worker(tmp_path / "runs", images()).work(found, study, study.searches[""], 1)


def test_a_file_of_studies_that_cannot_be_imported_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.py").write_text("from discrete_vae.config.config import Config\n\nBASE = Config(latents=3)\n")
    monkeypatch.setattr("studies.__path__", [str(tmp_path)])
    with pytest.raises(InputError, match=r"studies/broken.py: TypeError: .*'latents'; correct it, or take it away"):
        studies()


def test_trials_in_two_processes_have_the_values_of_one(tmp_path: Path) -> None:
    """The seeds of a trial stay together, so the pruner sees them whole; trials are asked for at the same time."""
    one = run(tmp_path / "one.db", tmp_path / "runs", 2, batch=2)
    spread = functools.partial(parallel.train, jobs=2, together=2)
    two = run(tmp_path / "two.db", tmp_path / "other runs", 2, batch=2, train=spread)
    for first, second in zip(one, two, strict=True):
        assert (first.state, first.params) == (second.state, second.params)
        assert first.intermediate_values.keys() == second.intermediate_values.keys()
        assert first.value == pytest.approx(second.value, rel=1e-4)
        population = [Run.open(tmp_path / "other runs" / name).sessions()[0]["population"] for name in runs_of(second)]
        assert population == [2, 2]


def runs_of(trial: optuna.trial.FrozenTrial) -> list[str]:
    return list(trial.user_attrs[RUNS])
