"""How the address of a storage is read: an SQLite file's path, or a database's URL."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError

from discrete_vae.errors import InputError
from discrete_vae.places import as_file
from discrete_vae.secrets import is_doubtful, looks_like_connection, redact_url


def parse(url: str) -> URL:
    """The URL of a database, from one or from an SQLite file's path.

    Raises ``InputError`` for one that cannot be read, that could be read in two ways, and that keeps nothing.
    """
    shown = redact_url(url)
    remedy = "give a file, postgresql+psycopg://user@host/database, or grpc://host:port"
    if not url.strip():
        raise InputError(f"storage is {url!r}; {remedy}: is a variable unset?")
    if "://" not in url:
        if url == ":memory:" or looks_like_connection(url):
            raise InputError(f"storage {shown!r} is no file's name; {remedy} (./a:b for a file with a colon)")
        return URL.create("sqlite", database=str(as_file(url)))
    if is_doubtful(url):
        raise InputError(
            f"storage {shown!r} cannot be read without doubt; write %40 for an at sign in a name or a password, %3A "
            f"for a colon, %2F for a slash, %3F for a question mark; {remedy}"
        )
    try:
        parsed = make_url(url)
        backend_name = parsed.get_backend_name()
    except (ArgumentError, ValueError, AttributeError):
        raise InputError(f"storage {shown!r} cannot be read; {remedy}") from None
    if backend_name == "sqlite":
        file = str(parsed.database or "")
        if (
            not file.strip()
            or ":memory:" in file
            or file.startswith("file:")
            or "memory" in parsed.query.get("mode", "")
        ):
            raise InputError(f"storage {shown!r} names no file, so that a study would be lost; {remedy}")
        if parsed.host or parsed.username or parsed.password or parsed.query:
            raise InputError(f"storage {shown!r} cannot be read: a file has no host and no parameters; give its name")
        if parsed.drivername not in ("sqlite", "sqlite+pysqlite"):
            raise InputError(f"storage {shown!r} cannot be read: give the file's name alone")
        as_file(file)
    return parsed


def sqlite_path(url: URL) -> Path | None:
    """The file of a database that is one; None for a server."""
    return Path(str(url.database)) if url.get_backend_name() == "sqlite" else None
