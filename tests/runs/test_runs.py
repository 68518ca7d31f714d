"""A run's folder: who owns it, what it holds, and the table over many of them."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

from discrete_vae.config import Config
from discrete_vae.errors import InputError
from discrete_vae.runs import EVALUATION, HISTORY, Run, checkpoints
from discrete_vae.runs import run as runs
from discrete_vae.schedules import Schedule

CONFIG = Config(epochs=2, batch_size=1000)
HOLD = """
import sys
from pathlib import Path
from discrete_vae.runs import Run
with Run.open(Path(sys.argv[1])).held():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create(tmp_path, CONFIG)


def reach(run: Run, step: int) -> None:
    checkpoints.write(run.folder, step, run.config.identity, {"weight": torch.ones(1)})


def test_create_open_and_create_again_agree(tmp_path: Path, run: Run) -> None:
    assert run.folder == tmp_path / CONFIG.name
    assert Run.open(run.folder) == Run.create(tmp_path, CONFIG) == run
    assert json.loads((run.folder / "config.json").read_text()) == CONFIG.to_dict()


def test_a_learning_rate_of_many_digits_can_be_opened_again(tmp_path: Path) -> None:
    config = Config(learning_rate=Schedule(1 / 3000))
    assert Run.create(tmp_path, config) == Run.create(tmp_path, config)


def test_a_folder_of_another_configuration_is_refused(tmp_path: Path, run: Run) -> None:
    other = Config(epochs=3)
    run.folder.rename(tmp_path / other.name)
    with pytest.raises(InputError, match=f"holds configuration {CONFIG.identity}, not {other.identity}; name") as error:
        Run.create(tmp_path, other)
    assert str(tmp_path / other.name) in str(error.value)
    assert Run.open(tmp_path / other.name).config == CONFIG, "and is left as it was"


def test_runs_below_a_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write .*name a folder"):
        Run.create(tmp_path / "file" / "runs", CONFIG)


def test_a_folder_without_configuration_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is not a run: it has no config\.json"):
        Run.open(tmp_path)
    with pytest.raises(InputError, match="is not a run"):
        Run.open(tmp_path / "absent")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"null",
        b"3",
        b"[]",
        b'"text"',
        b'{"epoch": 2}',
        b'{"strategy": []}',
        b'{"options": null}',
        b'{"architecture": 3}',
        b'{"epochs": "2"}',
        b'{"epochs": 1e999}',
        b'{"epochs": NaN}',
        b'{"seed": ' + b"9" * 5000 + b"}",
        b'{"seed": 1, "seed": 2}',
        b'{"strategy": "one that is gone"}',
        b'{"architecture": {"hidden": ["wide"]}}',
        b"\xef\xbb\xbf{}",
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000,
    ],
)
def test_a_damaged_configuration_is_named(run: Run, content: bytes) -> None:
    path = run.folder / "config.json"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        Run.open(run.folder)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_run_that_another_process_holds_is_refused_at_once(run: Run) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InputError, match="is in use by another process; wait for it") as caught:
            run.held().__enter__()
        assert str(run.folder) in str(caught.value)
        holder.kill()
    with run.held():  # what a killed process held is free
        pass


def test_a_run_is_held_once_only_and_freed(run: Run) -> None:
    for _ in range(2):
        with run.held(), pytest.raises(InputError, match="is in use"):
            run.held().__enter__()


def test_status_follows_the_checkpoints(run: Run) -> None:
    assert (run.steps_per_epoch, run.total_steps) == (50, 100)
    assert (run.step, run.status, run.finished) == (0, "0 of 2 epochs", False)
    reach(run, 60)
    assert (run.step, run.status, run.finished) == (60, "1.2 of 2 epochs", False)
    reach(run, 100)
    assert (run.step, run.status, run.finished) == (100, "finished", True)


