"""The documentation's sentences on decoded moves, held to the committed results."""

from __future__ import annotations

from reports.kit.results import line
from reports.moves.steps import stored
from tests.readme import SAID, mean, results_of


def test_sentences_on_decoded_moves() -> None:
    results, steps = results_of("moves"), stored()

    def ratios(name: str) -> list[float]:
        return [found.ratio for each in steps.values() for found in each if found.name == name]

    eight, every = ratios("8"), ratios("all")
    said = f"With 8 of them a step takes {min(eight):.1f} to {max(eight):.1f} times as long, with all of them"
    assert f"{said} {min(every):.1f} to {max(every):.0f} times" in SAID
    behind = []
    for size in steps:
        rows = {head: line(head, size) for head in ("none", "8", "32", "all")}
        made = {head: row for head, row in rows.items() if (results["row"] == row).any()}
        elbo = {head: mean(results, row, "validation", "elbo") for head, row in made.items()}
        best = elbo.pop("none")
        behind.append(best - max(elbo.values()))
    assert f"the second-best column is {min(behind):.1f} to {max(behind):.1f} nats behind" in SAID
