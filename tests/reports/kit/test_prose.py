"""A report's text: numbers by name, and the same Markdown as LaTeX and as HTML."""

# ruff: noqa: RUF001 (characters that look like others)

import random
import re
import shutil
import subprocess
from html import escape as escape_html
from pathlib import Path

import pytest

from discrete_vae.errors import InputError
from reports.kit import latex as latex_kit
from reports.kit.figures import figure
from reports.kit.latex import compile_document, document
from reports.kit.latex import escape as escape_latex
from reports.kit.names import visible
from reports.kit.prose import Prose, code, escape, fill, html, inline_html, inline_latex, latex, plain

TYPESET = True
NEEDS_LATEX = pytest.mark.skipif(latex_kit.engine() is None, reason="no LaTeX engine is installed")
HOSTILE = [
    "<script>alert(1)</script>",
    r"\end{document}\input{/etc/passwd}",
    "$x$ $$y$$ \\(z\\)",
    "a|b `c` ``d`` [e](f) ![g](h) <http://i> &lt; &#36; *j* _k_ __l__ ~m~",
    "\u202eabc \u200f\u200b \x00\x1b[31m\u2028\r\n\tz",
    "[table: main]",
    "{width=0.5}",
    "# heading",
    "- item",
    "+ item",
    "-",
    "===",
    "---",
    "* * *",
    "1. item",
    "12) item",
    ". item",
    "    four spaces",
    "> quote",
    "ends with two spaces  ",
    "ends with a backslash\\",
    "\u00a0\u3000wide spaces\u2003",
    "[a]: http://b",
    "```",
    "~~~",
    "größe τ≤1 日本 😀 שלום",
    "-103.2",
    "a_b _c d_ e__f",
    "wow!",
    "=1+1",
    "\ud800",
]
ALPHABET = "\\`*_{}[]()<>#+-.!|~$&=:;\"'^%/@, \t\n0aé\u00a0\u202e\x00"
TEXT = r"""# A section

Text with *emphasis*, **strength**, `code_x \ {}`, and $\tau = 0.5$ in [a link](https://example.org/a_b?c=1&d=2%20#e).
See [Table](#tab:main) and [Figure](#fig:curves). 100% — “quoted”.

$$
\mathrm{KL}(q\,\|\,p) \leq \sum_i \frac{1}{2}
$$

3. three
4. four
   - nested

> quoted words

```
python -m reports x  --out [DIR]

* {b} \end{verbatim} é
```

---

[table: main]

![Curves of $\beta_1$, *all*](curves){width=0.8}

## Below

<script>alert(1)</script>\
last
"""


def strings() -> list[str]:
    """Hostile ones, and random ones from characters that mean something in Markdown."""
    draw = random.Random(0)
    return HOSTILE + ["".join(draw.choices(ALPHABET, k=draw.randint(1, 12))) for _ in range(4000)]


def unescaped(source: str) -> str:
    return source.replace("&#x27;", "'")  # Markdown leaves it


def test_any_string_is_shown_as_it_stands() -> None:
    for text in strings():
        shown = visible(text)
        assert inline_latex(escape(text)) == escape_latex(shown), text
        assert inline_html(escape(text)) == unescaped(escape_html(shown)), text
        assert plain(escape(text)) == shown, text


def test_any_string_stays_in_its_place_in_a_paragraph() -> None:
    for text in strings()[:1000]:
        shown = visible(text)
        for template in ("<< x >>", "a << x >> b", "1<< x >> b", "above\n<< x >>\nbelow", "<< x >>[c](d)"):
            source = fill(template, x=text)
            by_hand = template.replace("[c](d)", "").replace("<< x >>", "\0")
            expected = unescaped(escape_html(by_hand)).replace("\0", unescaped(escape_html(shown)))
            found = html(source)
            if template.endswith(")"):
                expected += '<a href="d">c</a>'
            assert found == f"<p>{expected}</p>\n", (template, text)


def test_what_is_prose_already_is_not_escaped_again() -> None:
    assert fill("<< x >> << y >>", x=Prose("*a*"), y="*a*") == r"*a* \*a\*"
    assert escape(escape("*")) == r"\*"


