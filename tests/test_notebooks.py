"""The notebooks are committed without outputs, and the site's build stops at a cell that raises."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_has_no_outputs(path: Path) -> None:
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert cells
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)


def test_a_cell_that_raises_stops_the_build(tmp_path: Path) -> None:
    """By the settings of the site's own configuration."""
    pytest.importorskip("myst_nb")
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "conf.py").write_text(
        f"import runpy\nsite = runpy.run_path({str(ROOT / 'docs' / 'conf.py')!r})\n"
        "globals().update({name: value for name, value in site.items() if name.startswith('nb_')})\n"
        f'nb_execution_cache_path = {str(tmp_path / "cache")!r}\nextensions = ["myst_nb"]\nhtml_theme = "basic"\n'
    )
    page = pages / "index.md"
    opening = "---\nfile_format: mystnb\nkernelspec: {name: python3}\n---\n# A notebook\n\n"
    command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", str(pages), str(tmp_path / "out")]
    page.write_text(f"{opening}```{{code-cell}}\nprint(6 * 7)\n```\n")
    assert subprocess.run(command, capture_output=True).returncode == 0
    assert "42" in (tmp_path / "out" / "index.html").read_text()
    page.write_text(f"{opening}```{{code-cell}}\n1 / 0\n```\n")
    failed = subprocess.run(command, capture_output=True, text=True)
    assert failed.returncode != 0
    assert "ZeroDivisionError" in failed.stderr
