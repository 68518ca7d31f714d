"""The documentation's sentences on times of steps, held to the committed results."""

from __future__ import annotations

import json

from reports.benchmarks.measurements import by_row
from tests.readme import ROOT, SAID, results_of


def test_sentences_on_a_gpu() -> None:
    found = by_row(results_of("throughput-h200"))
    recorded, compiled = (found[f"gumbel-softmax, 1 thread{end}"] for end in ("", ", compiled"))
    for metrics, said in (
        (recorded, "a recorded Gumbel-Softmax step takes {step_ms:.2f} ms, {step_over_floor:.1f} times its floor;"),
        (compiled, "compiled {step_ms:.2f} ms, {step_over_floor:.1f} times."),
        (found["target-propagation, 1 thread"], "Target propagation takes {step_ms:.2f} ms,"),
        (found["textbook, 1 thread"], "and the textbook loop {step_ms:.2f} ms."),
    ):
        assert said.format(**metrics) in SAID
        assert metrics["disturbed"] == 0
    newton = by_row(results_of("throughput-h100"))
    name = "gauss-newton-local-expectation, 1 thread"
    ratio = newton[f"{name}, beside Gumbel-Softmax"]["step_over_gumbel_softmax"]
    assert f"takes {newton[name]['step_ms']:.2f} ms, {ratio:.2f} times that of Gumbel-Softmax beside it" in SAID
    cores = by_row(results_of("throughput-short"))
    names = ["gauss-newton-local-expectation, 2 threads", "local-expectation, 2 threads"]
    ratios = [cores[f"{each}, beside Gumbel-Softmax"]["step_over_gumbel_softmax"] for each in names]
    own = cores[names[0]]["step_over_floor"]
    assert (
        f"takes {ratios[0]:.2f} times the step of Gumbel-Softmax on another machine with two such cores, "
        f"{own:.2f} times its own floor"
    ) in SAID
    assert f"local expectation takes {ratios[1]:.0f} times" in SAID
    assert "A step takes 1.5 to 1.6 times" in SAID
    assert {round(each, 1) for each in (ratio, ratios[0])} == {1.5, 1.6}
    provenance = json.loads((ROOT / "reports" / "results" / "throughput-h200" / "provenance.json").read_text())
    settings = provenance["settings"]
    assert settings["machine"].startswith("NVIDIA H200, CUDA 13.0")
    assert "torch 2.11.0" in settings["machine"]
    options = f"--device {settings['device']} --threads {settings['threads']}"
    assert f"`{provenance['command']} {options}`, was cut before populations and evaluation" in SAID
    assert {name.partition(" = ")[0] for name in settings["not_measured"]} >= {"population, P", "evaluation, P"}
