"""The content of a database, inspected before it is opened as a storage: inspection makes and writes nothing."""

from __future__ import annotations

import sqlite3
import stat
from enum import Enum
from functools import partial
from pathlib import Path
from urllib.parse import quote

import optuna.storages._rdb
import sqlalchemy
from alembic.script import ScriptDirectory
from optuna.storages._rdb.models import SCHEMA_VERSION, BaseModel
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.pool import NullPool

from discrete_vae.errors import InputError

MAGIC = b"SQLite format 3\0"
CORE = frozenset({"studies", "trials", "version_info"})
"""Tables that every version of Optuna has."""
VERSION = "alembic_version"
"""The table with the version of the others."""


class Content(Enum):
    """The content of a database."""

    NOTHING = "nothing"
    """No file, or no table."""
    BEGUN = "begun"
    """Optuna's tables, which somebody is just making or did not finish."""
    STORAGE = "storage"
    """Optuna's tables, of the version that is installed."""


def content(url: URL, shown: str) -> Content:
    """The content of a database, by its URL and the name of that for people.

    Raises ``InputError`` for one that holds something else, or studies of another version of Optuna, and for what is
    no database; SQLAlchemy's errors for one that cannot be reached.
    """
    local = url.get_backend_name() == "sqlite"
    if local and not _has_content(Path(str(url.database)), shown):
        return Content.NOTHING
    engine = _sqlite(Path(str(url.database))) if local else _server(url)
    try:
        with engine.connect() as connection:
            return _content(connection, shown)
    finally:
        engine.dispose()


def _has_content(path: Path, shown: str) -> bool:
    """Whether a file is there and not empty. Raises ``InputError`` for what is no SQLite file."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            kind = "a folder" if path.is_dir() else "no regular file"
            raise InputError(f"storage {shown!r} cannot be opened: it is {kind}; give an SQLite file")
        with path.open("rb") as file:
            begin = file.read(len(MAGIC))
    except FileNotFoundError:
        return False
    except OSError as error:
        raise InputError(
            f"storage {shown!r} cannot be opened: {error.strerror or error}; name an SQLite file that you may read"
        ) from error
    if begin and begin != MAGIC:
        raise InputError(f"storage {shown!r} is no SQLite file; name another")
    return bool(begin)


def _sqlite(path: Path) -> Engine:
    """Reads a file; one that a writer who was killed left half-written is taken back to before."""
    with path.open("rb") as file:
        header = file.read(20)
    name = quote(str(path.absolute()))
    logs = any(path.with_name(f"{path.name}-{kind}").exists() for kind in ("journal", "wal"))
    mode = "rw" if logs else "ro"
    if header[18:20] == b"\2\2" and not logs:  # with a write-ahead log, which inspection would make
        mode = "ro&immutable=1"
    connect = partial(sqlite3.connect, f"file://{name}?mode={mode}", uri=True, timeout=60)
    return sqlalchemy.create_engine("sqlite://", creator=connect, poolclass=NullPool)


def _server(url: URL) -> Engine:
    options = {"postgresql_readonly": True} if url.get_backend_name() == "postgresql" else {}
    return sqlalchemy.create_engine(url, poolclass=NullPool, execution_options=options)


def _content(connection: Connection, shown: str) -> Content:
    inspector = sqlalchemy.inspect(connection)
    there = set(inspector.get_table_names())
    if connection.dialect.name == "sqlite":  # where a server's extensions bring views of their own
        there |= set(inspector.get_view_names())
    if not there:
        return Content.NOTHING
    models = {table.name: {column.name for column in table.columns} for table in BaseModel.metadata.sorted_tables}
    others = there - models.keys() - {VERSION}
    fit = all(
        {column["name"] for column in inspector.get_columns(name)} == models[name] for name in there & models.keys()
    )
    version = _version(connection) if VERSION in there else None  # maybe an empty text
    if (
        not there & models.keys()
        or (not there >= CORE and (others or version is not None))
        or (others and version is None)
    ):
        raise InputError(
            f"storage {shown!r} holds tables of another program ({', '.join(sorted(there)[:3])}); name another file, "
            "or a database of its own"
        )
    if version is None and fit:
        return Content.BEGUN
    installed = head()
    if version != installed:
        told = "an old version" if version is None else f"version {version!r}"
        raise InputError(
            f"storage {shown!r} has tables of another Optuna ({told}, not {installed} of Optuna {optuna.__version__}); "
            "copy it and call optuna storage upgrade --storage URL, or install the Optuna that made it"
        )
    if not fit or models.keys() - there:
        raise InputError(f"storage {shown!r} is damaged: tables or columns of Optuna's are missing; restore it")
    schema = connection.execute(sqlalchemy.text("SELECT schema_version FROM version_info")).scalar()
    if schema not in (None, SCHEMA_VERSION):
        raise InputError(
            f"storage {shown!r} has tables of another Optuna (schema {schema!r}, not {SCHEMA_VERSION} of Optuna "
            f"{optuna.__version__}); install the Optuna that made it, or name another --storage"
        )
    return Content.BEGUN if schema is None else Content.STORAGE


def _version(connection: Connection) -> str | None:
    """The version of the tables, None where it is not written yet."""
    columns = {column["name"] for column in sqlalchemy.inspect(connection).get_columns(VERSION)}
    if "version_num" not in columns:
        return "unknown"
    found = connection.execute(sqlalchemy.text(f"SELECT version_num FROM {VERSION}")).scalars().all()
    return " and ".join(map(repr, map(str, found))).strip("'") if found else None


def head() -> str:
    """The version that the installed Optuna makes."""
    folder = Path(str(optuna.storages._rdb.__file__)).parent / "alembic"
    return str(ScriptDirectory(str(folder)).get_current_head())
