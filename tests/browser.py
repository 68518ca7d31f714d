"""A headless Chromium, for the tests that open pages in it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.remote.webdriver import WebDriver

CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))


@contextlib.contextmanager
def chromium(profile: Path, size: str) -> Iterator[WebDriver]:
    """A browser with a new profile and a window of a size; a test skips where none is installed."""
    if not (CHROMIUM and DRIVER):
        pytest.skip("no Chromium and ChromeDriver are installed")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    quiet = ("quic", "background-networking", "component-update", "sync", "gpu", "dev-shm-usage", "extensions")
    for word in ("headless", "no-sandbox", "no-first-run", *(f"disable-{each}" for each in quiet)):
        options.add_argument(f"--{word}")
    options.add_argument(f"--user-data-dir={profile}")
    options.add_argument(f"--window-size={size}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    made = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    try:
        yield made
    finally:
        made.quit()
