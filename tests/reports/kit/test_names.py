"""Names that a user chose reach LaTeX, Markdown, CSV and figures as text."""

# ruff: noqa: RUF001 (letters that look like others)

from __future__ import annotations

import dataclasses
import re
import shutil
import string
import subprocess
import warnings
from pathlib import Path

import matplotlib.text
import optuna
import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from discrete_vae.config import Config
from discrete_vae.runs.spreadsheets import read_csv, to_csv
from discrete_vae.tuning import DEFINITION, Search, Study
from reports import __main__ as command
from reports.kit import characters, latex, prose
from reports.kit.comparison import Comparison
from reports.kit.context import ReportContext
from reports.kit.declared import Preset, Row, Task
from reports.kit.figures import figure, legend, plain
from reports.kit.latex import Latex, compile_document, escape
from reports.kit.names import LONGEST, distinct, shown, visible
from reports.kit.table import Column, Number, Table
from reports.kit.tidy import COLUMNS
from reports.kit.trials import Entry
from reports.studies import figures, tables
from studies import __main__ as studies_command
from studies.command import choice
from studies.gumbel_softmax import STUDY
from tests.reports.test_studies import filled

TYPESET = True
NEEDS_LATEX = pytest.mark.skipif(latex.engine() is None, reason="no LaTeX engine is installed")
NAMES = [
    "größe τ≤1 日本 😀",
    r"tiny/$\foo{$",
    "<script>alert(1)</script>",
    "=1+1",
    "a|b `c` [d](e)",
    "_hidden",
    "[*",
    "*",
    r"\end{document}\input{/etc/passwd}",
    "^^4d % # & ~ --x ''",
    "e\u0301 x\u0304 Z\u0338\u0322 ế",
    "\u202eabc \u200b \x00\x1b[31m\u2028",
    "a\nb\r\nc\td",
    "Привет שלום عربى",
    "../../etc/passwd",
    "-rf",
    "[/bold]",
    "NA",
    "007",
    "  ",
    "x" * 499 + "1",
    "x" * 499 + "2",
    "日" * 500,
]
STORED = [name for name in NAMES if name not in ("*", "-rf", "../../etc/passwd", "007", "  ", "日" * 500)]
"""What studies are called, which costs more than to name a row."""


def document(*parts: str) -> str:
    """Around parts, with the packages of the reports' own."""
    return latex.document("Names", Latex("\n".join(parts)))


def compiled(folder: Path, *parts: str) -> str:
    """The text of the document, where pdftotext is there."""
    (folder / "names.tex").write_text(document(*parts))
    (folder / "references.bib").write_text("@misc{one, title = {One}, author = {A. Author}, year = 2000}\n")
    assert compile_document(folder, "names", ["references.bib"])
    if shutil.which("pdftotext") is None:
        return ""
    ended = subprocess.run(["pdftotext", "-layout", folder / "names.pdf", "-"], capture_output=True, check=True)
    return ended.stdout.decode()


@NEEDS_LATEX
def test_every_command_compiles(tmp_path: Path) -> None:
    """Also with every accent on every letter, in bold and where a table's row begins."""
    letters = [*string.ascii_letters, *characters._LETTERS]
    accented = ["".join(letter + accent for letter in letters) for accent in characters._ACCENTS]
    raised = "²³¹⁰⁴⁻⁺⁽ⁿ ₀₉₋₍ₐ"
    rows = [[each, ""] for each in (*characters.COMMANDS, *raised)]
    long = [rf"\textbf{{{escape(text)}}}\par" for text in accented]
    heads = [Column("", text=True), Column("", text=True)]
    made = [Table("x", "x", heads, rows[i : i + 50]).latex() for i in range(0, len(rows), 50)]
    text = compiled(tmp_path, *made, *long)
    for each in "ßœ§€τ≤∞→ő" if text else "":
        assert each in text


@NEEDS_LATEX
def test_any_name_compiles_in_a_table_a_caption_and_a_sentence(tmp_path: Path) -> None:
    names = [shown(name) for name in NAMES]
    raw = NAMES[:-3]  # these as they are, as if they had not been made visible
    rows = [[name, name] for name in [*names, *raw]]
    caption = " ".join(map(prose.escape, raw))
    made = Table("x", caption, [Column("", text=True), Column("", text=True)], rows).latex()
    text = compiled(tmp_path, made, *map(escape, NAMES[:-3]))
    for each in ("größe", r"tiny/$\foo{$", "U+65E5", "U+1F600", r"\end{document}") if text else ():
        assert each in text


