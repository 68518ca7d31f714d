"""Runs in two processes: the numbers of one, signals, processes that die, and what is asked of them in the middle.

Each test that trains starts real processes. What happens in the middle is done by the progress display, at the first
step that a process tells of, so nothing waits and no moment is missed.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pandas as pd
import pytest
import torch

from discrete_vae.backbones import BACKBONES, PlainBackbone, residual
from discrete_vae.cli.command import main as train_command
from discrete_vae.config import Config
from discrete_vae.data import Dataset
from discrete_vae.errors import InputError, InUse
from discrete_vae.evaluation import yardstick
from discrete_vae.likelihoods import LIKELIHOODS
from discrete_vae.parallel import ProcessDied, evaluate, train
from discrete_vae.parallel.child import Line, Signals
from discrete_vae.parallel.jobs import _checked, cut
from discrete_vae.runs.run import Run, checkpoints
from discrete_vae.strategies import STRATEGIES
from discrete_vae.training import Interrupted
from discrete_vae.training import train as train_here
from discrete_vae.training.interruption import noted_signals
from reports.__main__ import main as report_command
from studies.__main__ import main as study_command
from tests.tiny_images import middle
from tests.training.small_runs import Told, config, distance

LONG = 200
"""Epochs that no process has trained before it is stopped."""


@pytest.fixture(autouse=True)
def _as_in_a_terminal() -> Iterator[None]:
    """SIGINT interrupts, also where the tests were started in the background of a script, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def data() -> Dataset:
    """An epoch is 25 steps."""
    return middle(2_500, 100)


def of(data: Dataset, strategy: str = "gumbel-softmax", **fields: int) -> Config:
    return config(strategy, data=data.config, **fields)


def two_strategies(data: Dataset, epochs: int = 2) -> list[Config]:
    """Two populations of two, which are not cut for two processes."""
    return [of(data, name, seed=seed, epochs=epochs) for name in ("gumbel-softmax", "reinmax") for seed in range(2)]


def content(runs: list[Run]) -> dict[str, object]:
    """Histories and all tensors of checkpoints, to the bit."""
    found: dict[str, object] = {}
    for run in runs:
        tensors = checkpoints.read(run.folder, run.step, run.config.identity)
        bits = {name: each.numpy().tobytes() for name, each in tensors.items()}
        found[run.config.name] = (run.step, (run.folder / "history.csv").read_text(), bits)
    return found


class Acting(Told):
    """A progress display that does something once, at the first update at which it may."""

    def __init__(self, act: Callable[[], None], when: Callable[[], bool] = lambda: True) -> None:
        super().__init__()
        self.act, self.when, self.acted = act, when, False

    def update(self, done: int, numbers: Mapping[str, float]) -> None:
        super().update(done, numbers)
        if not self.acted and self.when():
            self.acted = True
            self.act()


def test_two_processes_give_the_bits_of_one(data: Dataset, tmp_path: Path) -> None:
    configs, told = two_strategies(data), Told()
    one = train(configs, tmp_path / "one", data)
    two = train(configs, tmp_path / "two", data, progress=told, jobs=2)
    assert [run.config for run in two] == configs
    assert content(two) == content(one)
    assert told.starts == [("4 runs in 2 processes", 200, 0)]
    done = [done for done, _ in told.updates]
    assert done == sorted(done)
    assert told.updates[-1] == (200, {"runs ended": 4})
    assert [run.sessions()[0]["threads"] for run in two] == [1] * 4

    again = Told()
    train(configs, tmp_path / "two", data, progress=again, jobs=2)
    assert (again.starts, again.updates) == ([], []), "no process for what is finished"

    scores = evaluate(one, data, "test", 20)
    done_images: list[int] = []
    spread = evaluate(two, data, "test", 20, advance=done_images.append, jobs=2)
    pd.testing.assert_frame_equal(spread, scores, check_exact=True)
    assert sum(done_images) == 4 * len(data.test)
    assert not any(yardstick.stored(run, "test", 20).empty for run in two)


