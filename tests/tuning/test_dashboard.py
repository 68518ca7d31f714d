"""A study in optuna-dashboard, opened in a real browser."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.ui import WebDriverWait

from discrete_vae.tuning import Worker, open_storage, open_study
from studies.pictures import Pictures
from tests.tuning.tiny_worker import images, tiny

LIMIT = 120
"""Seconds after which a page is not waited for any more."""
CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
DASHBOARD = Path(sys.executable).with_name("optuna-dashboard")

pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no Chromium and ChromeDriver are installed")


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[WebDriver]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    quiet = ("quic", "background-networking", "component-update", "sync", "gpu", "dev-shm-usage", "extensions")
    for word in ("headless", "no-sandbox", "no-first-run", *(f"disable-{each}" for each in quiet)):
        options.add_argument(f"--{word}")
    options.add_argument(f"--user-data-dir={tmp_path / 'profile'}")
    options.add_argument("--window-size=1400,2400")
    made = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    try:
        yield made
    finally:
        made.quit()


@pytest.fixture
def dashboard(tmp_path: Path) -> Iterator[str]:
    """The address of a dashboard on a study of one trial."""
    few = images()
    study = tiny(2)
    found = open_study(study, "tiny", open_storage(str(tmp_path / "study.db")))
    Worker(tmp_path / "runs", few, saved=Pictures(tmp_path / "artifacts", few)).work(
        found, study, study.searches[""], 1
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [DASHBOARD, f"sqlite:///{tmp_path / 'study.db'}", "--artifact-dir", tmp_path / "artifacts"]
    process = subprocess.Popen(
        [*map(str, command), "--host", "127.0.0.1", "--port", str(port)], stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        assert any("Listening" in line for line in iter(process.stderr.readline, ""))
        yield f"http://127.0.0.1:{port}/dashboard"
    finally:
        process.kill()
        process.communicate()


def test_the_dashboard_shows_the_study_a_trial_and_its_pictures(dashboard: str, browser: WebDriver) -> None:
    def text() -> str:
        return browser.find_element(By.TAG_NAME, "body").text

    wait = WebDriverWait(browser, LIMIT)
    browser.get(dashboard)
    wait.until(lambda _: "tiny" in text())
    browser.get(f"{dashboard}/studies/1/trials?numbers=0")
    wait.until(lambda _: "heat_map_of_pi.png" in text() and "reconstructions.png" in text())
    assert "Trial 0" in text()
    assert "learning_curve.png" in text()
    assert '"strategy": "gumbel-softmax"' in text(), "the note with the configuration"
    script = (
        "return [...document.images].filter(each => each.src.includes('/artifacts/') && each.naturalWidth > 100).length"
    )
    wait.until(lambda _: browser.execute_script(script) == 3)
