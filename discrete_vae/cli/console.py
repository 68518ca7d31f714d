"""Standard output and standard error of a command: a failed write is one line of error, not a traceback."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from discrete_vae.errors import InputError
from discrete_vae.secrets import redact_secrets


@contextlib.contextmanager
def standard_output() -> Iterator[None]:
    """Check that all that is printed within the context is written. Raises ``InputError`` if standard output fails.

    A character that its encoding lacks is written as an escape.
    """
    _open_all()
    if sys.stdout is None:
        raise InputError("standard output is closed; send it somewhere, such as to /dev/null")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        yield
        sys.stdout.flush()
    except SystemExit as left:  # so rich leaves when the reader of a pipe has gone
        _discard()
        raise InputError(GONE) from left
    except BrokenPipeError as error:
        _discard()
        raise InputError(GONE) from error
    except OSError as error:
        if error.filename is not None:
            raise InputError(f"{error.filename}: {error.strerror or error}; name another place") from error
        _discard()
        raise InputError(
            f"cannot write ({error.strerror or error}); make room, or send the output elsewhere"
        ) from error


GONE = "the reader of standard output has gone; what the command has made is kept"


def announce(path: Path, text: str) -> None:
    """Print a text on the file at ``path``: on standard error if the file itself is standard output."""
    same = False
    with contextlib.suppress(OSError):
        same = os.path.samestat(path.stat(), os.fstat(1))
    print(text, file=sys.stderr if same else sys.stdout)


def complain(text: str) -> None:
    """Write a line to standard error, if there is one, without passwords."""
    with contextlib.suppress(OSError):
        print(redact_secrets(" ".join(text.split())), file=sys.stderr, flush=True)


def _open_all() -> None:
    """Open those of the three standard descriptors that are closed, so that no later file gets their numbers."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest that is free


def _discard() -> None:
    """Discard what is still to be written: it would fail again when Python ends."""
    with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
