"""Passwords in the URLs of storages: found by taking the URL apart, and kept out of all that is printed or written.

A URL whose parts leave no doubt is shown with ``***`` for its password and its parameters' secrets; of any other only
the scheme is shown. The words of the command line are remembered, so that a secret is also found where a library's
message repeats it, whole or alone, as it was written or decoded.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import re
import shlex
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus

HIDDEN = "***"
VARIABLE = "DISCRETE_VAE_STORAGE"
"""The environment's variable with the storage's URL."""
PASSWORDS = ("PGPASSWORD", VARIABLE)
"""The environment's variables with a password, or with a URL."""
NAMES = frozenset({"password", "passwd", "pwd", "sslpassword", "token", "secret", "oauth_client_secret"})
"""Parameters whose name is shown, but not their value."""
HARMLESS = frozenset(
    {
        *("host", "hostaddr", "port", "dbname", "user", "service", "passfile", "options", "application_name"),
        *("sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "gssencmode", "channel_binding", "krbsrvname"),
        *("connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"),
        *("target_session_attrs", "load_balance_hosts", "client_encoding", "charset"),
        *("timeout", "mode", "cache", "uri"),
    }
)
"""Parameters that are shown; of a parameter that is in neither set nothing is."""
SHORT = 4
"""A shorter secret is hidden only where it stands alone: its letters occur in every text."""

LONGEST = 40
"""Special characters in a doubtful URL that are tried as parts of a password, at most."""

_remembered: dict[str, None] = {}


@dataclass(frozen=True)
class _Url:
    """A URL for people, and the secrets in it as they are written."""

    shown: str
    secrets: tuple[str, ...] = ()
    doubtful: bool = False


def _parsed(url: str) -> _Url:
    """A URL taken apart as SQLAlchemy does; all behind the scheme is secret where one could read it otherwise."""
    scheme, _, rest = url.partition("://")
    unclear = _Url(f"{scheme}://{HIDDEN}", tuple(_stretches(rest)), doubtful=True)
    if re.fullmatch(r"[A-Za-z][\w+.-]*", scheme) is None or rest.count("@") > 1:
        return unclear
    local = scheme.startswith("sqlite") and rest.startswith("/")
    before, at, behind = ("", "", rest) if local else rest.rpartition("@")
    user, colon, password = before.partition(":")
    if any(letter in user for letter in "/?"):  # the @ is of something else
        return unclear
    address, question, query = behind.partition("?")
    if not re.fullmatch(r"(\[[^\[\]]*\]|[^:\[\]]*)(:\d+)?", address.partition("/")[0]):
        return unclear
    shown, secrets = _parameters(query)
    hidden = f"{user}{colon}{HIDDEN if password else ''}{at}"
    return _Url(f"{scheme}://{hidden}{address}{question}{shown}", tuple(filter(None, [*_ends(password), *secrets])))


def _stretches(text: str) -> list[str]:
    """The parts of a doubtful URL that may be a password with special characters of URLs."""
    cuts = [-1, *(i for i, letter in enumerate(text) if letter in "@:/?&="), len(text)][:LONGEST]
    parts = [(i, j, text[i + 1 : j]) for i, j in itertools.combinations(cuts, 2)]
    return [
        part
        for i, j, part in parts
        if any(map(str.isalnum, part)) and (text[i : i + 1] == ":" or any(i < cut < j for cut in cuts))
    ]


def _ends(password: str) -> list[str]:
    """A password, and its rest if a colon in it belongs to the user name."""
    parts = password.split(":")
    return [":".join(parts[i:]) for i in range(len(parts))]


def _parameters(query: str) -> tuple[str, list[str]]:
    """A URL's parameters for people, and the secret values among them as they are written."""
    shown: list[str] = []
    secrets: list[str] = []
    for part in query.split("&") if query else []:
        name, _, value = part.partition("=")
        known = unquote_plus(name).lower()
        if known in HARMLESS:
            shown.append(part)
        else:
            shown.append(f"{known}={HIDDEN}" if known in NAMES else HIDDEN)
            if secrets and known not in NAMES:  # or a password goes on behind an &
                secrets.append(f"{secrets[-1]}&{part}")
            secrets.append(value if known in NAMES else value or part)
    return "&".join(shown), secrets


def _start(word: str) -> int | None:
    """Where in a word a URL starts, as in ``--storage=postgresql://host/db``; None for a word without one."""
    found = re.search(r"[\w+.-]*://", word)
    return None if found is None else found.start() + len(found[0]) - len(found[0].lstrip("-"))


def looks_like_connection(text: str) -> bool:
    """Whether a text without ``://`` tells of a server rather than a file: ``postgresql:me:pw@host``, ``host=...``."""
    try:
        parts = shlex.split(text)
    except ValueError:
        parts = text.split()
    names = {part.partition("=")[0] for part in parts if "=" in part}
    first = text.removeprefix("//").partition("/")[0]
    return bool(names & (HARMLESS | NAMES)) or ":" in first


def is_doubtful(url: str) -> bool:
    """Whether one could read a URL in two ways, or not at all."""
    return _parsed(url).doubtful


def redact_url(url: str) -> str:
    """A URL, or the path of an SQLite file, as it may be shown."""
    start = _start(url)
    if start is not None:
        return url[:start] + _parsed(url[start:]).shown
    return HIDDEN if looks_like_connection(url) else url


def redact_words(words: Sequence[str]) -> list[str]:
    """The words of a command line as they may be kept, of ``--storage URL`` as of URLs anywhere.

    What follows a URL that is in doubt, up to the next option, may belong to it: a space that the shell has split at.
    """
    return [shown for shown, _ in _taken_apart(words)]


def _taken_apart(words: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Each word as it may be shown, and the secrets in it."""
    found: list[tuple[str, tuple[str, ...]]] = []
    spilled, before = False, ""
    for word in words:
        start = _start(word)
        option, _, value = word.partition("=") if word.startswith("--storage=") else ("", "", word)
        if start is not None:
            parsed = _parsed(word[start:])
            found.append((word[:start] + parsed.shown, parsed.secrets))
            spilled = parsed.doubtful
        elif (option or before == "--storage") and looks_like_connection(value):
            found.append((f"{option}={HIDDEN}" if option else HIDDEN, (value,)))
            spilled = True
        elif spilled and not word.startswith("--"):
            found.append((HIDDEN, (word,)))
        else:
            found.append((word, ()))
            spilled = False
        before = word
    return found


def remember(*words: str) -> None:
    """Have ``redact_secrets`` know the secrets in these words, such as those of a command line, from now on."""
    for word, (shown, secrets) in zip(words, _taken_apart(words), strict=True):
        _remembered.update(dict.fromkeys(secrets))
        if shown != word:
            _remembered[word] = None


def _secrets() -> list[str]:
    """All known secrets, as they are written, decoded and encoded; the longest first."""
    known = dict(_remembered)
    for name in PASSWORDS:
        value = os.environ.get(name, "")
        start = _start(value)
        if start is not None:
            known |= dict.fromkeys(_parsed(value[start:]).secrets)
        elif name != VARIABLE or looks_like_connection(value):
            known[value] = None
    forms: set[str] = set()
    for secret in known:
        for text in (secret, unquote(secret), unquote_plus(secret)):
            escaped = text.replace("\\", "\\\\")
            forms |= {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
            forms |= {
                text,
                quote(text),
                quote(text, safe=""),
                quote_plus(text),
                quote(text, safe=" +"),
                repr(text)[1:-1],
            }
            forms |= {escaped, escaped.replace("'", "\\'"), escaped.replace('"', '\\"'), text.replace("'", "''")}
    return sorted((form for form in forms if form.strip()), key=len, reverse=True)


def redact_secrets(text: str) -> str:
    """A text, such as a library's message, without the secrets of the remembered words and of the environment.

    Of other URLs in it, what is before an ``@`` is hidden.
    """
    for word in sorted(_remembered, key=len, reverse=True):
        if _start(word) is not None:
            text = text.replace(word, redact_url(word)).replace(repr(word)[1:-1], redact_url(word))
    for secret in _secrets():
        if len(secret) >= SHORT:
            text = text.replace(secret, HIDDEN)
        else:
            text = re.sub(rf"(?<![^\s'\"(=,;:]){re.escape(secret)}(?![^\s'\"),;:.])", HIDDEN, text)
    first, *others = text.split("://")
    return "://".join([first, *map(_without_user, others)])


def _without_user(text: str) -> str:
    """What follows a ``://``, without what may be a password: nobody knows where that of an unknown URL ends."""
    user, at, behind = text.rpartition("@")
    return text if re.fullmatch(rf"[\w.+-]*(:{re.escape(HIDDEN)})?", user) else f"{HIDDEN}{at}{behind}"


@contextmanager
def remembering(words: Sequence[str]) -> Iterator[None]:
    """Know the secrets in a command's words, and in the storages that it opens, until it ends."""
    before = dict(_remembered)
    remember(*words)
    try:
        yield
    finally:
        _remembered.clear()
        _remembered.update(before)


def guard() -> None:
    """Keep the secrets of this program's command line out of its title, logs, warnings and tracebacks."""
    remember(*sys.argv[1:])
    if (shown := redact_words(sys.argv[1:])) != sys.argv[1:]:
        with suppress(ImportError):  # it comes with what serves databases
            from setproctitle import setproctitle

            setproctitle(shlex.join([sys.executable, sys.argv[0], *shown]))
    make_record, format_warning = logging.getLogRecordFactory(), warnings.formatwarning

    def record(*arguments: Any, **settings: Any) -> logging.LogRecord:
        made = make_record(*arguments, **settings)
        made.msg, made.args = redact_secrets(made.getMessage()), ()
        if made.exc_info and made.exc_info[1] is not None:
            made.exc_text = redact_secrets("".join(traceback.format_exception(made.exc_info[1]))).rstrip()
        return made

    def uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
        print(redact_secrets("".join(traceback.format_exception(kind, error, trace))), end="", file=sys.stderr)

    logging.setLogRecordFactory(record)
    warnings.formatwarning = lambda *told, **settings: redact_secrets(format_warning(*told, **settings))
    sys.excepthook = uncaught
    threading.excepthook = lambda args: uncaught(args.exc_type, args.exc_value, args.exc_traceback)