def test_no_document_calls_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there: set[str] = set()
    monkeypatch.setattr(latex.shutil, "which", lambda name: name if name in there else None)
    for programs, flag in (
        ({"latexmk", "pdflatex"}, "-latexoption=-no-shell-escape"),
        ({"pdflatex"}, "-no-shell-escape"),
        ({"tectonic"}, "--untrusted"),
    ):
        there.clear()
        there.update(programs)
        assert flag in (latex.engine() or [])


@NEEDS_LATEX
def test_a_document_can_neither_call_programs_nor_write_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the user's own settings of latexmk would let it."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".latexmkrc").write_text("$pdflatex = 'pdflatex -shell-escape %O %S';\n")
    monkeypatch.setenv("HOME", str(home))
    document = r"\documentclass{article}\begin{document}x\immediate\write18{touch %s/made}\end{document}"
    (tmp_path / "shell.tex").write_text(document % tmp_path)
    compile_document(tmp_path, "shell", [])
    assert not (tmp_path / "made").exists()
    document = r"\documentclass{article}\begin{document}x\newwrite\w\immediate\openout\w=%s/made.tex \end{document}"
    (tmp_path / "shell.tex").write_text(document % tmp_path)
    with pytest.raises(latex.InputError):
        compile_document(tmp_path, "shell", [])
    assert not (tmp_path / "made.tex").exists()


def test_names_are_visible_short_and_told_apart() -> None:
    assert visible("a\nb\x00\u202e\u2028\ud800é") == r"a\nb\x00\u202e\u2028\ud800é"
    assert shown("  ") == "'  '"
    assert len(shown("x" * 1000)) == LONGEST
    assert shown("a" * 50 + "b" * 50).endswith("b" * 15)
    assert distinct([("one", "a"), ("two", "a"), ("three", "a")]) == {"one": "a", "two": "a (2)", "three": "a (3)"}


def test_markdown_shows_text() -> None:
    made = Table("x", "", [Column("", text=True), Column("x")], [[name, Number(1)] for name in NAMES]).markdown()
    rows = [line.split(" | ") for line in made.splitlines()]
    assert len(rows) == 2 + len(NAMES), "no name makes a line"
    assert all(len(row) == 2 for row in rows), "no name makes a cell"
    assert prose.escape("<script>") == "&lt;script&gt;"
    assert prose.escape("a|b `c` [d](e) *f* $g$ \\") == r"a\|b \`c\` \[d\](e) \*f\* \$g\$ " + "\\\\"
    assert prose.escape("learning_rate _x_") == r"learning_rate \_x\_"
    assert prose.code("a`b``c") == "```a`b``c```"
    assert prose.code("`") == "`` ` ``"


FORMULAS = ["=1+1", "+x", "-1+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1", "-x"]


def test_no_text_is_a_formula_in_a_spreadsheet_and_numbers_stay_numbers(tmp_path: Path) -> None:
    text = [*FORMULAS, *(f"'{each}" for each in FORMULAS), "'a", "-103.2", "+1e5", *NAMES]
    frame = pd.DataFrame(
        {"study": text, "value": -103.25, "seed": range(len(text)), "param =x": ["=a", 1.5] + [""] * (len(text) - 2)}
    )
    path = tmp_path / "trials.csv"
    path.write_bytes(to_csv(frame).encode())
    raw = pd.read_csv(path, dtype=str, keep_default_na=False)
    for cell in raw["study"]:
        assert not re.match(r"\s*[=+\-@＝＋－＠\t\r\n]", cell) or cell in ("-103.2", "+1e5")
    assert set(raw["value"]) == {"-103.25"}
    again = read_csv(path)
    assert list(again["study"]) == text
    assert list(again["param =x"][:2]) == ["=a", "1.5"]
    assert again["value"].dtype == frame["value"].dtype


def test_our_own_numbers_are_written_as_pandas_does() -> None:
    frame = pd.DataFrame(
        {"row": ["tau = 0.5", None], "value": [-103.2, None], "seed": pd.array([1, None], dtype="Int64")}
    )
    assert to_csv(frame) == frame.to_csv(index=False, lineterminator="\n")


