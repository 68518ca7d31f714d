"""What tests of the command ``python -m studies`` share."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import pytest

from discrete_vae import data
from studies.command import choice
from tests.tuning.tiny_worker import images, tiny


@pytest.fixture
def tiny_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny study alone, on few images, in a folder of its own."""
    few = images()
    study = dataclasses.replace(tiny(2), trials=2)
    monkeypatch.setattr(choice, "studies", lambda: {"tiny": study})
    monkeypatch.setattr(data, "load", lambda *_: few)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("sys.stdin", io.StringIO())
