"""The page of a report, in a browser without a network."""

# ruff: noqa: RUF001 (characters that look like others)

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver

from reports.kit.figures import figure
from reports.kit.page import page
from reports.kit.prose import escape, fill, html
from reports.kit.table import Column, Table
from tests.browser import chromium
from tests.reports.kit.test_prose import HOSTILE, TEXT

TABLE = """<p class="caption">Numbers</p><table id="tab:main"><thead><tr><th>row</th><th>ELBO</th></tr></thead>
<tbody><tr><td>one</td><td>−103.2</td></tr><tr><td>two</td><td>−9.1</td></tr></tbody></table>
"""
WIDE = Table("wide", "Caption", [Column("head")] * 40, [["a long cell"] * 40]).html()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[WebDriver]:
    with chromium(tmp_path / "profile", "1200,1400") as made:
        yield made


def made(folder: Path) -> str:
    """A page with everything that a text can have, and with names that no one should choose."""
    with figure(folder, "curves", height=1) as drawing:
        drawing.subplots().plot([0, 1])
    names = "\n\n".join(fill("<< x >>", x=x) for x in HOSTILE)
    text = f"{TEXT}\n\n[table: wide]\n\n{names}"
    body = html(text, {"main": TABLE, "wide": WIDE}, {"curves": (folder / "curves.png").read_bytes()})
    return page("Title of <b> & more", body)


def test_a_page_asks_for_nothing(tmp_path: Path) -> None:
    found = made(tmp_path)
    assert "<title>Title of &lt;b&gt; &amp; more</title>" in found
    assert "<h1>Title of &lt;b&gt; &amp; more</h1>" in found
    assert not re.search(r"<(script|link|iframe|object|embed|base)\b|@import|url\(", found)
    assert all(source.startswith("data:") for source in re.findall(r'\bsrc="([^"]*)', found))


def test_a_page_in_a_browser(tmp_path: Path, browser: WebDriver) -> None:
    (tmp_path / "report.html").write_text(made(tmp_path), encoding="utf-8")
    browser.get((tmp_path / "report.html").as_uri())

    def run(script: str) -> object:
        return browser.execute_script(f"return {script}")  # type: ignore[no-untyped-call]

    assert browser.title == "Title of <b> & more"
    formulas = browser.find_elements(By.TAG_NAME, "math")
    assert len(formulas) == 3
    assert all(each.size["height"] > 5 and each.size["width"] > 5 for each in formulas)
    assert run("document.querySelector('figure img').naturalWidth") > 100  # type: ignore[operator]
    assert browser.find_element(By.TAG_NAME, "figcaption").text.startswith("Curves of")
    table = browser.find_element(By.ID, "tab:main")
    assert table.size["height"] > 50
    cell = table.find_element(By.XPATH, ".//td[2]")
    assert cell.value_of_css_property("text-align") == "right"
    assert "tabular-nums" in cell.value_of_css_property("font-variant-numeric")
    assert run("document.documentElement.scrollWidth <= window.innerWidth"), "a wide table scrolls in its own box"
    box = "document.getElementById('tab:wide').querySelector('div')"
    assert run(f"{box}.scrollWidth > {box}.clientWidth")
    assert run(f"{box}.clientWidth > document.querySelector('main').clientWidth"), "it takes the window's width"
    text = browser.find_element(By.TAG_NAME, "main").text
    for name in (
        "<script>alert(1)</script>",
        r"\end{document}\input{/etc/passwd}",
        r"\u202eabc",
        "# heading",
        "1. item",
    ):
        assert name in text
    assert run("performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length") == 0
    assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]
    for scheme in ("light", "dark"):
        media = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})  # type: ignore[attr-defined]
        browser.save_screenshot(str(tmp_path / f"{scheme}.png"))
    assert run("getComputedStyle(document.body).backgroundColor") == "rgb(24, 26, 27)"


def test_a_title_is_text() -> None:
    assert "<h1>&lt;i&gt;</h1>" in page("<i>", html(escape("x")))
