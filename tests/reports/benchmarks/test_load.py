"""What is taken for a disturbed measurement, from constructed and recorded turns."""

from __future__ import annotations

import dataclasses
import random
from collections import namedtuple
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch

from discrete_vae.config import Config
from discrete_vae.tasks import Architecture
from reports.benchmarks import load, marks, measure, measurements, speed_by_classes, storage_overhead, throughput_tables
from reports.benchmarks.case import SINGLE, Case
from reports.benchmarks.load import Counters, Load, between, drift, least_disturbed, spread
from reports.benchmarks.measurements import Measurement
from reports.benchmarks.throughput_cases import PRESETS
from reports.benchmarks.turns import Turns, paired
from reports.kit.context import ReportContext

IDLE = Load(0.02, 1.0, 2, 2, 0.05, 0.02)
BUSY = dataclasses.replace(IDLE, others=1.0)
QUIET = [10.0 + 0.1 * (i % 5) for i in range(40)]


@pytest.mark.parametrize(
    ("others", "cores", "threads", "disturbed"),
    [
        (0.0, 2, 2, False),
        (0.05, 2, 2, False),  # daemons
        (1.0, 2, 2, True),  # a process on one of two cores
        (1.0, 2, 1, True),  # which shares caches with a measurement on the other
        (0.3, 2, 2, True),  # a process that comes and goes
        (1.0, 64, 4, False),  # on a large machine with most cores free
        (1.0, 64, 64, True),
        (61.0, 64, 4, True),
        (0.5, 1, 1, True),
    ],
)
def test_what_others_may_take(others: float, cores: int, threads: int, disturbed: bool) -> None:
    assert Load(others, 5.0, cores, threads).disturbed is disturbed


def test_a_short_window_is_not_counted_more_exactly_than_the_system_counts() -> None:
    """A tick of 10 ms in a window of 20 ms would be half a core."""
    assert not Load(0.5, 0.02, 2, 2).disturbed
    assert not between(Counters(0, 0, 0), Counters(0, 0.01, 0), 2).disturbed


def test_others_are_what_is_busy_but_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "cores", lambda: 2)
    found = between(Counters(100, 50, 7), Counters(110, 65, 12), 2, QUIET)
    assert found.others == pytest.approx(1.0)
    assert found.disturbed
    assert between(Counters(100, 50, 7), Counters(110, 60, 17.1), 2, QUIET).others == 0.0, "ticks are rounded"


def test_the_system_counts_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that this process may use, with what a hypervisor took, and a guest's time once."""
    Times = namedtuple("Times", "user nice system idle iowait irq softirq steal guest guest_nice")
    whole = [Times(10, 1, 2, 100, 50, 0.5, 0.25, 3, 4, 1), Times(1000, 0, 0, 0, 0, 0, 0, 0, 0, 0)]
    own = SimpleNamespace(cpu_affinity=lambda: [0], cpu_times=lambda: (5.0, 1.0, 2.0, 0.5, 9.0))
    monkeypatch.setattr(load.psutil, "cpu_times", lambda percpu: whole)
    monkeypatch.setattr(load.psutil, "Process", lambda: own)
    found = load.counters()
    assert found.busy == pytest.approx(10 + 1 + 2 + 0.5 + 0.25 + 3)
    assert found.own == 8.5
    assert load.cores() == 1


def test_real_counters_go_on() -> None:
    before = load.counters()
    sum(i * i for i in range(10**6))
    after = load.counters()
    assert after.clock > before.clock
    assert after.busy >= before.busy
    assert after.own >= before.own


def test_a_quiet_floor_is_believed() -> None:
    assert spread(QUIET) < load.SPREAD
    assert drift(QUIET) < load.DRIFT
    one = [*QUIET[:-1], 500.0]  # a single interruption is what a median is for
    assert not dataclasses.replace(IDLE, spread=spread(one), drift=drift(one)).disturbed


@pytest.mark.parametrize(
    "floor",
    [
        [10.0] * 20 + [20.0] * 20,  # something began in the middle
        [20.0] * 20 + [10.0] * 20,
        [10.0, 40.0] * 20,  # something that comes and goes
        [random.Random(i).uniform(5, 50) for i in range(40)],
    ],
)
def test_a_floor_that_varies_is_not(floor: Sequence[float]) -> None:
    """It does the same work in every turn, whatever the system says of its load."""
    assert dataclasses.replace(IDLE, spread=spread(floor), drift=drift(floor)).disturbed


def test_few_times_say_nothing() -> None:
    assert spread([1.0, 9.0, 1.0]) == drift([1.0, 9.0, 1.0]) == 0.0


def test_a_disturbed_measurement_is_taken_again_and_the_least_disturbed_kept() -> None:
    worse, bad = dataclasses.replace(BUSY, others=1.9), dataclasses.replace(BUSY, others=0.8)
    for loads, kept, tries in (
        ([IDLE], 0, 1),
        ([BUSY, IDLE], 1, 2),
        ([worse, bad, BUSY], 1, 3),
        ([worse, BUSY, bad], 2, 3),
        ([bad, worse, BUSY, IDLE], 0, 3),
    ):
        left = iter(enumerate(loads))
        found = least_disturbed(lambda left=left: next(left))  # type: ignore[misc]
        assert found == (kept, loads[kept], tries)


