"""One table in three forms, with the same numbers in all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from discrete_vae.errors import InputError
from reports.kit.latex import compile_document, document, engine
from reports.kit.prose import Prose, latex
from reports.kit.results import FEWER, Difference, Metric, by_name, cells, differences_table, metrics_table
from reports.kit.table import DASH, Column, Number, Section, Table

TYPESET = True

TABLE = Table(
    "sizes",
    "Nats at $\\tau = 0.5$; **bold**: best.",
    [Column("", text=True), Column("valid.", "ELBO"), Column("test", "ELBO"), Column("p"), Column("set", text=True)],
    [
        ["A & B", Number(-103.117, 0.242), Number(-99.5, 10.24, bold=True), "<0.0001", "lr 0.1†"],
        Section("hard $z$"),
        ["<b>_x_</b>", Number(-0.001), Number(7.25, mark="*", digits=1, signed=True), DASH, "$5"],
    ],
)


def test_markdown() -> None:
    assert TABLE.markdown() == (
        "|  | ELBO valid. | ELBO test | p | set |\n"
        "| --- | ---: | ---: | ---: | --- |\n"
        "| A &amp; B | −103.12 ± 0.24 | **−99.50 ± 10.24** | &lt;0.0001 | lr 0.1† |\n"  # noqa: RUF001
        "| *hard $z$* |  |  |  |  |\n"
        "| &lt;b&gt;\\_x\\_&lt;/b&gt; | 0.00 | +7.2\\* | – | \\$5 |\n"  # noqa: RUF001
        "\nNats at $\\tau = 0.5$; **bold**: best.\n"
    )
    assert replace(TABLE, caption="").markdown().endswith("| – | \\$5 |\n")  # noqa: RUF001


def test_latex() -> None:
    source = TABLE.latex()
    assert r"A \& B & -103.12 +- 0.24 & \bfseries -99.50 +- 10.24 &" in source
    assert r"\multicolumn{2}{c}{ELBO}" in source
    assert r"\cmidrule(lr){2-3}" in source
    assert "S[table-format=-3.2(2)]" in source
    assert r"\caption{Nats at $\tau = 0.5$; \textbf{bold}: best.}" in source


@pytest.mark.skipif(engine() is None, reason="no LaTeX engine on this machine")
def test_the_document_compiles(tmp_path: Path) -> None:
    (tmp_path / "references.bib").write_text("@misc{a, title = {A}, author = {B}, year = 2000}\n")
    source = document("Sizes", latex(Prose("[table: sizes]"), {"sizes": TABLE.latex()}))
    (tmp_path / "sizes.tex").write_text(source)
    assert compile_document(tmp_path, "sizes", ["references.bib"])


def test_html() -> None:
    page = TABLE.html()
    assert "<b>_x_" not in page
    assert "A &amp; B" in page
    assert "<strong>−99.50 ± 10.24</strong>" in page  # noqa: RUF001
    assert '<th colspan="2" class="center">ELBO</th>' in page
    assert TABLE._repr_html_() == page


def test_columns_can_be_left_out() -> None:
    assert TABLE.without("p", "set").markdown().splitlines()[0] == "|  | ELBO valid. | ELBO test |"


def results(*rows: tuple[str, int, float]) -> pd.DataFrame:
    made = [{"row": row, "seed": seed, "split": "test", "metric": "elbo", "value": value} for row, seed, value in rows]
    return pd.DataFrame(made)


RESULTS = results(
    *(("A", seed, -100 + seed / 10) for seed in range(4)), *(("B", seed, -103 + seed**2 / 30) for seed in range(4))
)


@pytest.mark.parametrize(("scale", "better", "best"), [(1.0, 1, "A"), (-1.0, -1, "A"), (1.0, -1, "B"), (1.0, 0, None)])
def test_the_better_row_is_bold(scale: float, better: int, best: str | None) -> None:
    column = cells(RESULTS, ["A", "B"], Metric("test", "elbo", better=better, scale=scale))
    assert [row for row, cell in column.items() if isinstance(cell, Number) and cell.bold] == [best] * bool(best)


def test_differences_are_paired_and_tested_where_seeds_are_enough() -> None:
    noisy = RESULTS.assign(value=RESULTS["value"] + [0, 0.1, 0, 0.1, 0, 0, 0, 0])
    columns = [Difference(Metric("test", "elbo", printed={"A": -90.0, "B": -95.5}), "test")]
    table = differences_table("d", "", noisy, [("A", "B"), ("A", "C")], columns)
    assert table.columns[1:] == [Column(each, "test") for each in ("difference", "$p$", "Holm", "printed")]
    (first, second) = table.rows
    assert first[0] == "A less B"
    assert str(first[1]) == "+3.08 ± 0.11"
    assert str(first[4]) == "+5.5"
    assert second[1:] == [DASH] * 4
    few = differences_table("d", "", noisy[noisy["seed"] < 2], [("A", "B")], columns[:1])
    assert [each.head for each in few.columns] == ["", "difference", "printed"]


def test_numbers_by_name() -> None:
    names = by_name(RESULTS, ["A", "B", "failed"])
    assert str(names["mean"]("A", "test", "elbo", 1)) == "−99.8 ± 0.2"  # noqa: RUF001
    assert str(names["less"]("A", "B", "test", "elbo")) == "+3.03 ± 0.06"
    assert names["p"]("A", "B", "test", "elbo") == "<0.0001"
    assert names["best"]("test", "elbo") == "A"
    assert names["mean"]("failed", "test", "elbo") == DASH
    with pytest.raises(InputError, match="unknown row of the results 'a'"):
        names["mean"]("a", "test", "elbo")


def test_a_mean_over_less_than_all_seeds_says_so() -> None:
    """A number that is not finite has no part in it."""
    results = pd.DataFrame(
        [("a", 0, 1.0), ("a", 1, 3.0), ("b", 0, 5.0), ("b", 1, float("nan")), ("c", 0, float("nan"))],
        columns=["row", "seed", "value"],
    ).assign(split="test", metric="loss")
    made = metrics_table("x", "Loss.", results, ["a", "b", "c"], [Metric("test", "loss", spread=False)], seeds=2)
    assert [str(row[1]) for row in made.rows] == ["2.00", "5.00 (1/2)", DASH]  # type: ignore[index]
    assert made.caption == f"Loss. {FEWER}"
    whole = metrics_table("x", "Loss.", results, ["a"], [Metric("test", "loss", spread=False)], seeds=2)
    assert whole.caption == "Loss."