def test_a_checkpoint_that_is_replaced_while_it_is_read_is_no_damage(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process trains the run: the newest file is gone, for there is a newer one."""
    real = checkpoints.steps
    checkpoints.write(run.folder, 60, run.config.identity, {})
    before = iter([[20]])
    monkeypatch.setattr(checkpoints, "steps", lambda *args: next(before, None) or real(*args))
    assert run.step == 60


def test_a_failure_is_the_status_whatever_else_there_is(run: Run) -> None:
    reach(run, 50)
    failure = {"step": 70, "epoch": 2, "message": "not finite"}
    (run.folder / "failure.json").write_text(json.dumps(failure))
    assert run.failure == failure
    assert (run.status, run.finished) == ("failed", False)


def test_a_remainder_that_fills_no_batch_is_left_out(tmp_path: Path) -> None:
    assert Run.create(tmp_path, Config(batch_size=15_000, epochs=3)).total_steps == 9


def test_history_is_read_back_exactly(tmp_path: Path) -> None:
    run = Run.create(tmp_path, Config(epochs=200))
    assert list(run.history()) == HISTORY
    assert run.history().empty
    values = torch.rand(200, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 300
    rows = [(epoch, "train", "loss", value) for epoch, value in enumerate(values.tolist())]
    run.write_history(pd.DataFrame(rows, columns=HISTORY))
    assert list(run.history().itertuples(index=False, name=None)) == rows


def evaluation(split: str, samples: int, **metrics: float) -> pd.DataFrame:
    return pd.DataFrame([(split, name, samples, value) for name, value in metrics.items()], columns=EVALUATION)


def test_evaluations_merge(run: Run) -> None:
    assert list(run.evaluation()) == EVALUATION
    run.write_evaluation(evaluation("test", 1, elbo=-100.0, kl=9.0))
    run.write_evaluation(evaluation("test", 50, elbo=-99.5))
    run.write_evaluation(evaluation("validation", 1, elbo=-98.0))
    run.write_evaluation(evaluation("test", 1, elbo=-100.25))
    assert list(run.evaluation().itertuples(index=False, name=None)) == [
        ("test", "elbo", 1, -100.25),
        ("test", "elbo", 50, -99.5),
        ("test", "kl", 1, 9.0),
        ("validation", "elbo", 1, -98.0),
    ]


def test_sessions_are_appended(run: Run) -> None:
    assert run.sessions() == []
    run.write_sessions([{"steps": [0, 50]}, {"steps": [50, 100]}])
    assert run.sessions() == [{"steps": [0, 50]}, {"steps": [50, 100]}]


def test_environment_names_what_a_number_depends_on() -> None:
    known = runs.environment(torch.device("cpu"))
    assert known["packages"]["torch"] == torch.__version__
    assert known["threads"] == torch.get_num_threads()
    assert known["device"]
    json.dumps(known)


def test_find_gives_all_runs_by_name(tmp_path: Path) -> None:
    configs = [Config(seed=seed) for seed in range(3)] + [Config("target-propagation")]
    made = {Run.create(tmp_path, config) for config in configs}
    (tmp_path / "notes").mkdir()
    found = runs.find(tmp_path)
    assert set(found) == made
    assert [run.folder.name for run in found] == sorted(config.name for config in configs)
    assert runs.find(tmp_path / "absent") == []


def test_table_is_tidy(tmp_path: Path, run: Run) -> None:
    empty = Run.create(tmp_path, Config(seed=9))
    run.write_history(pd.DataFrame([(1, "train", "loss", 150.0), (2, "train", "loss", 120.0)], columns=HISTORY))
    run.write_evaluation(evaluation("test", 50, elbo=-99.5))
    table = runs.table([run, empty])
    columns = ["run", "strategy", "seed", "parameters", "epoch", "split", "metric", "samples", "value"]
    assert list(table) == columns
    assert table["epoch"].tolist() == [1, 2, 2]
    assert table["value"].tolist() == [150.0, 120.0, -99.5]
    assert table["samples"].isna().tolist() == [True, True, False]
    assert set(table["run"]) == {CONFIG.name}
    assert set(table["strategy"]) == {"gumbel-softmax"}
    assert set(table["seed"]) == {0}
    assert list(runs.table([])) == list(runs.table([empty])) == columns


def test_parameters_are_one_line_of_json_that_gives_the_configuration_back() -> None:
    text = runs.parameters(CONFIG)
    assert "\n" not in text
    values = json.loads(text)
    assert "seed" not in values
    assert Config.from_dict({**values, "strategy": CONFIG.strategy}) == CONFIG
    assert runs.parameters(Config(epochs=2, batch_size=1000, seed=4)) == text, "seeds of one setting group together"


def test_a_checkpoint_behind_the_runs_end_is_refused(run: Run) -> None:
    reach(run, 101)
    for ask in (lambda: run.step, lambda: run.status, lambda: run.finished):
        with pytest.raises(InputError, match=r"checkpoint-000000101\.safetensors is behind the run's end, step 100"):
            ask()


def test_one_damaged_run_hides_no_other(tmp_path: Path) -> None:
    configs = [Config(seed=seed) for seed in range(4)]
    good, cut, gone, bare = (Run.create(tmp_path, config) for config in configs)
    (cut.folder / "config.json").write_text("{")
    (gone.folder / "config.json").write_text('{"strategy": "one that is gone"}')
    (bare.folder / "config.json").rename(bare.folder / "history.csv")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nothing")
    (tmp_path / "notes").mkdir()
    (tmp_path / "file").touch()
    found, damaged = runs.survey(tmp_path)
    assert found == [good]
    assert damaged.keys() == {cut.folder.name, gone.folder.name, bare.folder.name, "loop"}
    assert all(name in str(error) and "\n" not in str(error) for name, error in damaged.items())
    with pytest.raises(InputError):
        runs.find(tmp_path)


@pytest.mark.parametrize("name", ["file", "loop", "file/below"])
def test_what_is_no_folder_of_runs(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InputError, match=r"cannot be read \(.*\); name the folder that holds the runs"):
        runs.find(tmp_path / name)


def test_a_folder_that_may_not_be_read(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulated, for an administrator may read all."""
    listed = os.listdir

    def refuse(path: Path) -> list[str]:
        if Path(path) == locked:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return listed(path)

    monkeypatch.setattr(os, "listdir", refuse)
    locked = tmp_path
    with pytest.raises(InputError, match=r"cannot be read \(Permission denied\)"):
        runs.survey(tmp_path)
    locked = run.folder
    assert list(runs.survey(tmp_path)[1]) == [run.folder.name]


HEAD = "epoch,split,metric,value\n"
SCORES = "split,metric,samples,value\n"
DAMAGED = {
    "failure.json": [
        "",
        "nonsense",
        "{",
        "5",
        "null",
        "false",
        "[]",
        "{}",
        '{"step": 1, "epoch": 1, "message": 5}',
        '{"step": "far", "epoch": 1, "message": ""}',
        "[" * 100000,
    ],
    "environment.json": [
        "",
        "nonsense",
        "{",
        "5",
        "null",
        "{}",
        '"text"',
        "[1, 2]",
        "[null]",
        "[[]]",
        "[" * 100000,
        '[{"seconds": "many"}]',
        '[{"population": -1}]',
        '[{"seconds": NaN}]',
        '[{"population": true}]',
    ],
    "history.csv": [
        "",
        "nonsense",
        "{",
        "\x00",
        "epoch,split\n",
        "epoch;split;metric;value\n",
        f"\ufeff{HEAD}",
        f"epoch,{HEAD}",
        f"{HEAD}first,validation,elbo,1\n",
        f"{HEAD}1.5,validation,elbo,1\n",
        f"{HEAD}1,,elbo,1\n",
        f"{HEAD}3,validation,elbo,1\n",
        f"{HEAD}-1,validation,elbo,1\n",
        f"{HEAD}1,validation,elbo,high\n",
        f"{HEAD}1,validation\n",
        f"{HEAD}1,validation,elbo,1,2\n",
        f"{HEAD}1,vali\x00dation,elbo,1\n",
        f"{HEAD}\n",
        f"{HEAD}1,validation,{'x' * 200000},1\n",
        f'{HEAD}1,"validation',
        f"{HEAD}{'9' * 5000},validation,elbo,1\n",
        f"{HEAD}1,validation,elbo,1\n1,validation,elbo,2\n",
    ],
    "evaluation.csv": [
        "",
        "nonsense",
        "{",
        HEAD,
        f"{SCORES}test,elbo,many,1\n",
        f"{SCORES}test,elbo,-1,1\n",
        f"{SCORES}test,elbo,1,1\ntest,elbo,1,2\n",
        f"{SCORES}test,elbo,1_0,1\n",
        f"{SCORES}test,elbo,1,1_0\n",
        f"{SCORES}test,elbo, 1,1\n",
        f"{SCORES}test,elbo,\u0661,1\n",
    ],
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_named_in_one_line(run: Run, name: str) -> None:
    reading: Callable[[], object] = {
        "failure.json": lambda: run.failure,
        "environment.json": run.sessions,
        "history.csv": run.history,
        "evaluation.csv": run.evaluation,
    }[name]
    for content in [*(text.encode() for text in DAMAGED[name]), b"\xff\xfe"]:
        (run.folder / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name} cannot be read") as caught:
            reading()
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 500