def test_numbers_stay_as_they_are_for_formulas() -> None:
    assert fill(r"$\tau = << tau >>$, << low >>", tau=0.5, low=-103.2) == r"$\tau = 0.5$, -103.2"


def test_statements_of_a_text() -> None:
    assert fill("<% if n > 1 %>\n<< n >> seeds\n<% endif %>\n<# not said #>.", n=2) == "2 seeds\n."


def test_a_statement_behind_text_glues_no_lines() -> None:
    text = (
        "A.<% if x %> B.<% else %> C.<% endif %>\n<% if x %>\nD.\n<% endif %>\nE.<% for i in [1, 2] %> F<% endfor %>\n"
    )
    text += "G.\n"
    assert fill(text, x=True) == "A. B.\nD.\nE. F F\nG.\n"
    assert fill(text, x=False) == "A. C.\nE. F F\nG.\n"


def test_code_shows_any_text() -> None:
    for text in strings():
        if (shown := visible(text)).strip():
            assert inline_html(code(text)) == f"<code>{unescaped(escape_html(shown))}</code>", text
    assert fill("<< code(x) >>", x="a_b*") == "`a_b*`"


@pytest.mark.parametrize(
    ("template", "near"),
    [
        ("<< elbp >>", "elbp, which is not there; near are: elbo"),
        ("<< best.elb >>", "elb, which is not there; near are: elbo"),
        ("<% for each in elbp %><% endfor %>", "near are: elbo"),
        ("<< nothing.at.all >>", "nothing, which"),
        ("a\n<% if %>", "line 2 of the text"),
    ],
)
def test_a_name_that_is_not_there(template: str, near: str) -> None:
    with pytest.raises(InputError, match=near) as error:
        fill(template, elbo=1, best={"elbo": 2})
    assert "\n" not in str(error.value)


def test_a_text_as_latex() -> None:
    found = latex(TEXT, {"main": r"\input{main_table.tex}"})
    for source in (
        r"\section*{A section}",
        r"\subsection*{Below}",
        r"\emph{emphasis}, \textbf{strength}, \texttt{code\_x \textbackslash{} \{\}}, and $\tau = 0.5$",
        r"\href{https://example.org/a\_b?c=1\&d=2\%20\#e}{a link}",
        r"\hyperref[tab:main]{Table~\ref*{tab:main}}",
        "\\[\n\\mathrm{KL}(q\\,\\|\\,p)",
        "\\begin{enumerate}\\setcounter{\\csname @enumctr\\endcsname}{2}\n\\item three",
        "\\begin{itemize}\n\\item nested",
        "\\begin{quote}\nquoted words",
        r"\mbox{}python~-m~reports~x~~-{}-out~{[}DIR{]}\\",
        "\\input{main_table.tex}\n\n",
        "\\includegraphics[width=0.8\\linewidth]{curves.pdf}\n\\caption{Curves of $\\beta_1$, \\emph{all}}",
        r"\label{fig:curves}",
        "\\textless{}script\\textgreater{}alert(1)\\textless{}/script\\textgreater{}\\newline\nlast",
    ):
        assert source in found


def test_a_text_as_html() -> None:
    found = html(TEXT, {"main": "<table id='tab:main'></table>"}, {"curves": b"png"})
    for source in (
        "<h2>A section</h2>",
        "<h3>Below</h3>",
        "<em>emphasis</em>, <strong>strength</strong>, <code>code_x \\ {}</code>",
        "<mi>τ</mi><mo>=</mo><mn>0.5</mn>",
        'display="block"',
        '<a href="https://example.org/a_b?c=1&amp;d=2%20#e">a link</a>',
        '<a href="#tab:main">Table</a>',
        '<ol start="3">\n<li>three</li>',
        "<ul>\n<li>nested</li>",
        "<blockquote>",
        "<pre><code>python -m reports x  --out [DIR]\n\n* {b} \\end{verbatim} é\n</code></pre>",
        "<div class=\"table\">\n<table id='tab:main'></table>\n</div>",
        '<figure id="fig:curves">\n<img src="data:image/png;base64,cG5n" alt="Curves of β_1, all" style="width: 80%">',
        "<em>all</em></figcaption>",
        "&lt;script&gt;alert(1)&lt;/script&gt;<br />",
    ):
        assert source in found


