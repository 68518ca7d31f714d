"""Files that other Python packages ship as data, found without importing these packages."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from discrete_vae.data import idx
from discrete_vae.errors import InputError


def read(package: str, name: str, folder: Path | None, remedy: str) -> tuple[Path, bytes]:
    """Where the file ``name`` is (``find``), and its content, which gzip may have packed.

    Raises:
        InputError: it is not there, cannot be read, or is damaged.
    """
    path = find(package, name, folder, remedy)
    return path, idx.read_content(path)


def find(package: str, name: str, folder: Path | None, remedy: str) -> Path:
    """The file ``name``, packed by gzip or not, in ``folder``, or with no folder named among those of a package.

    Raises:
        InputError: it is not there; the error ends with the ``remedy``.
    """
    names = (name, f"{name}.gz")
    if folder is not None:
        found = [folder / each for each in names if (folder / each).is_file()]
        place = f"{folder} has"
    else:
        try:
            shipped = metadata.files(package) or []
        except metadata.PackageNotFoundError as error:
            raise InputError(f"{name} comes with the package {package}, which is not installed: {remedy}") from error
        found = [Path(str(each.locate())) for each in shipped if each.name in names]
        found = [each for each in found if each.is_file()]
        place = f"the installed package {package} has"
    if not found:
        raise InputError(f"{place} no {name}: {remedy}")
    return found[0]
