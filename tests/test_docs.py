"""The documentation: examples run, commands are understood, and the site is built strictly and works offline."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from filelock import FileLock
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.ui import WebDriverWait

from discrete_vae.strategies import STRATEGIES
from tests.browser import chromium
from tests.readme import COMMANDS, PAGES, ROOT, blocks, commands, lines, understand

LIMIT = 120
"""Seconds after which a page is not waited for any more."""
OTHERS = ("export ", "git ", "cd ", "pip ", "python3 -m ", "sbatch ", "kubectl ", "optuna-dashboard ", "tox", "pytest ")
"""Commands of other programs, which the pages may name; those of tox are checked."""
PUBLIC = {
    "strategies": "strategies",
    "functional": "functional",
    "distributions": "distributions",
    "latents.categorical": "latents",
    "latents.deterministic": "latents",
    "latents.gaussian": "latents",
    "latents.noise": "latents",
    "latents.quantised": "latents",
    "latents.sparse": "latents",
    "latents.states": "latents",
    "likelihoods": "likelihoods",
    "backbones": "backbones",
    "backbones.layers": "backbones",
    "backbones.stack": "backbones",
    "data": "data",
    "tasks": "tasks",
    "config": "config",
    "schedules": "schedules",
    "runs": "runs",
    "training": "training",
    "arithmetic": "training",
    "parallel": "parallel",
    "evaluation": "evaluation",
    "evaluation.gradients": "evaluation",
    "evaluation.statistics": "evaluation",
    "tuning": "tuning",
    "errors": "errors",
}
"""The public modules, and the page of each."""
EXAMPLES = [(name, number) for name, text in PAGES.items() for number in range(len(blocks(text, "python")))]
LINES = [(name, command) for name, text in PAGES.items() for command in commands(text)]


@pytest.mark.parametrize(("page", "number"), EXAMPLES)
def test_examples_run(page: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    example = compile(blocks(PAGES[page], "python")[number], page, "exec", dont_inherit=True)
    exec(example, {"__name__": "__main__"})


@pytest.mark.parametrize(("page", "command"), LINES)
def test_commands_are_understood(page: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    understand(command, tmp_path)


def test_there_is_nothing_else_to_type() -> None:
    """No block is left unchecked: what is no output is Python or a command that is known."""
    suite = tuple(f"{command} " for command in COMMANDS)
    unknown = [line for text in PAGES.values() for line in lines(text) if not line.startswith((*suite, *OTHERS))]
    assert not unknown
    environments = set(re.findall(r"^\[testenv:(\w+)\]", (ROOT / "tox.ini").read_text(), re.MULTILINE))
    assert set(re.findall(r"tox -e (\w+)", "\n".join(PAGES.values()))) <= environments
    fences = {fence for text in PAGES.values() for fence in re.findall(r"^ *```(\S+)", text, re.MULTILINE)}
    assert {fence for fence in fences if not fence.startswith("{")} <= {"python", "sh", "text"}


def build(pages: Path, out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sphinx", *options, "-q", "-b", "html", pages, out]
    return subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly, once for all processes of the test run."""
    pytest.importorskip("sphinx")
    shared = tmp_path_factory.getbasetemp()
    if shared.name.startswith("popen-"):  # one of pytest-xdist's processes
        shared = shared.parent
    out = shared / "site"
    with FileLock(shared / "site.lock"):
        if not out.exists():
            built = build(ROOT / "docs", shared / "site-built", "-W", "--keep-going")
            assert built.returncode == 0, built.stderr
            (shared / "site-built").rename(out)
    return out


def ids(page: Path) -> set[str]:
    """What can be linked to on a page."""
    return set(re.findall(r'\bid="([^"]+)"', page.read_text()))


