"""Secrets in the URLs of storages, whatever characters they have, and wherever a text repeats them."""

from __future__ import annotations

import json
import string
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
import torch

from discrete_vae.cli import command as cli
from discrete_vae.errors import InputError
from discrete_vae.runs import environment
from discrete_vae.secrets import redact_secrets, redact_url, redact_words, remembering
from discrete_vae.tuning import open_storage

BEGIN, END = "Qx7Kd", "zW9Lm"
"""Parts of a password that no other text has."""
URLS = [
    "postgresql+psycopg://me:{}@host/db",
    "postgresql://:{}@host:5432/db?sslmode=require",
    "postgresql://host/db?user=me&password={}",
    "postgresql://me@host/db?sslpassword={}&sslmode=require",
    "postgresql://me@host/db?other={}",
    "grpc://me:{}@host:13000",
    "nonsense:me:{}@host/db",
    "host=here user=me password={}",
]
SQUEEZED = {"nonsense:me:{}@host/db", "host=here user=me password={}"}
"""Not a URL: it is shown as nothing but ***, and opened by nobody."""


@pytest.mark.parametrize("url", URLS)
def test_no_character_of_a_password_is_shown(url: str) -> None:
    """In a URL, a command line and a library's words, as it is, decoded, encoded or escaped; raw or encoded in it."""
    for letter in string.printable:
        for password in (f"{BEGIN}{letter}{END}", f"{letter}{BEGIN}{END}", f"{BEGIN}{END}{letter}"):
            for written in (password, quote_plus(password)):
                whole = url.format(written)
                words = ["run", "gumbel-softmax", "--storage", whole, f"--storage={whole}"]
                texts = [whole, repr(whole), json.dumps(whole), f"storage {whole!r} cannot be opened"]
                if url not in SQUEEZED:
                    texts += [password, repr(password), f"failed for {password}.", quote(password, safe="")]
                with remembering(words):
                    shown = [*redact_words(words), redact_url(whole), *map(redact_secrets, texts)]
                for text in shown:
                    assert BEGIN not in text, (whole, text)
                    assert END not in text, (whole, text)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql+psycopg://me:p:a/ss@host/db", "postgresql+psycopg://me:***@host/db"),
        ("postgresql://:secret@host/db", "postgresql://:***@host/db"),
        (
            "postgresql:///db?user=me&password=secret&sslmode=require",
            "postgresql:///db?user=me&password=***&sslmode=require",
        ),
        ("postgresql://me@[::1]:5432/db", "postgresql://me@[::1]:5432/db"),
        ("postgresql://me:se@cret@host/db", "postgresql://***"),
        ("postgresql://host:secret/db", "postgresql://***"),
        ("sqlite:////home/me@work/study.db", "sqlite:////home/me@work/study.db"),
        ("grpc://host:13000", "grpc://host:13000"),
        ("studies.sqlite", "studies.sqlite"),
        ("rate=0.1@home.sqlite", "rate=0.1@home.sqlite"),
    ],
)
def test_the_rest_is_shown_where_it_is_beyond_doubt(url: str, shown: str) -> None:
    assert redact_url(url) == shown
    assert redact_words(["show", "--storage", url, f"--storage={url}"]) == [
        "show",
        "--storage",
        shown,
        f"--storage={shown}",
    ]


def test_secrets_come_from_the_environment_too_and_are_forgotten_with_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DISCRETE_VAE_STORAGE", f"postgresql://me:{BEGIN} {END}@host/db")
    monkeypatch.setenv("PGPASSWORD", "another-secret")
    assert redact_secrets(f"{BEGIN} {END} and another-secret") == "*** and ***"
    with remembering(["--storage", "postgresql://me:opener@host/db"]):
        assert redact_secrets("opener") == "***"
    assert redact_secrets("opener") == "opener"
    assert redact_secrets("postgresql://me:un known@host/db") == "postgresql://***@host/db"


def test_a_password_split_by_the_shell_is_hidden() -> None:
    words = ["run", "x", "--storage", "postgresql://me:first", "second@host/db", "--trials", "3"]
    assert redact_words(words) == ["run", "x", "--storage", "postgresql://***", "***", "--trials", "3"]


def test_a_run_keeps_its_command_without_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"postgresql+psycopg://me:{BEGIN} \"{END}'/@host/db"
    monkeypatch.setattr(sys, "argv", ["studies", "worker", "x", f"--storage={url}", "--storage", url])
    assert environment(torch.device("cpu"))["command"] == (
        "studies worker x --storage=postgresql+psycopg://me:***@host/db --storage postgresql+psycopg://me:***@host/db"
    )


@pytest.mark.parametrize("words", [["list", "{}"], ["train", "reinmax", "--storge", "{}"], ["sample", "{}"]])
def test_no_command_repeats_a_password(words: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Wherever it was typed by mistake."""
    url = f"postgresql://me:{BEGIN} {END}@host/db"
    assert cli.run(cli.application("vae"), [*(word.format(url) for word in words), "--runs", str(tmp_path)]) != 0
    told = capsys.readouterr()
    assert BEGIN not in told.err + told.out
    assert END not in told.err + told.out


def test_a_storage_that_cannot_be_reached_keeps_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a real driver, for every character that leaves a URL readable."""
    for letter in string.punctuation + " ":
        with pytest.raises(InputError) as caught, remembering([]):
            open_storage(f"postgresql+psycopg://me:{BEGIN}{letter}{END}@127.0.0.1:1/none")
        assert BEGIN not in str(caught.value)
        assert END not in str(caught.value)


def test_tracebacks_logs_and_warnings_keep_it_too() -> None:
    code = """
import logging, sys, warnings
from discrete_vae.secrets import guard
guard()
secret = sys.argv[2].partition("me:")[2].partition("@")[0]
warnings.warn(secret)
try:
    raise ValueError(sys.argv[2])
except ValueError as error:
    logging.getLogger("x").exception("no %s", secret)
raise ValueError(secret)
"""
    url = f"postgresql://me:{BEGIN} {END}@host/db"
    done = subprocess.run(
        [sys.executable, "-c", code, "--storage", url],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        check=False,
    )
    assert done.returncode == 1
    assert "UserWarning: ***" in done.stderr
    assert "no ***" in done.stderr
    assert "ValueError: postgresql://me:***@host/db" in done.stderr
    assert BEGIN not in done.stderr
    assert END not in done.stderr


def test_the_process_title_has_no_password() -> None:
    """What ``ps`` shows to all users of the machine."""
    pytest.importorskip("setproctitle")
    code = (
        "from discrete_vae.secrets import guard; from setproctitle import getproctitle; guard(); print(getproctitle())"
    )
    url = "postgresql+psycopg://me:a secret@host/db"
    told = subprocess.run([sys.executable, "-c", code, "--storage", url], capture_output=True, text=True, check=True)
    assert "secret" not in told.stdout
    assert "me:***@host" in told.stdout