def test_ratios_are_those_of_neighbours() -> None:
    """Another process that comes and goes changes both times of a turn, and the ratio of their medians, not theirs."""
    floor = [1.0, 10.0, 10.0, 1.0, 1.0]
    step = [2.0, 20.0, 20.0, 20.0, 2.0]
    assert paired(step, floor) == 2.0
    turns = Turns([floor, step], IDLE)
    assert turns.ratio(1, 0) == 2.0
    assert turns.medians == [1.0, 20.0]


def watched(monkeypatch: pytest.MonkeyPatch, *loads: Load) -> None:
    """Have measurements find these loads, and the last one from then on."""
    left = list(loads)
    monkeypatch.setattr(load, "between", lambda *arguments: left.pop(0) if len(left) > 1 else left[0])


SMALL = Config(architecture=Architecture(4, 3, (16,)), batch_size=2000)


@pytest.mark.parametrize("loop", ["suite", "beside", "textbook", "evaluation", "classes"])
def test_every_loop_is_guarded(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = speed_by_classes.PRESETS["quick"].base if loop == "classes" else SMALL
    config = config.refitted(architecture=Architecture(1 if loop == "classes" else 4, 10, (8,), style=2))
    monkeypatch.setattr(measure, "evaluate_population", lambda *arguments: None)
    watched(monkeypatch, BUSY, IDLE)
    found = measure.measure(Case(config, loop=loop, seconds=0.01), torch.device("cpu"))
    assert (found["disturbed"], found["tries"], found["other_load"]) == (0, 2, IDLE.others)


def test_a_disturbed_epoch_is_measured_again_and_else_disturbs_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    for loads, told in (([IDLE, BUSY, IDLE], (0, 2)), ([IDLE, BUSY], (1, 3))):
        watched(monkeypatch, *loads)
        found = measure.measure(Case(SMALL, seconds=0.01, epoch=True), torch.device("cpu"))
        assert (found["disturbed"], found["tries"]) == told
        assert found["other_load"] == (BUSY if told[0] else IDLE).others


def test_disturbed_rows_are_marked_and_told(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    quiet, busy = IDLE.metrics() | {"tries": 1}, BUSY.metrics() | {"tries": 3}
    found = {"quiet": quiet, "busy": busy}
    marks.tell_disturbed(found, tmp_path)
    told = capsys.readouterr().out
    assert "disturbed: busy: others took 1.0 cores" in told
    assert "1 of 2 measurements were disturbed" in told
    assert "quiet" not in told.splitlines()[0]
    marks.tell_disturbed({"quiet": quiet}, tmp_path)
    assert capsys.readouterr().out == ""
    bench = ReportContext("throughput", "quick", tmp_path)
    lines = pd.concat(
        [measurements.tidy(bench, name, Measurement(Case(SMALL), each, {})) for name, each in found.items()]
    )
    assert list(lines[lines["metric"] == "disturbed"]["value"]) == [0, 1]

    preset = dataclasses.replace(PRESETS["quick"], growth={"batch": ("batch_size", (1, 2))})
    table = throughput_tables.growth(preset, {"batch = 1": quiet, "batch = 2": busy})
    assert r"| batch = 2 \* |" in table.markdown()
    assert "| batch = 1 |" in table.markdown()
    assert "disturbed the measurement in each of 3 tries" in table.caption
    assert "disturbed" not in throughput_tables.growth(preset, {"batch = 1": quiet, "batch = 2": quiet}).caption
    classes = dataclasses.replace(speed_by_classes.PRESETS["quick"], classes=(10, 20))
    settings = {"machine": "one", "cases": {"K = 10": {"threads": 1}}}
    _, speeds = speed_by_classes.tables(classes, {"K = 10": _speeds() | quiet, "K = 20": _speeds() | busy}, settings)
    assert "\n| 20 \\* |" in speeds.markdown()
    assert "\n| 10 |" in speeds.markdown()
    assert "disturbed the measurement" in speeds.caption


def _speeds() -> dict[str, float]:
    return {f"speed {name}": 1.0 for name in SINGLE}


def test_the_storage_s_cost_is_guarded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_overhead, "REST", 0.0)
    values = iter([1.0, 2.0, 3.0])
    watched(monkeypatch, IDLE, BUSY, IDLE)  # others began while it was measured
    value, beside = storage_overhead.quiet(lambda: next(values))
    assert (value, beside["disturbed"], beside["tries"]) == (2.0, 0, 2)
    measured = {"storage": "SQLite", "machine": "one", "seconds": 10.0, "rates": {"4": 100.0}}
    found = {"4 workers": {"trials_per_second": 100.0, "seconds": 0.04, "share": 0.004, "disturbed": 1.0}}
    table = storage_overhead.overhead(storage_overhead.PRESETS["quick"], found, measured)
    assert r"| 4 \* | 100.0 | 40 | 0.40 |" in table.markdown()
    assert "disturbed" in table.caption
