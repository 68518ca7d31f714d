"""A report of one's own, by its guide alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from discrete_vae.errors import InputError
from discrete_vae.foreign import out_of_file
from reports import __main__ as command
from reports.kit.comparison import Comparison

ROOT = Path(__file__).parents[2]
(SNIPPET,) = re.findall(
    r'```python\n("""mine\.py.*?)```', (ROOT / "docs" / "guides" / "own-report.md").read_text(), re.DOTALL
)


def end(tokens: list[str]) -> int:
    with pytest.raises(SystemExit) as error:
        command.main(tokens)
    return int(error.value.code or 0)


def test_a_comparison_is_at_most_25_lines() -> None:
    assert len(SNIPPET.splitlines()) - 1 <= 25, "without the line that names the file"


def test_it_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    imports = "from discrete_vae.config import Config\nfrom discrete_vae.tasks import Architecture\n"
    imports += "from discrete_vae.data import DataConfig\n"
    imports += "from reports.kit.declared import Task\n"
    few = "batch_size=500, data=DataConfig('binarised-mnist-1000')"
    task = f"tasks=[Task(base=Config(architecture=Architecture(3, 3, (8,)), {few}))],"
    text = SNIPPET.replace("    rows=[\n", f"    {task}\n    rows=[\n").replace("epochs=2", "epochs=1")
    (tmp_path / "mine.py").write_text(imports + text)
    out, runs = tmp_path / "out", tmp_path / "runs"
    command_line = [str(tmp_path / "mine.py"), "--out", str(out), "--runs", str(runs), "--preset"]
    assert end([*command_line, "quick"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(out / "report.html")
    page = (out / "report.html").read_text()
    assert re.search(r"ReinMax has a bound of −\d+\.\d\d nats\.", page)  # noqa: RUF001
    own = out_of_file(str(tmp_path / "mine.py"), "report", "REPORT")
    assert isinstance(own, Comparison)
    tables = own.tables(out, "quick")
    assert list(tables) == ["results", "differences"]
    for name, table in tables.items():
        assert table.markdown() == (out / f"{name}.md").read_text()
        assert table._repr_html_() in page
    with pytest.raises(InputError, match="unknown preset 'quik'; did you mean 'quick'"):
        own.tables(out, "quik")
    assert "| ReinMax |" in tables["results"].markdown()
    assert "ReinMax less Gumbel-Softmax" in tables["differences"].markdown()
    assert end([*command_line, "full"]) == 2
    assert "holds this report at --preset quick" in capsys.readouterr().err
    assert end(["list", str(tmp_path / "mine.py"), "--threads", "1"]) == 0
    listed = capsys.readouterr().out
    assert "--preset quick" in listed
    assert re.search(r"\d+ runs, [\d,]+ steps, about \d", listed)
    assert '"command": "python -m reports mine.py --preset quick"' in (out / "provenance.json").read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no Python file"),
        ("1 / 0", "ZeroDivisionError"),
        ("REPORT = 3", "defines no report"),
        ("from reports.jang import REPORT", "is called jang"),
        (
            "import dataclasses\nfrom reports.jang import REPORT\nREPORT = dataclasses.replace(REPORT, name='a/b')",
            "a/b",
        ),
        (
            "from reports.kit.comparison import Comparison\nfrom reports.kit.declared import Preset, Row\n"
            "REPORT = Comparison('x', 'X', [Row('A', 'gumble-softmax')], {'quick': Preset(1)})",
            "did you mean 'gumbel-softmax'",
        ),
        (
            "from reports.kit.comparison import Comparison\nfrom reports.kit.declared import Preset, Row\n"
            "REPORT = Comparison('x', 'X', [Row('A', 'reinmax'), Row('A', 'zgr')], {'quick': Preset(1)})",
            "two rows are called 'A'",
        ),
        (
            "from reports.kit.comparison import Comparison\nfrom reports.kit.declared import Preset, Row\n"
            "REPORT = Comparison('x', 'X', [Row('A', 'reinmax')], {'quick': Preset(0)})",
            "epochs",
        ),
        (
            "from reports.kit.comparison import Comparison\nfrom reports.kit.declared import Preset, Row\n"
            "REPORT = Comparison('x', 'X', [Row('A', 'reinmax')], {'quick': Preset(1)}, pairs=[('A', 'B')])",
            "'B'",
        ),
        (
            "from reports.kit.comparison import Comparison\nfrom reports.kit.declared import Preset, Row\n"
            "REPORT = Comparison('x', 'X', [Row('A', 'reinmax', [{'tau': 1}])], {'quick': Preset(1)})",
            "tau",
        ),
    ],
)
def test_what_is_wrong_in_it_ends_in_one_line(
    text: str | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is not None:
        (tmp_path / "mine.py").write_text(text)
    tokens = [str(tmp_path / "mine.py"), "--preset", "quick", "--out", str(tmp_path / "out")]
    assert end([*tokens, "--runs", str(tmp_path / "runs")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error
    assert not (tmp_path / "out" / "results.csv").exists()
