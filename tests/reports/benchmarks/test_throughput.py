"""The throughput report on a small network: real processes, real measurements, and a second call of the same bytes."""

import contextlib
import dataclasses
import json
import re
import shutil
import signal
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from discrete_vae.config import Config
from discrete_vae.data import load
from discrete_vae.errors import InputError
from discrete_vae.runs import Run
from discrete_vae.strategies import STRATEGIES
from discrete_vae.tasks import Architecture
from discrete_vae.training.step import Trainer
from reports.benchmarks import measure, measurements, throughput, throughput_cases, turns
from reports.benchmarks.case import Case
from reports.benchmarks.floor import floor_of
from reports.kit.context import ReportContext
from reports.kit.tidy import COLUMNS

CPU = torch.device("cpu")
SMALL = Config(architecture=Architecture(4, 3, (16,)), batch_size=2000)
LEARNED = STRATEGIES["target-propagation"].Options("network")


def test_a_case_survives_json() -> None:
    case = Case(Config("target-propagation", LEARNED, seed=3), 4, True, 2, "evaluation", True, 0.5)
    assert Case.from_dict(json.loads(json.dumps(case.to_dict()))) == case


@pytest.mark.parametrize(
    ("config", "products"),
    [
        (Config(), 11),  # four forward, four for the weights, three for the layers' inputs
        (Config("straight-through-gumbel-softmax"), 11),
        (Config("target-propagation"), 12),  # no gradient into the latents, but the encoder once more
        (Config("target-propagation", LEARNED), 19),  # and the inverse forward, twice, and its own training
        (Config(architecture=Architecture(hidden=())), 5),
        # Eight layers forward; backward a call for each of three convolutions, and weights and inputs for four matrices
        # and the last transposed convolution, whose one channel makes it a product.
        (Config(architecture=Architecture(backbone="conv")), 21),
    ],
)
def test_the_floor_is_the_products_that_the_step_has(config: Config, products: int, tmp_path: Path) -> None:
    """Operations and bytes by hand: 2 m k n and 4 (m k + k n + m n) a product, and 28 bytes a parameter of Adam."""
    config = dataclasses.replace(config, architecture=dataclasses.replace(config.architecture, latents=5, categories=2))
    trainer = Trainer([Run(tmp_path, config)], load(), CPU)
    trainer.begin_epoch()
    before = [parameter.clone() for parameter in trainer.parameters]
    floor, counts = floor_of(trainer)
    floor()
    assert counts["products"] == products
    assert all(old.equal(new) for old, new in zip(before, trainer.parameters, strict=True)), "measuring trains nothing"
    if config == dataclasses.replace(Config(), architecture=Architecture(5, 2)):
        layers = [(784, 500), (500, 10), (10, 500), (500, 784)]
        shapes = [(100, *each) for each in layers] + [(i, 100, o) for i, o in layers]
        shapes += [(100, o, i) for i, o in layers[1:]]
        assert counts["gflop"] == pytest.approx(sum(2 * m * k * n for m, k, n in shapes) / 1e9)
        parameters = sum(i * o + o for i, o in layers)
        moved = 28 * parameters + 4 * sum(m * k + k * n + m * n for m, k, n in shapes)
        assert counts["traffic_mib"] == pytest.approx(moved / 2**20)
    if config.architecture.backbone == "conv":
        # A kernel of 4 x 4 at each place of the small image; the first layer's input takes no gradient.
        kernels = [(14 * 14, 1, 32), (7 * 7, 32, 64)]
        outer, inner = (2 * 100 * 16 * places * large * small for places, large, small in kernels)
        dense = 3 * 2 * 100 * (2 * 7 * 7 * 64 * 500 + 2 * 500 * 10)
        assert counts["gflop"] == pytest.approx((dense + 5 * outer + 6 * inner) / 1e9)


def test_functions_take_turns() -> None:
    calls: list[int] = []
    taken = turns.take_turns([lambda: calls.append(0), lambda: calls.append(1)], Case(SMALL, seconds=0.01), CPU)
    assert calls[6:10] == [0, 1, 0, 1]
    assert len(taken.medians) == 2


def test_an_epoch_is_trained_for_real(tmp_path: Path) -> None:
    found = measure.measure(Case(SMALL, seconds=0.05, epoch=True), CPU)
    assert found["epoch_over_steps"] >= 1
    assert found["validation_over_epoch"] > 0
    assert found["step_over_floor"] > 0
    assert found["examples_per_second"] == pytest.approx(2000 / found["step_ms"] * 1e3)


FILES = {
    "results.csv",
    "provenance.json",
    "throughput.tex",
    "report.html",
    "ratios.md",
    *(f"{table}.md" for table in ("strategies", "population", "growth", "evaluation", "precision")),
    *(f"{table}.tex" for table in ("strategies", "population", "growth", "evaluation", "precision")),
    *(f"{name}.{suffix}" for name in ("population", "growth") for suffix in ("pdf", "png")),
}
METRICS = (
    *("products", "gflop", "traffic_mib", "floor_ms", "step_ms", "member_ms", "step_over_floor", "examples_per_second"),
    *("peak_mib", "gflop_per_second", "gib_per_second", "evaluation_over_floor", "decoded_per_second"),
    *("epoch_over_steps", "validation_over_epoch"),
)


