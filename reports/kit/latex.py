"""LaTeX source from templates, and its way to a PDF that is the same every time."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import jinja2

from discrete_vae.errors import InputError
from discrete_vae.files import write_atomically
from reports.kit import characters

INSTALL = (
    "to get the PDF, install a LaTeX engine "
    "(Debian: apt install latexmk texlive-latex-recommended texlive-fonts-recommended texlive-science lmodern; "
    "or tectonic)"
)


class Latex(str):
    """Text that is LaTeX source already; every other string is escaped on its way into a template."""


def escape(text: object) -> Latex:
    """Plain text as LaTeX source that prints the same characters, or the code points of those without a command."""
    return text if isinstance(text, Latex) else Latex(characters.latex(str(text)))


def environment(finalize: Callable[[object], str], undefined: type[jinja2.Undefined]) -> jinja2.Environment:
    """Templates with ``<< values >>``, ``<% statements %>`` and ``<# comments #>``, signs that text seldom has."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=undefined,
        autoescape=False,
        finalize=finalize,
    )


def document(title: str, body: Latex) -> Latex:
    """A whole document: the title, the body, and the references of ``references.bib`` beside it."""
    template = environment(escape, jinja2.StrictUndefined).get_template("document.tex")
    return Latex(template.render(title=title, body=body))


def engine() -> list[str] | None:
    """The command that compiles a document and lets it call no program, or None where no LaTeX is installed."""
    quiet, alone = ["-interaction=nonstopmode", "-halt-on-error"], "-no-shell-escape"
    if shutil.which("latexmk") and shutil.which("pdflatex"):
        return ["latexmk", "-norc", "-pdf", f"-latexoption={alone}", *quiet]
    if shutil.which("tectonic"):
        return ["tectonic", "--untrusted"]
    return ["pdflatex", alone, *quiet] if shutil.which("pdflatex") else None


def compile_document(folder: Path, name: str, parts: Sequence[str]) -> bool:
    """Compile ``name.tex`` with the files ``parts`` that it reads, all in ``folder``, to ``name.pdf`` there.

    Gives False where no LaTeX engine is installed. Raises ``InputError``, and leaves the log in the folder, where the
    engine fails.
    """
    command = engine()
    if command is None:
        (folder / f"{name}.pdf").unlink(missing_ok=True)  # an older one would not be this document
        return False
    # No date and no path gets into the PDF: the same source gives the same bytes.
    fixed = {"SOURCE_DATE_EPOCH": "0", "FORCE_SOURCE_DATE": "1", "TZ": "UTC", "max_print_line": "1000"}
    fixed |= {"openin_any": "p", "openout_any": "p"}  # it reads and writes beside itself only
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        for part in (f"{name}.tex", *parts):
            shutil.copy(folder / part, work / part)
        for _ in range(2 if command[0] == "pdflatex" else 1):  # the second pass knows the labels
            done = subprocess.run(
                [*command, f"{name}.tex"],
                cwd=work,
                env={**os.environ, **fixed},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
            )
        pdf, log = work / f"{name}.pdf", work / f"{name}.log"
        if done.returncode or not pdf.exists():
            (folder / f"{name}.pdf").unlink(missing_ok=True)  # an older one would not be this document
            write_atomically(folder / f"{name}.log", log.read_bytes() if log.exists() else done.stdout + done.stderr)
            raise InputError(f"{command[0]} could not compile {folder / name}.tex; see {folder / name}.log")
        write_atomically(folder / f"{name}.pdf", pdf.read_bytes())
        (folder / f"{name}.log").unlink(missing_ok=True)
    return True
