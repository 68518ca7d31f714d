"""IDX files, the format of MNIST: a magic number, big-endian sizes, then unsigned bytes.

Source: LeCun, Cortes and Burges, "The MNIST database of handwritten digits".
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from discrete_vae.errors import InputError

GZIP_MAGIC = b"\x1f\x8b"


def magic(dimensions: int) -> int:
    """The magic number of an IDX file of unsigned bytes (type 0x08)."""
    return 0x0800 | dimensions


def candidates(name: str) -> tuple[str, ...]:
    """The names under which the file ``name`` (such as ``train-images-idx3-ubyte``) is found in the wild."""
    dotted = name.replace("-idx", ".idx")
    return name, f"{name}.gz", dotted, f"{dotted}.gz"


def find(folder: Path, name: str) -> Path:
    """The path of the IDX file ``name`` in ``folder``, gzipped or not.

    Raises:
        InputError: no such folder, or none of the candidate names in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: name the folder that holds {name} or {name}.gz")
    for candidate in candidates(name):
        if (folder / candidate).is_file():
            return folder / candidate
    looked_for = ", ".join(candidates(name))
    raise InputError(f"{folder} has no file {name} (looked for {looked_for}): name the folder of the IDX files")


def read_content(path: Path) -> bytes:
    """The uncompressed content of ``path``; gzip is told by its first bytes, not by the name.

    Raises:
        InputError: the file cannot be read, or its gzip stream is corrupt.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check that it is a readable file") from error
    if not content.startswith(GZIP_MAGIC):
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} is a corrupt gzip file ({error}): fetch it again") from error


def parse(content: bytes, path: Path, dimensions: int) -> NDArray[np.uint8]:
    """The array in the IDX ``content`` (read-only view); ``path`` is for the messages.

    Raises:
        InputError: wrong magic number, truncated content, or trailing bytes.
    """
    header = 4 * (1 + dimensions)
    want = struct.pack(">I", magic(dimensions))
    if len(content) >= 4 and content[:4] != want:
        raise InputError(
            f"{path} starts with 0x{content[:4].hex()}, not with 0x{want.hex()}, the magic number of an IDX "
            f"file of {dimensions} dimension{'s' if dimensions > 1 else ''}: put the original file there"
        )
    if len(content) < header:
        raise InputError(f"{path} is truncated ({len(content)} of {header} header bytes): fetch it again")
    shape = struct.unpack_from(f">{dimensions}I", content, offset=4)
    size, held = math.prod(shape), len(content) - header
    if held < size:
        raise InputError(f"{path} is truncated ({held} of {size} bytes after the header): fetch it again")
    if held > size:
        raise InputError(f"{path} has {held - size} trailing bytes after the {size} it states: fetch it again")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def read(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """The array in the IDX file ``path``; errors as in ``read_content`` and ``parse``."""
    return parse(read_content(path), path, dimensions)


def write(path: Path, array: NDArray[np.uint8]) -> None:
    """Write ``array`` as an IDX file, gzipped if ``path`` ends in ``.gz`` (always to the same bytes)."""
    header = struct.pack(f">{1 + array.ndim}I", magic(array.ndim), *array.shape)
    content = header + array.tobytes()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
