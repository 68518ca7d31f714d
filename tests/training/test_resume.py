"""A run that is stopped at any moment ends with the bits of one that never was.

The stopped process is real, and so is the signal. One process, the nursery, imports the library once and forks a child
for each job; the child sends itself the signal at the named moment, so that no moment is missed by a race: after a file
was flushed, renamed or removed ("disk"), or after a batch was gathered ("batch"). An epoch is cut to 40 steps on the
middle 6 x 6 pixels, in shapes where a member alone and a member of a pair round differently.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from discrete_vae.config import Config
from discrete_vae.runs.run import Run, checkpoints
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES
from discrete_vae.tasks import Architecture
from tests.tiny_images import middle
from tests.training.small_runs import of_each_kind

NURSERY = """
import json, os, sys
from pathlib import Path
import pandas, torch
from discrete_vae.training import Interrupted, journal
from discrete_vae.training import loop as training
from discrete_vae.config import Config
from discrete_vae.data import Split
from discrete_vae.errors import InputError
from discrete_vae.runs import Run
from discrete_vae.training.step import Trainer
from tests.tiny_images import middle
from tests.training.killing import plain_step

data = middle()
torch.optim.Adam([torch.zeros(1)]), pandas.DataFrame([0]).to_csv()  # these import much on their first use
Run.steps_per_epoch = property(lambda run: 40)

