"""Rebuild the bundled binarised MNIST from the four IDX files of MNIST.

    python -m discrete_vae.data.build IDX_FOLDER                 compare with the shipped file, bit by bit
    python -m discrete_vae.data.build IDX_FOLDER --output FILE   write it

Exits with 0 if the bytes are the same or were written, 1 if they differ, 2 on bad input.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from discrete_vae.data import bundled, sources
from discrete_vae.errors import InputError
from discrete_vae.files import write_atomically
from discrete_vae.places import as_file, as_folder


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with ``arguments`` (default: the process' own) and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m discrete_vae.data.build", description=__doc__.splitlines()[0])
    parser.add_argument("folder", metavar="IDX_FOLDER", help="the folder with MNIST's IDX files")
    parser.add_argument("--output", metavar="FILE", help="write there instead of comparing")
    options = parser.parse_args(arguments)
    try:
        return build(as_folder(options.folder), None if options.output is None else as_file(options.output))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2


def build(folder: Path, output: Path | None) -> int:
    """Rebuild from the IDX files in ``folder``; write to ``output``, or if None compare with the shipped.

    Raises:
        InputError: a bad IDX file, or an output that cannot be written.
    """
    rebuilt = bundled.encode(sources.read(sources.SOURCES["mnist"], folder))
    if output is None:
        same = rebuilt == bundled.read_file()
        verdict = "identical to" if same else "DIFFERENT from"
        print(f"{bundled.FILE_NAME}: {len(rebuilt)} bytes, {verdict} the shipped")
        return 0 if same else 1
    write_atomically(output, rebuilt)
    print(f"{output}: {len(rebuilt)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