def in_this_process(case: Case, asked: Mapping[str, Any], bench: ReportContext) -> dict[str, Any]:
    """A real measurement, without the seconds that a process takes to start but for populations."""
    if case.members > 1:
        return OF_A_PROCESS(case, asked, bench)
    environment = measurements.environment(bench.device) | {"memory_mib": measurements.memory(bench.device)}
    before = torch.get_num_threads()
    try:
        return {"metrics": measure.measure(case, bench.device), "environment": environment}
    finally:
        torch.set_num_threads(before)


OF_A_PROCESS = measurements._measured


def call(out: Path, runs: Path) -> None:
    strategies = (SMALL.strategy, "target-propagation")
    growth = {"batch": ("batch_size", (100, 200))}
    tiny = throughput_cases.Preset("tiny", 0.02, 2, growth, 1, (0,), False, SMALL, strategies, (1,))
    with pytest.MonkeyPatch.context() as patch:
        # Other tests run beside this one, which no try escapes.
        patch.setattr(throughput_cases, "Case", partial(Case, tries=1))
        throughput.make(tiny, ReportContext("throughput", "tiny", out, runs))


def test_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("g++") is None:
        pytest.skip("the compiled measurement needs g++")
    out, runs = tmp_path / "out", tmp_path / "runs"
    monkeypatch.setattr(measurements, "_measured", in_this_process)
    call(out, runs)
    assert {path.name for path in out.iterdir()} >= FILES
    results = pd.read_csv(out / "results.csv")
    assert list(results.columns) == COLUMNS
    metrics = results.groupby("row")["metric"].agg(set)
    first = "gumbel-softmax, 1 thread"
    assert {"step_ms", "floor_ms", "step_over_floor", "examples_per_second", "peak_mib"} <= metrics[first]
    assert {"other_load", "floor_spread", "floor_drift", "disturbed", "tries"} <= metrics[first]
    assert "is watched" in (out / "throughput.tex").read_text()
    assert {"population, P = 1", "population, P = 2", "batch = 200", f"{first}, compiled", "device"} <= set(
        metrics.index
    )
    assert "elbo" in metrics["precision bfloat16"]
    provenance = json.loads((out / "provenance.json").read_text())
    assert "cores" in provenance["settings"]["machine"]
    written = {path.name: path.read_bytes() for path in out.iterdir()}

    monkeypatch.setattr(measurements, "_measured", None)  # nothing is measured again
    call(out, runs)
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.suffix != ".pdf"} == {
        name: content for name, content in written.items() if not name.endswith(".pdf")
    }


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_cut_report_writes_what_it_has(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it is cut; every next call measures one case more."""
    asked: list[Case] = []

    def take(case: Case, *_: object) -> dict[str, object]:
        asked.append(case)
        if len(asked) % 2 == 0:
            signal.raise_signal(number)
        metrics = dict.fromkeys(METRICS, 2.0) | ({"step_over_gumbel_softmax": 2.0} if case.loop == "beside" else {})
        return {"metrics": metrics, "environment": {"machine": "M1", "threads": 1, "memory_mib": 1000}}

    monkeypatch.setattr(measurements, "_measured", take)
    out, runs = tmp_path / "out", tmp_path / "runs"
    for done in range(1, 14):
        with contextlib.nullcontext() if done == 13 else pytest.raises(KeyboardInterrupt):
            call(out, runs)
        settings = json.loads((out / "provenance.json").read_text())["settings"]
        assert len(settings["cases"]) == done
        assert set(pd.read_csv(out / "results.csv")["row"]) >= settings["cases"].keys()
        assert len(settings.get("not_measured", [])) == 13 - done
        tables = {path.name for path in out.iterdir()}
        assert all(part in tables for part in re.findall(r"input{(.*)}", (out / "throughput.tex").read_text()))
        assert ("strategies.tex" in tables) == (done > 1), "the device alone is no row"
        assert ("population.tex" in tables) == (done > 11)
    assert tables >= FILES
    assert "cut" not in settings


def test_a_measurement_that_fails_says_why(tmp_path: Path) -> None:
    bench = ReportContext("throughput", "tiny", tmp_path, tmp_path / "runs")
    with pytest.raises(InputError, match="a measurement of gumbel-softmax x 1 failed: KeyError: 'spiral'"):
        measurements.measure(Case(SMALL, loop="spiral", seconds=0.01), bench)
    assert not list((tmp_path / "runs").rglob("*.json"))


def test_without_a_compiler_nothing_is_said_of_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch._inductor

    def broken(*arguments: object) -> None:
        raise RuntimeError("no compiler")

    monkeypatch.setattr(torch._inductor, "compile", broken)
    assert measure.measure(Case(SMALL, compiled=True, seconds=0.05), CPU) == {}