def work(job):
    print(os.getpid(), flush=True)
    passed = 0
    def moment(kind, function):
        def wrapped(first, *arguments, **keywords):
            nonlocal passed
            counts = kind == job["kind"] and (function is not unlink or first.exists())
            result = function(first, *arguments, **keywords)
            passed += counts
            if counts and job["say"]:
                print("moment", flush=True)
            if counts and passed == job["at"]:
                os.kill(os.getpid(), job["signal"])
            return result
        return wrapped
    unlink = Path.unlink
    os.fsync = moment("disk", lambda descriptor: None)
    Path.replace, Path.unlink = moment("disk", Path.replace), moment("disk", unlink)
    Split.batch = moment("batch", Split.batch)
    journal.environment = lambda device: {}
    training._rehearse = lambda *arguments: None  # whose batch is no moment of training
    if not job["record"]:
        Trainer._captured = plain_step
    configs = [Config.from_dict(values) for values in job["configs"]]
    try:
        training.train(configs, Path(job["runs"]), data, checkpoint_every=1)
        end = "finished"
    except (Interrupted, InputError) as error:
        end = f"{type(error).__name__}: {error}"
    print(json.dumps([end, passed]), flush=True)
    os._exit(0)

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        work(json.loads(line))
    status = os.waitpid(child, 0)[1]
    print(json.dumps([f"killed by {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "", 0]), flush=True)
"""


class Nursery:
    """Trains in child processes; every answer is how the child ended and the moments that it passed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.asks, self.answers = process.stdin, process.stdout

    def train(
        self,
        runs: Path,
        configs: Sequence[Config],
        at: int = 0,
        kind: str = "disk",
        number: int = signal.SIGKILL,
        kill_after: int | None = None,
        record: bool = True,
    ) -> tuple[str, int]:
        """Train; the child sends itself signal ``number`` at a moment, or we kill it once it tells of one."""
        job = {"runs": str(runs), "configs": [config.to_dict() for config in configs], "record": record}
        say = kill_after is not None
        self.asks.write(json.dumps({**job, "at": at, "kind": kind, "signal": number, "say": say}) + "\n")
        self.asks.flush()
        child, end, moments = int(self.answers.readline()), ("", 0), 0
        for line in self.answers:
            if line == "moment\n":
                moments += 1
                if moments == kill_after:
                    os.kill(child, signal.SIGKILL)
            else:
                text, passed = json.loads(line)
                if text.startswith("killed") or not text:
                    return (text, passed) if text else end
                end = text, passed
        raise AssertionError("the nursery died")


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", NURSERY]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        yield Nursery(process)


def config(strategy: str = "gumbel-softmax", options: Any = None, **fields: Any) -> Config:
    """Two epochs of 40 steps, which look out for signals at steps 25, 50 and 75."""
    if getattr(options, "inverse", None) == "mirror":
        fields["auxiliary_learning_rate"] = fields.get("learning_rate", Schedule(3e-4))
    architecture = Architecture(3, STRATEGIES[strategy].categories or 3, (15,))
    given = {"data": middle().config, "epochs": 2, "batch_size": 100, **fields}
    return Config.fitting(strategy, options, architecture=architecture, **given)


ANNEALED = STRATEGIES["gumbel-softmax"].Options(Schedule(1.0, decay=0.99, unit="step", minimum=0.4))
PAIR = [
    config(options=ANNEALED, learning_rate=Schedule(3e-3, decay=0.9)),
    config(seed=1, learning_rate=Schedule(1e-3), beta=Schedule(1.0, warmup=2)),
]
OPTIONS: dict[str, Any] = {name: (name, None) for name in STRATEGIES}
OPTIONS["learned inverse"] = (
    "target-propagation",
    STRATEGIES["target-propagation"].Options("network", feedback="sample"),
)
OPTIONS["layer-local mirror"] = (
    "target-propagation",
    STRATEGIES["target-propagation"].Options("mirror", geometry="second-order", local=True, warmup=3),
)


def content(runs: Path, configs: Sequence[Config]) -> dict[str, Any]:
    """All that must not depend on interruptions: history, and the end's parameters, moments, noise and sums."""
    kept: dict[str, Any] = {}
    for run in (Run.open(runs / config.name) for config in configs):
        tensors = checkpoints.read(run.folder, run.step, run.config.identity)
        bits = {name: each.numpy().tobytes() for name, each in tensors.items()}
        kept[run.config.name] = ((run.folder / "history.csv").read_text(), run.step, bits)
    return kept


def reached(runs: Path, configs: Sequence[Config] = PAIR) -> tuple[int, ...]:
    return tuple(Run(runs / config.name, config).step for config in configs)


@pytest.fixture(scope="module")
def uninterrupted(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], int]:
    """What the pair's folders hold in the end, and how many moments its training has on the disk."""
    runs = tmp_path_factory.mktemp("uninterrupted")
    end, moments = nursery.train(runs, PAIR)
    assert end == "finished"
    return content(runs, PAIR), moments


Uninterrupted = tuple[dict[str, Any], int]


def test_what_is_compared_is_all_there(uninterrupted: Uninterrupted) -> None:
    for history, step, bits in uninterrupted[0].values():
        assert "1,train,loss" in history
        assert "2,validation,elbo" in history
        assert step == 80
        assert {"noise", "sums", "adam.model.0.first", "adam.model.0.second", "model.decoder.layers.1.bias"} < set(bits)


def test_killed_after_any_change_on_the_disk(nursery: Nursery, uninterrupted: Uninterrupted, tmp_path: Path) -> None:
    """One kill for each file that is flushed, renamed or removed, also between the writes of two members."""
    whole, moments = uninterrupted
    wrong, seen = [], set()
    for moment in range(1, moments + 1):
        runs = tmp_path / str(moment)
        assert nursery.train(runs, PAIR, at=moment) == ("killed by 9", 0)
        seen.add(reached(runs))
        assert nursery.train(runs, PAIR)[0] == "finished"
        if content(runs, PAIR) != whole:
            wrong.append((moment, reached(runs)))
    assert {(0, 0), (40, 0), (40, 40), (80, 40), (80, 80)} == seen, "kills fell between two members' checkpoints"
    assert wrong == []


@pytest.mark.parametrize("step", [1, 45, 79])
def test_killed_between_checkpoints(nursery: Nursery, uninterrupted: Uninterrupted, tmp_path: Path, step: int) -> None:
    assert nursery.train(tmp_path, PAIR, at=step, kind="batch") == ("killed by 9", 0)
    assert nursery.train(tmp_path, PAIR)[0] == "finished"
    assert content(tmp_path, PAIR) == uninterrupted[0]


def test_killed_again_and_again(nursery: Nursery, tmp_path: Path) -> None:
    """Every process dies by a signal from outside soon after an epoch, until one comes to the end."""
    pair = [replace(config, epochs=6) for config in PAIR]
    assert nursery.train(tmp_path / "whole", pair)[0] == "finished"
    deaths = 0
    while nursery.train(tmp_path / "cut", pair, kill_after=20)[0] == "killed by 9":
        deaths += 1
        assert deaths < 10, "no progress"
    assert deaths >= 2
    assert content(tmp_path / "cut", pair) == content(tmp_path / "whole", pair)


@pytest.mark.parametrize("batch", [20, 60])
def test_killed_after_a_neighbour_failed(nursery: Nursery, tmp_path: Path, batch: int) -> None:
    """The survivor goes on alone from the end of that epoch, whether the process was killed before it or after."""
    pair = [PAIR[0], config(seed=1, learning_rate=Schedule(1e30))]
    assert nursery.train(tmp_path / "whole", pair)[0] == "finished"
    assert nursery.train(tmp_path / "cut", pair, at=batch, kind="batch") == ("killed by 9", 0)
    failed = Run.open(tmp_path / "cut" / pair[1].name)
    assert (failed.status == "failed") == (batch > 40)
    assert nursery.train(tmp_path / "cut", pair)[0] == "finished"
    assert failed.status == "failed"
    assert content(tmp_path / "cut", pair[:1]) == content(tmp_path / "whole", pair[:1])


def test_stopped_in_the_epoch_in_which_a_neighbour_failed(nursery: Nursery, tmp_path: Path) -> None:
    """The failure waits for the epoch's end, so that the survivor comes to it in a population of the same size."""
    pair = [PAIR[0], config(seed=1, learning_rate=Schedule(1e30))]
    assert nursery.train(tmp_path / "whole", pair)[0] == "finished"
    end, _ = nursery.train(tmp_path / "cut", pair, at=20, kind="batch", number=signal.SIGINT)
    assert end.startswith("Interrupted")
    assert Run.open(tmp_path / "cut" / pair[1].name).failure is None
    assert nursery.train(tmp_path / "cut", pair)[0] == "finished"
    assert Run.open(tmp_path / "cut" / pair[1].name).status == "failed"
    assert content(tmp_path / "cut", pair[:1]) == content(tmp_path / "whole", pair[:1])


def test_a_neighbour_that_has_ended_does_not_roll_the_others_back(nursery: Nursery, tmp_path: Path) -> None:
    pair = [replace(PAIR[0], epochs=3), replace(PAIR[1], epochs=1)]
    assert nursery.train(tmp_path / "whole", pair)[0] == "finished"
    end, _ = nursery.train(tmp_path / "cut", pair, at=45, kind="batch", number=signal.SIGINT)
    assert "saved at step 50 of 120" in end
    assert reached(tmp_path / "cut", pair) == (50, 40)
    assert checkpoints.steps(tmp_path / "cut" / pair[1].name) == [40]
    assert nursery.train(tmp_path / "cut", pair)[0] == "finished"
    assert [each["steps"] for each in Run.open(tmp_path / "cut" / pair[0].name).sessions()] == [[0, 50], [50, 120]]
    assert content(tmp_path / "cut", pair) == content(tmp_path / "whole", pair)


def test_killed_while_old_checkpoints_are_removed(
    nursery: Nursery, uninterrupted: Uninterrupted, tmp_path: Path
) -> None:
    """A finished run keeps one checkpoint, whenever it was killed."""
    assert nursery.train(tmp_path, PAIR, at=uninterrupted[1] - 1)[0] == "killed by 9"
    assert nursery.train(tmp_path, PAIR)[0] == "finished"
    assert {tuple(checkpoints.steps(tmp_path / config.name)) for config in PAIR} == {(80,)}


def test_killed_processes_leave_no_parts_behind(nursery: Nursery, tmp_path: Path) -> None:
    """Each part is as large as a checkpoint: a run that is often cut off would fill the disk."""
    assert nursery.train(tmp_path, PAIR, at=9)[0] == "killed by 9"
    assert list(tmp_path.rglob("*.part")), "killed between flush and rename"
    assert nursery.train(tmp_path, PAIR)[0] == "finished"
    assert list(tmp_path.rglob("*.part")) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_tells_how_to_go_on(
    nursery: Nursery, uninterrupted: Uninterrupted, tmp_path: Path, number: signal.Signals
) -> None:
    end, _ = nursery.train(tmp_path, PAIR, at=43, kind="batch", number=number)
    assert (
        end == f"Interrupted: stopped by {number.name} and saved at step 50 of 80; the same command goes on from there"
    )
    assert reached(tmp_path) == (50, 50)
    assert nursery.train(tmp_path, PAIR)[0] == "finished"
    assert content(tmp_path, PAIR) == uninterrupted[0]


@pytest.mark.parametrize("case", of_each_kind(OPTIONS))
def test_a_signal_inside_every_epoch(nursery: Nursery, tmp_path: Path, case: str) -> None:
    """Stopped in the middle of the noise, the sums, the data's order and the schedules, for every strategy.

    With plain steps; the other tests here record them.
    """
    strategy, options = OPTIONS[case]
    pair = [
        config(strategy, options, seed=seed, learning_rate=Schedule(rate)) for seed, rate in enumerate((3e-3, 1e-3))
    ]
    assert nursery.train(tmp_path / "whole", pair, record=False)[0] == "finished"
    for batch, step in ((1, 25), (20, 50)):
        end, _ = nursery.train(tmp_path / "cut", pair, at=batch, kind="batch", number=signal.SIGINT, record=False)
        assert f"saved at step {step} of 80" in end
        assert reached(tmp_path / "cut", pair) == (step, step)
    assert nursery.train(tmp_path / "cut", pair, record=False)[0] == "finished"
    assert content(tmp_path / "cut", pair) == content(tmp_path / "whole", pair)


def test_seeds_added_later_leave_finished_runs_alone(
    nursery: Nursery, uninterrupted: Uninterrupted, tmp_path: Path
) -> None:
    assert nursery.train(tmp_path, PAIR)[0] == "finished"
    times = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/*.*") if path.name != ".lock"}
    more = [config(seed=2), *PAIR]
    assert nursery.train(tmp_path, more)[0] == "finished"
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert content(tmp_path, PAIR) == uninterrupted[0]
    assert reached(tmp_path, more) == (80, 80, 80)
    sessions = Run.open(tmp_path / more[0].name).sessions()
    assert [(each["steps"], each["population"]) for each in sessions] == [([0, 80], 1)]


def test_seeds_added_to_an_unfinished_run_do_not_roll_it_back(nursery: Nursery, tmp_path: Path) -> None:
    nursery.train(tmp_path, PAIR, at=45, kind="batch", number=signal.SIGINT)
    before = reached(tmp_path)
    assert before == (50, 50)
    more = [*PAIR, config(seed=2)]
    assert nursery.train(tmp_path, more)[0] == "finished"
    assert [each["steps"] for each in Run.open(tmp_path / PAIR[0].name).sessions()] == [[0, 50], [50, 80]]


def test_a_finished_pair_is_not_trained_again(nursery: Nursery, tmp_path: Path) -> None:
    nursery.train(tmp_path, PAIR)
    assert nursery.train(tmp_path, PAIR, kind="batch") == ("finished", 0)
    assert nursery.train(tmp_path, PAIR, kind="disk") == ("finished", 0)


def test_a_corrupt_newest_checkpoint(nursery: Nursery, uninterrupted: Uninterrupted, tmp_path: Path) -> None:
    nursery.train(tmp_path, PAIR, at=45, kind="batch", number=signal.SIGINT)
    folder = tmp_path / PAIR[1].name
    assert checkpoints.steps(folder) == [40, 50]
    newest = checkpoints.path_of(folder, 50)
    damaged = bytearray(newest.read_bytes())
    damaged[-100] ^= 1
    newest.write_bytes(damaged)
    end, _ = nursery.train(tmp_path, PAIR)
    assert end.startswith(f"InputError: checkpoint {newest} is corrupt")
    assert "delete this file to go on from the checkpoint before it" in end
    newest.unlink()
    assert nursery.train(tmp_path, PAIR)[0] == "finished"
    assert content(tmp_path, PAIR) == uninterrupted[0]


def test_a_run_that_is_being_trained_is_refused(nursery: Nursery, tmp_path: Path) -> None:
    run = Run.create(tmp_path, PAIR[0])
    with run.held():
        end, _ = nursery.train(tmp_path, PAIR)
    assert end.startswith(f"InUse: {run.folder} is in use by another process")
    assert reached(tmp_path) == (0, 0)
