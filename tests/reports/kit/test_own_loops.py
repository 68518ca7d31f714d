"""Runs of a report's own training loop: in several processes, killed, and kept in files that may be damaged."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import signal
import threading
import warnings
from pathlib import Path

import pytest
import torch

from discrete_vae.errors import InputError
from discrete_vae.parallel.pool import ProcessDied
from reports.benchmarks import measurements
from reports.kit import own_loops
from reports.kit.context import ReportContext


def context(folder: Path) -> ReportContext:
    return ReportContext("polynomial", "tiny", folder / "out", folder / "runs")


def lines() -> own_loops.Numbers:
    return own_loops.Numbers([("train", "loss", 1, 2.0)])


def killed(folder: Path) -> own_loops.Numbers:
    """Trains the first time only to be killed, as for lack of memory."""
    if not (folder / "again").exists():
        (folder / "again").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return lines()


def threads() -> own_loops.Numbers:
    return own_loops.Numbers([("train", "threads", 1, float(torch.get_num_threads()))])


def warning() -> own_loops.Numbers:
    warnings.warn("of no use", stacklevel=2)
    return lines()


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_warning_of_a_run_is_told_from_whatever_process(jobs: int, tmp_path: Path) -> None:
    runs = [own_loops.OwnRun("row", "reinmax", {}, seed, warning) for seed in range(2)]
    with pytest.warns(UserWarning, match="of no use"):
        own_loops.collected(runs, dataclasses.replace(context(tmp_path), jobs=jobs))


def test_a_killed_process_is_named_and_the_same_call_goes_on(tmp_path: Path) -> None:
    bench = dataclasses.replace(context(tmp_path), jobs=2)
    runs = [own_loops.OwnRun("well", "reinmax", {}, seed, lines) for seed in range(3)]
    runs.append(own_loops.OwnRun("killed", "reinmax", {}, 7, functools.partial(killed, tmp_path)))
    with pytest.raises(ProcessDied, match="was killed by SIGKILL while it worked on killed of seed 7"):
        own_loops.collected(runs, bench)
    results, _ = own_loops.collected(runs, bench)
    assert list(results["seed"]) == [0, 1, 2, 7]


def test_a_second_call_waits_for_what_the_first_makes(tmp_path: Path) -> None:
    made = []

    def take() -> dict[str, int]:
        made.append(0)
        if len(made) == 1:
            second.start()
            second.join(0.3)  # without waiting for the first, it would be over by then
        return {"loss": 1}

    second = threading.Thread(target=lambda: measurements.keep(tmp_path, {}, take, "loss"))
    assert measurements.keep(tmp_path, {}, take, "loss") == {"loss": 1}
    second.join()
    assert len(made) == 1


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_run_has_one_thread_in_whatever_process(jobs: int, tmp_path: Path) -> None:
    """So that its sums round the same way."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        runs = [own_loops.OwnRun("row", "reinmax", {}, seed, threads) for seed in range(2)]
        results, _ = own_loops.collected(runs, dataclasses.replace(context(tmp_path), jobs=jobs))
        assert list(results["value"]) == [1.0, 1.0]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    "held", [{"numbers": []}, {"numbers": "x"}, {"numbers": [["train", "loss", "1", 2.0]]}, {"environment": None}]
)
def test_a_file_that_holds_no_numbers_is_refused(held: dict[str, object], tmp_path: Path) -> None:
    run, bench = own_loops.OwnRun("row", "reinmax", {}, 0, lines), context(tmp_path)
    own_loops.collected([run], bench)
    (path,) = (bench.runs / "own").glob("*.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | held))
    with pytest.raises(InputError, match=f"{path} does not hold the numbers of row; delete"):
        own_loops.collected([run], bench)


def test_a_folder_that_cannot_be_written_is_told_before_training(tmp_path: Path) -> None:
    bench = context(tmp_path)
    bench.runs.mkdir()
    (bench.runs / "own").write_text("")
    run = own_loops.OwnRun("row", "reinmax", {}, 0, lambda: pytest.fail("trained"))
    with pytest.raises(InputError, match="cannot write"):
        own_loops.collected([run], bench)