def test_figures_show_text(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with figure(tmp_path, "names", height=8) as drawing:
            axes = drawing.subplots()
            lines = {name: axes.plot([0, 1])[0] for name in ("_hidden", r"$\foo{$", "日本", "a\ud800\x07")}
            legend(axes, lines)
            axes.set(title=r"$\foo{$", xlabel="😀 日本", ylabel="a$b$\x00")
            axes.set_xticks([0, 1], [r"$\foo{$", plain("日")])
            axes.text(0, 0, r"$\end$")
    texts = {each.get_text() for each in drawing.findobj(matplotlib.text.Text)}  # type: ignore[attr-defined]
    assert {"_hidden", r"$\foo{$", "[U+65E5][U+672C]", "a[U+D800][U+0007]"} <= texts
    assert (tmp_path / "names.pdf").exists()


def test_a_logarithmic_axis_keeps_its_powers(tmp_path: Path) -> None:
    with figure(tmp_path, "powers", height=2) as drawing:
        axes = drawing.subplots()
        axes.plot([1, 1000], [1, 2])
        axes.set_xscale("log")
    labels = [each for each in axes.get_xticklabels() if "10^" in each.get_text()]
    assert labels
    assert all(each.get_parse_math() for each in labels)


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Studies of all names, each with trials that nothing was trained for."""
    url = str(tmp_path_factory.mktemp("names") / "study.db")
    for name in STORED:
        filled(url, dataclasses.replace(STUDY, name=name), [-110.0, None])
    return url


def test_the_report_on_studies_of_any_name(storage: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as end:
        command.main(["studies", "--storage", storage, "--out", str(out)])
    assert not end.value.code
    assert capfd.readouterr().err == ""
    assert (out / "studies.pdf").exists() == (latex.engine() is not None)
    assert {path.parent for path in tmp_path.rglob("*")} == {tmp_path, out}, "no name makes a folder"
    assert list(dict.fromkeys(read_csv(out / "trials.csv")["study"])) == STORED
    assert list(dict.fromkeys(read_csv(out / "results.csv")["row"])) == STORED
    text = (out / "winners.md").read_text()
    assert sum(line.startswith("|") for line in text.splitlines()) == 2 + len(STORED)
    assert "<script>" not in text
    assert r"tiny/\$\\foo{\$" in text


def test_names_on_the_terminal_and_in_an_export(
    storage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "trials.csv"
    for name in STORED:
        study = dataclasses.replace(STUDY, name=name)
        monkeypatch.setattr(choice, "studies", lambda study=study: {study.name: study})
        with pytest.raises(SystemExit) as end:
            studies_command.main(["show", f"--name={name}", "--storage", storage])
        assert not end.value.code
        assert "\x1b[31m" not in capsys.readouterr().out
        with pytest.raises(SystemExit) as end:
            studies_command.main(["export", f"--name={name}", "--storage", storage, "--out", str(out)])
        assert not end.value.code
        assert set(read_csv(out)["study"]) == {name}


def test_labels_of_a_comparison_are_text() -> None:
    """Those of columns and rows, in every form of the table."""
    odd = r"_a_ & $\\foo{$ | <b>"
    rows = [Row(odd, "reinmax"), Row("even", "zgr")]
    report = Comparison("odd", odd, rows, {"quick": Preset(1)}, [Task(odd)], pairs=[(odd, "even")])
    entries, results = {(odd, odd): Entry(Row(odd, "reinmax"), Config(), [], {}, ())}, pd.DataFrame(columns=COLUMNS)
    made = report.table(report.presets["quick"], entries, results)
    assert made.latex().count(str(escape(odd))) == 2
    assert made.markdown().count(str(prose.escape(odd))) == 3, "a row, and the head of two columns"
    assert "<b>" not in made.html()
    assert "<b>" not in report.differences(report.presets["quick"], results).html()


def test_values_of_any_kind_are_shown(tmp_path: Path) -> None:
    """Categories that are no numbers, or partly."""
    odd = [r"$\foo{$", "日本", "<b>", "=1", "a|b", None, True, 0.5, "x" * 300, "", "[x]"]
    space = {"learning_rate": FloatDistribution(1e-4, 1e-2, log=True), "kind": CategoricalDistribution(odd)}
    study = optuna.create_study(study_name="odd", direction="maximize")
    search = Search(Config(), space)
    study.set_user_attr(DEFINITION, Study("odd", "", {"": search}).definition(search))
    for i, value in enumerate(odd):
        study.enqueue_trial({"learning_rate": 1e-3, "kind": value})
        study.tell(study.ask(dict(space)), -float(i))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures.plane(ReportContext("studies", "stored", tmp_path), [study])
    assert (tmp_path / "studies_plane.pdf").exists()
    assert r"\$\textbackslash{}foo\{\$" in tables.best([study]).latex()
    assert r"\$\\foo{\$" in tables.winners([study]).markdown()
