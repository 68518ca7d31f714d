"""Old public names give what the new ones give, and warn; what never was is no attribute."""

import importlib
import subprocess
import sys
import warnings

import pytest

RENAMED = [
    ("strategies", "Networks", "NetworkFactory"),
    ("strategies", "ReinMaxControlVariate", "ReinMaxMeanControl"),
    ("data", "MADE", "SYNTHETIC"),
    ("tasks", "Criticism", "CriticConfig"),
    ("tuning", "alone", "single_process"),
    ("tuning", "kept", "stored_best"),
    ("tuning", "standing", "active_trials"),
    ("tuning", "told", "format_params"),
]
MOVED = [
    ("categorical", "latents.categorical", "softmax"),
    ("noise", "latents.noise", "Noise"),
    ("gradients", "evaluation.gradients", "gradient_error"),
]


@pytest.mark.parametrize(("package", "old", "new"), RENAMED)
def test_an_old_name_is_the_new_one_and_warns(package: str, old: str, new: str) -> None:
    module = importlib.import_module(f"discrete_vae.{package}")
    with pytest.warns(DeprecationWarning, match=f"discrete_vae.{package}.{old} is now called {new}") as told:
        assert getattr(module, old) is getattr(module, new)
    assert told[0].filename == __file__
    assert old not in module.__all__


@pytest.mark.parametrize(("old", "new", "name"), MOVED)
def test_an_old_module_gives_the_names_of_the_new_one_and_warns(old: str, new: str, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = importlib.import_module(f"discrete_vae.{old}")  # as such it says nothing
    with pytest.warns(DeprecationWarning, match=f"discrete_vae.{old} is now called discrete_vae.{new}"):
        assert getattr(before, name) is getattr(importlib.import_module(f"discrete_vae.{new}"), name)
    with pytest.raises(AttributeError, match=f"has no attribute 'nothing'; it is now called discrete_vae.{new}"):
        _ = before.nothing


@pytest.mark.parametrize("package", sorted({package for package, _, _ in RENAMED}))
def test_a_name_that_never_was_is_no_attribute(package: str) -> None:
    module = importlib.import_module(f"discrete_vae.{package}")
    with pytest.raises(AttributeError, match=f"module 'discrete_vae.{package}' has no attribute 'nothing'"):
        _ = module.nothing


def test_the_warning_shows_the_line_that_imports_the_old_name() -> None:
    code = "from discrete_vae.strategies import Networks"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "<string>:1: DeprecationWarning: discrete_vae.strategies.Networks is now called" in done.stderr