def test_a_population_is_cut_and_asks_what_to_prune(data: Dataset, tmp_path: Path) -> None:
    """The question is answered in this process, in which a closure can be asked; a failure is told here too."""
    configs, asked, told = [of(data, seed=seed, epochs=3) for seed in range(2)], [], Told()

    def prune(epoch: int, metrics: Mapping[Run, Mapping[str, float]]) -> list[Run]:
        asked.extend((epoch, run.config.seed, set(values)) for run, values in metrics.items())
        return [run for run in metrics if run.config.seed == 1 and epoch >= 2]

    first, second = train(configs, tmp_path / "two", data, prune=prune, progress=told, jobs=2)
    assert (first.step, second.step) == (75, 50)
    assert [run.sessions()[0]["population"] for run in (first, second)] == [1, 1]
    assert {(epoch, seed) for epoch, seed, _ in asked} == {(1, 0), (2, 0), (3, 0), (1, 1), (2, 1)}
    assert all("elbo" in names for *_, names in asked)
    one = train_here(configs, tmp_path / "one", data, prune=prune)
    assert distance(first, one[0]) < 1e-3, "a population of another size rounds otherwise"
    again = Told()
    train(configs, tmp_path / "two", data, prune=prune, progress=again, jobs=2)
    assert again.starts == [], "no process for a run that was pruned before"


@pytest.mark.parametrize("from_a_terminal", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_signal_saves_and_the_same_call_goes_on(data: Dataset, tmp_path: Path, from_a_terminal: bool) -> None:
    """A terminal sends SIGINT to every process, and this process stops them too; a scheduler sends SIGTERM to one."""
    configs = two_strategies(data, 12)

    def stop() -> None:
        if from_a_terminal:
            for process in multiprocessing.active_children():
                os.kill(process.pid or 0, signal.SIGINT)
        signal.raise_signal(signal.SIGINT if from_a_terminal else signal.SIGTERM)

    name = "SIGINT" if from_a_terminal else "SIGTERM"
    with pytest.raises(Interrupted, match=f"stopped by {name} and saved; the same command goes on"):
        train(configs, tmp_path / "cut", data, progress=Acting(stop), jobs=2)
    assert multiprocessing.active_children() == []
    steps = [Run(tmp_path / "cut" / each.name, each).step for each in configs]
    assert max(steps) > 0
    assert min(steps) < 300
    assert steps[0] == steps[1]
    assert steps[2] == steps[3]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert content(train(configs, tmp_path / "cut", data, jobs=2)) == content(train(configs, tmp_path / "one", data))


def test_a_second_signal_is_not_held_back(data: Dataset, tmp_path: Path) -> None:
    def stop() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(two_strategies(data, LONG), tmp_path, data, progress=Acting(stop), jobs=2)
    assert multiprocessing.active_children() == []


def test_a_killed_process_is_told_and_the_others_save(data: Dataset, tmp_path: Path) -> None:
    configs = two_strategies(data, LONG)

    def kill() -> None:
        multiprocessing.active_children()[0].kill()

    def begun() -> bool:
        return all(checkpoints.steps(tmp_path / each.name) for each in configs)

    with pytest.raises(ProcessDied) as caught:
        train(configs, tmp_path, data, progress=Acting(kill, begun), jobs=2)
    message = str(caught.value)
    assert "\n" not in message
    assert "was killed by SIGKILL while it worked on" in message
    assert "give fewer jobs" in message
    assert sum(str(tmp_path / each.name) in message for each in configs) == 2
    assert multiprocessing.active_children() == []


def test_an_error_of_a_process_is_raised_here(data: Dataset, tmp_path: Path) -> None:
    configs = two_strategies(data, LONG)
    with (
        Run.create(tmp_path, configs[3]).held(),
        pytest.raises(InUse, match=f"{configs[3].name} is in use by another process"),
    ):
        train(configs, tmp_path, data, jobs=2)
    assert multiprocessing.active_children() == []


def test_runs_of_one_configuration_are_scored_each_by_its_own_folder(data: Dataset, tmp_path: Path) -> None:
    """Such as one from another machine, with weights that rounded otherwise."""
    configs = [of(data, epochs=1), of(data, "reinmax", epochs=1)]
    runs = [*train(configs, tmp_path / "one", data), *train(configs[:1], tmp_path / "other", data)]
    other = runs[-1]
    tensors = checkpoints.read(other.folder, other.step, other.config.identity)
    halves = {name: each / 2 if each.is_floating_point() else each for name, each in tensors.items()}
    checkpoints.write(other.folder, other.step, other.config.identity, halves)
    found = evaluate(runs, data, "test", 2, jobs=2).query("metric == 'elbo'")
    kept = [run.evaluation().query("metric == 'elbo'")["value"].item() for run in runs]
    assert list(found["value"]) == kept
    assert len(set(kept)) == 3


def test_an_evaluation_stops_at_once(data: Dataset, tmp_path: Path) -> None:
    runs = train(two_strategies(data, 1), tmp_path, data)

    def stop(count: int) -> None:
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted, match="stopped by SIGINT"):
        evaluate(runs, data, "train", 20_000, advance=stop, jobs=2)
    assert multiprocessing.active_children() == []