def public(module: ModuleType) -> list[str]:
    """The names that a module declares, or else those of its functions and classes."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    return [
        name
        for name, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__
        and (inspect.isclass(value) or inspect.isfunction(value))
        and not name.startswith("_")
    ]


def test_every_public_name_is_on_the_page_of_its_module(site: Path) -> None:
    """Once: what two modules have is on the page of one."""
    anchors = {page: ids(site / "api" / f"{page}.html") for page in set(PUBLIC.values())}
    everywhere = set[str]().union(*anchors.values())
    missing, modules = [], {name: importlib.import_module(f"discrete_vae.{name}") for name in PUBLIC}
    for name, page in PUBLIC.items():
        module = modules[name]
        for each in public(module):
            value = getattr(module, each)
            shared = [f"discrete_vae.{other}.{each}" for other, own in modules.items() if vars(own).get(each) is value]
            if f"{module.__name__}.{each}" not in anchors[page] and everywhere.isdisjoint(shared):
                missing.append(f"{module.__name__}.{each}")
    assert not missing
    assert "discrete_vae.citation" in ids(site / "api" / "citations.html")
    assert "reports.kit.comparison.Comparison" in ids(site / "api" / "reports.html")


def test_every_strategy_has_its_name_papers_and_options(site: Path) -> None:
    text = re.sub(r"<[^>]+>", "", (site / "api" / "strategies.html").read_text())
    for name in STRATEGIES:
        assert re.search(rf"In runs:\s*{re.escape(name)}\s", text), name
    assert re.search(r"draws \(4\): Samples of each image’s latents, at least 2", text)  # noqa: RUF001
    assert "Kool et al." in text


def test_the_site_asks_for_nothing(site: Path) -> None:
    """No script, style, image or font comes from elsewhere."""
    for page in site.rglob("*.html"):
        text = page.read_text()
        for tag in re.findall(r"<(?:script|link|img|iframe|source)\b[^>]*>", text):
            assert not re.search(r"""(?:src|href|srcset)=["'](?:https?:)?//""", tag), (page.name, tag)
    for style in site.rglob("*.css"):
        assert not re.search(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", style.read_text()), style.name


def test_formulas_are_mathml_and_tables_of_reports_can_be_downloaded(tmp_path: Path) -> None:
    """A formula that the converter does not know is told with its line, and so is a link to nothing."""
    pytest.importorskip("sphinx")
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "conf.py").write_text(
        f"import sys; sys.path[:0] = [{str(ROOT / 'docs')!r}, {str(ROOT)!r}]\n"
        'extensions = ["myst_parser", "extensions.downloads", "extensions.mathml"]\n'
        'myst_enable_extensions = ["dollarmath"]\n'
        'html_math_renderer = "mathml"\nhtml_theme = "basic"\n'
    )
    (pages / "index.md").write_text(
        "# A page\n\nOf $\\pi_k$:\n\n$$c = \\frac{1}{2}$$ (half)\n\nSee {eq}`half`, not $\\nothing_k$.\n\n"
        "[One](../table.md), [none](../tables.md)\n"
    )
    (tmp_path / "table.md").write_text("| a |\n")
    built = build(pages, tmp_path / "out")
    text = (tmp_path / "out" / "index.html").read_text()
    assert '<math xmlns="http://www.w3.org/1998/Math/MathML" display="inline"><mrow><msub><mi>π</mi>' in text
    assert '<math xmlns="http://www.w3.org/1998/Math/MathML" display="block"><mrow><mi>c</mi>' in text
    assert text.count('id="equation-half"') == 1
    assert re.search(r'href="#equation-half"[^>]*>\(1\)</a>', text)
    assert not re.search(r"<script[^>]*mathjax", text, re.IGNORECASE)
    assert r"index.md:7: WARNING: the formula $\nothing_k$ cannot be shown in a browser" in built.stderr
    assert "'../tables.md'" in built.stderr
    assert built.stderr.count("WARNING") == 2
    (link,) = re.findall(r'href="(_downloads/[^"]+/table.md)"', text)
    assert (tmp_path / "out" / link).read_text() == "| a |\n"


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[WebDriver]:
    with chromium(tmp_path / "profile", "1400,2400") as made:
        yield made


def test_a_browser_shows_formulas_and_figures_and_finds_a_strategy(site: Path, browser: WebDriver) -> None:
    """From files, without a server."""
    wait = WebDriverWait(browser, LIMIT)
    browser.get((site / "results" / "target-propagation.html").as_uri())
    widths = "return [...document.querySelectorAll('article math')].map(each => each.getBoundingClientRect().width)"
    assert (found := browser.execute_script(widths))
    assert min(found) > 3
    loaded = "return [...document.images].map(each => each.naturalWidth)"
    wait.until(lambda _: min(browser.execute_script(loaded)) > 300)
    browser.get((site / "search.html").as_uri() + "?q=leave-one-out")
    wait.until(lambda _: browser.find_elements(By.CSS_SELECTOR, "#search-results li"))
    browser.get((site / "search.html").as_uri() + "?q=Rloo")
    wanted = "a[href*='api/strategies.html#discrete_vae.strategies.Rloo']"
    wait.until(lambda _: browser.find_elements(By.CSS_SELECTOR, f"#search-results {wanted}"))[0].click()
    wait.until(lambda _: "class discrete_vae.strategies.Rloo" in browser.find_element(By.TAG_NAME, "body").text)
    sources = "return [...document.querySelectorAll('script[src], link[href], img[src]')].map(e => e.src || e.href)"
    assert {each.partition(":")[0] for each in browser.execute_script(sources)} <= {"file", "data"}
    assert not [each for each in browser.get_log("browser") if each["level"] == "SEVERE"]
