"""Refusals of databases and proxies, in one line with a remedy and without secrets."""

from __future__ import annotations

import sqlite3

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import DBAPIError, OperationalError

from discrete_vae.errors import InputError
from discrete_vae.secrets import redact_secrets


class StorageError(InputError):
    """A storage refused: no trial is to blame, and the same command goes on once it works again."""


UNREADABLE = (ValueError, TypeError, AttributeError, LookupError, AssertionError, OverflowError, RecursionError)
"""Optuna's errors for rows that it cannot read, and for trials that do not fit a study."""


def is_missing(error: BaseException) -> bool:
    """Whether what was asked for is not there."""
    return isinstance(error, KeyError) and "Record does not exist" in str(error)


def unusable(shown: str, error: BaseException) -> StorageError:
    """The error for a storage whose rows Optuna cannot use."""
    reason = ": ".join(filter(None, [type(error).__name__, reason_of(error)]))
    return StorageError(
        f"storage {shown!r} holds what Optuna cannot use ({reason}); restore it, or name another --storage"
    )


def reason_of(error: BaseException) -> str:
    """An error of a driver in one line, without secrets and without the statement that failed."""
    cause: BaseException = error
    while isinstance(cause, StorageInternalError) and cause.__cause__ is not None:
        cause = cause.__cause__
    told = str(cause.orig if isinstance(cause, DBAPIError) and cause.orig is not None else cause)
    return redact_secrets(" ".join(told.split()))[:200]


def remedy_of(reason: str) -> str:
    """The remedy for a database's reason."""
    if "full" in reason:
        return "make room on its disk"
    if "readonly" in reason or "read-only" in reason or "permission" in reason:
        return "make it writable, or put back the file that was there"
    if "malformed" in reason or "not a database" in reason:
        return "restore it from a copy"
    return "see to it"


def is_away(error: BaseException | None) -> bool:
    """Whether a database did not answer, or was busy, rather than refuse."""
    while error is not None and not isinstance(error, DBAPIError):
        error = error.__cause__
    if error is None:
        return False
    if error.connection_invalidated:
        return True
    if not isinstance(error, OperationalError):
        return False
    if isinstance(error.orig, sqlite3.Error):
        return "locked" in str(error.orig)
    # Classes 08: connection, 40: to be repeated, 57P: shut down or starting; 53300: too many. No class: no connection.
    state = getattr(error.orig, "sqlstate", None)
    if state is None:
        return not any(word in str(error.orig) for word in ("authentication", "does not exist", "no password"))
    return str(state).startswith(("08", "40", "57P", "53300"))
