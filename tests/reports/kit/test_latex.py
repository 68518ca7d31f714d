"""Escaping, templates and the way to a PDF."""

import re
from pathlib import Path

import pytest

from discrete_vae.errors import InputError
from reports.kit import latex
from reports.kit.latex import compile_document, escape

SPECIAL = r"\ { } $ & # ^ _ ~ % < >"
TYPESET = True
NEEDS_LATEX = pytest.mark.skipif(latex.engine() is None, reason="no LaTeX engine is installed")


@pytest.mark.parametrize("character", SPECIAL.split())
def test_every_special_character_is_escaped(character: str) -> None:
    assert escape(character) != character
    # What is left after taking the commands out holds no special character any more.
    assert not re.sub(r"\\(text[a-z]+\{\}|[{}$&#_%])", "", escape(f"a{character}b{character}")).strip("ab")


def test_latex_is_not_escaped_twice() -> None:
    assert escape(escape("50%")) == r"50\%"


@NEEDS_LATEX
def test_special_characters_compile(tmp_path: Path) -> None:
    source = rf"\documentclass{{article}}\begin{{document}}{escape(SPECIAL)}\end{{document}}"
    (tmp_path / "special.tex").write_text(source)
    assert compile_document(tmp_path, "special", [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["special.pdf", "special.tex"]


@NEEDS_LATEX
def test_a_failure_points_at_the_log(tmp_path: Path) -> None:
    (tmp_path / "broken.tex").write_text(r"\documentclass{article}\begin{document}\nonsense\end{document}")
    with pytest.raises(InputError, match=r"broken\.log") as error:
        compile_document(tmp_path, "broken", [])
    assert "\n" not in str(error.value)
    assert "nonsense" in (tmp_path / "broken.log").read_text()
    assert not (tmp_path / "broken.pdf").exists()


def test_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latex.shutil, "which", lambda name: None)
    assert not compile_document(tmp_path, "any", [])
