"""The documentation's sentences on strings, held to the committed results."""

from __future__ import annotations

from discrete_vae.evaluation import statistics
from reports.kit.results import Metric
from reports.sequences import ROWS
from tests.readme import SAID, mean, results_of, seeds_of


def test_sentences_on_strings() -> None:
    results = results_of("sequences")
    for dataset, metric in (("expressions", "valid"), ("molecules", "valid"), ("molecules", "unique")):
        models = [f"{order}-gram model" for order in (1, 2, 3, 4)]
        best = max(models, key=lambda model: mean(results, f"{model}, {dataset}", "test", metric))
        matched = Metric("test", metric).of(results, f"{best}, {dataset}")
        labels = [row.label for row in ROWS]
        shares = {row: Metric("test", metric).of(results, f"{row}, {dataset}") for row in labels}
        p_values = statistics.holm([statistics.welch_p(values, matched) for values in shares.values()])
        model = statistics.interval(list(matched.values())).mean
        signs = {
            row: 0 if p >= statistics.LEVEL else 1 if statistics.interval(list(values.values())).mean > model else -1
            for (row, values), p in zip(shares.items(), p_values, strict=True)
        }
        if (dataset, metric) == ("expressions", "valid"):
            assert best == "4-gram model"
            assert set(signs.values()) == {1}, "every generator writes more"
        elif metric == "valid":
            assert best == "2-gram model"
            assert set(signs.values()) == {-1}, "every generator writes fewer"
            assert f"the 2-gram model has {model:.1%}" in SAID
            four = seeds_of(results, "4-gram model, molecules", "test", "valid")
            assert max(statistics.holm([statistics.welch_p(values, four) for values in shares.values()])) < 0.05
        else:
            assert signs == dict.fromkeys(labels, 1) | {"score function": 0}
            own = statistics.interval(list(shares["score function"].values())).mean
            assert f"the score function ({own:.1%}) is not told apart from it (p = {max(p_values):.2f})" in SAID