def test_lines_of_cells_and_captions() -> None:
    assert inline_latex(r"*a* $\tau$ 5%") == r"\emph{a} $\tau$ 5\%"
    assert inline_html("*a* <b") == "<em>a</em> &lt;b"
    assert inline_html("[a](javascript:alert(1))") == "[a](javascript:alert(1))"
    assert plain(r"*a* **b** `c` [d](e) $\tau \leq -1$, $K\times N$, $\mathrm{KL}_{i}$ &amp; f") == (
        "a b c d τ ≤ −1, K×N, KL_i & f"
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[table: x]", "the table x, which this report does not have; it has: main"),
        ("![c](x)", "the figure x, which this report does not have; it has: curves"),
        ("![c](curves.pdf)", "without an ending"),
        ("![c](../curves)", "without an ending"),
        ("![c](curves){width=2}", "at most 1, not 2"),
        ("![c](curves){width=wide}", "not wide"),
        ("text ![c](curves)", "stands alone"),
        ("[Figure](#fig:}x)", "is no label"),
        (r"$\foo{x}$", r"the formula \$\\foo\{x\}\$ cannot be shown in a browser: \\foo is not supported"),
        (r"$\frac{a$", "its braces do not pair"),
        ("$x_1_2$", "cannot be shown"),
        ("$a & b$", "& is not supported"),
        (r"$\href{javascript:x}{y}$", "attributes"),
    ],
)
def test_what_a_text_cannot_have(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as error:
        html(text, {"main": ""}, {"curves": b""})
    assert "\n" not in str(error.value)


def test_a_table_that_latex_does_not_have() -> None:
    with pytest.raises(InputError, match="the table x, which this report does not have; it has: none"):
        latex("[table: x]")


def test_formulas_write_no_html() -> None:
    found = inline_html(r"$\text{<script>alert(1)</script>}$ $a < b$ $\backslash$")
    assert "<script" not in found
    assert "&lt;script&gt;" in found
    assert "<mo>&lt;</mo>" in found


@NEEDS_LATEX
def test_a_text_compiles_to_a_pdf_that_is_the_same_every_time(tmp_path: Path) -> None:
    with figure(tmp_path, "curves", height=1) as drawing:
        drawing.subplots().plot([0, 1])
    table = latex_kit.Latex(
        "\\begin{table}[htbp]\\caption{T}\\label{tab:main}\\begin{tabular}{l}cell\\end{tabular}\\end{table}"
    )
    names = "\n\n".join(fill("<< x >> in *<< x >>* and << code(x) >>", x=visible(x)) for x in HOSTILE)
    links = "[odd](https://example.org/~a$b'c%5Cd{e}^f_g#h)\n\n![see [odd](https://x.org/a_b%20#c~)](again)"
    shutil.copy(tmp_path / "curves.pdf", tmp_path / "again.pdf")
    body = latex("\n\n".join([TEXT, names, links]), {"main": table})
    (tmp_path / "text.tex").write_text(document("A 100% title", body))
    (tmp_path / "references.bib").write_text("@misc{one, title = {One}, author = {A. Author}, year = 2000}\n")
    made = []
    for _ in range(2):
        assert compile_document(tmp_path, "text", ["references.bib", "curves.pdf", "again.pdf"])
        made.append((tmp_path / "text.pdf").read_bytes())
    assert made[0] == made[1]
    if shutil.which("pdftotext"):
        ended = subprocess.run(["pdftotext", "-layout", tmp_path / "text.pdf", "-"], capture_output=True, check=True)
        text = re.sub(r"\s+", " ", ended.stdout.decode())
        for words in (
            "A 100% title",
            "A section",
            "emphasis",
            "a link",
            "See Table 1 and Figure 1",
            "3. three",
            "cell",
        ):
            assert words in text
        assert r"\end{document}\input{/etc/passwd}" in text