def test_a_process_whose_parent_is_gone_stops_as_by_a_signal() -> None:
    ours, theirs = multiprocessing.Pipe()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        signals = Signals()
        signals.saves = True
        line = Line(theirs, signals)
        ours.close()
        with noted_signals() as stop:
            line.start("a run", 100, 0)
            line.update(25, {})
        assert stop == [signal.SIGTERM]
        assert line.next_task() is None
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def test_pieces() -> None:
    """No piece is more than a process' share, if it can be cut; seeds of a trial stay together; order is kept."""
    seeds = [Run(Path("runs"), Config(seed=seed)) for seed in range(6)]
    settings = {"batch_size": 50, "epochs": seeds[0].config.epochs * 2}
    longer = [Run(Path("runs"), Config(seed=seed, **settings)) for seed in range(3)]
    assert cut(seeds, 1) == [seeds]
    assert cut(seeds, 2) == [seeds[:3], seeds[3:]]
    assert [len(part) for part in cut(seeds, 4)] == [1, 2, 1, 2]
    assert [len(part) for part in cut(seeds, 9)] == [1] * 6
    assert cut([*seeds, *longer], 2) == [seeds, longer]
    assert [len(part) for part in cut([*seeds, *longer], 4)] == [3, 3, 1, 2]
    assert [len(part) for part in cut(seeds, 6, together=2)] == [2, 2, 2]
    assert cut([], 2) == []


def test_the_default_is_by_threads_and_size(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, gpu, many = torch.device("cpu"), torch.device("cuda"), [Config()] * 100
    for threads, expected in ((1, 1), (3, 1), (4, 2), (16, 8)):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        assert _checked(None, cpu, many, 100) == expected
    assert _checked(None, cpu, many[:3], 100) == 3, "runs"
    assert _checked(None, cpu, many, 2) == 2, "worth so many"
    assert _checked(None, cpu, many, 0) == 1
    assert _checked(None, gpu, many, 100) == 1
    assert _checked(5, gpu, many, 0) == 5
    own = type("Own", (STRATEGIES["reinmax"],), {"__module__": "mine"})
    monkeypatch.setitem(STRATEGIES, "reinmax", own)
    assert _checked(None, cpu, [Config("reinmax")] * 9, 100) == 1, "the other processes do not know it"
    with pytest.raises(InputError, match="strategy reinmax is registered in this process"):
        _checked(2, cpu, [Config("reinmax")], 100)
    monkeypatch.setitem(BACKBONES, "mlp", PlainBackbone(residual.networks, "mlp"))
    with pytest.raises(InputError, match="backbone mlp is registered in this process"):
        _checked(2, cpu, [Config()], 100)
    likelihood = type("Own", (LIKELIHOODS["bernoulli"],), {"__module__": "mine"})
    monkeypatch.setitem(LIKELIHOODS, "bernoulli", likelihood)
    with pytest.raises(InputError, match="likelihood bernoulli is registered in this process"):
        _checked(2, cpu, [Config()], 100)


@pytest.mark.parametrize("jobs", [0, -1])
def test_numbers_of_jobs_that_are_refused(data: Dataset, tmp_path: Path, jobs: int) -> None:
    with pytest.raises(InputError, match=f"jobs is {jobs}; give at least 1"):
        train([of(data)], tmp_path, data, jobs=jobs)
    with pytest.raises(InputError, match=f"jobs is {jobs}; give at least 1"):
        evaluate([Run(tmp_path, of(data))], data, "test", 1, jobs=jobs)


def test_what_cannot_be_trained_makes_no_folder(data: Dataset, tmp_path: Path) -> None:
    configs = [of(data), config(seed=1)]
    with pytest.raises(InputError, match="the images are"):
        train(configs, tmp_path / "runs", data, jobs=2)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("jobs", ["0", "-1", "many"])
@pytest.mark.parametrize("command", ["train", "report", "study", "best"])
def test_commands_refuse_them_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str, jobs: str
) -> None:
    monkeypatch.chdir(tmp_path)
    main, words = {
        "train": (train_command, "train gumbel-softmax"),
        "report": (report_command, "thesis --out out"),
        "study": (study_command, "run gumbel-softmax"),
        "best": (study_command, "best gumbel-softmax"),
    }[command]
    with pytest.raises(SystemExit) as ended:
        main([*words.split(), "--jobs", jobs])
    assert ended.value.code == 2
    assert f"--jobs: '{jobs}'; give a whole number of at least 1, up to 1,024" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
